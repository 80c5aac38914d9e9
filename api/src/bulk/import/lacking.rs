//! Documents that name a drug of which no `Medication` has come in their window or before: kept until all of the upload has arrived.
//! Where it came in a later window, the document is looked at again, and becomes the next version of its record, which contains it.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    ImportEnd, ImportRun, QueuedEntry,
    held::{HeldEntries, no_spool},
    lacking_documents::{LackingDocument, LackingDocuments},
    mended::read_again,
};
use crate::{
    error::Error,
    records::import::{
        LONG_ENTRY,
        prepared::Prepared,
        report::{self, EntryRemarks, Imported},
    },
};

/// Of what may be put aside, one part in so many is for these documents.
const SHARE: u64 = 8;

impl ImportRun {
    /// Whether a document lacks a drug that may come in a later window. One with files, or that names some, is left as it is: what
    /// it claims is of its own window.
    pub(super) fn may_be_completed(&self, prepared: &Prepared, number: u64, bytes: usize) -> bool {
        let is_last = self.has_arrived || self.is_broken;
        if is_last || number < self.from || bytes > LONG_ENTRY || prepared.source.is_none() {
            return false;
        }
        let has_files =
            !prepared.files().is_empty() || prepared.names_files() || prepared.promises_files();
        !has_files && self.lacks_medication(prepared)
    }

    fn lacks_medication(&self, prepared: &Prepared) -> bool {
        let source = self.import.source.as_deref();
        self.mentioned.lacks_medication(prepared, source)
    }

    /// Keeps such a document as it was put aside.
    pub(super) async fn keep_lacking(
        &mut self,
        number: u64,
        piece: &[u8],
        unresolved: u64,
    ) -> Result<(), ImportEnd> {
        let most = self.transfer.app.transfers.held_bytes / SHARE;
        let mut lacking = if let Some(lacking) = self.lacking.take() {
            lacking
        } else {
            let begun = LackingDocuments::begin().await;
            begun.map_err(|error| no_spool(&error))?
        };
        let kept = lacking.keep(number, piece, unresolved, most).await;
        self.lacking = Some(lacking);
        kept.map_err(|error| no_spool(&error))
    }

    /// Looks at those again of which the `Medication` has come since, now that all has arrived.
    pub(super) async fn work_lacking(&mut self) -> ImportEnd {
        let Some(lacking) = self.lacking.take() else {
            return ImportEnd::Complete;
        };
        match self.hold_lacking(lacking).await {
            Ok(held) => self.work_held(held).await,
            Err(end) => end,
        }
    }

    async fn hold_lacking(&mut self, lacking: LackingDocuments) -> Result<HeldEntries, ImportEnd> {
        let LackingDocuments {
            mut spool,
            documents,
        } = lacking;
        let reader = spool.reader().await;
        let reader = reader.map_err(|error| no_spool(&error))?;
        self.references.look_again();
        let mut held = HeldEntries::begin().await?;
        let mut again = HashMap::new();
        for document in documents {
            self.keep_on().await?;
            let LackingDocument { number, at, .. } = document;
            let prepared = read_again(&reader, at).await?;
            if self.lacks_medication(&prepared) {
                continue;
            }
            again.insert(number, document.unresolved);
            let held = &mut held;
            self.hold_again(held, number, at.length, prepared).await?;
        }
        self.again = Some(again);
        Ok(held)
    }

    /// What is told of a document that was looked at again: that it is another version. The rest was told before.
    pub(super) fn told_again(
        &mut self,
        entry: &QueuedEntry,
        result: &Result<Imported, Error>,
    ) -> Option<Value> {
        let outcome = report::outcome_of(result);
        if !matches!(outcome, "CREATED" | "AMENDED" | "WOULD_BE_AMENDED") {
            return None;
        }
        let links = &entry.links;
        let before = self.again.as_ref()?.get(&entry.number).copied();
        let found = before.unwrap_or_default().saturating_sub(links.unresolved);
        self.totals.count(entry.kind, result);
        self.totals.resolved += found;
        self.totals.unresolved = self.totals.unresolved.saturating_sub(found);
        let remarks = EntryRemarks {
            unresolved: links.unresolved,
            notes: &links.notes,
            files: links.files_stored,
        };
        Some(report::line(entry.number, entry.kind, result, remarks))
    }
}
