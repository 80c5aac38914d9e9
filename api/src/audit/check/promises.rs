//! Promises of rows: their numbers and hashes, compared with the rows and the tree.

use std::collections::HashMap;

use domain::records::DataHash;
use serde_json::Value;
use store::{
    StoreError, Tx,
    trail::{self as tree_of, HashedRow, Leaf},
};
use trail::Hash;

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
    /// There is no such row, or it has another hash.
    Broken,
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
    let (rows, _) = readable(tx, &ids).await?;
    let leaves = tree_of::leaves_of(tx, &ids).await?;
    let rows: HashMap<i64, &HashedRow> = rows.iter().map(|row| (row.row.id, row)).collect();
    let leaves: HashMap<i64, &Leaf> = leaves.iter().map(|leaf| (leaf.audit_id, leaf)).collect();
    let state = |Promise { id, leaf_hash }: &Promise| {
        let is_there = rows.get(id).is_some_and(|row| {
            row.computed() == Some(*leaf_hash) && row.leaf_hash.as_slice() == leaf_hash
        });
        match leaves.get(id) {
            _ if !is_there => PromiseState::Broken,
            None => PromiseState::Waiting,
            Some(leaf) if leaf.leaf_hash.as_slice() == leaf_hash => {
                PromiseState::Met(leaf.position)
            }
            Some(_) => PromiseState::Broken,
        }
    };
    Ok(promises.iter().map(state).collect())
}

/// Whether the tree has the hash of a promise, whatever became of the row.
///
/// # Errors
/// The database's.
pub(crate) async fn is_in_tree(tx: &mut Tx<'_>, promise: &Promise) -> Result<bool, StoreError> {
    let leaves = tree_of::leaves_of(tx, &[promise.id]).await?;
    let is_hash = |leaf: &Leaf| leaf.leaf_hash.as_slice() == promise.leaf_hash.as_slice();
    Ok(leaves.iter().any(is_hash))
}

/// What is wrong where a promise is broken.
pub(crate) fn broken(promise: &Promise) -> Fault {
    Fault::of_row(promise.id, FaultKind::Promised, None)
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

/// Compares promises with the rows and the tree; gives how many rows have no place yet.
///
/// # Errors
/// The database's.
pub(crate) async fn compare(
    tx: &mut Tx<'_>,
    promises: &[Promise],
    checked: &mut CheckedTrail,
) -> Result<usize, StoreError> {
    let mut waiting = 0;
    for some in promises.chunks(PROMISES_AT_ONCE) {
        for (promise, state) in some.iter().zip(states(tx, some).await?) {
            match state {
                PromiseState::Met(_) => {
                    checked.kept.insert(promise.id);
                }
                PromiseState::Waiting => waiting += 1,
                PromiseState::Broken => checked.faults.push(broken(promise)),
            }
        }
    }
    tidy(&mut checked.faults);
    Ok(waiting)
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
}
