//! What the database says: of itself, and of the work in it.

use std::time::Duration;

use chain::Deployment;
use domain::{
    integrity::FindingKind,
    monitoring::{
        CHECKPOINT_AGE, CLOCK, CONNECTIONS, CheckLimits, CheckName, DEAD_ROWS, DEEP_CHECK_AGE,
        HealthCheck, LAG, LEADERLESS, LEAST_INDEX_USE, MAINTENANCE_AGE, MASTER_KEY_AGE, OUTBOX_AGE,
        REVIEW_AGE, SIZE_OF_CAPACITY, UNDONE_BLOCKS, UNORDERED_ROWS, dead_ratio, index_use,
        is_patient_role, ratio,
    },
};
use metrics::number;
use serde_json::{Value, json};
use store::{
    PgConnection, PoolSettings, StoreError, backups::tenant_on, cursor::Registry, health, migrate,
    monitoring, monitoring::TableFigures, tenant::Tenant,
};

use super::{CheckHealth, span};
use crate::{commands::output::Failure, dependencies::registry_of};

/// How long the database may take to let us in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// What the task of the daily maintenance is called.
const VACUUM: &str = "VACUUM";
/// What may stay open after an incident that is over: the chain keeps what somebody else wrote.
const LASTING: [FindingKind; 3] = [
    FindingKind::UnknownOnChain,
    FindingKind::ForeignRegistrar,
    FindingKind::UnknownConsent,
];

/// What the database says.
#[derive(Debug, Default)]
pub(super) struct DatabaseHealth {
    /// All of it; and what the node says of the accounts that the database knows.
    pub(super) checks: Vec<HealthCheck>,
    /// What the specification's queries answered, where it is asked for.
    pub(super) figures: Option<Value>,
    /// Whose tables the role leads to; `None` where that cannot be asked.
    pub(super) tenant: Option<Tenant>,
}

impl CheckHealth {
    /// Asks it.
    pub(super) async fn database(&self) -> DatabaseHealth {
        let mut found = DatabaseHealth::default();
        if let Err(why) = self.ask(&mut found).await {
            let check = HealthCheck::critical(CheckName::Database, why);
            found.checks.push(check);
        }
        found
    }

