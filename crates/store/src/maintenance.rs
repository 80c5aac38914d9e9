//! Keeps the tables and indexes in order: VACUUM, ANALYZE, REINDEX. Runs under the owner of the tables, one process at a time.
//!
//! What is due goes by `maintenance_runs` and the database's clock. An index is rebuilt beside itself (CONCURRENTLY), so that
//! nobody waits; a rebuilding that was cut off leaves an index that cannot be used, which the next run removes.

use std::fmt;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{StoreError, session};

/// The lock of whoever is at it. A session holds it, and loses it with its connection.
const LOCK: &str = "meditrustal maintenance";
/// How long VACUUM and REINDEX wait for others to end: a backup may read for hours. Unit: milliseconds.
const LOCK_WAIT: &str = "600000";
/// How often the server looks whether we are still there: what a killed process began ends with it. Unit: milliseconds.
const LOOK_FOR_US: &str = "2000";
/// The tables whose indexes are rebuilt each week: rows of theirs are replaced all the time. What only grows needs it not.
pub const CRITICAL_TABLES: [&str; 9] = [
    "anchor_outbox",
    "consent_receipts",
    "data_processing_consents",
    "idempotency_keys",
    "medical_records",
    "record_anchors",
    "sessions",
    "throttle_counters",
    "users",
];
/// Changed rows, of those that are there, from which on the statistics of a table are made anew between two nights.
const CHANGED: f64 = 0.10;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaintenanceTask {
    /// An index that a rebuilding left behind is dropped.
    DropLeftover,
    /// An index that cannot be used is rebuilt at once.
    Repair,
    /// VACUUM (ANALYZE) of a table.
    Vacuum,
    /// ANALYZE of a table.
    Analyze,
    /// REINDEX CONCURRENTLY of an index.
    Reindex,
    /// The report about the use of indexes.
    IndexUsage,
}

impl MaintenanceTask {
    /// As `maintenance_runs` has it, where it does.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropLeftover => "DROP_LEFTOVER",
            Self::Repair | Self::Reindex => "REINDEX",
            Self::Vacuum => "VACUUM",
            Self::Analyze => "ANALYZE",
            Self::IndexUsage => "INDEX_USAGE",
        }
    }
}

impl fmt::Display for MaintenanceTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceStep {
    /// What.
    pub task: MaintenanceTask,
    /// Of which table or index; empty for the report.
    pub object: String,
    /// Why now, in words.
    pub why: &'static str,
}

/// When what is done.
#[derive(Debug, Clone)]
pub struct MaintenanceRules {
    /// The time zone that 03:00, Sunday and the first of a month are of, as PostgreSQL knows it.
    pub time_zone: String,
    /// Dead rows for each live one from which on a table is vacuumed at once.
    pub dead_ratio: f64,
    /// Fewer dead or changed rows are no reason.
    pub least_rows: i64,
}

/// The right to maintain: a connection of its own that holds the lock.
#[derive(Debug)]
pub struct Maintainer {
    connection: PgConnection,
}

