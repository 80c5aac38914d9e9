//! Consents in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, OneofObject, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    consents::{self, Grantee as Party, Terms},
    ids::{ConsentId, OrganizationId, UserId},
};
use uuid::Uuid;

use super::give;
use crate::{
    app::App,
    graphql::{
        enums::{DataCategory, ProcessingActivity, PurposeOfUse, Role},
        loaders, request,
    },
    page::{self, Connection, Cursor},
    users::graphql::User,
};

/// What a patient allows, or refuses, whom to do with which data, for what and until when.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    consent: Arc<consents::Consent>,
    now: DateTime<Utc>,
}

impl Consent {
    fn new(app: &App, consent: consents::Consent) -> Self {
        Self {
            consent: Arc::new(consent),
            now: app.clock.now(),
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.consent.given_at, self.consent.id.0)
    }
}

/// What a patient allows, or refuses, whom to do with which data, for what and until when.
#[Object]
impl Consent {
    /// Which.
    async fn id(&self) -> Uuid {
        self.consent.id.0
    }

    /// Whose data.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.consent.patient).await?)
    }

    /// What for.
    async fn purpose(&self) -> PurposeOfUse {
        self.consent.purpose.into()
    }

    /// Which data.
    async fn data_categories(&self) -> Vec<DataCategory> {
        self.consent
            .categories
            .iter()
            .map(|category| (*category).into())
            .collect()
    }

    /// What may be done with them, or DENY.
    async fn processing_activities(&self) -> Vec<ProcessingActivity> {
        self.consent
            .activities
            .iter()
            .map(|activity| (*activity).into())
            .collect()
    }

    /// Who is let in, or kept out.
    async fn grantees(&self) -> Vec<Grantee> {
        self.consent.grantees.iter().cloned().map(Grantee).collect()
    }

    /// From when on.
    async fn given_at(&self) -> DateTime<Utc> {
        self.consent.given_at
    }

    /// Until when, exclusive; null for no end.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.consent.expires_at
    }

    /// When it was taken back.
    async fn withdrawn_at(&self) -> Option<DateTime<Utc>> {
        self.consent.withdrawn_at
    }

    /// Whether it holds now.
    async fn is_active(&self) -> bool {
        // Given a moment ago by the database's clock, which may be ahead of this one.
        self.consent.is_active(self.now.max(self.consent.given_at))
    }
}

/// What a grantee is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum GranteeKind {
    /// One person.
    User,
    /// Everybody of a role.
    Role,
    /// Everybody of an organisation.
    Organization,
}

/// Who is let in, or kept out.
#[derive(Debug, Clone)]
pub(crate) struct Grantee(Party);

/// Who is let in, or kept out.
#[Object]
impl Grantee {
    /// What it is.
    async fn kind(&self) -> GranteeKind {
        match self.0 {
            Party::User { .. } => GranteeKind::User,
            Party::Role { .. } => GranteeKind::Role,
            Party::Org { .. } => GranteeKind::Organization,
        }
    }

    /// The person.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match self.0 {
            Party::User { id } => Ok(Some(User::load(ctx, id).await?)),
            Party::Role { .. } | Party::Org { .. } => Ok(None),
        }
    }

    /// The role.
    async fn role(&self) -> Option<Role> {
        match self.0 {
            Party::Role { role } => Some(role.into()),
            Party::User { .. } | Party::Org { .. } => None,
        }
    }

    /// The organisation.
    async fn organization_id(&self) -> Option<Uuid> {
        match self.0 {
            Party::Org { id, .. } => Some(id.0),
            Party::User { .. } | Party::Role { .. } => None,
        }
    }

    /// The organisation's country, ISO 3166-1 alpha-2.
    async fn country(&self) -> Option<&str> {
        match &self.0 {
            Party::Org { country, .. } => Some(country),
            Party::User { .. } | Party::Role { .. } => None,
        }
    }
}

#[derive(Default)]
pub(crate) struct ConsentQuery;

