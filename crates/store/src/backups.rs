//! What a backup says of the database beside the dump: a snapshot that several connections share, how many rows every table has
//! in it, and whose database it is. And what a database is restored into: whether it is empty, and whether anybody uses it.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use uuid::Uuid;

use crate::{
    StoreError,
    migrate::MigrateError,
    session,
    tenant::{InvalidTenantName, Tenant},
};

/// The table that is dumped apart from all others, by a role of its own.
pub const KEYS_TABLE: &str = "patient_keys";

/// How the comment of a database, or of a tenant's schema in one, begins whose restore has not ended.
const UNFINISHED: &str = "meditrustal restore of ";

/// As long as the dumps take: nothing is done in it meanwhile but to count rows. One process counts faster than any dump reads, and several
/// would take processors from the dumps.
const BEGIN: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET max_parallel_workers_per_gather = 0;
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A snapshot that is held open: whoever imports it sees the same rows.
#[derive(Debug)]
pub struct Snapshot {
    conn: PgConnection,
    /// What `pg_dump --snapshot` takes.
    pub id: String,
}

/// Whose database it is, as the snapshot shows it.
#[derive(Debug, Clone)]
pub struct DatabaseIdentity {
    /// Its name.
    pub name: String,
    /// The schema that our role's `search_path` leads to.
    pub schema: String,
    /// The role that owns the tables.
    pub owner: String,
    /// Schemas of this database that belong to other tenants, as statements name them: to roles that are called as those are that own
    /// tables of ours.
    pub of_others: Vec<String>,
    /// The server's major version.
    pub server_major: u32,
    /// The server's clock when the snapshot was taken.
    pub taken_at: DateTime<Utc>,
    /// The migrations that are applied, oldest first.
    pub migrations: Vec<i64>,
}

/// The registry that the indexer follows, and how far it was.
#[derive(Debug, Clone)]
pub struct FollowedRegistry {
    /// The chain.
    pub chain_id: i64,
    /// The registry, as EIP-55 writes it.
    pub registry: String,
    /// The last block that was applied.
    pub block: i64,
}

impl Snapshot {
    /// Begins a read-only transaction and exports what it sees.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(url: &str) -> Result<Self, StoreError> {
        let mut conn = open(url).await?;
        sqlx::raw_sql(BEGIN).execute(&mut conn).await?;
        let id = sqlx::query_scalar!(r#"SELECT pg_export_snapshot() AS "id!""#)
            .fetch_one(&mut conn)
            .await?;
        Ok(Self { conn, id })
    }

