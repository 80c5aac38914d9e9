//! What every connection is told before it is used: how long anything may take.
//!
//! By `SET` and not with the start-up packet: a pooler such as `PgBouncer` refuses that, or drops it in
//! silence. `inspect` reads it back.

use std::{sync::OnceLock, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use crate::{PoolSettings, StoreError};

/// How long a statement waits for a lock.
pub(crate) const LOCK: Duration = Duration::from_secs(5);

/// What a statement may take before it is logged; without it none is.
static SLOW: OnceLock<Duration> = OnceLock::new();

/// Has statements logged that take longer than this, on every connection that is made from then on. The first call counts.
pub fn log_statements_slower_than(limit: Duration) {
    SLOW.get_or_init(|| limit);
}

/// Where to connect, with nothing in the start-up packet that a pooler does not know.
pub(crate) fn options(url: &str, application: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse()?;
    let (level, limit) = match SLOW.get() {
        Some(limit) => ("warn", *limit),
        None => ("debug", Duration::MAX),
    };
    Ok(options
        .application_name(application)
        // `telemetry` takes the text out of it.
        .log_slow_statements(level.parse().expect("it is a level"), limit)
        // From PostgreSQL 12 numbers are exact without it.
        .extra_float_digits(None))
}

/// Settings of a session and their values.
pub(crate) type Limits = Vec<(&'static str, String)>;

/// What a pool of these settings tells each of its connections.
pub(crate) fn limits(settings: &PoolSettings) -> Limits {
    let seqscan = if settings.by_index { "off" } else { "on" };
    let statement = settings.statement_timeout.as_millis();
    vec![
        ("statement_timeout", statement.to_string()),
        (
            "idle_in_transaction_session_timeout",
            settings.idle_in_transaction.as_millis().to_string(),
        ),
        ("lock_timeout", LOCK.as_millis().to_string()),
        ("enable_seqscan", seqscan.to_owned()),
    ]
}

/// Tells a connection.
pub(crate) async fn set(conn: &mut PgConnection, limits: &Limits) -> Result<(), sqlx::Error> {
    let statements: Vec<_> = limits
        .iter()
        .map(|(name, value)| format!("SET {name} = {value}"))
        .collect();
    // Names and numbers of our own alone.
    sqlx::raw_sql(AssertSqlSafe(statements.join("; ")))
        .execute(conn)
        .await?;
    Ok(())
}
