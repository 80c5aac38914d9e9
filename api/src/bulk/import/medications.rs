//! The `Medication` resources of an import, put aside for the documents that refer to them: these contain them, wherever in the import
//! they stand.

use std::collections::HashMap;

use fhir::{Json, canonical};

use super::{
    ImportEnd, ImportRun,
    held::{no_spool, over},
};
use crate::{
    bulk::spool::{Spool, SpoolPlace},
    error::Error,
    records::{
        decrypt,
        import::{Entry, prepared::Prepared},
    },
};

impl ImportRun {
    /// Learns what documents may refer to, where an entry is nothing that a record is made of.
    pub(super) async fn mention(&mut self, entry: &Entry) -> Result<(), ImportEnd> {
        if self.import.restores {
            return Ok(());
        }
        let Some(mut resource) = entry.mentioned(self.import.source.as_deref()) else {
            return Ok(());
        };
        let medication = match resource.medication.take() {
            Some(medication) => self.put_medication_aside(&medication).await?,
            None => None,
        };
        self.mentioned.learn(resource, medication);
        Ok(())
    }

    /// Puts a `Medication` aside; `None` where there are as many as of a window.
    async fn put_medication_aside(
        &mut self,
        medication: &Json,
    ) -> Result<Option<SpoolPlace>, ImportEnd> {
        if self.medications.is_none() {
            let spool = Spool::create().await;
            self.medications = Some(spool.map_err(|error| no_spool(&error))?);
        }
        let most = self.transfer.app.transfers.held_bytes;
        let spool = self.medications.as_mut();
        let Some(spool) = spool.filter(|spool| spool.length() < most) else {
            return Ok(None);
        };
        let put = spool.put(&canonical::to_bytes(medication)).await;
        put.map(Some).map_err(|error| no_spool(&error))
    }

    /// The medications that a document refers to, by its references.
    pub(super) async fn medications_of(
        &mut self,
        prepared: &Prepared,
    ) -> Result<HashMap<String, Json>, ImportEnd> {
        let source = self.import.source.as_deref();
        let places = self.mentioned.medications_of(prepared, source);
        let mut medications = HashMap::new();
        let spool = self.medications.as_mut();
        let Some(spool) = spool.filter(|_| !places.is_empty()) else {
            return Ok(medications);
        };
        let reader = spool.reader().await;
        let reader = reader.map_err(|error| no_spool(&error))?;
        for (reference, at) in places {
            let piece = reader.read(at).await;
            let piece = piece.map_err(|error| no_spool(&error))?;
            let medication = decrypt::document(&piece).ok_or_else(|| over(&Error::Internal))?;
            medications.insert(reference, medication);
        }
        Ok(medications)
    }
}