    /// Sees what another connection has exported, maybe of another role.
    ///
    /// # Errors
    /// [`StoreError`], above all where it is of another database, or was given up.
    pub async fn import(url: &str, id: &str) -> Result<Self, StoreError> {
        let mut conn = open(url).await?;
        // No parameter may stand in that statement: the server quotes the id, which is its own.
        let statement = sqlx::query_scalar!(
            r#"SELECT format('SET TRANSACTION SNAPSHOT %L', $1::text) AS "statement!""#,
            id
        )
        .fetch_one(&mut conn)
        .await?;
        sqlx::raw_sql(BEGIN).execute(&mut conn).await?;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut conn)
            .await?;
        Ok(Self {
            conn,
            id: id.to_owned(),
        })
    }

    /// Whose database it is.
    ///
    /// # Errors
    /// [`StoreError`], above all where it has no schema of ours.
    pub async fn identity(&mut self) -> Result<DatabaseIdentity, StoreError> {
        let row = sqlx::query!(
            r#"SELECT current_database()::text AS "name!", current_schema()::text AS schema, CURRENT_TIMESTAMP AS "now!",
                   current_setting('server_version_num')::integer / 10000 AS "major!""#
        )
        .fetch_one(&mut self.conn)
        .await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the migrator's own table is not in the schema that is checked"
        )]
        let migrations = sqlx::query_scalar(
            "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version",
        );
        let migrations = migrations.fetch_all(&mut self.conn).await?;
        let tables = sqlx::query!(
            r#"SELECT pg_get_userbyid(ours.relowner)::text AS "owner!",
                   ARRAY(
                       SELECT quote_ident(other.nspname)
                       FROM pg_namespace AS other
                       JOIN pg_roles AS owner ON owner.oid = other.nspowner
                       WHERE other.nspowner <> ours.relowner
                         AND owner.rolname LIKE '%\_migrator'
                         AND other.oid <> ours.relnamespace
                         AND other.nspname <> 'information_schema'
                         AND other.nspname NOT LIKE 'pg\_%'
                       ORDER BY 1
                   ) AS "of_others!"
               FROM pg_class AS ours
               WHERE ours.oid = to_regclass('_sqlx_migrations')"#
        )
        .fetch_one(&mut self.conn)
        .await?;
        Ok(DatabaseIdentity {
            name: row.name,
            schema: row.schema.unwrap_or_default(),
            owner: tables.owner,
            of_others: tables.of_others,
            server_major: u32::try_from(row.major).unwrap_or_default(),
            taken_at: row.now,
            migrations,
        })
    }

    /// The schema that the role of this connection leads to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn schema(&mut self) -> Result<String, StoreError> {
        let schema = sqlx::query_scalar!("SELECT current_schema()::text")
            .fetch_one(&mut self.conn)
            .await?;
        Ok(schema.unwrap_or_default())
    }

    /// The registry that is followed; `None` before an indexer has followed any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn followed(&mut self) -> Result<Option<FollowedRegistry>, StoreError> {
        let found = sqlx::query_as!(
            FollowedRegistry,
            "SELECT chain_id, registry, block_number AS block
             FROM chain_cursors
             ORDER BY updated_at DESC, registry
             LIMIT 1"
        )
        .fetch_optional(&mut self.conn)
        .await?;
        Ok(found)
    }

    /// How many rows each table has: the keys alone, or all others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rows(&mut self, keys: bool) -> Result<Vec<(String, i64)>, StoreError> {
        rows_of(&mut self.conn, keys).await
    }

    /// By which master keys patients' keys are wrapped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn master_keys(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT DISTINCT master_key_id AS "id!" FROM patient_keys WHERE wrapped_key IS NOT NULL ORDER BY 1"#
        )
        .fetch_all(&mut self.conn)
        .await?)
    }

    /// Lets the snapshot go.
    pub async fn end(self) {
        // Nothing was changed in it.
        self.conn.close().await.ok();
    }
}

async fn open(url: &str) -> Result<PgConnection, StoreError> {
    Ok(session::options(url, "meditrustal backup")?
        .connect()
        .await?)
}

/// Why it is not known whose tables a role leads to.
#[derive(Debug, thiserror::Error)]
pub enum NoTenant {
    /// The database gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The role's `search_path` leads to no schema, or to one whose name cannot be used.
    #[error("this role leads to no schema of ours: see its search_path")]
    NoSchema,
    /// The schema has a name that cannot be used.
    #[error(transparent)]
    Name(#[from] InvalidTenantName),
}

/// Whose tables a role leads to.
///
/// # Errors
/// [`NoTenant`].
pub async fn tenant_of(url: &str) -> Result<Tenant, NoTenant> {
    let mut conn = open(url).await?;
    let tenant = tenant_on(&mut conn).await;
    conn.close().await.ok();
    tenant
}

/// Whose tables the role of a connection leads to.
///
/// # Errors
/// [`NoTenant`].
pub async fn tenant_on(conn: &mut PgConnection) -> Result<Tenant, NoTenant> {
    Tenant::of(conn).await.map_err(|error| match error {
        MigrateError::Store(error) => error.into(),
        MigrateError::Tenant(error) => error.into(),
        MigrateError::NoSchema | MigrateError::Failed(_) | MigrateError::Behind { .. } => {
            NoTenant::NoSchema
        }
    })
}

/// How many rows each table of ours has: the keys alone, or all others.
async fn rows_of(conn: &mut PgConnection, keys: bool) -> Result<Vec<(String, i64)>, StoreError> {
    // A table's name is no parameter: the statement is built by the server, and sent back to it.
    let statement = sqlx::query_scalar!(
        r#"SELECT string_agg(
               format('SELECT %L AS name, count(*) AS rows FROM %I.%I', relname, current_schema(), relname),
               ' UNION ALL ' ORDER BY relname
           )
           FROM pg_class
           WHERE relnamespace = current_schema()::regnamespace
             AND relkind IN ('r', 'p')
             AND (relname = $1::text) = $2"#,
        KEYS_TABLE,
        keys,
    )
    .fetch_one(&mut *conn)
    .await?;
    let Some(statement) = statement else {
        return Ok(Vec::new());
    };
    let found = sqlx::raw_sql(AssertSqlSafe(statement))
        .fetch_all(conn)
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        rows.push((row.try_get("name")?, row.try_get("rows")?));
    }
    rows.sort_unstable();
    Ok(rows)
}

