//! Files of an import beside the records of their documents: stored behind the record, and before the entry is reported.

use std::time::Duration;

use super::{
    TRIES,
    files::{self, FilesStored, TakenFile},
    report::Imported,
    store,
};
use crate::{
    caller::Caller,
    dependencies::{Drafting, FileWriting},
    error::Error,
    records::{
        attachments::AttachmentRequest,
        draft::{Draft, SourceAnswer},
        writer::Writer,
    },
};

/// Stores a draft as [`store`] does, and then the files that were taken out of its document.
///
/// # Errors
/// As of [`store`]; what ends an import, where the record is there and its files are not: sent again, they are.
pub(crate) async fn store_with_files(
    writer: &Writer,
    drafting: Drafting<'_>,
    writing: FileWriting<'_>,
    draft: Draft,
    taken: &[TakenFile],
) -> (Result<Imported, Error>, FilesStored) {
    let placed = files::placed(&draft.canonical, taken);
    let caller = draft.caller.clone();
    let result = store(writer, drafting, draft).await;
    let mut told = FilesStored::default();
    let (record, purpose) = match &result {
        Ok(Imported::Stored(stored) | Imported::Amended(stored))
            if stored.source != Some(SourceAnswer::Outdated) =>
        {
            (stored.record.id, stored.purpose)
        }
        Ok(_) | Err(_) => return (result, told),
    };
    for (place, file) in placed {
        let asked = AttachmentRequest {
            record,
            place,
            purpose: Some(purpose),
        };
        let stored = match writing.charge(&caller, &file).await {
            Ok(()) => writing.store(&caller, asked, &file).await,
            over => over,
        };
        match stored {
            Ok(()) => told.stored += 1,
            Err(Error::NotFound(_) | Error::Document(_) | Error::Conflict { .. }) => {
                told.refused += 1;
            }
            Err(error) => return (Err(error), told),
        }
    }
    (result, told)
}

/// Stores a file that came behind the documents that promise it, in all of their places.
///
/// # Errors
/// Why it is in none of them; what ends an import.
pub(crate) async fn store_behind(
    writing: FileWriting<'_>,
    caller: &Caller,
    places: Vec<AttachmentRequest>,
    file: &TakenFile,
) -> (Result<Imported, Error>, FilesStored) {
    let mut told = FilesStored::default();
    let mut result = Ok(Imported::Skipped);
    for asked in places {
        let stored = match writing.charge(caller, file).await {
            Ok(()) => writing.store(caller, asked, file).await,
            over @ Err(_) => over,
        };
        match stored {
            Ok(()) => {
                if told.stored == 0 {
                    result = Ok(Imported::Attached(Some(asked.record)));
                }
                told.stored += 1;
            }
            Err(error @ (Error::NotFound(_) | Error::Document(_) | Error::Conflict { .. })) => {
                told.refused += 1;
                if told.stored == 0 {
                    result = Err(error);
                }
            }
            Err(error) => return (Err(error), told),
        }
    }
    (result, told)
}

impl FileWriting<'_> {
    /// Charges an account a file that it has sent.
    async fn charge(self, caller: &Caller, file: &TakenFile) -> Result<(), Error> {
        let bytes = file.content.len() as u64;
        self.uploads.charge(caller.user, bytes).await
    }

    /// Stores a file, again where the database is busy.
    async fn store(
        self,
        caller: &Caller,
        asked: AttachmentRequest,
        file: &TakenFile,
    ) -> Result<(), Error> {
        let (disclosure, decryption) = (self.disclosure, self.decryption);
        for _ in 1..TRIES {
            match files::store(disclosure, decryption, caller, asked, file).await {
                Err(Error::Busy {
                    retry_after_seconds,
                    ..
                }) => tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await,
                answer => return answer,
            }
        }
        files::store(disclosure, decryption, caller, asked, file).await
    }
}
