//! Files that come behind the documents that promise them, as `Binary`: that is how an export has them.

use std::collections::HashMap;

use super::{Done, FilesOutcome, ImportRun, Links, Outcome, by_itself};
use crate::records::{
    attachments::AttachmentRequest,
    draft::SourceAnswer,
    import::{file_writing::store_behind, files::TakenFile, report::Imported},
};

/// How many files are waited for in one import.
const MAX_PROMISED: usize = 1 << 16;
/// In how many places one of them is stored.
const MAX_PLACES: usize = 64;

/// What documents of an import promise, by its SHA-256, and where it is stored once they are records.
#[derive(Debug, Default)]
pub(super) struct PromisedFiles(HashMap<[u8; 32], Vec<AttachmentRequest>>);

impl PromisedFiles {
    /// Whether no document has promised any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for this file.
    pub(super) fn expect(&mut self, sha256: [u8; 32]) {
        if self.0.len() < MAX_PROMISED {
            self.0.entry(sha256).or_default();
        }
    }

    /// Whether a document has promised it.
    pub(super) fn is_expected(&self, file: &TakenFile) -> bool {
        self.0.contains_key(&file.sha256)
    }

    /// Learns which record a document has become that promises files in these places.
    pub(super) fn learn(&mut self, promised: &[(u32, [u8; 32])], imported: &Imported) {
        let (Imported::Stored(stored) | Imported::Amended(stored)) = imported else {
            return;
        };
        if stored.source == Some(SourceAnswer::Outdated) {
            return;
        }
        for (place, sha256) in promised {
            let places = self.0.get_mut(sha256);
            if let Some(places) = places.filter(|places| places.len() < MAX_PLACES) {
                places.push(AttachmentRequest {
                    record: stored.record.id,
                    place: *place,
                    purpose: Some(stored.purpose),
                });
            }
        }
    }

    /// The places that wait for a file. What has come once is not waited for again, unless another document promises it.
    fn take_places(&mut self, file: &TakenFile) -> Vec<AttachmentRequest> {
        let places = self.0.get_mut(&file.sha256);
        places.map(std::mem::take).unwrap_or_default()
    }
}

impl ImportRun {
    /// Stores a file beside the records that promise it, which are stored by now.
    pub(super) fn attach(&mut self, number: u64, bytes: usize, file: TakenFile) {
        let kind = Some("Binary");
        if self.is_dry {
            return self.report(number, kind, Ok(Imported::Attached(None)));
        }
        let places = self.promised.take_places(&file);
        // What promises it was refused, or has it.
        if places.is_empty() {
            return self.report(number, kind, Ok(Imported::Skipped));
        }
        self.window_bytes += bytes;
        let (app, caller) = (self.transfer.app.clone(), self.transfer.caller.clone());
        let stored = async move { store_behind(app.file_writing(), &caller, places, &file).await };
        let done = async move {
            let (result, files_stored): FilesOutcome = by_itself(stored).await;
            Done {
                number,
                kind,
                target: None,
                bytes,
                links: Links {
                    files_stored,
                    ..Links::default()
                },
                outcome: Outcome::Came(result),
            }
        };
        self.window.push_back(Box::pin(done));
    }
}
