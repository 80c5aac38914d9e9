use domain::{ids::UserId, records::RecordType};
use store::reconciliation::{
    AnchorFacts, AnchoredRecord, EventFacts, ExtractionFacts, PlaceFacts, PredecessorFacts,
};
use uuid::Uuid;

use super::*;

const OURS: ChainAddress = ChainAddress([1; 20]);
const THEIRS: ChainAddress = ChainAddress([2; 20]);
const TX: &str = "0x01";

fn digits(byte: u8) -> String {
    DataHash([byte; 32]).to_string()
}

fn event(actor: ChainAddress) -> EventFacts {
    EventFacts {
        actor: actor.to_string(),
        tx_hash: TX.to_owned(),
        predecessor: None,
    }
}

fn facts(state: AnchorState, event: Option<EventFacts>) -> RecordFacts {
    RecordFacts {
        record: RecordId(Uuid::from_u128(1)),
        patient: UserId(Uuid::from_u128(2)),
        record_type: RecordType::LabResult,
        data_hash: digits(0xaa),
        blockchain_record_id: TX.to_owned(),
        version: 1,
        predecessor: None,
        is_superseded: false,
        has_successor: false,
        anchor: Some(AnchorFacts {
            chain_id: 1,
            patient: UserId(Uuid::from_u128(2)),
            record_type: Some(RecordType::LabResult),
            record_hash: digits(0xaa),
            state,
            tx_hash: TX.to_owned(),
            predecessor_hash: None,
            supersedes: false,
        }),
        event,
        extraction: None,
        is_closed: false,
        is_queued: true,
    }
}

#[test]
fn an_anchor_that_is_not_where_its_event_is_is_found_whichever_column_was_changed() {
    use AnchorState::{Confirmed, Failed, Finalized, Pending};

    let place = || PlaceFacts {
        tx_hash: TX.to_owned(),
        account: Some(OURS.to_string()),
        block_number: Some(7),
        block_hash: Some("0x07".to_owned()),
        log_index: Some(3),
        sequence: Some(5),
    };
    let with = |state, change: fn(&mut PlacedAnchor)| {
        let mut placed = PlacedAnchor {
            record: RecordId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            record_type: Some(RecordType::LabResult),
            record_hash: Some(DataHash([0xaa; 32])),
            state,
            anchored: place(),
            event: place(),
            is_signed: true,
            is_mined: true,
            finalized_block: Some(7),
        };
        change(&mut placed);
        placed
    };
    let cases = [
        (with(Confirmed, |_| ()), None),
        (with(Finalized, |_| ()), None),
        (
            with(Finalized, |it| it.finalized_block = Some(6)),
            Some("state"),
        ),
        (with(Confirmed, |it| it.finalized_block = Some(6)), None),
        (with(Pending, |_| ()), Some("state")),
        (with(Failed, |it| it.is_signed = false), None),
        (with(Confirmed, |it| it.is_signed = false), Some("tx_hash")),
        (with(Confirmed, |it| it.is_mined = false), Some("outbox")),
        (with(Pending, |it| it.is_mined = false), Some("state")),
        (
            with(Confirmed, |it| it.anchored.tx_hash = "0x02".to_owned()),
            Some("tx_hash"),
        ),
        (
            with(Confirmed, |it| it.event.tx_hash = "0x02".to_owned()),
            Some("tx_hash"),
        ),
        (
            with(Confirmed, |it| it.anchored.block_number = Some(8)),
            Some("block_number"),
        ),
        (
            with(Confirmed, |it| it.anchored.block_hash = None),
            Some("block_hash"),
        ),
        (
            with(Confirmed, |it| it.anchored.log_index = Some(4)),
            Some("log_index"),
        ),
        (
            with(Confirmed, |it| it.event.sequence = Some(6)),
            Some("sequence"),
        ),
        (
            with(Confirmed, |it| {
                it.anchored.account = Some(THEIRS.to_string());
            }),
            Some("registrar"),
        ),
        (
            with(Pending, |it| it.event.account = Some(THEIRS.to_string())),
            None,
        ),
    ];
    let registrars = HashSet::from([OURS]);
    for (placed, column) in cases {
        let found = misplaced(&placed, &registrars);
        let found = found.as_ref().and_then(|it| it.details["column"].as_str());
        assert_eq!(found, column, "{placed:?}");
    }
}

