//! Log-ins. One is a family of rows: the first stands for all of it, and each use of a refresh token adds
//! a child, which names its parent. Whether a log-in is over, its first row says.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{SessionId, UserId},
    seals::{Seal, Sealed, Session},
    sessions::Presented,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    seals::SessionRow,
};

/// The channel on which is said that log-ins were revoked.
pub const CHANNEL: &str = "sessions_revoked";

/// From where and with what a log-in is used.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// From where.
    pub address: IpAddr,
    /// With what.
    pub user_agent: Option<&'a str>,
}

/// Remembers a log-in, or what a refresh token was rotated to.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    session: &Session,
    seal: &Seal,
    device: Device<'_>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sessions (
             id, user_id, refresh_token, expires_at, idle_expires_at, family_id, parent_id,
             second_factor_at, ip_address, user_agent, created_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::inet, $10, decision_time(), $11, $12)",
        session.id.0,
        session.user.0,
        session.refresh_token_hash,
        session.expires_at,
        session.idle_expires_at,
        session.family.0,
        session.parent.map(|id| id.0),
        session.second_factor_at,
        device.address.to_string(),
        device.user_agent,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A refresh token's row, locked, and what is known of its log-in.
#[derive(Debug)]
pub struct RefreshTokenRow {
    /// The row of the token.
    pub row: Sealed<Session>,
    /// The log-in.
    pub family: SessionId,
    /// Whose.
    pub user: UserId,
    /// The first row of the log-in; `None` where the token's row is the first.
    pub root: Option<Sealed<Session>>,
    /// What `domain::sessions` judges.
    pub presented: Presented,
    /// The moment it is judged by: this transaction's.
    pub now: DateTime<Utc>,
}

/// Finds and locks the row of a refresh token, so that two who present it at once follow one another.
/// Served by `idx_sessions_refresh_token`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_token(
    tx: &mut Tx<'_>,
    hash: &str,
) -> Result<Option<RefreshTokenRow>, StoreError> {
    let token = sqlx::query_as!(
        SessionRow,
        "SELECT id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
                second_factor_at, seal, seal_key
         FROM sessions
         WHERE refresh_token = $1
         FOR NO KEY UPDATE",
        hash,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(token) = token else {
        return Ok(None);
    };
    let found = sqlx::query!(
        r#"SELECT root.id, root.user_id, root.refresh_token, root.family_id, root.parent_id,
                root.expires_at, root.idle_expires_at, root.used_at, root.second_factor_at, root.seal,
                root.seal_key, root.is_valid, users.is_active, decision_time() AS "now!"
         FROM sessions AS root
         JOIN users ON users.id = root.user_id AND NOT users.is_system
         WHERE root.id = $1"#,
        token.family_id,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(|root| RefreshTokenRow {
        family: SessionId(root.id),
        user: UserId(token.user_id),
        presented: Presented {
            is_valid: root.is_valid,
            is_active: root.is_active,
            ends_at: root.expires_at,
            idle_expires_at: token.idle_expires_at,
            used_at: token.used_at,
        },
        now: root.now,
        root: (root.id != token.id).then(|| {
            SessionRow {
                id: root.id,
                user_id: root.user_id,
                refresh_token: root.refresh_token,
                family_id: root.family_id,
                parent_id: root.parent_id,
                expires_at: root.expires_at,
                idle_expires_at: root.idle_expires_at,
                used_at: root.used_at,
                second_factor_at: root.second_factor_at,
                seal: root.seal,
                seal_key: root.seal_key,
            }
            .into()
        }),
        row: token.into(),
    }))
}

/// This log-in, where it was not ended, locked until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    session: SessionId,
) -> Result<Option<Sealed<Session>>, StoreError> {
    let found = sqlx::query_as!(
        SessionRow,
        "SELECT id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
                second_factor_at, seal, seal_key
         FROM sessions
         WHERE id = $1 AND is_valid
         FOR NO KEY UPDATE",
        session.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(Into::into))
}

