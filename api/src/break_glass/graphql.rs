//! Emergency access in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{break_glass, ids::BreakGlassWindowId, ids::UserId, purpose::Purpose};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    close,
    list::{self, JudgedWindow},
    open::{self, Opening},
    review,
    words::ShownWindow,
};
use crate::{
    cursor::{Cursor, ListCursors},
    graphql::{enums::PurposeOfUse, loaders, payload::Payload, request, scalars::Time},
    page::{Connection, Node, PageArguments},
    users::graphql::User,
};

/// What a reviewer decides about emergency access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::break_glass::ReviewDecision")]
pub(crate) enum BreakGlassDecision {
    /// The emergency was one: the access was right.
    Justified,
    /// There was no emergency: the access was wrong.
    Unjustified,
}

/// How far the review of emergency access has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::break_glass::ReviewStatus")]
pub(crate) enum BreakGlassReviewStatus {
    /// No administrator has reviewed the window.
    Pending,
    /// No administrator has reviewed the window within 72 hours of its opening: all of them were told.
    Escalated,
    /// An administrator has reviewed the window, which is final.
    Reviewed,
}

/// A window of emergency access: for some hours a doctor may find and read a patient's records without a consent, for
/// the purpose that it was opened for. What the patient refuses for this purpose stays refused.
#[derive(Debug, Clone)]
pub(crate) struct BreakGlassWindow {
    shown: Arc<ShownWindow>,
    is_of_administrators: bool,
}

impl Node for BreakGlassWindow {
    const EDGE: &'static str = "BreakGlassWindowEdge";
    const CONNECTION: &'static str = "BreakGlassWindowConnection";
}

impl BreakGlassWindow {
    fn own(shown: ShownWindow) -> Self {
        Self {
            shown: Arc::new(shown),
            is_of_administrators: false,
        }
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.shown.window.opened_at, self.shown.window.id.0)
    }

    fn people(&self) -> impl Iterator<Item = UserId> {
        let reviewer = self.shown.review.as_ref().map(|review| review.by);
        let window = &self.shown.window;
        [window.doctor, window.patient].into_iter().chain(reviewer)
    }

    async fn account(&self, ctx: &Context<'_>, id: UserId) -> Result<User> {
        if self.is_of_administrators {
            Ok(User::load_masked(ctx, id).await?)
        } else {
            Ok(User::load(ctx, id).await?)
        }
    }
}

/// A window of emergency access: for some hours a doctor may find and read a patient's records without a consent, for
/// the purpose that it was opened for. What the patient refuses for this purpose stays refused.
#[Object]
impl BreakGlassWindow {
    /// The ID of the window.
    async fn id(&self) -> Uuid {
        self.shown.window.id.0
    }

    /// The doctor who opened the window.
    async fn doctor(&self, ctx: &Context<'_>) -> Result<User> {
        self.account(ctx, self.shown.window.doctor).await
    }

    /// The patient on whose records it is.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        self.account(ctx, self.shown.window.patient).await
    }

    /// The purpose of use that the window counts for: BTG or ETREAT.
    async fn purpose(&self) -> PurposeOfUse {
        self.shown.window.purpose.into()
    }

    /// Why the doctor opened the window, in their words. Shown to the doctor, the patient and administrators; null where
    /// the patient's data was erased.
    async fn reason(&self) -> Option<&str> {
        self.shown.reason.as_deref()
    }

    /// The time at which the window was opened.
    async fn opened_at(&self) -> Time {
        Time(self.shown.window.opened_at)
    }

    /// The time at which the window ends by itself, exclusive.
    async fn expires_at(&self) -> Time {
        Time(self.shown.window.expires_at)
    }

    /// The time at which the doctor closed the window, or the account of one of the two was erased; null otherwise.
    async fn closed_at(&self) -> Option<Time> {
        self.shown.window.closed_at.map(Time)
    }

    /// Whether the window is open now, so that the doctor may find and read records by it.
    async fn is_open(&self) -> bool {
        self.shown.is_open
    }

    /// How far the review of the window has come.
    async fn review_status(&self) -> BreakGlassReviewStatus {
        self.shown.status().into()
    }

    /// The time at which every administrator was told that nobody had reviewed the window; null where nobody had to be.
    async fn escalated_at(&self) -> Option<Time> {
        self.shown.escalated_at.map(Time)
    }

    /// The time at which the window was reviewed; null while it was not.
    async fn reviewed_at(&self) -> Option<Time> {
        self.shown.review.as_ref().map(|review| Time(review.at))
    }

    /// The administrator who reviewed the window; null while nobody has.
    async fn reviewed_by(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.shown.review {
            Some(review) => Ok(Some(self.account(ctx, review.by).await?)),
            None => Ok(None),
        }
    }

    /// What the review came to; null while there was none.
    async fn decision(&self) -> Option<BreakGlassDecision> {
        let review = self.shown.review.as_ref()?;
        Some(review.decision.into())
    }

    /// What the reviewer noted; null where they noted nothing, and where the patient's data was erased.
    async fn note(&self) -> Option<&str> {
        self.shown.review.as_ref()?.note.as_deref()
    }
}

