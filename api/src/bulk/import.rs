//! `POST /import`: NDJSON or a `Bundle`, read as it arrives, a line of report for each entry in its order.
//!
//! A broken entry stops no other. A connection that breaks loses nothing that was reported: the client
//! sends the same again, or goes on `from` where it was told. At most [`WINDOW`] entries and
//! [`WINDOW_BYTES`] of them are on their way at a time, then nothing more is read.
//!
//! From the first document on that refers to another one, everything is put aside (`spool`) until all of the
//! upload has arrived: only then is it known what the others are.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    ids::{RecordId, RequestId, UserId},
    records::RecordType,
    sources::SourceToken,
};
use fhir::upload::{Cut, Cutter};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesOrdered},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    time::{Instant, Interval},
};

use super::{
    Disconnected, Ending, PATIENCE, ResponseBody, Transfer, TransferRefused, Waits,
    compression::{BrokenUpload, Compression, decompressed},
    drain, finished,
    query::QueryParameters,
    spool::{MAX_SPOOLED, Spool},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    authenticate::context,
    codes::ErrorCode,
    error::Error,
    records::{
        draft::Draft,
        import::{
            Drafted, Entry, Import, LONG_ENTRY, MAX_BYTES, check_source,
            files::{FilesStored, TakenFile},
            interrupts,
            patients::ImportPatients,
            prepared::Prepared,
            references::{ImportContext, Learned, References, Resolution},
            report::{self, EntryRemarks, Imported, Totals},
            store_with_files,
        },
    },
    schema::Schema,
    wire::{UNBUFFERED, content_type},
};

/// How many entries are on their way at once: as many as the writer takes into one transaction.
const WINDOW: usize = 64;
/// How long they are together, after which no other one is read. Unit: bytes.
const WINDOW_BYTES: usize = 2 << 20;
/// How many entries that are put aside are looked up together.
const GROUP: usize = 64;
/// Who takes the files out of a long entry: one import of this process at a time, because it is held several times over meanwhile.
static LONG_ENTRIES: Semaphore = Semaphore::const_new(1);
/// How often something is said while entries are put aside: a blank line.
const BEAT: Duration = Duration::from_secs(10);

/// How an upload holds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImportFormat {
    Lines,
    Bundle,
}

impl ImportFormat {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match content_type(headers)?.to_ascii_lowercase().as_str() {
            "application/fhir+ndjson" | "application/x-ndjson" | "application/ndjson" => {
                Some(Self::Lines)
            }
            "application/fhir+json" | "application/json" => Some(Self::Bundle),
            _ => None,
        }
    }

    fn cutter(self) -> Cutter {
        match self {
            Self::Lines => Cutter::lines(MAX_BYTES),
            Self::Bundle => Cutter::bundle(MAX_BYTES),
        }
    }

    fn read(self, entry: &[u8]) -> Result<Entry, Error> {
        match self {
            Self::Lines => Entry::of_line(entry),
            Self::Bundle => Entry::of_bundle(entry),
        }
    }
}

/// Answers an upload while it arrives.
pub(crate) async fn answer(
    State(schema): State<Schema>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(id): axum::Extension<RequestId>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let context = context(&schema, id, peer, &parts.headers);
    let (with, asking) = (schema.clone(), context.clone());
    let begun = async move {
        let mut transfer =
            Transfer::begin(&with, &asking, &parts.headers, |room| &room.imports).await?;
        let form = form(&parts.headers)?;
        let asked = asked(query.as_deref(), &parts.headers, &transfer)?;
        // Whether they may act for this patient is decided with each record, as it is where they act for themselves.
        transfer.caller = transfer.caller.clone().acting_for(asked.represented)?;
        Ok::<_, TransferRefused>((transfer, form, asked))
    };
    match finished(&schema, begun).await {
        Ok((transfer, (form, compression), asked)) => {
            let ImportAsked {
                import,
                from,
                is_dry,
                ..
            } = asked;
            let (output, answer) = ResponseBody::new();
            let run = ImportRun {
                transfer,
                import,
                is_dry,
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
                references: References::default(),
                held: None,
                puts_aside: false,
                beat: tokio::time::interval(BEAT),
                totals: Totals::default(),
                output,
            };
            tokio::spawn(run.run().in_current_span());
            let ndjson = HeaderValue::from_static("application/x-ndjson");
            let kind = [(header::CONTENT_TYPE, ndjson)];
            (UNBUFFERED, kind, answer).into_response()
        }
        Err(refused) => {
            drain(body).await;
            refused.answer(&schema, &context)
        }
    }
}

