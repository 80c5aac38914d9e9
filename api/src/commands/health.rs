//! `meditrustal health`: everything that an operator would look at, each with its limit and what to do. Exits with 0 where all
//! is well, with 1 where something is beyond its first limit or not known, with 2 where something is critical.

mod backups;
mod certificate;
mod chain;
mod database;
mod processes;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use domain::{
    clock::Clock,
    monitoring::{CheckLimits, CheckName, CheckStatus, HealthCheck, worst},
};
use metrics::{Label, Metrics, number};
use serde_json::{Value, json};
use store::tenant::Tenant;

use super::{
    backup::of_schema,
    output::{Failure, say},
};
use crate::config::{MoreNodes, chain_url, database_url, gibibytes};

/// Settings of `meditrustal health`.
#[derive(Debug, Args)]
pub(crate) struct CheckHealth {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    /// What `contracts/script/Deploy.s.sol` wrote; without it the registry is looked at that the indexer followed last
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: Option<PathBuf>,

    /// Where the chain's node answers JSON-RPC; without it nothing is said of blocks, funds and nonces
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url, requires = "deployment_file")]
    chain_rpc_url: Option<String>,

    #[command(flatten)]
    more_nodes: MoreNodes,

    /// Where the api answers, such as <http://127.0.0.1:8000>; without it nothing is said of its process
    #[arg(long = "api-url", env = "MEDITRUSTAL_URL", hide_env_values = true)]
    api_url: Option<String>,

    /// Where the indexer answers, such as <http://127.0.0.1:8001>; without it nothing is said of its process
    #[arg(long, env = "MEDITRUSTAL_INDEXER_URL", hide_env_values = true)]
    indexer_url: Option<String>,

    /// Where the backups of records are: `daily`, `weekly` and `monthly` are below it
    #[arg(long, env = "MEDITRUSTAL_BACKUP_DIR")]
    backup_dir: Option<PathBuf>,

    /// Where the backups of keys are: without them those of records cannot be read
    #[arg(long, env = "MEDITRUSTAL_KEYS_BACKUP_DIR")]
    keys_backup_dir: Option<PathBuf>,

    /// The schema of the tenant whose backups are looked at: by default the one that the database's role leads to
    #[arg(long, env = "MEDITRUSTAL_SCHEMA", value_name = "SCHEMA", value_parser = of_schema)]
    schema: Option<Tenant>,

    /// The certificate, in PEM, by which the api or the proxy before it is believed; without it nothing is said of it
    #[arg(long, env = "MEDITRUSTAL_TLS_CERT_FILE", value_name = "FILE")]
    tls_cert_file: Option<PathBuf>,

    /// How large the database may become, in GiB, such as 500 or 0.5: the size of its disk, less what is to stay free
    #[arg(long = "database-capacity-gib", env = "MEDITRUSTAL_DATABASE_CAPACITY_GIB", value_name = "DATABASE_CAPACITY_GIB", value_parser = gibibytes)]
    database_capacity_bytes: Option<i64>,

    /// How long a statement may run, in seconds: by default the specification's 30
    #[arg(long = "longest-query", env = "MEDITRUSTAL_LONGEST_QUERY", default_value = "30",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    longest_query_seconds: u32,

    /// Fewer dead rows than these are no reason for a warning, whatever part of a small table they are
    #[arg(long, env = "MEDITRUSTAL_LEAST_DEAD_ROWS", default_value = "1000",
          value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    least_dead_rows: i64,

    /// How old the chain's newest block may be, in seconds; 0 for a chain that makes blocks only when there is something to put
    /// into them
    #[arg(long, env = "MEDITRUSTAL_HEAD_AGE", default_value = "120", value_parser = clap::value_parser!(u32))]
    head_age: u32,

    /// Say it as JSON
    #[arg(long, conflicts_with = "prometheus")]
    json: bool,

    /// Say it as Prometheus reads it, for the textfile collector of its node exporter
    #[arg(long)]
    prometheus: bool,
}

impl CheckHealth {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let database = self.database().await;
        let mut checks = database.checks;
        checks.extend(self.certificate());
        checks.extend(self.backups(database.tenant));
        checks.extend(self.processes().await);
        let status = worst(&checks);
        self.tell(status, &checks, database.figures.as_ref())?;
        Ok(ExitCode::from(exit_code(status)))
    }

    /// How long a statement may run: a warning, and ten times as long.
    fn longest_query(&self) -> CheckLimits {
        let seconds = f64::from(self.longest_query_seconds);
        CheckLimits::new(seconds, 10.0 * seconds)
    }

    fn tell(
        &self,
        status: CheckStatus,
        checks: &[HealthCheck],
        figures: Option<&Value>,
    ) -> Result<(), Failure> {
        if self.json {
            let report = json!({
                "status": status,
                "checkedAt": Clock::System.now(),
                "checks": checks,
                "database": figures,
            });
            return say(&report.to_string());
        }
        if self.prometheus {
            return say(as_metrics(checks).trim_end());
        }
        for check in checks {
            let (status, name) = (check.status.as_str(), check.name.as_str());
            say(&format!("{status:<8}  {name:<17}  {}", check.found))?;
            if !check.todo.is_empty() {
                say(&format!("{:<8}  {:<17}  -> {}", "", "", check.todo))?;
            }
        }
        say(&format!("{} checks; the worst is: {status}", checks.len()))
    }
}

/// The checks for Prometheus: 0 is well, 1 a warning, 2 critical.
fn as_metrics(checks: &[HealthCheck]) -> String {
    let mut all = Metrics::default();
    let names = CheckName::ALL.iter().map(|name| name.as_str());
    let label = [Label::new("check", names)];
    let statuses = all.known_gauges(
        "check_status",
        "0 where a check of `meditrustal health` is well, 1 for a warning, 2 where it is critical",
        &label,
    );
    let values = all.known_gauges("check_value", "The figure that was checked", &label);
    let at = all.gauge(
        "check_timestamp_seconds",
        "When it was checked, in seconds since 1970",
    );
    at.set(number(Clock::System.now().timestamp()));
    for check in checks {
        let name = check.name.as_str();
        let status = f64::from(exit_code(check.status));
        statuses.with(&[name]).set(status);
        if let Some(value) = check.value {
            values.with(&[name]).set(value);
        }
    }
    all.text()
}

const fn exit_code(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Ok => 0,
        CheckStatus::Warning => 1,
        CheckStatus::Critical => 2,
    }
}

/// How long that is, in a unit that is easily read.
fn span(seconds: f64) -> String {
    let (unit, name) = match seconds {
        seconds if seconds < 120.0 => (1.0, "s"),
        seconds if seconds < 7200.0 => (60.0, "min"),
        seconds if seconds < 172_800.0 => (3600.0, "h"),
        _ => (86_400.0, "days"),
    };
    format!("{:.0} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_a_unit_that_fits() {
        for (seconds, expected) in [
            (0.4, "0 s"),
            (119.0, "119 s"),
            (120.0, "2 min"),
            (7200.0, "2 h"),
            (172_800.0, "2 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
