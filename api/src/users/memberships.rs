//! The membership of a doctor in an organisation, in the schema.

use async_graphql::{Context, Object, Result};
use chrono::{DateTime, Utc};
use domain::organizations;
use uuid::Uuid;

use super::graphql::User;
use crate::{
    graphql::{app, scalars::Time},
    organizations::shown::Organization,
    page::Node,
};

/// That a doctor belongs to an organisation, from when to when.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    membership: organizations::Membership,
    counts: bool,
}

impl Node for Membership {
    const EDGE: &'static str = "MembershipEdge";
    const CONNECTION: &'static str = "MembershipConnection";
}

impl Membership {
    /// A membership, and whether it is as it was sealed.
    pub(crate) const fn new((membership, counts): (organizations::Membership, bool)) -> Self {
        Self { membership, counts }
    }

    /// Where it stands in a list.
    pub(crate) fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.membership.created_at, self.membership.id.0)
    }
}

/// That a doctor belongs to an organisation, from when to when.
#[Object]
impl Membership {
    /// The ID of the membership, to end it by `endMembership`.
    async fn id(&self) -> Uuid {
        self.membership.id.0
    }

    /// The doctor who belongs to the organisation.
    async fn doctor(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.membership.doctor).await?)
    }

    /// The organisation; null where its row was changed outside the service.
    async fn organization(&self, ctx: &Context<'_>) -> Result<Option<Organization>> {
        Ok(Organization::load(ctx, self.membership.organization).await?)
    }

    /// The time from which the doctor belongs to the organisation.
    async fn from(&self) -> Time {
        Time(self.membership.from)
    }

    /// The time until which the doctor belongs to the organisation, exclusive; null where no end is planned.
    async fn until(&self) -> Option<Time> {
        self.membership.until.map(Time)
    }

    /// The time at which an administrator ended the membership; null where none did.
    async fn ended_at(&self) -> Option<Time> {
        self.membership.ended_at.map(Time)
    }

    /// Whether the doctor belongs to the organisation now. One that was changed outside the service never counts: a finding
    /// `ROW_TAMPERED` tells of it.
    async fn is_active(&self, ctx: &Context<'_>) -> Result<bool> {
        // Added a moment ago by the database's clock, which may be ahead of this one.
        let now = app(ctx)?.clock.now().max(self.membership.created_at);
        let is_open = self.counts && self.membership.ended_at.is_none();
        Ok(is_open && self.membership.is_in_force(now))
    }
}