/// A window of emergency access in the queue of reviews, and what was disclosed by it.
#[derive(Debug, Clone)]
pub(crate) struct BreakGlassReview {
    window: BreakGlassWindow,
    judged: JudgedWindow,
}

impl Node for BreakGlassReview {
    const EDGE: &'static str = "BreakGlassReviewEdge";
    const CONNECTION: &'static str = "BreakGlassReviewConnection";
}

impl BreakGlassReview {
    fn of(judged: JudgedWindow) -> Self {
        let window = BreakGlassWindow {
            shown: Arc::new(judged.window.clone()),
            is_of_administrators: true,
        };
        Self { window, judged }
    }
}

/// A window of emergency access in the queue of reviews, and what was disclosed by it.
#[Object]
impl BreakGlassReview {
    /// The window with its reason and, if there was one, its review.
    async fn window(&self) -> &BreakGlassWindow {
        &self.window
    }

    /// Whether the window is as the service wrote it; one that is not opens nothing, and cannot be reviewed.
    async fn is_as_sealed(&self) -> bool {
        self.judged.window.is_as_sealed
    }

    /// How many requests of the doctor were answered by the window until now.
    async fn disclosures(&self) -> i32 {
        i32::try_from(self.judged.disclosed.requests).unwrap_or(i32::MAX)
    }

    /// How many records were opened, or shown in a list, by the window until now.
    async fn records_disclosed(&self) -> i32 {
        i32::try_from(self.judged.disclosed.records).unwrap_or(i32::MAX)
    }

    /// The number of `recordsDisclosed` for each hour that the window has been open.
    async fn records_per_hour(&self) -> f64 {
        self.judged.records_per_hour
    }
}

#[derive(Default)]
pub(crate) struct BreakGlassQuery;

#[Object]
impl BreakGlassQuery {
    /// The windows of emergency access that concern the caller, newest first: for doctors those that they opened, for
    /// everybody else those on their own records. Reading them is recorded in the audit trail.
    async fn my_break_glass_windows(
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
    ) -> Result<Connection<BreakGlassWindow>> {
        let (app, caller) = request(ctx)?;
        let field = "myBreakGlassWindows";
        let cursors = ListCursors::of(&app.index_key, field, caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = list::own(&app.pool, &app.keyring, &caller, range).await?;
        let found = found.into_iter();
        let found: Vec<_> = found.map(BreakGlassWindow::own).collect();
        let people = found.iter().flat_map(BreakGlassWindow::people).collect();
        loaders(ctx)?.prepare_users(people).await;
        let cursor = |it: &BreakGlassWindow| cursors.at(&it.page_key());
        Ok(Connection::of_range(found, &range, cursor))
    }

    /// The queue of windows of emergency access to review, oldest first, each with its reason and what was disclosed by
    /// it. Needs the role ADMIN (`FORBIDDEN` otherwise). Each that is shown is recorded in the audit trail, for its
    /// patient.
    async fn break_glass_reviews(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only windows whose review has come so far; without it all that nobody has reviewed."
        )]
        status: Option<BreakGlassReviewStatus>,
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
    ) -> Result<Connection<BreakGlassReview>> {
        let (app, caller) = request(ctx)?;
        let status = status.map(break_glass::ReviewStatus::from);
        let field = "breakGlassReviews";
        let cursors = ListCursors::of(&app.index_key, field, caller.user, &json!([status]));
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = list::queue(&app.pool, &app.keyring, &caller, status, range).await?;
        let found = found.into_iter();
        let found: Vec<_> = found.map(BreakGlassReview::of).collect();
        let people = found.iter().flat_map(|it| it.window.people()).collect();
        loaders(ctx)?.prepare_users(people).await;
        let cursor = |it: &BreakGlassReview| cursors.at(&it.window.page_key());
        Ok(Connection::of_range(found, &range, cursor))
    }
}

/// On whose records a window is to be opened, and why.
#[derive(Debug, InputObject)]
pub(crate) struct BreakGlassInput {
    /// The ID of the patient's account.
    patient_id: Uuid,
    /// The purpose that the records are read for: BTG or ETREAT; BTG by default.
    purpose: Option<PurposeOfUse>,
    /// Why it cannot wait for a consent, 20 to 1000 characters. The patient and administrators read it.
    reason: String,
}

