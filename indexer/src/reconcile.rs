//! What the events of a stretch mean for the anchors. Pure.

use std::collections::{HashMap, HashSet};

use chain::{ChainAddress, RegistryEvent, RegistryLog};
use domain::{
    ids::{RecordId, UserId},
    integrity::FindingKind,
    records::{DataHash, RecordType},
};
use serde_json::{Value, json};
use store::reconciliation::{Confirmation, LockedAnchor};

use crate::place::column;

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
    /// What does not fit together.
    pub(crate) suspicions: Vec<Suspicion>,
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
pub(crate) struct Suspicion {
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
                changes.suspicions.push(Suspicion {
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
        let suspicion = |kind| Suspicion {
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
            changes.suspicions.push(Suspicion {
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

/// The evidence of an event that names another version as superseded than was signed for.
pub(crate) fn other_predecessor(signed: Option<&str>, anchored: Option<&str>) -> Value {
    json!({ "column": "predecessor_hash", "signed": signed, "anchored": anchored })
}

/// The record hashes that a stretch anchors.
pub(crate) fn anchored(logs: &[RegistryLog]) -> Vec<DataHash> {
    logs.iter()
        .filter_map(|log| match log.event {
            RegistryEvent::RecordAnchored { record, .. } => Some(record),
            RegistryEvent::RecordClosed { .. }
            | RegistryEvent::EndingAnnulled { .. }
            | RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::BatchAnchored { .. }
            | RegistryEvent::RecordExtracted { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::PausedSet { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chain::{BlockHash, Head, TxHash, event::Closing};
    use domain::integrity::AnchorState;
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
    fn events_about_anything_else_change_no_anchor() {
        let (record, root) = (DataHash([0xaa; 32]), DataHash([0xbb; 32]));
        let logs = [
            log(RegistryEvent::RecordClosed {
                record,
                closing: Closing::Erased,
                by: OURS,
                reason: 1,
            }),
            log(RegistryEvent::BatchAnchored {
                root,
                registrar: OURS,
                size: 3,
            }),
            log(RegistryEvent::CheckpointAnchored {
                epoch: 0,
                tree_size: 1,
                root,
                by: OURS,
                previous_size: 0,
            }),
            log(RegistryEvent::PausedSet {
                paused: true,
                by: OURS,
            }),
        ];
        let changes = reconcile(&logs, &known(None, false));
        assert!(changes.confirmed.is_empty() && changes.suspicions.is_empty());
        assert!(anchored(&logs).is_empty());
    }
}
