//! What does not fit together, from what is known of one record or one hash. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use chain::ChainAddress;
use domain::{
    ids::RecordId,
    integrity::{AnchorState, FindingKind},
    records::DataHash,
};
use serde_json::{Value, json};
use store::reconciliation::{
    AnchorFacts, EndingFacts, EventFacts, HashFacts, OpenFinding, PlacedAnchor, RecordFacts,
};

use crate::reconcile::{self, SuspectedFinding, foreign_transaction, other_predecessor};

/// What is wrong with a record that is there.
pub(crate) fn record(
    facts: &RecordFacts,
    chain_id: i64,
    registrars: &HashSet<ChainAddress>,
) -> Vec<SuspectedFinding> {
    let suspicion = |kind, hash: &str, details: Value| SuspectedFinding {
        kind,
        record: Some(facts.record),
        patient: Some(facts.patient),
        record_type: Some(facts.record_type),
        // A tampered text may be no hash at all; the record still names the finding.
        record_hash: DataHash::parse(hash).ok(),
        details,
    };
    let Some(anchor) = &facts.anchor else {
        let details = json!({ "reason": "NO_ANCHOR" });
        return vec![suspicion(
            FindingKind::MissingOnChain,
            &facts.data_hash,
            details,
        )];
    };
    let anchored = &anchor.record_hash;
    // Another deployment's affair, unless this one has its event, by one of our accounts: anybody can anchor a hash that they know.
    if anchor.chain_id != chain_id {
        let details = json!({ "column": "chain_id", "found": anchor.chain_id });
        let is_ours = |event: &EventFacts| {
            event
                .actor
                .parse()
                .is_ok_and(|actor| registrars.contains(&actor))
        };
        let found = facts
            .event
            .as_ref()
            .is_some_and(is_ours)
            .then(|| suspicion(FindingKind::HashMismatch, anchored, details));
        return Vec::from_iter(found);
    }
    let mut wrong = Vec::new();
    if facts.data_hash != *anchored {
        let details = json!({ "column": "data_hash", "anchored": anchored });
        wrong.push(suspicion(FindingKind::HashMismatch, anchored, details));
    } else if facts.blockchain_record_id != anchor.tx_hash {
        let details = json!({ "column": "blockchain_record_id", "anchored": anchor.tx_hash });
        wrong.push(suspicion(FindingKind::HashMismatch, anchored, details));
    } else if let Some(details) = of_another(facts, anchor).or_else(|| out_of_line(facts, anchor)) {
        wrong.push(suspicion(FindingKind::HashMismatch, anchored, details));
    }
    match &facts.event {
        Some(event) => {
            let ours = event
                .actor
                .parse()
                .is_ok_and(|actor| registrars.contains(&actor));
            if !ours {
                let details = json!({ "registrar": event.actor, "txHash": event.tx_hash });
                wrong.push(suspicion(FindingKind::ForeignRegistrar, anchored, details));
            }
        }
        None if said_to_be_anchored(anchor.state) => {
            let details = json!({ "reason": "NO_EVENT", "state": anchor.state });
            wrong.push(suspicion(FindingKind::MissingOnChain, anchored, details));
        }
        // Nothing that is handed over will bring it to the chain, and so nothing else tells of it.
        None if is_under_way(anchor.state) && !facts.is_queued => {
            let details = json!({ "reason": "NOT_QUEUED", "state": anchor.state });
            wrong.push(suspicion(FindingKind::MissingOnChain, anchored, details));
        }
        None => {}
    }
    // We take no record out of a batch, whoever's account it was.
    if let Some(extraction) = &facts.extraction {
        wrong.push(reconcile::extracted(
            extraction,
            facts.record,
            facts.patient,
            Some(facts.record_type),
            DataHash::parse(anchored).ok(),
        ));
    }
    wrong
}

/// That an anchor is not where its event is, or does not stand where it should by that. Where the event is by somebody else, that
/// is told.
pub(crate) fn misplaced(
    placed: &PlacedAnchor,
    registrars: &HashSet<ChainAddress>,
) -> Option<SuspectedFinding> {
    let account = placed.event.account.as_deref()?;
    let is_ours = account
        .parse()
        .is_ok_and(|account| registrars.contains(&account));
    let details = is_ours.then(|| out_of_place(placed)).flatten()?;
    Some(SuspectedFinding {
        kind: FindingKind::HashMismatch,
        record: Some(placed.record),
        patient: Some(placed.patient),
        record_type: placed.record_type,
        record_hash: placed.record_hash,
        details,
    })
}

