//! Who has access, in the schema.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, Enum, InputObject, Object, OneofObject, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    access::overview::Access as Permitted,
    consents,
    ids::{ConsentId, UserId},
};
use serde_json::{Value, json};
use store::consents::history::{Event, EventKind};
use uuid::Uuid;

use super::{
    HeldAccess, Holder, key_of,
    preview::{self, ConsentChange, Preview},
    who_has_access,
};
use crate::{
    consents::{
        given,
        graphql::{Consent, GrantConsentInput, Grantee, GranteeKind},
        history,
        patients::{self, LettingIn},
    },
    cursor::{Cursor, ListCursors},
    graphql::{
        enums::{
            DataCategory, ProcessingActivity, PurposeOfUse, RecordType, RepresentedActivity, Role,
        },
        loaders, request, request_for,
        scalars::Time,
    },
    organizations::shown::Organization,
    page::{self, Connection, Node},
    users::graphql::User,
};

type KnownConsents = Arc<HashMap<ConsentId, Consent>>;

/// Somebody who may do something with the records of a patient: a person, or everybody of a role or an
/// organisation.
#[derive(Debug, Clone)]
pub(crate) struct AccessHolder {
    holder: Arc<Holder>,
    stored: KnownConsents,
}

impl Node for AccessHolder {
    const EDGE: &'static str = "AccessHolderEdge";
    const CONNECTION: &'static str = "AccessHolderConnection";
}

/// Somebody who may do something with the records of a patient: a person, or everybody of a role or an
/// organisation.
#[Object]
impl AccessHolder {
    /// Which of the three it is.
    async fn kind(&self) -> GranteeKind {
        Grantee::kind_of(&self.holder.grantee)
    }

    /// The person, for the kind USER; null otherwise.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match self.holder.grantee {
            consents::Grantee::User { id } => Ok(Some(User::load(ctx, id).await?)),
            consents::Grantee::Role { .. } | consents::Grantee::Org { .. } => Ok(None),
        }
    }

    /// The role, for the kind ROLE; null otherwise.
    async fn role(&self) -> Option<Role> {
        match self.holder.grantee {
            consents::Grantee::Role { role } => Some(role.into()),
            consents::Grantee::User { .. } | consents::Grantee::Org { .. } => None,
        }
    }

    /// The ID of the organisation, for the kind ORGANIZATION; null otherwise.
    async fn organization_id(&self) -> Option<Uuid> {
        match self.holder.grantee {
            consents::Grantee::Org { id, .. } => Some(id.0),
            consents::Grantee::User { .. } | consents::Grantee::Role { .. } => None,
        }
    }

    /// The organisation, for the kind ORGANIZATION; null otherwise, and where it is not there or was changed outside the
    /// service.
    async fn organization(&self, ctx: &Context<'_>) -> Result<Option<Organization>> {
        match self.holder.grantee {
            consents::Grantee::Org { id, .. } => Ok(Organization::load(ctx, id).await?),
            consents::Grantee::User { .. } | consents::Grantee::Role { .. } => Ok(None),
        }
    }

    /// How many people that is now: 1 for a person, the active doctors for the role DOCTOR (counted up to 10,000), the active doctors
    /// who belong to it now for an organisation. Those whom a consent refuses something (`exceptions`) are counted, and the patient
    /// is not.
    async fn people(&self) -> i32 {
        i32::try_from(self.holder.people).unwrap_or(i32::MAX)
    }

    /// The end of the emergency access that the person has, exclusive: a doctor who broke the glass may find and read
    /// what no consent refuses them; null where there is none. See `myBreakGlassWindows`.
    async fn emergency_until(&self) -> Option<Time> {
        self.holder.emergency_until.map(Time)
    }

    /// What the person may do as a representative of the patient; empty where they are none. See `myRepresentatives`.
    async fn represented_activities(&self) -> Vec<RepresentedActivity> {
        let represents = self.holder.represents.iter();
        represents
            .flat_map(|it| it.activities.iter().map(Into::into))
            .collect()
    }

    /// The time until which the person represents the patient, exclusive; null where they do not.
    async fn represents_until(&self) -> Option<Time> {
        self.holder.represents.map(|it| Time(it.until))
    }

    /// What they may do by consents. What they may do by several consents is told once, by the consent that decides.
    async fn accesses(&self) -> Vec<Access> {
        let accesses = self.holder.accesses.iter();
        accesses
            .map(|held| Access {
                held: held.clone(),
                stored: Arc::clone(&self.stored),
            })
            .collect()
    }
}

