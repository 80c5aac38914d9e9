//! `POST /import`: NDJSON or a `Bundle`, read as it arrives, a line of report for each entry in its order.
//!
//! A broken entry stops no other. A connection that breaks loses nothing that was reported: the client
//! sends the same again, or goes on `from` where it was told. At most [`WINDOW`] entries and
//! [`WINDOW_BYTES`] of them are on their way at a time, then nothing more is read.

use std::net::SocketAddr;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{ConnectInfo, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::RequestId;
use fhir::upload::{Cut, Cutter};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use serde_json::Value;

use super::{Gone, Over, PATIENCE, Refused, Said, Transfer, pass_over, query::Asked};
use tracing::Instrument as _;

use crate::{
    error::Error,
    http::{content_type, visit},
    records::{
        import::{
            Entry, Import, MAX_BYTES, interrupts,
            report::{self, Totals},
            store,
        },
        writer::{Draft, Stored},
    },
    schema::Schema,
};

/// How many entries are on their way at once: as many as the writer takes into one transaction.
const WINDOW: usize = 64;
/// How long they are together, after which no other one is read. Unit: bytes.
const WINDOW_BYTES: usize = 2 << 20;

/// How an upload holds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Bundle,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match content_type(headers)?.to_ascii_lowercase().as_str() {
            "application/fhir+ndjson" | "application/x-ndjson" | "application/ndjson" => {
                Some(Self::Lines)
            }
            "application/fhir+json" => Some(Self::Bundle),
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
    let visit = visit(&schema, id, peer, &parts.headers);
    let begun = async {
        let transfer =
            Transfer::begin(&schema, &visit, &parts.headers, |room| &room.imports).await?;
        let form = form(&parts.headers)?;
        let (import, from) = asked(query.as_deref(), &transfer)?;
        Ok::<_, Refused>((transfer, form, import, from))
    };
    match begun.await {
        Ok((transfer, form, import, from)) => {
            let (said, answer) = Said::new();
            let run = Run {
                transfer,
                import,
                form,
                from,
                source: Source::new(body, form),
                read: 0,
                told: from - 1,
                window: FuturesOrdered::new(),
                window_bytes: 0,
                waiting: None,
                totals: Totals::default(),
                said,
            };
            tokio::spawn(run.run().in_current_span());
            let ndjson = HeaderValue::from_static("application/x-ndjson");
            ([(header::CONTENT_TYPE, ndjson)], answer).into_response()
        }
        Err(refused) => {
            pass_over(body).await;
            refused.answer(&schema, &visit)
        }
    }
}

fn form(headers: &HeaderMap) -> Result<Form, Refused> {
    let unsupported = |told: &str| {
        Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            told,
        )
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported(
            "send it as it is, without a `Content-Encoding`",
        ));
    }
    Form::of(headers).ok_or_else(|| {
        unsupported(
            "send `Content-Type: application/fhir+ndjson`, a resource in each line, or `application/fhir+json`, a Bundle",
        )
    })
}

fn asked(query: Option<&str>, transfer: &Transfer) -> Result<(Import, u64), Refused> {
    let mut asked = Asked::read(query)?;
    let import = Import {
        patient: asked.patient()?,
        purpose: asked.purpose()?,
        prefers: asked.record_type()?,
        key: asked.take("key"),
        restores: asked.is("restore")?,
    };
    crate::consents::give::check_key(import.key.as_deref())?;
    let from = asked.parse::<u64>("from", "`from` is the number of an entry, from 1")?;
    let from = from.unwrap_or(1);
    asked.nothing_else()?;
    if from == 0 || from == u64::MAX {
        return Err(super::query::bad(
            "from",
            "`from` is the number of an entry, from 1",
        ));
    }
    if import.restores && import.patient != transfer.caller.user {
        let told =
            "patients bring their own records back, and nobody else does: import without `restore`";
        return Err(super::query::bad("restore", told));
    }
    Ok((import, from))
}

/// What arrives, cut into entries.
struct Source {
    body: BodyDataStream,
    piece: Bytes,
    cutter: Cutter,
    is_over: bool,
}

impl Source {
    fn new(body: Body, form: Form) -> Self {
        Self {
            body: body.into_data_stream(),
            piece: Bytes::new(),
            cutter: form.cutter(),
            is_over: false,
        }
    }