/// What of an anchor does not fit its event.
fn out_of_place(placed: &PlacedAnchor) -> Option<Value> {
    let PlacedAnchor {
        state,
        anchored,
        event,
        ..
    } = placed;
    if !said_to_be_anchored(*state) {
        // By a transaction of somebody else it may be refused and be there all the same.
        return placed
            .is_signed
            .then(|| json!({ "column": "state", "found": state }));
    }
    let is_early = event.block_number > placed.finalized_block;
    if *state == AnchorState::Finalized && is_early {
        return Some(
            json!({ "column": "state", "found": state, "finalizedBlock": placed.finalized_block }),
        );
    }
    if anchored.tx_hash != event.tx_hash || !placed.is_signed {
        return Some(foreign_transaction(&anchored.tx_hash, &event.tx_hash));
    }
    if !placed.is_mined {
        return Some(json!({ "column": "outbox", "txHash": event.tx_hash }));
    }
    let differs = |column: &str, is_same: bool, anchored: Value| {
        (!is_same).then(|| json!({ "column": column, "anchored": anchored }))
    };
    differs(
        "block_number",
        anchored.block_number == event.block_number,
        json!(event.block_number),
    )
    .or_else(|| {
        let is_same = anchored.block_hash == event.block_hash;
        differs("block_hash", is_same, json!(event.block_hash))
    })
    .or_else(|| {
        let is_same = anchored.log_index == event.log_index;
        differs("log_index", is_same, json!(event.log_index))
    })
    .or_else(|| {
        let is_same = anchored.sequence == event.sequence;
        differs("sequence", is_same, json!(event.sequence))
    })
    .or_else(|| {
        let is_same = anchored.account == event.account;
        differs("registrar", is_same, json!(event.account))
    })
}

/// The hash that was anchored for a record; `None` where a tampered text is none.
pub(crate) fn anchored(facts: &RecordFacts) -> Option<DataHash> {
    DataHash::parse(&facts.anchor.as_ref()?.record_hash).ok()
}

/// That somebody ended a record on the chain, if it was not us.
pub(crate) fn ended(
    facts: &RecordFacts,
    endings: &HashMap<DataHash, EndingFacts>,
) -> Option<SuspectedFinding> {
    let ending = endings.get(&anchored(facts)?)?;
    reconcile::ended(ending, facts.record, facts.patient, Some(facts.record_type))
}

/// That a record which counts as closed on the chain stands there again: somebody annulled the closing. It is not done again
/// by itself, because a steward had a reason.
pub(crate) fn stands_again(
    facts: &RecordFacts,
    chain_id: i64,
    endings: &HashMap<DataHash, EndingFacts>,
) -> Option<SuspectedFinding> {
    let anchor = facts.anchor.as_ref()?;
    let hash = anchored(facts)?;
    // Without its event the record itself is missing, which is told.
    let is_here = anchor.chain_id == chain_id && facts.event.is_some();
    (facts.is_closed && is_here && !endings.contains_key(&hash)).then(|| SuspectedFinding {
        kind: FindingKind::MissingOnChain,
        record: Some(facts.record),
        patient: Some(facts.patient),
        record_type: Some(facts.record_type),
        record_hash: Some(hash),
        details: json!({ "reason": "CLOSING_ANNULLED" }),
    })
}

/// That an anchor names another patient or type than its record, whose own are bound to its document.
fn of_another(facts: &RecordFacts, anchor: &AnchorFacts) -> Option<Value> {
    let column = if anchor.patient != facts.patient {
        "patient_id"
    } else if anchor.record_type != Some(facts.record_type) {
        "record_type"
    } else {
        return None;
    };
    Some(json!({ "column": column }))
}