/// Activities that are permitted with the same records, for the same purpose, by the same consent.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    held: HeldAccess,
    stored: KnownConsents,
}

/// Activities that are permitted with the same records, for the same purpose, by the same consent.
#[Object]
impl Access {
    /// The purpose of use. What a consent to TREAT permits for COC and POPHLTH, to which it extends, is listed by
    /// itself.
    async fn purpose(&self) -> PurposeOfUse {
        self.held.access.purpose.into()
    }

    /// What may be done with the records.
    async fn processing_activities(&self) -> Vec<ProcessingActivity> {
        activities_of(&self.held.access)
    }

    /// The types of records it may be done with.
    async fn record_types(&self) -> Vec<RecordType> {
        types_of(&self.held.access)
    }

    /// How many records of these types there are now, each counted once, whatever its versions. Those that are
    /// restricted are not counted.
    async fn records(&self) -> i32 {
        i32::try_from(self.held.records).unwrap_or(i32::MAX)
    }

    /// The consent that decides; null for the consent of a preview, which is not stored.
    async fn consent(&self) -> Option<&Consent> {
        self.stored.get(&self.held.access.consent)
    }

    /// The time at which the access ends, exclusive, if no consent is given or withdrawn before; null where it has
    /// no end. Where another consent permits the same when this one ends, it is the end of the last of these consents.
    async fn until(&self) -> Option<Time> {
        self.held.access.until.map(Time)
    }

    /// Of a role or an organisation: people of it whom a consent refuses some of this, by name or as members of an
    /// organisation, at most 100.
    async fn exceptions(&self, ctx: &Context<'_>) -> Result<Vec<User>> {
        let mut people = Vec::with_capacity(self.held.exceptions.len());
        for id in &self.held.exceptions {
            people.push(User::load(ctx, *id).await?);
        }
        Ok(people)
    }
}

fn activities_of(access: &Permitted) -> Vec<ProcessingActivity> {
    let actions = access.actions.iter();
    actions.map(|action| action.activity().into()).collect()
}

fn types_of(access: &Permitted) -> Vec<RecordType> {
    let types = access.record_types.iter();
    types.map(|of| (*of).into()).collect()
}

/// Whoever is named by these, to be fetched in one statement.
async fn prepare(ctx: &Context<'_>, holders: &[Holder], stored: &KnownConsents) -> Result<()> {
    let mut people: Vec<UserId> = Vec::new();
    for holder in holders {
        if let consents::Grantee::User { id } = holder.grantee {
            people.push(id);
        }
        for held in &holder.accesses {
            people.extend(&held.exceptions);
            let consent = stored.get(&held.access.consent);
            people.extend(consent.iter().flat_map(|consent| consent.people()));
        }
    }
    loaders(ctx)?.prepare_users(people).await;
    Ok(())
}

/// A consent to give, or one to withdraw.
#[derive(Debug, OneofObject)]
pub(crate) enum PreviewConsentInput {
    /// The terms of a consent, as `grantConsent` takes them.
    Grant(GrantConsentInput),
    /// The consent that would be withdrawn, as `withdrawConsent` takes it.
    Withdraw(WithdrawPreviewInput),
}

/// The consent that would be withdrawn.
#[derive(Debug, InputObject)]
pub(crate) struct WithdrawPreviewInput {
    /// The ID of one of the caller's consents.
    id: Uuid,
}

