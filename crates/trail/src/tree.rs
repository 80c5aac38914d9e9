//! The tree of RFC 9162 over the leaves of all rows: how it grows, what of it is stored, and its proofs.
//!
//! A node that will never change covers a power of two of leaves, and has a [`Place`]. Stored are leaves and every
//! fourth level above them ([`Place::is_stored`]): a fifteenth of all nodes, and what lies between is hashed from at most
//! eight. A proof is first a list of spans of leaves, then of the stored places under them ([`stored_under`]), and last
//! of their hashes ([`hashes_of`]): whoever stores the tree fetches all places in one go.

use std::{collections::BTreeMap, ops::Range};

use crate::{Hash, node_hash};

/// One level in so many is stored.
const STORED_EVERY: u8 = 4;

/// A node over `2^level` leaves, the first of which is `index * 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// How many levels above the leaves.
    pub level: u8,
    /// The how many-th on its level, from zero.
    pub index: u64,
}

impl Place {
    /// Whether its hash is stored; else it is computed from its children's.
    pub const fn is_stored(self) -> bool {
        self.level.is_multiple_of(STORED_EVERY)
    }

    const fn children(self) -> [Self; 2] {
        let (level, index) = (self.level - 1, 2 * self.index);
        [
            Self { level, index },
            Self {
                level,
                index: index + 1,
            },
        ]
    }
}

/// The right edge of a tree: what it takes to append to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The hashes of its perfect parts, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree of so many leaves, from the hashes of stored places that [`stored_under`] says of `0..size`.
    /// `None` where one is missing.
    pub fn restore(size: u64, stored: &BTreeMap<Place, Hash>) -> Option<Self> {
        let peaks = parts(0..size).into_iter();
        let peaks = peaks.map(|place| hash_at(place, stored));
        let peaks = peaks.collect::<Option<_>>()?;
        Some(Self { size, peaks })
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root; of no leaves, the hash of nothing.
    pub fn root(&self) -> Hash {
        fold(self.peaks.iter().copied()).unwrap_or_else(empty_root)
    }

    /// Appends a leaf, and gives what is to be stored now: the leaf, and nodes above it that it completed.
    pub fn push(&mut self, leaf: Hash) -> Vec<(Place, Hash)> {
        let mut place = Place {
            level: 0,
            index: self.size,
        };
        let mut hash = leaf;
        let mut stored = vec![(place, hash)];
        // Each right child completes its parent.
        while place.index % 2 == 1 {
            let left = self
                .peaks
                .pop()
                .expect("there is a peak for each bit of the size");
            hash = node_hash(&left, &hash);
            place = Place {
                level: place.level + 1,
                index: place.index / 2,
            };
            if place.is_stored() {
                stored.push((place, hash));
            }
        }
        self.peaks.push(hash);
        self.size += 1;
        stored
    }
}

/// SHA-256 of nothing.
fn empty_root() -> Hash {
    use sha2::Digest;
    sha2::Sha256::digest([]).into()
}

/// The spans whose hashes prove that leaf `index` is in the tree of `size` leaves (RFC 9162, 2.1.3.1). `None` where it
/// cannot be.
pub fn inclusion(size: u64, index: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut spans = Vec::new();
    let mut span = 0..size;
    while span.end - span.start > 1 {
        let middle = span.start + split(span.end - span.start);
        let (within, beside) = if index < middle {
            (span.start..middle, middle..span.end)
        } else {
            (middle..span.end, span.start..middle)
        };
        spans.push(beside);
        span = within;
    }
    spans.reverse();
    Some(spans)
}

/// The spans whose hashes prove that the first `old` leaves of the tree of `size` leaves are the old tree (RFC 9162,
/// 2.1.4.1). Empty where there is nothing to prove; `None` where it cannot be.
pub fn consistency(old: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if old > size {
        return None;
    }
    let mut spans = Vec::new();
    if old == 0 {
        return Some(spans);
    }
    let mut span = 0..size;
    while old != span.end {
        let middle = span.start + split(span.end - span.start);
        if old <= middle {
            spans.push(middle..span.end);
            span.end = middle;
        } else {
            spans.push(span.start..middle);
            span.start = middle;
        }
    }
    if span.start != 0 {
        spans.push(span);
    }
    spans.reverse();
    Some(spans)
}

