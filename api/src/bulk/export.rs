//! `GET /export`: a patient's records as NDJSON, as a `Bundle`, or as an archive that can be brought back.
//!
//! Nothing is opened before there is room for it on the way out. An export that ends before it is whole
//! breaks the connection off, after it has said why.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    countries::{Country, abroad},
    ids::{RequestId, UserId},
};
use fhir::{Issue, IssueCode, Severity};
use serde_json::json;
use store::records::{
    Record,
    search::{Filter, PageKey},
};

use super::{
    Disconnected, Ending, ResponseBody, Transfer, TransferRefused, finished, query::QueryParameters,
};
use tracing::Instrument as _;

use crate::{
    authenticate::context,
    codes::ErrorCode,
    cursor::{Cursor, ListCursors},
    error::Error,
    records::{
        disclosure::Disclosed,
        export::{self, Export, ExportStart},
        filter::Criteria,
    },
    schema::Schema,
    wire::UNBUFFERED,
};

/// How often a group is asked for where something is busy.
const TRIES: u32 = 5;
/// How long a last word has to leave before the connection breaks off. Lost, it is still told that the
/// export is not whole.
pub(super) const LAST_WORD: Duration = Duration::from_millis(100);

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExportFormat {
    /// The bytes of a record in each line.
    Lines,
    /// One FHIR `Bundle`.
    Bundle,
    /// A record in each line, and what is known of it besides.
    Archive,
}

impl std::str::FromStr for ExportFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ndjson" => Ok(Self::Lines),
            "bundle" => Ok(Self::Bundle),
            "archive" => Ok(Self::Archive),
            _ => Err(()),
        }
    }
}

impl ExportFormat {
    const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/fhir+ndjson",
            Self::Bundle => "application/fhir+json",
            Self::Archive => "application/x-ndjson",
        })
    }

    /// A record and its bytes, where it stands in the export.
    pub(super) fn record(self, disclosed: &Disclosed, bytes: &[u8], cursor: &Cursor) -> Vec<u8> {
        let record = &disclosed.record;
        match self {
            Self::Lines => [bytes, b"\n"].concat(),
            Self::Bundle => entry(record, bytes),
            Self::Archive => {
                let is_withdrawn = record.is_withdrawn;
                let head = json!({
                    "meditrustal": 1, "recordType": record.record_type, "version": record.version,
                    "dataHash": record.data_hash, "predecessorId": record.predecessor, "withdrawn": is_withdrawn,
                    "metadata": record.metadata, "authorId": record.author, "createdAt": record.created_at,
                    "blockchainRecordId": record.blockchain_record_id, "cursor": cursor.as_str(),
                })
                .to_string();
                let open = head.strip_suffix('}').unwrap_or(&head);
                [open.as_bytes(), b",\"resource\":", bytes, b"}\n"].concat()
            }
        }
    }

    /// What stands in the place of a record that is not shown.
    pub(super) fn withheld(self, record: &Record, error: &Error, cursor: &Cursor) -> Vec<u8> {
        match self {
            Self::Lines => [
                outcome(Severity::Error, error.public_code(), &error.to_string()),
                b"\n".to_vec(),
            ]
            .concat(),
            Self::Bundle => entry(
                record,
                &outcome(Severity::Error, error.public_code(), &error.to_string()),
            ),
            Self::Archive => {
                let line = json!({
                    "meditrustal": 1, "recordId": record.id, "withheld": error.public_code().as_str(),
                    "message": error.to_string(), "cursor": cursor.as_str(),
                });
                format!("{line}\n").into_bytes()
            }
        }
    }

    /// Why there is not all of it.
    fn interrupted(self, over: &Ending) -> Vec<u8> {
        match self {
            Self::Lines => [
                outcome(Severity::Fatal, over.code, &over.message),
                b"\n".to_vec(),
            ]
            .concat(),
            // It stays open: nobody takes it for whole.
            Self::Bundle => Vec::new(),
            Self::Archive => {
                let line = json!({ "meditrustal": 1, "ended": over.code.as_str(), "message": over.message });
                format!("{line}\n").into_bytes()
            }
        }
    }
}

fn entry(record: &Record, resource: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"fullUrl":"urn:uuid:{}","resource":"#, record.id);
    [head.as_bytes(), resource, b"}"].concat()
}

pub(super) fn outcome(severity: Severity, code: ErrorCode, message: &str) -> Vec<u8> {
    let issue = Issue {
        severity,
        code: IssueCode::Exception,
        path: String::new(),
        rule: code.as_str().to_owned(),
        message: message.to_owned(),
    };
    fhir::canonical::to_bytes(&fhir::operation_outcome(&[issue]))
}

/// Answers with the records that the caller may take out.
pub(crate) async fn answer(
    State(schema): State<Schema>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(id): axum::Extension<RequestId>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if method == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let context = context(&schema, id, peer, &headers);
    let (with, asking) = (schema.clone(), context.clone());
    let begun = async move {
        let mut transfer = Transfer::begin(&with, &asking, &headers, |room| &room.exports).await?;
        let home = transfer.app.home_country;
        let (export, form, after, represented) = asked(query.as_deref(), home)?;
        transfer.caller = transfer.caller.clone().acting_for(represented)?;
        let cursors = export.cursors(&transfer.app.index_key, &transfer.caller);
        let after = cursors.read(after.as_ref())?;
        let begun = export.begin(&transfer.app.pool, &transfer.caller).await;
        if let Err(Error::NotFound(_)) = &begun {
            transfer.charge_refusal().await;
        }
        let begun = begun?;
        Ok::<_, TransferRefused>((transfer, begun, cursors, form, after))
    };
    match finished(&schema, begun).await {
        Ok((transfer, begun, cursors, form, after)) => {
            let (output, answer) = ResponseBody::new();
            let run = ExportRun {
                transfer,
                cursors,
                begun,
                form,
                after,
                is_first: true,
                output,
            };
            tokio::spawn(run.run().in_current_span());
            let kind = [(header::CONTENT_TYPE, form.media_type())];
            (UNBUFFERED, kind, answer).into_response()
        }
        Err(refused) => refused.answer(&schema, &context),
    }
}