/// What would change if a consent were given, or withdrawn, now.
#[derive(Debug, SimpleObject)]
pub(crate) struct ConsentPreview {
    /// The consent that would be withdrawn, or the one in force that says exactly the same as the terms, so that
    /// nothing would change; null for a consent that would be new.
    consent: Option<Consent>,
    /// Who would gain access, and what they could do that they cannot do now; at most 100 of them. A role stands for
    /// everybody who has it; people whom consents name are also listed one by one.
    gaining: Vec<AccessHolder>,
    /// Who would lose access, and what they could no longer do; at most 100 of them.
    losing: Vec<AccessHolder>,
    /// How many people, roles and organisations would gain access.
    gaining_count: i32,
    /// How many people, roles and organisations would lose access.
    losing_count: i32,
    /// How many people would gain access, each counted once: those who are named, and those who stand behind roles and
    /// organisations (`AccessHolder.people`), also where they have it by another consent.
    gaining_people: i32,
    /// How many people would lose access, counted in the same way.
    losing_people: i32,
}

/// What happened to a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum ConsentEventKind {
    /// The consent was given.
    Given,
    /// The consent was withdrawn.
    Withdrawn,
    /// It ended by itself, at the time that it was given until.
    Expired,
}

/// Something that happened to a consent of the caller.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct ConsentEvent {
    /// What happened to the consent.
    kind: ConsentEventKind,
    /// The time at which it happened.
    at: Time,
    /// The consent, as it is now.
    consent: Consent,
}

impl Node for ConsentEvent {
    const EDGE: &'static str = "ConsentEventEdge";
    const CONNECTION: &'static str = "ConsentEventConnection";
}

/// A consent that lets the caller in, without whom else it names.
#[derive(Debug, Clone)]
pub(crate) struct GivenConsent(Arc<consents::Consent>);

impl Node for GivenConsent {
    const EDGE: &'static str = "GivenConsentEdge";
    const CONNECTION: &'static str = "GivenConsentConnection";
}

/// A consent that lets the caller in, without whom else it names.
#[Object]
impl GivenConsent {
    /// The ID of the consent, as the patient's access log names it.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The patient who gave the consent.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.patient).await?)
    }

    /// The purpose of use that the consent is given for.
    async fn purpose(&self) -> PurposeOfUse {
        self.0.purpose.into()
    }

    /// The categories of records that the consent is about. A refusal may take some of them away: see `patients`.
    async fn data_categories(&self) -> Vec<DataCategory> {
        let categories = self.0.categories.iter();
        categories.map(|category| (*category).into()).collect()
    }

    /// What the consent permits.
    async fn processing_activities(&self) -> Vec<ProcessingActivity> {
        let activities = self.0.activities.iter();
        activities.map(|activity| (*activity).into()).collect()
    }

    /// The time at which the consent was given.
    async fn given_at(&self) -> Time {
        Time(self.0.given_at)
    }

    /// The time at which the consent ends, exclusive; null where it has no end.
    async fn expires_at(&self) -> Option<Time> {
        self.0.expires_at.map(Time)
    }
}

/// A patient who lets the caller in, or to whose records the caller has emergency access.
#[derive(Debug, Clone)]
pub(crate) struct LettingPatient(Arc<LettingIn>);

impl Node for LettingPatient {
    const EDGE: &'static str = "LettingPatientEdge";
    const CONNECTION: &'static str = "LettingPatientConnection";
}

/// A patient who lets the caller in, or to whose records the caller has emergency access.
#[Object]
impl LettingPatient {
    /// The patient whose records the caller may find or read.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.patient).await?)
    }

    /// How many records `medicalRecords(patientId:)` finds of this patient for the same purpose.
    async fn records(&self) -> i32 {
        i32::try_from(self.0.records).unwrap_or(i32::MAX)
    }

    /// The end of the caller's emergency access to the patient's records for the purpose, exclusive: until then they
    /// may find and read what no consent refuses them; null where there is none.
    async fn emergency_until(&self) -> Option<Time> {
        self.0.emergency_until.map(Time)
    }

    /// What the patient permits the caller for the purpose.
    async fn permissions(&self) -> Vec<PatientPermission> {
        let accesses = self.0.accesses.iter();
        accesses
            .map(|access| PatientPermission {
                processing_activities: activities_of(access),
                record_types: types_of(access),
                consent_id: access.consent.0,
                until: access.until.map(Time),
            })
            .collect()
    }
}

