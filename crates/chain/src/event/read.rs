//! What the fields of the registry's events become.

use alloy::primitives::B256;
use domain::{integrity::ClosedAs, records::DataHash};

use super::{AdminStep, RegistryEvent, administrative::administrative_events};
use crate::bindings::MedicalRecordRegistry as bound;

/// A hash that may be absent, which the registry writes as zero.
fn some(hash: B256) -> Option<DataHash> {
    (!hash.is_zero()).then_some(DataHash(hash.0))
}

impl From<bound::RecordAnchored> for RegistryEvent {
    fn from(e: bound::RecordAnchored) -> Self {
        Self::RecordAnchored {
            record: DataHash(e.recordHash.0),
            predecessor: some(e.predecessor),
            registrar: e.registrar.into(),
        }
    }
}

impl TryFrom<bound::RecordClosed> for RegistryEvent {
    type Error = String;

    fn try_from(e: bound::RecordClosed) -> Result<Self, String> {
        let closing = match e.status {
            3 => ClosedAs::Revoked,
            4 => ClosedAs::Erased,
            other => return Err(format!("closed as status {other}")),
        };
        Ok(Self::RecordClosed {
            record: DataHash(e.recordHash.0),
            closing,
            by: e.by.into(),
            reason: e.reason,
        })
    }
}

impl From<bound::EndingAnnulled> for RegistryEvent {
    fn from(e: bound::EndingAnnulled) -> Self {
        Self::EndingAnnulled {
            record: DataHash(e.recordHash.0),
            successor: some(e.successor),
            by: e.by.into(),
        }
    }
}

impl From<bound::EndingLimitSet> for RegistryEvent {
    fn from(e: bound::EndingLimitSet) -> Self {
        Self::EndingLimitSet {
            registrar: e.registrar.into(),
            by: e.by.into(),
            limit: e.limit,
        }
    }
}

impl From<bound::BatchAnchored> for RegistryEvent {
    fn from(e: bound::BatchAnchored) -> Self {
        Self::BatchAnchored {
            root: DataHash(e.root.0),
            registrar: e.registrar.into(),
            size: e.size.to(),
        }
    }
}

impl From<bound::RecordExtracted> for RegistryEvent {
    fn from(e: bound::RecordExtracted) -> Self {
        Self::RecordExtracted {
            record: DataHash(e.recordHash.0),
            root: DataHash(e.root.0),
            by: e.by.into(),
            size: e.size.to(),
            index: e.index.to(),
        }
    }
}

impl From<bound::CheckpointAnchored> for RegistryEvent {
    fn from(e: bound::CheckpointAnchored) -> Self {
        Self::CheckpointAnchored {
            tree_size: e.treeSize,
            root: DataHash(e.root.0),
            by: e.by.into(),
            epoch: e.epoch,
            previous_size: e.prevSize,
        }
    }
}

impl From<bound::EpochOpened> for RegistryEvent {
    fn from(e: bound::EpochOpened) -> Self {
        Self::EpochOpened {
            epoch: e.epoch,
            tree_size: e.treeSize,
            root: some(e.root),
            by: e.by.into(),
        }
    }
}

administrative_events!(bound);
