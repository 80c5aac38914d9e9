//! `POST /import`: NDJSON or a `Bundle`, read as it arrives, a line of report for each entry in its order; behind those another one
//! for each file that was kept for documents of later windows (`earlier`), and for each document whose `Medication` or file came in a
//! later window (`lacking`, `late`).
//!
//! A broken entry stops no other. A connection that breaks loses nothing that was reported: the client
//! sends the same again, or goes on `from` where it was told. At most [`WINDOW`] entries and
//! [`WINDOW_BYTES`] of them are on their way at a time, then nothing more is read.
//!
//! From the first document on that refers to another one, everything is put aside (`spool`) until all of the
//! upload has arrived: only then is it known what the others are. So it is from the first document on that names a file by its
//! address, and from the first file on that no document before it promises. Where so much is put aside as is set, that window is
//! stored, and what comes is the next one.

mod dry;
mod earlier;
mod earlier_files;
mod held;
mod kept;
mod lacking;
mod lacking_documents;
mod late;
mod late_files;
mod medications;
mod mended;
mod parameters;
mod passed;
mod promised;
mod report_body;
mod source;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::{
    ids::{RecordId, UserId},
    records::RecordType,
    sources::SourceToken,
};
use fhir::upload::Cut;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Interval;
use tracing::Instrument as _;

use self::{
    earlier_files::EarlierFiles,
    held::HeldEntries,
    kept::KeptFiles,
    lacking_documents::{CompletedDocument, LackingDocuments},
    late_files::LateFiles,
    parameters::{ImportAsked, ImportFormat, asked, form},
    report_body::{ReportBody, ReportEnd},
    source::{ArrivedCut, Source, SpooledEntry, not_aside},
};
use super::{
    Disconnected, Ending, ResponseBody, Transfer, TransferRefused, drain,
    spool::{Spool, SpoolPlace},
    transfer_request::TransferRequest,
};
use crate::{
    audit::promise::PromisedParts,
    error::Error,
    long_entries::LongRoom,
    records::{
        draft::Draft,
        import::{
            Drafted, Entry, Import, LONG_ENTRY, MAX_AROUND_FILES, MAX_BYTES,
            file_writing::store_with_files,
            files::{AwaitedFile, FilesStored, TakenFile, hold, promised_others},
            foresee::PlannedRecords,
            interrupts,
            mentioned::MentionedEntries,
            named::NamedFiles,
            prepared::Prepared,
            promised::PromisedFiles,
            recalled::PassedDocument,
            references::{Learned, References},
            report::{self, EntryRemarks, Imported, Totals},
            resolution::Resolution,
        },
    },
    wire::UNBUFFERED,
};

/// How many entries are on their way at once: as many as the writer takes into one transaction.
const WINDOW: usize = 64;
/// How long they are together, after which no other one is read. Unit: bytes.
const WINDOW_BYTES: usize = 2 << 20;
/// How often something is said while entries are put aside: a blank line.
const BEAT: Duration = Duration::from_secs(10);

