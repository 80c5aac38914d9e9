//! What the events of a stretch mean for the anchors. Pure.

use std::collections::{HashMap, HashSet};

use chain::{ChainAddress, RegistryEvent, RegistryLog};
use domain::{
    ids::{RecordId, UserId},
    integrity::FindingKind,
    records::{DataHash, RecordType},
};
use serde_json::{Value, json};
use store::{
    closings::ClosingConfirmation,
    reconciliation::{Confirmation, EndingFacts, ExtractionFacts, LockedAnchor, PauseFacts},
};

use crate::position::column;

/// What is known here of the hashes that the events speak of.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The anchors, by hash.
    pub(crate) anchors: HashMap<DataHash, LockedAnchor>,
    /// Hashes without an anchor that some record has all the same: the sweep reports those.
    pub(crate) unanchored: HashSet<DataHash>,
    /// The accounts that anchor for us.
    pub(crate) registrars: HashSet<ChainAddress>,
}

/// What is to be changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// In the order of the chain.
    pub(crate) confirmed: Vec<Confirmed>,
    /// What was closed as we wanted, in the order of the chain.
    pub(crate) closed: Vec<Closed>,
    /// What does not fit together.
    pub(crate) suspicions: Vec<SuspectedFinding>,
}

/// A record that is closed now, as its end here asked for.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Its anchor.
    pub(crate) anchor: LockedAnchor,
    /// Where it was closed.
    pub(crate) confirmation: ClosingConfirmation,
}

/// An anchor that is in a block now.
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// How it stood before.
    pub(crate) anchor: LockedAnchor,
    /// Where it is.
    pub(crate) confirmation: Confirmation,
}

impl Confirmed {
    /// Whether another transaction than the one we last knew was mined.
    pub(crate) fn replaced(&self) -> bool {
        self.anchor.tx_hash != self.confirmation.tx_hash
    }
}

/// Something that does not fit together, about one record or hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SuspectedFinding {
    pub(crate) kind: FindingKind,
    pub(crate) record: Option<RecordId>,
    pub(crate) patient: Option<UserId>,
    pub(crate) record_type: Option<RecordType>,
    pub(crate) record_hash: Option<DataHash>,
    /// The evidence: hashes and states, no health data.
    pub(crate) details: Value,
}

/// Holds the events against what is known. The same record never occurs twice: a hash is anchored at
/// most once.
pub(crate) fn reconcile(logs: &[RegistryLog], known: &Known) -> Changes {
    let mut changes = Changes::default();
    for log in logs {
        changes.suspicions.extend(interference(log, known));
        changes.closed.extend(closed(log, known));
        changes.suspicions.extend(batched(log, known));
        // The others change no anchor; they are kept as events.
        let RegistryEvent::RecordAnchored {
            record: hash,
            predecessor,
            registrar,
        } = log.event
        else {
            continue;
        };
        let evidence = json!({
            "registrar": registrar.to_string(),
            "txHash": log.tx_hash.to_string(),
            "blockNumber": log.block_number,
        });
        let Some(anchor) = known.anchors.get(&hash) else {
            if !known.unanchored.contains(&hash) {
                changes.suspicions.push(SuspectedFinding {
                    kind: FindingKind::UnknownOnChain,
                    record: None,
                    patient: None,
                    record_type: None,
                    record_hash: Some(hash),
                    details: evidence,
                });
            }
            continue;
        };
        let suspicion = |kind| SuspectedFinding {
            kind,
            record: Some(anchor.record),
            patient: Some(anchor.patient),
            record_type: Some(anchor.record_type),
            record_hash: Some(hash),
            details: evidence.clone(),
        };
        if !anchor.record_exists {
            changes
                .suspicions
                .push(suspicion(FindingKind::UnknownOnChain));
        }
        if !known.registrars.contains(&registrar) {
            changes
                .suspicions
                .push(suspicion(FindingKind::ForeignRegistrar));
            continue;
        }
        if predecessor != anchor.supersedes {
            changes.suspicions.push(SuspectedFinding {
                details: other_predecessor(
                    anchor.supersedes.map(|hash| hash.to_string()).as_deref(),
                    predecessor.map(|hash| hash.to_string()).as_deref(),
                ),
                ..suspicion(FindingKind::HashMismatch)
            });
        }
        changes.confirmed.push(Confirmed {
            anchor: anchor.clone(),
            confirmation: Confirmation {
                record: anchor.record,
                tx_hash: log.tx_hash.to_string(),
                registrar: registrar.to_string(),
                block_number: column(log.block_number),
                block_hash: log.block_hash.to_string(),
                log_index: column(log.log_index),
                sequence: column(log.sequence),
            },
        });
    }
    changes
}

