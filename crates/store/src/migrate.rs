//! The schema's history, compiled in.

use sqlx::{PgPool, migrate::Migrator, postgres::PgPoolOptions};

use crate::{Pool, StoreError};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Why the schema could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed or does not fit what was applied before.
    #[error("the migration failed: {0}")]
    Failed(#[from] sqlx::migrate::MigrateError),
    /// The schema is not the one this program was built for.
    #[error(
        "the database lacks {missing} migration(s) of this program; run `meditrustal migrate up`"
    )]
    Behind {
        /// How many.
        missing: usize,
    },
}

/// One migration, and whether it is applied.
#[derive(Debug, Clone)]
pub struct MigrationStatus {
    /// Its number, `YYYYMMDDHHMMSS`.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// Whether it is applied.
    pub applied: bool,
}

async fn open(url: &str) -> Result<PgPool, StoreError> {
    Ok(PgPoolOptions::new().max_connections(1).connect(url).await?)
}

/// A pool of one connection, which alone may move the schema until it is closed. Calls `waiting` once where
/// another one moves it now.
async fn open_alone(url: &str, waiting: impl FnOnce()) -> Result<PgPool, StoreError> {
    let pool = open(url).await?;
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_lock(hashtextextended('migration', 0)) AS "taken!""#
    )
    .fetch_one(&pool)
    .await?;
    if !taken {
        waiting();
        sqlx::query!("SELECT pg_advisory_lock(hashtextextended('migration', 0))")
            .execute(&pool)
            .await?;
    }
    Ok(pool)
}

/// Applies what is missing. Two at once wait for each other, and `waiting` is called in the second one.
/// Gives the number applied.
///
/// # Errors
/// [`MigrateError`]; a failed migration leaves nothing half done.
pub async fn up(url: &str, waiting: impl FnOnce()) -> Result<usize, MigrateError> {
    let pool = open_alone(url, waiting).await?;
    let before = status_of(&pool).await?.iter().filter(|m| m.applied).count();
    MIGRATOR.run(&pool).await?;
    let after = status_of(&pool).await?.iter().filter(|m| m.applied).count();
    pool.close().await;
    Ok(after.saturating_sub(before))
}

/// Takes the last `steps` migrations back, alone as [`up`]. Gives the number taken back.
///
/// # Errors
/// [`MigrateError`].
pub async fn down(url: &str, steps: usize, waiting: impl FnOnce()) -> Result<usize, MigrateError> {
    let pool = open_alone(url, waiting).await?;
    let applied: Vec<i64> = status_of(&pool)
        .await?
        .iter()
        .filter(|m| m.applied)
        .map(|m| m.version)
        .collect();
    let keep = applied.len().saturating_sub(steps);
    let target = keep
        .checked_sub(1)
        .and_then(|last| applied.get(last))
        .copied()
        .unwrap_or(0);
    MIGRATOR.undo(&pool, target).await?;
    pool.close().await;
    Ok(applied.len() - keep)
}

/// Every migration this program knows, oldest first.
///
/// # Errors
/// [`MigrateError`].
pub async fn status(url: &str) -> Result<Vec<MigrationStatus>, MigrateError> {
    let pool = open(url).await?;
    let status = status_of(&pool).await?;
    pool.close().await;
    Ok(status)
}

/// Refuses to go on with a schema older than this program.
///
/// # Errors
/// [`MigrateError::Behind`] where a migration is missing; [`MigrateError::Store`] where the database
/// gives no answer.
pub async fn require_current(pool: &Pool) -> Result<(), MigrateError> {
    let missing = status_of(pool.as_sqlx())
        .await?
        .iter()
        .filter(|migration| !migration.applied)
        .count();
    if missing == 0 {
        Ok(())
    } else {
        Err(MigrateError::Behind { missing })
    }
}

async fn status_of(pool: &PgPool) -> Result<Vec<MigrationStatus>, MigrateError> {
    let exists =
        sqlx::query_scalar!(r#"SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS "e!""#)
            .fetch_one(pool)
            .await
            .map_err(StoreError::from)?;
    let applied: Vec<i64> = if exists {
        #[expect(
            clippy::disallowed_methods,
            reason = "the migrator's own table is not in the schema that is checked"
        )]
        let rows = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
        rows.fetch_all(pool).await.map_err(StoreError::from)?
    } else {
        Vec::new()
    };
    Ok(MIGRATOR
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect())
}
