//! Roles and the database itself: the one thing that needs a superuser, once.

use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::{StoreError, tenant::Tenant};

/// The roles and what they log in with.
#[derive(Debug)]
pub struct Passwords {
    /// Owns every table; runs migrations.
    pub migrator: String,
    /// Runs the api.
    pub api: String,
    /// Runs the indexer.
    pub indexer: String,
    /// Re-wraps patients' keys, and copies them.
    pub keys: String,
    /// Reads everything but patients' keys, to copy it.
    pub backup: String,
}

/// Makes the roles, the database `name` and the schema of a tenant, or sets the roles' passwords where they exist. Each of the three
/// is whole or not there, wherever it is cut off: a connection that is dropped rolls back. Nobody connects to a database whose rights are
/// not set yet.
///
/// # Errors
/// [`StoreError`], above all where `superuser_url` may not make roles.
pub async fn create(
    superuser_url: &str,
    name: &str,
    tenant: &Tenant,
    passwords: &Passwords,
) -> Result<(), StoreError> {
    let options = options(superuser_url)?;
    let mut conn = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(WAIT_FOR_OTHERS).execute(&mut conn).await?;
    make_roles(&mut conn, tenant, passwords).await?;

    let is_open = is_open(&mut conn, name).await?;
    // CREATE DATABASE runs in no block, so its statement is built by the server and sent back to it.
    if is_open.is_none() {
        run(&mut conn, tenant, name, &[MAKE_DATABASE]).await?;
    }
    sqlx::raw_sql("BEGIN").execute(&mut conn).await?;
    run(&mut conn, tenant, name, &RIGHTS).await?;
    if is_open != Some(true) {
        run(&mut conn, tenant, name, &[OPEN_DATABASE]).await?;
    }
    sqlx::raw_sql("COMMIT").execute(&mut conn).await?;
    if !tenant.is_in_usual_schema() {
        let mut within = PgConnection::connect_with(&options.database(name)).await?;
        sqlx::raw_sql("BEGIN").execute(&mut within).await?;
        run(&mut within, tenant, name, &SCHEMA).await?;
        sqlx::raw_sql("COMMIT").execute(&mut within).await?;
        within.close().await?;
    }
    conn.close().await?;
    Ok(())
}

fn options(superuser_url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = superuser_url.parse()?;
    Ok(options.application_name("meditrustal database"))
}

/// Makes the roles of a tenant and sets their passwords: all of them or none.
async fn make_roles(
    conn: &mut PgConnection,
    tenant: &Tenant,
    passwords: &Passwords,
) -> Result<(), StoreError> {
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    let plain = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE";
    for (role, password, attributes) in [
        ("migrator", &passwords.migrator, plain),
        ("api", &passwords.api, plain),
        ("indexer", &passwords.indexer, plain),
        ("keys", &passwords.keys, plain),
        (
            "backup",
            &passwords.backup,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS",
        ),
    ] {
        set(conn, "meditrustal.role", &tenant.role(role)).await?;
        set(conn, "meditrustal.password", password).await?;
        set(conn, "meditrustal.attributes", attributes).await?;
        sqlx::raw_sql(MAKE_ROLE).execute(&mut *conn).await?;
    }
    for role in [MAKE_RETENTION_ROLE, MAKE_MONITOR_ROLE] {
        let statements = tenant.rewrite(role).into_owned();
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut *conn)
            .await?;
    }
    sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
    Ok(())
}

/// Whether anybody may connect to a database; `None` where there is none. One that was cut off while it was made is closed.
async fn is_open(conn: &mut PgConnection, database: &str) -> Result<Option<bool>, StoreError> {
    let is_open = sqlx::query_scalar!(
        "SELECT bool_or(datallowconn) AS is_open FROM pg_database WHERE datname = $1",
        database,
    )
    .fetch_one(conn)
    .await?;
    Ok(is_open)
}

/// What of an installation is there before [`create`].
#[derive(Debug)]
pub struct FoundInstallation {
    /// Whether the role that asks may make roles.
    pub may_make_roles: bool,
    /// The tenant's roles that are there.
    pub roles: Vec<String>,
    /// Whether there is such a database.
    pub has_database: bool,
    /// Whether it has the tenant's schema.
    pub has_schema: bool,
}

/// Looks at what [`create`] would find, and changes nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn look(
    superuser_url: &str,
    name: &str,
    tenant: &Tenant,
) -> Result<FoundInstallation, StoreError> {
    let options = options(superuser_url)?;
    let mut conn = PgConnection::connect_with(&options).await?;
    let may_make_roles = sqlx::query_scalar!(
        r#"SELECT rolsuper OR rolcreaterole AS "may!" FROM pg_roles WHERE rolname = current_user"#
    )
    .fetch_one(&mut conn)
    .await?;
    let wanted = tenant.roles();
    let roles = sqlx::query_scalar!(
        r#"SELECT rolname::text AS "name!" FROM pg_roles WHERE rolname::text = ANY($1) ORDER BY rolname"#,
        &wanted,
    )
    .fetch_all(&mut conn)
    .await?;
    let is_open = is_open(&mut conn, name).await?;
    conn.close().await?;
    let mut has_schema = is_open.is_some();
    if has_schema && !tenant.is_in_usual_schema() {
        has_schema = is_open == Some(true) && has_tenant(&options.database(name), tenant).await?;
    }
    Ok(FoundInstallation {
        may_make_roles,
        roles,
        has_database: is_open.is_some(),
        has_schema,
    })
}