/// A batch, or a record that was taken out of one: we anchor each record by itself, so that neither was us, whoever's
/// account it was. A hash of ours that has a slot in this way cannot be anchored any more.
fn batched(log: &RegistryLog, known: &Known) -> Option<SuspectedFinding> {
    let (hash, batch) = match log.event {
        RegistryEvent::BatchAnchored { root, .. } => (root, root),
        RegistryEvent::RecordExtracted { record, root, .. } => (record, root),
        RegistryEvent::RecordAnchored { .. }
        | RegistryEvent::RecordClosed { .. }
        | RegistryEvent::EndingAnnulled { .. }
        | RegistryEvent::EndingLimitSet { .. }
        | RegistryEvent::CheckpointAnchored { .. }
        | RegistryEvent::EpochOpened { .. }
        | RegistryEvent::PausedSet { .. }
        | RegistryEvent::RoleChanged { .. }
        | RegistryEvent::AdminStepTaken { .. } => return None,
    };
    let extraction = ExtractionFacts {
        by: log.event.actor().to_string(),
        batch: Some(batch.to_string()),
        tx_hash: log.tx_hash.to_string(),
        block_number: column(log.block_number),
    };
    if let Some(anchor) = known.anchors.get(&hash) {
        let hash = Some(anchor.record_hash);
        return Some(extracted(
            &extraction,
            anchor.record,
            anchor.patient,
            anchor.record_type,
            hash,
        ));
    }
    (!known.unanchored.contains(&hash)).then(|| SuspectedFinding {
        kind: FindingKind::UnknownOnChain,
        record: None,
        patient: None,
        record_type: None,
        record_hash: Some(hash),
        details: extraction_details(&extraction),
    })
}

/// That somebody gave a record of ours a slot out of a batch.
pub(crate) fn extracted(
    extraction: &ExtractionFacts,
    record: RecordId,
    patient: UserId,
    record_type: RecordType,
    record_hash: Option<DataHash>,
) -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::ForeignRegistrar,
        record: Some(record),
        patient: Some(patient),
        record_type: Some(record_type),
        record_hash,
        details: extraction_details(extraction),
    }
}

fn extraction_details(extraction: &ExtractionFacts) -> Value {
    json!({
        "registrar": extraction.by,
        "batch": extraction.batch,
        "txHash": extraction.tx_hash,
        "blockNumber": extraction.block_number,
    })
}

/// The closing of ours that an event is, or that a steward did as we wanted it. One by another transaction of our own
/// registrar is not ours: somebody else has the key.
fn closed(log: &RegistryLog, known: &Known) -> Option<Closed> {
    let RegistryEvent::RecordClosed {
        record,
        closing,
        by,
        reason,
    } = log.event
    else {
        return None;
    };
    let anchor = known.anchors.get(&record)?;
    let wanted = anchor.closing.as_ref()?;
    let as_wanted = reason == wanted.reason.code() && closing == wanted.reason.closes_as();
    let tx_hash = log.tx_hash.to_string();
    let is_ours = wanted.tx_hashes.contains(&tx_hash) || !known.registrars.contains(&by);
    (as_wanted && is_ours).then(|| Closed {
        anchor: anchor.clone(),
        confirmation: ClosingConfirmation {
            record: anchor.record,
            tx_hash,
            by: by.to_string(),
            block_number: column(log.block_number),
            block_hash: log.block_hash.to_string(),
        },
    })
}

