//! Representatives in the schema.

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    ids::{RepresentationId, RepresentativeProposalId, UserId},
    representatives,
};
use serde_json::Value;
use store::representatives::RepresentationPageKey;
use uuid::Uuid;

use super::{
    RepresentativeTerms, administrators, appoint, end,
    list::{self, ListedRepresentation},
};
use crate::{
    cursor::{Cursor, ListCursors},
    graphql::{enums::RepresentedActivity, loaders, payload::Payload, request, scalars::Time},
    page::{Connection, Node, PageArguments, PageRange},
    users::graphql::User,
};

/// What a representative is to the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::representatives::Relationship")]
pub(crate) enum Relationship {
    /// A parent of the patient.
    Parent,
    /// The guardian of the patient.
    Guardian,
    /// Somebody who cares for the patient.
    Carer,
}

/// That somebody acts for a patient, in some activities and for a time.
#[derive(Debug, Clone)]
pub(crate) struct Representative {
    listed: ListedRepresentation,
    now: DateTime<Utc>,
}

impl Node for Representative {
    const EDGE: &'static str = "RepresentativeEdge";
    const CONNECTION: &'static str = "RepresentativeConnection";
}

impl Representative {
    fn people(&self) -> [UserId; 2] {
        [self.listed.made.patient, self.listed.made.representative]
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.listed.made.appointed_at, self.listed.made.id.0)
    }
}

/// That somebody acts for a patient, in some activities and for a time.
#[Object]
impl Representative {
    /// The ID of the representation, to end it by `endRepresentation`.
    async fn id(&self) -> Uuid {
        self.listed.made.id.0
    }

    /// The patient for whom the representative acts.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.listed.made.patient).await?)
    }

    /// The person who acts for the patient.
    async fn representative(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.listed.made.representative).await?)
    }

    /// What the representative is to the patient.
    async fn relationship(&self) -> Relationship {
        self.listed.made.relationship.into()
    }

    /// What the representative may do for the patient.
    async fn activities(&self) -> Vec<RepresentedActivity> {
        self.listed.made.activities.iter().map(Into::into).collect()
    }

    /// The time from which on the representative may act.
    async fn valid_from(&self) -> Time {
        Time(self.listed.made.from)
    }

    /// The time until which the representative may act, exclusive, unless it is ended before.
    async fn valid_until(&self) -> Time {
        Time(self.listed.made.until)
    }

    /// The time at which the representative was named.
    async fn appointed_at(&self) -> Time {
        Time(self.listed.made.appointed_at)
    }

    /// Whether two administrators named the representative, and not the patient.
    async fn is_by_administrators(&self) -> bool {
        self.listed.made.appointment.is_some()
    }

    /// Why administrators named the representative; null where the patient did.
    async fn reason(&self) -> Option<&str> {
        self.listed.reason.as_deref()
    }

    /// The time at which it was ended before its time; null where it was not.
    async fn ended_at(&self) -> Option<Time> {
        self.listed.made.ended_at.map(Time)
    }

    /// Whether the representative may act now: while both accounts are active. By one that was changed outside the service
    /// nobody may: a finding `ROW_TAMPERED` tells of it.
    async fn is_in_force(&self) -> bool {
        // Made a moment ago by the database's clock, which may be ahead of this one.
        let made = &self.listed.made;
        self.listed.counts && made.is_in_force(self.now.max(made.appointed_at))
    }
}

/// A representative whom one administrator proposed, and another is to approve.
#[derive(Debug, Clone)]
pub(crate) struct RepresentativeProposal(representatives::RepresentativeProposal);

impl Node for RepresentativeProposal {
    const EDGE: &'static str = "RepresentativeProposalEdge";
    const CONNECTION: &'static str = "RepresentativeProposalConnection";
}

impl RepresentativeProposal {
    fn people(&self) -> [UserId; 3] {
        [self.0.patient, self.0.representative, self.0.proposed_by]
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.proposed_at, self.0.id.0)
    }
}

/// A representative whom one administrator proposed, and another is to approve.
#[Object]
impl RepresentativeProposal {
    /// The ID of the proposal, to approve or reject it by.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The patient for whom somebody is to act.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load_masked(ctx, self.0.patient).await?)
    }

    /// The person who is to act for the patient.
    async fn representative(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load_masked(ctx, self.0.representative).await?)
    }

    /// What the representative is to the patient.
    async fn relationship(&self) -> Relationship {
        self.0.relationship.into()
    }

    /// What the representative is to do for the patient.
    async fn activities(&self) -> Vec<RepresentedActivity> {
        self.0.activities.iter().map(Into::into).collect()
    }

    /// The time from which on the representative is to act; null for the time of the approval.
    async fn valid_from(&self) -> Option<Time> {
        self.0.from.map(Time)
    }

    /// The time until which the representative is to act, exclusive.
    async fn valid_until(&self) -> Time {
        Time(self.0.until)
    }

    /// Why somebody is to act for the patient.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The administrator who proposed it, and cannot approve it.
    async fn proposed_by(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load_masked(ctx, self.0.proposed_by).await?)
    }

    /// The time at which it was proposed.
    async fn proposed_at(&self) -> Time {
        Time(self.0.proposed_at)
    }

    /// The time until which it can be approved, exclusive.
    async fn approve_before(&self) -> Time {
        Time(self.0.expires_at)
    }
}

