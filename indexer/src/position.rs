//! Places in the registry's history, and how they are written in columns.

use chain::{Block, BlockHash, Deployment, Head, RegistryHead, event};
use store::{StoreError, cursor};

/// A block that is known by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) number: u64,
    pub(crate) hash: BlockHash,
}

impl From<&Block> for BlockRef {
    fn from(block: &Block) -> Self {
        Self {
            number: block.number,
            hash: block.hash,
        }
    }
}

impl BlockRef {
    /// As columns hold it.
    pub(crate) fn from_columns(number: i64, hash: &str) -> Result<Self, StoreError> {
        let hash = hash
            .parse()
            .map_err(|_| StoreError::Unreadable { what: "block hash" })?;
        Ok(Self {
            number: self::number(number),
            hash,
        })
    }
}

/// Where the registry's chain of events stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegistryState {
    pub(crate) sequence: u64,
    pub(crate) head: Head,
}

impl RegistryState {
    /// Before the first event.
    pub(crate) fn first(deployment: &Deployment) -> Self {
        Self {
            sequence: 0,
            head: event::first_head(deployment),
        }
    }

    /// The same of the registry of consents; `None` where there is none.
    pub(crate) fn first_of_consents(deployment: &Deployment) -> Option<Self> {
        Some(Self {
            sequence: 0,
            head: event::first_head_of_consents(deployment)?,
        })
    }
}

impl From<RegistryHead> for RegistryState {
    fn from(registry: RegistryHead) -> Self {
        Self {
            sequence: registry.sequence,
            head: registry.head,
        }
    }
}

/// How far the registry was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainPosition {
    pub(crate) block: BlockRef,
    pub(crate) registry_state: RegistryState,
    /// Where the registry of consents stands, where there is one and it is known.
    pub(crate) consents: Option<RegistryState>,
}

impl ChainPosition {
    /// The same place in the history of the registry of consents.
    pub(crate) fn of_consents(self) -> Option<Self> {
        Some(Self {
            registry_state: self.consents?,
            ..self
        })
    }

    pub(crate) fn to_row(self) -> cursor::Position {
        cursor::Position {
            block_number: column(self.block.number),
            block_hash: self.block.hash.to_string(),
            sequence: column(self.registry_state.sequence),
            head: self.registry_state.head.to_string(),
        }
    }

    pub(crate) fn from_row(row: &cursor::Position) -> Result<Self, StoreError> {
        read(row.block_number, &row.block_hash, row.sequence, &row.head)
    }

    pub(crate) fn from_block_row(row: &cursor::BlockRow) -> Result<Self, StoreError> {
        read(row.number, &row.hash, row.sequence, &row.head)
    }
}

fn read(number: i64, hash: &str, sequence: i64, head: &str) -> Result<ChainPosition, StoreError> {
    let head = head.parse().map_err(|_| StoreError::Unreadable {
        what: "rolling head",
    })?;
    Ok(ChainPosition {
        block: BlockRef::from_columns(number, hash)?,
        registry_state: RegistryState {
            sequence: self::number(sequence),
            head,
        },
        consents: None,
    })
}

/// A number as a column holds it. Blocks and sequences (48 bits) never come near the limit.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column as a number; none of ours is ever negative.
pub(crate) fn number(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
