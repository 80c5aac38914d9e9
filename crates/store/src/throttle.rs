//! How often somebody has tried: counters that all api processes share. What they come to is
//! `domain::throttle`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::throttle::{Counter, Scope};

use crate::{Pool, StoreError, Tx, rows};

/// Whose counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterKey {
    /// Of what.
    pub scope: Scope,
    /// Of whom: 64 hex digits.
    pub subject: String,
}

/// Counters as they are now.
#[derive(Debug)]
pub struct Counters {
    found: Vec<(CounterKey, Counter)>,
    /// By the database's clock, after all locks were had.
    pub now: DateTime<Utc>,
}

impl Counters {
    /// The counter of this key; a fresh one where nothing was remembered.
    pub fn of(&self, key: &CounterKey) -> Counter {
        let found = self.found.iter().find(|(known, _)| known == key);
        found.map_or(Counter::fresh(self.now), |(_, counter)| *counter)
    }
}

/// Reads counters in one statement: `held` until the end of the transaction, so that attempts at
/// once are counted one by one, `seen` as they happen to be. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn hold(
    tx: &mut Tx<'_>,
    held: &[CounterKey],
    seen: &[CounterKey],
) -> Result<Counters, StoreError> {
    // An insert waits for whoever has the row, and then reads what they left; always in the order of
    // the keys, so that no two wait for each other.
    let found = sqlx::query!(
        r#"WITH held AS (
             INSERT INTO throttle_counters AS counters (scope, subject, due_at, updated_at)
             SELECT scope, subject, clock_timestamp(), clock_timestamp()
             FROM UNNEST($1::text[], $2::text[]) AS asked(scope, subject)
             ORDER BY scope, subject
             ON CONFLICT (scope, subject) DO UPDATE SET updated_at = EXCLUDED.updated_at
             RETURNING counters.*
         )
         SELECT
            scope AS "scope!",
            subject AS "subject!",
            failures AS "failures!",
            due_at AS "due_at!",
            proven_at,
            is_told AS "is_told!",
            clock_timestamp() AS "now!"
         FROM held
         UNION ALL
         SELECT scope, subject, failures, due_at, proven_at, is_told, clock_timestamp()
         FROM throttle_counters
         WHERE (scope, subject) IN (SELECT * FROM UNNEST($3::text[], $4::text[]))"#,
        &scopes(held),
        &subjects(held),
        &scopes(seen),
        &subjects(seen),
    )
    .fetch_all(&mut **tx)
    .await?;
    let now = found.iter().map(|row| row.now).max();
    let found = found.into_iter().map(|row| {
        let key = CounterKey {
            scope: rows::text(&row.scope, "scope")?,
            subject: row.subject,
        };
        let counter = Counter {
            failures: u32::try_from(row.failures).unwrap_or_default(),
            due_at: row.due_at,
            proven_at: row.proven_at,
            is_told: row.is_told,
        };
        Ok((key, counter))
    });
    Ok(Counters {
        found: found.collect::<Result<_, StoreError>>()?,
        now: now.unwrap_or_default(),
    })
}

