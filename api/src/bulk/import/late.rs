//! Files that come in a later window than documents that name them by their addresses: kept until all of the upload has arrived, for
//! the next versions of the records of those documents that are looked at again (`lacking`).

use fhir::Issue;

use super::{
    ImportEnd, ImportRun,
    held::{FILE, no_spool},
};
use crate::records::import::{
    files::TakenFile,
    named::{ambiguous, too_late},
    prepared::Prepared,
};

impl ImportRun {
    /// Learns what a document looks for that has not come with its window, and whether it is looked at again.
    pub(super) fn lack_files(&mut self, prepared: &Prepared, is_again: bool) {
        if !self.has_arrived {
            let source = self.import.source.as_deref();
            self.named.lack(prepared, source, is_again);
        }
    }

    /// Keeps a file that a document of an earlier window looks for.
    pub(super) async fn keep_late(
        &mut self,
        number: u64,
        names: &[String],
        file: &TakenFile,
    ) -> Result<(), ImportEnd> {
        let names = self.named.awaited_of(names);
        if names.is_empty() {
            return Ok(());
        }
        let most = self.transfer.app.transfers.held_bytes;
        let head = [[FILE].as_slice(), &number.to_be_bytes()].concat();
        let of_file = (file, self.named.has_storable(file));
        let placed = (number, head.as_slice());
        let kept = self.late.keep(placed, &names, of_file, most);
        kept.await.map_err(|error| no_spool(&error))
    }

    /// What there is to say of a file that a document of an earlier window names, and does not get.
    pub(super) fn notes_of(&self, file: &TakenFile) -> Vec<Issue> {
        let is_awaited = self.named.is_awaited(file);
        if is_awaited && self.late.named.is_ambiguous(file) {
            return vec![ambiguous()];
        }
        let is_left_out = is_awaited && !self.late.named.has(file);
        let is_too_late = is_left_out || self.named.is_missed(file);
        is_too_late.then(too_late).into_iter().collect()
    }

    /// Has the documents that are looked at again find these files.
    pub(super) async fn find_late(&mut self) -> Result<(), ImportEnd> {
        let named = self.late.look_at().await;
        self.named = named.map_err(|error| no_spool(&error))?;
        Ok(())
    }

    /// Whether a document that is looked at again names a file that has come. It is sent to the writer also where it is no version: the
    /// record may promise the file and lack it, and what it does not get is told.
    pub(super) fn has_late_files(&self, number: u64) -> bool {
        let again = self.again.as_ref().and_then(|again| again.get(&number));
        again.is_some_and(|it| it.has_files)
    }
}
