//! Files that came before the documents that promise them, in their window or an earlier one: read from where they were put aside,
//! one after the other, once the record is there, and stored beside it before its entry is reported.

use tokio::sync::Semaphore;
use vault::row::Content;

use super::{FilesOutcome, ImportRun, Links, held::HeldEntries};
use crate::{
    bulk::spool::{SpoolPlace, SpoolReader},
    caller::Caller,
    dependencies::FileWriting,
    error::Error,
    long_entries::LongEntries,
    records::{
        attachments::AttachmentRequest,
        draft::SourceAnswer,
        import::{
            file_writing::store_behind, files::TakenFile, prepared::Prepared, report::Imported,
        },
    },
};

/// How many of them are stored at once, by all imports of this process: each takes a connection to the database.
static KEPT_AT_ONCE: Semaphore = Semaphore::const_new(4);
/// How long what stands before a piece that is put aside is: what it is, and the number of its entry. Unit: bytes.
pub(super) const HEAD: usize = 9;

/// Files that a document promises and that came before it.
#[derive(Debug)]
pub(super) struct KeptFiles {
    /// Where there is room for them in memory.
    room: LongEntries,
    files: Vec<KeptFile>,
}

/// One of them.
#[derive(Debug)]
struct KeptFile {
    /// Its place in the document, from 1.
    place: u32,
    reader: SpoolReader,
    at: SpoolPlace,
}

impl KeptFiles {
    /// Stores them beside the record that the document has become.
    pub(super) async fn store(
        self,
        writing: FileWriting<'_>,
        caller: &Caller,
        (mut result, mut told): FilesOutcome,
    ) -> FilesOutcome {
        let (record, purpose) = match &result {
            Ok(Imported::Stored(stored) | Imported::Amended(stored))
                if stored.source != Some(SourceAnswer::Outdated) =>
            {
                (stored.record.id, stored.purpose)
            }
            Ok(_) | Err(_) => return (result, told),
        };
        for KeptFile { place, reader, at } in self.files {
            // In this order: nobody who has room waits for a turn.
            let _turn = KEPT_AT_ONCE.acquire().await;
            let _room = self.room.take(at.length).await;
            let piece = reader.read(at).await;
            let Some(file) = piece.ok().and_then(file_of) else {
                result = Err(Error::Internal);
                break;
            };
            let asked = AttachmentRequest {
                record,
                place,
                purpose: Some(purpose),
            };
            let (stored, files) = store_behind(writing, caller, vec![asked], &file).await;
            told.stored += files.stored;
            told.refused += files.refused;
            // What ends an import is not counted as refused.
            if let (Err(error), 0) = (stored, files.refused) {
                result = Err(error);
                break;
            }
        }
        (result, told)
    }
}

impl ImportRun {
    /// Has a document promise the files that it names by their addresses; whether one of them may be in what did not arrive.
    pub(super) fn claim(&mut self, prepared: &mut Prepared) -> bool {
        let source = self.import.source.as_deref();
        if self.is_broken && self.named.lacks(prepared, source) {
            return true;
        }
        for sha256 in self.named.claim(prepared, source) {
            self.promised.expect(sha256);
        }
        false
    }

    /// Takes those of the promised files that came before their document, which is this entry, or is looked at again, from where they
    /// were put aside.
    pub(super) fn take_kept(&mut self, held: &HeldEntries, number: u64, links: &mut Links) {
        let mut files = Vec::new();
        let (late, earlier) = (&self.late, &mut self.earlier);
        // What a document that is looked at again promises came in a later window.
        let is_again = self.again.is_some();
        links.promised.retain(|file| {
            let sha256 = &file.sha256;
            // Also where its window has the same file: what became of the earlier one is told by its last document.
            let before = earlier.claim(sha256, number);
            let found = match held.kept.get(sha256) {
                _ if is_again => {
                    let at = late.kept.get(sha256).map(|(_, at)| *at);
                    late.reader.clone().zip(at)
                }
                Some((first, at)) if *first < number => held.reader.clone().zip(Some(*at)),
                // Its window has it behind the document, or not at all.
                Some(_) | None => before,
            };
            let Some((reader, at)) = found else {
                return true;
            };
            files.push(KeptFile {
                place: file.place,
                reader,
                at,
            });
            false
        });
        // What was reported before has its files.
        if number >= self.from && !files.is_empty() {
            links.kept = Some(KeptFiles {
                room: self.transfer.app.transfers.long_entries.clone(),
                files,
            });
        }
    }
}

/// The file that was put aside, in its own place: behind its head its SHA-256 stands, and what is in it.
pub(super) fn file_of(mut piece: Content) -> Option<TakenFile> {
    let (sha256, _) = piece.get(HEAD..)?.split_first_chunk::<32>()?;
    let sha256 = *sha256;
    piece.drain(..HEAD + sha256.len());
    Some(TakenFile::new(piece, sha256))
}