/// What a database is that something is to be restored into.
#[derive(Debug, Clone)]
pub struct RestoreTarget {
    /// Whose schema our role leads to.
    pub tenant: Tenant,
    /// The server's major version.
    pub server_major: u32,
    /// How many tables, views, functions and the like there are: in a schema of its own those of that schema, else all of the
    /// database but what other tenants have.
    pub objects: i64,
    /// This tenant's programs that use it now, as `pg_stat_activity` names them.
    pub used_by: Vec<String>,
    /// Roles that are not there.
    pub missing_roles: Vec<String>,
    /// Whether our role owns the schema, or is a superuser.
    pub is_owner: bool,
    /// Which backup was being restored, where that has not ended.
    pub unfinished: Option<String>,
}

/// Looks at a database that something is to be restored into.
///
/// # Errors
/// [`NoTenant`].
pub async fn look_at_target(url: &str) -> Result<RestoreTarget, NoTenant> {
    let mut conn = open(url).await?;
    let tenant = tenant_on(&mut conn).await?;
    let roles = tenant.roles();
    let programs = ["api", "indexer", "keys"].map(|ending| tenant.role(ending));
    let row = sqlx::query!(
        r#"SELECT
               current_setting('server_version_num')::integer / 10000 AS "major!",
               (SELECT count(*) FROM pg_class WHERE relnamespace = ours.oid)
                   + (SELECT count(*) FROM pg_proc WHERE pronamespace = ours.oid)
                   + (SELECT count(*)
                      FROM pg_namespace AS other
                      JOIN pg_roles AS owner ON owner.oid = other.nspowner
                      WHERE $3
                        AND other.oid <> ours.oid
                        AND other.nspname <> 'information_schema'
                        AND other.nspname NOT LIKE 'pg\_%'
                        AND (owner.rolname NOT LIKE '%\_migrator' OR owner.rolname = current_user))
                   AS "objects!",
               pg_has_role(CASE WHEN $3 THEN database.datdba ELSE ours.nspowner END, 'MEMBER') AS "is_owner!",
               CASE WHEN $3 THEN shobj_description(database.oid, 'pg_database') ELSE obj_description(ours.oid, 'pg_namespace') END
                   AS comment,
               ARRAY(
                   SELECT DISTINCT format('%s (%s)', activity.usename, activity.application_name)
                   FROM pg_stat_activity AS activity
                   WHERE activity.datname = current_database()
                     AND activity.pid <> pg_backend_pid()
                     AND activity.usename = ANY($2::text[])
                   ORDER BY 1
               ) AS "used_by!",
               ARRAY(
                   SELECT wanted.name
                   FROM UNNEST($1::text[]) AS wanted(name)
                   WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
                   ORDER BY 1
               ) AS "missing!"
           FROM pg_database AS database
           JOIN pg_namespace AS ours ON ours.nspname = current_schema()
           WHERE database.datname = current_database()"#,
        &roles,
        &programs[..],
        tenant.is_in_usual_schema(),
    )
    .fetch_one(&mut conn)
    .await
    .map_err(StoreError::from)?;
    conn.close().await.ok();
    Ok(RestoreTarget {
        tenant,
        server_major: u32::try_from(row.major).unwrap_or_default(),
        objects: row.objects,
        used_by: row.used_by,
        missing_roles: row.missing,
        is_owner: row.is_owner,
        unfinished: row.comment.as_deref().and_then(backup_of),
    })
}

