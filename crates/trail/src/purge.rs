//! Rows that retention removed: their leaves are left, and a row of the trail says how many they are, with a hash over them and
//! the signature of the account that pins checkpoints. A row that is gone and that no such row counts was removed by somebody
//! else.
//!
//! ```text
//! digest    = SHA-256(place 8, big-endian ‖ leaf hash 32, …), in the order of places
//! signed    = five lines, each with a line feed at its end: "MediTrustAl audit purge 1", the origin of the trail's
//!             checkpoints, the purge's id, how many rows, the digest in hexadecimal digits
//! ```

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Hash, checkpoint::SIGNATURE_BYTES, row::Row};

/// What such a row says it did.
pub const ACTION: &str = "RETENTION_PURGE";
/// To what kind of thing; purges of records have the same action.
pub const RESOURCE: &str = "AUDIT_LOG";

/// A hash over leaves, and which they are.
#[derive(Debug, Clone, Default)]
pub struct PurgeDigest {
    hasher: Sha256,
    rows: u64,
    ranges: Vec<(u64, u64)>,
}

impl PurgeDigest {
    /// Takes the next leaf; in the order of places.
    pub fn push(&mut self, place: u64, leaf: &Hash) {
        self.hasher.update(place.to_be_bytes());
        self.hasher.update(leaf);
        self.rows += 1;
        match self.ranges.last_mut() {
            Some((_, end)) if *end == place => *end = place + 1,
            _ => self.ranges.push((place, place + 1)),
        }
    }

    /// How many leaves.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The places: from one on, before another.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// The hash over them, in hexadecimal digits.
    pub fn hex(&self) -> String {
        let hash = self.hasher.clone().finalize();
        hash.iter().fold(String::new(), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
            text
        })
    }
}

/// What a row of the trail says of a purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurgeStatement {
    /// How many rows were removed.
    pub rows: u64,
    /// The hash over their leaves.
    pub digest: String,
    /// The signature, in base 64; see [`PurgeStatement::signed`].
    pub signature: String,
}

impl PurgeStatement {
    /// What a row says, if it is such a row.
    pub fn of(row: &Row) -> Option<(Uuid, Self)> {
        let is_one = row.action_type == ACTION && row.resource_type == RESOURCE;
        let said = row.new_value.as_deref().filter(|_| is_one)?;
        Some((row.resource_id, serde_json::from_str(said).ok()?))
    }

    /// The text that is signed.
    pub fn text(origin: &str, purge: Uuid, rows: u64, digest: &str) -> String {
        format!("MediTrustAl audit purge 1\n{origin}\n{purge}\n{rows}\n{digest}\n")
    }

    /// A statement with its signature.
    pub fn new(rows: u64, digest: String, signature: &[u8; SIGNATURE_BYTES]) -> Self {
        Self {
            rows,
            digest,
            signature: BASE64_STANDARD.encode(signature),
        }
    }

    /// Whether it says exactly these leaves.
    pub fn is_of(&self, left: &PurgeDigest) -> bool {
        self.rows == left.rows() && self.digest == left.hex()
    }

    /// The text that was signed, and the signature; `None` where that is none.
    pub fn signed(&self, origin: &str, purge: Uuid) -> Option<(String, [u8; SIGNATURE_BYTES])> {
        let signature = BASE64_STANDARD.decode(&self.signature).ok()?;
        let text = Self::text(origin, purge, self.rows, &self.digest);
        Some((text, signature.try_into().ok()?))
    }
}

/// A purge as it was met.
#[derive(Debug, Clone)]
pub struct MetPurge {
    /// Its id.
    pub id: Uuid,
    /// The places of its leaves: from one on, before another.
    pub ranges: Vec<(u64, u64)>,
    /// What the trail says of it; `None` where it says nothing, or something else than what was met.
    pub statement: Option<PurgeStatement>,
}