/// What does not fit in the line of versions: the row and its neighbours, the anchor, the event.
fn out_of_line(facts: &RecordFacts, anchor: &AnchorFacts) -> Option<Value> {
    let before = facts.predecessor.as_ref();
    let follows = before.and_then(|before| before.record_hash.as_ref());
    if follows != anchor.predecessor_hash.as_ref() || before.is_some() != follows.is_some() {
        let signed = &anchor.predecessor_hash;
        return Some(json!({ "column": "predecessor_id", "anchored": signed }));
    }
    if i64::from(facts.version) != before.map_or(1, |before| i64::from(before.version) + 1) {
        return Some(json!({ "column": "version", "found": facts.version }));
    }
    if facts.is_superseded != facts.has_successor {
        let details = json!({ "column": "superseded_at", "hasSuccessor": facts.has_successor });
        return Some(details);
    }
    let signed = anchor
        .predecessor_hash
        .as_deref()
        .filter(|_| anchor.supersedes);
    let anchored = facts.event.as_ref()?.predecessor.as_deref();
    (signed != anchored).then(|| other_predecessor(signed, anchored))
}

fn said_to_be_anchored(state: AnchorState) -> bool {
    match state {
        AnchorState::Confirmed | AnchorState::Finalized => true,
        AnchorState::Pending
        | AnchorState::Submitted
        | AnchorState::Replaced
        | AnchorState::Reorged
        | AnchorState::Failed => false,
    }
}

/// Whether a transaction of it has to wait in the outbox: what failed is signed again first.
fn is_under_way(state: AnchorState) -> bool {
    match state {
        AnchorState::Pending | AnchorState::Submitted | AnchorState::Reorged => true,
        AnchorState::Confirmed
        | AnchorState::Finalized
        | AnchorState::Replaced
        | AnchorState::Failed => false,
    }
}

/// What is wrong with a hash that is live on the chain.
pub(crate) fn hash(facts: &HashFacts) -> Option<SuspectedFinding> {
    let known = match &facts.anchored {
        Some(anchored) => anchored.exists,
        None => facts.has_record,
    };
    (!known).then(|| SuspectedFinding {
        kind: FindingKind::UnknownOnChain,
        record: facts.anchored.as_ref().map(|anchored| anchored.record),
        patient: facts.anchored.as_ref().map(|anchored| anchored.patient),
        record_type: facts
            .anchored
            .as_ref()
            .and_then(|anchored| anchored.record_type),
        record_hash: Some(facts.hash),
        details: json!({
            "registrar": facts.event.actor,
            "txHash": facts.event.tx_hash,
            "blockNumber": facts.block_number,
        }),
    })
}

/// What to open and what to resolve. A finding is resolved when what it is about was looked at and is
/// right; one about a record that is gone stays open.
pub(crate) fn compare(
    open: &[OpenFinding],
    wrong: Vec<SuspectedFinding>,
    records: &[RecordFacts],
    hashes: &[HashFacts],
) -> (Vec<SuspectedFinding>, Vec<SuspectedFinding>) {
    type Key = (FindingKind, Option<RecordId>, Option<DataHash>);
    // One that was written by somebody else silences none: it is opened as if it were not there.
    let is_open: BTreeSet<Key> = open
        .iter()
        .filter(|finding| finding.is_told)
        .map(|f| (f.kind, f.record, f.record_hash))
        .collect();
    let is_wrong: BTreeSet<Key> = wrong
        .iter()
        .map(|s| (s.kind, s.record, s.record_hash))
        .collect();
    let resolved = open
        .iter()
        .filter(|finding| !is_wrong.contains(&(finding.kind, finding.record, finding.record_hash)))
        .filter_map(|finding| {
            let (mut patient, mut record_type) = (None, None);
            if finding.kind == FindingKind::UnknownOnChain {
                // Gone from the chain, or known now: both are right.
                let facts = hashes
                    .iter()
                    .find(|facts| Some(facts.hash) == finding.record_hash);
                if let Some(anchored) = facts.and_then(|facts| facts.anchored.as_ref()) {
                    patient = Some(anchored.patient);
                    record_type = anchored.record_type;
                }
            } else if finding.kind != FindingKind::RegistryPaused {
                let facts = records
                    .iter()
                    .find(|facts| Some(facts.record) == finding.record)?;
                patient = Some(facts.patient);
                record_type = Some(facts.record_type);
            }
            Some(SuspectedFinding {
                kind: finding.kind,
                record: finding.record,
                patient,
                record_type,
                record_hash: finding.record_hash,
                details: Value::Null,
            })
        })
        .collect();
    let opened = wrong
        .into_iter()
        .filter(|s| !is_open.contains(&(s.kind, s.record, s.record_hash)))
        .collect();
    (opened, resolved)
}

#[cfg(test)]
mod tests;
