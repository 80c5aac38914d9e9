//! Log-ins in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::ids::SessionId;
use store::sessions::LogIn;
use uuid::Uuid;

use super::{begin::Granted, end, list, refresh};
use crate::{
    app::App,
    graphql::{app, request, visit},
    page::{self, Connection, Cursor},
};

/// A log-in: one device, or one tab of a browser, until somebody logs out.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    log_in: LogIn,
    is_current: bool,
}

impl Session {
    /// A log-in, and whether it is the one that asks.
    pub(crate) const fn new(log_in: LogIn, is_current: bool) -> Self {
        Self { log_in, is_current }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.log_in.created_at, self.log_in.id.0)
    }
}

/// A log-in: one device, or one tab of a browser, until somebody logs out.
#[Object]
impl Session {
    /// Its id, to revoke it by.
    async fn id(&self) -> Uuid {
        self.log_in.id.0
    }

    /// When it was begun.
    async fn created_at(&self) -> DateTime<Utc> {
        self.log_in.created_at
    }

    /// When it was last gone on with by its refresh token; when it was begun, if never.
    async fn last_used_at(&self) -> DateTime<Utc> {
        self.log_in.last_used_at
    }

    /// When it is over unless it is gone on with.
    async fn refresh_expires_at(&self) -> DateTime<Utc> {
        self.log_in.idle_expires_at
    }

    /// When it is over in any case.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.log_in.expires_at
    }

    /// From which address it was last used.
    async fn ip_address(&self) -> Option<&str> {
        self.log_in.address.as_deref()
    }

    /// What the client said it was when it was last used.
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
    /// Where you are logged in, newest first. Revoke what you do not know.
    async fn my_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<Session>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let from = from.map(|(at, id)| (at, SessionId(id)));
        let found = list::own(app, &caller, from, size).await?;
        let sessions = found
            .into_iter()
            .map(|log_in| {
                let is_current = log_in.id == caller.session;
                Session::new(log_in, is_current)
            })
            .collect();
        Ok(Connection::new(
            sessions,
            size,
            after.is_some(),
            Session::cursor,
        ))
    }
}

/// The token to go on with.
#[derive(Debug, InputObject)]
pub(crate) struct RefreshSessionInput {
    /// The `refreshToken` of `logIn` or of the last `refreshSession`.
    refresh_token: String,
}

/// The next tokens.
#[derive(Debug, SimpleObject)]
pub(crate) struct RefreshSessionPayload {
    /// Send it with every request: `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
    /// Take it instead of the one you sent, which is used up.
    refresh_token: String,
    /// Until when it is good.
    refresh_expires_at: DateTime<Utc>,
    /// The log-in that goes on.
    session: Session,
}

impl From<Granted> for RefreshSessionPayload {
    fn from(granted: Granted) -> Self {
        Self {
            access_token: granted.access_token,
            expires_at: granted.expires_at,
            refresh_token: granted.refresh_token.reveal(),
            refresh_expires_at: granted.refresh_expires_at,
            session: Session::new(granted.log_in, true),
        }
    }
}

/// What is over now.
#[derive(Debug, SimpleObject)]
pub(crate) struct LogOutPayload {
    /// How many log-ins were ended.
    ended_sessions: i32,
}

impl LogOutPayload {
    fn of(ended: usize) -> Self {
        Self {
            ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX),
        }
    }
}

/// Which log-in.
#[derive(Debug, InputObject)]
pub(crate) struct RevokeSessionInput {
    /// One of `mySessions`.
    id: Uuid,
}

#[derive(Default)]
pub(crate) struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Exchanges a refresh token for the next one and an access token. Send it without an `Authorization`
    /// header. A refresh token is good for one use; whoever presents one that was used before ends the
    /// log-in, for the thief and for the person alike. (For ten seconds the same answer is given again, so
    /// that a client which asked twice at once is not taken for a thief.)
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to go on with.")] input: RefreshSessionInput,
    ) -> Result<RefreshSessionPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let granted = refresh::refresh(app, visit, &input.refresh_token).await?;
        Ok(granted.into())
    }

    /// Ends this log-in: its tokens are refused from now on, and what streams under it is closed.
    async fn log_out(&self, ctx: &Context<'_>) -> Result<LogOutPayload> {
        let (app, caller) = request(ctx)?;
        Ok(LogOutPayload::of(end::log_out(app, &caller).await?))
    }

    /// Ends all your log-ins, this one too.
    async fn log_out_everywhere(&self, ctx: &Context<'_>) -> Result<LogOutPayload> {
        let (app, caller) = request(ctx)?;
        let ended = end::log_out_everywhere(app, &caller).await?;
        Ok(LogOutPayload::of(ended))
    }

    /// Ends one of your log-ins.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which log-in.")] input: RevokeSessionInput,
    ) -> Result<LogOutPayload> {
        let (app, caller) = request(ctx)?;
        let ended = end::revoke(app, &caller, SessionId(input.id)).await?;
        Ok(LogOutPayload::of(ended))
    }
}