/// Which backup a comment says was being restored.
fn backup_of(comment: &str) -> Option<String> {
    comment.strip_prefix(UNFINISHED).map(str::to_owned)
}

/// The comment that a database, or a tenant's schema in one, has from the moment it is restored until all that has to follow was done.
pub fn unfinished_comment(backup: &str) -> String {
    format!("{UNFINISHED}{backup}")
}

/// Which backup was restored into this database, or into our schema of it, where what has to follow was not all done.
///
/// # Errors
/// [`StoreError`].
pub async fn unfinished_restore(conn: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let comment = sqlx::query_scalar!(
        r#"SELECT CASE current_schema()
               WHEN 'public' THEN shobj_description(oid, 'pg_database')
               ELSE obj_description(current_schema()::regnamespace, 'pg_namespace')
           END AS comment
           FROM pg_database
           WHERE datname = current_database()"#
    )
    .fetch_one(conn)
    .await?;
    Ok(comment.as_deref().and_then(backup_of))
}

/// Takes the comment away: all that has to follow was done.
///
/// # Errors
/// [`StoreError`].
pub async fn finish_restore(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "DO $$
         BEGIN
             IF current_schema() = 'public' THEN
                 EXECUTE format('COMMENT ON DATABASE %I IS NULL', current_database());
             ELSE
                 EXECUTE format('COMMENT ON SCHEMA %I IS NULL', current_schema());
             END IF;
         END
         $$",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes into the audit trail that this backup was made, as a role that makes them.
///
/// # Errors
/// [`StoreError`]; also on a standby, which takes no row, and in a schema from before there was such a row.
pub async fn note(url: &str, backup: Uuid, details: &Value) -> Result<(), StoreError> {
    let mut conn = open(url).await?;
    let noted = sqlx::query!("SELECT note_backup($1, $2)", backup, details)
        .execute(&mut conn)
        .await;
    conn.close().await.ok();
    noted?;
    Ok(())
}

/// Counts what the planner goes by: a restored table has no statistics. Several tables at once, the largest first.
///
/// # Errors
/// [`StoreError`].
pub async fn analyze(url: &str) -> Result<(), StoreError> {
    let mut conn = open(url).await?;
    // What is ours, and the catalogue for whom the database belongs to, who alone may: not what databases share, nor what another
    // tenant has.
    let statements = sqlx::query_scalar!(
        r#"SELECT format('ANALYZE %I.%I', nspname, relname) AS "statement!"
           FROM pg_class
           JOIN pg_namespace ON pg_namespace.oid = relnamespace
           WHERE relkind IN ('r', 'm', 'p')
             AND NOT relisshared
             AND relpersistence <> 't'
             AND (pg_has_role(relowner, 'USAGE')
                 OR nspname IN ('pg_catalog', 'information_schema')
                     AND (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()))
           ORDER BY pg_relation_size(pg_class.oid) DESC, nspname, relname"#
    )
    .fetch_all(&mut conn)
    .await?;
    conn.close().await.ok();
    let next = AtomicUsize::new(0);
    let work = || analyze_in_turn(url, &statements, &next);
    tokio::try_join!(work(), work(), work(), work())?;
    Ok(())
}

/// Runs what no other connection runs, one after the other.
async fn analyze_in_turn(
    url: &str,
    statements: &[String],
    next: &AtomicUsize,
) -> Result<(), StoreError> {
    let mut conn = open(url).await?;
    sqlx::raw_sql("SET statement_timeout = 0")
        .execute(&mut conn)
        .await?;
    while let Some(statement) = statements.get(next.fetch_add(1, Ordering::Relaxed)) {
        sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut conn)
            .await?;
    }
    conn.close().await.ok();
    Ok(())
}
