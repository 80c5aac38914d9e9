//! Consents in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    consents::{self, Grantee as Party, Terms},
    ids::{ConsentId, OrganizationId, UserId},
    receipts::ReceiptKind,
};
use uuid::Uuid;

use super::{
    document::write,
    grant, list,
    receipts::{self, graphql::ConsentReceipt},
    referred::ReferredConsents,
    withdraw,
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app,
        document::Document,
        enums::{DataCategory, ProcessingActivity, PurposeOfUse, Role},
        global_id::{GlobalId, NodeKind},
        loaders,
        payload::Payload,
        request_for,
        scalars::Time,
    },
    organizations::shown::Organization,
    page::{Connection, CountedConnection, Node, PageArguments, asks_total},
    users::graphql::User,
};

/// A consent of a patient: whom it permits, or refuses, which processing of which data, for what
/// purpose and how long.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    stored: Arc<consents::Consent>,
    /// Whether it is as it was sealed.
    counts: bool,
    now: DateTime<Utc>,
}

impl Node for Consent {
    const EDGE: &'static str = "ConsentEdge";
    const CONNECTION: &'static str = "ConsentConnection";
}

impl Consent {
    /// As it was sealed.
    pub(super) fn new(now: DateTime<Utc>, consent: consents::Consent) -> Self {
        Self {
            stored: Arc::new(consent),
            counts: true,
            now,
        }
    }

    /// As a list has it, with whether it is as it was sealed.
    pub(super) fn listed(now: DateTime<Utc>, (consent, counts): list::ListedConsent) -> Self {
        Self {
            counts,
            ..Self::new(now, consent)
        }
    }

    /// Its id.
    pub(super) fn key(&self) -> Uuid {
        self.stored.id.0
    }

    /// Whom it names, and whose it is.
    pub(super) fn people(&self) -> Vec<UserId> {
        Self::people_of(&self.stored)
    }

    /// The same of one that is not shown yet.
    pub(super) fn people_of(consent: &consents::Consent) -> Vec<UserId> {
        let named = consent.grantees.iter().filter_map(|grantee| match grantee {
            Party::User { id } => Some(*id),
            Party::Role { .. } | Party::Org { .. } => None,
        });
        named.chain([consent.patient]).collect()
    }

    fn holds(&self) -> bool {
        // Given a moment ago by the database's clock, which may be ahead of this one.
        self.counts && self.stored.is_active(self.now.max(self.stored.given_at))
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.stored.given_at, self.stored.id.0)
    }
}

