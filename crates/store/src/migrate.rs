//! The schema's history, compiled in.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Row,
    migrate::{Migration, Migrator},
    postgres::PgPoolOptions,
};

use crate::{
    Pool, StoreError, session,
    tenant::{InvalidTenantName, Tenant},
};

/// How long a migration waits for a lock at a time. Whoever comes after it in the queue waits as long, and requests are given
/// up after five seconds.
const LOCK_WAIT: &str = "SET lock_timeout = '1s'";
/// A migration outside of a transaction makes or drops an index concurrently: it waits for transactions that are under way, and
/// nobody who reads or writes waits for it.
const NO_LOCK_WAIT: &str = "SET lock_timeout = 0";
/// How long requests that waited behind it are served meanwhile.
const REST: Duration = Duration::from_secs(1);
/// How long whoever waits for another process that moves the schema does nothing before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often a migration is tried that does not get its locks.
const ATTEMPTS: u32 = 120;

pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Why the schema could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed or does not fit what was applied before.
    #[error("the migration failed: {0}")]
    Failed(#[from] sqlx::migrate::MigrateError),
    /// The role's `search_path` leads to no schema.
    #[error(
        "there is no schema for this role: run `meditrustal database create` with --schema, or mend the role's search_path"
    )]
    NoSchema,
    /// The schema, or the role, has a name that cannot be used.
    #[error(transparent)]
    Tenant(#[from] InvalidTenantName),
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

/// One migration as it would be run.
#[derive(Debug, Clone)]
pub struct MigrationScript {
    /// Its number, `YYYYMMDDHHMMSS`.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// Its statements.
    pub sql: String,
    /// Whether they are run in one transaction: all but those that make or drop an index concurrently are.
    pub in_transaction: bool,
}

/// What taking migrations back would lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostData {
    /// A table, or a column as `table.column`.
    pub what: String,
    /// How many rows the table has, or have a value in the column.
    pub rows: i64,
}

/// What became of moving the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedSchema {
    /// How many migrations were applied, or taken back.
    pub count: usize,
    /// Whether another process moved it meanwhile, and was waited for.
    pub waited: bool,
}

/// One migration that is applied or taken back.
#[derive(Debug, Clone, Copy)]
enum SchemaStep {
    /// Applies it, and what is missing below it.
    Up(i64),
    /// Takes it back, as far as the one below it.
    Down { version: i64, below: i64 },
}

/// The right to move the schema of a database: as long as it is held, nobody else does.
#[derive(Debug)]
pub struct SchemaLock {
    pool: PgPool,
    migrator: Migrator,
    waited: bool,
}

