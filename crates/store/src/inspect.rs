//! Looks at a database before anything is entrusted to it: whether the line to it is ours alone, whether it
//! keeps what it confirms, and whether our role may do no more than it needs.
//!
//! What is asked first goes by the simple protocol: through a pooler that mixes sessions up, a prepared
//! statement would only fail with words that say nothing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    clock::Clock,
    environment::{self, Risk, is_here},
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, postgres::PgSslMode};

use crate::{PoolSettings, StoreError, session};

/// What was found.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The clocks.
    pub clock: Measured,
    /// What is not as it should be where real records are kept.
    pub risks: Vec<Risk>,
    /// How many connections our role may have; `None` for as many as there are.
    pub connections: Option<u32>,
}

/// Why a database cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A pooler gives each transaction another session.
    #[error(
        "between us and the database is a pooler that shares sessions (PgBouncer's pool_mode = transaction or \
         statement): locks and settings of a session would be lost. Use pool_mode = session, or connect to \
         PostgreSQL itself"
    )]
    SharedSessions,
    /// What a session was told did not stay.
    #[error(
        "the database does not keep a session's {setting}: it should be {wanted} and is {found}. A pooler in \
         between must use pool_mode = session and leave settings alone"
    )]
    Forgets {
        /// The setting.
        setting: &'static str,
        /// What it was set to.
        wanted: String,
        /// What it is.
        found: String,
    },
}

/// Which program looks: what its role must not be able to do depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The api: it wraps no key again, and the chain's blocks are the indexer's.
    Api,
    /// The indexer: it has no business with people, keys and documents.
    Indexer,
}

impl Program {
    /// What it is called in `pg_stat_activity`.
    fn application(self) -> &'static str {
        match self {
            Self::Api => "meditrustal api",
            Self::Indexer => "meditrustal-indexer",
        }
    }

    /// The tables, columns and rights that another role has and this program's has not; an empty column is any.
    fn foreign_rights(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Api => &[
                ("patient_keys", "wrapped_key", "UPDATE"),
                ("chain_blocks", "", "SELECT"),
            ],
            Self::Indexer => &[
                ("patient_keys", "", "SELECT"),
                ("users", "", "SELECT"),
                ("sessions", "", "SELECT"),
                // The indexer reads `id` and `consent_withdrawn_at` of a consent, and nothing else of it.
                ("data_processing_consents", "user_id", "SELECT"),
                ("data_processing_consents", "purpose", "SELECT"),
                ("data_processing_consents", "data_categories", "SELECT"),
                (
                    "data_processing_consents",
                    "processing_activities",
                    "SELECT",
                ),
                ("data_processing_consents", "third_parties", "SELECT"),
                ("second_factors", "", "SELECT"),
                ("audit_logs", "", "SELECT"),
                ("medical_records", "encrypted_data", "SELECT"),
            ],
        }
    }
}

/// How often a database that is not there yet is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Connects twice, as the pool of these settings would, and looks. A database that is still starting is
/// waited for, as long as anybody may wait for a connection.
///
/// # Errors
/// [`InspectError`].
pub async fn inspect(
    url: &str,
    program: Program,
    settings: &PoolSettings,
) -> Result<Inspection, InspectError> {
    let asked = async {
        loop {
            match look(url, program, settings).await {
                Err(InspectError::Store(StoreError::Unreachable(_) | StoreError::Busy(_))) => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                looked => return looked,
            }
        }
    };
    match tokio::time::timeout(settings.timeout, asked).await {
        Ok(looked) => looked,
        Err(_) => Err(StoreError::from(sqlx::Error::PoolTimedOut).into()),
    }
}

async fn look(
    url: &str,
    program: Program,
    settings: &PoolSettings,
) -> Result<Inspection, InspectError> {
    let options = session::options(url, program.application())?;
    let mut first = options.connect().await.map_err(StoreError::from)?;
    let mut second = options.connect().await.map_err(StoreError::from)?;
    if are_shared(&mut first, &mut second).await? {
        return Err(InspectError::SharedSessions);
    }
    let limits = session::limits(settings);
    session::set(&mut first, &limits)
        .await
        .map_err(StoreError::from)?;
    for (setting, wanted) in limits {
        let found = current(&mut first, setting).await?;
        if found != wanted {
            return Err(InspectError::Forgets {
                setting,
                wanted,
                found,
            });
        }
    }
    let clock = measure(&mut first).await?;
    let role = role(&mut first).await?;
    let mut risks = role.excess;
    risks.extend(foreign(&mut first, program).await?);
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        if current(&mut first, setting).await? == "off" {
            risks.push(Risk::new(
                "durability",
                format!(
                    "PostgreSQL's {setting} is off: what was confirmed can be lost; set it to on"
                ),
            ));
        }
    }
    for conn in [first, second] {
        // It was only looked at.
        conn.close().await.ok();
    }
    Ok(Inspection {
        clock,
        risks,
        connections: role.connections,
    })
}