/// A consent of a patient: whom it permits, or refuses, which processing of which data, for what
/// purpose and how long.
#[Object]
impl Consent {
    /// The global ID of the consent: `node` gives the same object again.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::Consent, self.stored.id.0).into()
    }

    /// The ID of the consent, to withdraw it by `withdrawConsent`.
    async fn id(&self) -> Uuid {
        self.stored.id.0
    }

    /// The patient who gave the consent, and whose data it is about.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.stored.patient).await?)
    }

    /// The purpose of use that the consent is given for.
    async fn purpose(&self) -> PurposeOfUse {
        self.stored.purpose.into()
    }

    /// The categories of records that the consent is about.
    async fn data_categories(&self) -> Vec<DataCategory> {
        self.stored
            .categories
            .iter()
            .map(|category| (*category).into())
            .collect()
    }

    /// What may be done with the data; DENY, alone, where the consent refuses everything.
    async fn processing_activities(&self) -> Vec<ProcessingActivity> {
        self.stored
            .activities
            .iter()
            .map(|activity| (*activity).into())
            .collect()
    }

    /// The people, roles and organisations that the consent permits or refuses. Empty for a refusal to
    /// everybody.
    async fn grantees(&self) -> Vec<Grantee> {
        self.stored.grantees.iter().cloned().map(Grantee).collect()
    }

    /// The time at which the consent was given, and from which it is in force.
    async fn given_at(&self) -> Time {
        Time(self.stored.given_at)
    }

    /// The time at which the consent ends, exclusive; null where it has no end.
    async fn expires_at(&self) -> Option<Time> {
        self.stored.expires_at.map(Time)
    }

    /// The time at which the consent was withdrawn; null where it was not.
    async fn withdrawn_at(&self) -> Option<Time> {
        self.stored.withdrawn_at.map(Time)
    }

    /// Whether the consent is in force now: neither withdrawn nor expired. One that was changed outside
    /// the service never is: a finding `ROW_TAMPERED` tells of it.
    async fn is_active(&self) -> bool {
        self.holds()
    }

    /// What was agreed to, as one text that never changes, with the signature of the patient's wallet where there is one.
    /// Null for anybody but the patient, for consents from before there were receipts, and for a receipt that was changed
    /// outside the service.
    async fn receipt(&self, ctx: &Context<'_>) -> Result<Option<ConsentReceipt>> {
        Ok(receipts::graphql::load(ctx, &self.stored, ReceiptKind::Grant).await?)
    }

    /// The same of the withdrawal; null while the consent is not withdrawn.
    async fn withdrawal_receipt(&self, ctx: &Context<'_>) -> Result<Option<ConsentReceipt>> {
        Ok(receipts::graphql::load(ctx, &self.stored, ReceiptKind::Withdrawal).await?)
    }

    /// The consent as a FHIR R4 `Consent`, with all that it says: `importConsent` gives the same again.
    async fn fhir(&self) -> Document {
        write::document(&self.stored, self.holds()).into()
    }
}

/// Which kind of grantee a consent names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum GranteeKind {
    /// One person: see `user`.
    User,
    /// Everybody who has a role: see `role`.
    Role,
    /// The doctors who belong to an organisation: see `organization`.
    Organization,
}

/// One grantee of a consent: a person, a role or an organisation.
#[derive(Debug, Clone)]
pub(crate) struct Grantee(Party);

impl Grantee {
    /// Which of the three a grantee is.
    pub(super) const fn kind_of(grantee: &Party) -> GranteeKind {
        match grantee {
            Party::User { .. } => GranteeKind::User,
            Party::Role { .. } => GranteeKind::Role,
            Party::Org { .. } => GranteeKind::Organization,
        }
    }
}

/// One grantee of a consent: a person, a role or an organisation.
#[Object]
impl Grantee {
    /// Which of the three it is.
    async fn kind(&self) -> GranteeKind {
        Self::kind_of(&self.0)
    }

    /// The person, for the kind USER; null otherwise.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match self.0 {
            Party::User { id } => Ok(Some(User::load(ctx, id).await?)),
            Party::Role { .. } | Party::Org { .. } => Ok(None),
        }
    }

    /// The role, for the kind ROLE; null otherwise.
    async fn role(&self) -> Option<Role> {
        match self.0 {
            Party::Role { role } => Some(role.into()),
            Party::User { .. } | Party::Org { .. } => None,
        }
    }

    /// The ID of the organisation, for the kind ORGANIZATION; null otherwise.
    async fn organization_id(&self) -> Option<Uuid> {
        match self.0 {
            Party::Org { id, .. } => Some(id.0),
            Party::User { .. } | Party::Role { .. } => None,
        }
    }

    /// The organisation, for the kind ORGANIZATION; null otherwise, and where it is not there or was changed outside the
    /// service.
    async fn organization(&self, ctx: &Context<'_>) -> Result<Option<Organization>> {
        match self.0 {
            Party::Org { id, .. } => Ok(Organization::load(ctx, id).await?),
            Party::User { .. } | Party::Role { .. } => Ok(None),
        }
    }

    /// The country of the organisation, as ISO 3166-1 alpha-2 writes it; null for other kinds.
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
    /// The caller's own consents, or those of the patient for whom the caller acts, newest first. Reading them is recorded in
    /// the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`, `onBehalfOf`), `NOT_FOUND` where the caller may not act
    /// for this patient.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn consents(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "True to leave out consents that were withdrawn or have expired.",
            default_with = "Some(false)"
        )]
        active_only: Option<bool>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<CountedConnection<Consent>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let active_only = active_only.unwrap_or_default();
        let patient = caller.subject();
        let cursors = ListCursors::of(&app.index_key, "consents", patient, &active_only.into());
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let asked = list::ConsentPage {
            active_only,
            range: range.by(|(at, id)| (at, ConsentId(id))),
            total: asks_total(ctx),
        };
        let found = list::list(&app.pool, &app.seals, &caller, asked).await?;
        let consents = shown(ctx, found.rows).await?;
        let cursor = |it: &Consent| cursors.at(&it.page_key());
        Ok(Connection::of_range(consents, &range, cursor).counted(found.total))
    }
}

