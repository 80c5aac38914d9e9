//! One entry of the log, and how it is made from an anchor.

use domain::{
    ids::{FindingId, RecordId, UserId},
    integrity::{AnchorState, FeedKind},
    records::{DataHash, RecordType},
};

/// What is told.
#[derive(Debug, Clone)]
pub struct FeedEntry {
    /// What happened.
    pub kind: FeedKind,
    /// To which record; unknown for a hash that no record has.
    pub record: Option<RecordId>,
    /// Whose.
    pub patient: Option<UserId>,
    /// Of which type.
    pub record_type: Option<RecordType>,
    /// Its hash.
    pub record_hash: Option<DataHash>,
    /// The transaction, `0x` and 64 digits.
    pub tx_hash: Option<String>,
    /// The block's number.
    pub block_number: Option<i64>,
    /// The block's hash.
    pub block_hash: Option<String>,
    /// Where in the block.
    pub log_index: Option<i64>,
    /// Where in the registry's gapless sequence.
    pub sequence: Option<i64>,
    /// Where the anchor stands now.
    pub state: Option<AnchorState>,
    /// What was found wrong.
    pub finding: Option<FindingId>,
}

/// The record that an anchor is of, as the anchor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorSubject {
    /// Which.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type; `None` where a tampered text is none.
    pub record_type: Option<RecordType>,
    /// What is anchored; `None` where a tampered text is no hash, of which the sweep tells.
    pub record_hash: Option<DataHash>,
}

impl AnchorSubject {
    /// Reads the columns of an anchor. What a tampered text does not say stops nobody.
    pub(crate) fn read(
        record: uuid::Uuid,
        patient: uuid::Uuid,
        record_type: &str,
        record_hash: &str,
    ) -> Self {
        Self {
            record: RecordId(record),
            patient: UserId(patient),
            record_type: record_type.parse().ok(),
            record_hash: DataHash::parse(record_hash).ok(),
        }
    }
}

/// By which transaction something happened, and where that is on the chain, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnChainLocation {
    /// The transaction, `0x` and 64 digits.
    pub tx_hash: Option<String>,
    /// The block's number.
    pub block_number: Option<i64>,
    /// The block's hash.
    pub block_hash: Option<String>,
    /// Where in the block.
    pub log_index: Option<i64>,
    /// Where in the registry's gapless sequence.
    pub sequence: Option<i64>,
}

impl OnChainLocation {
    /// A transaction that is in no block.
    pub fn of_transaction(tx_hash: String) -> Self {
        Self {
            tx_hash: Some(tx_hash),
            ..Self::default()
        }
    }
}

impl FeedEntry {
    /// An entry that says only that something happened; the rest is set by field.
    pub const fn new(kind: FeedKind) -> Self {
        Self {
            kind,
            record: None,
            patient: None,
            record_type: None,
            record_hash: None,
            tx_hash: None,
            block_number: None,
            block_hash: None,
            log_index: None,
            sequence: None,
            state: None,
            finding: None,
        }
    }

    /// An entry about an anchor, or about the closing of its record.
    pub fn of_anchor(kind: FeedKind, of: AnchorSubject, place: OnChainLocation) -> Self {
        Self {
            record: Some(of.record),
            patient: Some(of.patient),
            record_type: of.record_type,
            record_hash: of.record_hash,
            tx_hash: place.tx_hash,
            block_number: place.block_number,
            block_hash: place.block_hash,
            log_index: place.log_index,
            sequence: place.sequence,
            state: kind.anchor_state(),
            ..Self::new(kind)
        }
    }
}
