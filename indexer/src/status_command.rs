//! `meditrustal-indexer status`: what a running indexer says of itself, beside what the database says of whoever leads; and what
//! neither could say.

use std::{error::Error, io::Write as _, path::Path, process::ExitCode, time::Duration};

use chain::Deployment;
use domain::monitoring::{CheckStatus, LAG, LEADERLESS};
use metrics::number;
use serde_json::{Map, Value, json};
use store::{
    PgConnection, PoolSettings, StoreError, cursor::Registry, health, index_status, leases,
    monitoring,
};

use crate::{config::StatusArguments, error::with_causes, position::column};

/// How long the process and the database may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why something could not be found out.
type StatusFailure = Box<dyn Error + Send + Sync>;

/// What was found out.
#[derive(Debug, Default)]
struct FoundStatus {
    /// What the process says; `None` where it gives no answer.
    process: Option<Value>,
    /// What the database says; `None` where it was not asked, or gives no answer.
    database: Option<Value>,
    /// What is not as it should be.
    wrong: Vec<String>,
    /// What is so wrong that nothing is followed.
    critical: Vec<String>,
    /// What could not be found out.
    unknown: Vec<String>,
}

/// Says it, and how it is by the exit code.
pub(crate) async fn run(arguments: &StatusArguments) -> ExitCode {
    let mut found = FoundStatus::default();
    found.ask_process(arguments).await;
    found.ask_database(arguments).await;
    let status = found.status();
    let said = if arguments.json {
        found.report(status).to_string()
    } else {
        found.in_words(status)
    };
    if writeln!(std::io::stdout(), "{said}").is_err() {
        // Nobody reads it any more.
        return ExitCode::from(2);
    }
    ExitCode::from(match status {
        CheckStatus::Ok => 0,
        CheckStatus::Warning => 1,
        CheckStatus::Critical => 2,
    })
}

impl FoundStatus {
    fn status(&self) -> CheckStatus {
        let nobody = self.process.is_none() && self.database.is_none();
        if nobody || !self.critical.is_empty() {
            CheckStatus::Critical
        } else if self.wrong.is_empty() && self.unknown.is_empty() {
            CheckStatus::Ok
        } else {
            CheckStatus::Warning
        }
    }

    async fn ask_process(&mut self, arguments: &StatusArguments) {
        let listen = arguments.listen;
        // One that listens on every address is reached by this one.
        let here = if listen.ip().is_unspecified() {
            format!("http://127.0.0.1:{}", listen.port())
        } else {
            format!("http://{listen}")
        };
        let url = arguments.url.as_deref().unwrap_or(&here);
        match answer_of(url).await {
            Ok(said) => {
                if let Some(why) = said["halted"].as_str() {
                    self.critical.push(format!("nothing more is applied: {why}"));
                } else if said["ready"] != true {
                    let why = said["reason"].as_str().unwrap_or("it does not say why");
                    self.wrong.push(format!("it is not ready: {why}"));
                }
                self.process = Some(said);
            }
            // Its address may hold a password.
            Err(_) => self.unknown.push(
                "no indexer answers there: rate, reorganisations and nodes are not known, nor when the newest block was made"
                    .to_owned(),
            ),
        }
    }

