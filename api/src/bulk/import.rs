//! `POST /import`: NDJSON or a `Bundle`, read as it arrives, a line of report for each entry in its order.
//!
//! A broken entry stops no other. A connection that breaks loses nothing that was reported: the client
//! sends the same again, or goes on `from` where it was told. At most [`WINDOW`] entries and
//! [`WINDOW_BYTES`] of them are on their way at a time, then nothing more is read.

use std::{collections::HashMap, net::SocketAddr};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    ids::{RequestId, UserId},
    records::RecordType,
};
use fhir::upload::{Cut, Cutter};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesOrdered},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Disconnected, Ending, PATIENCE, ResponseBody, Transfer, TransferRefused, Waits,
    compression::{BrokenUpload, Compression, decompressed},
    drain, finished,
    query::QueryParameters,
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
            Drafted, Entry, Import, MAX_BYTES, interrupts,
            patients::ImportPatients,
            report::{self, Imported, Totals},
            store,
        },
    },
    schema::Schema,
    wire::{UNBUFFERED, content_type},
};

/// How many entries are on their way at once: as many as the writer takes into one transaction.
const WINDOW: usize = 64;
/// How long they are together, after which no other one is read. Unit: bytes.
const WINDOW_BYTES: usize = 2 << 20;

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

/// An entry that has come to something.
struct Done {
    number: u64,
    /// The kind of resource that it is, if R4 has it.
    kind: Option<&'static str>,
    /// What it was to be; `None` where nobody was asked.
    target: Option<Target>,
    bytes: usize,
    result: Result<Imported, Error>,
}

/// An entry that waits for those before it.
struct Later {
    number: u64,
    kind: Option<&'static str>,
    bytes: usize,
    draft: Draft,
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
                return ImportEnd::Complete;
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
                cut = self.source.next(), if has_room => match cut {
                    Ok(Some(cut)) => self.take(cut),
                    Ok(None) => is_arriving = false,
                    Err(over) => {
                        // What came before the break is finished and told.
                        return self.finish().await.err().unwrap_or(ImportEnd::Over(over));
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

    /// Sends an entry on its way.
    fn take(&mut self, cut: Cut) {
        self.read += 1;
        let number = self.read;
        if number < self.from {
            if let Cut::Entry(entry) = cut {
                self.pass_over(&entry);
            }
            return;
        }
        let (bytes, (kind, drafted)) = match cut {
            // A blank line has a number and nothing to report.
            Cut::Entry(entry) if entry.trim_ascii().is_empty() => return,
            Cut::Entry(entry) => (entry.len(), self.draft(&entry)),
            Cut::TooLong => {
                let refusal = format!("an entry has at most {MAX_BYTES} bytes");
                (0, (None, Err(Error::bad("document", refusal))))
            }
        };
        match drafted {
            Ok(Drafted::Skipped) => self.report(number, kind, Ok(Imported::Skipped)),
            Ok(Drafted::Draft(draft)) if self.is_dry => {
                self.report(number, kind, Ok(Imported::Checked(draft.record_type)));
            }
            Ok(Drafted::Draft(draft)) => {
                let draft = *draft;
                let target = (draft.patient, draft.record_type);
                let is_asked = matches!(self.asked.get(&target), Some(None));
                self.asked.entry(target).or_insert(None);
                let later = Later {
                    number,
                    kind,
                    bytes,
                    draft,
                };
                // A version is brought back when the one before it is there, and the second of its kind
                // is stored when the first was not refused.
                let waits = later.draft.follows.is_some() || is_asked;
                if waits && !self.window.is_empty() {
                    self.waiting = Some(later);
                } else {
                    self.store(later);
                }
            }
            Err(error) => self.report(number, kind, Err(error)),
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

    /// Learns whom an entry names that was reported before, and nothing else.
    fn pass_over(&mut self, entry: &[u8]) {
        if !self.import.restores
            && !entry.trim_ascii().is_empty()
            && let Ok(entry) = self.form.read(entry)
        {
            self.import.pass_over(entry);
        }
    }

    fn draft(&mut self, entry: &[u8]) -> (Option<&'static str>, Result<Drafted, Error>) {
        let entry = match self.form.read(entry) {
            Ok(entry) => entry,
            Err(error) => return (None, Err(error)),
        };
        let kind = entry.kind();
        let Transfer { app, caller, .. } = &self.transfer;
        (kind, self.import.draft(app.drafting(), caller, entry))
    }

    /// Reports an entry, in its turn, that nobody is asked about.
    fn report(&mut self, number: u64, kind: Option<&'static str>, result: Result<Imported, Error>) {
        let done = Done {
            number,
            kind,
            target: None,
            bytes: 0,
            result,
        };
        self.window.push_back(std::future::ready(done).boxed());
    }

    fn store(&mut self, later: Later) {
        if self.is_refused(&later.draft) {
            self.report(later.number, later.kind, Err(Error::NotFound("patient")));
            return;
        }
        let writer = self.transfer.app.writer.clone();
        self.window_bytes += later.bytes;
        let target = Some((later.draft.patient, later.draft.record_type));
        let done = async move {
            Done {
                number: later.number,
                kind: later.kind,
                target,
                bytes: later.bytes,
                result: store(&writer, later.draft).await,
            }
        };
        self.window.push_back(done.boxed());
    }

    /// Reports an entry, unless what it met is not its own: then the import ends before it.
    async fn tell(&mut self, done: Done) -> Result<(), ImportEnd> {
        self.window_bytes -= done.bytes;
        if let Err(error) = &done.result
            && interrupts(error)
        {
            return Err(ImportEnd::Over(error.into()));
        }
        if let Some(target) = done.target
            && let Some(asked) = self.asked.get_mut(&target)
            && asked.is_none()
        {
            *asked = Some(match &done.result {
                Err(Error::NotFound("patient")) => {
                    self.transfer.charge_refusal().await;
                    PatientCheck::Refused(0)
                }
                Ok(_) | Err(_) => PatientCheck::Permitted,
            });
        }
        let line = in_line(&report::line(done.number, done.kind, &done.result));
        tokio::select! {
            biased;
            over = self.transfer.over() => return Err(ImportEnd::Over(over)),
            output = self.output.write(line) => output?,
        }
        self.totals.count(done.kind, &done.result);
        self.reported = done.number;
        Ok(())
    }
}

fn in_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
