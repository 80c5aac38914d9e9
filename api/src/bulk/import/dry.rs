//! What would become of the entries of an import that stores nothing, each in its turn.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{Done, ImportRun, Later, Links, Outcome};
use crate::records::import::{foresee::foresee, report::Imported};

impl ImportRun {
    /// Looks up what would become of an entry.
    pub(super) fn foresee(&mut self, later: Later) {
        let Later {
            number,
            kind,
            bytes,
            links,
            draft,
        } = later;
        let twin = self.planned.twin(&draft);
        let (app, planned) = (self.transfer.app.clone(), Arc::clone(&self.planned));
        self.window_bytes += bytes;
        self.under_way.extend(links.source);
        let target = Some((draft.patient, draft.record_type));
        // Nobody stores its files: others may have their room.
        let links = Links {
            files: Vec::new(),
            kept: None,
            ..links
        };
        let done = async move {
            let result = foresee(&app.pool, app.drafting(), &planned, draft).await;
            // What was refused, or is there already, is so for both of them.
            let result = match (result, twin) {
                (Ok(Imported::Checked(_)), Some(twin)) => Ok(Imported::Checked(twin)),
                (result, _) => result,
            };
            Done {
                number,
                kind,
                target,
                bytes,
                links,
                outcome: Outcome::Came(result),
            }
        };
        self.window.push_back(done.boxed());
    }
}
