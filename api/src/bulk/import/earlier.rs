//! Files that come in an earlier window than documents that name or promise them: kept until all of the upload has arrived, so that
//! such a document has its file from its first version on.

use super::{
    ImportEnd, ImportRun,
    held::{FILE, no_spool},
};
use crate::records::import::{
    files::TakenFile,
    report::{self, EntryRemarks, Imported},
};

impl ImportRun {
    /// Keeps a file for documents of later windows, unless nothing comes any more, or there are as many as may be, or as long. Those that
    /// documents claim already leave half of the room to the others.
    pub(super) async fn keep_earlier(
        &mut self,
        number: u64,
        file: &TakenFile,
    ) -> Result<(), ImportEnd> {
        if self.has_arrived || self.is_broken {
            return Ok(());
        }
        if self.has_room_for_earlier(number, file).await? {
            self.named.remember(file);
        } else {
            self.named.forget_shared_names(file);
        }
        Ok(())
    }

    /// Whether a file is kept for them, or there is room for what is known of one that is not stored beside records: documents are told
    /// that.
    async fn has_room_for_earlier(
        &mut self,
        number: u64,
        file: &TakenFile,
    ) -> Result<bool, ImportEnd> {
        let is_claimed = self.is_wanted(number, file) || self.promised.is_expected(file);
        if !self.named.has_room_behind(is_claimed) {
            return Ok(false);
        }
        if !self.named.has_storable(file) {
            return Ok(true);
        }
        let most = self.transfer.app.transfers.held_bytes;
        let most = if is_claimed { most / 2 } else { most };
        let head = [[FILE].as_slice(), &number.to_be_bytes()].concat();
        let kept = self.earlier.keep(&head, file, most).await;
        kept.map_err(|error| no_spool(&error))
    }

    /// Has the documents of the window that begins find those files.
    pub(super) async fn open_earlier(&mut self) -> Result<(), ImportEnd> {
        let opened = self.earlier.open().await;
        opened.map_err(|error| no_spool(&error))
    }

    /// What a file comes to that nobody in its window claims.
    pub(super) fn unclaimed(&mut self, number: u64, file: &TakenFile) -> Imported {
        if !self.has_arrived && !self.is_broken && self.earlier.tell_again(number, file) {
            Imported::Kept
        } else {
            Imported::Unclaimed
        }
    }

    /// Tells what became of the files that were kept, now that all has arrived, and forgets them.
    pub(super) async fn tell_kept(&mut self) -> Result<(), ImportEnd> {
        let kind = Some("Binary");
        for (number, is_claimed) in std::mem::take(&mut self.earlier).told() {
            let result = Ok(match (is_claimed, self.is_dry) {
                (true, true) => Imported::Attached(None),
                (true, false) => Imported::WithDocument,
                (false, _) => Imported::Unclaimed,
            });
            let line = report::line(number, kind, &result, EntryRemarks::default());
            self.say(&line).await?;
            self.totals.count(kind, &result);
        }
        Ok(())
    }
}
