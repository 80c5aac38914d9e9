//! What a restore came to: for a program, and in words.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::{
    erasure_ledger::replay::Replayed,
    restores::{
        follow::{ChainReport, RaisedNonce},
        indexer::IndexerReplayed,
    },
};

/// What a restore came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RestoreReport {
    /// The id of the backup.
    pub(super) backup: String,
    /// When the snapshot was taken: what came later is lost, but for what the chain and the ledger have.
    pub(super) taken_at: DateTime<Utc>,
    /// How many rows were restored, the keys with them.
    pub(super) rows: i64,
    /// How many log-ins ended.
    pub(super) ended_sessions: u64,
    /// The accounts that go on from another nonce.
    pub(super) nonces: Vec<RaisedNonce>,
    /// What was erased again; `None` without a ledger.
    pub(super) erasures: Option<Replayed>,
    /// What the chain says of the dump.
    pub(super) chain: ChainReport,
    /// What the indexer's replay found; `None` where there was none.
    pub(super) replay: Option<IndexerReplayed>,
    /// What the deep check found; `None` where there was none.
    pub(super) deep_check: Option<RestoredCheck>,
    /// What is left to be done, and by which command.
    pub(super) unfinished: Vec<UnfinishedStep>,
}

/// What the deep check found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RestoredCheck {
    /// How many patients' keys were opened.
    pub(super) keys: i64,
    /// How many records were opened.
    pub(super) records: i64,
    /// How many rows that decide, and rows of the trail, were compared.
    pub(super) rows: i64,
    /// How many of all were not as they should be.
    pub(super) wrong: i64,
    /// How many findings are open now, by kind; those of the dump with them.
    pub(super) open_findings: Vec<OpenKind>,
}

/// How many findings of a kind are open.
#[derive(Debug, Serialize)]
pub(super) struct OpenKind {
    /// Which kind.
    pub(super) kind: String,
    /// How many.
    pub(super) open: i64,
}

/// A step that the restore has left.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnfinishedStep {
    /// Which.
    pub(super) step: RestoreStep,
    /// Whether it was left out because the command line says so.
    pub(super) left_out: bool,
    /// Why it was not done.
    pub(super) why: String,
    /// What does it.
    pub(super) command: String,
}

/// A step after the dumps are loaded that can be left for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RestoreStep {
    /// The erasure ledger.
    ErasureLedger,
    /// The indexer's replay.
    Replay,
    /// The deep check.
    DeepCheck,
}

impl RestoreStep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ErasureLedger => "the erasure ledger",
            Self::Replay => "the indexer's replay",
            Self::DeepCheck => "the deep check",
        }
    }
}

impl RestoreReport {
    /// How many entries of the ledger cannot be carried out: until they are, no api starts.
    pub(super) fn failed_erasures(&self) -> usize {
        self.erasures.as_ref().map_or(0, |it| it.failed.len())
    }

    /// Whether something was found that is not as it should be, or a step that was wanted was not done.
    pub(super) fn needs_an_operator(&self) -> bool {
        self.unfinished.iter().any(|it| !it.left_out)
            || self.replay.as_ref().is_some_and(|it| !it.is_as_the_chain())
            || self.deep_check.as_ref().is_some_and(|it| it.wrong > 0)
    }

    /// All of it in words.
    pub(super) fn told(&self) -> String {
        let mut lines = vec![format!(
            "restored {} rows, as they were at {}; what came later is lost, but for what follows",
            self.rows,
            self.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true)
        )];
        lines.push(format!(
            "{} log-ins ended: people log in again",
            self.ended_sessions
        ));
        for it in &self.nonces {
            lines.push(format!(
                "{} goes on with nonce {} instead of {}: {} of its transactions are on the chain and lost here",
                it.address, it.next, it.dumped, it.lost_transactions
            ));
        }
        if let Some(done) = &self.erasures {
            lines.push(format!(
                "erased again: {} records, {} keys, {} accounts",
                done.records, done.keys, done.accounts
            ));
            for it in &done.failed {
                lines.push(format!(
                    "line {} of the ledger cannot be carried out: {}",
                    it.line, it.error
                ));
            }
        }
        lines.extend(told_of_chain(&self.chain));
        lines.extend(self.replay.iter().flat_map(told_of_replay));
        lines.extend(self.deep_check.iter().flat_map(told_of_check));
        for it in &self.unfinished {
            let step = it.step.as_str();
            lines.push(format!(
                "unfinished: {step}: {}; run: {}",
                it.why, it.command
            ));
        }
        lines.join("\n")
    }
}

fn told_of_replay(done: &IndexerReplayed) -> Vec<String> {
    let anchors = done.anchors.map_or_else(
        || "no anchors".to_owned(),
        |anchors| format!("{anchors} anchors"),
    );
    let mut lines = vec![format!(
        "compared {} events of blocks {} to {} and {anchors} with the chain: {} differences, {}",
        done.events,
        done.from_block,
        done.to_block,
        done.differences,
        if done.replaced {
            "replaced by what the chain says"
        } else {
            "nothing was replaced"
        }
    )];
    if done.anchors_differ > 0 {
        lines.push(format!(
            "{} anchors are not as the chain has them, and stay for an operator: `meditrustal-indexer replay --verify` names them",
            done.anchors_differ
        ));
    }
    lines
}

fn told_of_check(done: &RestoredCheck) -> Vec<String> {
    let mut lines = vec![format!(
        "the deep check opened {} keys and {} records, and compared {} rows: {} are wrong",
        done.keys, done.records, done.rows, done.wrong
    )];
    for it in &done.open_findings {
        lines.push(format!("open findings: {} {}", it.open, it.kind));
    }
    lines
}

fn told_of_chain(chain: &ChainReport) -> Vec<String> {
    let mut lines = vec![format!(
        "compared with the chain from block {} to {}: {} records lost, {} closings lost, {} consents told by wallets since, {} \
         records in no block yet",
        chain.from_block,
        chain.to_block,
        chain.lost_records.len(),
        chain.lost_closings.len(),
        chain.consents_since,
        chain.unanchored.len()
    )];
    for it in &chain.lost_records {
        lines.push(format!(
            "lost: the record with the hash {} (block {}, transaction {}); it is on the chain and has no row",
            it.record_hash, it.block, it.tx_hash
        ));
    }
    for it in &chain.lost_closings {
        lines.push(format!(
            "lost: that record {} was {} (transaction {}); it is open here again",
            it.record_id,
            it.closed_as.to_lowercase(),
            it.tx_hash
        ));
    }
    for it in &chain.unanchored {
        lines.push(format!(
            "in no block: the anchor of record {} ({})",
            it.record_id, it.state
        ));
    }
    if let Some(it) = &chain.lost_trail {
        lines.push(format!(
            "lost: the registry has pinned {} rows of the audit trail, and {} are there; `meditrustal audit verify` says more",
            it.pinned_rows, it.rows
        ));
    }
    lines
}
