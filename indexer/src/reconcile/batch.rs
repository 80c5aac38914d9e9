//! A batch, or a record that was taken out of one: we anchor each record by itself, so that neither was us, whoever's
//! account it was. A hash of ours that has a slot in this way cannot be anchored any more.

use chain::RegistryLog;
use domain::records::DataHash;
use store::reconciliation::ExtractionFacts;

use super::{
    changes::KnownHashes,
    suspicion::{SuspectedFinding, extracted, extraction_details},
};
use crate::position::column;

/// Which hash has a slot by a batch: its root, or one of its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSlot {
    pub(super) hash: DataHash,
    /// The root of the batch.
    pub(super) batch: DataHash,
}

/// That a slot was taken in this way.
pub(super) fn taken(
    log: &RegistryLog,
    slot: BatchSlot,
    known: &KnownHashes,
) -> Option<SuspectedFinding> {
    let extraction = ExtractionFacts {
        by: log.event.actor().to_string(),
        batch: Some(slot.batch.to_string()),
        tx_hash: log.tx_hash.to_string(),
        block_number: column(log.block_number),
    };
    if let Some(anchor) = known.anchors.get(&slot.hash) {
        let hash = Some(anchor.record_hash);
        return Some(extracted(
            &extraction,
            anchor.record,
            anchor.patient,
            anchor.record_type,
            hash,
        ));
    }
    (!known.unanchored.contains(&slot.hash))
        .then(|| SuspectedFinding::unknown(slot.hash, extraction_details(&extraction)))
}