    /// The next entry. Loses nothing when it is not waited for to its end.
    async fn next(&mut self) -> Result<Option<Cut>, Over> {
        let broken = |broken: fhir::upload::Broken| Over::new("BAD_REQUEST", broken.to_string());
        loop {
            let mut rest: &[u8] = &self.piece;
            let cut = self.cutter.next(&mut rest).map_err(broken)?;
            let used = self.piece.len() - rest.len();
            drop(self.piece.split_to(used));
            if cut.is_some() || self.is_over {
                return Ok(cut);
            }
            match tokio::time::timeout(PATIENCE, self.body.next()).await {
                Ok(Some(Ok(piece))) => self.piece = piece,
                Ok(None) => {
                    self.is_over = true;
                    return self.cutter.end().map_err(broken);
                }
                Ok(Some(Err(_))) => {
                    return Err(Over::new(
                        "BAD_REQUEST",
                        "the upload broke off: send it again",
                    ));
                }
                Err(_) => {
                    let told = format!("nothing arrived for {} s", PATIENCE.as_secs());
                    return Err(Over::new("TIMEOUT", told));
                }
            }
        }
    }
}

/// An entry that has come to something.
struct Done {
    number: u64,
    bytes: usize,
    result: Result<Stored, Error>,
}

/// An entry that waits for those before it.
struct Later {
    number: u64,
    bytes: usize,
    draft: Draft,
}

/// How an import ends.
enum End {
    Complete,
    Over(Over),
    Gone,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// One import.
struct Run {
    transfer: Transfer,
    import: Import,
    form: Form,
    from: u64,
    source: Source,
    /// The number of the entry that was read last.
    read: u64,
    /// The number of the entry that was reported last.
    told: u64,
    window: FuturesOrdered<BoxFuture<'static, Done>>,
    window_bytes: usize,
    waiting: Option<Later>,
    totals: Totals,
    said: Said,
}

impl Run {
    async fn run(mut self) {
        let end = self.work().await;
        let interrupted = match &end {
            End::Complete => None,
            End::Over(over) => Some((over.code, over.message.as_str())),
            End::Gone => return,
        };
        let line = report::end(self.totals, self.told, interrupted);
        self.said.say(in_line(&line)).await.ok();
    }

    async fn work(&mut self) -> End {
        let mut is_arriving = true;
        loop {
            if self.window.is_empty()
                && let Some(later) = self.waiting.take()
            {
                self.store(later);
            }
            if !is_arriving && self.window.is_empty() {
                return End::Complete;
            }
            let has_room = is_arriving
                && self.waiting.is_none()
                && self.window.len() < WINDOW
                && self.window_bytes < WINDOW_BYTES;
            tokio::select! {
                biased;
                over = self.transfer.over() => return End::Over(over),
                () = self.said.unheard() => return End::Gone,
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
                        return self.finish().await.err().unwrap_or(End::Over(over));
                    }
                },
            }
        }
    }

    /// Waits for what is on its way, and tells it.
    async fn finish(&mut self) -> Result<(), End> {
        loop {
            if self.window.is_empty() {
                let Some(later) = self.waiting.take() else {
                    return Ok(());
                };
                self.store(later);
            }
            let done = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(End::Over(over)),
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
            return;
        }
        let (bytes, drafted) = match cut {
            // A blank line has a number and nothing to report.
            Cut::Entry(entry) if entry.trim_ascii().is_empty() => return,
            Cut::Entry(entry) => (entry.len(), self.draft(&entry)),
            Cut::TooLong => {
                let told = format!("an entry has at most {MAX_BYTES} bytes");
                (0, Err(Error::bad("document", told)))
            }
        };
        match drafted {
            Ok(draft) => {
                let later = Later {
                    number,
                    bytes,
                    draft,
                };
                // A version is brought back when the one before it is there.
                if later.draft.follows.is_some() && !self.window.is_empty() {
                    self.waiting = Some(later);
                } else {
                    self.store(later);
                }
            }
            Err(error) => {
                let done = Done {
                    number,
                    bytes: 0,
                    result: Err(error),
                };
                self.window.push_back(std::future::ready(done).boxed());
            }
        }
    }

    fn draft(&self, entry: &[u8]) -> Result<Draft, Error> {
        let entry = self.form.read(entry)?;
        self.import
            .draft(&self.transfer.app, &self.transfer.caller, entry)
    }

    fn store(&mut self, later: Later) {
        let app = self.transfer.app.clone();
        self.window_bytes += later.bytes;
        let done = async move {
            Done {
                number: later.number,
                bytes: later.bytes,
                result: store(&app, later.draft).await,
            }
        };
        self.window.push_back(done.boxed());
    }

    /// Reports an entry, unless what it met is not its own: then the import ends before it.
    async fn tell(&mut self, done: Done) -> Result<(), End> {
        self.window_bytes -= done.bytes;
        if let Err(error) = &done.result
            && interrupts(error)
        {
            return Err(End::Over(error.into()));
        }
        let line = in_line(&report::line(done.number, &done.result));
        tokio::select! {
            biased;
            over = self.transfer.over() => return Err(End::Over(over)),
            said = self.said.say(line) => said?,
        }
        self.totals.count(&done.result);
        self.told = done.number;
        Ok(())
    }
}

fn in_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
