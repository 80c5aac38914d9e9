//! A record that was anchored: whether it is one of ours, by us, and as it was signed.

use chain::{ChainAddress, RegistryLog};
use domain::{integrity::FindingKind, records::DataHash};
use serde_json::json;
use store::reconciliation::{Confirmation, LockedAnchor};

use super::{
    changes::{Changes, Confirmed, KnownHashes},
    suspicion::{SuspectedFinding, foreign_transaction, other_predecessor},
};
use crate::position::column;

/// What an event says of an anchoring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchoring {
    pub(super) record: DataHash,
    pub(super) predecessor: Option<DataHash>,
    pub(super) registrar: ChainAddress,
}

/// Confirms the anchor of the hash where there is one and it was us, and says what does not fit.
pub(super) fn hold(log: &RegistryLog, said: Anchoring, known: &KnownHashes, changes: &mut Changes) {
    let evidence = json!({
        "registrar": said.registrar.to_string(),
        "txHash": log.tx_hash.to_string(),
        "blockNumber": log.block_number,
    });
    let Some(anchor) = known.anchors.get(&said.record) else {
        if !known.unanchored.contains(&said.record) {
            let unknown = SuspectedFinding::unknown(said.record, evidence);
            changes.suspicions.push(unknown);
        }
        return;
    };
    let suspicion = |kind| SuspectedFinding::of_anchor(kind, anchor, evidence.clone());
    if !anchor.record_exists {
        let unknown = suspicion(FindingKind::UnknownOnChain);
        changes.suspicions.push(unknown);
    }
    if !known.registrars.contains(&said.registrar) {
        let foreign = suspicion(FindingKind::ForeignRegistrar);
        changes.suspicions.push(foreign);
        return;
    }
    changes.suspicions.extend(out_of_line(anchor, said));
    changes.suspicions.extend(not_signed_here(log, anchor));
    changes.confirmed.push(Confirmed {
        anchor: anchor.clone(),
        confirmation: confirmation(log, anchor, said),
    });
}

/// That it names another version as superseded than was signed for. It is anchored all the same.
fn out_of_line(anchor: &LockedAnchor, said: Anchoring) -> Option<SuspectedFinding> {
    (said.predecessor != anchor.supersedes).then(|| {
        let [signed, anchored] =
            [anchor.supersedes, said.predecessor].map(|it| it.map(|hash| hash.to_string()));
        let details = other_predecessor(signed.as_deref(), anchored.as_deref());
        SuspectedFinding::of_anchor(FindingKind::HashMismatch, anchor, details)
    })
}

/// That our account anchored it by a transaction that was not signed here for it: the account is used elsewhere, or the node
/// names another transaction than it was.
fn not_signed_here(log: &RegistryLog, anchor: &LockedAnchor) -> Option<SuspectedFinding> {
    (!is_signed(log, anchor)).then(|| {
        let details = foreign_transaction(&anchor.tx_hash, &log.tx_hash.to_string());
        SuspectedFinding::of_anchor(FindingKind::HashMismatch, anchor, details)
    })
}

fn is_signed(log: &RegistryLog, anchor: &LockedAnchor) -> bool {
    anchor.tx_hashes.contains(&log.tx_hash.to_string())
}

/// Where it is. The head of the registry commits to no transaction: one that was not signed here takes the place of none.
fn confirmation(log: &RegistryLog, anchor: &LockedAnchor, said: Anchoring) -> Confirmation {
    let tx_hash = if is_signed(log, anchor) {
        log.tx_hash.to_string()
    } else {
        anchor.tx_hash.clone()
    };
    Confirmation {
        record: anchor.record,
        renames: !anchor.is_named || tx_hash != anchor.tx_hash,
        tx_hash,
        registrar: said.registrar.to_string(),
        block_number: column(log.block_number),
        block_hash: log.block_hash.to_string(),
        log_index: column(log.log_index),
        sequence: column(log.sequence),
    }
}
