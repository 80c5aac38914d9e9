//! `history.json` is what anvil gave for the registry at the address below, freshly deployed: five
//! grants of roles, each told by OpenZeppelin and in the chain, then one event of every kind.

use super::*;

fn history() -> Vec<RawLog> {
    let logs: Vec<wire::Logged> =
        serde_json::from_str(include_str!("history.json")).expect("the fixture");
    logs.into_iter().map(RawLog::from).collect()
}

fn deployment() -> Deployment {
    Deployment {
        chain_id: 31_337,
        registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3"
            .parse()
            .expect("an address"),
        block: 1,
        code_hash: crate::hash::CodeHash([0; 32]),
        registrar: account(),
        version: 2,
        predecessor: None,
        consent_registry: None,
        consent_version: None,
        consent_predecessor: None,
        earlier_checkpointers: Vec::new(),
    }
}

fn account() -> ChainAddress {
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        .parse()
        .expect("an address")
}

fn numbered(logs: &[RawLog]) -> Vec<RegistryLog> {
    logs.iter()
        .filter_map(|log| decode(log).expect("a log of the registry"))
        .collect()
}

/// The number of the first log that does not follow, if any.
fn break_in(logs: &[RegistryLog]) -> Option<usize> {
    let (mut sequence, mut head) = (0, first_head(&deployment()));
    for (nth, log) in logs.iter().enumerate() {
        head = next_head(deployment().chain_id, &head, &log.body);
        sequence += 1;
        if (log.sequence, log.head) != (sequence, head) {
            return Some(nth);
        }
    }
    None
}

#[test]
fn every_event_of_the_registry_is_read() {
    let hash = |byte: u8| DataHash([byte; 32]);
    // SHA-256(0x00, 0xcc…cc): the root of a tree of one.
    let batch = "2e3aa189e1f666b2c3e864e21d978388020b89a6725e31ff2657bad5840a7f02";
    let batch = DataHash::parse(batch).expect("a hash");
    let read: Vec<RegistryEvent> = numbered(&history())
        .into_iter()
        .map(|log| log.event)
        .collect();
    let by = account();
    let (roles, others) = read.split_at(5);
    for role in roles {
        assert!(
            matches!(role, RegistryEvent::RoleChanged { account, granted: true, .. } if *account == by),
            "{role:?}"
        );
    }
    assert_eq!(
        others,
        [
            RegistryEvent::RecordAnchored {
                record: hash(0xaa),
                predecessor: None,
                registrar: by
            },
            RegistryEvent::RecordAnchored {
                record: hash(0xbb),
                predecessor: Some(hash(0xaa)),
                registrar: by,
            },
            RegistryEvent::RecordClosed {
                record: hash(0xbb),
                closing: ClosedAs::Erased,
                by,
                reason: 7
            },
            RegistryEvent::EndingAnnulled {
                record: hash(0xbb),
                successor: None,
                by
            },
            RegistryEvent::EndingLimitSet {
                registrar: by,
                by,
                limit: 9
            },
            RegistryEvent::BatchAnchored {
                root: batch,
                registrar: by,
                size: 1
            },
            RegistryEvent::RecordExtracted {
                record: hash(0xcc),
                root: batch,
                by,
                size: 1,
                index: 0
            },
            RegistryEvent::CheckpointAnchored {
                tree_size: 42,
                root: hash(0xdd),
                by,
                epoch: 0,
                previous_size: 0,
            },
            RegistryEvent::EpochOpened {
                epoch: 1,
                tree_size: 42,
                root: Some(hash(0xdd)),
                by,
            },
            RegistryEvent::PausedSet { paused: true, by },
            RegistryEvent::PausedSet { paused: false, by },
            RegistryEvent::AdminStepTaken {
                step: AdminStep::TransferBegun,
                account: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
                    .parse()
                    .expect("an address"),
                by,
                delay: 0,
                schedule: 0x6ab1_3b80,
            },
        ]
    );
}

#[test]
fn the_head_computed_from_the_events_is_the_contracts() {
    let logs = numbered(&history());
    assert_eq!(break_in(&logs), None);
    // What head() answered after the last one.
    let last = "0xbecef69866c2cfa471e637997b86dad8e9bf171f4c750fe3fe";
    assert_eq!(
        logs.last().map(|log| log.head.to_string()).as_deref(),
        Some(last)
    );
}

