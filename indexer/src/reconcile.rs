//! What the events of a range mean for the anchors. Pure. Every kind of event is decided here, and what it means is
//! in the parts: an anchoring, an ending, a batch.

mod anchoring;
mod batch;
mod changes;
pub(crate) mod consents;
mod ending;
pub(crate) mod event_places;
pub(crate) mod links;
mod suspicion;

use chain::{RegistryEvent, RegistryLog};
use domain::records::DataHash;

use self::{anchoring::Anchoring, batch::BatchSlot, ending::ClosingEvent};
pub(crate) use self::{
    changes::{Changes, ClosedRecord, Confirmed, KnownHashes},
    ending::ended,
    suspicion::{
        SuspectedFinding, extracted, foreign_checkpoint, foreign_transaction, other_predecessor,
        paused,
    },
};

/// Holds the events against what is known. The same record never occurs twice: a hash is anchored at
/// most once.
pub(crate) fn reconcile(logs: &[RegistryLog], known: &KnownHashes) -> Changes {
    let mut changes = Changes::default();
    for log in logs {
        match log.event {
            RegistryEvent::RecordAnchored {
                record,
                predecessor,
                registrar,
            } => {
                let said = Anchoring {
                    record,
                    predecessor,
                    registrar,
                };
                let ended = predecessor.and_then(|it| ending::superseded(log, it, record, known));
                changes.suspicions.extend(ended);
                anchoring::hold(log, said, known, &mut changes);
            }
            RegistryEvent::RecordClosed {
                record,
                closing,
                by,
                reason,
            } => {
                let said = ClosingEvent {
                    record,
                    becomes: closing,
                    by,
                    reason,
                };
                ending::hold(log, said, known, &mut changes);
            }
            RegistryEvent::EndingAnnulled { successor, .. } => {
                let ended = successor.and_then(|it| ending::revoked(log, it, known));
                changes.suspicions.extend(ended);
            }
            RegistryEvent::BatchAnchored { root, .. } => {
                let slot = BatchSlot {
                    hash: root,
                    batch: root,
                };
                changes.suspicions.extend(batch::taken(log, slot, known));
            }
            RegistryEvent::RecordExtracted { record, root, .. } => {
                let slot = BatchSlot {
                    hash: record,
                    batch: root,
                };
                changes.suspicions.extend(batch::taken(log, slot, known));
            }
            RegistryEvent::PausedSet { paused, .. } => {
                let found = paused.then(|| suspicion::paused(&ending::pause(log)));
                changes.suspicions.extend(found);
            }
            // These change no anchor; they are kept as events. Checkpoints are held against those that were signed here where
            // they are applied.
            RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::ConsentChanged { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => {}
        }
    }
    changes
}

/// The hashes that a range anchors, ends or gives a slot to.
pub(crate) fn subjects(logs: &[RegistryLog]) -> Vec<DataHash> {
    let mut hashes = Vec::with_capacity(logs.len());
    for log in logs {
        match log.event {
            RegistryEvent::RecordAnchored {
                record,
                predecessor,
                ..
            } => hashes.extend([record].into_iter().chain(predecessor)),
            RegistryEvent::RecordClosed { record, .. }
            | RegistryEvent::RecordExtracted { record, .. } => hashes.push(record),
            RegistryEvent::BatchAnchored { root, .. } => hashes.push(root),
            RegistryEvent::EndingAnnulled { successor, .. } => hashes.extend(successor),
            RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::PausedSet { .. }
            | RegistryEvent::ConsentChanged { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => {}
        }
    }
    hashes
}

#[cfg(test)]
mod tests;