/// Answers an upload while it arrives.
pub(crate) async fn answer(request: TransferRequest, body: Body) -> Response {
    let asking = request.clone();
    let begun = async move {
        let mut transfer = Transfer::begin(&asking, |room| &room.imports).await?;
        let form = form(&asking.headers)?;
        let asked = asked(asking.query.as_deref(), &asking.headers, &transfer)?;
        // Whether they may act for this patient is decided with each record, as it is where they act for themselves.
        transfer.caller = transfer.caller.clone().acting_for(asked.represented)?;
        Ok::<_, TransferRefused>((transfer, form, asked))
    };
    match request.finish(begun).await {
        Ok((transfer, (form, compression), asked)) => {
            let ImportAsked {
                import,
                from,
                is_dry,
                ..
            } = asked;
            let (output, answer) = ResponseBody::new();
            let (output, begun) = if request.is_by_proxy {
                let (output, begun) = ReportBody::delayed(output);
                (output, Some(begun))
            } else {
                (ReportBody::at_once(output), None)
            };
            let run = ImportRun {
                transfer,
                import,
                is_dry,
                planned: Arc::default(),
                form,
                from,
                source: Source::new(body, form, compression),
                asked: HashMap::new(),
                read: 0,
                reported: from - 1,
                window: FuturesOrdered::new(),
                window_bytes: 0,
                waiting: None,
                under_way: HashSet::new(),
                passed: Vec::new(),
                references: References::default(),
                promised: PromisedFiles::default(),
                named: NamedFiles::default(),
                mentioned: MentionedEntries::default(),
                medications: None,
                lacking: None,
                late: LateFiles::default(),
                earlier: EarlierFiles::default(),
                again: None,
                has_arrived: false,
                is_broken: false,
                held: None,
                beat: tokio::time::interval(BEAT),
                totals: Totals::default(),
                output,
            };
            tokio::spawn(run.run().in_current_span());
            if let Some(begun) = begun {
                // Or it has ended without a report.
                begun.await.ok();
            }
            let ndjson = HeaderValue::from_static("application/x-ndjson");
            let kind = [(header::CONTENT_TYPE, ndjson)];
            (UNBUFFERED, kind, answer).into_response()
        }
        Err(refused) => {
            drain(body).await;
            request.refuse(&refused).await
        }
    }
}

/// What an entry came to, and its files.
type FilesOutcome = (Result<Imported, Error>, FilesStored);

/// What an entry is refused for, as long as the import lasts: records of this patient and type.
type Target = (UserId, RecordType);

/// What an entry that may become a record is to the others.
#[derive(Debug, Default)]
struct Links {
    /// What others refer to it by.
    names: Vec<String>,
    /// The document of a source that it is, of its patient.
    source: Option<(UserId, SourceToken)>,
    /// The id that was reserved to others.
    reserved: Option<RecordId>,
    /// How many of its references name records.
    resolved: u64,
    /// How many name nothing that is stored.
    unresolved: u64,
    /// What there is to say of its profiles, and of files that are not waited for.
    notes: Vec<fhir::Issue>,
    /// The files that were taken out of it, until they are stored.
    files: Vec<TakenFile>,
    /// What became of them.
    files_stored: FilesStored,
    /// The files that it promises and that did not come in it.
    promised: Vec<AwaitedFile>,
    /// Those of them that came before it.
    kept: Option<KeptFiles>,
}

impl Links {
    /// The same where nobody stores its files: others may have their room.
    fn without_files(self) -> Self {
        Self {
            files: Vec::new(),
            kept: None,
            ..self
        }
    }
}

/// What an entry has come to.
enum Outcome {
    /// This.
    Came(Result<Imported, Error>),
    /// What was known before it was put aside.
    Told(Box<ToldEntry>),
}

/// What is known of an entry that nobody has to be asked about, as it is put aside.
#[derive(Debug, Serialize, Deserialize)]
struct ToldEntry {
    line: Value,
    kind: Option<String>,
    outcome: String,
    reason: Option<String>,
}

/// An entry that is told in its turn.
struct QueuedEntry {
    number: u64,
    /// The kind of resource that it is, if R4 has it.
    kind: Option<&'static str>,
    /// What it was to be; `None` where nobody was asked.
    target: Option<Target>,
    bytes: usize,
    links: Links,
}

/// One that has come to something.
struct Done {
    entry: QueuedEntry,
    outcome: Outcome,
}

/// One that waits for those before it.
struct Later {
    entry: QueuedEntry,
    draft: Draft,
}

/// An entry as it has arrived.
struct ArrivedEntry {
    number: u64,
    kind: Option<&'static str>,
    bytes: usize,
    drafted: Result<Drafted, Error>,
    /// The file that it is, if it is one.
    file: Option<TakenFile>,
    /// What documents call that.
    file_names: Vec<String>,
}

/// Whether records of a kind may be written for a patient, as the first of them found.
enum PatientCheck {
    Permitted,
    /// And how many more were refused for it without asking again.
    Refused(u64),
}

