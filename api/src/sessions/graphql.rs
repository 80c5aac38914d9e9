//! Log-ins in the schema.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use axum::http::header;
use chrono::{DateTime, Utc};
use domain::ids::SessionId;
use serde_json::Value;
use store::sessions::LogIn;
use uuid::Uuid;

use super::{
    begin::Granted,
    end, list,
    refresh::{Refreshing, refresh},
    refresh_cookie::{self, RefreshCookie},
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
    page::{Connection, CountedConnection, Node, PageArguments, asks_total},
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
    ) -> Result<CountedConnection<Session>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "mySessions", caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, SessionId(id)));
        let found = list::own(&app.pool, &caller, by_id, asks_total(ctx)).await?;
        let sessions = found
            .rows
            .into_iter()
            .map(|log_in| {
                let is_current = log_in.id == caller.session;
                Session::new(log_in, is_current)
            })
            .collect();
        let page =
            Connection::of_range(sessions, &range, |it: &Session| cursors.at(&it.page_key()));
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

/// How a client is handed the refresh tokens of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum RefreshBy {
    /// As `refreshToken` of the answer: the client keeps it itself.
    Token,
    /// As a cookie of the browser, which no script of a page can read; `refreshToken` is null then. Needs the
    /// header `X-Meditrustal-Csrf: 1`, and a page of the service's own origin or of one that the operator
    /// names.
    Cookie,
}

impl RefreshBy {
    /// What a log-in asks for, where this request may have it.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a cookie where none is carried; [`Error::CsrfProofMissing`].
    pub(crate) fn chosen(ctx: &Context<'_>, wanted: Option<Self>) -> Result<Self, Error> {
        let by = wanted.unwrap_or(Self::Token);
        if by == Self::Cookie {
            cookie(ctx, "refreshBy")?.require_proof()?;
        }
        Ok(by)
    }

    /// Hands a refresh token over: gives the text that the answer has, or sets the cookie.
    pub(crate) fn hand_over(
        self,
        ctx: &Context<'_>,
        granted: &Granted,
        now: DateTime<Utc>,
    ) -> Option<String> {
        match self {
            Self::Token => Some(granted.refresh_token.reveal()),
            Self::Cookie => {
                let until = granted.refresh_expires_at;
                let cookie = refresh_cookie::given(&granted.refresh_token, until, now);
                ctx.insert_http_header(header::SET_COOKIE, cookie);
                None
            }
        }
    }
}

/// What the request's headers say of the cookie.
fn cookie<'a>(ctx: &Context<'a>, field: &'static str) -> Result<&'a RefreshCookie, Error> {
    let carried = ctx.data_opt::<RefreshCookie>();
    carried.ok_or_else(|| Error::bad(field, "an event stream carries no cookie: ask for JSON"))
}

/// Has a browser that sent the cookie forget it.
fn take_cookie_away(ctx: &Context<'_>) {
    let carried = ctx.data_opt::<RefreshCookie>();
    if carried.is_some_and(RefreshCookie::is_there) {
        ctx.insert_http_header(header::SET_COOKIE, refresh_cookie::TAKEN_AWAY);
    }
}

/// The refresh token to exchange.
#[derive(Debug, InputObject)]
pub(crate) struct RefreshSessionInput {
    /// The `refreshToken` of `logIn`, of `logInWithWallet` or of the last `refreshSession`; null where the
    /// browser has it in its cookie.
    refresh_token: Option<String>,
}

/// The result of `refreshSession`: the next pair of tokens.
#[derive(Debug, SimpleObject)]
pub(crate) struct RefreshSessionPayload {
    /// The access token: send it with every request, as `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// The time at which the access token expires.
    expires_at: Time,
    /// The next refresh token. The one that was sent is used up. Null where it is in the cookie.
    refresh_token: Option<String>,
    /// The time at which the refresh token expires if it is not used.
    refresh_expires_at: Time,
    /// The session that goes on.
    session: Session,
}

impl RefreshSessionPayload {
    fn of(granted: Granted, refresh_token: Option<String>) -> Self {
        Self {
            access_token: granted.access_token,
            expires_at: Time(granted.expires_at),
            refresh_token,
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
    /// Exchanges a refresh token for the next refresh token and an access token. Needs no session; where
    /// it is the only field of its operation, an expired access token may be sent with it. A refresh
    /// token is good for one use: presenting one that was used before ends its session. For ten seconds
    /// after the first use the same answer is given again, so that a client that asks twice at once keeps
    /// its session. Without `refreshToken` the cookie of a log-in with `refreshBy: COOKIE` is exchanged,
    /// and the next one is a cookie, too; that needs the header `X-Meditrustal-Csrf: 1`.
    ///
    /// Error codes: `SESSION_ENDED`, whatever is wrong with the token; `FORBIDDEN` where the cookie is to
    /// be used and the header is missing or the page is a foreign one; `BAD_USER_INPUT` (`refreshToken`:
    /// an event stream carries no cookie); `THROTTLED`.
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
        let (given, by) = match &input.refresh_token {
            Some(given) => (given.as_str(), RefreshBy::Token),
            None => (cookie(ctx, "refreshToken")?.text()?, RefreshBy::Cookie),
        };
        let refreshed = refresh(refreshing, context, given).await;
        if by == RefreshBy::Cookie && matches!(refreshed, Err(Error::SessionEnded)) {
            take_cookie_away(ctx);
        }
        let granted = refreshed?;
        let refresh_token = by.hand_over(ctx, &granted, app.clock.now());
        Ok(Payload(RefreshSessionPayload::of(granted, refresh_token)))
    }

    /// Ends the session of this request: its tokens are refused from now on, and its streams are
    /// closed. A browser that sent a refresh cookie is told to forget it.
    ///
    /// It has no error codes of its own.
    async fn log_out(&self, ctx: &Context<'_>) -> Result<Payload<LogOutPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = end::log_out(&app.pool, &caller).await?;
        take_cookie_away(ctx);
        Ok(Payload(LogOutPayload::of(ended)))
    }

    /// Ends all sessions of the caller, this one included. A browser that sent a refresh cookie is told
    /// to forget it.
    ///
    /// It has no error codes of its own.
    async fn log_out_everywhere(&self, ctx: &Context<'_>) -> Result<Payload<LogOutPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = end::log_out_everywhere(&app.pool, &caller).await?;
        take_cookie_away(ctx);
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
        if input.id == caller.session.0 {
            take_cookie_away(ctx);
        }
        Ok(Payload(LogOutPayload::of(ended)))
    }
}