/// The result of `breakGlass`: the window that is open.
#[derive(Debug, SimpleObject)]
pub(crate) struct BreakGlassPayload {
    /// The window, by which records are found and read for its purpose until it ends.
    window: BreakGlassWindow,
}

/// The window that is to be closed.
#[derive(Debug, InputObject)]
pub(crate) struct EndBreakGlassInput {
    /// The ID of a window that the caller opened.
    id: Uuid,
}

/// The result of `endBreakGlass`: the window as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct EndBreakGlassPayload {
    /// The window, which is not open any more.
    window: BreakGlassWindow,
}

/// What an administrator decides about a window.
#[derive(Debug, InputObject)]
pub(crate) struct ReviewBreakGlassInput {
    /// The ID of the window that is reviewed.
    id: Uuid,
    /// Whether the emergency was one.
    decision: BreakGlassDecision,
    /// What is to be remembered of the review, at most 1000 characters. The doctor and the patient read it, too.
    note: Option<String>,
}

/// The result of `reviewBreakGlass`: the window with its review.
#[derive(Debug, SimpleObject)]
pub(crate) struct ReviewBreakGlassPayload {
    /// The window with its review, and what was disclosed by it.
    review: BreakGlassReview,
}

#[derive(Default)]
pub(crate) struct BreakGlassMutation;

#[Object]
impl BreakGlassMutation {
    /// Opens a window of emergency access on a patient's records for four hours, without a consent: until then the
    /// caller finds and reads them for the purpose of the window (argument `purpose`, or the header
    /// `X-Purpose-Of-Use`). The patient is told at once, and an administrator reviews the window. What the patient
    /// refuses for this purpose stays refused. A window that is open for the same patient and purpose is answered instead of a second
    /// one; at most 10 can be opened within 24 hours. Needs the role DOCTOR.
    ///
    /// Error codes: `FORBIDDEN` for all but doctors, `SECOND_FACTOR_REQUIRED` where the operator requires one for
    /// emergencies, `BAD_USER_INPUT` (`purpose`, `reason`), `NOT_FOUND` where there is no such patient,
    /// `LIMIT_REACHED`.
    async fn break_glass(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "On whose records the window is opened, and why.")] input: BreakGlassInput,
    ) -> Result<Payload<BreakGlassPayload>> {
        let (app, caller) = request(ctx)?;
        let purpose = input.purpose.map(Purpose::from);
        let asked = Opening {
            patient: UserId(input.patient_id),
            purpose: purpose.unwrap_or(Purpose::BreakGlass),
            reason: &input.reason,
        };
        let opened = open::open(&app.pool, &app.keyring, &caller, asked).await?;
        Ok(Payload(BreakGlassPayload {
            window: BreakGlassWindow::own(opened),
        }))
    }

    /// Closes a window of emergency access that the caller opened, with effect from the next request on. Closing one
    /// that is over changes nothing.
    ///
    /// Error codes: `NOT_FOUND` where it is not one of the caller's.
    async fn end_break_glass(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The window that is to be closed.")] input: EndBreakGlassInput,
    ) -> Result<Payload<EndBreakGlassPayload>> {
        let (app, caller) = request(ctx)?;
        let id = BreakGlassWindowId(input.id);
        let closed = close::close(&app.pool, &app.keyring, &caller, id).await?;
        Ok(Payload(EndBreakGlassPayload {
            window: BreakGlassWindow::own(closed),
        }))
    }

    /// Reviews a window of emergency access that has ended. The review is final; the doctor and the patient are told.
    /// Needs the role ADMIN; nobody reviews a window that they opened or that is on their own records.
    ///
    /// Error codes: `FORBIDDEN` for all but administrators, `NOT_FOUND`, `BAD_USER_INPUT` (`note`; `id` where the caller is
    /// concerned), `CONFLICT` (`id`: the window is open, was reviewed before, or was
    /// changed outside the service; `note`: the patient's data was erased).
    async fn review_break_glass(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The window and what is decided about it.")] input: ReviewBreakGlassInput,
    ) -> Result<Payload<ReviewBreakGlassPayload>> {
        let (app, caller) = request(ctx)?;
        let id = BreakGlassWindowId(input.id);
        let verdict = (input.decision.into(), input.note.as_deref());
        let judged = review::review(&app.pool, &app.keyring, &caller, id, verdict).await?;
        Ok(Payload(ReviewBreakGlassPayload {
            review: BreakGlassReview::of(judged),
        }))
    }
}