/// How an import ends.
enum ImportEnd {
    Complete,
    Over(Ending),
    Disconnected,
}

impl From<Disconnected> for ImportEnd {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

impl From<ReportEnd> for ImportEnd {
    fn from(end: ReportEnd) -> Self {
        match end {
            ReportEnd::Disconnected => Self::Disconnected,
            ReportEnd::Over(over) => Self::Over(over),
        }
    }
}

/// One import.
struct ImportRun {
    transfer: Transfer,
    import: Import,
    /// Whether nothing is stored.
    is_dry: bool,
    /// What would be stored then.
    planned: Arc<PlannedRecords>,
    form: ImportFormat,
    from: u64,
    source: Source,
    /// The number of the entry that was read last.
    read: u64,
    /// The number of the entry that was reported last.
    reported: u64,
    window: FuturesOrdered<BoxFuture<'static, Done>>,
    window_bytes: usize,
    waiting: Option<Later>,
    /// The documents of sources that are on their way: of two versions the first is stored first.
    under_way: HashSet<(UserId, SourceToken)>,
    /// The documents that were passed over, until it is known what they have become.
    passed: Vec<PassedDocument>,
    /// What the entries refer to.
    references: References,
    /// What files they promise that are not in them.
    promised: PromisedFiles,
    /// What files have come, and which of them documents name by their addresses.
    named: NamedFiles,
    /// What documents may refer to that no record is made of.
    mentioned: MentionedEntries<SpoolPlace>,
    /// The medications among that, from the first one on.
    medications: Option<Spool>,
    /// The documents that lack a medication or a file which may come in a later window.
    lacking: Option<LackingDocuments>,
    /// The files that come in a later window than such a document.
    late: LateFiles,
    /// The files of earlier windows.
    earlier: EarlierFiles,
    /// The documents that are looked at again, by the numbers of their entries.
    again: Option<HashMap<u64, CompletedDocument>>,
    /// Whether all has arrived.
    has_arrived: bool,
    /// Whether no more arrives, though that was not all.
    is_broken: bool,
    /// What is put aside, from the first entry on that refers to another.
    held: Option<HeldEntries>,
    beat: Interval,
    /// What the first entry of each kind came to; `None` while it is on its way.
    asked: HashMap<Target, Option<PatientCheck>>,
    totals: Totals,
    output: ReportBody,
}

impl ImportRun {
    async fn run(mut self) {
        let end = self.work().await;
        self.write_down().await;
        let interrupted = match &end {
            ImportEnd::Complete => None,
            ImportEnd::Over(over) => Some((over.code, over.message.as_str())),
            ImportEnd::Disconnected => return,
        };
        let mut line = report::end(&self.totals, self.reported, interrupted);
        if self.output.begin().await.is_ok() && self.promise(&mut line).await.is_ok() {
            self.output.write(in_line(&line)).await.ok();
        }
    }

    /// Promises all rows of the audit trail that were written, where the caller wants to know: in the last line, and, where there
    /// are too many for one, in lines of their own before it.
    async fn promise(&mut self, last: &mut Value) -> Result<(), ReportEnd> {
        if !self.transfer.wants_promises {
            return Ok(());
        }
        let Transfer { app, caller, .. } = &self.transfer;
        let mut parts = PromisedParts::of(caller.origin.request);
        loop {
            let promised = parts.next(&app.pool, app.promise_sealing()).await;
            if parts.is_over() {
                last["audit"] = promised;
                return Ok(());
            }
            let line = json!({ "audit": promised });
            self.output.write(in_line(&line)).await?;
        }
    }