    async fn ask_database(&mut self, arguments: &StatusArguments) {
        let (Some(url), Some(file)) = (&arguments.database_url, &arguments.deployment_file) else {
            self.unknown.push(
                "without DATABASE_URL and MEDITRUSTAL_DEPLOYMENT_FILE the lease and open findings are not known"
                    .to_owned(),
            );
            return;
        };
        let asked = tokio::time::timeout(ANSWER_WITHIN, Box::pin(self.look(url, file)));
        let why = match asked.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => with_causes(error.as_ref()),
            Err(_) => "it did not answer in time".to_owned(),
        };
        let unknown = format!("the lease and open findings are not known: {why}");
        self.unknown.push(unknown);
    }

    async fn look(&mut self, url: &str, file: &Path) -> Result<(), StatusFailure> {
        let deployment = Deployment::load(file)?;
        let registry = Registry {
            chain_id: column(deployment.chain_id),
            address: deployment.registry.to_string(),
        };
        let settings = PoolSettings {
            statement_timeout: ANSWER_WITHIN,
            ..PoolSettings::default()
        };
        let mut conn = health::connect(url, "meditrustal-indexer status", &settings).await?;
        self.database = self.of_database(&mut conn, &registry).await?;
        if self.database.is_none() {
            self.critical
                .push("the registry of the deployment file was never followed here".to_owned());
        }
        Ok(())
    }

    async fn of_database(
        &mut self,
        conn: &mut PgConnection,
        registry: &Registry,
    ) -> Result<Option<Value>, StoreError> {
        let Some(progress) = index_status::progress(conn, registry).await? else {
            return Ok(None);
        };
        let lease = leases::current(conn, registry).await?;
        let findings = monitoring::open_findings(conn).await?;
        let lag = (progress.head_block - progress.indexed_block).max(0);
        let written = progress.written_seconds;
        if written > LEADERLESS.critical {
            self.critical.push(leaderless(written));
        } else if written > LEADERLESS.warning {
            self.wrong.push(leaderless(written));
        }
        if number(lag) > LAG.warning {
            self.wrong.push(format!("{lag} blocks are not applied yet"));
        }
        let open: i64 = findings.iter().map(|kind| kind.open).sum();
        if open > 0 {
            self.wrong.push(format!("{open} findings are open"));
        }
        let findings: Map<String, Value> = findings
            .into_iter()
            .map(|kind| (kind.kind, json!(kind.open)))
            .collect();
        Ok(Some(json!({
            "registry": registry.address,
            "chainId": registry.chain_id,
            "head": progress.head_block,
            "cursor": progress.indexed_block,
            "finalized": progress.finalized_block,
            "sequence": progress.sequence,
            "lagBlocks": lag,
            "writtenSecondsAgo": rounded(progress.written_seconds),
            "leader": lease.map(|lease| json!({
                "holder": lease.holder,
                "leaseAgeSeconds": rounded(lease.age_seconds),
            })),
            "openFindings": findings,
        })))
    }

    /// For a machine.
    fn report(&self, status: CheckStatus) -> Value {
        json!({
            "status": status,
            "process": self.process,
            "database": self.database,
            "critical": self.critical,
            "wrong": self.wrong,
            "unknown": self.unknown,
        })
    }

    /// For people.
    fn in_words(&self, status: CheckStatus) -> String {
        let mut lines = vec![format!("status: {status}")];
        for (who, said, fields) in [
            ("process", &self.process, &OF_PROCESS[..]),
            ("database", &self.database, &OF_DATABASE[..]),
        ] {
            let Some(said) = said else { continue };
            for (field, label) in fields {
                if let Some(value) = said.pointer(field).filter(|it| !it.is_null()) {
                    let value = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    lines.push(format!("{who}: {label} {value}"));
                }
            }
        }
        let nodes = self.process.iter();
        let nodes = nodes.filter_map(|said| said["nodes"].as_array()).flatten();
        for (place, node) in (1_u32..).zip(nodes) {
            let how = if node["isWell"] == true {
                "is well"
            } else {
                "is not well"
            };
            let used = if node["isUsed"] == true {
                ", and is asked"
            } else {
                ""
            };
            lines.push(format!(
                "node {place} {how}{used}; it failed {} times",
                node["failures"]
            ));
        }
        let heard = self.process.iter();
        let heard = heard.filter_map(|said| said["subscriptions"].as_array());
        for (place, it) in (1_u32..).zip(heard.flatten()) {
            let how = if it["isConnected"] == true {
                "is listened to"
            } else {
                "is not listened to"
            };
            lines.push(format!(
                "subscription {place} {how}; it told of {} blocks, and failed {} times",
                it["heads"], it["failures"]
            ));
        }
        let told = [
            ("critical", &self.critical),
            ("wrong", &self.wrong),
            ("unknown", &self.unknown),
        ];
        for (label, all) in told {
            lines.extend(all.iter().map(|what| format!("{label}: {what}")));
        }
        lines.join("\n")
    }
}

/// What is told of the process: where it stands in its answer, and what it is called.
const OF_PROCESS: [(&str, &str); 12] = [
    ("/role", "role"),
    ("/head", "newest block"),
    ("/headAgeSeconds", "its age in seconds"),
    ("/cursor", "last block applied"),
    ("/finalized", "last final block"),
    ("/lagBlocks", "blocks behind"),
    ("/sequence", "events of the registry"),
    ("/eventsPerSecond", "events a second"),
    ("/reorgs", "reorganisations since its start"),
    ("/reorgsByDepth", "of them by depth in blocks at most"),
    ("/leader/holder", "another leads:"),
    ("/lastError", "last error:"),
];

/// The same of the database.
const OF_DATABASE: [(&str, &str); 8] = [
    ("/registry", "registry"),
    ("/head", "newest block that a leader saw"),
    ("/cursor", "last block applied"),
    ("/finalized", "last final block"),
    ("/writtenSecondsAgo", "seconds since a leader wrote"),
    ("/leader/holder", "leader:"),
    (
        "/leader/leaseAgeSeconds",
        "seconds since it renewed its lease",
    ),
    ("/openFindings", "open findings"),
];

fn leaderless(seconds: f64) -> String {
    format!("no leader has written for {} s", seconds.round())
}

/// To a tenth.
fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

/// What it says of itself.
async fn answer_of(url: &str) -> Result<Value, reqwest::Error> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client())
        .timeout(ANSWER_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let address = format!("{}/health/ready", url.trim_end_matches('/'));
    client.get(address).send().await?.json().await
}
