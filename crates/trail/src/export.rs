//! The trail as a file: lines of JSON, the first one about the tree, and one for each leaf in order. What it says is hashed
//! again by whoever reads it: nothing is believed that the file says of itself.

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::{
    Hash,
    purge::{MetPurge, Purges},
    row::Row,
    tree::Frontier,
};

/// What the first line calls the form.
pub const FORM: &str = "MediTrustAl audit export 1";

/// No trail has as many rows.
const FARTHEST: u64 = 1 << 62;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORM`].
    pub form: String,
    /// The chain of the registry (EIP-155).
    pub chain_id: u64,
    /// The address of the registry.
    pub registry: String,
    /// How many leaves follow.
    pub size: u64,
    /// What is said to be pinned, by size.
    pub checkpoints: Vec<Claim>,
}

/// A checkpoint that the registry is said to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The epoch.
    pub epoch: u64,
    /// How many leaves the tree had.
    pub tree_size: u64,
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its place.
    pub position: u64,
    /// Its hash as 64 hexadecimal digits, when it got its place.
    pub leaf_hash: String,
    /// By which layout the row is hashed.
    pub layout: i16,
    /// The row; absent where it was removed, and its hash alone is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
    /// The purge that is said to have removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Uuid>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// It is not a line of such a file.
    Unreadable,
    /// The line of another place stands there.
    Misplaced,
    /// The row is not what was hashed.
    Changed,
    /// The row is not there.
    Removed,
}

/// What a file comes to, line by line.
///
/// The line of another place is a fault. Where the line after it follows it, one is gone or was put in, and the lines from there on
/// are compared by the places that they say.
#[derive(Debug, Default)]
pub struct Reading {
    frontier: Frontier,
    purges: Purges,
    /// The place of the line that should stand next.
    next: u64,
    /// The place after that of the last line, where that line was of another place.
    after_misplaced: Option<u64>,
}

impl Reading {
    /// Reads the next line. Gives what is wrong with it, and the place of the line that should stand there. Whatever is wrong,
    /// it counts as one leaf.
    pub fn line(&mut self, text: &str) -> Option<(u64, LineFault)> {
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            self.frontier.push(Hash::default());
            return Some((self.skip(), LineFault::Unreadable));
        };
        let is_in_place = self.goes_on_with(line.position);
        let said = parse(&line.leaf_hash);
        let row = line.row.as_ref();
        let computed = row.and_then(|row| row.leaf_hash(line.layout));
        // If the hashes are those that were pinned, the line that does not fit its own is the one that was changed.
        self.frontier.push(said.or(computed).unwrap_or_default());
        if !is_in_place {
            let place = self.skip();
            // No line follows one of a place that no trail has.
            let position = Some(line.position).filter(|at| *at < FARTHEST);
            self.after_misplaced = position.map(|at| at + 1);
            return Some((place, LineFault::Misplaced));
        }
        let place = line.position;
        self.next = place + 1;
        self.after_misplaced = None;
        match (computed, row, line.purge.zip(said)) {
            // Whether that is so, the whole file says.
            (None, None, Some((purge, leaf))) => {
                self.purges.removed(purge, place, &leaf);
                None
            }
            (None, None, None) => Some((place, LineFault::Removed)),
            (Some(hash), Some(row), _) if said == Some(hash) => {
                self.purges.row(row);
                None
            }
            _ => Some((place, LineFault::Changed)),
        }
    }

    /// Whether the line of this place may stand next: it is that of the next place, or follows a line of another place.
    fn goes_on_with(&self, place: u64) -> bool {
        place == self.next || Some(place) == self.after_misplaced
    }

    /// Passes over a line that is not that of the next place, and gives that place.
    fn skip(&mut self) -> u64 {
        let place = self.next;
        self.next += 1;
        self.after_misplaced = self.after_misplaced.map(|after| after + 1);
        place
    }

    /// The purges that the lines name, after the last line.
    pub fn purges(&mut self) -> Vec<MetPurge> {
        std::mem::take(&mut self.purges).end()
    }

    /// How many lines were read.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over the lines that were read.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

fn parse(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a place whose row was removed.
    fn removed(place: u64) -> String {
        let (hash, purge) = ("0".repeat(64), Uuid::nil());
        format!(
            "{{\"position\":{place},\"leaf_hash\":\"{hash}\",\"layout\":3,\"purge\":\"{purge}\"}}"
        )
    }

    fn misplaced(places: &[u64]) -> Vec<u64> {
        let mut reading = Reading::default();
        let found = places.iter().filter_map(|at| reading.line(&removed(*at)));
        found
            .map(|(place, fault)| {
                assert_eq!(fault, LineFault::Misplaced);
                place
            })
            .collect()
    }

    #[test]
    fn lines_after_one_that_is_gone_are_compared_by_the_places_that_they_say() {
        let table: [(&[u64], &[u64]); 9] = [
            (&[0, 1, 2, 3, 4, 5], &[]),
            // One is gone, two beside one another, and another one later.
            (&[0, 1, 3, 4, 5], &[2]),
            (&[0, 1, 4, 5, 6], &[2]),
            (&[0, 1, 3, 4, 5, 7, 8], &[2, 6]),
            (&[1, 2, 3], &[0]),
            // One stands there twice; two are exchanged; one came to another place.
            (&[0, 1, 1, 2, 3, 4], &[2]),
            (&[0, 2, 1, 3, 4], &[1, 2]),
            (&[0, 1, 9, 3, 4], &[2]),
            (&[0, u64::MAX, 2, 3], &[1]),
        ];
        for (places, wrong) in table {
            assert_eq!(misplaced(places), wrong, "{places:?}");
        }
    }

    #[test]
    fn what_is_wrong_after_a_line_that_is_gone_is_told_by_its_place() {
        let mut reading = Reading::default();
        let hash = "0".repeat(64);
        let gone = format!("{{\"position\":5,\"leaf_hash\":\"{hash}\",\"layout\":3}}");
        let lines = [
            removed(0),
            removed(2),
            removed(3),
            "{}".to_owned(),
            gone,
            removed(6),
        ];
        let found = lines.iter().filter_map(|line| reading.line(line));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                (1, LineFault::Misplaced),
                (4, LineFault::Unreadable),
                (5, LineFault::Removed),
            ]
        );
        assert_eq!(reading.size(), 6);
    }
}