/// What somebody did to a record of ours, or to the registry, if it was not us. The sweep resolves it when it
/// was taken back.
fn interference(log: &RegistryLog, known: &Known) -> Option<SuspectedFinding> {
    let by = log.event.actor().to_string();
    let (tx_hash, block_number) = (log.tx_hash.to_string(), column(log.block_number));
    let ending = |hash, status: &str, reason, successor: Option<DataHash>, is_ours| EndingFacts {
        hash,
        status: status.to_owned(),
        by: by.clone(),
        reason,
        successor: successor.map(|hash| hash.to_string()),
        tx_hash: tx_hash.clone(),
        block_number,
        is_ours,
    };
    let ending = match log.event {
        RegistryEvent::RecordClosed {
            record,
            closing,
            reason,
            ..
        } => {
            let is_ours = closed(log, known).is_some();
            ending(
                record,
                closing.as_str(),
                Some(i32::from(reason)),
                None,
                is_ours,
            )
        }
        RegistryEvent::RecordAnchored {
            record,
            predecessor: Some(predecessor),
            ..
        } => {
            let anchor = known.anchors.get(&record);
            let is_ours = anchor.is_some_and(|anchor| anchor.supersedes == Some(predecessor));
            ending(predecessor, "SUPERSEDED", None, Some(record), is_ours)
        }
        RegistryEvent::EndingAnnulled {
            successor: Some(successor),
            ..
        } => ending(successor, "REVOKED", None, None, false),
        RegistryEvent::PausedSet { paused: true, .. } => {
            return Some(paused(&PauseFacts {
                by,
                tx_hash,
                block_number,
            }));
        }
        RegistryEvent::RecordAnchored { .. }
        | RegistryEvent::EndingAnnulled { .. }
        | RegistryEvent::EndingLimitSet { .. }
        | RegistryEvent::BatchAnchored { .. }
        | RegistryEvent::RecordExtracted { .. }
        | RegistryEvent::CheckpointAnchored { .. }
        | RegistryEvent::EpochOpened { .. }
        | RegistryEvent::PausedSet { .. }
        | RegistryEvent::RoleChanged { .. }
        | RegistryEvent::AdminStepTaken { .. } => return None,
    };
    let anchor = known.anchors.get(&ending.hash)?;
    ended(&ending, anchor.record, anchor.patient, anchor.record_type)
}

/// That a record was ended, if it was not us.
pub(crate) fn ended(
    ending: &EndingFacts,
    record: RecordId,
    patient: UserId,
    record_type: RecordType,
) -> Option<SuspectedFinding> {
    (!ending.is_ours).then(|| SuspectedFinding {
        kind: FindingKind::EndedOnChain,
        record: Some(record),
        patient: Some(patient),
        record_type: Some(record_type),
        record_hash: Some(ending.hash),
        details: json!({
            "status": ending.status,
            "by": ending.by,
            "reason": ending.reason,
            "successor": ending.successor,
            "txHash": ending.tx_hash,
            "blockNumber": ending.block_number,
        }),
    })
}

/// That the registry is paused.
pub(crate) fn paused(pause: &PauseFacts) -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::RegistryPaused,
        record: None,
        patient: None,
        record_type: None,
        record_hash: None,
        details: json!({
            "by": pause.by,
            "txHash": pause.tx_hash,
            "blockNumber": pause.block_number,
        }),
    }
}

/// The evidence of an event that names another version as superseded than was signed for.
pub(crate) fn other_predecessor(signed: Option<&str>, anchored: Option<&str>) -> Value {
    json!({ "column": "predecessor_hash", "signed": signed, "anchored": anchored })
}