/// Consents of a list, with the people whom they name.
async fn shown(ctx: &Context<'_>, found: Vec<list::ListedConsent>) -> Result<Vec<Consent>, Error> {
    let people = found.iter().flat_map(|(it, _)| Consent::people_of(it));
    loaders(ctx)?.prepare_users(people.collect()).await;
    let now = app(ctx)?.clock.now();
    let found = found.into_iter();
    Ok(found.map(|listed| Consent::listed(now, listed)).collect())
}

/// Those of these consents that are the caller's, or the patient's for whom they act.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
    on_behalf_of: Option<Uuid>,
) -> Result<Vec<(Uuid, Consent)>, Error> {
    let (app, caller) = request_for(ctx, on_behalf_of)?;
    let ids: Vec<ConsentId> = ids.iter().copied().map(ConsentId).collect();
    let found = list::by_ids(&app.pool, &app.seals, &caller, &ids).await?;
    let found = shown(ctx, found).await?.into_iter();
    Ok(found.map(|it| (it.key(), it)).collect())
}

/// A consent that an entry of the access log names, as `consents` shows it; `None` where it is not the caller's, nor the patient's for
/// whom they act.
pub(crate) async fn referred(
    ctx: &Context<'_>,
    consent: ConsentId,
    on_behalf_of: Option<UserId>,
) -> Result<Option<Consent>, Error> {
    let found = ctx.data::<ReferredConsents>();
    let found = found.map_err(|_| Error::Internal)?;
    let found = found.find(consent, on_behalf_of).await?;
    let now = app(ctx)?.clock.now();
    Ok(found.map(|listed| Consent::listed(now, list::ListedConsent::clone(&listed))))
}

/// A grantee of a new consent: exactly one of the three fields.
#[derive(Debug, OneofObject)]
pub(crate) enum GranteeInput {
    /// The ID of one person's account.
    User(Uuid),
    /// Everybody who has this role.
    Role(Role),
    /// The doctors who belong to this organisation at the moment of a decision.
    Organization(OrganizationInput),
}