/// Writes counters that are held.
///
/// # Errors
/// [`StoreError`].
pub async fn save(tx: &mut Tx<'_>, counters: &[(CounterKey, Counter)]) -> Result<(), StoreError> {
    let keys: Vec<CounterKey> = counters.iter().map(|(key, _)| key.clone()).collect();
    let column = |cell: fn(&Counter) -> DateTime<Utc>| {
        let cells = counters.iter().map(|(_, counter)| cell(counter));
        cells.collect::<Vec<_>>()
    };
    let failures: Vec<i32> = counters
        .iter()
        .map(|(_, counter)| i32::try_from(counter.failures).unwrap_or(i32::MAX))
        .collect();
    let due = column(|counter| counter.due_at);
    let proven: Vec<Option<DateTime<Utc>>> = counters.iter().map(|it| it.1.proven_at).collect();
    let told: Vec<bool> = counters.iter().map(|it| it.1.is_told).collect();
    sqlx::query!(
        "UPDATE throttle_counters
         SET failures = new.failures,
             due_at = new.due_at,
             proven_at = new.proven_at,
             is_told = new.is_told,
             updated_at = clock_timestamp()
         FROM UNNEST($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::bool[])
             AS new(scope, subject, failures, due_at, proven_at, is_told)
         WHERE throttle_counters.scope = new.scope AND throttle_counters.subject = new.subject",
        &scopes(&keys),
        &subjects(&keys),
        &failures,
        &due,
        &proven as &[Option<DateTime<Utc>>],
        &told,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What came of asking for a part of a budget that all processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetLease {
    /// It may be used.
    Granted,
    /// There is not so much left.
    Exhausted {
        /// When there will be.
        wait: Duration,
    },
}

/// Takes `span` of a budget that holds `all` and regains it in that time: one statement, so that
/// processes which ask at once follow one another. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn lease(
    pool: &Pool,
    subject: &str,
    span: TimeDelta,
    all: TimeDelta,
) -> Result<BudgetLease, StoreError> {
    let micros = |span: TimeDelta| span.as_seconds_f64() * 1e6;
    let mut conn = pool.acquire().await?;
    let found = sqlx::query!(
        r#"WITH leased AS (
             INSERT INTO throttle_counters AS counter (scope, subject, due_at, updated_at)
             VALUES ('COST', $1, clock_timestamp() + $2 * INTERVAL '1 microsecond', clock_timestamp())
             ON CONFLICT (scope, subject) DO UPDATE
             SET due_at = GREATEST(counter.due_at + $2 * INTERVAL '1 microsecond', EXCLUDED.due_at),
                 updated_at = EXCLUDED.updated_at
             WHERE GREATEST(counter.due_at + $2 * INTERVAL '1 microsecond', EXCLUDED.due_at)
                   <= EXCLUDED.updated_at + $3 * INTERVAL '1 microsecond'
             RETURNING due_at
         )
         SELECT
            EXISTS (SELECT FROM leased) AS "is_granted!",
            (SELECT due_at FROM throttle_counters WHERE scope = 'COST' AND subject = $1) AS due_at,
            clock_timestamp() AS "now!""#,
        subject,
        micros(span),
        micros(all),
    )
    .fetch_one(&mut *conn)
    .await?;
    if found.is_granted {
        return Ok(BudgetLease::Granted);
    }
    let due_at = found.due_at.unwrap_or(found.now);
    let wait = due_at + span - all - found.now;
    Ok(BudgetLease::Exhausted {
        wait: wait.to_std().unwrap_or_default(),
    })
}

/// Removes at most `limit` counters that say nothing any more: untouched for a day, which is longer
/// than any wait, and not of an address that is familiar. Answers how many. Reads the whole table:
/// an index would have to follow each attempt.
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(tx: &mut Tx<'_>, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM throttle_counters
         WHERE ctid = ANY(ARRAY(
             SELECT ctid
             FROM throttle_counters
             WHERE updated_at < CURRENT_TIMESTAMP - INTERVAL '1 day'
               AND due_at < CURRENT_TIMESTAMP
               AND (proven_at IS NULL OR proven_at < CURRENT_TIMESTAMP - INTERVAL '90 days')
             ORDER BY scope, subject
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         ))",
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// How many [`sweep`] would remove.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT count(*) AS "rows!"
           FROM throttle_counters
           WHERE updated_at < CURRENT_TIMESTAMP - INTERVAL '1 day'
             AND due_at < CURRENT_TIMESTAMP
             AND (proven_at IS NULL OR proven_at < CURRENT_TIMESTAMP - INTERVAL '90 days')"#
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(rows)
}

fn scopes(keys: &[CounterKey]) -> Vec<String> {
    let scopes = keys.iter().map(|key| key.scope.as_str().to_owned());
    scopes.collect()
}

fn subjects(keys: &[CounterKey]) -> Vec<String> {
    keys.iter().map(|key| key.subject.clone()).collect()
}