/// The log-ins of an account that showed a second factor and were not ended, locked until the transaction
/// ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_with_second_factor(
    tx: &mut Tx<'_>,
    user: UserId,
) -> Result<Vec<Sealed<Session>>, StoreError> {
    let found = sqlx::query_as!(
        SessionRow,
        "SELECT id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
                second_factor_at, seal, seal_key
         FROM sessions
         WHERE user_id = $1 AND is_valid AND second_factor_at IS NOT NULL
         ORDER BY id
         FOR NO KEY UPDATE",
        user.0,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Writes when a token was used and when its log-in showed a second factor; lock the row first.
///
/// # Errors
/// [`StoreError`].
pub async fn write(tx: &mut Tx<'_>, session: &Session, seal: &Seal) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE sessions
         SET used_at = $2, second_factor_at = $3, seal = $4, seal_key = $5
         WHERE id = $1",
        session.id.0,
        session.used_at,
        session.second_factor_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a token was rotated to already.
#[derive(Debug)]
pub struct KnownChild {
    /// Its row.
    pub id: SessionId,
    /// The SHA-256 of its refresh token.
    pub refresh_token_hash: String,
    /// Until when that may be used.
    pub idle_expires_at: DateTime<Utc>,
}

/// What this token was rotated to. Served by `sessions_parent_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn child_of(
    conn: &mut PgConnection,
    token: SessionId,
) -> Result<Option<KnownChild>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, refresh_token, idle_expires_at FROM sessions WHERE parent_id = $1",
        token.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.and_then(|row| {
        Some(KnownChild {
            id: SessionId(row.id),
            refresh_token_hash: row.refresh_token,
            idle_expires_at: row.idle_expires_at?,
        })
    }))
}

/// Which log-ins of an account.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// All of them.
    All,
    /// All but this one.
    AllBut(SessionId),
    /// This one.
    One(SessionId),
}

impl Which {
    /// The one, and the one that is left out.
    fn ids(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::All => (None, None),
            Self::AllBut(session) => (None, Some(session.0)),
            Self::One(session) => (Some(session.0), None),
        }
    }
}

/// Ends log-ins of an account that are not over, and tells every process. Answers which. Their seals go, so
/// that none of them counts where somebody makes it valid again.
///
/// # Errors
/// [`StoreError`].
pub async fn revoke(
    tx: &mut Tx<'_>,
    user: UserId,
    which: Which,
) -> Result<Vec<SessionId>, StoreError> {
    let (one, but) = which.ids();
    let revoked = sqlx::query!(
        r#"UPDATE sessions
         SET is_valid = FALSE, revoked_at = decision_time(), seal = NULL, seal_key = NULL
         WHERE user_id = $1
           AND is_valid
           AND expires_at > CURRENT_TIMESTAMP
           AND ($2::uuid IS NULL OR family_id = $2)
           AND ($3::uuid IS NULL OR family_id <> $3)
         RETURNING id, parent_id IS NULL AS "is_root!""#,
        user.0,
        one,
        but,
    )
    .fetch_all(&mut **tx)
    .await?;
    let roots: Vec<_> = revoked
        .into_iter()
        .filter(|row| row.is_root)
        .map(|row| SessionId(row.id))
        .collect();
    notify_ended(tx, &roots).await?;
    Ok(roots)
}

