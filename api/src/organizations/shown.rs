//! An organisation in the schema. Who belongs to it is in `users::memberships`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};
use domain::{ids::OrganizationId, organizations};
use uuid::Uuid;

use crate::{
    error::Error,
    graphql::{
        global_id::{GlobalId, NodeKind},
        loaders,
        scalars::Time,
    },
    page::Node,
};

/// A hospital or a practice. A consent may name it, and then lets in the doctors who belong to it at that moment.
#[derive(Debug, Clone)]
pub(crate) struct Organization(Arc<organizations::Organization>);

impl Node for Organization {
    const EDGE: &'static str = "OrganizationEdge";
    const CONNECTION: &'static str = "OrganizationConnection";
}

impl Organization {
    /// As everybody sees it.
    pub(crate) const fn new(organization: Arc<organizations::Organization>) -> Self {
        Self(organization)
    }

    /// Fetches an organisation through the loader; `None` where there is none, and where it is not as it was sealed.
    pub(crate) async fn load(ctx: &Context<'_>, id: OrganizationId) -> Result<Option<Self>, Error> {
        Ok(loaders(ctx)?.organization(id).await?.map(Self))
    }

    /// Where it stands in a list.
    pub(super) fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.created_at, self.0.id.0)
    }
}

/// A hospital or a practice. A consent may name it, and then lets in the doctors who belong to it at that moment.
#[Object]
impl Organization {
    /// The global ID of the organisation: `node` gives the same object again.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::Organization, self.0.id.0).into()
    }

    /// The ID of the organisation, to name it in a consent.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The name of the organisation.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The country of the organisation, as ISO 3166-1 alpha-2 writes it. A consent names it, too, and lets nobody in through
    /// an organisation that is in another country by now.
    async fn country(&self) -> &str {
        self.0.country.as_str()
    }

    /// Whether the organisation is active; a consent to one that is not lets nobody in, and no new consent can name it.
    async fn is_active(&self) -> bool {
        self.0.is_active
    }

    /// The time at which the organisation was made.
    async fn created_at(&self) -> Time {
        Time(self.0.created_at)
    }

    /// The time at which the organisation was changed last.
    async fn updated_at(&self) -> Time {
        Time(self.0.updated_at)
    }
}