fn form(headers: &HeaderMap) -> Result<(ImportFormat, Option<Compression>), TransferRefused> {
    let unsupported = |refusal: &str| {
        TransferRefused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::UnsupportedMediaType,
            refusal,
        )
    };
    let form = ImportFormat::of(headers).ok_or_else(|| {
        unsupported(
            "send `Content-Type: application/fhir+ndjson`, a resource in each line, or `application/fhir+json`, a Bundle",
        )
    })?;
    let compression = Compression::of(headers).ok_or_else(|| {
        unsupported("send it as it is, or with one `Content-Encoding`: `gzip` or `zstd`")
    })?;
    Ok((form, compression))
}

/// The accounts of the patients whom documents name: `account=reference`, as in an address.
const PATIENTS: HeaderName = HeaderName::from_static("x-patients");

/// What is asked for.
struct ImportAsked {
    import: Import,
    /// For whom the caller acts.
    represented: Option<UserId>,
    /// The first entry that is looked at.
    from: u64,
    /// Whether nothing is stored.
    is_dry: bool,
}

/// The map of a header.
fn map(headers: &HeaderMap) -> Result<Vec<(String, UserId)>, TransferRefused> {
    let unreadable = || {
        Error::bad(
            "X-Patients",
            "write it as account=reference&account=reference",
        )
    };
    let mut given = headers.get_all(PATIENTS).iter();
    let Some(header) = given.next() else {
        return Ok(Vec::new());
    };
    if given.next().is_some() {
        return Err(unreadable().into());
    }
    let pairs = crate::request::pairs(header.to_str().map_err(|_| unreadable())?)?;
    let mapped = pairs.into_iter().map(|(account, reference)| {
        let account = account.parse::<Uuid>().ok()?;
        Some((reference, UserId(account)))
    });
    let mapped: Option<Vec<_>> = mapped.collect();
    Ok(mapped.ok_or_else(unreadable)?)
}

fn asked(
    query: Option<&str>,
    headers: &HeaderMap,
    transfer: &Transfer,
) -> Result<ImportAsked, TransferRefused> {
    const FROM: &str = "`from` is the number of an entry, from 1";
    let mut asked = QueryParameters::read(query)?;
    let map = map(headers)?;
    // With a map, the patient is of those documents that name nobody.
    let patient = if map.is_empty() {
        asked.patient()
    } else {
        asked.other_patient()
    };
    let (purpose, prefers) = (asked.purpose(), asked.record_type());
    let key = asked.take("key");
    asked.note(crate::idempotency::check_key(key.as_deref()));
    let source = asked.take("source");
    asked.note(check_source(source.as_deref()));
    let from = asked.parse::<u64>("from", FROM);
    if matches!(from, Some(0 | u64::MAX)) {
        asked.refuse("from", FROM);
    }
    let represented = asked.represented();
    let (restores, is_dry) = (asked.is("restore"), asked.is("dryRun"));
    if restores && (is_dry || !map.is_empty()) {
        asked.refuse(
            "restore",
            "records are brought back to their patient, or not at all",
        );
    }
    let is_anothers = patient.is_some_and(|patient| patient != transfer.caller.user);
    if restores && (is_anothers || represented.is_some()) {
        let refusal =
            "patients bring their own records back, and nobody else does: import without `restore`";
        asked.refuse("restore", refusal);
    }
    asked.complete()?;
    let import = Import {
        patients: ImportPatients::new(patient, map)?,
        purpose,
        prefers,
        key,
        restores,
        source,
    };
    Ok(ImportAsked {
        import,
        represented,
        from: from.unwrap_or(1),
        is_dry,
    })
}

/// What arrives, cut into entries.
struct Source {
    body: BoxStream<'static, Result<Bytes, BrokenUpload>>,
    piece: Bytes,
    cutter: Cutter,
    is_over: bool,
    waits: Waits,
}

impl Source {
    fn new(body: Body, form: ImportFormat, compression: Option<Compression>) -> Self {
        Self {
            body: decompressed(body, compression),
            piece: Bytes::new(),
            cutter: form.cutter(),
            is_over: false,
            waits: Waits::default(),
        }
    }