#[test]
fn a_closing_that_somebody_annulled_is_a_finding_and_no_other() {
    let ending = EndingFacts {
        hash: DataHash([0xaa; 32]),
        status: "REVOKED".to_owned(),
        by: OURS.to_string(),
        reason: Some(1),
        successor: None,
        tx_hash: TX.to_owned(),
        block_number: 7,
        is_ours: true,
    };
    let none = HashMap::new();
    let closed = HashMap::from([(ending.hash, ending)]);
    let here = || facts(AnchorState::Confirmed, Some(event(OURS)));
    let with = |change: fn(&mut RecordFacts)| {
        let mut facts = here();
        facts.is_closed = true;
        change(&mut facts);
        facts
    };
    let cases = [
        ("closed", with(|_| ()), &closed, false),
        ("annulled", with(|_| ()), &none, true),
        ("never closed", here(), &none, false),
        ("not there at all", with(|f| f.event = None), &none, false),
        (
            "another chain's",
            with(|f| f.anchor.as_mut().expect("an anchor").chain_id = 2),
            &none,
            false,
        ),
    ];
    for (name, facts, endings, is_found) in cases {
        let found = stands_again(&facts, 1, endings);
        assert_eq!(
            found.map(|it| it.kind),
            is_found.then_some(FindingKind::MissingOnChain),
            "{name}"
        );
    }
}

#[test]
fn a_record_out_of_a_batch_is_a_finding_whoevers_account_it_was() {
    let mut facts = facts(AnchorState::Pending, None);
    facts.extraction = Some(ExtractionFacts {
        by: OURS.to_string(),
        batch: Some(digits(0xbb)),
        tx_hash: TX.to_owned(),
        block_number: 7,
    });
    let wrong = record(&facts, 1, &HashSet::from([OURS]));
    let kinds: Vec<FindingKind> = wrong.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [FindingKind::ForeignRegistrar]);
    assert_eq!(wrong[0].details["batch"], digits(0xbb));
}

#[test]
fn every_tampering_has_its_finding() {
    use AnchorState::{Confirmed, Failed, Finalized, Pending, Reorged, Submitted};
    use FindingKind::{ForeignRegistrar, HashMismatch, MissingOnChain};

    let right = || facts(Confirmed, Some(event(OURS)));
    let with = |change: fn(&mut RecordFacts)| {
        let mut facts = right();
        change(&mut facts);
        facts
    };
    let cases = [
        ("right", right(), vec![]),
        ("final", facts(Finalized, Some(event(OURS))), vec![]),
        ("not sent yet", facts(Pending, None), vec![]),
        ("sent", facts(Submitted, None), vec![]),
        ("undone", facts(Reorged, None), vec![]),
        ("given up", facts(Failed, None), vec![]),
        (
            "nothing waits in the outbox",
            RecordFacts {
                is_queued: false,
                ..facts(Pending, None)
            },
            vec![MissingOnChain],
        ),
        (
            "given up, and to be signed again",
            RecordFacts {
                is_queued: false,
                ..facts(Failed, None)
            },
            vec![],
        ),
        ("mined", with(|f| f.is_queued = false), vec![]),
        (
            "the event is gone",
            facts(Confirmed, None),
            vec![MissingOnChain],
        ),
        (
            "the final event is gone",
            facts(Finalized, None),
            vec![MissingOnChain],
        ),
        (
            "by a stranger",
            facts(Submitted, Some(event(THEIRS))),
            vec![ForeignRegistrar],
        ),
        (
            "another hash",
            with(|f| f.data_hash = digits(0xbb)),
            vec![HashMismatch],
        ),
        (
            "no hash at all",
            with(|f| f.data_hash = "x".repeat(64)),
            vec![HashMismatch],
        ),
        (
            "another transaction",
            with(|f| f.blockchain_record_id = "0x02".to_owned()),
            vec![HashMismatch],
        ),
        (
            "the anchor was deleted",
            with(|f| f.anchor = None),
            vec![MissingOnChain],
        ),
        (
            "record and anchor were changed alike",
            with(|f| {
                f.data_hash = digits(0xbb);
                f.anchor.as_mut().expect("an anchor").record_hash = digits(0xbb);
                f.event = None;
            }),
            vec![MissingOnChain],
        ),
        (
            "the anchor alone was changed",
            with(|f| {
                f.anchor.as_mut().expect("an anchor").record_hash = digits(0xbb);
                f.event = None;
            }),
            vec![HashMismatch, MissingOnChain],
        ),
    ];
    judged_as(cases);
}

