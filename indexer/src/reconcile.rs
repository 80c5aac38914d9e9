//! What the events of a stretch mean for the anchors. Pure. Every kind of event is decided here, and what it means is
//! in the parts: an anchoring, an ending, a batch.

mod anchoring;
mod batch;
mod changes;
mod ending;
mod suspicion;

use chain::{RegistryEvent, RegistryLog};
use domain::records::DataHash;

use self::{anchoring::Anchoring, batch::Slot, ending::Closing};
pub(crate) use self::{
    changes::{Changes, Closed, Confirmed, Known},
    ending::ended,
    suspicion::{SuspectedFinding, extracted, other_predecessor, paused},
};

/// Holds the events against what is known. The same record never occurs twice: a hash is anchored at
/// most once.
pub(crate) fn reconcile(logs: &[RegistryLog], known: &Known) -> Changes {
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
                let said = Closing {
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
                let slot = Slot {
                    hash: root,
                    batch: root,
                };
                changes.suspicions.extend(batch::taken(log, slot, known));
            }
            RegistryEvent::RecordExtracted { record, root, .. } => {
                let slot = Slot {
                    hash: record,
                    batch: root,
                };
                changes.suspicions.extend(batch::taken(log, slot, known));
            }
            RegistryEvent::PausedSet { paused, .. } => {
                let found = paused.then(|| suspicion::paused(&ending::pause(log)));
                changes.suspicions.extend(found);
            }
            // These change no anchor; they are kept as events.
            RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => {}
        }
    }
    changes
}

/// The records that a stretch anchors or ends.
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
            RegistryEvent::EndingAnnulled { successor, .. } => hashes.extend(successor),
            RegistryEvent::EndingLimitSet { .. }
            | RegistryEvent::BatchAnchored { .. }
            | RegistryEvent::CheckpointAnchored { .. }
            | RegistryEvent::EpochOpened { .. }
            | RegistryEvent::PausedSet { .. }
            | RegistryEvent::RoleChanged { .. }
            | RegistryEvent::AdminStepTaken { .. } => {}
        }
    }
    hashes
}

#[cfg(test)]
mod tests;
