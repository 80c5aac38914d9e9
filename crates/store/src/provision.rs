//! Roles and the database itself: the one thing that needs a superuser, once.

use sqlx::{Connection, PgConnection};

use crate::StoreError;

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

/// Makes the roles and the database `name`, or sets the roles' passwords where they exist.
///
/// # Errors
/// [`StoreError`], above all where `superuser_url` may not make roles.
pub async fn create(
    superuser_url: &str,
    name: &str,
    passwords: &Passwords,
) -> Result<(), StoreError> {
    let mut conn = PgConnection::connect(superuser_url).await?;
    for (role, password, attributes) in [
        (
            "meditrustal_migrator",
            &passwords.migrator,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
        ),
        (
            "meditrustal_api",
            &passwords.api,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
        ),
        (
            "meditrustal_indexer",
            &passwords.indexer,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
        ),
        (
            "meditrustal_keys",
            &passwords.keys,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
        ),
        (
            "meditrustal_backup",
            &passwords.backup,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS",
        ),
    ] {
        set(&mut conn, "meditrustal.role", role).await?;
        set(&mut conn, "meditrustal.password", password).await?;
        set(&mut conn, "meditrustal.attributes", attributes).await?;
        sqlx::raw_sql(MAKE_ROLE).execute(&mut conn).await?;
    }

    for role in [MAKE_RETENTION_ROLE, MAKE_MONITOR_ROLE] {
        sqlx::raw_sql(role).execute(&mut conn).await?;
    }
    let exists = sqlx::query_scalar!("SELECT count(*) FROM pg_database WHERE datname = $1", name)
        .fetch_one(&mut conn)
        .await?;
    // CREATE DATABASE runs in no block, so its statement is built by the server and sent back to it.
    let statements = sqlx::query_scalar!(
        r#"SELECT format(template, $1::text) AS "statement!"
           FROM UNNEST($2::text[]) WITH ORDINALITY AS e(template, nth)
           ORDER BY nth"#,
        name,
        &[
            "CREATE DATABASE %I OWNER meditrustal_migrator ENCODING 'UTF8' TEMPLATE template0".to_owned(),
            "REVOKE ALL ON DATABASE %I FROM PUBLIC".to_owned(),
            "GRANT CONNECT ON DATABASE %I TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup".to_owned(),
        ],
    )
    .fetch_all(&mut conn)
    .await?;
    for statement in statements.into_iter().skip(usize::from(exists != Some(0))) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut conn)
            .await?;
    }
    conn.close().await?;
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