impl SchemaLock {
    /// Takes it. Calls `waiting` once where another process moves the schema now, and waits until it has ended.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn take(url: &str, waiting: impl FnOnce()) -> Result<Self, MigrateError> {
        Self::take_with(url, Vec::new(), waiting).await
    }

    /// Takes it as [`Self::take`] does, for a schema that has these migrations, too: so that tests move it to a version that is yet to
    /// come.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn take_with(
        url: &str,
        more: Vec<Migration>,
        waiting: impl FnOnce(),
    ) -> Result<Self, MigrateError> {
        let mut waited = false;
        let pool = open_alone(url, || {
            waited = true;
            waiting();
        })
        .await?;
        let tenant = Tenant::of(&pool).await?;
        let all = MIGRATOR.iter().cloned().chain(more).collect();
        Ok(Self {
            migrator: tenant.migrations(&Migrator::with_migrations(all)),
            pool,
            waited,
        })
    }

    /// What would be applied, oldest first.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn missing(&self) -> Result<Vec<MigrationScript>, MigrateError> {
        let status = status_of(&self.pool, &self.migrator).await?;
        let missing = status.iter().filter(|it| !it.applied);
        Ok(self.scripts(missing.map(|it| it.version), true))
    }

    /// The last `steps` that are applied, in the order in which they would be taken back.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn last(&self, steps: usize) -> Result<Vec<MigrationScript>, MigrateError> {
        let status = status_of(&self.pool, &self.migrator).await?;
        let applied = status.iter().rev().filter(|it| it.applied);
        Ok(self.scripts(applied.take(steps).map(|it| it.version), false))
    }

    /// How many migrations are applied.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn applied(&self) -> Result<usize, MigrateError> {
        let status = status_of(&self.pool, &self.migrator).await?;
        Ok(status.iter().filter(|it| it.applied).count())
    }

    /// What these scripts, run one after the other, would lose: tables that go and have rows, columns that go and have values
    /// in a table that stays, and rows that go. They are run for that in a transaction that is rolled back. What they overwrite
    /// in a column that stays is not seen.
    ///
    /// # Errors
    /// [`MigrateError::Store`], where one of them fails as well.
    pub async fn losses(&self, scripts: &[MigrationScript]) -> Result<Vec<LostData>, MigrateError> {
        let mut conn = self.pool.acquire().await.map_err(StoreError::from)?;
        sqlx::raw_sql("BEGIN")
            .execute(&mut *conn)
            .await
            .map_err(StoreError::from)?;
        let found = losses_in(&mut conn, scripts).await;
        // Whatever was found: nothing of it stays.
        let undone = sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await;
        undone.map_err(StoreError::from)?;
        Ok(found?)
    }

    /// Applies what is missing, oldest first, or as many of it as are wanted; each in a transaction of its own. A migration that
    /// does not get a lock that others hold lets them go on, and is tried again.
    ///
    /// # Errors
    /// [`MigrateError`]; a failed migration leaves nothing half done.
    pub async fn up(&self, at_most: Option<usize>) -> Result<MovedSchema, MigrateError> {
        let before = self.applied().await?;
        let missing = self.missing().await?;
        if missing.is_empty() {
            // What was applied before is compared with what this program knows.
            self.moves(SchemaStep::Up(i64::MAX)).await?;
        }
        for script in missing.iter().take(at_most.unwrap_or(usize::MAX)) {
            self.moves(SchemaStep::Up(script.version)).await?;
        }
        Ok(MovedSchema {
            count: self.applied().await?.saturating_sub(before),
            waited: self.waited,
        })
    }

    /// Takes the last `steps` migrations back, the newest first, and waits for locks as [`Self::up`] does.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn down(&self, steps: usize) -> Result<MovedSchema, MigrateError> {
        let status = status_of(&self.pool, &self.migrator).await?;
        let applied: Vec<i64> = status
            .iter()
            .filter(|it| it.applied)
            .map(|it| it.version)
            .collect();
        let keep = applied.len().saturating_sub(steps);
        for place in (keep..applied.len()).rev() {
            let below = place.checked_sub(1).and_then(|it| applied.get(it));
            self.moves(SchemaStep::Down {
                version: applied[place],
                below: below.copied().unwrap_or(0),
            })
            .await?;
        }
        Ok(MovedSchema {
            count: applied.len() - keep,
            waited: self.waited,
        })
    }

    /// Takes a step, as often as it takes to get its locks.
    async fn moves(&self, step: SchemaStep) -> Result<(), MigrateError> {
        let (version, up) = match step {
            SchemaStep::Up(version) => (version, true),
            SchemaStep::Down { version, .. } => (version, false),
        };
        let script = self.scripts(std::iter::once(version), up).pop();
        let alone = script.filter(|it| !it.in_transaction);
        let wait = if alone.is_some() {
            NO_LOCK_WAIT
        } else {
            LOCK_WAIT
        };
        sqlx::raw_sql(wait)
            .execute(&self.pool)
            .await
            .map_err(StoreError::from)?;
        let mut attempt = 1;
        loop {
            if let Some(script) = &alone {
                remove_unfinished(&self.pool, &script.sql).await?;
            }
            let moved = match step {
                SchemaStep::Up(version) => self.migrator.run_to(version, &self.pool).await,
                SchemaStep::Down { below, .. } => self.migrator.undo(&self.pool, below).await,
            };
            let Err(error) = moved else { return Ok(()) };
            if attempt == ATTEMPTS || !is_of_a_lock(&error) {
                return Err(error.into());
            }
            attempt += 1;
            tokio::time::sleep(REST).await;
        }
    }

    fn scripts(&self, versions: impl Iterator<Item = i64>, up: bool) -> Vec<MigrationScript> {
        let script = |version| {
            let found = self
                .migrator
                .iter()
                .find(|it| it.version == version && it.migration_type.is_up_migration() == up)?;
            Some(MigrationScript {
                version,
                description: found.description.to_string(),
                sql: found.sql.as_str().to_owned(),
                in_transaction: !found.no_tx,
            })
        };
        versions.filter_map(script).collect()
    }

    /// Lets the next one move it.
    pub async fn release(self) {
        self.pool.close().await;
    }
}