/// Ends the oldest log-ins of an account that are beyond the newest `most` that are not over, and tells
/// every process. Answers which. Served by `idx_sessions_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn end_oldest(
    tx: &mut Tx<'_>,
    user: UserId,
    most: i64,
) -> Result<Vec<SessionId>, StoreError> {
    // Who logs in twice at once follows themselves: each sees what the other has begun.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('sessions of ' || $1::text, schema_key()))",
        user.0.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    let ended = sqlx::query!(
        r#"UPDATE sessions
         SET is_valid = FALSE, revoked_at = CURRENT_TIMESTAMP, seal = NULL, seal_key = NULL
         WHERE is_valid
           AND family_id IN (
             SELECT root.id
             FROM sessions AS root
             CROSS JOIN LATERAL (
                 SELECT idle_expires_at
                 FROM sessions
                 WHERE family_id = root.id
                 ORDER BY created_at DESC
                 LIMIT 1
             ) AS latest
             WHERE root.user_id = $1
               AND root.parent_id IS NULL
               AND root.is_valid
               AND root.expires_at > CURRENT_TIMESTAMP
               AND latest.idle_expires_at > CURRENT_TIMESTAMP
             ORDER BY root.created_at DESC, root.id DESC
             OFFSET $2
         )
         RETURNING id, parent_id IS NULL AS "is_root!""#,
        user.0,
        most,
    )
    .fetch_all(&mut **tx)
    .await?;
    let roots = ended.into_iter().filter(|row| row.is_root);
    let roots: Vec<_> = roots.map(|row| SessionId(row.id)).collect();
    notify_ended(tx, &roots).await?;
    Ok(roots)
}

/// Wakes every process where log-ins ended.
async fn notify_ended(tx: &mut Tx<'_>, ended: &[SessionId]) -> Result<(), StoreError> {
    if !ended.is_empty() {
        sqlx::query!("SELECT pg_notify(notice_channel($1), '')", CHANNEL)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// A refresh token as it was found without its row being locked.
#[derive(Debug)]
pub struct PeekedToken {
    /// Whose log-in it goes on with.
    pub user: UserId,
    /// What decides whether it is good.
    pub presented: Presented,
    /// The database's time.
    pub now: DateTime<Utc>,
}

/// Whether a log-in can be gone on with by this refresh token, as it seems now: it was never used, or a
/// moment ago. Locks nothing and decides nothing. Served by `idx_sessions_refresh_token`.
///
/// # Errors
/// [`StoreError`].
pub async fn peek_token(
    conn: &mut PgConnection,
    hash: &str,
) -> Result<Option<PeekedToken>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT
            token.user_id,
            root.is_valid,
            root.expires_at,
            token.idle_expires_at,
            token.used_at,
            users.is_active,
            CURRENT_TIMESTAMP AS "now!"
         FROM sessions AS token
         JOIN sessions AS root ON root.id = token.family_id
         JOIN users ON users.id = token.user_id AND NOT users.is_system
         WHERE token.refresh_token = $1"#,
        hash,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| {
        let presented = Presented {
            is_valid: row.is_valid,
            is_active: row.is_active,
            ends_at: row.expires_at,
            idle_expires_at: row.idle_expires_at,
            used_at: row.used_at,
        };
        PeekedToken {
            user: UserId(row.user_id),
            presented,
            now: row.now,
        }
    }))
}

