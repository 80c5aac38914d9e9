//! `meditrustal-indexer replay`: reads the chain again from the registry's first block, by the same code that follows it, and
//! holds every row that the indexer alone writes from it against what would be written now. Nothing is written on the way,
//! so that it can be stopped anywhere. `rebuild` replaces what differs, in one transaction.
//!
//! Anchors are compared and never replaced: who changed one may have changed its record.

mod difference;
mod reader;
mod rebuild;
mod repair;
mod verify;

use std::{
    error::Error,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use chain::{Client, Deployment};
use serde_json::{Value, json};
use store::{Pool, PoolSettings, cursor::Registry};

use self::verify::{FollowedLine, VerifiedTables};
use crate::{
    config::ReplayArguments,
    deadline::{DATABASE_TIMEOUT, NODE_TIMEOUT},
    error::with_causes,
    position::column,
    progress::{self, Progress},
};

/// Why a replay could not tell. Its text says what to do.
type ReplayFailure = Box<dyn Error + Send + Sync>;

/// The exit code where something differs.
const DIFFERS: u8 = 1;

/// The exit code where it could not be told.
const UNKNOWN: u8 = 2;

/// A replay: what it reads from.
struct Replay {
    client: Client,
    pool: Pool,
    registry: Registry,
    consents: Option<Registry>,
}

/// Does what was asked for, and says how it ended.
pub(crate) async fn run(arguments: &ReplayArguments) -> ExitCode {
    match replay(arguments).await {
        Ok(code) => code,
        Err(error) => {
            let why = with_causes(error.as_ref());
            // Nobody to tell: the exit code says it.
            writeln!(std::io::stderr(), "meditrustal-indexer: {why}").ok();
            settings::tell_program(&why);
            ExitCode::from(UNKNOWN)
        }
    }
}

async fn replay(arguments: &ReplayArguments) -> Result<ExitCode, ReplayFailure> {
    let replay = Replay::new(arguments)?;
    replay.client.check().await?;
    let is_rebuild = arguments.rebuild && !arguments.verify;
    let is_to_replace = is_rebuild && !arguments.dry_run;
    if is_to_replace {
        replay.require_owner().await?;
    }
    let verified = Box::pin(replay.verify(is_to_replace)).await?;
    let is_to_be_replaced = is_rebuild && verified.repair_count() > 0;
    let is_replaced = is_to_be_replaced && !arguments.dry_run;
    if is_replaced {
        Box::pin(replay.rebuild(&verified)).await?;
    }
    let said = if arguments.json {
        report(&verified, is_replaced).to_string()
    } else {
        in_words(&verified, is_replaced, is_to_be_replaced)
    };
    writeln!(std::io::stdout(), "{said}")?;
    let is_as_the_chain =
        verified.differences.count == 0 || (is_replaced && verified.anchors_differ == 0);
    Ok(if is_as_the_chain {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERS)
    })
}

impl Replay {
    fn new(arguments: &ReplayArguments) -> Result<Self, ReplayFailure> {
        let deployment = Deployment::load(&arguments.deployment_file)?;
        let settings = PoolSettings {
            min: 0,
            steady: 2,
            overflow: 0,
            timeout: Duration::from_secs(10),
            statement_timeout: DATABASE_TIMEOUT,
            ..PoolSettings::default()
        };
        let chain_id = column(deployment.chain_id);
        let named = |address: String| Registry { chain_id, address };
        Ok(Self {
            client: Client::new(&arguments.chain_rpc_url, NODE_TIMEOUT, &deployment)?,
            pool: store::connect(
                &arguments.database_url,
                "meditrustal-indexer replay",
                settings,
            )?,
            registry: named(deployment.registry.to_string()),
            consents: deployment
                .consent_registry
                .map(|address| named(address.to_string())),
        })
    }
}

/// Tells an operator how far it is, on the standard error.
struct ProgressTeller(Progress);

impl ProgressTeller {
    fn new(from: u64, to: u64) -> Self {
        Self(Progress::new(
            from,
            to,
            Instant::now(),
            std::io::stderr().is_terminal(),
        ))
    }

    fn at(&mut self, block: u64) {
        if let Some(line) = self.0.at(block, Instant::now()) {
            progress::show(&line, self.0.is_rewritten());
        }
    }
}

/// What was found, for a machine.
fn report(verified: &VerifiedTables, is_replaced: bool) -> Value {
    json!({
        "fromBlock": verified.from_block,
        "toBlock": verified.to_block,
        "events": verified.events,
        "consentsCompared": verified.consents.is_some(),
        "differences": verified.differences.count,
        "listed": verified.differences.listed,
        "anchors": verified.anchors,
        "anchorsDiffer": verified.anchors_differ,
        "replaced": is_replaced,
    })
}

/// What was found, for people.
fn in_words(verified: &VerifiedTables, is_replaced: bool, is_to_be_replaced: bool) -> String {
    let VerifiedTables {
        from_block,
        to_block,
        events,
        differences,
        ..
    } = verified;
    let mut lines = vec![format!(
        "compared {events} events of blocks {from_block} to {to_block} with what is stored: {} differences",
        differences.count
    )];
    lines.extend(differences.listed.iter().map(ToString::to_string));
    let listed = differences.listed.len();
    if u64::try_from(listed).is_ok_and(|listed| listed < differences.count) {
        lines.push(format!(
            "only the first {listed} of {} are listed",
            differences.count
        ));
    }
    lines.push(match verified.anchors {
        Some(anchors) => format!("compared {anchors} anchors with their events"),
        None => "anchors were not compared: their events differ".to_owned(),
    });
    if is_replaced {
        lines.push("what the indexer writes was replaced by what the chain says".to_owned());
    } else if is_to_be_replaced {
        lines.push(format!(
            "{} rows would be replaced; nothing was",
            verified.repair_count()
        ));
    }
    lines.join("\n")
}

impl FollowedLine {
    /// What a row of it is known by.
    fn row(&self, sequence: i64) -> String {
        format!("event {sequence} of {}", self.registry.address)
    }
}