    /// Why it cannot be asked to the end, if it cannot.
    async fn ask(&self, found: &mut DatabaseHealth) -> Result<(), String> {
        let mut conn = self.connect().await?;
        found.tenant = tenant_on(&mut conn).await.ok();
        let looked = self.look(&mut conn, &mut found.checks).await;
        looked.map_err(|error| format!("it cannot be looked at: {error}"))?;
        if self.json {
            let figures = figures(&mut conn).await;
            let figures = figures.map_err(|error| format!("its figures cannot be read: {error}"));
            found.figures = Some(figures?);
        }
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, String> {
        let connecting = health::connect(&self.url, "meditrustal health command", &SETTINGS);
        match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }

    async fn look(
        &self,
        conn: &mut PgConnection,
        checks: &mut Vec<HealthCheck>,
    ) -> Result<(), Failure> {
        let deployment = self.deployment_file.as_deref();
        let deployment = deployment.map(Deployment::load).transpose()?;
        let registry = match &deployment {
            Some(deployment) => Some(registry_of(deployment)?),
            None => monitoring::known_registry(conn).await?,
        };
        checks.extend(writes(conn, registry.as_ref()).await?);
        checks.push(self.schema().await?);
        self.server(conn, checks).await?;
        self.tables(conn, checks).await?;
        work(conn, checks).await?;
        if let Some(registry) = &registry {
            chain_work(conn, registry, checks).await?;
        } else {
            let found = "no indexer has ever led";
            checks.push(HealthCheck::critical(CheckName::IndexerLeader, found));
        }
        let first = self.chain_rpc_url.as_deref();
        if let (Some(deployment), Some(registry)) = (&deployment, &registry)
            && let Some(client) = self.more_nodes.client(first, NODE_TIMEOUT, deployment)?
        {
            checks.extend(self.chain(&client, conn, registry).await?);
        }
        Ok(())
    }

    async fn schema(&self) -> Result<HealthCheck, Failure> {
        let migrations = migrate::status(&self.url).await?;
        let missing = migrations.iter().filter(|it| !it.applied).count();
        Ok(if missing == 0 {
            let found = format!("{} migrations are applied", migrations.len());
            HealthCheck::ok(CheckName::Schema, found)
        } else {
            let found = format!("{missing} migrations of this program are missing");
            HealthCheck::critical(CheckName::Schema, found)
        })
    }

    async fn server(
        &self,
        conn: &mut PgConnection,
        checks: &mut Vec<HealthCheck>,
    ) -> Result<(), StoreError> {
        let found = monitoring::database(conn).await?;
        let mebibytes = found.bytes >> 20;
        checks.push(match self.database_capacity_bytes {
            None => HealthCheck::warning(
                CheckName::DatabaseSize,
                format!("{mebibytes} MiB; its capacity is not configured (MEDITRUSTAL_DATABASE_CAPACITY_GIB)"),
            ),
            Some(capacity) => HealthCheck::at_most(
                CheckName::DatabaseSize,
                ratio(found.bytes, capacity),
                SIZE_OF_CAPACITY,
                format!("{mebibytes} MiB of {} MiB", capacity >> 20),
            ),
        });
        checks.push(HealthCheck::at_most(
            CheckName::Connections,
            ratio(found.connections, found.max_connections.into()),
            CONNECTIONS,
            format!("{} of {}", found.connections, found.max_connections),
        ));
        let queries = monitoring::active_queries(conn).await?;
        let longest = queries.iter().find(|query| !is_patient_role(&query.role));
        let described = longest.map_or_else(
            || "none runs".to_owned(),
            |query| {
                let number = query
                    .query_id
                    .map_or_else(String::new, |id| format!(", query id {id}"));
                format!(
                    "process {} of {}: {} for {}{number}",
                    query.process_id,
                    query.role,
                    query.state,
                    span(query.seconds)
                )
            },
        );
        checks.push(HealthCheck::at_most(
            CheckName::Queries,
            longest.map_or(0.0, |query| query.seconds),
            self.longest_query(),
            described,
        ));
        Ok(())
    }

    async fn tables(
        &self,
        conn: &mut PgConnection,
        checks: &mut Vec<HealthCheck>,
    ) -> Result<(), StoreError> {
        let tables = monitoring::tables(conn).await?;
        let dead = |table: &TableFigures| {
            dead_ratio(table.live_rows, table.dead_rows, self.least_dead_rows)
        };
        let worst = tables.iter().max_by(|a, b| dead(a).total_cmp(&dead(b)));
        let (value, found) = match worst.map(|table| (dead(table), table)) {
            Some((value, table)) if value > 0.0 => {
                let found = format!(
                    "{} has {} dead rows and {} live ones",
                    table.name, table.dead_rows, table.live_rows
                );
                (value, found)
            }
            Some(_) | None => (0.0, "few in every table".to_owned()),
        };
        checks.push(HealthCheck::at_most(
            CheckName::DeadRows,
            value,
            DEAD_ROWS,
            found,
        ));
        let used = tables.iter().filter_map(|table| {
            let used = index_use(table.live_rows, table.sequential_scans, table.index_scans)?;
            Some((used, table))
        });
        checks.push(match used.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
            None => HealthCheck::ok(CheckName::IndexUse, "no table is large"),
            Some((value, table)) => HealthCheck::at_least(
                CheckName::IndexUse,
                value,
                // It is slow, and nothing more.
                CheckLimits::new(LEAST_INDEX_USE, -1.0),
                format!(
                    "{}: {} reads by an index, {} of the whole table",
                    table.name, table.index_scans, table.sequential_scans
                ),
            ),
        });
        Ok(())
    }
}

