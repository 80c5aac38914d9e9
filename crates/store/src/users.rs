//! Accounts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{
    ids::{OrganizationId, SessionId, UserId},
    seals::{Authority, Seal, Sealed, Session},
    users::{Role, User},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    reads::LogPosition,
    rows,
    seals::{AuthorityRow, authority_rows},
};

/// An account to be made.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Its names, and what it may do.
    pub authority: &'a Authority,
    /// The seal of that.
    pub seal: &'a Seal,
}

/// Why an account could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InsertUserError {
    /// Somebody has this address.
    #[error("this e-mail address is taken")]
    EmailTaken,
    /// Somebody has this name.
    #[error("this user name is taken")]
    UsernameTaken,
    /// The database gave no answer.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for InsertUserError {
    fn from(error: StoreError) -> Self {
        match error.constraint() {
            Some("users_email_key" | "users_email_folded_key") => Self::EmailTaken,
            Some("users_username_key" | "users_username_folded_key") => Self::UsernameTaken,
            _ => Self::Store(error),
        }
    }
}

/// Makes an account.
///
/// # Errors
/// [`InsertUserError`]; a name or an address counts as taken whatever its capitals.
pub async fn insert(conn: &mut PgConnection, user: &NewUser<'_>) -> Result<User, InsertUserError> {
    let inserted = sqlx::query!(
        "INSERT INTO users (id, email, username, hashed_password, role, seal, seal_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING created_at",
        user.authority.user.0,
        user.authority.email,
        user.authority.username,
        user.authority.hashed_password,
        user.authority.role.as_str(),
        user.seal.mac,
        user.seal.key_id,
    )
    .fetch_one(conn)
    .await
    .map_err(StoreError::from)?;
    Ok(User {
        id: user.authority.user,
        email: user.authority.email.clone(),
        username: user.authority.username.clone(),
        role: user.authority.role,
        is_active: true,
        blockchain_address: None,
        organization: None,
        created_at: inserted.created_at,
    })
}

/// Asks for accounts, as [`UserRow`] holds them: its columns stand between the two texts.
macro_rules! user_rows {
    ($before:tt, $after:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            UserRow,
            $before
                + "id, email, username, role, is_active, blockchain_address, organization_id, created_at"
                + $after,
            $($argument),+
        )
    };
}

/// Asks for accounts; `$which` says for which.
macro_rules! listed_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        user_rows!("SELECT ", $which, $($argument),+)
    };
}

pub(crate) struct UserRow {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) username: String,
    pub(crate) role: String,
    pub(crate) is_active: bool,
    pub(crate) blockchain_address: Option<String>,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) created_at: DateTime<Utc>,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;
    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId(row.id),
            email: row.email,
            username: row.username,
            role: rows::text(&row.role, "role")?,
            is_active: row.is_active,
            blockchain_address: row.blockchain_address,
            organization: row.organization_id.map(OrganizationId),
            created_at: row.created_at,
        })
    }
}

/// Accounts by id, in no particular order; unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(conn: &mut PgConnection, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = user_rows!(
        "SELECT ",
        " FROM users
         WHERE id = ANY($1)",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(User::try_from).collect()
}

/// The account with this e-mail address or user name, folded (`domain::users::fold`). Served by the
/// folded unique indexes. What it may do, [`crate::seals::authorities`] says.
///
/// # Errors
/// [`StoreError`].
pub async fn by_login(conn: &mut PgConnection, folded: &str) -> Result<Option<User>, StoreError> {
    // PostgreSQL holds no such text, and refuses even to look for it.
    if folded.contains('\0') {
        return Ok(None);
    }
    let found = user_rows!(
        "SELECT ",
        " FROM users
         WHERE NOT is_system
           AND (lower(email) = $1 OR lower(username) = $1)
         LIMIT 1",
        folded,
    )
    .fetch_optional(conn)
    .await?;
    found.map(User::try_from).transpose()
}

/// Where a page of accounts goes on: after the account made then, with that id.
pub type UserCursor = (DateTime<Utc>, UserId);

/// Which accounts to list. Empty filters match everything.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Of this role.
    pub role: Option<Role>,
    /// Active, or deactivated.
    pub is_active: Option<bool>,
    /// Whose name begins with this, folded.
    pub username_prefix: Option<String>,
}

