//! What is put aside until all of an upload has arrived, or as much of it as may be, because something in it refers to something else
//! in it.

use std::collections::HashMap;

use domain::ids::RecordId;
use futures::StreamExt as _;

use super::{
    ArrivedEntry, ImportEnd, ImportRun, Links, Outcome, ToldEntry, WINDOW, WINDOW_BYTES,
    kept::file_of,
};
use crate::{
    bulk::{
        Ending, Transfer,
        spool::{Spool, SpoolPlace, SpoolReader},
    },
    codes::ErrorCode,
    error::Error,
    records::import::{
        Drafted, Import, LONG_ENTRY,
        files::{TakenFile, hold},
        prepared::Prepared,
        references::ImportContext,
        report::{self, EntryRemarks, Imported},
    },
};

/// How many entries that are put aside are looked up together.
pub(super) const GROUP: usize = 64;
/// How many different files are put aside in a window.
const MAX_FILES_KEPT: usize = 1 << 16;

/// How many documents of a window are looked at again before it is stored. What comes after that becomes a next version all the same,
/// under an id that nothing in the window refers to.
const MAX_MENDABLE: usize = 200_000;

/// What is put aside: a window of the upload.
pub(super) struct HeldEntries {
    spool: Spool,
    /// What is looked up next, with what it refers to and is called.
    group: Vec<HeldEntry>,
    /// How long these are together. Unit: bytes.
    group_bytes: usize,
    /// In which entry each file came first, and where it is.
    pub(super) kept: HashMap<[u8; 32], (u64, SpoolPlace)>,
    /// Reads those once all has arrived.
    pub(super) reader: Option<SpoolReader>,
    /// The documents that may become the next versions of what is there, and where they are.
    pub(super) mendable: Vec<(u64, SpoolPlace)>,
    /// The ids that were reserved for those that do.
    pub(super) mended: HashMap<u64, RecordId>,
}

/// An entry that is put aside.
enum HeldEntry {
    Told(u64, Box<ToldEntry>),
    Document(u64, Box<Prepared>),
    File(u64, TakenFile),
}

/// What stands before what is put aside: whether it is a document or a file, and its number.
const TOLD: u8 = 0;
const DOCUMENT: u8 = 1;
pub(super) const FILE: u8 = 2;

impl HeldEntries {
    /// None yet.
    pub(super) async fn begin() -> Result<Self, ImportEnd> {
        Ok(Self {
            spool: Spool::create().await.map_err(|error| no_spool(&error))?,
            group: Vec::with_capacity(GROUP),
            group_bytes: 0,
            kept: HashMap::new(),
            reader: None,
            mendable: Vec::new(),
            mended: HashMap::new(),
        })
    }

    /// Whether so much is put aside that what comes is another window. The last entry may be beyond that.
    pub(super) fn is_full(&self, most: u64) -> bool {
        let length = self.spool.length() + self.group_bytes as u64;
        length >= most || self.kept.len() + self.group.len() >= MAX_FILES_KEPT
    }
}

