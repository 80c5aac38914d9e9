//! Notifications in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, Subscription};
use futures::{Stream, StreamExt};
use serde_json::json;
use store::notifications;
use uuid::Uuid;

use super::{list, sentence, subscription};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app, context,
        enums::Language,
        event::{EventCursor, stream_start},
        global_id::{GlobalId, NodeKind},
        loaders,
        payload::Payload,
        request,
        scalars::Time,
    },
    page::{Connection, CountedConnection, Node, PageArguments, asks_total},
    users::graphql::User,
};

/// What somebody is told by a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::break_glass::NotificationKind")]
pub(crate) enum NotificationKind {
    /// To a patient: a doctor has emergency access to their records. See `myBreakGlassWindows`.
    BreakGlassOpened,
    /// To a patient and a doctor: a review has found that emergency access was justified.
    BreakGlassJustified,
    /// To a patient and a doctor: a review has found that emergency access was not justified.
    BreakGlassUnjustified,
    /// To administrators: nobody has reviewed emergency access within 72 hours. See `breakGlassReviews`.
    BreakGlassEscalated,
    /// To a patient and a representative: the one acts for the other. See `myRepresentatives` and `peopleIRepresent`.
    RepresentativeAppointed,
    /// To a patient or a representative: the one acts for the other no longer.
    RepresentationEnded,
}

/// Something that the account was told.
#[derive(Debug, Clone)]
pub(crate) struct Notification(Arc<notifications::Notification>);

impl Node for Notification {
    const EDGE: &'static str = "NotificationEdge";
    const CONNECTION: &'static str = "NotificationConnection";
}

/// Something that the account was told.
#[Object]
impl Notification {
    /// The global ID of the notification: `node` gives the same object again.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::Notification, self.0.id.0).into()
    }

    /// The ID of the notification.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The position of the notification: pass it as `after` when subscribing again, and none is missed.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<Cursor> {
        let caller = context(ctx)?.caller()?;
        let cursors = subscription::cursors(&app(ctx)?.index_key, &caller);
        Ok(cursors.at(&(self.0.position, self.0.at)))
    }

    /// What the notification tells.
    async fn kind(&self) -> NotificationKind {
        self.0.kind.into()
    }

    /// The time of what it tells.
    async fn at(&self) -> Time {
        Time(self.0.at)
    }

    /// The time at which it was marked as read; null while it was not.
    async fn read_at(&self) -> Option<Time> {
        self.0.read_at.map(Time)
    }

    /// The account whose doing it tells: the doctor, the administrator, or whoever named or ended a representative.
    async fn who(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.actor).await?)
    }

    /// The ID of the window of emergency access, or of the representation, that it is about.
    async fn window_id(&self) -> Uuid {
        self.0.resource
    }

    /// The whole notification as one sentence.
    async fn sentence(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The language of the sentence.",
            default_with = "Some(Language::English)"
        )]
        language: Option<Language>,
    ) -> Result<String> {
        let actor = loaders(ctx)?.user(self.0.actor).await?;
        // A variable that is left out comes as null.
        let language = language.unwrap_or(Language::English).into();
        let sentence = sentence::of(self.0.kind, actor.as_deref(), language);
        Ok(sentence)
    }
}

#[derive(Default)]
pub(crate) struct NotificationQuery;

#[Object]
impl NotificationQuery {
    /// What the caller was told, newest first. Open to every role. Reading it is recorded in the audit trail.
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "True to leave out notifications that were marked as read.",
            default_with = "Some(false)"
        )]
        unread_only: Option<bool>,
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
    ) -> Result<CountedConnection<Notification>> {
        let (app, caller) = request(ctx)?;
        let unread_only = unread_only.unwrap_or_default();
        let arguments = json!([unread_only]);
        let cursors = ListCursors::of(&app.index_key, "notifications", caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range(&cursors)?;
        let is_counted = asks_total(ctx);
        let found = list::own(&app.pool, &caller, unread_only, range, is_counted).await?;
        let told = shown(ctx, found.rows).await?;
        let cursor = |it: &Notification| cursors.at(&it.0.position);
        Ok(Connection::of_range(told, &range, cursor).counted(found.total))
    }

    /// How many notifications of the caller were not marked as read. Open to every role.
    async fn unread_notifications(&self, ctx: &Context<'_>) -> Result<i32> {
        let (app, caller) = request(ctx)?;
        let unread = list::unread(&app.pool, &caller).await?;
        Ok(i32::try_from(unread).unwrap_or(i32::MAX))
    }
}