/// Accounts, newest first; system users are left out. Served by `idx_users_created_at`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    filter: &UserFilter,
    asked: KeysetPage<UserCursor>,
) -> Result<Vec<User>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        listed_rows!(
            " FROM users
             WHERE NOT is_system
               AND ($1::text IS NULL OR role = $1)
               AND ($2::text IS NULL OR starts_with(lower(username), $2))
               AND ($3::boolean IS NULL OR is_active = $3)
               AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
             ORDER BY created_at DESC, id DESC
             LIMIT $6",
            " FROM users
             WHERE NOT is_system
               AND ($1::text IS NULL OR role = $1)
               AND ($2::text IS NULL OR starts_with(lower(username), $2))
               AND ($3::boolean IS NULL OR is_active = $3)
               AND ($4::timestamptz IS NULL OR (created_at, id) > ($4, $5::uuid))
             ORDER BY created_at, id
             LIMIT $6",
            filter.role.map(Role::as_str),
            filter.username_prefix,
            filter.is_active,
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    found.into_iter().map(User::try_from).collect()
}

/// Active doctors of whose name words begin with these, newest account first. The words are letters and digits
/// alone, folded (`domain::users::words`); each has to begin a word of the name. Served by `idx_users_doctor_words`.
///
/// # Errors
/// [`StoreError`].
pub async fn doctors(
    conn: &mut PgConnection,
    words: &[String],
    asked: KeysetPage<UserCursor>,
) -> Result<Vec<User>, StoreError> {
    let beginnings: Vec<String> = words.iter().map(|word| format!("'{word}':*")).collect();
    let found = either_way!(
        conn,
        asked.backward,
        listed_rows!(
            " FROM users
             WHERE words_of(username) @@ to_tsquery('simple', $1)
               AND role = 'DOCTOR'
               AND is_active
               AND NOT is_system
               AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
             ORDER BY created_at DESC, id DESC
             LIMIT $4",
            " FROM users
             WHERE words_of(username) @@ to_tsquery('simple', $1)
               AND role = 'DOCTOR'
               AND is_active
               AND NOT is_system
               AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3::uuid))
             ORDER BY created_at, id
             LIMIT $4",
            beginnings.join(" & "),
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id): (_, UserId)| id.0) as Option<Uuid>,
            asked.limit,
        )
    );
    found.into_iter().map(User::try_from).collect()
}

/// Writes the address and the name of an account, with its seal; lock it first. `None` where there is none.
///
/// # Errors
/// [`InsertUserError`]; a name or an address counts as taken whatever its capitals.
pub async fn rename(
    conn: &mut PgConnection,
    account: &Authority,
    seal: &Seal,
) -> Result<Option<User>, InsertUserError> {
    let found = user_rows!(
        "UPDATE users
         SET email = $2, username = $3, seal = $4, seal_key = $5
         WHERE id = $1 AND NOT is_system
         RETURNING ",
        "",
        account.user.0,
        account.email,
        account.username,
        seal.mac,
        seal.key_id,
    )
    .fetch_optional(conn)
    .await
    .map_err(StoreError::from)?;
    Ok(found.map(User::try_from).transpose()?)
}

/// The account, locked until the transaction ends. `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(tx: &mut Tx<'_>, id: UserId) -> Result<Option<User>, StoreError> {
    let found = user_rows!(
        "SELECT ",
        " FROM users
         WHERE id = $1 AND NOT is_system
         FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(User::try_from).transpose()
}

/// All active administrators, locked until the transaction ends, always in the same order. Whoever takes one
/// away asks this first, so that two at once cannot take the last.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_administrators(tx: &mut Tx<'_>) -> Result<Vec<Sealed<Authority>>, StoreError> {
    let found = authority_rows!(
        "WHERE role = 'ADMIN' AND is_active AND NOT is_system
         ORDER BY id
         FOR NO KEY UPDATE",
    )
    .fetch_all(&mut **tx)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Who is behind a log-in, as far as the database says.
#[derive(Debug)]
pub struct SessionClaim {
    /// The account.
    pub account: Sealed<Authority>,
    /// The log-in, where it is known and was not ended.
    pub session: Option<Sealed<Session>>,
}

pub(crate) struct PresentRow {
    pub(crate) now: DateTime<Utc>,
    pub(crate) written: Option<i64>,
    pub(crate) timeline: Option<i32>,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) id: Option<Uuid>,
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) is_active: Option<bool>,
    pub(crate) is_system: Option<bool>,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) hashed_password: Option<String>,
    pub(crate) blockchain_address: Option<String>,
    pub(crate) has_second_factor: Option<bool>,
    pub(crate) refusals: Option<Vec<Uuid>>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) family_id: Option<Uuid>,
    pub(crate) parent_id: Option<Uuid>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) idle_expires_at: Option<DateTime<Utc>>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) second_factor_at: Option<DateTime<Utc>>,
    pub(crate) session_seal: Option<Vec<u8>>,
    pub(crate) session_seal_key: Option<String>,
}