/// The session's limits: a count may take longer than a request.
const SETTINGS: PoolSettings = PoolSettings {
    min: 0,
    steady: 1,
    overflow: 0,
    timeout: CONNECT_WITHIN,
    recycle: Duration::from_secs(1800),
    statement_timeout: Duration::from_secs(60),
    idle_in_transaction: Duration::from_secs(15),
    by_index: false,
};

/// What the specification's queries answer, all of it.
async fn figures(conn: &mut PgConnection) -> Result<Value, StoreError> {
    Ok(json!({
        "server": monitoring::database(conn).await?,
        "queries": monitoring::active_queries(conn).await?,
        "tables": monitoring::tables(conn).await?,
        "indexes": monitoring::indexes(conn).await?,
    }))
}

/// Whether it does what requests ask of it, and what time it has. Nothing else is looked at where it does not.
async fn writes(
    conn: &mut PgConnection,
    registry: Option<&Registry>,
) -> Result<[HealthCheck; 2], StoreError> {
    let nowhere = Registry {
        chain_id: 0,
        address: String::new(),
    };
    let probed = health::probe(conn, registry.unwrap_or(&nowhere)).await?;
    let ahead = probed.clock.ahead.as_seconds_f64();
    Ok([
        HealthCheck::ok(CheckName::Database, "it answers, writes and has space"),
        HealthCheck::at_most(
            CheckName::Clock,
            ahead.abs(),
            CLOCK,
            format!("the database's is {ahead:.1} s ahead of this machine's"),
        ),
    ])
}

/// What is due of the operator, and of the processes.
async fn work(conn: &mut PgConnection, checks: &mut Vec<HealthCheck>) -> Result<(), StoreError> {
    let indexes = monitoring::indexes(conn).await?;
    let invalid: Vec<_> = indexes.iter().filter(|it| !it.is_valid).collect();
    let names: Vec<_> = invalid.iter().map(|it| it.name.as_str()).collect();
    checks.push(if names.is_empty() {
        HealthCheck::ok(CheckName::InvalidIndexes, "none")
    } else {
        HealthCheck::warning(CheckName::InvalidIndexes, names.join(", "))
    });
    let ages = monitoring::maintenance(conn).await?;
    let vacuum = ages.iter().find(|age| age.task == VACUUM);
    checks.push(match vacuum {
        None => HealthCheck::warning(CheckName::Maintenance, "it never ran"),
        Some(age) => HealthCheck::at_most(
            CheckName::Maintenance,
            age.seconds,
            MAINTENANCE_AGE,
            format!("every table was vacuumed within {}", span(age.seconds)),
        ),
    });
    checks.push(findings(conn).await?);
    let check = monitoring::deep_check(conn).await?;
    checks.push(match check.ended_seconds {
        None => HealthCheck::warning(CheckName::DeepCheck, "no round has ended yet"),
        Some(seconds) => HealthCheck::at_most(
            CheckName::DeepCheck,
            seconds,
            DEEP_CHECK_AGE,
            format!(
                "a round ended {} ago and found {} wrong",
                span(seconds),
                check.wrong
            ),
        ),
    });
    let reviews = monitoring::reviews(conn).await?;
    let oldest = reviews.oldest_seconds.unwrap_or(0.0);
    checks.push(HealthCheck::at_most(
        CheckName::EmergencyReviews,
        oldest,
        REVIEW_AGE,
        match reviews.unreviewed {
            0 => "none waits".to_owned(),
            waiting => format!(
                "{waiting} wait, {} were escalated, the oldest was opened {} ago",
                reviews.escalated,
                span(oldest)
            ),
        },
    ));
    let age = monitoring::master_key_age(conn).await?;
    checks.push(match age.map(|seconds| seconds / 86_400.0) {
        None => HealthCheck::warning(CheckName::MasterKeys, "no master key was used yet"),
        Some(days) => HealthCheck::at_most(
            CheckName::MasterKeys,
            days,
            MASTER_KEY_AGE,
            format!("the newest was first used {days:.0} days ago"),
        ),
    });
    Ok(())
}

