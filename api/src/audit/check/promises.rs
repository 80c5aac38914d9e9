//! Promises of rows: their numbers and hashes, compared with the rows and the tree.

use std::collections::{BTreeMap, HashMap};

use domain::records::DataHash;
use serde_json::Value;
use store::{
    StoreError, Tx, retention,
    trail::{self as tree_of, HashedRow, Leaf},
};
use trail::{Hash, purge::MetPurge};
use uuid::Uuid;

use super::{CheckedTrail, Fault, FaultKind, readable, tidy};

/// How many promises are compared at a time.
const PROMISES_AT_ONCE: usize = 4096;

/// That a row was written: its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// The number of the row.
    pub(crate) id: i64,
    /// The hash of what it says.
    pub(crate) leaf_hash: Hash,
}

impl Promise {
    /// Reads `{"id": "…", "leafHash": "…"}`.
    pub(crate) fn of_json(json: &Value) -> Option<Self> {
        let id = match json.get("id")? {
            Value::String(id) => id.parse().ok()?,
            id => id.as_i64()?,
        };
        let DataHash(leaf_hash) = DataHash::parse(json.get("leafHash")?.as_str()?).ok()?;
        Some(Self { id, leaf_hash })
    }
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromiseState {
    /// The row is there, and its hash has this place in the tree.
    Met(i64),
    /// The row is there, and has no place yet.
    Waiting,
    /// Its hash has this place in the tree, and there is no row.
    Gone(i64),
    /// Its hash has this place in the tree, and the row says something else.
    Changed(i64),
    /// There is no such row, or it has another hash; and the tree has not this hash.
    Broken,
}

impl PromiseState {
    /// The place of the hash in the tree.
    pub(crate) const fn position(self) -> Option<i64> {
        match self {
            Self::Met(position) | Self::Gone(position) | Self::Changed(position) => Some(position),
            Self::Waiting | Self::Broken => None,
        }
    }
}

/// What became of promises, in their order.
///
/// # Errors
/// The database's.
pub(crate) async fn states(
    tx: &mut Tx<'_>,
    promises: &[Promise],
) -> Result<Vec<PromiseState>, StoreError> {
    let ids: Vec<i64> = promises.iter().map(|promise| promise.id).collect();
    let (rows, unreadable) = readable(tx, &ids).await?;
    let leaves = tree_of::leaves_of(tx, &ids).await?;
    let rows: HashMap<i64, &HashedRow> = rows.iter().map(|row| (row.row.id, row)).collect();
    let leaves: HashMap<i64, &Leaf> = leaves.iter().map(|leaf| (leaf.audit_id, leaf)).collect();
    let state = |Promise { id, leaf_hash }: &Promise| {
        let row = rows.get(id);
        let is_there = row.is_some_and(|row| {
            row.computed() == Some(*leaf_hash) && row.leaf_hash.as_slice() == leaf_hash
        });
        match leaves.get(id) {
            Some(leaf) if leaf.leaf_hash.as_slice() != leaf_hash => PromiseState::Broken,
            Some(leaf) if is_there => PromiseState::Met(leaf.position),
            Some(leaf) if row.is_none() && !unreadable.contains(id) => {
                PromiseState::Gone(leaf.position)
            }
            Some(leaf) => PromiseState::Changed(leaf.position),
            None if is_there => PromiseState::Waiting,
            None => PromiseState::Broken,
        }
    };
    Ok(promises.iter().map(state).collect())
}

/// By which purge a row that is gone is said to have been removed. It is asked for after the row, which is named when it is
/// removed.
///
/// # Errors
/// The database's.
pub(crate) async fn said_purge(
    tx: &mut Tx<'_>,
    state: PromiseState,
) -> Result<Option<Uuid>, StoreError> {
    let PromiseState::Gone(position) = state else {
        return Ok(None);
    };
    let before = position.saturating_add(1);
    let said = retention::purged_between(tx, position, before).await?;
    Ok(said.first().map(|(_, purge)| *purge))
}

/// What is wrong by what became of a promise; where its row is gone, unless retention removed it.
pub(crate) fn fault(promise: &Promise, state: PromiseState) -> Option<Fault> {
    let kind = match state {
        PromiseState::Met(_) | PromiseState::Waiting => return None,
        PromiseState::Gone(_) => FaultKind::Removed,
        PromiseState::Changed(_) => FaultKind::Changed,
        PromiseState::Broken => FaultKind::Promised,
    };
    Some(Fault::of_row(promise.id, kind, state.position()))
}

/// Reads promises from lines of JSON: one in a line, or a whole answer whose `extensions` hold some. Gives the number of the line
/// that is neither, from 1.
///
/// # Errors
/// The number of the first line that holds none.
pub(crate) fn of_lines(text: &str) -> Result<Vec<Promise>, usize> {
    let mut promises = Vec::new();
    let lines = text.lines().enumerate();
    for (nth, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let json: Value = serde_json::from_str(line).map_err(|_| nth + 1)?;
        let rows = ["/extensions/audit/rows", "/audit/rows", "/rows"];
        let rows = rows.iter().find_map(|path| json.pointer(path)?.as_array());
        let read: Option<Vec<Promise>> = match rows {
            Some(rows) => rows.iter().map(Promise::of_json).collect(),
            None => Promise::of_json(&json).map(|promise| vec![promise]),
        };
        promises.extend(read.ok_or(nth + 1)?);
    }
    Ok(promises)
}

/// What promises came to that are neither met nor broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ComparedPromises {
    /// How many rows have no place yet.
    pub(crate) waiting: usize,
    /// How many rows retention removed.
    pub(crate) purged: usize,
}

