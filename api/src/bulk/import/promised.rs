//! Files that come behind the documents that promise them, as `Binary`: that is how an export has them.

use super::{ImportRun, Links, Outcome, QueuedEntry, by_itself};
use crate::records::import::{file_writing::store_behind, files::TakenFile, report::Imported};

impl ImportRun {
    /// Whether a document behind a file looks for it in its window, or one of an earlier window that is looked at again.
    pub(super) fn is_wanted(&self, number: u64, file: &TakenFile) -> bool {
        self.named.is_wanted_behind(file, number) || self.late.named.is_claimable(file)
    }

    /// Stores a file beside the records that promise it, which are stored by now.
    pub(super) fn attach(&mut self, number: u64, bytes: usize, file: TakenFile) {
        let kind = Some("Binary");
        // What was reported before is there.
        if number < self.from {
            return;
        }
        let links = Links {
            notes: self.notes_of(&file),
            ..Links::default()
        };
        let is_wanted = self.is_wanted(number, &file);
        let places = self.promised.take_places(&file);
        if self.is_dry {
            let result = if is_wanted || !places.is_empty() {
                Imported::Attached(None)
            } else {
                self.unclaimed(number, &file)
            };
            return self.push(number, kind, links, Outcome::Came(Ok(result)));
        }
        if places.is_empty() {
            // What promises it was refused, or has it, or is told behind it.
            let result = if is_wanted {
                Imported::WithDocument
            } else {
                self.unclaimed(number, &file)
            };
            return self.push(number, kind, links, Outcome::Came(Ok(result)));
        }
        let (app, caller) = (self.transfer.app.clone(), self.transfer.caller.clone());
        let stored = async move { store_behind(app.file_writing(), &caller, places, &file).await };
        let entry = QueuedEntry {
            number,
            kind,
            target: None,
            bytes,
            links,
        };
        self.queue(entry, by_itself(stored));
    }
}