#[test]
fn an_anchor_that_is_not_its_records_is_a_finding() {
    use FindingKind::HashMismatch;

    let with = |change: fn(&mut RecordFacts)| {
        let mut facts = facts(AnchorState::Confirmed, Some(event(OURS)));
        change(&mut facts);
        facts
    };
    judged_as([
        (
            "another chain's",
            with(|f| {
                f.anchor.as_mut().expect("an anchor").chain_id = 2;
                f.event = None;
            }),
            vec![],
        ),
        (
            "said to be another chain's",
            with(|f| f.anchor.as_mut().expect("an anchor").chain_id = 2),
            vec![HashMismatch],
        ),
        (
            "an anchor of another patient",
            with(|f| f.anchor.as_mut().expect("an anchor").patient = UserId(Uuid::from_u128(3))),
            vec![HashMismatch],
        ),
        (
            "an anchor of another type",
            with(|f| {
                let anchor = f.anchor.as_mut().expect("an anchor");
                anchor.record_type = Some(RecordType::Imaging);
            }),
            vec![HashMismatch],
        ),
        (
            "an anchor of a type that is none",
            with(|f| f.anchor.as_mut().expect("an anchor").record_type = None),
            vec![HashMismatch],
        ),
    ]);
}

/// Whether what is found of these facts is of these kinds.
fn judged_as(cases: impl IntoIterator<Item = (&'static str, RecordFacts, Vec<FindingKind>)>) {
    let registrars = HashSet::from([OURS]);
    for (name, facts, wanted) in cases {
        let found = record(&facts, 1, &registrars);
        assert_eq!(
            found.iter().map(|s| s.kind).collect::<Vec<_>>(),
            wanted,
            "{name}"
        );
        assert!(
            found.iter().all(|s| s.record == Some(facts.record)),
            "{name}"
        );
    }
}

/// A second version, as it should be.
fn amended() -> RecordFacts {
    let mut facts = facts(AnchorState::Confirmed, Some(event(OURS)));
    facts.version = 2;
    facts.predecessor = Some(PredecessorFacts {
        version: 1,
        record_hash: Some(digits(0xcc)),
    });
    let anchor = facts.anchor.as_mut().expect("an anchor");
    (anchor.predecessor_hash, anchor.supersedes) = (Some(digits(0xcc)), true);
    facts.event.as_mut().expect("an event").predecessor = Some(digits(0xcc));
    facts
}

fn with(mut facts: RecordFacts, change: fn(&mut RecordFacts)) -> RecordFacts {
    change(&mut facts);
    facts
}

/// Each of these is a mismatch in this column, or right.
fn found_in(cases: Vec<(&str, RecordFacts, Option<&str>)>) {
    let registrars = HashSet::from([OURS]);
    for (name, facts, column) in cases {
        let found = record(&facts, 1, &registrars);
        let columns: Vec<&str> = found
            .iter()
            .filter_map(|s| s.details["column"].as_str())
            .collect();
        assert_eq!(columns, Vec::from_iter(column), "{name}");
        let mismatch = |s: &SuspectedFinding| s.kind == FindingKind::HashMismatch;
        assert!(found.iter().all(mismatch), "{name}");
    }
}

#[test]
fn a_version_with_a_wrong_predecessor_is_found() {
    let first = || facts(AnchorState::Confirmed, Some(event(OURS)));
    found_in(vec![
        ("as it should be", amended(), None),
        (
            "an old version",
            with(first(), |f| {
                (f.is_superseded, f.has_successor) = (true, true);
            }),
            None,
        ),
        (
            "not sent yet",
            with(amended(), |f| {
                f.anchor.as_mut().expect("an anchor").state = AnchorState::Pending;
                f.event = None;
            }),
            None,
        ),
        (
            "anchored by itself, because the version before could not be superseded",
            with(amended(), |f| {
                f.anchor.as_mut().expect("an anchor").supersedes = false;
                f.event.as_mut().expect("an event").predecessor = None;
            }),
            None,
        ),
        (
            "moved behind another record",
            with(amended(), |f| {
                f.predecessor.as_mut().expect("one").record_hash = Some(digits(0xdd));
            }),
            Some("predecessor_id"),
        ),
        (
            "behind one without an anchor",
            with(amended(), |f| {
                f.predecessor.as_mut().expect("one").record_hash = None;
            }),
            Some("predecessor_id"),
        ),
        (
            "cut off from the version before",
            with(amended(), |f| f.predecessor = None),
            Some("predecessor_id"),
        ),
        (
            "a first one put behind another",
            with(first(), |f| {
                f.version = 2;
                f.predecessor = amended().predecessor;
            }),
            Some("predecessor_id"),
        ),
        (
            "renumbered",
            with(amended(), |f| f.version = 3),
            Some("version"),
        ),
        (
            "a first one renumbered",
            with(first(), |f| f.version = 2),
            Some("version"),
        ),
        (
            "hidden from the lists",
            with(first(), |f| f.is_superseded = true),
            Some("superseded_at"),
        ),
        (
            "an old one put back",
            with(first(), |f| f.has_successor = true),
            Some("superseded_at"),
        ),
    ]);
}

#[test]
fn an_event_that_names_another_predecessor_is_found() {
    found_in(vec![
        (
            "anchored behind another",
            with(amended(), |f| {
                f.event.as_mut().expect("an event").predecessor = Some(digits(0xdd));
            }),
            Some("predecessor_hash"),
        ),
        (
            "anchored behind nothing",
            with(amended(), |f| {
                f.event.as_mut().expect("an event").predecessor = None;
            }),
            Some("predecessor_hash"),
        ),
    ]);
}

fn hash_facts(exists: Option<bool>, has_record: bool) -> HashFacts {
    HashFacts {
        hash: DataHash([0xaa; 32]),
        event: event(OURS),
        block_number: 3,
        anchored: exists.map(|exists| AnchoredRecord {
            record: RecordId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            record_type: Some(RecordType::LabResult),
            exists,
        }),
        has_record,
    }
}

#[test]
fn a_hash_without_a_record_is_unknown() {
    let cases = [
        ("as it should be", hash_facts(Some(true), true), false),
        (
            "the record's hash was changed",
            hash_facts(Some(true), false),
            false,
        ),
        (
            "the record was deleted",
            hash_facts(Some(false), false),
            true,
        ),
        ("the anchor was deleted", hash_facts(None, true), false),
        ("nobody knows it", hash_facts(None, false), true),
    ];
    for (name, facts, unknown) in cases {
        assert_eq!(hash(&facts).is_some(), unknown, "{name}");
    }
}

#[test]
fn findings_open_once_and_resolve_when_it_is_right_again() {
    let registrars = HashSet::from([OURS]);
    let right = facts(AnchorState::Confirmed, Some(event(OURS)));
    let tampered = RecordFacts {
        data_hash: digits(0xbb),
        ..right.clone()
    };
    let open = |s: &SuspectedFinding| OpenFinding {
        kind: s.kind,
        record: s.record,
        record_hash: s.record_hash,
        is_told: true,
    };

    let wrong = record(&tampered, 1, &registrars);
    let (opened, resolved) = compare(&[], wrong.clone(), std::slice::from_ref(&tampered), &[]);
    assert_eq!((opened.len(), resolved.len()), (1, 0));

    let standing = [open(&opened[0])];
    let (again, resolved) = compare(&standing, wrong, &[tampered], &[]);
    assert_eq!((again.len(), resolved.len()), (0, 0));

    let (opened, resolved) = compare(&standing, Vec::new(), &[right], &[]);
    assert_eq!((opened.len(), resolved.len()), (0, 1));
    assert!(resolved[0].patient.is_some());

    let (opened, resolved) = compare(&standing, Vec::new(), &[], &[]);
    assert_eq!(
        (opened.len(), resolved.len()),
        (0, 0),
        "the record is gone: that is not right"
    );

    let unknown = [open(&hash(&hash_facts(None, false)).expect("unknown"))];
    let (_, resolved) = compare(&unknown, Vec::new(), &[], &[hash_facts(Some(true), true)]);
    assert_eq!(resolved.len(), 1, "known now");
    let (_, resolved) = compare(&unknown, Vec::new(), &[], &[]);
    assert_eq!(resolved.len(), 1, "undone on the chain");
}

#[test]
fn a_finding_that_was_never_told_silences_none_and_is_resolved_where_all_is_right() {
    let planted = OpenFinding {
        kind: FindingKind::RegistryPaused,
        record: None,
        record_hash: None,
        is_told: false,
    };
    let paused = SuspectedFinding {
        kind: FindingKind::RegistryPaused,
        record: None,
        patient: None,
        record_type: None,
        record_hash: None,
        details: Value::Null,
    };

    let open = std::slice::from_ref(&planted);
    let (opened, resolved) = compare(open, vec![paused], &[], &[]);
    assert_eq!((opened.len(), resolved.len()), (1, 0));
    let (opened, resolved) = compare(open, Vec::new(), &[], &[]);
    assert_eq!((opened.len(), resolved.len()), (0, 1));
}

#[test]
fn a_record_that_somebody_ended_is_found_until_the_end_is_annulled() {
    let facts = facts(AnchorState::Confirmed, Some(event(OURS)));
    let hash = DataHash([0xaa; 32]);
    let ending = |is_ours| EndingFacts {
        hash,
        status: "SUPERSEDED".to_owned(),
        by: OURS.to_string(),
        reason: None,
        successor: Some(digits(0xbb)),
        tx_hash: TX.to_owned(),
        block_number: 9,
        is_ours,
    };
    let found = ended(&facts, &HashMap::from([(hash, ending(false))])).expect("it was not us");
    assert_eq!(
        (found.kind, found.record, found.record_hash),
        (FindingKind::EndedOnChain, Some(facts.record), Some(hash))
    );
    assert!(ended(&facts, &HashMap::from([(hash, ending(true))])).is_none());
    assert!(ended(&facts, &HashMap::new()).is_none());

    let open = |kind, record| OpenFinding {
        kind,
        record,
        record_hash: Some(hash).filter(|_| record.is_some()),
        is_told: true,
    };
    let standing = [
        open(FindingKind::EndedOnChain, Some(facts.record)),
        open(FindingKind::RegistryPaused, None),
    ];
    let paused = crate::reconcile::paused(&store::reconciliation::PauseFacts {
        by: THEIRS.to_string(),
        tx_hash: TX.to_owned(),
        block_number: 9,
    });
    let records = [facts];
    let (opened, resolved) = compare(&standing, vec![found, paused], &records, &[]);
    assert!(opened.is_empty() && resolved.is_empty());
    let (opened, resolved) = compare(&standing, Vec::new(), &records, &[]);
    assert!(opened.is_empty());
    let kinds: Vec<FindingKind> = resolved.iter().map(|s| s.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::EndedOnChain, FindingKind::RegistryPaused]
    );
}
