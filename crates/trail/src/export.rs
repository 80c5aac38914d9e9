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
#[derive(Debug, Default)]
pub struct Reading {
    frontier: Frontier,
    purges: Purges,
}

impl Reading {
    /// Reads the line of the next place. Whatever is wrong with it, the next line is that of the place after it.
    pub fn line(&mut self, text: &str) -> Option<LineFault> {
        let place = self.frontier.size();
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            self.frontier.push(Hash::default());
            return Some(LineFault::Unreadable);
        };
        let said = parse(&line.leaf_hash);
        let row = line.row.as_ref();
        let computed = row.and_then(|row| row.leaf_hash(line.layout));
        // If the hashes are those that were pinned, the line that does not fit its own is the one that was changed.
        self.frontier.push(said.or(computed).unwrap_or_default());
        if line.position != place {
            return Some(LineFault::Misplaced);
        }
        match (computed, row, line.purge.zip(said)) {
            // Whether that is so, the whole file says.
            (None, None, Some((purge, leaf))) => {
                self.purges.removed(purge, place, &leaf);
                None
            }
            (None, None, None) => Some(LineFault::Removed),
            (Some(hash), Some(row), _) if said == Some(hash) => {
                self.purges.row(row);
                None
            }
            _ => Some(LineFault::Changed),
        }
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