/// The records that a stretch anchors or ends.
pub(crate) fn subjects(logs: &[RegistryLog]) -> Vec<DataHash> {
    let mut hashes = Vec::with_capacity(logs.len());
    for log in logs {
        match log.event {
            RegistryEvent::RecordAnchored {
                record,
                predecessor,
                ..
            } => hashes.extend([record].into_iter().chain(predecessor)),
            RegistryEvent::RecordClosed { record, .. }
            | RegistryEvent::RecordExtracted { record, .. } => hashes.push(record),
            RegistryEvent::EndingAnnulled { successor, .. } => hashes.extend(successor),
            RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::BatchAnchored { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::PausedSet { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => {}
        }
    }
    hashes
}

#[cfg(test)]
mod tests {
    use chain::{BlockHash, Head, TxHash};
    use domain::integrity::{AnchorState, ClosedAs, ClosingReason};
    use store::reconciliation::WantedClosing;
    use uuid::Uuid;

    use super::*;

    const OURS: ChainAddress = ChainAddress([1; 20]);
    const THEIRS: ChainAddress = ChainAddress([2; 20]);

    fn log(event: RegistryEvent) -> RegistryLog {
        RegistryLog {
            block_number: 7,
            block_hash: BlockHash([7; 32]),
            tx_hash: TxHash([9; 32]),
            log_index: 3,
            sequence: 5,
            head: Head([0; 25]),
            body: [0; 32],
            event,
        }
    }

    fn anchoring(hash: u8, registrar: ChainAddress) -> RegistryLog {
        let record = DataHash([hash; 32]);
        log(RegistryEvent::RecordAnchored {
            record,
            predecessor: None,
            registrar,
        })
    }

    fn anchor(state: AnchorState, tx: [u8; 32], record_exists: bool) -> LockedAnchor {
        LockedAnchor {
            record: RecordId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            record_type: RecordType::Imaging,
            record_hash: DataHash([0xaa; 32]),
            supersedes: None,
            state,
            tx_hash: TxHash(tx).to_string(),
            record_exists,
            closing: None,
        }
    }

    fn known(anchor: Option<LockedAnchor>, unanchored: bool) -> Known {
        Known {
            anchors: anchor
                .into_iter()
                .map(|anchor| (anchor.record_hash, anchor))
                .collect(),
            unanchored: unanchored
                .then_some(DataHash([0xaa; 32]))
                .into_iter()
                .collect(),
            registrars: HashSet::from([OURS]),
        }
    }

    #[test]
    fn every_case_has_its_change() {
        use AnchorState::{Confirmed, Failed, Pending, Reorged, Submitted};
        use FindingKind::{ForeignRegistrar, UnknownOnChain};

        let ours = |state| Some(anchor(state, [9; 32], true));
        let cases = [
            // what is known, who anchored → is it confirmed, as a replacement, and what is suspicious
            (
                "as sent",
                known(ours(Submitted), false),
                OURS,
                Some(false),
                vec![],
            ),
            (
                "faster than our note",
                known(ours(Pending), false),
                OURS,
                Some(false),
                vec![],
            ),
            (
                "back after a reorg",
                known(ours(Reorged), false),
                OURS,
                Some(false),
                vec![],
            ),
            (
                "given up too early",
                known(ours(Failed), false),
                OURS,
                Some(false),
                vec![],
            ),
            (
                "read twice",
                known(ours(Confirmed), false),
                OURS,
                Some(false),
                vec![],
            ),
            (
                "by another attempt",
                known(Some(anchor(Submitted, [8; 32], true)), false),
                OURS,
                Some(true),
                vec![],
            ),
            (
                "the record was deleted",
                known(Some(anchor(Submitted, [9; 32], false)), false),
                OURS,
                Some(false),
                vec![UnknownOnChain],
            ),
            (
                "by a stranger",
                known(ours(Submitted), false),
                THEIRS,
                None,
                vec![ForeignRegistrar],
            ),
            (
                "nobody knows it",
                known(None, false),
                OURS,
                None,
                vec![UnknownOnChain],
            ),
            (
                "a stranger's own",
                known(None, false),
                THEIRS,
                None,
                vec![UnknownOnChain],
            ),
            (
                "the anchor was deleted",
                known(None, true),
                OURS,
                None,
                vec![],
            ),
        ];
        for (name, known, registrar, confirmed, suspicious) in cases {
            let changes = reconcile(&[anchoring(0xaa, registrar)], &known);
            let found: Vec<bool> = changes
                .confirmed
                .iter()
                .map(self::Confirmed::replaced)
                .collect();
            assert_eq!(found, Vec::from_iter(confirmed), "{name}");
            let kinds: Vec<FindingKind> = changes.suspicions.iter().map(|s| s.kind).collect();
            assert_eq!(kinds, suspicious, "{name}");
        }
    }

    #[test]
    fn an_event_has_to_name_the_version_that_was_superseded() {
        let [ours, other] = [DataHash([0xbb; 32]), DataHash([0xcc; 32])];
        let cases = [
            // what was signed for, what the event says → is it suspicious
            (None, None, false),
            (Some(ours), Some(ours), false),
            (Some(ours), Some(other), true),
            (Some(ours), None, true),
            (None, Some(other), true),
        ];
        for (signed, predecessor, suspicious) in cases {
            let known = known(
                Some(LockedAnchor {
                    supersedes: signed,
                    ..anchor(AnchorState::Submitted, [9; 32], true)
                }),
                false,
            );
            let event = log(RegistryEvent::RecordAnchored {
                record: DataHash([0xaa; 32]),
                predecessor,
                registrar: OURS,
            });

            let changes = reconcile(&[event], &known);

            assert_eq!(changes.confirmed.len(), 1, "it is anchored all the same");
            let kinds: Vec<FindingKind> = changes.suspicions.iter().map(|s| s.kind).collect();
            let wanted: &[FindingKind] = if suspicious {
                &[FindingKind::HashMismatch]
            } else {
                &[]
            };
            assert_eq!(kinds, wanted, "{signed:?} {predecessor:?}");
        }
    }

    #[test]
    fn a_confirmation_says_where_the_event_is() {
        let known = known(Some(anchor(AnchorState::Submitted, [8; 32], true)), false);
        let changes = reconcile(&[anchoring(0xaa, OURS)], &known);
        assert_eq!(
            changes.confirmed[0].confirmation,
            Confirmation {
                record: RecordId(Uuid::from_u128(1)),
                tx_hash: TxHash([9; 32]).to_string(),
                registrar: OURS.to_string(),
                block_number: 7,
                block_hash: BlockHash([7; 32]).to_string(),
                log_index: 3,
                sequence: 5,
            }
        );
    }

    #[test]
    fn whoever_ends_a_record_of_ours_or_pauses_is_told() {
        use FindingKind::{EndedOnChain, RegistryPaused};

        let ours = DataHash([0xaa; 32]);
        let other = DataHash([0xcc; 32]);
        let closed = |record| RegistryEvent::RecordClosed {
            record,
            closing: ClosedAs::Revoked,
            by: OURS,
            reason: 7,
        };
        let annulled = |record, successor| RegistryEvent::EndingAnnulled {
            record,
            successor,
            by: THEIRS,
        };
        let switched = |paused| RegistryEvent::PausedSet { paused, by: THEIRS };
        let superseded = RegistryEvent::RecordAnchored {
            record: other,
            predecessor: Some(ours),
            registrar: OURS,
        };
        let cases = [
            ("closed", closed(ours), vec![(EndedOnChain, Some(ours))]),
            ("another's", closed(other), vec![]),
            (
                "superseded by what we do not know",
                superseded,
                vec![
                    (EndedOnChain, Some(ours)),
                    (FindingKind::UnknownOnChain, Some(other)),
                ],
            ),
            (
                "revoked with its predecessor's end",
                annulled(other, Some(ours)),
                vec![(EndedOnChain, Some(ours))],
            ),
            ("it stands again", annulled(ours, None), vec![]),
            ("paused", switched(true), vec![(RegistryPaused, None)]),
            ("released", switched(false), vec![]),
        ];
        for (name, event, wanted) in cases {
            let known = known(Some(anchor(AnchorState::Confirmed, [9; 32], true)), false);
            let changes = reconcile(&[log(event)], &known);
            let found: Vec<_> = changes
                .suspicions
                .iter()
                .map(|s| (s.kind, s.record_hash))
                .collect();
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn a_closing_that_we_wanted_is_ours_unless_our_own_account_did_it_without_us() {
        let signed = TxHash([9; 32]).to_string();
        let other = TxHash([8; 32]).to_string();
        let wanted = |tx_hash: &String| {
            Some(WantedClosing {
                reason: ClosingReason::EnteredInError,
                tx_hashes: vec![tx_hash.clone()],
            })
        };
        let cases = [
            // what was wanted and signed, who closed, as what, why → is it ours
            (
                "as signed",
                wanted(&signed),
                OURS,
                ClosedAs::Revoked,
                1,
                true,
            ),
            (
                "by a steward",
                wanted(&other),
                THEIRS,
                ClosedAs::Revoked,
                1,
                true,
            ),
            (
                "our key, not us",
                wanted(&other),
                OURS,
                ClosedAs::Revoked,
                1,
                false,
            ),
            (
                "another reason",
                wanted(&signed),
                OURS,
                ClosedAs::Revoked,
                5,
                false,
            ),
            (
                "another status",
                wanted(&other),
                THEIRS,
                ClosedAs::Erased,
                1,
                false,
            ),
            (
                "nothing was wanted",
                None,
                OURS,
                ClosedAs::Revoked,
                1,
                false,
            ),
        ];
        for (name, closing, by, as_what, reason, ours) in cases {
            let anchor = LockedAnchor {
                closing,
                ..anchor(AnchorState::Confirmed, [7; 32], true)
            };
            let event = RegistryEvent::RecordClosed {
                record: DataHash([0xaa; 32]),
                closing: as_what,
                by,
                reason,
            };
            let changes = reconcile(&[log(event)], &known(Some(anchor), false));
            let found: Vec<FindingKind> = changes.suspicions.iter().map(|s| s.kind).collect();
            let wanted = if ours {
                vec![]
            } else {
                vec![FindingKind::EndedOnChain]
            };
            assert_eq!(
                (changes.closed.len(), found),
                (usize::from(ours), wanted),
                "{name}"
            );
        }
    }

    #[test]
    fn a_batch_is_not_ours_and_a_record_of_ours_out_of_one_is_named() {
        use FindingKind::{ForeignRegistrar, UnknownOnChain};

        let (ours, root) = (DataHash([0xaa; 32]), DataHash([0xbb; 32]));
        let batch = |registrar| RegistryEvent::BatchAnchored {
            root,
            registrar,
            size: 3,
        };
        let extracted = |record, by| RegistryEvent::RecordExtracted {
            record,
            root,
            by,
            size: 3,
            index: 1,
        };
        let pending = || Some(anchor(AnchorState::Pending, [9; 32], true));
        let cases = [
            (
                "by a stranger",
                batch(THEIRS),
                pending(),
                false,
                Some((UnknownOnChain, root)),
            ),
            (
                "by our account",
                batch(OURS),
                pending(),
                false,
                Some((UnknownOnChain, root)),
            ),
            (
                "ours",
                extracted(ours, OURS),
                pending(),
                false,
                Some((ForeignRegistrar, ours)),
            ),
            (
                "ours, by another",
                extracted(ours, THEIRS),
                pending(),
                false,
                Some((ForeignRegistrar, ours)),
            ),
            (
                "nobody's",
                extracted(ours, OURS),
                None,
                false,
                Some((UnknownOnChain, ours)),
            ),
            (
                "the anchor was deleted",
                extracted(ours, OURS),
                None,
                true,
                None,
            ),
        ];
        for (name, event, anchor, unanchored, wanted) in cases {
            let is_named = anchor.is_some();
            let changes = reconcile(&[log(event)], &known(anchor, unanchored));
            assert!(changes.confirmed.is_empty(), "{name}");
            let found = changes.suspicions.first();
            let kind = found.and_then(|it| Some((it.kind, it.record_hash?)));
            assert_eq!(
                (kind, changes.suspicions.len()),
                (wanted, usize::from(wanted.is_some())),
                "{name}"
            );
            let named = found.is_some_and(|it| it.record.is_some());
            let is_record = wanted.is_some_and(|(kind, _)| kind == ForeignRegistrar);
            assert_eq!(named, is_named && is_record, "{name}");
        }
    }

    #[test]
    fn events_about_anything_else_change_no_anchor() {
        let (record, root) = (DataHash([0xaa; 32]), DataHash([0xbb; 32]));
        let logs = [
            log(RegistryEvent::RecordClosed {
                record,
                closing: ClosedAs::Erased,
                by: OURS,
                reason: 1,
            }),
            log(RegistryEvent::CheckpointAnchored {
                epoch: 0,
                tree_size: 1,
                root,
                by: OURS,
                previous_size: 0,
            }),
            log(RegistryEvent::PausedSet {
                paused: false,
                by: OURS,
            }),
        ];
        let changes = reconcile(&logs, &known(None, false));
        assert!(changes.confirmed.is_empty() && changes.suspicions.is_empty());
        assert_eq!(subjects(&logs), [record]);
    }
}
