//! `GET /export`: a patient's records as NDJSON, as a `Bundle` (a collection, or a transaction that another
//! FHIR server takes), or as an archive that can be brought back; with their files, if that is asked for.
//!
//! Nothing is opened before there is room for it on the way out. An export that ends before it is whole
//! breaks the connection off, after it has said why.

mod files;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::{
    countries::{Country, abroad},
    ids::UserId,
    records::RecordType,
};
use fhir::{Issue, IssueCode, SERVER_URL, Severity};
use serde_json::json;
use store::records::{
    Record,
    search::{Filter, PageKey},
};

use super::{
    Disconnected, Ending, ResponseBody, TRIES, Transfer, TransferRefused, query::QueryParameters,
    transfer_request::TransferRequest, wait_where_busy,
};
use tracing::Instrument as _;

use crate::{
    audit::promise::PromisedParts,
    codes::ErrorCode,
    cursor::{Cursor, ListCursors},
    error::Error,
    records::{
        decrypt,
        disclosure::Disclosed,
        export::{self, Export, ExportStart},
        filter::Criteria,
        import::RECORD_TYPE_URL,
    },
    wire::UNBUFFERED,
};

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
    /// One FHIR `Bundle` that stores them elsewhere: the patient, then the records by their types, under the
    /// ids that they have here.
    Transaction,
    /// A record in each line, and what is known of it besides.
    Archive,
}

impl std::str::FromStr for ExportFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ndjson" => Ok(Self::Lines),
            "bundle" => Ok(Self::Bundle),
            "transaction" => Ok(Self::Transaction),
            "archive" => Ok(Self::Archive),
            _ => Err(()),
        }
    }
}

