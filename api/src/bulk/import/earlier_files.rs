//! Files of windows that are stored already, for documents of later ones, sealed like all that is put aside.

use std::{collections::HashMap, io};

use crate::{
    bulk::spool::{Spool, SpoolPlace, SpoolReader},
    records::import::files::TakenFile,
};

/// How many entries have another line when all has arrived.
const MAX_TOLD: usize = 1 << 16;

/// The files that are kept for documents of later windows.
#[derive(Debug, Default)]
pub(super) struct EarlierFiles {
    spool: Option<Spool>,
    files: HashMap<[u8; 32], EarlierFile>,
    /// Reads those of the windows before this one.
    reader: Option<SpoolReader>,
    /// The entries that were told to be kept, and their files.
    told: Vec<(u64, [u8; 32])>,
}

/// One of them.
#[derive(Debug)]
struct EarlierFile {
    at: SpoolPlace,
    /// The last document of a later window that promises it.
    last_claim: Option<u64>,
}

impl EarlierFiles {
    /// Keeps one, behind this head, unless they are as long as may be; whether it is kept. Unit of `most`: bytes.
    pub(super) async fn keep(
        &mut self,
        head: &[u8],
        file: &TakenFile,
        most: u64,
    ) -> io::Result<bool> {
        if self.has(file) {
            return Ok(true);
        }
        if self.spool.is_none() {
            self.spool = Some(Spool::create().await?);
        }
        let spool = self.spool.as_mut();
        let Some(spool) = spool.filter(|spool| spool.length() < most) else {
            return Ok(false);
        };
        let parts = [head, file.sha256.as_slice(), file.content.as_slice()];
        let at = spool.put_parts(&parts).await?;
        let kept = EarlierFile {
            at,
            last_claim: None,
        };
        self.files.insert(file.sha256, kept);
        Ok(true)
    }

    /// Whether this one is kept.
    fn has(&self, file: &TakenFile) -> bool {
        self.files.contains_key(&file.sha256)
    }

    /// Has the documents of the window that begins find those that are kept.
    pub(super) async fn open(&mut self) -> io::Result<()> {
        if let Some(spool) = &mut self.spool {
            self.reader = Some(spool.reader().await?);
        }
        Ok(())
    }

    /// Where the file is that the document of this entry promises, if it is kept.
    pub(super) fn claim(
        &mut self,
        sha256: &[u8; 32],
        number: u64,
    ) -> Option<(SpoolReader, SpoolPlace)> {
        let reader = self.reader.clone()?;
        let file = self.files.get_mut(sha256)?;
        file.last_claim = Some(number);
        Some((reader, file.at))
    }

    /// Whether the entry of a file has another line when all has arrived.
    pub(super) fn tell_again(&mut self, number: u64, file: &TakenFile) -> bool {
        let is_told = self.has(file) && self.told.len() < MAX_TOLD;
        if is_told {
            self.told.push((number, file.sha256));
        }
        is_told
    }

    /// The entries that have another line, in their order, and whether a document behind each promises its file.
    pub(super) fn told(self) -> impl Iterator<Item = (u64, bool)> {
        let Self { files, told, .. } = self;
        told.into_iter().map(move |(number, sha256)| {
            let last_claim = files.get(&sha256).and_then(|file| file.last_claim);
            (number, last_claim.is_some_and(|claim| claim > number))
        })
    }
}