impl MetPurge {
    /// Takes what the trail says of it by now, if that is exactly of the leaves that it is said to have left by now, and all that
    /// was met is among these. Answers whether it is.
    pub fn takes(&mut self, said: PurgeStatement, left: &PurgeDigest) -> bool {
        let is_left = |(from, before): &(u64, u64)| {
            let after = left.ranges.partition_point(|(start, _)| start <= from);
            let range = after.checked_sub(1).and_then(|nth| left.ranges.get(nth));
            range.is_some_and(|(_, end)| before <= end)
        };
        let is_of_these = said.is_of(left) && self.ranges.iter().all(is_left);
        if is_of_these {
            self.statement = Some(said);
        }
        is_of_these
    }
}

/// What is met of purges on the way through a trail, in the order of places.
#[derive(Debug, Default)]
pub struct Purges {
    met: BTreeMap<Uuid, PurgeDigest>,
    said: BTreeMap<Uuid, PurgeStatement>,
}

impl Purges {
    /// A row is gone, and is said to have been removed by this purge.
    pub fn removed(&mut self, purge: Uuid, place: u64, leaf: &Hash) {
        self.met.entry(purge).or_default().push(place, leaf);
    }

    /// A row is there, and is what was hashed.
    pub fn row(&mut self, row: &Row) {
        if let Some((purge, statement)) = PurgeStatement::of(row) {
            self.said.entry(purge).or_insert(statement);
        }
    }

    /// Every purge that was met.
    pub fn end(mut self) -> Vec<MetPurge> {
        let met = self.met.into_iter().map(|(id, digest)| {
            let said = self.said.remove(&id);
            MetPurge {
                id,
                statement: said.filter(|said| said.is_of(&digest)),
                ranges: digest.ranges,
            }
        });
        met.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_places_and_leaves_in_order() {
        let mut digest = PurgeDigest::default();
        for place in [3, 4, 7] {
            digest.push(place, &[9; 32]);
        }
        let mut bytes = Vec::new();
        for place in [3_u64, 4, 7] {
            bytes.extend(place.to_be_bytes());
            bytes.extend([9; 32]);
        }
        let wanted = Sha256::digest(&bytes);
        let wanted = wanted
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(digest.hex(), wanted);
        assert_eq!((digest.rows(), digest.ranges()), (3, &[(3, 5), (7, 8)][..]));
    }

    #[test]
    fn a_purge_counts_only_if_the_trail_says_exactly_what_is_gone() {
        let purge = Uuid::from_u128(7);
        let left = |places: &[u64]| {
            let mut digest = PurgeDigest::default();
            for place in places {
                digest.push(*place, &[1; 32]);
            }
            digest
        };
        let statement = |places: &[u64]| {
            let left = left(places);
            PurgeStatement::new(left.rows(), left.hex(), &[0; SIGNATURE_BYTES])
        };
        let met = |said: Option<PurgeStatement>| {
            let mut purges = Purges::default();
            purges.removed(purge, 1, &[1; 32]);
            purges.removed(purge, 2, &[1; 32]);
            purges.said.extend(said.map(|said| (purge, said)));
            purges.end().remove(0)
        };
        assert!(met(Some(statement(&[1, 2]))).statement.is_some());
        for other in [None, Some(statement(&[1])), Some(statement(&[1, 3]))] {
            let met = met(other);
            assert_eq!(met.statement, None);
            assert_eq!(met.ranges, [(1, 3)]);
        }
        // It was carried out while the trail was gone through: some rows were met before, and what it says after.
        for (said, by_now, counts) in [
            (&[0, 1, 2, 9][..], &[0, 1, 2, 9][..], true),
            (&[1, 2][..], &[1, 2][..], true),
            // Something else is said, or what was met is not among what is said.
            (&[0, 1, 2][..], &[0, 1, 2, 9][..], false),
            (&[1, 3][..], &[1, 3][..], false),
            (&[2, 3][..], &[2, 3][..], false),
            (&[][..], &[][..], false),
        ] {
            let mut met = met(None);
            assert_eq!(
                met.takes(statement(said), &left(by_now)),
                counts,
                "{said:?}"
            );
            assert_eq!(met.statement.is_some(), counts, "{said:?}");
        }
        let signed = statement(&[1, 2]).signed("here", purge);
        let (text, _) = signed.expect("a signature");
        assert!(text.starts_with("MediTrustAl audit purge 1\nhere\n00000000-"));
    }
}