    /// The next entry. Loses nothing when it is not waited for to its end.
    async fn next(&mut self) -> Result<Option<Cut>, Ending> {
        let broken =
            |broken: fhir::upload::Broken| Ending::new(ErrorCode::BadRequest, broken.to_string());
        loop {
            let mut rest: &[u8] = &self.piece;
            let cut = self.cutter.next(&mut rest).map_err(broken)?;
            let used = self.piece.len() - rest.len();
            drop(self.piece.split_to(used));
            // Blank lines, and what stands around entries, are no progress.
            if let Some(Cut::Entry(entry)) = &cut {
                self.waits.bytes += entry.trim_ascii().len() as u64;
            }
            if cut.is_some() || self.is_over {
                return Ok(cut);
            }
            let left = self.waits.left();
            let mut wait = Wait::of(&mut self.waits);
            let arrived = tokio::time::timeout(left, self.body.next()).await;
            wait.end();
            match arrived {
                Ok(Some(Ok(piece))) => self.piece = piece,
                Ok(None) => {
                    self.is_over = true;
                    return self.cutter.end().map_err(broken);
                }
                Ok(Some(Err(broken))) => {
                    return Err(Ending::new(ErrorCode::BadRequest, broken.to_string()));
                }
                Err(_) => {
                    let refusal = format!(
                        "nothing arrived for {} s, or too little of it was records: send it faster",
                        PATIENCE.as_secs()
                    );
                    return Err(Ending::new(ErrorCode::Timeout, refusal));
                }
            }
        }
    }
}

/// A wait for the other side that counts also where it is given up for something else.
struct Wait<'a> {
    waits: &'a mut Waits,
    begun: Option<Instant>,
}

impl<'a> Wait<'a> {
    fn of(waits: &'a mut Waits) -> Self {
        Self {
            waits,
            begun: Some(Instant::now()),
        }
    }

    fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.waits.waited += begun.elapsed();
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

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
    /// What there is to say of its profiles.
    notes: Vec<fhir::Issue>,
    /// The files that were taken out of it, until they are stored.
    files: Vec<TakenFile>,
    /// What became of them.
    files_stored: FilesStored,
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

/// An entry that has come to something.
struct Done {
    number: u64,
    /// The kind of resource that it is, if R4 has it.
    kind: Option<&'static str>,
    /// What it was to be; `None` where nobody was asked.
    target: Option<Target>,
    bytes: usize,
    links: Links,
    outcome: Outcome,
}

/// An entry that waits for those before it.
struct Later {
    number: u64,
    kind: Option<&'static str>,
    bytes: usize,
    links: Links,
    draft: Draft,
}

/// An entry as it has arrived.
struct ArrivedEntry {
    number: u64,
    kind: Option<&'static str>,
    bytes: usize,
    drafted: Result<Drafted, Error>,
}

/// What is put aside until all has arrived.
struct HeldEntries {
    spool: Spool,
    /// What is looked up next, with what it refers to and is called.
    group: Vec<HeldEntry>,
    /// How long these are together. Unit: bytes.
    group_bytes: usize,
}

/// An entry that is put aside.
enum HeldEntry {
    Told(u64, Box<ToldEntry>),
    Document(u64, Box<Prepared>),
}

/// What stands before what is put aside: whether it is a document, and its number.
const TOLD: u8 = 0;
const DOCUMENT: u8 = 1;

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

/// One import.
struct ImportRun {
    transfer: Transfer,
    import: Import,
    /// Whether nothing is stored.
    is_dry: bool,
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
    /// What the entries refer to.
    references: References,
    /// What is put aside, from the first entry on that refers to another.
    held: Option<HeldEntries>,
    /// Whether there was such an entry.
    puts_aside: bool,
    beat: Interval,
    /// What the first entry of each kind came to; `None` while it is on its way.
    asked: HashMap<Target, Option<PatientCheck>>,
    totals: Totals,
    output: ResponseBody,
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
        let line = report::end(&self.totals, self.reported, interrupted);
        self.output.write(in_line(&line)).await.ok();
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
                return match self.held.take() {
                    Some(held) => self.work_held(held).await,
                    None => ImportEnd::Complete,
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
                    if let Err(end) = self.output.write("\n").await {
                        return end.into();
                    }
                }
                cut = self.source.next(), if has_room => match cut {
                    Ok(Some(cut)) => {
                        if let Err(end) = self.arrive(cut).await {
                            return end;
                        }
                    }
                    Ok(None) => is_arriving = false,
                    Err(over) => {
                        // What came before the break is finished and told.
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

    /// Sends an entry on its way, or puts it aside.
    async fn arrive(&mut self, cut: Cut) -> Result<(), ImportEnd> {
        let Some(arrived) = self.take(cut).await else {
            return Ok(());
        };
        let refers = match &arrived.drafted {
            Ok(Drafted::Prepared(prepared)) => prepared.refers_to_records(),
            _ => false,
        };
        if refers && self.held.is_none() {
            // What those before it have become is known once they are stored.
            self.finish().await?;
            self.puts_aside = true;
            self.beat.reset();
            let spool = Spool::create().await.map_err(|error| no_spool(&error))?;
            let group = Vec::with_capacity(GROUP);
            self.held = Some(HeldEntries {
                spool,
                group,
                group_bytes: 0,
            });
        }
        match self.held.take() {
            None => {
                self.pass_on(arrived);
                Ok(())
            }
            Some(mut held) => {
                let put = self.put_aside(&mut held, arrived).await;
                self.held = Some(held);
                put
            }
        }
    }

    /// Reads an entry; `None` of what is not reported.
    async fn take(&mut self, cut: Cut) -> Option<ArrivedEntry> {
        self.read += 1;
        let number = self.read;
        if number < self.from {
            if let Cut::Entry(entry) = cut {
                self.pass_over(entry).await;
            }
            return None;
        }
        let (bytes, (kind, drafted)) = match cut {
            // A blank line has a number and nothing to report.
            Cut::Entry(entry) if entry.trim_ascii().is_empty() => return None,
            Cut::Entry(entry) => (entry.len(), self.prepare(entry).await),
            Cut::TooLong => {
                let refusal = format!("an entry has at most {MAX_BYTES} bytes");
                (0, (None, Err(Error::bad("document", refusal))))
            }
        };
        Some(ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
        })
    }

    /// Sends an entry on its way that waits for no other.
    fn pass_on(&mut self, arrived: ArrivedEntry) {
        let ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
        } = arrived;
        let drafted = match drafted {
            Ok(Drafted::Restored(draft)) => Ok((*draft, Links::default())),
            Ok(Drafted::Prepared(prepared)) => {
                let resolution = Resolution {
                    unresolved: prepared.references().len() as u64,
                    ..Resolution::default()
                };
                self.draft(*prepared, None, &resolution)
            }
            Ok(Drafted::Skipped) => return self.report(number, kind, Ok(Imported::Skipped)),
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
            unresolved: resolution.unresolved,
            notes: Vec::new(),
            files: prepared.files().to_vec(),
            files_stored: FilesStored::default(),
        };
        let Transfer { app, caller, .. } = &self.transfer;
        let with = (reserved, &resolution.to);
        let mut draft = self.import.draft(app.drafting(), caller, prepared, with)?;
        links.notes = std::mem::take(&mut draft.notes);
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
        if self.is_dry {
            let outcome = Outcome::Came(Ok(Imported::Checked(draft.record_type)));
            return self.push(number, kind, links, outcome);
        }
        let target = (draft.patient, draft.record_type);
        let is_asked = matches!(self.asked.get(&target), Some(None));
        self.asked.entry(target).or_insert(None);
        let is_under_way = links
            .source
            .is_some_and(|source| self.under_way.contains(&source));
        // A version is brought back when the one before it is there, and so is the next one of a source; the second of
        // its kind is stored when the first was not refused.
        let waits = draft.follows.is_some() || is_asked || is_under_way;
        let later = Later {
            number,
            kind,
            bytes,
            links,
            draft,
        };
        if waits && !self.window.is_empty() {
            self.waiting = Some(later);
        } else {
            self.store(later);
        }
    }

