//! Documents that name a drug of which no `Medication` has come in their window or before, or a file of which no `Binary` has come in
//! their window: kept until all of the upload has arrived. Where it came in a later window, the document is looked at again, and becomes
//! the next version of its record, which contains the `Medication`, or promises the file.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    ImportEnd, ImportRun, QueuedEntry,
    held::{HeldEntries, no_spool},
    lacking_documents::{CompletedDocument, LackingDocument, LackingDocuments},
    mended::read_again,
};
use crate::{
    error::Error,
    records::import::{
        LONG_ENTRY,
        named::NOT_TAKEN,
        prepared::Prepared,
        report::{self, EntryRemarks, Imported},
    },
};

/// Of what may be put aside, one part in so many is for these documents.
const SHARE: u64 = 8;

impl ImportRun {
    /// Whether a document lacks a drug or a file that may come in a later window. One that has files, or finds some, is left as it is:
    /// what it claims is of its own window.
    pub(super) fn may_be_completed(&self, prepared: &Prepared, number: u64, bytes: usize) -> bool {
        let is_last = self.has_arrived || self.is_broken;
        if is_last || number < self.from || bytes > LONG_ENTRY || prepared.source.is_none() {
            return false;
        }
        if !prepared.files().is_empty() || prepared.promises_files() {
            return false;
        }
        let source = self.import.source.as_deref();
        let has_none = self.named.has_none_of(prepared, source);
        has_none && (prepared.names_files() || self.lacks_medication(prepared))
    }

    fn lacks_medication(&self, prepared: &Prepared) -> bool {
        let source = self.import.source.as_deref();
        self.mentioned.lacks_medication(prepared, source)
    }

    /// Keeps such a document as it was put aside; whether it is looked at again.
    pub(super) async fn keep_lacking(
        &mut self,
        number: u64,
        piece: &[u8],
        unresolved: u64,
    ) -> Result<bool, ImportEnd> {
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

    /// Forgets a document that is refused: there is no record of which it could be the next version.
    pub(super) fn forget_refused(&mut self, number: u64, result: &Result<Imported, Error>) {
        if result.is_err()
            && let Some(lacking) = &mut self.lacking
        {
            lacking.forget(number);
        }
    }

    /// Looks at those again of which the `Medication` or a file has come since, now that all has arrived.
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
        self.find_late().await?;
        let mut held = HeldEntries::begin().await?;
        let mut again = HashMap::new();
        for document in documents {
            self.keep_on().await?;
            let LackingDocument { number, at, .. } = document;
            let prepared = read_again(&reader, at).await?;
            let source = self.import.source.as_deref();
            let has_files = self.named.has_any_of(&prepared, source);
            let lacks = self.lacks_medication(&prepared) || prepared.names_files();
            if lacks && !has_files {
                continue;
            }
            let completed = CompletedDocument {
                unresolved: document.unresolved,
                has_files,
            };
            again.insert(number, completed);
            let held = &mut held;
            self.hold_again(held, number, at.length, prepared).await?;
        }
        self.again = Some(again);
        Ok(held)
    }

    /// What is told of a document that was looked at again: that it is another version, or lacks a file that has come. The rest was told
    /// before.
    pub(super) fn told_again(
        &mut self,
        entry: &QueuedEntry,
        result: &Result<Imported, Error>,
    ) -> Option<Value> {
        let completed = *self.again.as_ref()?.get(&entry.number)?;
        let links = &entry.links;
        let outcome = report::outcome_of(result);
        let is_version = matches!(outcome, "CREATED" | "AMENDED" | "WOULD_BE_AMENDED");
        let not_taken = links.notes.iter().filter(|note| note.rule == NOT_TAKEN);
        let not_taken: Vec<_> = not_taken.cloned().collect();
        let lacks = result.is_err() || links.files_stored.refused > 0 || !not_taken.is_empty();
        let is_told = is_version || (completed.has_files && lacks);
        if !is_told {
            return None;
        }
        self.totals.count(entry.kind, result);
        if is_version {
            let found = completed.unresolved.saturating_sub(links.unresolved);
            self.totals.resolved += found;
            self.totals.unresolved = self.totals.unresolved.saturating_sub(found);
        }
        if result.is_ok() {
            self.totals.note(&not_taken);
            self.totals.files.stored += links.files_stored.stored;
            self.totals.files.refused += links.files_stored.refused;
        }
        let remarks = EntryRemarks {
            unresolved: links.unresolved,
            notes: &links.notes,
            files: links.files_stored,
        };
        Some(report::line(entry.number, entry.kind, result, remarks))
    }
}