/// Log-ins that were revoked after this moment, and what time it is. Without a moment: the time alone.
/// Served by `idx_sessions_revoked_at`.
///
/// A transaction may commit some time after the moment it stamps: ask from a little earlier than the
/// time that was answered last.
///
/// # Errors
/// [`StoreError`].
pub async fn revoked_since(
    conn: &mut PgConnection,
    since: Option<DateTime<Utc>>,
) -> Result<(Vec<SessionId>, DateTime<Utc>), StoreError> {
    let now = crate::users::now(conn).await?;
    let Some(since) = since else {
        return Ok((Vec::new(), now));
    };
    let revoked = sqlx::query_scalar!(
        "SELECT id FROM sessions WHERE revoked_at > $1 AND parent_id IS NULL",
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok((revoked.into_iter().map(SessionId).collect(), now))
}

/// A log-in as its owner sees it.
#[derive(Debug, Clone)]
pub struct LogIn {
    /// Its id.
    pub id: SessionId,
    /// When somebody logged in.
    pub created_at: DateTime<Utc>,
    /// When it is over at the latest.
    pub expires_at: DateTime<Utc>,
    /// Until when it can be gone on with, unless it is used before.
    pub idle_expires_at: DateTime<Utc>,
    /// When it was last gone on with; when it was begun, if never.
    pub last_used_at: DateTime<Utc>,
    /// From where it was last used.
    pub address: Option<String>,
    /// With what it was last used.
    pub user_agent: Option<String>,
}

/// Where a page of log-ins goes on: after the one begun then, with that id.
pub type LogInCursor = (DateTime<Utc>, SessionId);

/// Asks for log-ins, as [`LogInRow`] holds them; `$which` says for which.
macro_rules! log_in_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            LogInRow,
            r#"SELECT
                root.id,
                root.created_at,
                root.expires_at,
                latest.idle_expires_at AS "idle_expires_at!",
                latest.created_at AS last_used_at,
                host(latest.ip_address) AS address,
                latest.user_agent AS "user_agent?"
             FROM sessions AS root
             CROSS JOIN LATERAL (
                 SELECT created_at, idle_expires_at, ip_address, user_agent
                 FROM sessions
                 WHERE family_id = root.id
                 ORDER BY created_at DESC
                 LIMIT 1
             ) AS latest "# + $which
            $(, $argument)*
        )
    };
}

struct LogInRow {
    id: Uuid,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl From<LogInRow> for LogIn {
    fn from(row: LogInRow) -> Self {
        Self {
            id: SessionId(row.id),
            created_at: row.created_at,
            expires_at: row.expires_at,
            idle_expires_at: row.idle_expires_at,
            last_used_at: row.last_used_at,
            address: row.address,
            user_agent: row.user_agent,
        }
    }
}

/// The log-ins of an account that are not over, newest first; only one of them where `only` names it.
/// Served by `idx_sessions_user_page`; the last use of each by `idx_sessions_family_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    user: UserId,
    only: Option<SessionId>,
    asked: KeysetPage<LogInCursor>,
) -> Result<Vec<LogIn>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        log_in_rows!(
            "WHERE root.user_id = $1
               AND root.parent_id IS NULL
               AND root.is_valid
               AND root.expires_at > CURRENT_TIMESTAMP
               AND latest.idle_expires_at > CURRENT_TIMESTAMP
               AND ($2::uuid IS NULL OR root.id = $2)
               AND ($3::timestamptz IS NULL OR (root.created_at, root.id) < ($3, $4::uuid))
             ORDER BY root.created_at DESC, root.id DESC
             LIMIT $5",
            "WHERE root.user_id = $1
               AND root.parent_id IS NULL
               AND root.is_valid
               AND root.expires_at > CURRENT_TIMESTAMP
               AND latest.idle_expires_at > CURRENT_TIMESTAMP
               AND ($2::uuid IS NULL OR root.id = $2)
               AND ($3::timestamptz IS NULL OR (root.created_at, root.id) > ($3, $4::uuid))
             ORDER BY root.created_at, root.id
             LIMIT $5",
            user.0,
            only.map(|id| id.0),
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    Ok(found.into_iter().map(LogIn::from).collect())
}

/// How many log-ins [`page`] gives on all pages. Served by `idx_sessions_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn count(conn: &mut PgConnection, user: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
         FROM sessions AS root
         CROSS JOIN LATERAL (
             SELECT idle_expires_at
             FROM sessions
             WHERE family_id = root.id
             ORDER BY created_at DESC
             LIMIT 1
         ) AS latest
         WHERE root.user_id = $1
           AND root.parent_id IS NULL
           AND root.is_valid
           AND root.expires_at > CURRENT_TIMESTAMP
           AND latest.idle_expires_at > CURRENT_TIMESTAMP"#,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// How far back of the time answered last [`revoked_since`] is to be asked: no transaction of ours lasts
/// longer than its statement (8 s), its locks (5 s) and its idling (15 s) may.
pub const LATE_COMMITS: TimeDelta = TimeDelta::seconds(60);