    /// Puts an entry aside, with those that are looked up together.
    async fn put_aside(
        &mut self,
        held: &mut HeldEntries,
        arrived: ArrivedEntry,
    ) -> Result<(), ImportEnd> {
        let ArrivedEntry {
            number,
            kind,
            bytes,
            drafted,
        } = arrived;
        held.group_bytes += bytes;
        let Transfer { app, caller, .. } = &self.transfer;
        let checked = drafted.and_then(|it| self.import.checked(app.drafting(), caller, it));
        let result = match checked {
            Ok(Drafted::Prepared(prepared)) => {
                held.group.push(HeldEntry::Document(number, prepared));
                return self.look_up(held, GROUP).await;
            }
            Ok(Drafted::Skipped) => Ok(Imported::Skipped),
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

    /// Reserves ids to what waits for that, where it is so many or so long, and puts it into the spool.
    async fn look_up(&mut self, held: &mut HeldEntries, at_least: usize) -> Result<(), ImportEnd> {
        if held.group.len() < at_least && held.group_bytes < WINDOW_BYTES {
            return Ok(());
        }
        held.group_bytes = 0;
        let group = std::mem::take(&mut held.group);
        let documents = group.iter().filter_map(|entry| match entry {
            HeldEntry::Document(_, prepared) => Some(&**prepared),
            HeldEntry::Told(..) => None,
        });
        let documents: Vec<&Prepared> = documents.collect();
        let context = import_context(&self.transfer, &self.import, self.is_dry);
        let reserved = self.references.reserve(context, &documents).await;
        let mut reserved = reserved
            .map_err(|error| ImportEnd::Over((&error).into()))?
            .into_iter();
        for entry in &group {
            let (tag, number, bytes) = match entry {
                HeldEntry::Told(number, told) => (
                    TOLD,
                    number,
                    serde_json::to_vec(told).map_err(|_| Error::Internal),
                ),
                HeldEntry::Document(number, prepared) => {
                    let id = reserved.next().flatten();
                    (DOCUMENT, number, prepared.to_bytes(id))
                }
            };
            let bytes = bytes.map_err(|error| ImportEnd::Over((&error).into()))?;
            let piece = [[tag].as_slice(), &number.to_be_bytes(), &bytes].concat();
            let put = held.spool.put(&piece).await;
            put.map_err(|error| no_spool(&error))?;
        }
        Ok(())
    }

    /// Stores what was put aside, in its order, now that it is known what each of them will be.
    async fn work_held(&mut self, mut held: HeldEntries) -> ImportEnd {
        if let Err(end) = self.look_up(&mut held, 1).await {
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
        let (prepared, reserved) = Prepared::from_bytes(bytes).map_err(over)?;
        let context = import_context(&self.transfer, &self.import, self.is_dry);
        let resolution = self.references.resolve(context, &prepared).await;
        let resolution = resolution.map_err(over)?;
        let kind = prepared.kind();
        let drafted = self.draft(prepared, reserved, &resolution);
        if let (Err(_), Some(id)) = (&drafted, reserved) {
            self.totals.lose(self.references.lose(id));
        }
        self.send(number, kind, bytes.len(), drafted);
        Ok(true)
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

    /// Learns whom an entry names that was reported before, and nothing else.
    async fn pass_over(&mut self, entry: Vec<u8>) {
        if !self.import.restores
            && !entry.trim_ascii().is_empty()
            && let Ok(entry) = read(self.form, false, entry).await
        {
            self.import.pass_over(entry);
        }
    }

    async fn prepare(&mut self, entry: Vec<u8>) -> (Option<&'static str>, Result<Drafted, Error>) {
        let entry = match read(self.form, self.import.restores, entry).await {
            Ok(entry) => entry,
            Err(error) => return (None, Err(error)),
        };
        let kind = entry.kind();
        let Transfer { app, caller, .. } = &self.transfer;
        (kind, self.import.prepare(app.drafting(), caller, entry))
    }

    /// Reports an entry, in its turn, that nobody is asked about.
    fn report(&mut self, number: u64, kind: Option<&'static str>, result: Result<Imported, Error>) {
        self.push(number, kind, Links::default(), Outcome::Came(result));
    }

    fn push(&mut self, number: u64, kind: Option<&'static str>, links: Links, outcome: Outcome) {
        // Nobody stores its files.
        let links = Links {
            files: Vec::new(),
            ..links
        };
        let done = Done {
            number,
            kind,
            target: None,
            bytes: 0,
            links,
            outcome,
        };
        self.window.push_back(std::future::ready(done).boxed());
    }

    fn store(&mut self, later: Later) {
        let Later {
            number,
            kind,
            bytes,
            mut links,
            draft,
        } = later;
        if self.is_refused(&draft) {
            let refused = Outcome::Came(Err(Error::NotFound("patient")));
            return self.push(number, kind, links, refused);
        }
        let app = self.transfer.app.clone();
        self.window_bytes += bytes;
        self.under_way.extend(links.source);
        let target = Some((draft.patient, draft.record_type));
        let done = async move {
            let files = std::mem::take(&mut links.files);
            let storage = (&app.disclosure, app.decryption());
            let stored =
                store_with_files(&app.writer, app.drafting(), storage, draft, &files).await;
            let (result, files_stored) = stored;
            links.files_stored = files_stored;
            Done {
                number,
                kind,
                target,
                bytes,
                links,
                outcome: Outcome::Came(result),
            }
        };
        self.window.push_back(done.boxed());
    }

    /// Reports an entry, unless what it met is not its own: then the import ends before it.
    async fn tell(&mut self, done: Done) -> Result<(), ImportEnd> {
        self.window_bytes -= done.bytes;
        if let Some(source) = &done.links.source {
            self.under_way.remove(source);
        }
        let result = match done.outcome {
            Outcome::Came(result) => result,
            Outcome::Told(told) => {
                self.say(&told.line).await?;
                let (kind, reason) = (told.kind.as_deref(), told.reason.as_deref());
                self.totals.add(kind, &told.outcome, reason);
                self.reported = done.number;
                return Ok(());
            }
        };
        if let Err(error) = &result
            && interrupts(error)
        {
            return Err(ImportEnd::Over(error.into()));
        }
        if let Some(target) = done.target
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
        let remarks = EntryRemarks {
            unresolved: done.links.unresolved,
            notes: &done.links.notes,
            files: done.links.files_stored,
        };
        let line = report::line(done.number, done.kind, &result, remarks);
        self.say(&line).await?;
        self.totals.count(done.kind, &result);
        self.link(&done.links, done.kind, &result);
        self.reported = done.number;
        Ok(())
    }

    async fn say(&mut self, line: &Value) -> Result<(), ImportEnd> {
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(ImportEnd::Over(over)),
            output = self.output.write(in_line(line)) => output.map_err(Into::into),
        }
    }

    /// Learns what an entry has become, for those that refer to it, and counts what it refers to.
    fn link(
        &mut self,
        links: &Links,
        kind: Option<&'static str>,
        result: &Result<Imported, Error>,
    ) {
        let record = match result {
            Ok(Imported::Stored(stored) | Imported::Amended(stored)) => Some(&stored.record),
            Ok(_) | Err(_) => None,
        };
        if let Some(reserved) = links.reserved
            && record.is_none_or(|record| record.id != reserved)
        {
            self.totals.lose(self.references.lose(reserved));
        }
        if result.is_ok() {
            self.totals.note(&links.notes);
            self.totals.resolved += links.resolved;
            self.totals.unresolved += links.unresolved;
            self.totals.files.stored += links.files_stored.stored;
            self.totals.files.refused += links.files_stored.refused;
        }
        // What was put aside is known already.
        if let (Some(record), Some(kind), false) = (record, kind, self.puts_aside) {
            self.references.learn(Learned {
                names: &links.names,
                patient: record.patient,
                token: links.source.map(|(_, token)| token),
                record: record.id,
                kind,
            });
        }
    }
}

/// Reads an entry, without its files where it is too long with them. What is brought back is as it was.
async fn read(form: ImportFormat, restores: bool, entry: Vec<u8>) -> Result<Entry, Error> {
    if entry.len() <= LONG_ENTRY || restores {
        return form.read(&entry);
    }
    let _turn = LONG_ENTRIES.acquire().await;
    let read = tokio::task::spawn_blocking(move || form.read(&entry)?.with_files_apart());
    read.await.map_err(|_| Error::Internal)?
}

/// By whom and by what references are asked for. Where nothing is stored, nothing is looked up.
fn import_context<'a>(
    transfer: &'a Transfer,
    import: &'a Import,
    is_dry: bool,
) -> ImportContext<'a> {
    let Transfer { app, caller, .. } = transfer;
    ImportContext {
        pool: (!is_dry).then_some(&app.pool),
        drafting: app.drafting(),
        caller,
        import,
    }
}

/// How an import ends that cannot put aside what it has to.
fn no_spool(error: &std::io::Error) -> ImportEnd {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        let refusal = format!(
            "what refers to each other has at most {} MiB in one upload: send it in parts, and name its `source`",
            MAX_SPOOLED >> 20
        );
        return ImportEnd::Over(Ending::new(ErrorCode::BadRequest, refusal));
    }
    tracing::error!(%error, "What an import refers to could not be put aside");
    let refusal = "there is no room to put aside what refers to each other: try again later";
    ImportEnd::Over(Ending::new(ErrorCode::Unavailable, refusal))
}

fn in_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