#[derive(Default)]
pub(crate) struct RepresentativeQuery;

#[Object]
impl RepresentativeQuery {
    /// The caller's representatives, over or not, newest first. Reading them is recorded in the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`).
    async fn my_representatives(
        &self,
        ctx: &Context<'_>,
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
    ) -> Result<Connection<Representative>> {
        let (app, caller) = request(ctx)?;
        let field = "myRepresentatives";
        let cursors = ListCursors::of(&app.index_key, field, caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = list::mine(&app.pool, &caller, range).await?;
        connection(ctx, found, &cursors, &range).await
    }

    /// The representations by which the caller acts for others, over or not, newest first. Reading them is recorded in
    /// the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`).
    async fn people_i_represent(
        &self,
        ctx: &Context<'_>,
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
    ) -> Result<Connection<Representative>> {
        let (app, caller) = request(ctx)?;
        let field = "peopleIRepresent";
        let cursors = ListCursors::of(&app.index_key, field, caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = list::of_others(&app.pool, &caller, range).await?;
        connection(ctx, found, &cursors, &range).await
    }

    /// The representatives who wait for a second administrator, newest first. Needs the role ADMIN (`FORBIDDEN`
    /// otherwise). Reading them is recorded in the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`).
    async fn representative_proposals(
        &self,
        ctx: &Context<'_>,
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
    ) -> Result<Connection<RepresentativeProposal>> {
        let (app, caller) = request(ctx)?;
        let field = "representativeProposals";
        let cursors = ListCursors::of(&app.index_key, field, caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = list::proposals(&app.pool, &caller, range).await?;
        let found: Vec<_> = found.into_iter().map(RepresentativeProposal).collect();
        let people = found.iter().flat_map(RepresentativeProposal::people);
        loaders(ctx)?.prepare_users(people.collect()).await;
        let cursor = |it: &RepresentativeProposal| cursors.at(&it.page_key());
        Ok(Connection::of_range(found, &range, cursor))
    }
}

async fn connection(
    ctx: &Context<'_>,
    found: Vec<ListedRepresentation>,
    cursors: &ListCursors,
    range: &PageRange<RepresentationPageKey>,
) -> Result<Connection<Representative>> {
    let now = crate::graphql::app(ctx)?.clock.now();
    let found = found.into_iter();
    let found: Vec<_> = found.map(|listed| Representative { listed, now }).collect();
    let people = found.iter().flat_map(Representative::people).collect();
    loaders(ctx)?.prepare_users(people).await;
    let cursor = |it: &Representative| cursors.at(&it.page_key());
    Ok(Connection::of_range(found, range, cursor))
}

/// Who is to act for the caller, in what, and for how long.
#[derive(Debug, InputObject)]
pub(crate) struct AppointRepresentativeInput {
    /// The ID of the account of the person who is to act, which they tell you.
    representative_id: Uuid,
    /// What that person is to the patient.
    relationship: Relationship,
    /// What that person may do for the patient; at least one.
    activities: Vec<RepresentedActivity>,
    /// The time from which on that person may act; null for now.
    valid_from: Option<DateTime<Utc>>,
    /// The time until which that person may act, exclusive: in the future, and at most 18 years from now.
    valid_until: DateTime<Utc>,
}

/// Who is to act for a patient, in what, for how long, and why.
#[derive(Debug, InputObject)]
pub(crate) struct ProposeRepresentativeInput {
    /// The ID of the account of the patient, who must have the role PATIENT.
    patient_id: Uuid,
    /// The ID of the account of the person who is to act.
    representative_id: Uuid,
    /// What that person is to the patient.
    relationship: Relationship,
    /// What that person may do for the patient; at least one.
    activities: Vec<RepresentedActivity>,
    /// The time from which on that person may act; null for the time of the approval.
    valid_from: Option<DateTime<Utc>>,
    /// The time until which that person may act, exclusive, such as the patient's coming of age: at most 18 years from
    /// now.
    valid_until: DateTime<Utc>,
    /// Why, 20 to 1000 characters, and nothing of the patient's health. The patient, the representative and
    /// administrators read it.
    reason: String,
}

/// The representation that is to be ended.
#[derive(Debug, InputObject)]
pub(crate) struct EndRepresentationInput {
    /// The ID of the representation.
    id: Uuid,
}

/// The proposal that is approved or rejected.
#[derive(Debug, InputObject)]
pub(crate) struct RepresentativeProposalInput {
    /// The ID of a proposal that waits.
    id: Uuid,
}

/// A representation as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct RepresentativePayload {
    /// Who acts for whom, in what and for how long: see `isInForce`.
    representative: Representative,
}

/// The result of `proposeRepresentative` and `rejectRepresentative`: the proposal.
#[derive(Debug, SimpleObject)]
pub(crate) struct RepresentativeProposalPayload {
    /// The proposal, which waits for a second administrator, or was rejected.
    proposal: RepresentativeProposal,
}

fn activities(named: Vec<RepresentedActivity>) -> Vec<representatives::RepresentedActivity> {
    named.into_iter().map(Into::into).collect()
}

#[derive(Default)]
pub(crate) struct RepresentativeMutation;

#[Object]
impl RepresentativeMutation {
    /// Names somebody who acts for the caller: in the activities that are listed, from the next request on, with the
    /// argument `onBehalfOf`. They are told. What they do is recorded with both names. Nobody is named for what is the
    /// account's own: password, wallet, second factor, sessions, erasure, other representatives. Open to patients and
    /// doctors, not to administrators. The same again answers what was named before.
    ///
    /// Error codes: `FORBIDDEN` for administrators, `BAD_USER_INPUT` (`representativeId`: no active account of a patient
    /// or doctor other than one's own; `activities`: none, or to change consents and not to read them; `validFrom`,
    /// `validUntil`), `LIMIT_REACHED` (10 representatives).
    async fn appoint_representative(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to act, in what, and for how long.")]
        input: AppointRepresentativeInput,
    ) -> Result<Payload<RepresentativePayload>> {
        let (app, caller) = request(ctx)?;
        let terms = RepresentativeTerms {
            representative: UserId(input.representative_id),
            relationship: input.relationship.into(),
            activities: activities(input.activities),
            from: input.valid_from,
            until: input.valid_until,
        };
        let listed = appoint::appoint(&app.pool, &caller, &terms).await?;
        let now = app.clock.now();
        Ok(Payload(RepresentativePayload {
            representative: Representative { listed, now },
        }))
    }

    /// Ends a representation, with effect from the next request on: as its patient, as its representative, or, where
    /// administrators made it, as an administrator. Whoever of patient and representative did not do it is told. Ending
    /// one that is over changes nothing.
    ///
    /// Error codes: `NOT_FOUND` where the caller may not end it.
    async fn end_representation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The representation that is to be ended.")] input: EndRepresentationInput,
    ) -> Result<Payload<RepresentativePayload>> {
        let (app, caller) = request(ctx)?;
        let listed = end::end(&app.pool, &caller, RepresentationId(input.id)).await?;
        let now = app.clock.now();
        Ok(Payload(RepresentativePayload {
            representative: Representative { listed, now },
        }))
    }

    /// Proposes a representative for a patient who cannot name one, such as a minor. It waits seven days for another
    /// administrator (`approveRepresentative`). Needs the role ADMIN; nobody proposes one for themselves, or themselves.
    ///
    /// Error codes: `FORBIDDEN` for all but administrators, `BAD_USER_INPUT` (`patientId`, `representativeId`,
    /// `activities`, `validFrom`, `validUntil`, `reason`), `LIMIT_REACHED` (50 proposals of the caller wait).
    async fn propose_representative(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to act for whom, in what, for how long, and why.")]
        input: ProposeRepresentativeInput,
    ) -> Result<Payload<RepresentativeProposalPayload>> {
        let (app, caller) = request(ctx)?;
        let terms = RepresentativeTerms {
            representative: UserId(input.representative_id),
            relationship: input.relationship.into(),
            activities: activities(input.activities),
            from: input.valid_from,
            until: input.valid_until,
        };
        let patient = UserId(input.patient_id);
        let reason = &input.reason;
        let made = administrators::propose(&app.pool, &caller, patient, &terms, reason).await?;
        Ok(Payload(RepresentativeProposalPayload {
            proposal: RepresentativeProposal(made),
        }))
    }

    /// Approves a representative whom another administrator proposed. Patient and representative are told. Needs the role
    /// ADMIN.
    ///
    /// Error codes: `FORBIDDEN` for all but administrators, `NOT_FOUND` where no such proposal waits, `CONFLICT` (`id`: the
    /// caller proposed it or is concerned, or an account or the time has changed), `LIMIT_REACHED` (the patient has 10
    /// representatives).
    async fn approve_representative(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proposal that is approved.")] input: RepresentativeProposalInput,
    ) -> Result<Payload<RepresentativePayload>> {
        let (app, caller) = request(ctx)?;
        let id = RepresentativeProposalId(input.id);
        let listed = administrators::approve(&app.pool, &caller, id).await?;
        let now = app.clock.now();
        Ok(Payload(RepresentativePayload {
            representative: Representative { listed, now },
        }))
    }

    /// Rejects a proposed representative, or takes the caller's own proposal back. Needs the role ADMIN.
    ///
    /// Error codes: `FORBIDDEN` for all but administrators, `NOT_FOUND` where no such proposal waits.
    async fn reject_representative(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proposal that is rejected.")] input: RepresentativeProposalInput,
    ) -> Result<Payload<RepresentativeProposalPayload>> {
        let (app, caller) = request(ctx)?;
        let id = RepresentativeProposalId(input.id);
        let closed = administrators::reject(&app.pool, &caller, id).await?;
        Ok(Payload(RepresentativeProposalPayload {
            proposal: RepresentativeProposal(closed),
        }))
    }
}