impl Maintainer {
    /// Connects, and takes the lock if nobody holds it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn try_take(url: &str) -> Result<Option<Self>, StoreError> {
        let mut this = Self::look(url).await?;
        let taken = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock(hashtextextended($1, schema_key())) AS "taken!""#,
            LOCK,
        )
        .fetch_one(&mut this.connection)
        .await?;
        if taken {
            return Ok(Some(this));
        }
        this.connection.close().await?;
        Ok(None)
    }

    /// Connects to look alone, without the lock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(url: &str) -> Result<Self, StoreError> {
        let options = session::options(url, "meditrustal maintain")?;
        let mut connection = PgConnection::connect_with(&options).await?;
        let limits = vec![
            ("statement_timeout", "0".to_owned()),
            ("lock_timeout", LOCK_WAIT.to_owned()),
            ("client_connection_check_interval", LOOK_FOR_US.to_owned()),
        ];
        session::set(&mut connection, &limits).await?;
        Ok(Self { connection })
    }

    /// Whether this role owns the tables: nobody else may maintain them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owns_tables(&mut self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT pg_has_role(relowner, 'USAGE') AS "owns!"
               FROM pg_class
               WHERE oid = 'maintenance_runs'::regclass"#,
        )
        .fetch_one(&mut self.connection)
        .await?)
    }

    /// Whether the database knows a time zone of this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows_time_zone(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1) AS "is_known!""#,
            name,
        )
        .fetch_one(&mut self.connection)
        .await?)
    }

    /// What is due now, in the order in which it is done.
    ///
    /// # Errors
    /// [`StoreError`], also for a time zone that the database does not know.
    pub async fn due(
        &mut self,
        rules: &MaintenanceRules,
    ) -> Result<Vec<MaintenanceStep>, StoreError> {
        let mut steps = self.broken_indexes().await?;
        steps.extend(self.tables_to_vacuum(rules).await?);
        steps.extend(self.tables_to_analyze(rules).await?);
        steps.extend(self.indexes_to_rebuild(rules).await?);
        if self.is_report_due(rules).await? {
            steps.push(MaintenanceStep {
                task: MaintenanceTask::IndexUsage,
                object: String::new(),
                why: "once a month",
            });
        }
        Ok(steps)
    }

    /// Does one of them, and writes down when it began and ended. What failed stays due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn run(&mut self, step: &MaintenanceStep) -> Result<(), StoreError> {
        match step.task {
            // Nothing is known of an index that is not to be there.
            MaintenanceTask::DropLeftover => self.drop_leftover(&step.object).await,
            MaintenanceTask::IndexUsage => self.write_report().await,
            MaintenanceTask::Repair
            | MaintenanceTask::Vacuum
            | MaintenanceTask::Analyze
            | MaintenanceTask::Reindex => {
                self.begins(step).await?;
                self.executes(step).await?;
                self.ended(step).await
            }
        }
    }

    /// Indexes that cannot be used: those that a rebuilding made or put aside, by the names that PostgreSQL gives them, and
    /// others. While this session holds the lock nobody else rebuilds any.
    async fn broken_indexes(&mut self) -> Result<Vec<MaintenanceStep>, StoreError> {
        let found = sqlx::query!(
            r#"SELECT class.relname::text AS "name!", class.relname ~ '_cc(new|old)[0-9]*$' AS "is_leftover!"
               FROM pg_index AS definition
               JOIN pg_class AS class ON class.oid = definition.indexrelid
               WHERE class.relnamespace = current_schema()::regnamespace
                 AND NOT definition.indisvalid
               ORDER BY 2 DESC, 1
               LIMIT 1000"#,
        )
        .fetch_all(&mut self.connection)
        .await?;
        let steps = found.into_iter().map(|row| MaintenanceStep {
            task: if row.is_leftover {
                MaintenanceTask::DropLeftover
            } else {
                MaintenanceTask::Repair
            },
            object: row.name,
            why: "it cannot be used",
        });
        Ok(steps.collect())
    }

    /// The tables that were not vacuumed since 03:00, and those with too many dead rows.
    async fn tables_to_vacuum(
        &mut self,
        rules: &MaintenanceRules,
    ) -> Result<Vec<MaintenanceStep>, StoreError> {
        let found = sqlx::query!(
            r#"WITH due AS (
                SELECT (
                    date_trunc('day', (clock_timestamp() AT TIME ZONE $1) - interval '3 hours') + interval '3 hours'
                ) AT TIME ZONE $1 AS since
            )
            SELECT
                used.relname::text AS "name!",
                (run.finished_at IS NULL OR run.finished_at < due.since) AS "is_daily!"
            FROM due
            CROSS JOIN pg_stat_user_tables AS used
            LEFT JOIN maintenance_runs AS run ON run.task = 'VACUUM' AND run.object_name = used.relname
            WHERE used.schemaname = current_schema()
              AND (
                  run.finished_at IS NULL
                  OR run.finished_at < due.since
                  OR (used.n_dead_tup >= $3 AND used.n_dead_tup > $2::double precision * used.n_live_tup)
              )
            ORDER BY used.relname
            LIMIT 1000"#,
            rules.time_zone,
            rules.dead_ratio,
            rules.least_rows,
        )
        .fetch_all(&mut self.connection)
        .await?;
        let steps = found.into_iter().map(|row| MaintenanceStep {
            task: MaintenanceTask::Vacuum,
            object: row.name,
            why: if row.is_daily {
                "each day at 03:00"
            } else {
                "it has too many dead rows"
            },
        });
        Ok(steps.collect())
    }

    /// The tables of which so much has changed since their statistics were made that they mislead, and that are not vacuumed
    /// anyway.
    async fn tables_to_analyze(
        &mut self,
        rules: &MaintenanceRules,
    ) -> Result<Vec<MaintenanceStep>, StoreError> {
        let found = sqlx::query_scalar!(
            r#"WITH due AS (
                SELECT (
                    date_trunc('day', (clock_timestamp() AT TIME ZONE $1) - interval '3 hours') + interval '3 hours'
                ) AT TIME ZONE $1 AS since
            )
            SELECT used.relname::text AS "name!"
            FROM due
            CROSS JOIN pg_stat_user_tables AS used
            JOIN maintenance_runs AS run ON run.task = 'VACUUM' AND run.object_name = used.relname
            WHERE used.schemaname = current_schema()
              AND run.finished_at >= due.since
              AND used.n_mod_since_analyze >= $3
              AND used.n_mod_since_analyze > $2::double precision * used.n_live_tup
              AND NOT (used.n_dead_tup >= $3 AND used.n_dead_tup > $4::double precision * used.n_live_tup)
            ORDER BY used.relname
            LIMIT 1000"#,
            rules.time_zone,
            CHANGED,
            rules.least_rows,
            rules.dead_ratio,
        )
        .fetch_all(&mut self.connection)
        .await?;
        let steps = found.into_iter().map(|object| MaintenanceStep {
            task: MaintenanceTask::Analyze,
            object,
            why: "much of it has changed",
        });
        Ok(steps.collect())
    }

    /// The indexes of critical tables that were not rebuilt since Sunday, 03:00. One by one: what was done stays done where a
    /// run is cut off.
    async fn indexes_to_rebuild(
        &mut self,
        rules: &MaintenanceRules,
    ) -> Result<Vec<MaintenanceStep>, StoreError> {
        let tables: Vec<String> = CRITICAL_TABLES.map(str::to_owned).to_vec();
        let found = sqlx::query_scalar!(
            r#"WITH due AS (
                SELECT (
                    date_trunc('week', (clock_timestamp() AT TIME ZONE $1) - interval '3 hours' + interval '1 day')
                        - interval '1 day' + interval '3 hours'
                ) AT TIME ZONE $1 AS since
            )
            SELECT class.relname::text AS "name!"
            FROM due
            CROSS JOIN pg_index AS definition
            JOIN pg_class AS class ON class.oid = definition.indexrelid
            JOIN pg_class AS indexed ON indexed.oid = definition.indrelid
            LEFT JOIN maintenance_runs AS run ON run.task = 'REINDEX' AND run.object_name = class.relname
            WHERE class.relnamespace = current_schema()::regnamespace
              AND definition.indisvalid
              AND indexed.relname::text = ANY($2::text[])
              AND (run.finished_at IS NULL OR run.finished_at < due.since)
            ORDER BY indexed.relname, class.relname
            LIMIT 1000"#,
            rules.time_zone,
            &tables,
        )
        .fetch_all(&mut self.connection)
        .await?;
        let steps = found.into_iter().map(|object| MaintenanceStep {
            task: MaintenanceTask::Reindex,
            object,
            why: "each Sunday at 03:00",
        });
        Ok(steps.collect())
    }

    /// Whether the report was not written since the first of the month, 03:00.
    async fn is_report_due(&mut self, rules: &MaintenanceRules) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT NOT EXISTS (
                SELECT
                FROM maintenance_runs
                WHERE task = 'INDEX_USAGE'
                  AND finished_at >= (
                      date_trunc('month', (clock_timestamp() AT TIME ZONE $1) - interval '3 hours') + interval '3 hours'
                  ) AT TIME ZONE $1
            ) AS "is_due!""#,
            rules.time_zone,
        )
        .fetch_one(&mut self.connection)
        .await?)
    }

    /// Where an attempt before this one did not come to its end, the time of the first of them stays.
    async fn begins(&mut self, step: &MaintenanceStep) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO maintenance_runs (task, object_name, started_at)
             VALUES ($1, $2, clock_timestamp())
             ON CONFLICT (task, object_name) DO UPDATE
             SET started_at = CASE
                 WHEN maintenance_runs.finished_at >= maintenance_runs.started_at THEN EXCLUDED.started_at
                 ELSE maintenance_runs.started_at
             END",
            step.task.as_str(),
            step.object,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    async fn ended(&mut self, step: &MaintenanceStep) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE maintenance_runs
             SET finished_at = clock_timestamp()
             WHERE task = $1 AND object_name = $2",
            step.task.as_str(),
            step.object,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// VACUUM and REINDEX CONCURRENTLY run in no block, so their statement is built by the server and sent back to it.
    async fn executes(&mut self, step: &MaintenanceStep) -> Result<(), StoreError> {
        let template = match step.task {
            MaintenanceTask::Vacuum => "VACUUM (ANALYZE) %I.%I",
            MaintenanceTask::Analyze => "ANALYZE %I.%I",
            MaintenanceTask::Repair | MaintenanceTask::Reindex => {
                "REINDEX INDEX CONCURRENTLY %I.%I"
            }
            MaintenanceTask::DropLeftover => "DROP INDEX CONCURRENTLY IF EXISTS %I.%I",
            MaintenanceTask::IndexUsage => return Ok(()),
        };
        let statement = sqlx::query_scalar!(
            r#"SELECT format($1::text, current_schema(), $2::text) AS "statement!""#,
            template,
            step.object,
        )
        .fetch_one(&mut self.connection)
        .await?;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn drop_leftover(&mut self, index: &str) -> Result<(), StoreError> {
        let step = MaintenanceStep {
            task: MaintenanceTask::DropLeftover,
            object: index.to_owned(),
            why: "",
        };
        self.executes(&step).await
    }

    /// Writes down how often each index was used since statistics were last reset, and forgets what is no more.
    async fn write_report(&mut self) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH report AS (
                SELECT jsonb_agg(
                    jsonb_build_object(
                        'table', used.relname,
                        'index', used.indexrelname,
                        'scans', used.idx_scan,
                        'entriesRead', used.idx_tup_read,
                        'rowsFetched', used.idx_tup_fetch,
                        'bytes', pg_relation_size(used.indexrelid),
                        'isUnique', definition.indisunique
                    )
                    ORDER BY used.idx_scan, used.indexrelname
                ) AS found
                FROM pg_stat_user_indexes AS used
                JOIN pg_index AS definition ON definition.indexrelid = used.indexrelid
                WHERE used.schemaname = current_schema()
            )
            INSERT INTO maintenance_runs (task, object_name, started_at, finished_at, report)
            SELECT 'INDEX_USAGE', '', clock_timestamp(), clock_timestamp(), found FROM report
            ON CONFLICT (task, object_name) DO UPDATE
            SET started_at = EXCLUDED.started_at,
                finished_at = EXCLUDED.finished_at,
                report = EXCLUDED.report",
        )
        .execute(&mut self.connection)
        .await?;
        sqlx::query!(
            "DELETE FROM maintenance_runs AS run
             WHERE run.object_name <> ''
               AND NOT EXISTS (
                   SELECT
                   FROM pg_class AS class
                   WHERE class.relnamespace = current_schema()::regnamespace AND class.relname = run.object_name
               )",
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// The last report, the least used indexes first; `None` before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report(&mut self) -> Result<Option<serde_json::Value>, StoreError> {
        let found = sqlx::query_scalar!(
            "SELECT report FROM maintenance_runs WHERE task = 'INDEX_USAGE' AND object_name = ''",
        )
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(found.flatten())
    }

    /// Lets the next one begin at once.
    ///
    /// # Errors
    /// [`StoreError`]; the lock ends with the connection all the same.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
