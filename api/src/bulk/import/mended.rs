//! Documents of a window that become the next versions of records because more of their references lead somewhere: looked for once
//! all of the window has arrived, before anything of it is stored.

use super::{
    ImportEnd, ImportRun,
    held::{HeldEntries, import_context, no_spool, over},
    kept::HEAD,
};
use crate::{
    bulk::spool::{SpoolPlace, SpoolReader},
    records::import::{LONG_ENTRY, prepared::Prepared},
};

impl ImportRun {
    /// Reserves ids for these versions.
    pub(super) async fn mend(&mut self, held: &mut HeldEntries) -> Result<(), ImportEnd> {
        let Some(reader) = held.reader.clone() else {
            return Ok(());
        };
        for (number, at) in std::mem::take(&mut held.mendable) {
            self.keep_on().await?;
            let _room = if at.length > LONG_ENTRY {
                Some(self.room_for(2 * at.length).await?)
            } else {
                None
            };
            let mut prepared = read_again(&reader, at).await?;
            // Nothing is stored from there on.
            if self.claim(&mut prepared) {
                return Ok(());
            }
            let medications = self.medications_of(&prepared).await?;
            let context = import_context(&self.transfer, &self.import);
            let references = &mut self.references;
            let mended = references.mend(context, &prepared, &self.mentioned, medications);
            let mended = mended.await.map_err(|error| over(&error))?;
            held.mended.extend(mended.map(|id| (number, id)));
        }
        Ok(())
    }
}

/// A document that was put aside.
pub(super) async fn read_again(
    reader: &SpoolReader,
    at: SpoolPlace,
) -> Result<Prepared, ImportEnd> {
    let piece = reader.read(at).await.map_err(|error| no_spool(&error))?;
    let bytes = piece.get(HEAD..).unwrap_or_default();
    let (prepared, _) = Prepared::from_bytes(bytes).map_err(|error| over(&error))?;
    Ok(prepared)
}