impl PresentRow {
    /// The log-in; what is missing of it was never written by us.
    fn session(&mut self) -> Option<Sealed<Session>> {
        let session = Session {
            id: SessionId(self.session_id?),
            user: UserId(self.id?),
            refresh_token_hash: self.refresh_token.take()?,
            family: SessionId(self.family_id?),
            parent: self.parent_id.map(SessionId),
            expires_at: self.expires_at?,
            idle_expires_at: self.idle_expires_at,
            used_at: self.used_at,
            second_factor_at: self.second_factor_at,
        };
        let seal = Seal::of(self.session_seal.take(), self.session_seal_key.take());
        Some(Sealed::new(session, seal))
    }

    fn account(self) -> Option<AuthorityRow> {
        Some(AuthorityRow {
            id: self.id?,
            email: self.email?,
            username: self.username?,
            role: self.role?,
            is_active: self.is_active?,
            is_system: self.is_system?,
            organization_id: self.organization_id,
            hashed_password: self.hashed_password?,
            blockchain_address: self.blockchain_address,
            has_second_factor: self.has_second_factor?,
            refusals: self.refusals?,
            seal: self.seal,
            seal_key: self.seal_key,
        })
    }
}

/// Who stands behind sessions at a moment.
#[derive(Debug)]
pub struct Present {
    /// The moment, by the database's clock ([`now`]).
    pub now: DateTime<Utc>,
    /// By log-in. An unknown account gives none.
    pub claims: HashMap<SessionId, SessionClaim>,
    /// Where the primary's log is then.
    pub written: Option<LogPosition>,
}

impl Present {
    /// Of rows each of which has the clock; there is one at least.
    pub(crate) fn of(found: Vec<PresentRow>) -> Result<Self, StoreError> {
        let first = found
            .first()
            .ok_or(StoreError::Unreadable { what: "clock" })?;
        let now = first.now;
        let written = LogPosition::of(first.written, first.timeline);
        let mut claims = HashMap::with_capacity(found.len());
        for mut row in found {
            let (id, session) = (row.session_id, row.session());
            let (Some(id), Some(account)) = (id, row.account()) else {
                continue;
            };
            let account = account.try_into()?;
            claims.insert(SessionId(id), SessionClaim { account, session });
        }
        Ok(Self {
            now,
            claims,
            written,
        })
    }
}

/// Who stands behind these sessions at this moment, by log-in, with the database's clock ([`now`]). An
/// unknown account gives none.
///
/// # Errors
/// [`StoreError`].
pub async fn present(
    conn: &mut PgConnection,
    sessions: &[(UserId, SessionId)],
) -> Result<Present, StoreError> {
    let users: Vec<Uuid> = sessions.iter().map(|(user, _)| user.0).collect();
    let ids: Vec<Uuid> = sessions.iter().map(|(_, session)| session.0).collect();
    let found = sqlx::query_as!(
        PresentRow,
        r#"SELECT
            clock.now AS "now!",
            clock.written AS "written?",
            clock.timeline AS "timeline?",
            asked.session_id AS "session_id?",
            users.id AS "id?",
            users.email AS "email?",
            users.username AS "username?",
            users.role AS "role?",
            users.is_active AS "is_active?",
            users.is_system AS "is_system?",
            users.organization_id,
            users.hashed_password AS "hashed_password?",
            users.blockchain_address,
            users.has_second_factor AS "has_second_factor?",
            users.refusals AS "refusals?",
            users.seal,
            users.seal_key,
            sessions.refresh_token AS "refresh_token?",
            sessions.family_id,
            sessions.parent_id,
            sessions.expires_at AS "expires_at?",
            sessions.idle_expires_at,
            sessions.used_at,
            sessions.second_factor_at,
            sessions.seal AS session_seal,
            sessions.seal_key AS session_seal_key
         FROM (
             SELECT
                 decision_time() AS now,
                 CASE
                     WHEN pg_is_in_recovery() THEN NULL
                     WHEN current_setting('synchronous_commit') = 'off' THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
                     ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint
                 END AS written,
                 CASE
                     WHEN pg_is_in_recovery() THEN NULL
                     ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
                 END AS timeline
         ) AS clock
         LEFT JOIN UNNEST($1::uuid[], $2::uuid[]) AS asked(user_id, session_id) ON TRUE
         LEFT JOIN users ON users.id = asked.user_id AND NOT users.is_system
         LEFT JOIN sessions
           ON sessions.id = asked.session_id AND sessions.user_id = users.id AND sessions.is_valid"#,
        &users,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Present::of(found)
}

/// The time of this transaction's decision, by the database's clock: read when it is asked for first after
/// [`crate::barrier`]'s locks, the same from then on, and the `event_time` of its audit rows.
///
/// # Errors
/// [`StoreError`].
pub async fn now(conn: &mut PgConnection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT decision_time() AS "now!""#)
        .fetch_one(conn)
        .await?)
}
