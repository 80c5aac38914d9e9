//! What people are told: a durable log, of which each sees their own.
//!
//! Writers hold one advisory lock from their insert to their commit, so positions are in commit order: a reader that
//! remembers the last position it saw misses nothing. A writer takes the lock last, after all its row locks, so it
//! cannot be part of a deadlock.

use chrono::{DateTime, Utc};
use domain::{
    break_glass::NotificationKind,
    ids::{NotificationId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, feed, rows};

/// "note" and a 1, in ASCII.
const LOCK: i64 = 0x6e6f_7465_0001;

/// What somebody is to be told.
#[derive(Debug, Clone, Copy)]
pub struct NewNotification {
    /// Who is told.
    pub user: UserId,
    /// What.
    pub kind: NotificationKind,
    /// Who did it.
    pub actor: UserId,
    /// What it is about.
    pub resource: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// What somebody was told.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Which.
    pub id: NotificationId,
    /// Where it stands in the log.
    pub position: i64,
    /// Who was told.
    pub user: UserId,
    /// What.
    pub kind: NotificationKind,
    /// Who did it.
    pub actor: UserId,
    /// What it is about.
    pub resource: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// When it was marked as read.
    pub read_at: Option<DateTime<Utc>>,
}

struct NotificationRow {
    id: Uuid,
    position: i64,
    user_id: Uuid,
    kind: String,
    actor_id: Uuid,
    resource_id: Uuid,
    at: DateTime<Utc>,
    read_at: Option<DateTime<Utc>>,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = StoreError;
    fn try_from(row: NotificationRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: NotificationId(row.id),
            position: row.position,
            user: UserId(row.user_id),
            kind: rows::text(&row.kind, "kind of a notification")?,
            actor: UserId(row.actor_id),
            resource: row.resource_id,
            at: row.at,
            read_at: row.read_at,
        })
    }
}

/// Asks for notifications, as [`NotificationRow`] holds them; `$which` says for which.
macro_rules! notification_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            NotificationRow,
            "SELECT id, position, user_id, kind, actor_id, resource_id, at, read_at
             FROM notifications " + $which,
            $($argument),+
        )
    };
}

/// Tells people something, in the order given, and wakes the readers when the transaction commits.
///
/// # Errors
/// [`StoreError`].
pub async fn append(tx: &mut Tx<'_>, entries: &[NewNotification]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query!("SELECT pg_advisory_xact_lock($1 # schema_key())", LOCK)
        .execute(&mut **tx)
        .await?;
    let id = |cell: fn(&NewNotification) -> Uuid| entries.iter().map(cell).collect::<Vec<_>>();
    let kinds: Vec<String> = entries.iter().map(|it| it.kind.to_string()).collect();
    let times: Vec<DateTime<Utc>> = entries.iter().map(|it| it.at).collect();
    sqlx::query!(
        "INSERT INTO notifications (id, user_id, kind, actor_id, resource_id, at)
         SELECT id, user_id, kind, actor_id, resource_id, at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[])
             WITH ORDINALITY AS e(id, user_id, kind, actor_id, resource_id, at, nth)
         ORDER BY nth",
        &id(|_| NotificationId::fresh().0),
        &id(|it| it.user.0),
        &kinds,
        &id(|it| it.actor.0),
        &id(|it| it.resource),
        &times,
    )
    .execute(&mut **tx)
    .await?;
    // Whoever reads one log reads the other.
    sqlx::query!("SELECT pg_notify(notice_channel($1), '')", feed::CHANNEL)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// These notifications, as far as they are this person's.
///
/// # Errors
/// [`StoreError`].
pub async fn own_by_ids(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[Uuid],
) -> Result<Vec<Notification>, StoreError> {
    let found = notification_rows!(
        "WHERE id = ANY($2)
           AND user_id = $1
         ORDER BY position",
        user.0,
        ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// What somebody was told after this position, as [`page`] counts it, oldest first. Served by the same indexes.
///
/// # Errors
/// [`StoreError`].
pub async fn page_back(
    conn: &mut PgConnection,
    user: UserId,
    unread_only: bool,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Notification>, StoreError> {
    let after = after.unwrap_or(i64::MIN);
    if !unread_only {
        return own_after(conn, user, after, limit).await;
    }
    let found = notification_rows!(
        "WHERE user_id = $1
           AND read_at IS NULL
           AND position > $2
         ORDER BY position
         LIMIT $3",
        user.0,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// How much somebody was told. Served by `idx_notifications_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn count(conn: &mut PgConnection, user: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM notifications WHERE user_id = $1"#,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// What somebody was told, newest first. Served by `idx_notifications_user_page` and `idx_notifications_unread`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    user: UserId,
    unread_only: bool,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Notification>, StoreError> {
    let before = before.unwrap_or(i64::MAX);
    let found = if unread_only {
        notification_rows!(
            "WHERE user_id = $1
               AND read_at IS NULL
               AND position < $2
             ORDER BY position DESC
             LIMIT $3",
            user.0,
            before,
            limit,
        )
        .fetch_all(conn)
        .await?
    } else {
        notification_rows!(
            "WHERE user_id = $1
               AND position < $2
             ORDER BY position DESC
             LIMIT $3",
            user.0,
            before,
            limit,
        )
        .fetch_all(conn)
        .await?
    };
    found.into_iter().map(TryInto::try_into).collect()
}

/// How much of what somebody was told they have not read. Served by `idx_notifications_unread`.
///
/// # Errors
/// [`StoreError`].
pub async fn unread(conn: &mut PgConnection, user: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM notifications WHERE user_id = $1 AND read_at IS NULL"#,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// How many of these notifications are this person's.
///
/// # Errors
/// [`StoreError`].
pub async fn count_own(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[Uuid],
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM notifications WHERE id = ANY($2) AND user_id = $1"#,
        user.0,
        ids,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Marks these as read, or all where none is named, and answers how many were unread.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_read(
    conn: &mut PgConnection,
    user: UserId,
    ids: Option<&[Uuid]>,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE notifications
         SET read_at = $3
         WHERE user_id = $1
           AND read_at IS NULL
           AND ($2::uuid[] IS NULL OR id = ANY($2))",
        user.0,
        ids,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The last position there is; 0 for an empty log.
///
/// # Errors
/// [`StoreError`].
pub async fn last_position(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!("SELECT max(position) FROM notifications")
        .fetch_one(conn)
        .await?;
    Ok(last.unwrap_or(0))
}

/// Whether this person was told something at this position that happened at this time.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(
    conn: &mut PgConnection,
    user: UserId,
    position: i64,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let holds = sqlx::query_scalar!(
        r#"SELECT EXISTS(
             SELECT FROM notifications WHERE position = $2 AND user_id = $1 AND at = $3
         ) AS "holds!""#,
        user.0,
        position,
        at,
    )
    .fetch_one(conn)
    .await?;
    Ok(holds)
}

/// What everybody was told after this position, oldest first. Served by `notifications_position_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn after(
    conn: &mut PgConnection,
    position: i64,
    limit: i64,
) -> Result<Vec<Notification>, StoreError> {
    let found = notification_rows!(
        "WHERE position > $1
         ORDER BY position
         LIMIT $2",
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// What somebody was told after this position, oldest first. Served by `idx_notifications_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn own_after(
    conn: &mut PgConnection,
    user: UserId,
    position: i64,
    limit: i64,
) -> Result<Vec<Notification>, StoreError> {
    let found = notification_rows!(
        "WHERE user_id = $1
           AND position > $2
         ORDER BY position
         LIMIT $3",
        user.0,
        position,
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}