fn asked(
    query: Option<&str>,
    home: Country,
) -> Result<(Export, ExportFormat, Option<Cursor>, Option<UserId>), TransferRefused> {
    let mut asked = QueryParameters::read(query)?;
    let patient = asked.patient();
    let form = asked.parse("format", "`format` is ndjson, bundle or archive");
    let filter = Filter {
        record_types: asked.record_type().into_iter().collect(),
        created_from: asked.time("createdFrom"),
        created_to: asked.time("createdTo"),
        effective_from: asked.time("effectiveFrom"),
        effective_to: asked.time("effectiveTo"),
        with_superseded: asked.is("history"),
        ..Filter::default()
    };
    let purpose = asked.purpose();
    let destination = asked.destination();
    let represented = asked.represented();
    let after = asked.take("after").map(Cursor::of_text);
    let patient = asked.finish(patient)?;
    let export = Export {
        patient,
        purpose,
        destination: abroad(destination, home),
        criteria: Criteria {
            patient: Some(patient),
            filter,
            code: None,
        },
    };
    let form = form.unwrap_or(ExportFormat::Lines);
    Ok((export, form, after, represented))
}

/// How long a decision is good for: whoever reads slowly is decided on again.
const DECIDED_FOR: Duration = Duration::from_secs(1);

/// How an export ends before it is whole.
enum ExportStop {
    Over(Ending),
    Disconnected,
}

impl From<Disconnected> for ExportStop {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// One export.
struct ExportRun {
    transfer: Transfer,
    begun: ExportStart,
    cursors: ListCursors,
    form: ExportFormat,
    after: Option<PageKey>,
    is_first: bool,
    output: ResponseBody,
}

impl ExportRun {
    async fn run(mut self) {
        match self.work().await {
            Ok(()) | Err(ExportStop::Disconnected) => {}
            Err(ExportStop::Over(over)) => {
                if self
                    .output
                    .write(self.form.interrupted(&over))
                    .await
                    .is_ok()
                {
                    tokio::time::sleep(LAST_WORD).await;
                    self.output.abort().await;
                }
            }
        }
    }

    async fn work(&mut self) -> Result<(), ExportStop> {
        if self.form == ExportFormat::Bundle {
            let head = r#"{"resourceType":"Bundle","type":"collection""#;
            self.output.write(head).await?;
        }
        while let Some(group) = self.group().await? {
            let decided = Instant::now();
            for disclosed in group {
                self.tell(disclosed, decided).await?;
            }
        }
        if self.form == ExportFormat::Bundle {
            // FHIR has no empty lists.
            self.output
                .write(if self.is_first { "}" } else { "]}" })
                .await?;
        }
        Ok(())
    }

    /// The next records, decided on and written down; `None` after the last.
    async fn group(&mut self) -> Result<Option<Vec<Disclosed>>, ExportStop> {
        let Transfer { app, caller, .. } = &self.transfer;
        let mut left = TRIES;
        loop {
            let next = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(ExportStop::Over(over)),
                () = self.output.disconnected() => return Err(ExportStop::Disconnected),
                next = self.begun.next(&app.pool, &app.disclosure, caller, self.after) => next,
            };
            match next {
                Ok(None) => return Ok(None),
                Ok(Some((group, page_key))) => {
                    self.after = Some(page_key);
                    return Ok(Some(group));
                }
                Err(Error::Busy {
                    retry_after_seconds,
                }) if left > 0 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await;
                }
                Err(error) => return Err(ExportStop::Over((&error).into())),
            }
        }
    }

    /// Decides once more where the decision is too old.
    async fn still_permitted(
        &self,
        disclosed: Disclosed,
        decided: Instant,
    ) -> Result<Disclosed, ExportStop> {
        if decided.elapsed() < DECIDED_FOR {
            return Ok(disclosed);
        }
        let Transfer { app, caller, .. } = &self.transfer;
        let again = self.begun.again(&app.disclosure, caller, &disclosed).await;
        again.map_err(|error| ExportStop::Over((&error).into()))
    }

    /// Opens a record once there is room for it, and sends it.
    async fn tell(&mut self, disclosed: Disclosed, decided: Instant) -> Result<(), ExportStop> {
        let room = tokio::select! {
            biased;
            over = self.transfer.over() => return Err(ExportStop::Over(over)),
            room = self.output.room() => room?,
        };
        let disclosed = self.still_permitted(disclosed, decided).await?;
        let record = &disclosed.record;
        let cursor = self.cursors.at(&export::page_key(record));
        let piece = match export::open(self.transfer.app.decryption(), &disclosed).await {
            Ok(bytes) => self.form.record(&disclosed, &bytes, &cursor),
            Err(error @ Error::Integrity(_)) => self.form.withheld(record, &error, &cursor),
            Err(error) => return Err(ExportStop::Over((&error).into())),
        };
        let before: &[u8] = match (self.form, self.is_first) {
            (ExportFormat::Lines | ExportFormat::Archive, _) => b"",
            (ExportFormat::Bundle, true) => b",\"entry\":[",
            (ExportFormat::Bundle, false) => b",",
        };
        let piece = [before, &piece].concat();
        self.output.output(piece.len());
        room.send(Ok(piece.into()));
        self.is_first = false;
        Ok(())
    }
}
