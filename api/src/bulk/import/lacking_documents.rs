//! Documents that name a drug or a file of which no `Medication` or `Binary` has come by then, sealed like all that is put aside.

use std::io;

use crate::bulk::spool::{Spool, SpoolPlace};

/// How many of them are kept.
const MAX_KEPT: usize = 1 << 16;

/// The documents that are kept.
pub(super) struct LackingDocuments {
    pub(super) spool: Spool,
    pub(super) documents: Vec<LackingDocument>,
}

/// One of them.
pub(super) struct LackingDocument {
    pub(super) number: u64,
    pub(super) at: SpoolPlace,
    /// How many of its references were told to mean nothing.
    pub(super) unresolved: u64,
}

/// One that is looked at again.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompletedDocument {
    /// How many of its references were told to mean nothing.
    pub(super) unresolved: u64,
    /// Whether a file has come that it names.
    pub(super) has_files: bool,
}

impl LackingDocuments {
    /// None yet.
    pub(super) async fn begin() -> io::Result<Self> {
        Ok(Self {
            spool: Spool::create().await?,
            documents: Vec::new(),
        })
    }

    /// Keeps one, unless there are as many as may be, or as long; whether it is kept. Unit of `most`: bytes.
    pub(super) async fn keep(
        &mut self,
        number: u64,
        piece: &[u8],
        unresolved: u64,
        most: u64,
    ) -> io::Result<bool> {
        if self.spool.length() >= most || self.documents.len() >= MAX_KEPT {
            return Ok(false);
        }
        let at = self.spool.put(piece).await?;
        self.documents.push(LackingDocument {
            number,
            at,
            unresolved,
        });
        Ok(true)
    }

    /// Forgets the one of this entry. They are in the order of their numbers.
    pub(super) fn forget(&mut self, number: u64) {
        let found = self.documents.binary_search_by_key(&number, |it| it.number);
        if let Ok(nth) = found {
            self.documents.remove(nth);
        }
    }
}