/// Compares promises with the rows and the tree, after the trail was gone through: of what retention removed since, nothing is
/// said.
///
/// # Errors
/// The database's.
pub(crate) async fn compare(
    tx: &mut Tx<'_>,
    promises: &[Promise],
    checked: &mut CheckedTrail,
) -> Result<ComparedPromises, StoreError> {
    let mut compared = ComparedPromises::default();
    let (purged, unproven) = (places(&checked.purges), places(&checked.unproven));
    for some in promises.chunks(PROMISES_AT_ONCE) {
        for (promise, state) in some.iter().zip(states(tx, some).await?) {
            match state {
                PromiseState::Met(_) => {
                    checked.kept.insert(promise.id);
                }
                PromiseState::Waiting => compared.waiting += 1,
                PromiseState::Gone(position) if has(&purged, position) => {
                    checked.purged.insert(promise.id);
                    compared.purged += 1;
                }
                PromiseState::Gone(position) if has(&unproven, position) => {}
                PromiseState::Gone(_) | PromiseState::Changed(_) | PromiseState::Broken => {
                    if said_purge(tx, state).await?.is_none() {
                        checked.faults.extend(fault(promise, state));
                    }
                }
            }
        }
    }
    tidy(&mut checked.faults);
    Ok(compared)
}

/// The places of purges: from one on, before another.
fn places(purges: &[MetPurge]) -> BTreeMap<u64, u64> {
    let ranges = purges.iter().flat_map(|purge| &purge.ranges);
    ranges.copied().collect()
}

/// Whether a place is among them.
fn has(places: &BTreeMap<u64, u64>, position: i64) -> bool {
    u64::try_from(position).is_ok_and(|position| {
        let range = places.range(..=position).next_back();
        range.is_some_and(|(_, before)| position < *before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_read_one_in_a_line_or_from_whole_answers() {
        let hash = "ab".repeat(32);
        let promise = |id| Promise {
            id,
            leaf_hash: [0xab; 32],
        };
        let one = |id| format!(r#"{{"id":"{id}","leafHash":"{hash}"}}"#);
        for (text, read) in [
            (String::new(), Ok(vec![])),
            (one(7), Ok(vec![promise(7)])),
            (
                format!("{}\n\n{}\n", one(7), one(8)),
                Ok(vec![promise(7), promise(8)]),
            ),
            (
                format!(r#"{{"id":9,"leafHash":"{hash}"}}"#),
                Ok(vec![promise(9)]),
            ),
            (
                format!(
                    r#"{{"data":null,"extensions":{{"audit":{{"requestId":"x","rows":[{},{}],"more":false}}}}}}"#,
                    one(1),
                    one(2)
                ),
                Ok(vec![promise(1), promise(2)]),
            ),
            ("nothing".to_owned(), Err(1)),
            (format!("{}\n{{}}", one(7)), Err(2)),
            (r#"{"id":"7","leafHash":"ab"}"#.to_owned(), Err(1)),
            (format!(r#"{{"rows":[{},{{"id":"x"}}]}}"#, one(7)), Err(1)),
        ] {
            assert_eq!(of_lines(&text), read, "{text}");
        }
    }

    #[test]
    fn a_place_is_among_those_of_purges_only_within_their_ranges() {
        let purge = |ranges| MetPurge {
            id: Uuid::nil(),
            ranges,
            statement: None,
        };
        let places = places(&[purge(vec![(3, 5), (9, 10)]), purge(vec![(5, 7)])]);
        let among: Vec<i64> = (-1..12).filter(|place| has(&places, *place)).collect();
        assert_eq!(among, [3, 4, 5, 6, 9]);
    }
}
