//! What of a stored row is not as the chain has it, by table, key and column; no value is shown. Pure.

use std::fmt;

use serde::Serialize;
use store::{chain_events::EventRow, cursor::BlockRow, cursor::Position, replays::StoredEvent};

/// The most differences that are listed. Unit: differences.
const MAX_LISTED: usize = 1_000;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RowFault {
    /// The chain has it, and the table does not.
    Missing,
    /// The table has it, and the chain does not.
    Surplus,
    /// This column is another.
    Column(&'static str),
}

/// A difference between a table and the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RowDifference {
    /// The table.
    pub(crate) table: &'static str,
    /// What the row is known by.
    pub(crate) row: String,
    /// What is wrong with it.
    pub(crate) fault: RowFault,
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, row, fault } = self;
        match fault {
            RowFault::Missing => write!(f, "{table}: {row} is missing"),
            RowFault::Surplus => write!(f, "{table}: {row} is not on the chain"),
            RowFault::Column(column) => write!(f, "{table}: {row} has another {column}"),
        }
    }
}

/// All that were found: the first of them, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    pub(crate) listed: Vec<RowDifference>,
    pub(crate) count: u64,
}

impl Differences {
    pub(crate) fn add(&mut self, table: &'static str, row: &str, fault: RowFault) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(RowDifference {
                table,
                row: row.to_owned(),
                fault,
            });
        }
    }

    pub(crate) fn add_columns(&mut self, table: &'static str, row: &str, columns: &[&'static str]) {
        for &column in columns {
            self.add(table, row, RowFault::Column(column));
        }
    }
}

/// The columns that are not the same.
fn different<const N: usize>(columns: [(&'static str, bool); N]) -> Vec<&'static str> {
    let columns = columns.into_iter().filter(|(_, is_same)| !is_same);
    columns.map(|(name, _)| name).collect()
}

/// The columns in which an event is not as the chain has it.
pub(crate) fn of_event(stored: &StoredEvent, wanted: &EventRow) -> Vec<&'static str> {
    let subject = wanted.subject.map(|hash| hash.to_string());
    different([
        ("block_number", stored.block_number == wanted.block_number),
        ("block_hash", stored.block_hash == wanted.block_hash),
        ("tx_hash", stored.tx_hash == wanted.tx_hash),
        ("log_index", stored.log_index == wanted.log_index),
        ("kind", stored.kind == wanted.kind),
        ("subject_hash", stored.subject_hash == subject),
        ("actor", stored.actor == wanted.actor),
        ("head", stored.head == wanted.head),
        ("payload", stored.payload == wanted.payload),
    ])
}

/// The columns in which a remembered block is not as the chain has it.
pub(crate) fn of_block(stored: &BlockRow, wanted: &BlockRow) -> Vec<&'static str> {
    different([
        ("hash", stored.hash == wanted.hash),
        ("parent_hash", stored.parent_hash == wanted.parent_hash),
        ("sequence", stored.sequence == wanted.sequence),
        ("head", stored.head == wanted.head),
    ])
}

/// The columns in which a cursor is not as the chain has it.
pub(crate) fn of_position(stored: &Position, wanted: &Position) -> Vec<&'static str> {
    different([
        ("block_hash", stored.block_hash == wanted.block_hash),
        ("sequence", stored.sequence == wanted.sequence),
        ("head", stored.head == wanted.head),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored() -> StoredEvent {
        StoredEvent {
            id: 7,
            block_number: 5,
            block_hash: "0x01".to_owned(),
            tx_hash: "0x02".to_owned(),
            log_index: 3,
            kind: "PAUSED_SET".to_owned(),
            subject_hash: None,
            actor: "0x03".to_owned(),
            sequence: 1,
            head: "0x04".to_owned(),
            payload: json!({ "paused": true }),
        }
    }

    type Change = fn(&mut StoredEvent);

    #[test]
    fn each_column_of_an_event_that_is_another_is_named() {
        let wanted = EventRow {
            block_number: 5,
            block_hash: "0x01".to_owned(),
            tx_hash: "0x02".to_owned(),
            log_index: 3,
            kind: "PAUSED_SET",
            subject: None,
            actor: "0x03".to_owned(),
            sequence: 1,
            head: "0x04".to_owned(),
            payload: json!({ "paused": true }),
        };
        assert_eq!(of_event(&stored(), &wanted), Vec::<&str>::new());
        let changes: [(&str, Change); 9] = [
            ("block_number", |row| row.block_number = 6),
            ("block_hash", |row| row.block_hash.push('f')),
            ("tx_hash", |row| row.tx_hash.push('f')),
            ("log_index", |row| row.log_index = 4),
            ("kind", |row| row.kind.push('f')),
            ("subject_hash", |row| row.subject_hash = Some(String::new())),
            ("actor", |row| row.actor.push('f')),
            ("head", |row| row.head.push('f')),
            ("payload", |row| row.payload = json!({})),
        ];
        for (column, change) in changes {
            let mut row = stored();
            change(&mut row);
            assert_eq!(of_event(&row, &wanted), [column]);
        }
    }

    #[test]
    fn more_differences_are_counted_than_listed() {
        let mut found = Differences::default();
        for _ in 0..=MAX_LISTED {
            found.add("chain_events", "1", RowFault::Missing);
        }
        assert_eq!(found.listed.len(), MAX_LISTED);
        assert_eq!(found.count, 1_001);
        let first = found.listed[0].to_string();
        assert_eq!(first, "chain_events: 1 is missing");
    }
}