/// Who reads an address, and finds that it leads beyond this machine in a way that nobody should trust.
type JudgeLine = fn(&str) -> Option<Risk>;

/// The variables and options that hold addresses, and who judges each.
const LINES: [(&str, JudgeLine); 7] = [
    ("--witness", environment::plain_node),
    ("ADMIN_DATABASE_URL", plain_line_to),
    ("CHAIN_RPC_URL", environment::plain_node),
    ("CHAIN_RPC_URLS", environment::plain_node),
    ("DATABASE_REPLICA_URL", plain_line_to),
    ("DATABASE_URL", plain_line_to),
    ("MEDITRUSTAL_KEYS_DATABASE_URL", plain_line_to),
];

/// The risk of each line to a database or to a node that a command of these settings may use, each risk once. Nobody is asked.
pub fn plain_lines(settings: &[(String, String)]) -> Vec<Risk> {
    let mut risks = Vec::new();
    for (name, url) in settings {
        let line = LINES.iter().find(|(known, _)| known == name);
        let risk = line.and_then(|(_, judge)| judge(url));
        risks.extend(risk.filter(|risk| !risks.contains(risk)));
    }
    risks
}

/// Whether the line to the database of this address is one that nobody should trust. Nobody is asked.
pub fn plain_line_to(url: &str) -> Option<Risk> {
    let options = session::options(url, Program::Api.application()).ok()?;
    // `prefer` and `require` believe any certificate: who is on the line can show one. `verify-ca` believes one for any name, by
    // one of the system's authorities, too: everybody can get one of those.
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    let is_plain = options.get_socket().is_none() && !is_here(options.get_host()) && !is_verified;
    is_plain.then(|| {
        Risk::new(
            "plain-database",
            "the line to the database leaves this machine, and nothing verifies who is at its other end: set \
             sslmode=verify-full in the database's address, and sslrootcert where its authority is your own",
        )
    })
}

/// Whether two connections come to the same session, or one of them to several.
async fn are_shared(
    first: &mut PgConnection,
    second: &mut PgConnection,
) -> Result<bool, StoreError> {
    let mine = session_of(first).await?;
    let other = session_of(second).await?;
    if mine == other {
        return Ok(true);
    }
    // While one is in a transaction, a pooler that can must give the other another session.
    run(first, "BEGIN").await?;
    let within = session_of(first).await?;
    run(second, "BEGIN").await?;
    run(first, "COMMIT").await?;
    let other_within = session_of(second).await?;
    let again = session_of(first).await?;
    run(second, "COMMIT").await?;
    let last = [session_of(second).await?, session_of(first).await?];
    Ok([within, again, last[1]].iter().any(|it| *it != mine)
        || [other_within, last[0]].iter().any(|it| *it != other))
}

async fn session_of(conn: &mut PgConnection) -> Result<i32, StoreError> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(conn)
        .await?;
    Ok(row.try_get(0)?)
}

async fn run(conn: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(statement).execute(conn).await?;
    Ok(())
}

/// A setting as it is, in its own unit.
async fn current(conn: &mut PgConnection, setting: &'static str) -> Result<String, StoreError> {
    // One of the names above.
    let statement = format!("SELECT setting FROM pg_settings WHERE name = '{setting}'");
    let row = sqlx::raw_sql(AssertSqlSafe(statement))
        .fetch_one(conn)
        .await?;
    Ok(row.try_get(0)?)
}

/// The database's clock beside this machine's.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How far the database's is ahead.
    pub ahead: TimeDelta,
    /// How far off that may be.
    pub uncertain: TimeDelta,
}

impl Measured {
    /// What two readings of our clock say, with one of the database's in between.
    pub fn between(before: DateTime<Utc>, theirs: DateTime<Utc>, after: DateTime<Utc>) -> Self {
        let uncertain = (after - before).max(TimeDelta::zero()) / 2;
        Self {
            ahead: theirs - (before + uncertain),
            uncertain,
        }
    }
}