    async fn work(&mut self) -> ImportEnd {
        let mut is_arriving = true;
        loop {
            if self.window.is_empty()
                && let Some(later) = self.waiting.take()
            {
                self.store(later);
            }
            if !is_arriving && self.window.is_empty() {
                self.has_arrived = true;
                return match self.finish_last().await {
                    Ok(()) => self.work_lacking().await,
                    Err(end) => end,
                };
            }
            let has_room = is_arriving
                && self.waiting.is_none()
                && self.window.len() < WINDOW
                && self.window_bytes < WINDOW_BYTES;
            tokio::select! {
                biased;
                over = self.transfer.over() => return ImportEnd::Over(over),
                () = self.output.disconnected() => return ImportEnd::Disconnected,
                Some(done) = self.window.next(), if !self.window.is_empty() => {
                    if let Err(end) = self.tell(done).await {
                        return end;
                    }
                }
                _ = self.beat.tick(), if self.held.is_some() => {
                    if let Err(end) = self.output.beat().await {
                        return end.into();
                    }
                }
                cut = self.source.next(), if has_room => match cut {
                    Ok(Some(cut)) => {
                        if let Err(end) = self.arrive(cut).await {
                            return end;
                        }
                    }
                    Ok(None) => {
                        is_arriving = false;
                        if let Err(end) = self.output.begin().await {
                            return end.into();
                        }
                    }
                    Err(over) => {
                        // What came before the break is finished and told.
                        self.is_broken = true;
                        return self.finish_all().await.err().unwrap_or(ImportEnd::Over(over));
                    }
                },
            }
        }
    }

    /// Waits for what is on its way, and tells it.
    async fn finish(&mut self) -> Result<(), ImportEnd> {
        loop {
            if self.window.is_empty() {
                let Some(later) = self.waiting.take() else {
                    return Ok(());
                };
                self.store(later);
            }
            let done = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(ImportEnd::Over(over)),
                done = self.window.next() => done,
            };
            if let Some(done) = done {
                self.tell(done).await?;
            }
        }
    }

    /// The same, and stores what was put aside.
    async fn finish_all(&mut self) -> Result<(), ImportEnd> {
        self.finish().await?;
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        match self.work_held(held).await {
            ImportEnd::Complete => Ok(()),
            end => Err(end),
        }
    }

    /// The same of the last window, and tells what became of files that were kept for it.
    async fn finish_last(&mut self) -> Result<(), ImportEnd> {
        self.finish_all().await?;
        self.tell_kept().await
    }