/// The stored places that the hashes of these spans are computed from.
pub fn stored_under(spans: &[Range<u64>]) -> Vec<Place> {
    let mut stored = Vec::new();
    let mut open: Vec<Place> = spans.iter().cloned().flat_map(parts).collect();
    while let Some(place) = open.pop() {
        if place.is_stored() {
            stored.push(place);
        } else {
            open.extend(place.children());
        }
    }
    stored
}

/// The hash of each span. `None` where a stored place is missing.
pub fn hashes_of(spans: &[Range<u64>], stored: &BTreeMap<Place, Hash>) -> Option<Vec<Hash>> {
    let hash = |span: &Range<u64>| {
        let parts = parts(span.clone()).into_iter();
        let parts = parts.map(|place| hash_at(place, stored));
        fold(parts.collect::<Option<Vec<_>>>()?.into_iter())
    };
    spans.iter().map(hash).collect()
}

/// Whether `leaf` is at `index` of the tree of `size` leaves with this root (RFC 9162, 2.1.3.2).
pub fn is_included(root: &Hash, size: u64, leaf: &Hash, index: u64, proof: &[Hash]) -> bool {
    let Some(spans) = inclusion(size, index) else {
        return false;
    };
    if spans.len() != proof.len() {
        return false;
    }
    let hash = spans.iter().zip(proof).fold(*leaf, |hash, (span, beside)| {
        if span.start > index {
            node_hash(&hash, beside)
        } else {
            node_hash(beside, &hash)
        }
    });
    hash == *root
}

/// Whether the first `old` leaves of the tree of `size` leaves are the old tree (RFC 9162, 2.1.4.2).
pub fn is_consistent(
    (old, old_root): (u64, &Hash),
    (size, root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    let Some(spans) = consistency(old, size) else {
        return false;
    };
    if spans.len() != proof.len() || (old == size && old_root != root) {
        return false;
    }
    if old == 0 || old == size {
        return true;
    }
    let mut hashes = proof.iter();
    // A perfect old tree is a node of the new one, and its hash is not in the proof.
    let is_perfect = old.is_power_of_two();
    let Some(first) = (if is_perfect {
        Some(old_root)
    } else {
        hashes.next()
    }) else {
        return false;
    };
    let (mut old_hash, mut hash) = (*first, *first);
    for (span, beside) in spans.iter().skip(usize::from(!is_perfect)).zip(hashes) {
        if span.start >= old {
            hash = node_hash(&hash, beside);
        } else {
            hash = node_hash(beside, &hash);
            old_hash = node_hash(beside, &old_hash);
        }
    }
    old_hash == *old_root && hash == *root
}

/// The largest power of two below `size`, which is at least two: where a tree of that size divides.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The perfect parts of a span, from left to right. Its start is a multiple of the largest.
fn parts(span: Range<u64>) -> Vec<Place> {
    let mut parts = Vec::new();
    let mut start = span.start;
    while start < span.end {
        let level = u64::BITS - 1 - (span.end - start).leading_zeros();
        parts.push(Place {
            level: u8::try_from(level).expect("a number of 64 bits has at most 64"),
            index: start >> level,
        });
        start += 1 << level;
    }
    parts
}

fn hash_at(place: Place, stored: &BTreeMap<Place, Hash>) -> Option<Hash> {
    if place.is_stored() {
        return stored.get(&place).copied();
    }
    let [left, right] = place.children();
    Some(node_hash(&hash_at(left, stored)?, &hash_at(right, stored)?))
}

/// The hash over the parts of a span, from left to right.
fn fold(parts: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    parts.rev().reduce(|right, left| node_hash(&left, &right))
}
