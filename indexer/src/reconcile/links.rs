//! Whether stored events are those of the registry: each commits, by its rolling head, to itself and to all before it, so that a
//! column that was changed, and a row more or less, shows. Where an event is, the head does not say: of that, only the order. Pure.

use std::collections::BTreeMap;

use chain::{Head, event};
use domain::integrity::FindingKind;
use serde_json::{Value, json};
use store::{cursor::Registry, replays::StoredEvent};

use super::{SuspectedFinding, event_places::PlaceColumn};

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFault {
    /// There is no row of this number.
    Missing,
    /// Its head does not follow from the one before and from what it says.
    Altered,
    /// It is not behind the one before.
    Misplaced,
    /// The registry has not given this number.
    Surplus,
    /// The chain has it elsewhere: this column says otherwise.
    Elsewhere(PlaceColumn),
}

impl EventFault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Altered => "ALTERED",
            Self::Misplaced | Self::Elsewhere(_) => "MISPLACED",
            Self::Surplus => "SURPLUS",
        }
    }
}

/// An event that is not as the registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenEvent {
    /// Its number.
    pub(crate) sequence: i64,
    pub(crate) fault: EventFault,
}

/// Those of the events `first..=last` that are not as they must be behind the one before: `stored` has them and that one. `start` is
/// the head before the first event of all. Behind one that is missing, an event is held against nothing.
pub(crate) fn broken(
    chain_id: u64,
    start: Head,
    (first, last): (i64, i64),
    stored: &[StoredEvent],
) -> Vec<BrokenEvent> {
    let stored: BTreeMap<i64, &StoredEvent> = stored.iter().map(|it| (it.sequence, it)).collect();
    let mut found = Vec::new();
    for sequence in first..=last {
        let before = stored.get(&sequence.saturating_sub(1)).copied();
        let fault = match stored.get(&sequence) {
            Some(event) => fault(chain_id, start, before, event),
            None => Some(EventFault::Missing),
        };
        found.extend(fault.map(|fault| BrokenEvent { sequence, fault }));
    }
    found
}

fn fault(
    chain_id: u64,
    start: Head,
    before: Option<&StoredEvent>,
    event: &StoredEvent,
) -> Option<EventFault> {
    let subject = event.subject_hash.as_deref();
    let Some(body) = event::stored_body(&event.kind, subject, &event.actor, &event.payload) else {
        return Some(EventFault::Altered);
    };
    let head_before = match before {
        Some(before) => before.head.parse().ok(),
        None => (event.sequence == 1).then_some(start),
    };
    let differs = |head: Head| event::next_head(chain_id, &head, &body).to_string() != event.head;
    if head_before.is_some_and(differs) {
        return Some(EventFault::Altered);
    }
    let is_behind = before.is_none_or(|before| is_behind(before, event));
    (!is_behind).then_some(EventFault::Misplaced)
}

/// Whether an event is behind another one on the chain: in the same block, or in a later one.
fn is_behind(before: &StoredEvent, event: &StoredEvent) -> bool {
    let is_same_block = before.block_hash == event.block_hash;
    if before.block_number == event.block_number {
        is_same_block && before.log_index < event.log_index
    } else {
        !is_same_block && before.block_number < event.block_number
    }
}

/// The finding about one, of this registry.
pub(crate) fn suspected(registry: &Registry, broken: BrokenEvent) -> SuspectedFinding {
    let mut details = json!({
        "table": "chain_events",
        "chainId": registry.chain_id,
        "registry": registry.address,
        "sequence": broken.sequence,
        "reason": broken.fault.as_str(),
    });
    if let EventFault::Elsewhere(column) = broken.fault {
        details["column"] = json!(column.as_str());
    }
    SuspectedFinding {
        details,
        ..resolved()
    }
}

/// A finding about one that is right again.
pub(crate) fn resolved() -> SuspectedFinding {
    SuspectedFinding {
        kind: FindingKind::RowTampered,
        record: None,
        patient: None,
        record_type: None,
        record_hash: None,
        details: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: u64 = 31_337;
    const START: Head = Head([1; 25]);

    /// Four events, two of them in one block, as the registry has them.
    fn events() -> Vec<StoredEvent> {
        let mut head = START;
        let mut events = Vec::new();
        for (sequence, block_number) in [(1, 5), (2, 7), (3, 7), (4, 9)] {
            let actor = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
            let payload = json!({ "paused": sequence % 2 == 1 });
            let body = event::stored_body("PAUSED_SET", None, actor, &payload);
            head = event::next_head(CHAIN, &head, &body.expect("it is one"));
            events.push(StoredEvent {
                id: sequence + 40,
                block_number,
                block_hash: format!("0x{block_number}"),
                tx_hash: "0x02".to_owned(),
                log_index: sequence,
                kind: "PAUSED_SET".to_owned(),
                subject_hash: None,
                actor: actor.to_owned(),
                sequence,
                head: head.to_string(),
                payload,
            });
        }
        events
    }

    type Change = fn(&mut Vec<StoredEvent>);
    /// What is done, how, and which faults are found in which event by it.
    type Case = (&'static str, Change, &'static [(i64, EventFault)]);

    #[test]
    fn each_change_of_an_event_is_found_and_what_is_right_is_not() {
        use EventFault::{Altered, Misplaced, Missing};
        let cases: [Case; 13] = [
            ("right", |_| (), &[]),
            (
                "the first is gone",
                |it| drop(it.remove(0)),
                &[(1, Missing)],
            ),
            ("one is gone", |it| drop(it.remove(1)), &[(2, Missing)]),
            ("the last is gone", |it| drop(it.pop()), &[(4, Missing)]),
            (
                "another kind",
                |it| it[1].kind = "EPOCH_OPENED".to_owned(),
                &[(2, Altered)],
            ),
            (
                "a subject",
                |it| it[1].subject_hash = Some("a".repeat(64)),
                &[(2, Altered)],
            ),
            (
                "another account",
                |it| it[0].actor = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".to_owned(),
                &[(1, Altered)],
            ),
            (
                "another payload",
                |it| it[3].payload = json!({ "paused": true }),
                &[(4, Altered)],
            ),
            (
                "another head",
                |it| it[1].head = Head([2; 25]).to_string(),
                &[(2, Altered), (3, Altered)],
            ),
            (
                "a head that is none",
                |it| it[3].head = "zz".to_owned(),
                &[(4, Altered)],
            ),
            (
                "a later block",
                |it| it[0].block_number = 8,
                &[(2, Misplaced)],
            ),
            (
                "another block's hash",
                |it| it[1].block_hash = "0x06".to_owned(),
                &[(3, Misplaced)],
            ),
            (
                "a log behind the next one",
                |it| it[1].log_index = 3,
                &[(3, Misplaced)],
            ),
        ];
        for (name, change, wanted) in cases {
            let mut stored = events();
            change(&mut stored);
            let found = broken(CHAIN, START, (1, 4), &stored);
            let found: Vec<_> = found.iter().map(|it| (it.sequence, it.fault)).collect();
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn a_part_is_held_against_the_event_before_it_where_that_is_there() {
        let stored = events();
        assert!(broken(CHAIN, START, (3, 4), &stored[1..]).is_empty());
        assert!(broken(CHAIN, Head([9; 25]), (3, 4), &stored[2..]).is_empty());
        let mut changed = events();
        changed[1].head = Head([2; 25]).to_string();
        let found = broken(CHAIN, START, (3, 4), &changed[1..]);
        assert_eq!(
            found,
            [BrokenEvent {
                sequence: 3,
                fault: EventFault::Altered
            }]
        );
    }
}