impl ImportRun {
    /// Puts an entry aside, with those that are looked up together.
    pub(super) async fn put_aside(
        &mut self,
        held: &mut HeldEntries,
        arrived: ArrivedEntry,
    ) -> Result<(), ImportEnd> {
        let ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
            file,
            file_names,
        } = arrived;
        held.group_bytes += bytes;
        if let Some(file) = file {
            self.named.learn(&file_names, &file);
            self.keep_late(number, &file_names, &file).await?;
            held.group.push(HeldEntry::File(number, file));
            return self.look_up(held, GROUP).await;
        }
        let Transfer { app, caller, .. } = &self.transfer;
        let checked = drafted.and_then(|it| self.import.checked(app.drafting(), caller, it));
        let result = match checked {
            Ok(Drafted::Prepared(prepared)) => {
                held.group.push(HeldEntry::Document(number, prepared));
                return self.look_up(held, GROUP).await;
            }
            Ok(Drafted::Skipped) => Ok(Imported::skipped(kind)),
            Ok(Drafted::Deletion) => Ok(Imported::Deletion),
            // An archive is brought back as it is: nothing in it is put aside.
            Ok(Drafted::Restored(_)) => Err(Error::Internal),
            Err(error) => Err(error),
        };
        let told = ToldEntry {
            line: report::line(number, kind, &result, EntryRemarks::default()),
            kind: kind.map(str::to_owned),
            outcome: report::outcome_of(&result).to_owned(),
            reason: report::reason_of(&result),
        };
        held.group.push(HeldEntry::Told(number, Box::new(told)));
        self.look_up(held, GROUP).await
    }

    /// The same of a document that was stored before.
    pub(super) async fn hold_again(
        &mut self,
        held: &mut HeldEntries,
        number: u64,
        bytes: usize,
        prepared: Prepared,
    ) -> Result<(), ImportEnd> {
        held.group_bytes += bytes;
        let document = HeldEntry::Document(number, Box::new(prepared));
        held.group.push(document);
        self.look_up(held, GROUP).await
    }

    /// Reserves ids to what waits for that, where it is so many or so long, and puts it into the spool.
    pub(super) async fn look_up(
        &mut self,
        held: &mut HeldEntries,
        at_least: usize,
    ) -> Result<(), ImportEnd> {
        if held.group.len() < at_least && held.group_bytes < WINDOW_BYTES {
            return Ok(());
        }
        held.group_bytes = 0;
        let group = std::mem::take(&mut held.group);
        let waiting = group.iter().filter_map(|entry| match entry {
            HeldEntry::Document(_, prepared) => Some(&**prepared),
            HeldEntry::Told(..) | HeldEntry::File(..) => None,
        });
        let waiting: Vec<&Prepared> = waiting.collect();
        let context = import_context(&self.transfer, &self.import);
        let reserved = self.references.reserve(context, &waiting).await;
        let mut reserved = reserved
            .map_err(|error| ImportEnd::Over((&error).into()))?
            .into_iter();
        for entry in &group {
            let spool = &mut held.spool;
            let put = match entry {
                HeldEntry::Told(number, told) => {
                    let told = serde_json::to_vec(told).map_err(|_| over(&Error::Internal))?;
                    let place = number.to_be_bytes();
                    let parts = [[TOLD].as_slice(), &place, &told];
                    spool.put_parts(&parts).await
                }
                HeldEntry::Document(number, prepared) => {
                    let id = reserved.next().flatten();
                    let (beginning, document) =
                        prepared.to_parts(id).map_err(|error| over(&error))?;
                    let place = number.to_be_bytes();
                    let mut parts = vec![[DOCUMENT].as_slice(), &place, &beginning];
                    let files = prepared.files().iter();
                    parts.extend(files.map(|file| file.content.as_slice()));
                    parts.push(&document);
                    spool.put_parts(&parts).await
                }
                HeldEntry::File(number, file) => {
                    let place = number.to_be_bytes();
                    let (sha256, bytes) = (file.sha256.as_slice(), file.content.as_slice());
                    let parts = [[FILE].as_slice(), &place, sha256, bytes];
                    spool.put_parts(&parts).await
                }
            };
            let at = put.map_err(|error| no_spool(&error))?;
            match entry {
                HeldEntry::File(number, file) => {
                    held.kept.entry(file.sha256).or_insert((*number, at));
                }
                HeldEntry::Document(number, prepared)
                    if held.mendable.len() < MAX_MENDABLE && self.references.may_mend(prepared) =>
                {
                    held.mendable.push((*number, at));
                }
                HeldEntry::Document(..) | HeldEntry::Told(..) => {}
            }
        }
        Ok(())
    }

    /// Stores what was put aside, in its order, now that it is known what each of them will be.
    pub(super) async fn work_held(&mut self, mut held: HeldEntries) -> ImportEnd {
        if let Err(end) = self.look_up(&mut held, 1).await {
            return end;
        }
        match held.spool.reader().await {
            Ok(reader) => held.reader = Some(reader),
            Err(error) => return no_spool(&error),
        }
        if let Err(end) = self.mend(&mut held).await {
            return end;
        }
        if let Err(error) = held.spool.rewind().await {
            return no_spool(&error);
        }
        let mut is_left = true;
        loop {
            if self.window.is_empty()
                && let Some(later) = self.waiting.take()
            {
                self.store(later);
            }
            let has_room = is_left
                && self.waiting.is_none()
                && self.window.len() < WINDOW
                && self.window_bytes < WINDOW_BYTES;
            if has_room {
                match self.take_back(&mut held).await {
                    Ok(taken) => is_left = taken,
                    Err(end) => return end,
                }
                continue;
            }
            if self.window.is_empty() {
                return ImportEnd::Complete;
            }
            let done = tokio::select! {
                biased;
                over = self.transfer.over() => return ImportEnd::Over(over),
                () = self.output.disconnected() => return ImportEnd::Disconnected,
                done = self.window.next() => done,
            };
            if let Some(done) = done
                && let Err(end) = self.tell(done).await
            {
                return end;
            }
        }
    }

    /// Sends the next entry on its way that was put aside; whether there was one.
    async fn take_back(&mut self, held: &mut HeldEntries) -> Result<bool, ImportEnd> {
        let upcoming = held.spool.upcoming().await;
        let upcoming = upcoming.map_err(|error| no_spool(&error))?;
        // A document and its files are in memory twice when they are read.
        let room = match upcoming {
            Some(bytes) if bytes > LONG_ENTRY => Some(self.room_for(2 * bytes).await?),
            Some(_) | None => None,
        };
        let piece = held.spool.take().await.map_err(|error| no_spool(&error))?;
        let Some(piece) = piece else {
            return Ok(false);
        };
        let over = |error: Error| ImportEnd::Over((&error).into());
        let Some((&[tag, ref number @ ..], bytes)) = piece.split_first_chunk::<9>() else {
            return Err(over(Error::Internal));
        };
        let number = u64::from_be_bytes(*number);
        if tag == TOLD {
            let told = serde_json::from_slice(bytes).map_err(|_| over(Error::Internal))?;
            self.push(number, None, Links::default(), Outcome::Told(told));
            return Ok(true);
        }
        if tag == FILE {
            let length = bytes.len();
            let file = file_of(piece).ok_or_else(|| over(Error::Internal))?;
            let mut files = [file];
            drop(hold(&mut files, room));
            let [file] = files;
            // Which records promise it is known once they are stored.
            self.finish().await?;
            self.keep_earlier(number, &file).await?;
            self.attach(number, length, file);
            return Ok(true);
        }
        let length = bytes.len();
        let (mut prepared, reserved) = Prepared::from_bytes(bytes).map_err(over)?;
        let reserved = reserved.or_else(|| held.mended.get(&number).copied());
        if self.again.is_some() && reserved.is_none() && !self.has_late_files(number) {
            // What was told of it before is so: nobody is asked twice, and no row of the trail is written twice.
            return Ok(true);
        }
        let kept = Some(piece).filter(|_| self.may_be_completed(&prepared, number, length));
        drop(hold(prepared.files_mut(), room));
        if self.claim(&mut prepared) {
            return Ok(false);
        }
        let medications = self.medications_of(&prepared).await?;
        let context = import_context(&self.transfer, &self.import);
        let resolution = self.references.resolve(context, &prepared).await;
        let mut resolution = resolution.map_err(over)?;
        let source = self.import.source.as_deref();
        resolution.complete(&prepared, source, &self.mentioned, medications);
        let unresolved = resolution.unresolved();
        let is_again = match kept {
            Some(piece) => self.keep_lacking(number, &piece, unresolved).await?,
            None => false,
        };
        self.lack_files(&prepared, is_again);
        let kind = prepared.kind();
        let mut drafted = self.draft(prepared, reserved, &resolution);
        if let Ok((_, links)) = &mut drafted {
            self.take_kept(held, number, links);
        }
        if let (Err(_), Some(id)) = (&drafted, reserved) {
            self.totals.lose(self.references.lose(id));
        }
        self.send(number, kind, length, drafted);
        Ok(true)
    }
}

/// By whom and by what references are asked for.
pub(super) fn import_context<'a>(transfer: &'a Transfer, import: &'a Import) -> ImportContext<'a> {
    let Transfer { app, caller, .. } = transfer;
    ImportContext {
        pool: &app.pool,
        drafting: app.drafting(),
        caller,
        import,
    }
}

/// How an import ends that meets this error.
pub(super) fn over(error: &Error) -> ImportEnd {
    ImportEnd::Over(error.into())
}

/// How an import ends that cannot put aside what it has to.
pub(super) fn no_spool(error: &std::io::Error) -> ImportEnd {
    tracing::error!(%error, "What an import refers to could not be put aside");
    let refusal = "there is no room to put aside what refers to each other: try again later";
    ImportEnd::Over(Ending::new(ErrorCode::Unavailable, refusal))
}
