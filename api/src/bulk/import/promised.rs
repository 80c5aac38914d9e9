//! Files that come behind the documents that promise them, as `Binary`: that is how an export has them.

use super::{Done, FilesOutcome, ImportRun, Links, Outcome, by_itself};
use crate::records::import::{file_writing::store_behind, files::TakenFile, report::Imported};

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
            return self.report(number, kind, Ok(Imported::Unclaimed));
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
