//! Which indexer leads a registry. A lease that is not renewed can be taken by another, whatever became of who held it:
//! stopped, cut off, or too slow. It only says who may lead; that an earlier leader writes nothing is the fence's doing
//! (`cursor`).

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::{StoreError, Tx, cursor::Registry};

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexerLease {
    /// Who leads, or led last.
    pub holder: String,
    /// How long ago it was renewed, by the database's clock. Unit: seconds.
    pub age_seconds: f64,
}

/// Takes the lease where nobody has it: because there is none, because the connection by which it was taken has ended, or
/// because it was not renewed for as long as `patience`, by the database's clock. It is held by this connection from then on.
///
/// # Errors
/// [`StoreError`].
pub async fn take(
    conn: &mut PgConnection,
    registry: &Registry,
    holder: &str,
    patience: Duration,
) -> Result<bool, StoreError> {
    let taken = sqlx::query_scalar!(
        "INSERT INTO indexer_leases AS lease (
             chain_id, registry, holder, backend_pid, backend_started_at, taken_at, renewed_at
         )
         SELECT $1, $2, $3, activity.pid, activity.backend_start, clock_timestamp(), clock_timestamp()
         FROM pg_stat_activity AS activity
         WHERE activity.pid = pg_backend_pid()
         ON CONFLICT (chain_id, registry) DO UPDATE
         SET holder = EXCLUDED.holder,
             backend_pid = EXCLUDED.backend_pid,
             backend_started_at = EXCLUDED.backend_started_at,
             taken_at = EXCLUDED.taken_at,
             renewed_at = EXCLUDED.renewed_at
         WHERE lease.holder = EXCLUDED.holder
            OR lease.renewed_at < EXCLUDED.renewed_at - make_interval(secs => $4::double precision)
            OR NOT EXISTS (
                SELECT
                FROM pg_stat_activity AS activity
                WHERE activity.pid = lease.backend_pid
                  -- Not shown of another role's connection: that one counts as there.
                  AND (
                      activity.backend_start IS NULL
                      OR activity.backend_start = lease.backend_started_at
                  )
            )
         RETURNING lease.holder",
        registry.chain_id,
        registry.address,
        holder,
        patience.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(taken.is_some())
}

/// Renews the lease. `false` where another has it by now.
///
/// # Errors
/// [`StoreError`].
pub async fn renew(
    conn: &mut PgConnection,
    registry: &Registry,
    holder: &str,
) -> Result<bool, StoreError> {
    let renewed = sqlx::query!(
        "UPDATE indexer_leases
         SET renewed_at = clock_timestamp()
         WHERE chain_id = $1 AND registry = $2 AND holder = $3",
        registry.chain_id,
        registry.address,
        holder,
    )
    .execute(conn)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Whether the lease is this one's; keeps it so until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(tx: &mut Tx<'_>, registry: &Registry, holder: &str) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT holder
         FROM indexer_leases
         WHERE chain_id = $1 AND registry = $2 AND holder = $3
         FOR SHARE",
        registry.chain_id,
        registry.address,
        holder,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Lets the next one lead at once, where no other does already, and ends the connection.
///
/// # Errors
/// [`StoreError`]; the lease ends with the connection all the same.
pub async fn give_up(
    mut connection: PgConnection,
    registry: &Registry,
    holder: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE indexer_leases
         SET renewed_at = to_timestamp(0)
         WHERE chain_id = $1 AND registry = $2 AND holder = $3",
        registry.chain_id,
        registry.address,
        holder,
    )
    .execute(&mut connection)
    .await?;
    Ok(connection.close().await?)
}

/// Who leads, or led last; `None` before the first leader.
///
/// # Errors
/// [`StoreError`].
pub async fn current(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<IndexerLease>, StoreError> {
    Ok(sqlx::query_as!(
        IndexerLease,
        r#"SELECT
            holder,
            EXTRACT(EPOCH FROM clock_timestamp() - renewed_at)::double precision AS "age_seconds!"
         FROM indexer_leases
         WHERE chain_id = $1 AND registry = $2"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}