/// The numbers of all migrations of this program, oldest first.
pub fn versions() -> Vec<i64> {
    let ups = MIGRATOR
        .iter()
        .filter(|it| it.migration_type.is_up_migration());
    ups.map(|it| it.version).collect()
}

/// Whether a migration waited for a lock in vain: PostgreSQL's `lock_not_available` and `deadlock_detected`.
fn is_of_a_lock(error: &sqlx::migrate::MigrateError) -> bool {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    let (Execute(error) | ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// Drops the indexes of this script that it began to make concurrently and did not end, as it was interrupted: they serve nothing,
/// and their names are taken.
async fn remove_unfinished(pool: &PgPool, script: &str) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    let unfinished = sqlx::query_scalar!(
        r#"SELECT class.relname::text AS "name!"
           FROM pg_index AS made
           JOIN pg_class AS class ON class.oid = made.indexrelid
           WHERE class.relnamespace = current_schema()::regnamespace
             AND NOT made.indisvalid
             AND strpos($1, class.relname::text) > 0
           ORDER BY class.relname"#,
        script,
    )
    .fetch_all(&mut *conn)
    .await?;
    for name in unfinished {
        let template = "DROP INDEX CONCURRENTLY IF EXISTS %1$I";
        let statement = format_of(&mut conn, template, &name, "").await?;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// A table or a column.
type Relation = (String, Option<String>);

async fn losses_in(
    conn: &mut PgConnection,
    scripts: &[MigrationScript],
) -> Result<Vec<LostData>, StoreError> {
    let before = relations(conn).await?;
    let counted = rows_of(conn, before.iter().filter(|(_, column)| column.is_none())).await?;
    sqlx::raw_sql("SAVEPOINT before_scripts")
        .execute(&mut *conn)
        .await?;
    // What is outside of a transaction makes and drops indexes, which hold nothing of their own.
    for script in scripts.iter().filter(|it| it.in_transaction) {
        sqlx::raw_sql(AssertSqlSafe(script.sql.clone()))
            .execute(&mut *conn)
            .await?;
    }
    let after = relations(conn).await?;
    let stay: Vec<&Relation> = before
        .iter()
        .filter(|it| it.1.is_none() && after.contains(*it))
        .collect();
    let left = rows_of(conn, stay.iter().copied()).await?;
    sqlx::raw_sql("ROLLBACK TO SAVEPOINT before_scripts")
        .execute(&mut *conn)
        .await?;
    let mut lost = Vec::new();
    for (table, rows) in &counted {
        let stays = left.iter().find(|(it, _)| it == table);
        let gone = rows - stays.map_or(0, |(_, rows)| *rows);
        if gone > 0 {
            lost.push(LostData {
                what: table.clone(),
                rows: gone,
            });
        }
    }
    let columns = before.iter().filter(|it| {
        it.1.is_some() && !after.contains(*it) && after.contains(&(it.0.clone(), None))
    });
    for (table, column) in columns {
        let column = column.as_deref().unwrap_or_default();
        let rows = values_of(conn, table, column).await?;
        if rows > 0 {
            lost.push(LostData {
                what: format!("{table}.{column}"),
                rows,
            });
        }
    }
    Ok(lost)
}

/// Every table of ours and every column of it.
async fn relations(conn: &mut PgConnection) -> Result<BTreeSet<Relation>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT class.relname::text AS "name!", attribute.attname::text AS "column?"
           FROM pg_class AS class
           LEFT JOIN pg_attribute AS attribute
               ON attribute.attrelid = class.oid
              AND attribute.attnum > 0
              AND NOT attribute.attisdropped
              AND attribute.attgenerated = ''
           WHERE class.relnamespace = current_schema()::regnamespace
             AND class.relkind IN ('r', 'p')
             AND class.relname <> '_sqlx_migrations'"#
    )
    .fetch_all(conn)
    .await?;
    let columns = found
        .iter()
        .map(|row| (row.name.clone(), row.column.clone()));
    let tables = found.iter().map(|row| (row.name.clone(), None));
    Ok(columns.chain(tables).collect())
}

async fn rows_of<'a>(
    conn: &mut PgConnection,
    tables: impl Iterator<Item = &'a Relation>,
) -> Result<Vec<(String, i64)>, StoreError> {
    let mut counted = Vec::new();
    for (table, _) in tables {
        let statement = format_of(conn, "SELECT count(*) FROM %1$I", table, "").await?;
        counted.push((table.clone(), number(conn, statement).await?));
    }
    Ok(counted)
}

