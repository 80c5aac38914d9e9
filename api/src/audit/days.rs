//! The access log by day and account in the schema.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use chrono::{DateTime, Utc};
use domain::ids::UserId;
use store::audit::{AccountDay, AuditFilter, DayKey};
use uuid::Uuid;

use super::{filter_input, graphql::arguments, read, words::AuditAction};
use crate::{
    cursor::{Cursor, ListCursors},
    error::{both, check_period},
    graphql::{asks_nodes_for, loaders, request_for, scalars::Time},
    page::{self, Connection, Node},
    users::graphql::User,
};

/// What one account did with a patient's data on one day, or tried.
#[derive(Debug, Clone)]
pub(crate) struct AccessDay(Arc<AccountDay>);

impl Node for AccessDay {
    const EDGE: &'static str = "AccessDayEdge";
    const CONNECTION: &'static str = "AccessDayConnection";
}

impl AccessDay {
    fn page_key(&self) -> DayKey {
        (self.0.day, self.0.user.0)
    }
}

/// What one account did with a patient's data on one day, or tried.
#[Object]
impl AccessDay {
    /// The beginning of the day (UTC).
    async fn day(&self) -> Time {
        Time(self.0.day)
    }

    /// The account that accessed the data on this day, or tried to.
    async fn who(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// The time of the earliest access on this day.
    async fn first_at(&self) -> Time {
        Time(self.0.first_at)
    }

    /// The time of the latest access on this day.
    async fn last_at(&self) -> Time {
        Time(self.0.last_at)
    }

    /// How many times a record was opened (`RECORD_READ`).
    async fn reads(&self) -> i32 {
        shown(self.0.reads)
    }

    /// How many times a list of records was asked for, or a stream told of records (`RECORD_SEARCH`).
    async fn searches(&self) -> i32 {
        shown(self.0.searches)
    }

    /// How many times an access was refused (`ACCESS_DENIED`).
    async fn denials(&self) -> i32 {
        shown(self.0.denials)
    }

    /// How many accesses were permitted as an emergency, without a consent; they are counted by their action, too.
    async fn emergencies(&self) -> i32 {
        shown(self.0.emergencies)
    }

    /// How many accesses and attempts there were, of every action.
    async fn times(&self) -> i32 {
        shown(self.0.times)
    }

    /// How many records of the patient they were to, each counted once; 0 where they were to none.
    async fn records(&self) -> i32 {
        shown(self.0.records)
    }
}

fn shown(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[derive(Default)]
pub(crate) struct AccessDayQuery;

#[Object]
impl AccessDayQuery {
    /// Who did how much with the caller's data, or that of the patient for whom the caller acts, on which day (UTC), newest day
    /// first, refused attempts included: the rows of `myAccessLog`, counted by day and account. Open to every role. The list is
    /// read forward alone, because where a day ends depends on the rows behind it.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `action`, `from`, `to`, `onBehalfOf`), `NOT_FOUND` where the caller may not
    /// act for this patient.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn my_access_log_by_day(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what this account did or tried.")] user_id: Option<Uuid>,
        #[graphql(desc = "Only what was done by this action, such as RECORD_READ.")] action: Option<
            AuditAction,
        >,
        #[graphql(desc = "True for permitted accesses only, false for refused ones only.")]
        allowed: Option<bool>,
        #[graphql(
            desc = "True for accesses that were permitted as an emergency only, without a consent; false for all others only."
        )]
        emergency: Option<bool>,
        #[graphql(desc = "Only what happened at this time or later.")] from: Option<DateTime<Utc>>,
        #[graphql(desc = "Only what happened before this time.")] to: Option<DateTime<Utc>>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Connection<AccessDay>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let action = action.map(|one| filter_input::known("action", one.word()));
        let action = action.transpose();
        let filter = AuditFilter {
            user: user_id.map(UserId),
            actions: action.iter().flatten().map(ToString::to_string).collect(),
            allowed,
            emergency,
            from,
            to,
            ..AuditFilter::default()
        };
        let (list, arguments) = ("myAccessLogByDay", arguments(&filter));
        let cursors = ListCursors::of(&app.index_key, list, caller.subject(), &arguments);
        let times = check_period(from, to);
        let asked = page::place(&cursors, first, after.as_ref());
        let (((), (size, place)), _) = both(both(times, asked), action)?;
        let read_from = (&app.pool, &app.reads);
        let found = read::own_by_day(read_from, &caller, filter, place, size).await?;
        if asks_nodes_for(ctx, &["who"]) {
            let users = found.iter().map(|day| day.user).collect();
            loaders(ctx)?.prepare_users(users).await;
        }
        let days = found.into_iter().map(|day| AccessDay(Arc::new(day)));
        let key = |day: &AccessDay| cursors.at(&day.page_key());
        let continued = after.is_some();
        Ok(Connection::new(days.collect(), size, continued, key))
    }
}
