//! Log-ins in the schema.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::ids::SessionId;
use serde_json::Value;
use store::sessions::LogIn;
use uuid::Uuid;

use super::{
    begin::Granted,
    end, list,
    refresh::{Refreshing, refresh},
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app, context,
        global_id::{GlobalId, NodeKind},
        payload::Payload,
        request,
        scalars::Time,
    },
    page::{self, Connection, CountedConnection, Node, asks_total},
};

/// A session, begun by one log-in of one device or browser tab, until somebody logs out, it expires or
/// it is revoked.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    log_in: LogIn,
    /// Whether it is the session of this request.
    is_current: bool,
}

impl Node for Session {
    const EDGE: &'static str = "SessionEdge";
    const CONNECTION: &'static str = "SessionConnection";
}

impl Session {
    /// A log-in, and whether it is the one that asks.
    pub(crate) const fn new(log_in: LogIn, is_current: bool) -> Self {
        Self { log_in, is_current }
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.log_in.created_at, self.log_in.id.0)
    }
}

/// A session, begun by one log-in of one device or browser tab, until somebody logs out, it expires or
/// it is revoked.
#[Object]
impl Session {
    /// The global ID of the session: `node` gives the same object again while it is open.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::Session, self.log_in.id.0).into()
    }

    /// The ID of the session, to revoke it by `revokeSession`.
    async fn id(&self) -> Uuid {
        self.log_in.id.0
    }

    /// The time at which the session was begun by a log-in.
    async fn created_at(&self) -> Time {
        Time(self.log_in.created_at)
    }

    /// The time at which its refresh token was last exchanged; the time of the log-in where it never
    /// was.
    async fn last_used_at(&self) -> Time {
        Time(self.log_in.last_used_at)
    }

    /// The time at which the session ends unless its refresh token is exchanged before.
    async fn refresh_expires_at(&self) -> Time {
        Time(self.log_in.idle_expires_at)
    }

    /// The time at which the session ends, however often it is refreshed.
    async fn expires_at(&self) -> Time {
        Time(self.log_in.expires_at)
    }

    /// The network address that the session was last refreshed or begun from; null where it is not
    /// known.
    async fn ip_address(&self) -> Option<&str> {
        self.log_in.address.as_deref()
    }

    /// The `User-Agent` header of the request that last refreshed or began the session; null where it
    /// sent none.
    async fn user_agent(&self) -> Option<&str> {
        self.log_in.user_agent.as_deref()
    }

    /// Whether it is the one that asks.
    async fn is_current(&self) -> bool {
        self.is_current
    }
}

#[derive(Default)]
pub(crate) struct SessionQuery;

#[Object]
impl SessionQuery {
    /// The caller's open sessions, newest first. End those you do not know by `revokeSession`.
    async fn my_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<CountedConnection<Session>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "mySessions", caller.user, &Value::Null);
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let from = from.map(|(at, id)| (at, SessionId(id)));
        let found = list::own(&app.pool, &caller, from, size, asks_total(ctx)).await?;
        let sessions = found
            .rows
            .into_iter()
            .map(|log_in| {
                let is_current = log_in.id == caller.session;
                Session::new(log_in, is_current)
            })
            .collect();
        let page = Connection::new(sessions, size, after.is_some(), |it: &Session| {
            cursors.at(&it.page_key())
        });
        Ok(page.counted(found.total))
    }
}

/// Those of these log-ins that are the caller's and not over.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(ctx: &Context<'_>, ids: &[Uuid]) -> Result<Vec<(Uuid, Session)>, Error> {
    let (app, caller) = request(ctx)?;
    let found = list::by_ids(&app.pool, &caller, ids).await?.into_iter();
    let session = |log_in: LogIn| {
        let is_current = log_in.id == caller.session;
        (log_in.id.0, Session::new(log_in, is_current))
    };
    Ok(found.map(session).collect())
}

/// The refresh token to exchange.
#[derive(Debug, InputObject)]
pub(crate) struct RefreshSessionInput {
    /// The `refreshToken` of `logIn`, of `logInWithWallet` or of the last `refreshSession`.
    refresh_token: String,
}

/// The result of `refreshSession`: the next pair of tokens.
#[derive(Debug, SimpleObject)]
pub(crate) struct RefreshSessionPayload {
    /// The access token: send it with every request, as `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// The time at which the access token expires.
    expires_at: Time,
    /// The next refresh token. The one that was sent is used up.
    refresh_token: String,
    /// The time at which the refresh token expires if it is not used.
    refresh_expires_at: Time,
    /// The session that goes on.
    session: Session,
}

impl From<Granted> for RefreshSessionPayload {
    fn from(granted: Granted) -> Self {
        Self {
            access_token: granted.access_token,
            expires_at: Time(granted.expires_at),
            refresh_token: granted.refresh_token.reveal(),
            refresh_expires_at: Time(granted.refresh_expires_at),
            session: Session::new(granted.log_in, true),
        }
    }
}

/// The result of ending sessions.
#[derive(Debug, SimpleObject)]
pub(crate) struct LogOutPayload {
    /// The number of sessions that were ended.
    ended_sessions: i32,
}

impl LogOutPayload {
    fn of(ended: usize) -> Self {
        Self {
            ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX),
        }
    }
}

/// The session that is to be ended.
#[derive(Debug, InputObject)]
pub(crate) struct RevokeSessionInput {
    /// The ID of one of the caller's `mySessions`.
    id: Uuid,
}

#[derive(Default)]
pub(crate) struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Exchanges a refresh token for the next refresh token and an access token. Needs no session; send
    /// it without an `Authorization` header. A refresh token is good for one use: presenting one that
    /// was used before ends its session. For ten seconds after the first use the same answer is given
    /// again, so that a client that asks twice at once keeps its session.
    ///
    /// Error codes: `SESSION_ENDED`, whatever is wrong with the token; `THROTTLED`.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The refresh token to exchange.")] input: RefreshSessionInput,
    ) -> Result<Payload<RefreshSessionPayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let refreshing = Refreshing {
            pool: &app.pool,
            throttle: &app.throttle,
            issuer: app.session_issuer(),
        };
        let granted = refresh(refreshing, context, &input.refresh_token).await?;
        Ok(Payload(granted.into()))
    }

    /// Ends the session of this request: its tokens are refused from now on, and its streams are
    /// closed.
    ///
    /// It has no error codes of its own.
    async fn log_out(&self, ctx: &Context<'_>) -> Result<Payload<LogOutPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = end::log_out(&app.pool, &caller).await?;
        Ok(Payload(LogOutPayload::of(ended)))
    }

    /// Ends all sessions of the caller, this one included.
    ///
    /// It has no error codes of its own.
    async fn log_out_everywhere(&self, ctx: &Context<'_>) -> Result<Payload<LogOutPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = end::log_out_everywhere(&app.pool, &caller).await?;
        Ok(Payload(LogOutPayload::of(ended)))
    }

    /// Ends one of the caller's sessions.
    ///
    /// Error codes: `NOT_FOUND` where it is over already, unknown, or somebody else's.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session that is to be ended.")] input: RevokeSessionInput,
    ) -> Result<Payload<LogOutPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = end::revoke(&app.pool, &caller, SessionId(input.id)).await?;
        Ok(Payload(LogOutPayload::of(ended)))
    }
}
