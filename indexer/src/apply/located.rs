//! The evidence of a finding with the chain and the registry that it is of: who holds it against the chain has to know where.

use domain::integrity::FindingKind;
use serde_json::{Value, json};
use store::{cursor::Registry, findings::EventChain};

use super::ChainWriter;
use crate::reconcile::SuspectedFinding;

impl ChainWriter {
    /// The evidence of a finding, with its chain and registry.
    pub(super) fn located_details(&self, found: &SuspectedFinding) -> Value {
        let mut details = found.details.clone();
        if let (Some(registry), Some(fields)) =
            (self.registry_about(found.kind), details.as_object_mut())
        {
            fields.insert("chainId".to_owned(), json!(registry.chain_id));
            fields.insert("registry".to_owned(), json!(registry.address));
        }
        details
    }

    /// The registry that findings of this kind are about; `None` of what is no matter of a registry, or names its own.
    fn registry_about(&self, kind: FindingKind) -> Option<&Registry> {
        match kind {
            FindingKind::UnknownConsent | FindingKind::ConsentMismatch => {
                self.registry_of(EventChain::Consents)
            }
            FindingKind::MissingOnChain
            | FindingKind::UnknownOnChain
            | FindingKind::HashMismatch
            | FindingKind::ForeignRegistrar
            | FindingKind::EndedOnChain
            | FindingKind::RegistryPaused
            | FindingKind::AuditTampered => Some(&self.registry),
            FindingKind::AnchorStuck
            | FindingKind::ContentMismatch
            | FindingKind::Undecryptable
            | FindingKind::RowTampered => None,
        }
    }
}
