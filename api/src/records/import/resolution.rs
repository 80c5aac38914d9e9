//! The references of a document of an import, as they are to be stored.

use std::collections::HashMap;

use domain::ids::RecordId;
use fhir::{
    Json, canonical,
    logical::LogicalReference,
    mentioned::lacks_medication,
    origin::{may_mean_medication, may_mean_record},
    replacement::Replacement,
};

use super::{files, mentioned::MentionedEntries, prepared::Prepared};

/// How much what a document contains from then on may add to it. Unit: bytes.
const MAX_CONTAINED: usize = 1 << 20;

/// What the references of a document mean.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// What takes the place of its references, by what stands there.
    pub(super) to: HashMap<String, Replacement>,
    /// The records that references name.
    pub(super) records: Vec<RecordId>,
    /// The references that mean nothing that is stored.
    left: Vec<String>,
    /// How many mean what the document contains.
    contained: u64,
    /// How many references are noted as open at least.
    pub(super) least_open: u32,
}

impl Resolution {
    /// That of a document of which no reference means a record.
    pub(crate) fn of_unresolved(one: &Prepared) -> Self {
        Self {
            left: one.references().to_vec(),
            ..Self::default()
        }
    }

    /// Has a reference name a record.
    pub(super) fn put(&mut self, reference: &str, kind: &str, record: RecordId) {
        let ours = Replacement::Literal(format!("{kind}/{record}"));
        self.to.insert(reference.to_owned(), ours);
        self.records.push(record);
    }

    /// Leaves a reference that means nothing that is stored.
    pub(super) fn leave(&mut self, reference: &str) {
        self.left.push(reference.to_owned());
    }

    /// Has the references that are left say what they mean: these a `Medication` that the document contains from then on, others, by an
    /// identifier, what is not stored. Those that lead to another server stay.
    pub(crate) fn complete<M: Clone>(
        &mut self,
        one: &Prepared,
        source: Option<&str>,
        mentioned: &MentionedEntries<M>,
        medications: HashMap<String, Json>,
    ) {
        let scope = one.scope(source);
        let copies = one.resources();
        let mut room = MAX_CONTAINED;
        let mut medications: Vec<_> = medications.into_iter().collect();
        medications.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (reference, medication) in medications {
            // Each entry of a Bundle may refer to it.
            let added = canonical::length(&medication).saturating_mul(copies);
            let Some(left) = room.checked_sub(added) else {
                continue;
            };
            room = left;
            self.to
                .insert(reference, Replacement::Contained(medication));
            self.contained += 1;
        }
        self.left
            .retain(|reference| !self.to.contains_key(reference));
        for reference in &self.left {
            let Some(logical) = LogicalReference::of(reference, scope) else {
                continue;
            };
            let logical = match mentioned.meant(reference, scope) {
                Some(entry) => logical.of_resource(entry.kind, entry.display.as_deref()),
                None => logical,
            };
            self.to
                .insert(reference.clone(), Replacement::Logical(logical));
        }
    }

    /// How many of its references name records, or what the document contains.
    pub(crate) fn resolved(&self) -> u64 {
        self.records.len() as u64 + self.contained
    }

    /// How many mean nothing that is stored.
    pub(crate) fn unresolved(&self) -> u64 {
        self.left.len() as u64
    }

    /// How many references of the document, as it is stored, are noted as open. One that lacks a drug or a file takes the place of
    /// nothing that may have it.
    pub(super) fn open_in(&self, document: &Json) -> u32 {
        let lacks = lacks_medication(document) || !files::urls(document).is_empty();
        if lacks { u32::MAX } else { self.open() }
    }

    /// How many of these may mean what another import brings.
    fn open(&self) -> u32 {
        let may_come =
            |reference: &&String| may_mean_record(reference) || may_mean_medication(reference);
        let open = self.left.iter().filter(may_come).count();
        u32::try_from(open).unwrap_or(u32::MAX).max(self.least_open)
    }
}
