//! What would become of the entries of an import that stores nothing, each in its turn.

use std::sync::Arc;

use super::{ImportRun, Later};
use crate::records::import::{files::FilesStored, foresee::foresee, report::Imported};

impl ImportRun {
    /// Looks up what would become of an entry.
    pub(super) fn foresee(&mut self, later: Later) {
        let Later { mut entry, draft } = later;
        let twin = self.planned.twin(&draft);
        let (app, planned) = (self.transfer.app.clone(), Arc::clone(&self.planned));
        entry.links = entry.links.without_files();
        let foreseen = async move {
            let result = foresee(&app.pool, app.drafting(), &planned, draft).await;
            // What was refused, or is there already, is so for both of them.
            let result = match (result, twin) {
                (Ok(Imported::Checked(_)), Some(twin)) => Ok(Imported::Checked(twin)),
                (result, _) => result,
            };
            (result, FilesStored::default())
        };
        self.queue(entry, foreseen);
    }
}