impl ExportFormat {
    const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/fhir+ndjson",
            Self::Bundle | Self::Transaction => "application/fhir+json",
            Self::Archive => "application/x-ndjson",
        })
    }

    /// A record and its bytes, where it stands in the export.
    pub(super) fn record(self, disclosed: &Disclosed, bytes: &[u8], cursor: &Cursor) -> Vec<u8> {
        let record = &disclosed.record;
        match self {
            Self::Lines => [bytes, b"\n"].concat(),
            Self::Bundle => typed(record, &entry(record, bytes)),
            Self::Transaction => {
                let kind = decrypt::document(bytes);
                let kind = kind.as_ref().and_then(fhir::kind_of).unwrap_or_default();
                typed(record, &put(kind, &record.id.to_string(), bytes))
            }
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
            Self::Transaction => [
                br#"{"resource":"#.as_slice(),
                &outcome(Severity::Error, error.public_code(), &error.to_string()),
                br#","request":{"method":"POST","url":"OperationOutcome"}}"#,
            ]
            .concat(),
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
            Self::Bundle | Self::Transaction => Vec::new(),
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

/// The same entry with the type of its record, which not every document says of itself.
fn typed(record: &Record, entry: &[u8]) -> Vec<u8> {
    let record_type = record.record_type.as_str();
    let head =
        format!(r#"{{"extension":[{{"url":"{RECORD_TYPE_URL}","valueCode":"{record_type}"}}],"#);
    let members = entry.strip_prefix(b"{").unwrap_or(entry);
    [head.as_bytes(), members].concat()
}

/// An entry that stores a resource under its id: whatever refers to it by kind and id, refers to it there.
fn put(kind: &str, id: &str, resource: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"fullUrl":"{SERVER_URL}/{kind}/{id}","resource":"#);
    let tail = format!(r#","request":{{"method":"PUT","url":"{kind}/{id}"}}}}"#);
    [head.as_bytes(), resource, tail.as_bytes()].concat()
}

/// Who the records are about, as far as the documents say: by an id.
fn patient(id: UserId) -> Vec<u8> {
    let id = id.to_string();
    let resource = format!(r#"{{"id":"{id}","resourceType":"Patient"}}"#);
    put("Patient", &id, resource.as_bytes())
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
pub(crate) async fn answer(request: TransferRequest) -> Response {
    let asking = request.clone();
    let begun = async move {
        let mut transfer = Transfer::begin(&asking, |room| &room.exports).await?;
        let home = transfer.app.home_country;
        let (export, form, after, represented) =
            asked(asking.query.as_deref(), &asking.headers, home)?;
        transfer.caller = transfer.caller.clone().acting_for(represented)?;
        let cursors = export.cursors(&transfer.app.index_key, &transfer.caller);
        let after = cursors.read(after.as_ref())?;
        let begun = export.begin(&transfer.app.pool, &transfer.caller).await;
        let begun = transfer.charged(begun).await?;
        Ok::<_, TransferRefused>((transfer, begun, cursors, form, after))
    };
    match request.finish(begun).await {
        Ok((transfer, begun, cursors, form, after)) => {
            let promised = request.promised(true).await;
            let (output, answer) = ResponseBody::new();
            let with_files = begun.has_files();
            let run = ExportRun {
                transfer,
                cursors,
                begun,
                form,
                after,
                left: if form == ExportFormat::Transaction {
                    BY_TYPE.into()
                } else {
                    VecDeque::new()
                },
                is_first: true,
                with_files,
                output,
            };
            tokio::spawn(run.run().in_current_span());
            let kind = [(header::CONTENT_TYPE, form.media_type())];
            (UNBUFFERED, kind, promised, answer).into_response()
        }
        Err(refused) => request.refuse(&refused).await,
    }
}

/// In which order a transaction has the records: what others refer to first.
const BY_TYPE: [RecordType; 8] = [
    RecordType::Diagnosis,
    RecordType::MedicalHistory,
    RecordType::VitalSigns,
    RecordType::LabResult,
    RecordType::Imaging,
    RecordType::Prescription,
    RecordType::Vaccination,
    RecordType::TreatmentPlan,
];

/// The form that a client accepts which names none in the address.
fn accepted(headers: &HeaderMap) -> ExportFormat {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    let is_fhir = |text: &str| {
        let kinds = text.split(',').map(|kind| kind.split(';').next());
        kinds
            .flatten()
            .any(|kind| kind.trim().eq_ignore_ascii_case("application/fhir+json"))
    };
    if accepts.any(is_fhir) {
        ExportFormat::Transaction
    } else {
        ExportFormat::Lines
    }
}

fn asked(
    query: Option<&str>,
    headers: &HeaderMap,
    home: Country,
) -> Result<(Export, ExportFormat, Option<Cursor>, Option<UserId>), TransferRefused> {
    let mut asked = QueryParameters::read(query)?;
    let patient = asked.patient();
    let form = asked.parse(
        "format",
        "`format` is ndjson, bundle, transaction or archive",
    );
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
    let with_files = asked.is("attachments");
    let destination = asked.destination();
    let represented = asked.represented();
    let after = asked.take("after").map(Cursor::of_text);
    let form = form.unwrap_or_else(|| accepted(headers));
    if form == ExportFormat::Transaction && after.is_some() {
        asked.refuse(
            "after",
            "a transaction is whole: begin again, or take an archive",
        );
    }
    if with_files && form == ExportFormat::Archive {
        asked.refuse(
            "attachments",
            "an archive holds documents alone: take another format, or everything by GET /my-data",
        );
    }
    let patient = asked.finish(patient)?;
    let export = Export {
        patient,
        with_files,
        purpose,
        destination: abroad(destination, home),
        criteria: Criteria {
            patient: Some(patient),
            filter,
            code: None,
        },
    };
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
    /// The types that come one after the other, from the one that is under way on; empty where they come as
    /// they were stored.
    left: VecDeque<RecordType>,
    is_first: bool,
    /// Whether the files beside records come with them.
    with_files: bool,
    output: ResponseBody,
}

impl ExportRun {
    async fn run(mut self) {
        let end = self.work().await;
        let is_gone = matches!(end, Err(ExportStop::Disconnected));
        if is_gone || self.promise().await.is_err() {
            return;
        }
        if let Err(ExportStop::Over(over)) = end {
            let told = self.form.interrupted(&over);
            if self.output.write(told).await.is_ok() {
                tokio::time::sleep(LAST_WORD).await;
                self.output.abort().await;
            }
        }
    }

    /// Promises all rows of the audit trail that were written, where the caller wants to know and lines of their own can say it.
    async fn promise(&self) -> Result<(), Disconnected> {
        let has_lines = matches!(self.form, ExportFormat::Lines | ExportFormat::Archive);
        if !has_lines || !self.transfer.wants_promises {
            return Ok(());
        }
        let Transfer { app, caller, .. } = &self.transfer;
        let mut parts = PromisedParts::of(caller.origin.request);
        while !parts.is_over() {
            let promised = parts.next(&app.pool, app.promise_sealing()).await;
            let line = json!({ "audit": promised });
            self.output.write(format!("{line}\n")).await?;
        }
        Ok(())
    }

    async fn work(&mut self) -> Result<(), ExportStop> {
        if self.form == ExportFormat::Bundle {
            let head = r#"{"resourceType":"Bundle","type":"collection""#;
            self.output.write(head).await?;
        }
        if self.form == ExportFormat::Transaction {
            let head = br#"{"resourceType":"Bundle","type":"transaction","entry":["#;
            let head = [head.as_slice(), &patient(self.begun.patient())].concat();
            self.output.write(head).await?;
            self.is_first = false;
        }
        while let Some(group) = self.group().await? {
            let decided = Instant::now();
            for disclosed in group {
                self.tell(disclosed, decided).await?;
            }
        }
        if matches!(self.form, ExportFormat::Bundle | ExportFormat::Transaction) {
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
            let only = self.left.front().copied();
            let next = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(ExportStop::Over(over)),
                () = self.output.disconnected() => return Err(ExportStop::Disconnected),
                next = self.begun.next(&app.pool, &app.disclosure, caller, (self.after, only)) => next,
            };
            match next {
                // The next type, from its beginning.
                Ok(None) if self.left.len() > 1 => {
                    self.left.pop_front();
                    self.after = None;
                }
                Ok(None) => return Ok(None),
                Ok(Some((group, page_key))) => {
                    self.after = Some(page_key);
                    return Ok(Some(group));
                }
                Err(error) => {
                    let again = wait_where_busy(error, left).await;
                    left = again.map_err(ExportStop::Over)?;
                }
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
        let (piece, document) = match export::open(self.transfer.app.decryption(), &disclosed).await
        {
            Ok(bytes) => (self.form.record(&disclosed, &bytes, &cursor), Some(bytes)),
            Err(error @ Error::Integrity(_)) => (self.form.withheld(record, &error, &cursor), None),
            Err(error) => return Err(ExportStop::Over((&error).into())),
        };
        let before: &[u8] = match (self.form, self.is_first) {
            (ExportFormat::Lines | ExportFormat::Archive, _) => b"",
            (ExportFormat::Bundle | ExportFormat::Transaction, true) => b",\"entry\":[",
            (ExportFormat::Bundle | ExportFormat::Transaction, false) => b",",
        };
        let piece = [before, &piece].concat();
        self.output.output(piece.len());
        room.send(Ok(piece.into()));
        self.is_first = false;
        match document {
            Some(document) if self.with_files => self.files(disclosed, &document).await,
            Some(_) | None => Ok(()),
        }
    }
}