/// An organisation and the country it is in.
#[derive(Debug, InputObject)]
pub(crate) struct OrganizationInput {
    /// The ID of the organisation, which is active: see `organizations`.
    id: Uuid,
    /// The country of the organisation, as ISO 3166-1 alpha-2 writes it. In another country than the home country members are
    /// let in only by a consent to TRANSFER.
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

/// The terms of a new consent.
#[derive(Debug, InputObject)]
pub(crate) struct GrantConsentInput {
    /// The purpose of use that the consent is given for; not PATRQT, which needs no consent.
    purpose: PurposeOfUse,
    /// The categories of records that the consent is about; at least one.
    data_categories: Vec<DataCategory>,
    /// What may be done with the data; or DENY, alone, to refuse everything.
    processing_activities: Vec<ProcessingActivity>,
    /// Whom the consent permits or refuses, at most 100. A refusal that names nobody refuses everybody;
    /// every other consent names at least one.
    grantees: Vec<GranteeInput>,
    /// The time at which the consent ends, exclusive, in the future; null for no end.
    expires_at: Option<DateTime<Utc>>,
    /// A key of the client's choice, 1 to 128 bytes: repeating the request with the same key gives the
    /// same consent and stores no second one.
    idempotency_key: Option<String>,
}

impl GrantConsentInput {
    /// The terms, and the key of the request.
    pub(super) fn terms(self) -> (Terms, Option<String>) {
        let activities = self.processing_activities.into_iter();
        let terms = Terms {
            purpose: self.purpose.into(),
            categories: self.data_categories.into_iter().map(Into::into).collect(),
            activities: activities.map(Into::into).collect(),
            grantees: self.grantees.into_iter().map(Into::into).collect(),
            expires_at: self.expires_at,
        };
        (terms, self.idempotency_key)
    }
}

/// The result of `grantConsent` and `importConsent`: the stored consent.
#[derive(Debug, SimpleObject)]
pub(crate) struct GrantConsentPayload {
    /// The consent, which is in force from now on.
    consent: Consent,
}

impl GrantConsentPayload {
    /// That of a consent which was given.
    pub(super) const fn of(consent: Consent) -> Self {
        Self { consent }
    }
}

/// The consent that is to be withdrawn.
#[derive(Debug, InputObject)]
pub(crate) struct WithdrawConsentInput {
    /// The ID of one of the caller's consents.
    id: Uuid,
}

/// The result of `withdrawConsent`: the consent as it is now, and what else lets in whom it let in.
#[derive(Debug, SimpleObject)]
pub(crate) struct WithdrawConsentPayload {
    /// The consent, which is not in force any more.
    consent: Consent,
    /// Your other consents in force that allow some of the same data, activities and purpose to somebody
    /// whom this one named, or to a role or an organisation that may hold them. Where the list is not empty
    /// access remains: withdraw these consents, too, to end it.
    remaining: Vec<Consent>,
}

#[derive(Default)]
pub(crate) struct ConsentMutation;

#[Object]
impl ConsentMutation {
    /// Stores a consent of the caller, which permits or refuses others to process the caller's records.
    /// Open to patients and doctors, not to administrators. A person who is named must be an active doctor,
    /// an organisation must be active.
    /// A consent that is in force and says exactly the same is answered instead of a second one.
    ///
    /// Error codes: `BAD_USER_INPUT` (`purpose`, `dataCategories`, `processingActivities`, `grantees`,
    /// `expiresAt`, `idempotencyKey`, `onBehalfOf`), `FORBIDDEN` for administrators, `CONFLICT` (`idempotencyKey`:
    /// used for another request), `NOT_FOUND` where the consent of that key is not as it was sealed, or the
    /// caller may not act for the patient, `LIMIT_REACHED` (100 are in force). No representative lets in themselves.
    async fn grant_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The terms of the consent.")] input: GrantConsentInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<GrantConsentPayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let (terms, key) = input.terms();
        let consent = grant::grant(&app.pool, &app.seals, &caller, terms, key.as_deref()).await?;
        Ok(Payload(GrantConsentPayload {
            consent: Consent::new(app.clock.now(), consent),
        }))
    }

    /// Withdraws a consent, with effect from the next request on. Repeating it changes nothing.
    ///
    /// Error codes: `NOT_FOUND` where it is not one of the caller's, or of the patient for whom the caller may act,
    /// `BAD_USER_INPUT` (`onBehalfOf`; `id`: a refusal that keeps out the doctor who acts for the patient).
    async fn withdraw_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The consent that is to be withdrawn.")] input: WithdrawConsentInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<WithdrawConsentPayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let withdrawn =
            withdraw::withdraw(&app.pool, &app.seals, &caller, ConsentId(input.id)).await?;
        let now = app.clock.now();
        let remaining = withdrawn.remaining.into_iter();
        Ok(Payload(WithdrawConsentPayload {
            consent: Consent::new(now, withdrawn.consent),
            remaining: remaining.map(|it| Consent::new(now, it)).collect(),
        }))
    }
}
