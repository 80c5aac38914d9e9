//! Whether the database can do the work: a transaction like any other, a look at its disk, and what the
//! indexer last wrote. And whether another api can do what this one cannot.

use sqlx::{Connection as _, PgConnection, Row};

use crate::{StoreError, cursor::Registry, inspect, inspect::Measured, session};

/// What a probe saw.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The clocks.
    pub clock: Measured,
    /// How long ago an indexer that leads last said that all is well. Unit: seconds. `None` before the first.
    pub led_ago: Option<f64>,
}

/// A connection for probes alone, with the limits of all others.
///
/// # Errors
/// [`StoreError`].
pub async fn connect(
    url: &str,
    application: &str,
    settings: &crate::PoolSettings,
) -> Result<PgConnection, StoreError> {
    let options = session::options(url, application)?;
    let mut conn = PgConnection::connect_with(&options).await?;
    session::set(&mut conn, &session::limits(settings)).await?;
    Ok(conn)
}

/// Writes and commits, in a table that every request that logs in writes to; what was written is taken away
/// in the same transaction, so that nobody sees it. Where this fails or is dropped the connection may be left inside
/// that transaction: close it.
///
/// # Errors
/// [`StoreError`]: then requests that write cannot be served either.
pub async fn probe(conn: &mut PgConnection, registry: &Registry) -> Result<Probed, StoreError> {
    let clock = inspect::measure(conn).await?;
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    sqlx::query!(
        "WITH written AS (
             INSERT INTO throttle_counters (scope, subject, due_at)
             VALUES ('ACCOUNT', 'health ' || pg_backend_pid(), clock_timestamp())
             RETURNING subject
         )
         SELECT subject FROM written"
    )
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM throttle_counters
         WHERE scope = 'ACCOUNT' AND subject = 'health ' || pg_backend_pid()"
    )
    .execute(&mut *conn)
    .await?;
    take_space(conn).await?;
    let led = sqlx::query_scalar!(
        r#"SELECT EXTRACT(EPOCH FROM clock_timestamp() - updated_at)::double precision AS "ago!"
           FROM chain_cursors
           WHERE chain_id = $1 AND registry = $2"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::raw_sql("COMMIT").execute(conn).await?;
    Ok(Probed {
        clock,
        led_ago: led,
    })
}

/// Says to the other apis of this database whether this one has the key of every account in use, by a lock that this connection
/// holds from then on. Gives whether another one says so of itself, and has used its connection of late: one that is stopped holds
/// its lock and serves nobody.
///
/// # Errors
/// [`StoreError`].
pub async fn tell_of_signers(conn: &mut PgConnection, has_all: bool) -> Result<bool, StoreError> {
    if !has_all {
        // To give back what is not held would be a warning. This connection has no other lock.
        sqlx::query!(
            "SELECT pg_advisory_unlock_shared(hashtextextended('every signer', schema_key()))
             WHERE EXISTS (
                 SELECT
                 FROM pg_locks AS held
                 WHERE held.locktype = 'advisory'
                   AND held.pid = pg_backend_pid()
             )"
        )
        .fetch_optional(&mut *conn)
        .await?;
        return is_told_of_signers(conn).await;
    }
    // Each time that it is taken it would have to be given back once more.
    sqlx::query!(
        "SELECT pg_try_advisory_lock_shared(hashtextextended('every signer', schema_key()))
         WHERE NOT EXISTS (
             SELECT
             FROM pg_locks AS held
             WHERE held.locktype = 'advisory'
               AND held.pid = pg_backend_pid()
         )"
    )
    .fetch_optional(&mut *conn)
    .await?;
    Ok(false)
}

/// Whether another api has the key of every account in use. One of another role is not seen.
async fn is_told_of_signers(conn: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT
             FROM pg_locks AS held
             JOIN pg_stat_activity AS activity ON activity.pid = held.pid
             WHERE held.locktype = 'advisory'
               AND held.granted
               AND held.pid <> pg_backend_pid()
               AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND ((held.classid::bigint << 32) | held.objid::bigint)
                   = hashtextextended('every signer', schema_key())
               AND activity.state_change > clock_timestamp() - interval '15 seconds'
         ) AS "is_there!""#
    )
    .fetch_one(conn)
    .await?)
}

/// Takes new space on the database's disk, and gives it back: 200 kB of a temporary file. Pages that have
/// room are written to on a full disk, too, and so do not tell.
///
/// # Errors
/// [`StoreError::Unable`] where there is no space.
pub async fn take_space(tx: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("SET LOCAL work_mem = 64")
        .execute(&mut *tx)
        .await?;
    let row = sqlx::raw_sql(
        "SELECT count(*) FROM (SELECT repeat('x', 100) || n AS text FROM generate_series(1, 2000) AS n
                               ORDER BY text OFFSET 0) AS sorted",
    )
    .fetch_one(&mut *tx)
    .await?;
    let _: i64 = row.try_get(0)?;
    sqlx::raw_sql("SET LOCAL work_mem TO DEFAULT")
        .execute(tx)
        .await?;
    Ok(())
}