async fn findings(conn: &mut PgConnection) -> Result<HealthCheck, StoreError> {
    let open = monitoring::open_findings(conn).await?;
    let all: i64 = open.iter().map(|it| it.open).sum();
    let told: Vec<_> = open
        .iter()
        .map(|it| format!("{} {}", it.open, it.kind))
        .collect();
    let lasts = |kind: &str| LASTING.iter().any(|lasting| lasting.as_str() == kind);
    let check = if all == 0 {
        HealthCheck::ok(CheckName::Findings, "none is open")
    } else if open.iter().all(|it| lasts(&it.kind)) {
        HealthCheck::warning(CheckName::Findings, told.join(", "))
    } else {
        HealthCheck::critical(CheckName::Findings, told.join(", "))
    };
    Ok(HealthCheck {
        value: Some(number(all)),
        limit: Some(0.0),
        ..check
    })
}

/// What the database knows of the work for one registry.
async fn chain_work(
    conn: &mut PgConnection,
    registry: &Registry,
    checks: &mut Vec<HealthCheck>,
) -> Result<(), StoreError> {
    match monitoring::indexer(conn, registry).await? {
        None => {
            let found = "no indexer has led for this registry";
            checks.push(HealthCheck::critical(CheckName::IndexerLeader, found));
        }
        Some(indexer) => checks.extend([
            HealthCheck::at_most(
                CheckName::IndexerLeader,
                indexer.led_seconds,
                LEADERLESS,
                format!("one wrote {} ago", span(indexer.led_seconds)),
            ),
            HealthCheck::at_most(
                CheckName::IndexerLag,
                number(indexer.lag_blocks),
                LAG,
                format!("{} blocks behind", indexer.lag_blocks),
            ),
            HealthCheck::at_most(
                CheckName::Reorganisations,
                number(indexer.undone_blocks),
                UNDONE_BLOCKS,
                format!(
                    "{} blocks with events were undone within a day",
                    indexer.undone_blocks
                ),
            ),
        ]),
    }
    let outbox = monitoring::outbox(conn, registry.chain_id).await?;
    checks.push(HealthCheck::at_most(
        CheckName::Outbox,
        outbox.oldest_seconds.unwrap_or(0.0),
        OUTBOX_AGE,
        format!(
            "{} wait for a node, {} for a block",
            outbox.queued, outbox.sent
        ),
    ));
    checks.push(HealthCheck::at_most(
        CheckName::FailedAnchors,
        number(outbox.failed),
        CheckLimits::new(0.0, 100.0),
        format!("{} were mined without effect within a day", outbox.failed),
    ));
    checks.extend(trail(conn, registry).await?);
    Ok(())
}

async fn trail(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<[HealthCheck; 2], StoreError> {
    let trail = monitoring::trail(conn, registry).await?;
    let pinned = match trail.checkpoint_seconds {
        _ if trail.unpinned == 0 => {
            HealthCheck::ok(CheckName::AuditCheckpoint, "every row is pinned")
        }
        None => HealthCheck::warning(CheckName::AuditCheckpoint, "the trail was never pinned"),
        Some(seconds) => HealthCheck::at_most(
            CheckName::AuditCheckpoint,
            seconds,
            CHECKPOINT_AGE,
            format!(
                "{} rows are not pinned; the newest checkpoint is {} old",
                trail.unpinned,
                span(seconds)
            ),
        ),
    };
    let ordered = HealthCheck::at_most(
        CheckName::AuditOrder,
        number(trail.unordered),
        UNORDERED_ROWS,
        format!(
            "{} rows have no place among {}",
            trail.unordered, trail.leaves
        ),
    );
    Ok([ordered, pinned])
}
