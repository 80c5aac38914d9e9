//! Entries that were reported before, because the import goes on behind them: looked at for what those that come need to know of
//! them, and for nothing else.

use super::{
    ArrivedEntry, ImportEnd, ImportRun,
    held::{GROUP, import_context, over},
    read,
};
use crate::{
    bulk::Transfer,
    long_entries::LongRoom,
    records::import::{
        Drafted,
        files::hold,
        recalled::{PassedDocument, recall},
    },
};

impl ImportRun {
    /// Learns whom an entry names that was reported before, what documents may refer to, and which record it has become. One whose
    /// files may still come is looked at as if it were new: it is there already, and is not reported again.
    pub(super) async fn pass_over(
        &mut self,
        number: u64,
        entry: Vec<u8>,
        room: Option<LongRoom>,
    ) -> Result<Option<ArrivedEntry>, ImportEnd> {
        if self.import.restores || entry.trim_ascii().is_empty() {
            return Ok(None);
        }
        let bytes = entry.len();
        let Ok(mut entry) = read(self.form, false, entry).await else {
            return Ok(None);
        };
        let _rest = hold(entry.files_mut(), room);
        self.mention(&entry).await?;
        if entry.concerns_files() {
            return Ok(Some(self.prepare(number, bytes, Ok(entry))));
        }
        let Transfer { app, caller, .. } = &self.transfer;
        if let Ok(Drafted::Prepared(prepared)) = self.import.prepare(app.drafting(), caller, entry)
        {
            self.passed.extend(PassedDocument::of(&prepared));
        }
        if self.passed.len() >= GROUP {
            self.recall().await?;
        }
        Ok(None)
    }

    /// Learns which records the documents are that were passed over.
    pub(super) async fn recall(&mut self) -> Result<(), ImportEnd> {
        let passed = std::mem::take(&mut self.passed);
        let context = import_context(&self.transfer, &self.import);
        let recalled = recall(context, &mut self.references, &passed).await;
        recalled.map_err(|error| over(&error))
    }
}