/// Notifications, with the people who did what they tell.
async fn shown(
    ctx: &Context<'_>,
    found: Vec<notifications::Notification>,
) -> Result<Vec<Notification>, Error> {
    let people = found.iter().map(|told| told.actor).collect();
    loaders(ctx)?.prepare_users(people).await;
    let found = found.into_iter();
    Ok(found.map(|told| Notification(Arc::new(told))).collect())
}

/// Those of these notifications that are the caller's.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Notification)>, Error> {
    let (app, caller) = request(ctx)?;
    let found = list::by_ids(&app.pool, &caller, ids).await?;
    let found = shown(ctx, found).await?.into_iter();
    Ok(found.map(|it| (it.0.id.0, it)).collect())
}

/// The notifications that are to be marked.
#[derive(Debug, InputObject)]
pub(crate) struct MarkNotificationsReadInput {
    /// The IDs of notifications of the caller, at most 100; all of the caller's without it.
    ids: Option<Vec<Uuid>>,
}

/// The result of `markNotificationsRead`: how many were marked.
#[derive(Debug, SimpleObject)]
pub(crate) struct MarkNotificationsReadPayload {
    /// How many notifications were unread and are marked now.
    marked: i32,
    /// How many notifications of the caller are unread still.
    unread: i32,
}

#[derive(Default)]
pub(crate) struct NotificationMutation;

#[Object]
impl NotificationMutation {
    /// Marks notifications of the caller as read. Marking one again changes nothing. Open to every role.
    ///
    /// Error codes: `BAD_USER_INPUT` (`ids`), `NOT_FOUND` where one is not the caller's, and then none is marked.
    async fn mark_notifications_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The notifications that are to be marked.")]
        input: MarkNotificationsReadInput,
    ) -> Result<Payload<MarkNotificationsReadPayload>> {
        let (app, caller) = request(ctx)?;
        let (marked, unread) = list::mark_read(&app.pool, &caller, input.ids).await?;
        Ok(Payload(MarkNotificationsReadPayload {
            marked: i32::try_from(marked).unwrap_or(i32::MAX),
            unread: i32::try_from(unread).unwrap_or(i32::MAX),
        }))
    }
}

#[derive(Default)]
pub(crate) struct NotificationSubscription;

#[Subscription]
impl NotificationSubscription {
    /// What the caller is told, as it happens. With `after`, everything after it; otherwise what is told from now on. Each
    /// notification is delivered in order and at least once. A cursor of anything but a notification of the caller is
    /// refused with `BAD_USER_INPUT`, also one of a log that was restored to an earlier state.
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `cursor` of an earlier notification: the stream begins with the one after it. `earliest` begins \
                    with the first one there is; `latest`, like null, with the next one."
        )]
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Notification>>> {
        let (app, caller) = request(ctx)?;
        let cursors = subscription::cursors(&app.index_key, &caller);
        let start = stream_start(ctx, &cursors, after.as_ref())?;
        let pool = app.pool.clone();
        let told = Box::pin(subscription::follow(pool, &app.feed, caller, start)).await?;
        let position = ctx.data::<EventCursor>()?.clone();
        Ok(told.map(move |told| {
            let told = told?;
            position.set(cursors.at(&(told.position, told.at)));
            Ok::<_, async_graphql::Error>(Notification(told))
        }))
    }
}