#[test]
fn an_event_that_is_read_back_from_its_columns_has_the_hash_of_its_log() {
    for log in numbered(&history()) {
        let event = &log.event;
        let subject = event.subject().map(|hash| hash.to_string());
        let (actor, payload) = (event.actor().to_string(), event.payload());
        let kind = event.kind();
        let of = subject.as_deref();

        let body = stored_body(kind, of, &actor, &payload);
        assert_eq!(body, Some(log.body), "{event:?}");

        let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let mut more = payload.clone();
        more["more"] = json!(1);
        let changed = [
            stored_body("RECORD_RENAMED", of, &actor, &payload),
            stored_body(kind, Some(&"ef".repeat(32)), &actor, &payload),
            stored_body(kind, of, other, &payload),
            stored_body(kind, of, &actor.to_lowercase(), &payload),
            stored_body(kind, of, &actor, &json!({})),
            stored_body(kind, of, &actor, &more),
        ];
        for (nth, body) in changed.into_iter().enumerate() {
            assert_ne!(body, Some(log.body), "{event:?}, {nth}");
        }
    }
}

#[test]
fn a_consent_is_hashed_as_the_registry_of_consents_does() {
    let wallet = account();
    let details = DataHash([0xaa; 32]);
    for (kind, status) in [(ReceiptKind::Grant, 1), (ReceiptKind::Withdrawal, 2)] {
        let event = RegistryEvent::ConsentChanged {
            wallet,
            details,
            kind,
            expires_at: 258,
        };
        let mut said =
            keccak256("ConsentChanged(address,bytes32,uint8,uint40,uint40,bytes25)").to_vec();
        said.extend([0; 12]);
        said.extend(wallet.0);
        said.extend(details.0);
        said.extend([0; 31]);
        said.push(status);
        said.extend([0; 30]);
        said.extend([1, 2]);

        let subject = details.to_string();
        let payload = event.payload();
        let body = stored_body(event.kind(), Some(&subject), &wallet.to_string(), &payload);

        assert_eq!(body, Some(keccak256(said).0), "{event:?}");
    }
}

#[test]
fn a_log_that_was_dropped_swapped_or_forged_breaks_the_chain_of_heads() {
    let history = numbered(&history());
    for nth in 0..history.len() - 1 {
        let mut dropped = history.clone();
        dropped.remove(nth);
        assert_eq!(break_in(&dropped), Some(nth), "dropped {nth}");

        let mut swapped = history.clone();
        swapped.swap(nth, nth + 1);
        assert_eq!(break_in(&swapped), Some(nth), "swapped {nth}");
    }
    let forge = |forge: fn(&mut RawLog)| {
        let mut logs = self::history();
        logs.iter_mut()
            .filter(|log| log.block_number == 8)
            .for_each(forge);
        break_in(&numbered(&logs))
    };
    assert_eq!(
        forge(|log| log.topics[1].0[31] ^= 1),
        Some(7),
        "another record"
    );
    assert_eq!(
        forge(|log| log.topics[3].0[31] ^= 1),
        Some(7),
        "another account"
    );
    assert_eq!(forge(|log| log.data[31] ^= 1), Some(7), "another reason");
    assert_eq!(forge(|log| log.data[63] ^= 1), Some(7), "another number");
    assert_eq!(forge(|log| log.data[64] ^= 1), Some(7), "another head");
}

#[test]
fn a_log_that_the_registry_cannot_have_written_is_an_error() {
    let spoil = |spoil: fn(&mut RawLog)| {
        let mut log = history().remove(12);
        assert_eq!(log.block_number, 8, "the closing");
        spoil(&mut log);
        decode(&log)
    };
    assert!(spoil(|_| ()).is_ok());
    assert!(
        spoil(|log| log.topics[0].0[0] ^= 1).is_err(),
        "an unknown event"
    );
    assert!(
        spoil(|log| log.topics.truncate(3)).is_err(),
        "a missing topic"
    );
    assert!(spoil(|log| log.topics.clear()).is_err(), "no topic at all");
    assert!(spoil(|log| log.data.truncate(95)).is_err(), "short data");
    assert!(spoil(|log| log.data.push(0)).is_err(), "long data");
    assert!(spoil(|log| log.data[0] = 1).is_err(), "a reason above 255");
    assert!(
        spoil(|log| log.data[95] = 1).is_err(),
        "a head longer than 25 bytes"
    );
    assert!(
        spoil(|log| log.topics[2].0[31] = 1).is_err(),
        "closed as Active"
    );
    assert!(
        spoil(|log| log.topics[2].0[0] = 1).is_err(),
        "a status above 255"
    );
}
