//! `meditrustal maintain`: keeps the tables and indexes in order, by the specification's schedule. Whatever is not due is passed
//! over, so that it can be started as often as one likes.

use std::{process::ExitCode, time::Instant};

use clap::{Args, Subcommand};
use domain::monitoring::DEAD_ROWS_TO_VACUUM;
use serde_json::{Value, json};
use store::maintenance::{Maintainer, MaintenanceRules, MaintenanceStep};

use super::output::{Failure, decline, note, say, with_causes};
use crate::config::database_url;

/// The exit code where another process is at it.
const BUSY: u8 = 2;

/// What can be done about the maintenance.
#[derive(Debug, Subcommand)]
pub(crate) enum MaintainCommand {
    /// Do what is due: VACUUM (ANALYZE) each day at 03:00 and where a table has more than 20 % dead rows, ANALYZE where much has
    /// changed, REINDEX CONCURRENTLY of critical tables each Sunday, the report about the use of indexes each month. Exits with 1
    /// where something failed, and with 2 where another process is at it
    Run(RunMaintenance),
    /// Say what is due, and which indexes are hardly used
    Status(MaintenanceStatus),
}

/// Where the database is, and by which clock.
#[derive(Debug, Args)]
pub(crate) struct MaintainedDatabase {
    /// Where the database is, under the role meditrustal_migrator, which owns the tables
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    /// The time zone of 03:00, of Sunday and of the first of a month, such as Asia/Jakarta
    #[arg(long, env = "MEDITRUSTAL_TIME_ZONE", default_value = "UTC")]
    time_zone: String,

    /// Fewer dead or changed rows than these are no reason to do anything between two nights
    #[arg(long, env = "MEDITRUSTAL_LEAST_DEAD_ROWS", default_value = "1000",
          value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    least_dead_rows: i64,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `maintain run`.
#[derive(Debug, Args)]
pub(crate) struct RunMaintenance {
    #[command(flatten)]
    database: MaintainedDatabase,

    /// Change nothing; say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Settings of `maintain status`.
#[derive(Debug, Args)]
pub(crate) struct MaintenanceStatus {
    #[command(flatten)]
    database: MaintainedDatabase,
}

impl MaintainCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(settings) => settings.run().await,
            Self::Status(settings) => settings.run().await,
        }
    }
}

impl MaintainedDatabase {
    fn rules(&self) -> MaintenanceRules {
        MaintenanceRules {
            time_zone: self.time_zone.clone(),
            dead_ratio: DEAD_ROWS_TO_VACUUM,
            least_rows: self.least_dead_rows,
        }
    }

    /// What is due.
    ///
    /// # Errors
    /// Where the time zone is none.
    async fn due(&self, maintainer: &mut Maintainer) -> Result<Vec<MaintenanceStep>, Failure> {
        if !maintainer.knows_time_zone(&self.time_zone).await? {
            return Err(format!(
                "MEDITRUSTAL_TIME_ZONE: the database knows no time zone {:?}; choose one such as Asia/Jakarta",
                self.time_zone
            )
            .into());
        }
        Ok(maintainer.due(&self.rules()).await?)
    }

    fn tell_due(&self, steps: &[MaintenanceStep]) -> Result<(), Failure> {
        if self.json {
            let due: Vec<Value> = steps.iter().map(described).collect();
            return say(&json!({ "due": due }).to_string());
        }
        for step in steps {
            say(&format!("{}: {}", named(step), step.why))?;
        }
        say(&format!("{} steps are due", steps.len()))
    }
}

fn described(step: &MaintenanceStep) -> Value {
    json!({ "task": step.task.as_str(), "object": step.object, "why": step.why })
}

fn named(step: &MaintenanceStep) -> String {
    if step.object.is_empty() {
        step.task.to_string()
    } else {
        format!("{} {}", step.task, step.object)
    }
}

/// What became of a run.
#[derive(Debug, Default)]
struct MaintenanceReport {
    done: Vec<Value>,
    failed: Vec<Value>,
}

impl RunMaintenance {
    async fn run(&self) -> Result<ExitCode, Failure> {
        if self.dry_run {
            let mut maintainer = Maintainer::look(&self.database.url).await?;
            let steps = self.database.due(&mut maintainer).await?;
            maintainer.release().await?;
            self.database.tell_due(&steps)?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(mut maintainer) = Maintainer::try_take(&self.database.url).await? else {
            decline("another process maintains this database");
            return Ok(ExitCode::from(BUSY));
        };
        if !maintainer.owns_tables().await? {
            return Err("DATABASE_URL: only the role that owns the tables can maintain them: meditrustal_migrator".into());
        }
        let steps = self.database.due(&mut maintainer).await?;
        let report = run_all(&mut maintainer, &steps).await;
        // Where this fails the connection is broken, and the lock went with it.
        maintainer.release().await.ok();
        self.tell(&report)
    }

    fn tell(&self, report: &MaintenanceReport) -> Result<ExitCode, Failure> {
        let MaintenanceReport { done, failed } = report;
        if self.database.json {
            say(&json!({ "done": done, "failed": failed }).to_string())?;
        } else {
            say(&format!(
                "{} steps done, {} failed",
                done.len(),
                failed.len()
            ))?;
        }
        Ok(if failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Does one after the other, and goes on with the others where one fails. It says how far it is.
async fn run_all(maintainer: &mut Maintainer, steps: &[MaintenanceStep]) -> MaintenanceReport {
    let mut report = MaintenanceReport::default();
    for (nth, step) in (1..).zip(steps) {
        let began = Instant::now();
        let done = maintainer.run(step).await;
        let took = began.elapsed();
        let progress = format!("{nth} of {}: {}", steps.len(), named(step));
        match done {
            Ok(()) => {
                note(&format!("{progress}: done in {:.1} s", took.as_secs_f64()));
                report.done.push(described(step));
            }
            Err(error) => {
                note(&format!("{progress}: {}", with_causes(&error)));
                report.failed.push(described(step));
                // Without the line to the database nothing else can be done.
                if error.is_of_the_database() {
                    report.failed.extend(steps[nth..].iter().map(described));
                    break;
                }
            }
        }
    }
    report
}

impl MaintenanceStatus {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let mut maintainer = Maintainer::look(&self.database.url).await?;
        let steps = self.database.due(&mut maintainer).await?;
        let report = maintainer.report().await?;
        maintainer.release().await?;
        let unused = unused(report.as_ref());
        if self.database.json {
            let due: Vec<Value> = steps.iter().map(described).collect();
            say(&json!({ "due": due, "unusedIndexes": unused, "indexUsage": report }).to_string())?;
        } else {
            self.database.tell_due(&steps)?;
            for index in &unused {
                say(&format!("{index} was not read before the last report"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The indexes of the report that nobody read and no constraint needs.
fn unused(report: Option<&Value>) -> Vec<String> {
    let indexes = report.and_then(Value::as_array);
    let indexes = indexes.into_iter().flatten();
    let unused = indexes.filter(|index| index["scans"] == 0 && index["isUnique"] == false);
    let names = unused.filter_map(|index| index["index"].as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_unused_where_nobody_read_it_and_nothing_needs_it() {
        let report = json!([
            { "index": "a", "scans": 0, "isUnique": false },
            { "index": "b", "scans": 0, "isUnique": true },
            { "index": "c", "scans": 1, "isUnique": false },
        ]);

        assert_eq!(unused(Some(&report)), ["a"]);
        assert_eq!(unused(None), [""; 0]);
    }
}