/// How many rows have a value in a column.
async fn values_of(conn: &mut PgConnection, table: &str, column: &str) -> Result<i64, StoreError> {
    let template = "SELECT count(%2$I) FROM %1$I";
    let statement = format_of(conn, template, table, column).await?;
    number(conn, statement).await
}

/// A name is no parameter: the statement is built by the server, and sent back to it.
async fn format_of(
    conn: &mut PgConnection,
    template: &str,
    table: &str,
    column: &str,
) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT format($1, $2::text, $3::text) AS "statement!""#,
        template,
        table,
        column,
    )
    .fetch_one(conn)
    .await?)
}

async fn number(conn: &mut PgConnection, statement: String) -> Result<i64, StoreError> {
    let row = sqlx::raw_sql(AssertSqlSafe(statement))
        .fetch_one(conn)
        .await?;
    Ok(row.try_get(0)?)
}

async fn open(url: &str) -> Result<PgPool, StoreError> {
    // The lock is the connection's: it may neither be closed because it does nothing during a long backup, nor because it is old.
    let options = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>);
    Ok(options
        .connect_with(session::options(url, "meditrustal migrate")?)
        .await?)
}

/// A pool of one connection, which alone may move the schema until it is closed. Calls `waiting` once where
/// another one moves it now.
async fn open_alone(url: &str, waiting: impl FnOnce()) -> Result<PgPool, StoreError> {
    let pool = open(url).await?;
    // The function that gives this key is made by a migration.
    let key = sqlx::query_scalar!(
        r#"SELECT hashtextextended(
               'migration',
               CASE current_schema() WHEN 'public' THEN 0 ELSE hashtextextended(current_schema(), 0) END
           ) AS "key""#
    )
    .fetch_one(&pool)
    .await?;
    // None where there is no schema, which is told by whoever looks for it.
    let Some(key) = key else {
        return Ok(pool);
    };
    let mut waiting = Some(waiting);
    // Asked again and again: a statement that waits has a snapshot, which whoever makes an index concurrently waits for.
    while !sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "taken!""#, key)
        .fetch_one(&pool)
        .await?
    {
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(pool)
}

/// Every migration this program knows, oldest first.
///
/// # Errors
/// [`MigrateError`].
pub async fn status(url: &str) -> Result<Vec<MigrationStatus>, MigrateError> {
    let pool = open(url).await?;
    let status = status_of(&pool, &MIGRATOR).await?;
    pool.close().await;
    Ok(status)
}

/// Refuses to go on with a schema older than this program.
///
/// # Errors
/// [`MigrateError::Behind`] where a migration is missing; [`MigrateError::Store`] where the database
/// gives no answer.
pub async fn require_current(pool: &Pool) -> Result<(), MigrateError> {
    let missing = status_of(pool.as_sqlx(), &MIGRATOR)
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

async fn status_of(
    pool: &PgPool,
    migrator: &Migrator,
) -> Result<Vec<MigrationStatus>, MigrateError> {
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
    Ok(migrator
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect())
}
