//! Files that come in a later window than documents that name them by their addresses, sealed like all that is put aside.

use std::{collections::HashMap, io};

use crate::{
    bulk::spool::{Spool, SpoolPlace, SpoolReader},
    records::import::{files::TakenFile, named::NamedFiles},
};

/// The files that are kept for such documents.
#[derive(Debug, Default)]
pub(super) struct LateFiles {
    spool: Option<Spool>,
    /// In which entry each of them came first, and where it is.
    pub(super) kept: HashMap<[u8; 32], (u64, SpoolPlace)>,
    /// What is known of them, and of those that are not stored beside records.
    pub(super) named: NamedFiles,
    /// Reads them once all has arrived.
    pub(super) reader: Option<SpoolReader>,
}

impl LateFiles {
    /// Keeps one, behind this head, unless there are as many as may be, or as long; of one that is not `storable` what is known. Unit of
    /// `most`: bytes.
    pub(super) async fn keep(
        &mut self,
        (number, head): (u64, &[u8]),
        names: &[String],
        (file, is_storable): (&TakenFile, bool),
        most: u64,
    ) -> io::Result<()> {
        if !self.named.has_room() {
            return Ok(());
        }
        if is_storable && !self.kept.contains_key(&file.sha256) {
            if self.spool.is_none() {
                self.spool = Some(Spool::create().await?);
            }
            let spool = self.spool.as_mut();
            let Some(spool) = spool.filter(|spool| spool.length() < most) else {
                return Ok(());
            };
            let parts = [head, file.sha256.as_slice(), file.content.as_slice()];
            let at = spool.put_parts(&parts).await?;
            self.kept.insert(file.sha256, (number, at));
        }
        self.named.learn(names, file);
        Ok(())
    }

    /// Begins to read them; gives what is known of them.
    pub(super) async fn look_at(&mut self) -> io::Result<NamedFiles> {
        if let Some(spool) = &mut self.spool {
            self.reader = Some(spool.reader().await?);
        }
        Ok(std::mem::take(&mut self.named))
    }
}