/// Activities that a patient permits with the same records by the same consent.
#[derive(Debug, SimpleObject)]
pub(crate) struct PatientPermission {
    /// What may be done with the records.
    processing_activities: Vec<ProcessingActivity>,
    /// The types of records it may be done with.
    record_types: Vec<RecordType>,
    /// The ID of the consent that decides.
    consent_id: Uuid,
    /// The time at which the permission ends, exclusive, if no consent is given or withdrawn before; null where it has
    /// no end.
    until: Option<Time>,
}

#[derive(Default)]
pub(crate) struct AccessQuery;

#[Object]
impl AccessQuery {
    /// Who may do what with the caller's records now, for which purpose, by which consent and until when: roles,
    /// people and organisations that the caller's consents name, as every access is decided, doctors who have
    /// emergency access, and representatives. The caller is not
    /// listed. Reading it is recorded in the audit trail. A page may hold fewer nodes than `first`, or none,
    /// while `hasNextPage` is true: go on with `endCursor`. The list is read forward alone, because each candidate is decided
    /// on, and a page ends after a limited number of candidates.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `onBehalfOf`), `NOT_FOUND` where the caller may not act for this
    /// patient.
    async fn who_has_access(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Connection<AccessHolder>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let cursors = ListCursors::of(
            &app.index_key,
            "whoHasAccess",
            caller.subject(),
            &Value::Null,
        );
        let (size, from) = page::place::<Uuid>(&cursors, first, after.as_ref())?;
        let found = who_has_access(&app.pool, &app.seals, &caller, from, size).await?;
        let stored = stored(app.clock.now(), found.consents);
        prepare(ctx, &found.items, &stored).await?;
        let end = found.end.map(|end| cursors.at(&end));
        let holders = holders(found.items, &stored);
        let cursor = |it: &AccessHolder| cursors.at(&key_of(&it.holder.grantee));
        let page = Connection::whole(holders, found.has_next, after.is_some(), cursor);
        Ok(page.looked_up_to(end))
    }

