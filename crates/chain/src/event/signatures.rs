//! What a log of the registry is known by.

use alloy::sol_types::SolEvent;

use crate::bindings::MedicalRecordRegistry as bound;

/// One kind of the registry's numbered events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSignature {
    /// Its name and the types of its fields, as Solidity writes them.
    pub signature: &'static str,
    /// The first topic of its logs: the Keccak-256 hash of the signature, `0x` and 64 digits.
    pub topic: String,
}

impl EventSignature {
    fn of<E: SolEvent>() -> Self {
        Self {
            signature: E::SIGNATURE,
            topic: E::SIGNATURE_HASH.to_string(),
        }
    }
}

/// Every event that is part of the registry's chain of events.
pub fn signatures() -> Vec<EventSignature> {
    vec![
        EventSignature::of::<bound::RecordAnchored>(),
        EventSignature::of::<bound::RecordClosed>(),
        EventSignature::of::<bound::EndingAnnulled>(),
        EventSignature::of::<bound::EndingLimitSet>(),
        EventSignature::of::<bound::BatchAnchored>(),
        EventSignature::of::<bound::RecordExtracted>(),
        EventSignature::of::<bound::CheckpointAnchored>(),
        EventSignature::of::<bound::EpochOpened>(),
        EventSignature::of::<bound::PausedSet>(),
        EventSignature::of::<bound::RoleChanged>(),
        EventSignature::of::<bound::AdminStepTaken>(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signatures_are_those_of_the_manual() {
        let manual = include_str!("../../../../docs/contracts.md");

        for EventSignature { signature, topic } in signatures() {
            let row = format!("| `{signature}` | `{topic}` |");
            assert!(manual.contains(&row), "docs/contracts.md has no {row}");
        }
        // Those of the registry of consents are `ConsentChanged` besides.
        let rows = manual.matches("uint40,bytes25)` | `0x").count();
        assert_eq!(rows, signatures().len() + 1, "the manual has others");
    }
}
