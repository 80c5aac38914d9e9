use std::collections::HashSet;

use chain::{BlockHash, ChainAddress, Head, TxHash};
use domain::{
    ids::{RecordId, UserId},
    integrity::{AnchorState, ClosedAs, ClosingReason, FindingKind},
    records::RecordType,
};
use store::reconciliation::{Confirmation, LockedAnchor, WantedClosing};
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
        record_type: Some(RecordType::Imaging),
        record_hash: DataHash([0xaa; 32]),
        supersedes: None,
        state,
        tx_hash: TxHash(tx).to_string(),
        tx_hashes: [tx, [9; 32]].map(|tx| TxHash(tx).to_string()).to_vec(),
        record_exists,
        is_named: true,
        closing: None,
    }
}

fn known(anchor: Option<LockedAnchor>, unanchored: bool) -> KnownHashes {
    KnownHashes {
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
fn a_transaction_that_was_not_signed_here_is_told_and_takes_the_place_of_none() {
    let signed = TxHash([8; 32]).to_string();
    let sent = LockedAnchor {
        tx_hashes: vec![signed.clone()],
        ..anchor(AnchorState::Submitted, [8; 32], true)
    };

    let changes = reconcile(&[anchoring(0xaa, OURS)], &known(Some(sent), false));

    assert_eq!(changes.confirmed[0].confirmation.tx_hash, signed);
    assert!(!changes.confirmed[0].replaced());
    let told = &changes.suspicions[0];
    assert_eq!(changes.suspicions.len(), 1, "{:?}", changes.suspicions);
    assert_eq!(told.kind, FindingKind::HashMismatch);
    assert_eq!(told.details["anchored"], TxHash([9; 32]).to_string());
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
            renames: true,
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