    /// What giving or withdrawing a consent would change: who would gain or lose which access, to how many records.
    /// It is judged like `grantConsent` or `withdrawConsent`, with the same errors, and changes nothing. Reading
    /// it is recorded in the audit trail.
    ///
    /// Error codes: those of `grantConsent`, or of `withdrawConsent`.
    async fn preview_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The consent to give, or the one to withdraw.")]
        input: PreviewConsentInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<ConsentPreview> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let change = match input {
            PreviewConsentInput::Grant(input) => {
                let (terms, key) = input.terms();
                ConsentChange::Grant(terms, key)
            }
            PreviewConsentInput::Withdraw(input) => ConsentChange::Withdrawal(ConsentId(input.id)),
        };
        let Preview {
            consent,
            gaining,
            losing,
            stored: known,
        } = preview::preview(&app.pool, &app.seals, &caller, change).await?;
        let now = app.clock.now();
        let stored = stored(now, known);
        prepare(ctx, &gaining.named, &stored).await?;
        prepare(ctx, &losing.named, &stored).await?;
        Ok(ConsentPreview {
            consent: consent.map(|consent| Consent::new(now, consent)),
            gaining_count: i32::try_from(gaining.count).unwrap_or(i32::MAX),
            losing_count: i32::try_from(losing.count).unwrap_or(i32::MAX),
            gaining_people: i32::try_from(gaining.people).unwrap_or(i32::MAX),
            losing_people: i32::try_from(losing.people).unwrap_or(i32::MAX),
            gaining: holders(gaining.named, &stored),
            losing: holders(losing.named, &stored),
        })
    }

    /// What happened to the caller's consents, newest first: each was given, and may have been withdrawn or have
    /// expired. Reading it is recorded in the audit trail. The list is read forward alone, because its statement reads from
    /// the newest event.
    async fn consent_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<Connection<ConsentEvent>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "consentHistory", caller.user, &Value::Null);
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let from = from.map(|(at, id)| (at, ConsentId(id)));
        let found = history::events(&app.pool, &app.seals, &caller, from, size).await?;
        let people = found
            .iter()
            .flat_map(|(_, (consent, _))| Consent::people_of(consent));
        loaders(ctx)?.prepare_users(people.collect()).await;
        let now = app.clock.now();
        let events = found
            .into_iter()
            .map(|(event, listed)| ConsentEvent::of(event, now, listed));
        let cursor = |it: &ConsentEvent| cursors.at(&(it.at.0, it.consent.key()));
        Ok(Connection::new(
            events.collect(),
            size,
            after.is_some(),
            cursor,
        ))
    }

    /// The consents in force by which the caller may do something, newest first. Whom else they name is not shown. Needs
    /// the role DOCTOR (`FORBIDDEN` otherwise). Each that is shown is recorded in the audit trail, for its patient.
    /// A page may hold fewer nodes than `first`, or none, while `hasNextPage` is true: go on with `endCursor`.
    /// The list is read forward alone, because each candidate is decided on, and a page ends after a limited number of
    /// candidates.
    async fn consents_given_to_me(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<Connection<GivenConsent>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(
            &app.index_key,
            "consentsGivenToMe",
            caller.user,
            &Value::Null,
        );
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let from = from.map(|(at, id)| (at, ConsentId(id)));
        let looked = given::given_to(&app.pool, &caller, from, size).await?;
        let patients = looked.found.iter().map(|consent| consent.patient).collect();
        loaders(ctx)?.prepare_users(patients).await;
        let found = looked.found.into_iter();
        let found = found
            .map(|consent| GivenConsent(Arc::new(consent)))
            .collect();
        let cursor = |it: &GivenConsent| cursors.at(&(it.0.given_at, it.0.id.0));
        let page = Connection::whole(found, looked.has_next, after.is_some(), cursor);
        Ok(page.looked_up_to(looked.end.map(|(at, id)| cursors.at(&(at, id.0)))))
    }

    /// The patients who let the caller do something with their records now, and for BTG and ETREAT those to whose records
    /// the caller has emergency access, in the order of their IDs. Needs the
    /// role DOCTOR (`FORBIDDEN` otherwise). Each that is shown is recorded in the audit trail, for the patient.
    /// A page may hold fewer nodes than `first`, or none, while `hasNextPage` is true: go on with `endCursor`.
    /// The list is read forward alone, because each candidate is decided on, and a page ends after a limited number of
    /// candidates.
    async fn patients(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The purpose of use that is decided for; by default the header `X-Purpose-Of-Use`, else TREAT."
        )]
        purpose: Option<PurposeOfUse>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<Connection<LettingPatient>> {
        let (app, caller) = request(ctx)?;
        let purpose = purpose.map(domain::purpose::Purpose::from);
        let arguments = json!([purpose, caller.purpose]);
        let cursors = ListCursors::of(&app.index_key, "patients", caller.user, &arguments);
        let (size, from) = page::place::<Uuid>(&cursors, first, after.as_ref())?;
        let from = from.map(UserId);
        let looked = patients::letting_in(&app.pool, &caller, purpose, from, size).await?;
        let people = looked.found.iter().map(|it| it.patient).collect();
        loaders(ctx)?.prepare_users(people).await;
        let found = looked.found.into_iter();
        let found = found.map(|it| LettingPatient(Arc::new(it))).collect();
        let cursor = |it: &LettingPatient| cursors.at(&it.0.patient.0);
        let page = Connection::whole(found, looked.has_next, after.is_some(), cursor);
        Ok(page.looked_up_to(looked.end.map(|id| cursors.at(&id.0))))
    }
}

impl ConsentEvent {
    fn of(event: Event, now: DateTime<Utc>, listed: (consents::Consent, bool)) -> Self {
        Self {
            kind: match event.kind {
                EventKind::Given => ConsentEventKind::Given,
                EventKind::Withdrawn => ConsentEventKind::Withdrawn,
                EventKind::Expired => ConsentEventKind::Expired,
            },
            at: Time(event.at),
            consent: Consent::listed(now, listed),
        }
    }
}

fn stored(now: DateTime<Utc>, consents: Vec<consents::Consent>) -> KnownConsents {
    let consents = consents.into_iter();
    Arc::new(consents.map(|it| (it.id, Consent::new(now, it))).collect())
}

fn holders(holders: Vec<Holder>, stored: &KnownConsents) -> Vec<AccessHolder> {
    let holders = holders.into_iter();
    holders
        .map(|holder| AccessHolder {
            holder: Arc::new(holder),
            stored: Arc::clone(stored),
        })
        .collect()
}