    /// Says from time to time that it goes on, and whether it may, while nothing is stored that could be told.
    async fn keep_on(&mut self) -> Result<(), ImportEnd> {
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(ImportEnd::Over(over)),
            () = self.output.disconnected() => Err(ImportEnd::Disconnected),
            _ = self.beat.tick() => self.output.beat().await.map_err(Into::into),
            () = std::future::ready(()) => Ok(()),
        }
    }

    /// Stores what is put aside where that is as much as may be: what comes is the next window.
    async fn begin_window(&mut self) -> Result<(), ImportEnd> {
        let most = self.transfer.app.transfers.held_bytes;
        let is_full =
            |held: &HeldEntries| held.is_full(most) || (!self.is_dry && self.references.are_many());
        if !self.held.as_ref().is_some_and(is_full) {
            return Ok(());
        }
        self.finish_all().await?;
        // What would be stored is not found by its source.
        if !self.is_dry {
            self.references.begin_window();
        }
        self.named.clear();
        self.open_earlier().await?;
        self.held = Some(HeldEntries::begin().await?);
        Ok(())
    }

    /// Sends an entry on its way, or puts it aside.
    async fn arrive(&mut self, cut: ArrivedCut) -> Result<(), ImportEnd> {
        // Before a long entry takes room: what is put aside takes some, too.
        self.begin_window().await?;
        let (cut, room) = match cut {
            ArrivedCut::Whole(cut) => (cut, None),
            ArrivedCut::Long(aside) => {
                let (entry, room) = self.bring_back(aside).await?;
                (Cut::Entry(entry), Some(room))
            }
        };
        let is_long = room.is_some();
        let Some(arrived) = self.take(cut, room).await? else {
            return Ok(());
        };
        let refers = match (&arrived.file, &arrived.drafted) {
            // A document behind it may look for it.
            (Some(file), _) => !self.promised.is_expected(file),
            (None, Ok(Drafted::Prepared(prepared))) => {
                prepared.refers_to_others() || prepared.names_files()
            }
            (None, _) => false,
        };
        if refers && self.held.is_none() {
            // What those before it have become is known once they are stored.
            self.finish().await?;
            self.beat.reset();
            self.held = Some(HeldEntries::begin().await?);
        }
        match self.held.take() {
            None => {
                if let Some(file) = arrived.file {
                    // Which records promise it is known once they are stored.
                    self.finish().await?;
                    self.attach(arrived.number, arrived.bytes, file);
                } else {
                    self.pass_on(arrived);
                }
                Ok(())
            }
            Some(mut held) => {
                let mut put = self.put_aside(&mut held, arrived).await;
                if is_long && put.is_ok() {
                    // Nothing long waits in memory for others.
                    put = self.look_up(&mut held, 1).await;
                }
                self.held = Some(held);
                put
            }
        }
    }

    /// Waits until there is room for a long entry in memory, and for its files; this import holds nothing of it meanwhile.
    async fn room_for(&mut self, bytes: usize) -> Result<LongRoom, ImportEnd> {
        self.finish().await?;
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(ImportEnd::Over(over)),
            () = self.output.disconnected() => Err(ImportEnd::Disconnected),
            room = self.transfer.app.transfers.long_entries.take(bytes) => {
                room.ok_or_else(|| ImportEnd::Over((&Error::Internal).into()))
            }
        }
    }

    /// Brings back a long entry that was put aside while it arrived. Read, it is in memory twice.
    async fn bring_back(&mut self, aside: SpooledEntry) -> Result<(Vec<u8>, LongRoom), ImportEnd> {
        let room = self.room_for(2 * aside.length).await?;
        let entry = aside.bring_back().await;
        let entry = entry.map_err(|error| ImportEnd::Over(not_aside(&error)))?;
        Ok((entry, room))
    }

    /// Reads an entry; `None` of what is not reported.
    async fn take(
        &mut self,
        cut: Cut,
        room: Option<LongRoom>,
    ) -> Result<Option<ArrivedEntry>, ImportEnd> {
        self.read += 1;
        let number = self.read;
        if number < self.from {
            return match cut {
                Cut::Entry(entry) => self.pass_over(number, entry, room).await,
                Cut::TooLong => Ok(None),
            };
        }
        self.recall().await?;
        Ok(match cut {
            // A blank line has a number and nothing to report.
            Cut::Entry(entry) if entry.trim_ascii().is_empty() => None,
            Cut::Entry(entry) => {
                let bytes = entry.len();
                let mut entry = read(self.form, self.import.restores, entry).await;
                let files = entry.as_mut().map(Entry::files_mut).unwrap_or_default();
                let _rest = hold(files, room);
                if let Ok(entry) = &entry {
                    self.mention(entry).await?;
                }
                Some(self.prepare(number, bytes, entry))
            }
            Cut::TooLong => {
                let refusal = format!("an entry has at most {MAX_BYTES} bytes");
                let refused = Err(Error::bad("document", refusal));
                Some(self.prepare(number, 0, refused))
            }
        })
    }

    /// Sends an entry on its way that waits for no other.
    fn pass_on(&mut self, arrived: ArrivedEntry) {
        let ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
            ..
        } = arrived;
        let drafted = match drafted {
            Ok(Drafted::Restored(draft)) => Ok((*draft, Links::default())),
            Ok(Drafted::Prepared(prepared)) => {
                let mut resolution = Resolution::of_unresolved(&prepared);
                let source = self.import.source.as_deref();
                resolution.complete(&prepared, source, &self.mentioned, HashMap::new());
                self.draft(*prepared, None, &resolution)
            }
            Ok(Drafted::Skipped) => return self.report(number, kind, Ok(Imported::skipped(kind))),
            Ok(Drafted::Deletion) => return self.report(number, kind, Ok(Imported::Deletion)),
            Err(error) => Err(error),
        };
        self.send(number, kind, bytes, drafted);
    }

    /// Makes a draft of a document with its references replaced.
    fn draft(
        &self,
        prepared: Prepared,
        reserved: Option<RecordId>,
        resolution: &Resolution,
    ) -> Result<(Draft, Links), Error> {
        let mut links = Links {
            names: prepared.names().to_vec(),
            source: prepared
                .source
                .as_ref()
                .map(|source| (prepared.patient, source.state.token)),
            reserved,
            resolved: resolution.resolved(),
            unresolved: resolution.unresolved(),
            notes: Vec::new(),
            files: prepared.files().to_vec(),
            files_stored: FilesStored::default(),
            promised: Vec::new(),
            kept: None,
        };
        let promises_files = prepared.promises_files();
        let Transfer { app, caller, .. } = &self.transfer;
        let with = (reserved, resolution);
        let mut draft = self.import.draft(app.drafting(), caller, prepared, with)?;
        links.notes = std::mem::take(&mut draft.notes);
        if promises_files {
            links.promised = promised_others(&draft.canonical, &links.files);
        }
        Ok((draft, links))
    }

    /// Hands a draft to the writer, now or when those before it are stored.
    fn send(
        &mut self,
        number: u64,
        kind: Option<&'static str>,
        bytes: usize,
        drafted: Result<(Draft, Links), Error>,
    ) {
        let (draft, links) = match drafted {
            Ok(drafted) => drafted,
            Err(error) => return self.report(number, kind, Err(error)),
        };
        let target = (draft.patient, draft.record_type);
        let is_asked = matches!(self.asked.get(&target), Some(None));
        self.asked.entry(target).or_insert(None);
        let is_under_way = links
            .source
            .is_some_and(|source| self.under_way.contains(&source));
        // A version is brought back when the one before it is there, and so is the next one of a source; the second of
        // its kind is stored when the first was not refused.
        let waits = draft.follows.is_some() || is_asked || is_under_way;
        let entry = QueuedEntry {
            number,
            kind,
            target: Some(target),
            bytes,
            links,
        };
        let later = Later { entry, draft };
        if waits && !self.window.is_empty() {
            self.waiting = Some(later);
        } else {
            self.store(later);
        }
    }

    /// Whether an entry of this kind was refused already: then it is not asked again, so that a long import
    /// writes no row into the patient's trail for each of its lines.
    fn is_refused(&mut self, draft: &Draft) -> bool {
        let target = (draft.patient, draft.record_type);
        match self.asked.get_mut(&target) {
            Some(Some(PatientCheck::Refused(more))) => {
                *more += 1;
                true
            }
            Some(Some(PatientCheck::Permitted) | None) | None => false,
        }
    }

    /// Writes down what was refused without asking again, a row for each patient and type.
    async fn write_down(&mut self) {
        let refused = self
            .asked
            .drain()
            .filter_map(|(target, asking)| match asking {
                Some(PatientCheck::Refused(more)) if more > 0 => Some((target, more)),
                Some(PatientCheck::Refused(_) | PatientCheck::Permitted) | None => None,
            });
        let refused: Vec<_> = refused.collect();
        let Transfer { app, caller, .. } = &self.transfer;
        if let Err(error) = self.import.write_refused(&app.pool, caller, &refused).await {
            tracing::warn!(%error, "What an import was refused could not be written down in full");
        }
    }

    fn prepare(&mut self, number: u64, bytes: usize, entry: Result<Entry, Error>) -> ArrivedEntry {
        let arrived = |kind, drafted| ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
            file: None,
            file_names: Vec::new(),
        };
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => return arrived(None, Err(error)),
        };
        let kind = entry.kind();
        let source = self.import.source.clone();
        if !self.import.restores
            && let Some(file) = entry.binary()
        {
            return ArrivedEntry {
                file: Some(file),
                file_names: entry.names_as_file(source.as_deref()),
                ..arrived(kind, Ok(Drafted::Skipped))
            };
        }
        let Transfer { app, caller, .. } = &self.transfer;
        let drafted = self.import.prepare(app.drafting(), caller, entry);
        if let Ok(Drafted::Prepared(prepared)) = &drafted {
            self.named.want(prepared, number, source.as_deref());
            if prepared.promises_files() {
                for sha256 in prepared.promised() {
                    self.promised.expect(sha256);
                }
            }
        }
        arrived(kind, drafted)
    }

    /// Reports an entry, in its turn, that nobody is asked about.
    fn report(&mut self, number: u64, kind: Option<&'static str>, result: Result<Imported, Error>) {
        self.push(number, kind, Links::default(), Outcome::Came(result));
    }

    fn push(&mut self, number: u64, kind: Option<&'static str>, links: Links, outcome: Outcome) {
        let entry = QueuedEntry {
            number,
            kind,
            target: None,
            bytes: 0,
            links: links.without_files(),
        };
        let done = Done { entry, outcome };
        self.window.push_back(std::future::ready(done).boxed());
    }

    /// Sends an entry on its way: what it comes to, and its files, is known at the end of `work`.
    fn queue(
        &mut self,
        mut entry: QueuedEntry,
        work: impl Future<Output = FilesOutcome> + Send + 'static,
    ) {
        self.window_bytes += entry.bytes;
        self.under_way.extend(entry.links.source);
        let done = async move {
            let (result, files_stored) = work.await;
            entry.links.files_stored = files_stored;
            let outcome = Outcome::Came(result);
            Done { entry, outcome }
        };
        self.window.push_back(done.boxed());
    }

    fn store(&mut self, later: Later) {
        if self.is_refused(&later.draft) {
            let entry = later.entry;
            let refused = Outcome::Came(Err(Error::NotFound("patient")));
            return self.push(entry.number, entry.kind, entry.links, refused);
        }
        if self.is_dry {
            return self.foresee(later);
        }
        let Later { mut entry, draft } = later;
        let app = self.transfer.app.clone();
        let files = std::mem::take(&mut entry.links.files);
        let kept = entry.links.kept.take();
        let has_files = !files.is_empty() || kept.is_some();
        let stored = async move {
            let (writing, caller) = (app.file_writing(), draft.caller.clone());
            let stored =
                store_with_files(&app.writer, app.drafting(), writing, draft, &files).await;
            // The others take room of their own.
            drop(files);
            match kept {
                Some(kept) => Box::pin(kept.store(writing, &caller, stored)).await,
                None => stored,
            }
        };
        if has_files {
            self.queue(entry, by_itself(stored));
        } else {
            self.queue(entry, stored);
        }
    }

    /// Reports an entry, unless what it met is not its own: then the import ends before it.
    async fn tell(&mut self, done: Done) -> Result<(), ImportEnd> {
        let Done { mut entry, outcome } = done;
        self.window_bytes -= entry.bytes;
        if let Some(source) = &entry.links.source {
            self.under_way.remove(source);
        }
        // What was reported before is not reported again.
        let is_told = entry.number >= self.from;
        let result = match outcome {
            Outcome::Came(result) => result,
            Outcome::Told(_) if !is_told => return Ok(()),
            Outcome::Told(told) => {
                self.say(&told.line).await?;
                let (kind, reason) = (told.kind.as_deref(), told.reason.as_deref());
                self.totals.add(kind, &told.outcome, reason);
                self.reported = entry.number;
                return Ok(());
            }
        };
        if let Err(error) = &result
            && interrupts(error)
        {
            return Err(ImportEnd::Over(error.into()));
        }
        if let Some(target) = entry.target
            && let Some(asked) = self.asked.get_mut(&target)
            && asked.is_none()
        {
            *asked = Some(match &result {
                Err(Error::NotFound("patient")) => {
                    self.transfer.charge_refusal().await;
                    PatientCheck::Refused(0)
                }
                Ok(_) | Err(_) => PatientCheck::Permitted,
            });
        }
        self.forget_refused(entry.number, &result);
        if let Ok(imported) = &result {
            let not_awaited = self.promised.learn(&entry.links.promised, imported);
            entry.links.notes.extend(not_awaited);
        }
        if self.again.is_some() {
            self.lose_reserved(&entry.links, &result);
            if let Some(line) = self.told_again(&entry, &result) {
                self.say(&line).await?;
            }
            return Ok(());
        }
        if !is_told {
            self.learn(&entry.links, entry.kind, &result);
            return Ok(());
        }
        let remarks = EntryRemarks {
            unresolved: entry.links.unresolved,
            notes: &entry.links.notes,
            files: entry.links.files_stored,
        };
        let line = report::line(entry.number, entry.kind, &result, remarks);
        self.say(&line).await?;
        self.totals.count(entry.kind, &result);
        self.link(&entry.links, entry.kind, &result);
        self.reported = entry.number;
        Ok(())
    }

    async fn say(&mut self, line: &Value) -> Result<(), ImportEnd> {
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(ImportEnd::Over(over)),
            output = self.output.write(in_line(line)) => output.map_err(Into::into),
        }
    }

    /// Counts what an entry refers to, and what refers to it in vain, and learns what it has become.
    fn link(
        &mut self,
        links: &Links,
        kind: Option<&'static str>,
        result: &Result<Imported, Error>,
    ) {
        self.lose_reserved(links, result);
        if result.is_ok() {
            self.totals.note(&links.notes);
            self.totals.resolved += links.resolved;
            self.totals.unresolved += links.unresolved;
            self.totals.files.stored += links.files_stored.stored;
            self.totals.files.refused += links.files_stored.refused;
        }
        self.learn(links, kind, result);
    }

    /// Counts what refers in vain to the record that an entry was to be.
    fn lose_reserved(&mut self, links: &Links, result: &Result<Imported, Error>) {
        let record = result.as_ref().ok().and_then(Imported::record);
        if let Some(reserved) = links.reserved
            && record.is_none_or(|(record, _)| record != reserved)
        {
            self.totals.lose(self.references.lose(reserved));
        }
    }

    /// Learns what an entry has become, for those behind it.
    fn learn(
        &mut self,
        links: &Links,
        kind: Option<&'static str>,
        result: &Result<Imported, Error>,
    ) {
        // What an older version is called means the newest one, which is found by the source.
        let imported = result.as_ref().ok();
        let imported = imported.filter(|it| links.source.is_none() || !it.is_followed());
        let record = imported.and_then(Imported::record);
        if let (Some((record, patient)), Some(kind)) = (record, kind) {
            self.references.learn(Learned {
                names: &links.names,
                patient,
                token: links.source.map(|(_, token)| token),
                record,
                kind,
            });
        }
    }
}

/// Stores files in a task of its own: its transaction does not stay open while a client does not read the report.
async fn by_itself(stored: impl Future<Output = FilesOutcome> + Send + 'static) -> FilesOutcome {
    let done = tokio::spawn(stored.in_current_span()).await;
    done.unwrap_or_else(|_| (Err(Error::Internal), FilesStored::default()))
}

/// Reads an entry, without its files where it is too long with them. What is brought back is as it was.
async fn read(form: ImportFormat, restores: bool, entry: Vec<u8>) -> Result<Entry, Error> {
    if restores && entry.len() > MAX_AROUND_FILES {
        let refusal = format!("a line of an archive has at most {MAX_AROUND_FILES} bytes");
        return Err(Error::bad("document", refusal));
    }
    if entry.len() <= LONG_ENTRY || restores {
        return form.read(&entry);
    }
    let read = tokio::task::spawn_blocking(move || {
        let read = form.read(&entry);
        // Before its files are made of what was read.
        drop(entry);
        read?.with_files_apart()
    });
    read.await.map_err(|_| Error::Internal)?
}

fn in_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