/// Compares the clocks.
///
/// # Errors
/// [`StoreError`].
pub async fn measure(conn: &mut PgConnection) -> Result<Measured, StoreError> {
    let before = Clock::System.now();
    let row = sqlx::raw_sql("SELECT clock_timestamp()")
        .fetch_one(conn)
        .await?;
    let after = Clock::System.now();
    Ok(Measured::between(before, row.try_get(0)?, after))
}

struct RoleRights {
    excess: Vec<Risk>,
    connections: Option<u32>,
}

/// What our role may that no program of ours needs. A table that is not there yet says nothing.
async fn role(conn: &mut PgConnection) -> Result<RoleRights, StoreError> {
    let found = sqlx::query!(
        r#"SELECT
               role.rolsuper AS "is_superuser!",
               role.rolbypassrls AS "passes_row_security!",
               role.rolcreaterole OR role.rolcreatedb OR role.rolreplication AS "makes_roles!",
               role.rolconnlimit AS "connections!",
               EXISTS (
                   SELECT FROM pg_auth_members AS membership WHERE membership.member = role.oid
               ) AS "is_member!",
               EXISTS (
                   SELECT FROM pg_class AS owned
                   WHERE owned.relowner = role.oid
                     AND owned.relnamespace = (
                         SELECT relnamespace FROM pg_class WHERE oid = to_regclass('audit_logs')
                     )
               ) AS "owns_tables!",
               COALESCE(
                   has_any_column_privilege(role.oid, to_regclass('audit_logs'), 'UPDATE')
                   OR has_table_privilege(role.oid, to_regclass('audit_logs'), 'DELETE')
                   OR has_table_privilege(role.oid, to_regclass('audit_logs'), 'TRUNCATE')
                   OR has_table_privilege(role.oid, to_regclass('audit_logs'), 'INSERT'),
                   FALSE
               ) AS "changes_audit!"
           FROM pg_roles AS role
           WHERE role.rolname = current_user"#,
    )
    .fetch_one(conn)
    .await?;
    let excess = [
        (found.is_superuser, "is a superuser"),
        (found.passes_row_security, "passes row security (BYPASSRLS)"),
        (
            found.makes_roles,
            "may make roles or databases, or replicate",
        ),
        (found.is_member, "is a member of other roles"),
        (found.owns_tables, "owns tables"),
        (found.changes_audit, "may change the audit trail"),
    ];
    Ok(RoleRights {
        excess: excess
            .into_iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, right)| excessive(right))
            .collect(),
        connections: u32::try_from(found.connections).ok(),
    })
}

/// What our role may that only another program's needs. A table that is not there yet says nothing.
async fn foreign(conn: &mut PgConnection, program: Program) -> Result<Option<Risk>, StoreError> {
    let rights = program.foreign_rights();
    let part = |cell: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
        rights
            .iter()
            .map(|right| cell(right).to_owned())
            .collect::<Vec<String>>()
    };
    let found = sqlx::query_scalar!(
        r#"SELECT DISTINCT lower(wanted.privilege) || ' ' || wanted.name AS "right!"
           FROM UNNEST($1::text[], $2::text[], $3::text[]) AS wanted(name, field, privilege)
           JOIN pg_class AS class ON class.oid = to_regclass(wanted.name)
           LEFT JOIN pg_attribute AS attribute
               ON attribute.attrelid = class.oid AND attribute.attname = wanted.field
           WHERE CASE WHEN wanted.field = '' THEN has_any_column_privilege(class.oid, wanted.privilege)
                 ELSE has_column_privilege(class.oid, attribute.attnum, wanted.privilege) END
           ORDER BY 1"#,
        &part(|right| right.0),
        &part(|right| right.1),
        &part(|right| right.2),
    )
    .fetch_all(conn)
    .await?;
    Ok((!found.is_empty()).then(|| {
        excessive(&format!(
            "may {}, which is another program's",
            found.join(", ")
        ))
    }))
}

fn excessive(right: &str) -> Risk {
    Risk::new(
        "database-role",
        format!(
            "the database role {right}: use the role that `meditrustal database create` made for this program"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_compared_at_the_middle_of_the_way() {
        let at = |millis| DateTime::from_timestamp_millis(millis).expect("a time");
        let measured = Measured::between(at(1_000), at(61_100), at(1_200));
        assert_eq!(measured.ahead, TimeDelta::seconds(60));
        assert_eq!(measured.uncertain, TimeDelta::milliseconds(100));
        // Our own clock was put back meanwhile: nothing is known of how long it took.
        let measured = Measured::between(at(1_200), at(1_200), at(1_000));
        assert_eq!(measured.ahead, TimeDelta::zero());
    }
}