/// Whether a database has the tenant's schema.
async fn has_tenant(options: &PgConnectOptions, tenant: &Tenant) -> Result<bool, StoreError> {
    let mut within = PgConnection::connect_with(options).await?;
    let schemas = sqlx::query_scalar!(
        "SELECT count(*) FROM pg_namespace WHERE nspname = $1",
        tenant.schema(),
    )
    .fetch_one(&mut within)
    .await?;
    within.close().await?;
    Ok(schemas > Some(0))
}

/// Held until the connection ends. A command that was killed leaves a statement that goes on to its end. It is no
/// tenant's: they share roles, databases and their rights. Whoever connects to another database of the server does not wait.
const WAIT_FOR_OTHERS: &str =
    "SELECT pg_advisory_lock(hashtextextended('meditrustal database create', 0))";

/// What makes a database, by its name. Every role may connect to a new one, so nobody may to this one until its rights are set.
const MAKE_DATABASE: &str = "CREATE DATABASE %1$I OWNER meditrustal_migrator ENCODING 'UTF8' TEMPLATE template0 \
     ALLOW_CONNECTIONS false";

/// What says who may connect to it.
const RIGHTS: [&str; 2] = [
    "REVOKE ALL ON DATABASE %1$I FROM PUBLIC",
    "GRANT CONNECT ON DATABASE %1$I TO meditrustal_migrator, meditrustal_api, meditrustal_indexer, meditrustal_keys, \
     meditrustal_backup",
];

/// What lets them connect.
const OPEN_DATABASE: &str = "ALTER DATABASE %1$I ALLOW_CONNECTIONS true";

/// What makes a schema in a database, by both names, and leads each role to it.
const SCHEMA: [&str; 6] = [
    "CREATE SCHEMA IF NOT EXISTS %2$I AUTHORIZATION meditrustal_migrator",
    "ALTER ROLE meditrustal_migrator IN DATABASE %1$I SET search_path = %2$I",
    "ALTER ROLE meditrustal_api IN DATABASE %1$I SET search_path = %2$I",
    "ALTER ROLE meditrustal_indexer IN DATABASE %1$I SET search_path = %2$I",
    "ALTER ROLE meditrustal_keys IN DATABASE %1$I SET search_path = %2$I",
    "ALTER ROLE meditrustal_backup IN DATABASE %1$I SET search_path = %2$I",
];

/// Runs statements with the names of a database and of a tenant's schema and roles in them.
async fn run(
    conn: &mut PgConnection,
    tenant: &Tenant,
    database: &str,
    templates: &[&str],
) -> Result<(), StoreError> {
    let templates: Vec<String> = templates
        .iter()
        .map(|template| tenant.rewrite(template).into_owned())
        .collect();
    let statements = sqlx::query_scalar!(
        r#"SELECT format(template, $1::text, $3::text) AS "statement!"
           FROM UNNEST($2::text[]) WITH ORDINALITY AS e(template, nth)
           ORDER BY nth"#,
        database,
        &templates,
        tenant.schema(),
    )
    .fetch_all(&mut *conn)
    .await?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Whoever removes rows of the audit trail: nobody logs in as it, and a function that it owns does it. The migrator makes that
/// function, and so has to be a member.
const MAKE_RETENTION_ROLE: &str = "
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'meditrustal_retention') THEN
        CREATE ROLE meditrustal_retention;
    END IF;
END
$$;
ALTER ROLE meditrustal_retention NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT meditrustal_retention TO meditrustal_migrator;
";

/// Whoever sees the sessions of all roles: nobody logs in as it, and a function that it owns shows them without the text of a
/// statement. The migrator makes that function, and so has to be a member.
const MAKE_MONITOR_ROLE: &str = "
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'meditrustal_monitor') THEN
        CREATE ROLE meditrustal_monitor;
    END IF;
END
$$;
ALTER ROLE meditrustal_monitor NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT pg_read_all_stats TO meditrustal_monitor;
GRANT meditrustal_monitor TO meditrustal_migrator;
";

/// Passwords travel as settings, so that they appear in no statement and no log.
const MAKE_ROLE: &str = "
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_setting('meditrustal.role')) THEN
        EXECUTE format('CREATE ROLE %I', current_setting('meditrustal.role'));
    END IF;
    EXECUTE format('ALTER ROLE %I %s PASSWORD %L', current_setting('meditrustal.role'),
        current_setting('meditrustal.attributes'), current_setting('meditrustal.password'));
END
$$";

async fn set(conn: &mut PgConnection, setting: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT set_config($1, $2, FALSE)", setting, value)
        .fetch_one(conn)
        .await?;
    Ok(())
}