#[Object]
impl ConsentQuery {
    /// Your own consents, newest first.
    async fn consents(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Leave out what was withdrawn or is over.",
            default_with = "Some(false)"
        )]
        active_only: Option<bool>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<Consent>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let from = from.map(|(at, id)| (at, ConsentId(id)));
        let active_only = active_only.unwrap_or_default();
        let found = give::list(app, &caller, active_only, from, size).await?;
        let people = found.iter().flat_map(people_of).collect();
        loaders(ctx)?.prepare_users(people).await;
        let found = found
            .into_iter()
            .map(|consent| Consent::new(app, consent))
            .collect();
        Ok(Connection::new(
            found,
            size,
            after.is_some(),
            Consent::cursor,
        ))
    }
}

fn people_of(consent: &consents::Consent) -> Vec<UserId> {
    let named = consent.grantees.iter().filter_map(|grantee| match grantee {
        Party::User { id } => Some(*id),
        Party::Role { .. } | Party::Org { .. } => None,
    });
    named.chain([consent.patient]).collect()
}

/// Who is let in, or kept out: one of the three.
#[derive(Debug, OneofObject)]
pub(crate) enum GranteeInput {
    /// One person, by id.
    User(Uuid),
    /// Everybody of a role.
    Role(Role),
    /// Everybody of an organisation.
    Organization(OrganizationInput),
}

/// An organisation and where it is.
#[derive(Debug, InputObject)]
pub(crate) struct OrganizationInput {
    /// Which.
    id: Uuid,
    /// Its country, ISO 3166-1 alpha-2.
    country: String,
}

impl From<GranteeInput> for Party {
    fn from(input: GranteeInput) -> Self {
        match input {
            GranteeInput::User(id) => Self::User { id: UserId(id) },
            GranteeInput::Role(role) => Self::Role { role: role.into() },
            GranteeInput::Organization(org) => Self::Org {
                id: OrganizationId(org.id),
                country: org.country,
            },
        }
    }
}

/// What to allow, or refuse.
#[derive(Debug, InputObject)]
pub(crate) struct GrantConsentInput {
    /// What for.
    purpose: PurposeOfUse,
    /// Which data.
    data_categories: Vec<DataCategory>,
    /// What may be done with them; DENY, alone, for a refusal.
    processing_activities: Vec<ProcessingActivity>,
    /// Who. A refusal that names nobody keeps everybody out.
    grantees: Vec<GranteeInput>,
    /// Until when; without it there is no end.
    expires_at: Option<DateTime<Utc>>,
    /// The same key gives the same consent.
    idempotency_key: Option<String>,
}

/// The consent.
#[derive(Debug, SimpleObject)]
pub(crate) struct GrantConsentPayload {
    /// The consent.
    consent: Consent,
}

/// Which consent to take back.
#[derive(Debug, InputObject)]
pub(crate) struct WithdrawConsentInput {
    /// Which.
    id: Uuid,
}

/// The consent as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct WithdrawConsentPayload {
    /// The consent.
    consent: Consent,
}

#[derive(Default)]
pub(crate) struct ConsentMutation;

#[Object]
impl ConsentMutation {
    /// Allows, or refuses, somebody to do something with your records. Not for administrators.
    async fn grant_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to allow, or refuse.")] input: GrantConsentInput,
    ) -> Result<GrantConsentPayload> {
        let (app, caller) = request(ctx)?;
        let terms = Terms {
            purpose: input.purpose.into(),
            categories: input.data_categories.into_iter().map(Into::into).collect(),
            activities: input
                .processing_activities
                .into_iter()
                .map(Into::into)
                .collect(),
            grantees: input.grantees.into_iter().map(Into::into).collect(),
            expires_at: input.expires_at,
        };
        let consent = give::grant(app, &caller, &terms, input.idempotency_key.as_deref()).await?;
        Ok(GrantConsentPayload {
            consent: Consent::new(app, consent),
        })
    }

    /// Takes a consent back. It binds the next request.
    async fn withdraw_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which consent to take back.")] input: WithdrawConsentInput,
    ) -> Result<WithdrawConsentPayload> {
        let (app, caller) = request(ctx)?;
        let consent = give::withdraw(app, &caller, ConsentId(input.id)).await?;
        Ok(WithdrawConsentPayload {
            consent: Consent::new(app, consent),
        })
    }
}
