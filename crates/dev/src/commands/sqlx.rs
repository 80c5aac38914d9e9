//! `cargo dev sqlx`: asks a migrated database about every checked statement of `crates/store`.
//!
//! `store` cannot be built before this is done, so nothing here may need it: the migrations are
//! applied as files, and the roles that they grant to are made without a password.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use dev::postgres::{Cluster, Options};
use dev::scratch::Scratch;
use dev::{Error, Result, config, repository, say};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

/// What `meditrustal database create` does, for a database that only describes statements.
const CREATE: &str = "
    CREATE ROLE meditrustal_migrator NOLOGIN;
    CREATE ROLE meditrustal_api NOLOGIN;
    CREATE ROLE meditrustal_indexer NOLOGIN;
    CREATE ROLE meditrustal_keys NOLOGIN;
    CREATE ROLE meditrustal_backup NOLOGIN;
    CREATE ROLE meditrustal_retention NOLOGIN;
    GRANT meditrustal_retention TO meditrustal_migrator;
    CREATE ROLE meditrustal_monitor NOLOGIN;
    GRANT pg_read_all_stats TO meditrustal_monitor;
    GRANT meditrustal_monitor TO meditrustal_migrator;
";
const CREATE_DATABASE: &str = "CREATE DATABASE meditrustal OWNER meditrustal_migrator";

/// Record what the database says about the statements of crates/store, in .sqlx.
#[derive(Debug, clap::Args)]
pub(crate) struct Sqlx {
    /// Change nothing; fail when .sqlx is not what would be written.
    #[arg(long)]
    check: bool,
}

impl Sqlx {
    pub(crate) async fn run(self) -> Result<()> {
        let root = repository::root()?;
        let fresh = describe(&root).await?;
        let recorded = root.join(".sqlx");
        let changes = changes(&read(&recorded)?, &fresh);
        if self.check {
            return if changes.is_empty() {
                say::line(format_args!(
                    ".sqlx is up to date: {} statements",
                    fresh.len()
                ));
                Ok(())
            } else {
                Err(Error::Needs(format!(
                    ".sqlx is not what crates/store and migrations say:\n  {}\nrun `cargo dev \
                     sqlx` and commit .sqlx",
                    changes.join("\n  ")
                )))
            };
        }
        write(&recorded, &fresh)?;
        for change in &changes {
            say::line(change);
        }
        say::line(format_args!(
            ".sqlx: {} statements, {} changed",
            fresh.len(),
            changes.len()
        ));
        Ok(())
    }
}

/// Builds `store` against a database of its own; answers the recorded files, by name.
async fn describe(root: &Path) -> Result<BTreeMap<String, String>> {
    // What may be null is read off the plan of a statement, and plans follow what autovacuum has counted.
    let options = Options::throw_away(root).setting("autovacuum", "off");
    let cluster = Cluster::start(options)?;
    let database = cluster.superuser_url("meditrustal");
    let mut admin = PgConnection::connect(&cluster.superuser_url("postgres")).await?;
    sqlx::raw_sql(CREATE).execute(&mut admin).await?;
    sqlx::raw_sql(CREATE_DATABASE).execute(&mut admin).await?;
    admin.close().await?;

    // As the role that owns everything, so that what it may not do fails here too.
    let mut owner = PgConnection::connect(&database).await?;
    sqlx::raw_sql("SET ROLE meditrustal_migrator")
        .execute(&mut owner)
        .await?;
    let migrator = Migrator::new(root.join("migrations")).await?;
    migrator.run(&mut owner).await?;
    owner.close().await?;

    // Cargo does not know that the database is part of what the macros read.
    let source = root.join("crates/store/src/lib.rs");
    File::options()
        .append(true)
        .open(&source)
        .and_then(|file| file.set_modified(now()))
        .map_err(|error| Error::Needs(format!("could not touch {}: {error}", source.display())))?;

    let described = Scratch::new("sqlx")?;
    let status = Command::new(config::cargo())
        .args(["check", "--package", "store", "--all-targets"])
        .current_dir(root)
        .env("DATABASE_URL", database)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", described.path())
        .status()
        .map_err(|source| Error::Spawn {
            program: "cargo".to_owned(),
            source,
        })?;
    if !status.success() {
        return Err(Error::Needs(
            "crates/store does not build against the migrated database (see above); .sqlx is as \
             it was"
                .to_owned(),
        ));
    }
    read(described.path())
}

#[expect(clippy::disallowed_methods, reason = "a file's time, not a record's")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// The recorded statements in a directory, by file name; none when it does not exist.
fn read(dir: &Path) -> Result<BTreeMap<String, String>> {
    let failed = |source| Error::File {
        what: "could not read",
        path: dir.to_owned(),
        source,
    };
    if !dir.exists() {
        return Ok(BTreeMap::new());
    }
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            files.insert(name, fs::read_to_string(entry.path()).map_err(failed)?);
        }
    }
    Ok(files)
}

/// Makes `dir` hold these files, without touching those that are right already.
fn write(dir: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let failed = |source| Error::File {
        what: "could not write",
        path: dir.to_owned(),
        source,
    };
    let recorded = read(dir)?;
    fs::create_dir_all(dir).map_err(failed)?;
    for name in recorded.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(dir.join(name)).map_err(failed)?;
    }
    for (name, text) in files
        .iter()
        .filter(|(name, text)| recorded.get(*name) != Some(text))
    {
        fs::write(dir.join(name), text).map_err(failed)?;
    }
    Ok(())
}

/// One line per file that is missing, stale or different, with the start of its statement.
fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let added = new
        .iter()
        .filter(|(name, _)| !old.contains_key(*name))
        .map(|(name, text)| ('+', name, text));
    let gone = old
        .iter()
        .filter(|(name, _)| !new.contains_key(*name))
        .map(|(name, text)| ('-', name, text));
    let differs = new
        .iter()
        .filter(|(name, text)| old.get(*name).is_some_and(|old| old != *text))
        .map(|(name, text)| ('~', name, text));
    added
        .chain(gone)
        .chain(differs)
        .map(|(sign, name, text)| format!("{sign} {name}  {}", statement(text)))
        .collect()
}

/// The first 60 characters of the statement, on one line.
fn statement(recorded: &str) -> String {
    let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap_or_default();
    let text = recorded["query"].as_str().unwrap_or_default();
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(60).collect()
}
