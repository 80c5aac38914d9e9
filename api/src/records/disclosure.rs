//! Discloses single records: decides, writes the audit row, and only then returns
//! out an envelope. **No content leaves before its audit row is durable.**
//!
//! Requests that arrive together share one transaction: the facts are read, every request is decided
//! (`domain::access`), and all audit rows are written and committed at once. What is refused and what
//! does not exist take the same path, the same statements and the same answer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    access::{AccessRequest, Action, Actor, Decision, decide, decide_amendment, decide_file},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    countries::Country,
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::Availability,
    stored::StoredRecord,
    users::Role,
};
use serde_json::json;
use store::{
    Plans, Pool, StoreError, Transaction, Tx, audit,
    reads::{LogPosition, Reads},
    records::{self, Record},
};
use tokio::task::JoinSet;

use crate::{
    answer_budget::{AnswerBudget, Reservation},
    batcher::{Batch, BatchAnswers, BatchLimits, Batcher},
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
};

/// The limits of its batches.
const LIMITS: BatchLimits = BatchLimits {
    name: "disclosure",
    size: 64,
    at_once: 4,
    queue: 4096,
    gather: Duration::ZERO,
};

/// What somebody wants of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// What is stored in clear.
    Metadata,
    /// The same, of a record that an event, an entry of a log or another version names.
    Reference,
    /// The document.
    Content,
    /// A copy of the document to take out, to another country where one is named.
    Export(Option<Country>),
    /// To compare the document with its hash and the chain, without seeing it.
    Verification,
    /// To write a new version, without seeing this one.
    Amendment,
    /// The document, to withdraw it.
    Withdrawal,
    /// The file that the document names at this place.
    Attachment(u32),
    /// To store the file that the document names at this place, without seeing either.
    AttachmentUpload(u32),
}

impl Wanted {
    /// What has to be allowed for it.
    const fn action(self) -> Action {
        match self {
            Self::Metadata
            | Self::Reference
            | Self::Content
            | Self::Verification
            | Self::Attachment(_) => Action::Read,
            Self::Export(_) => Action::Export,
            Self::Amendment | Self::Withdrawal | Self::AttachmentUpload(_) => Action::Amend,
        }
    }

    /// The other country that it goes to.
    const fn destination(self) -> Option<Country> {
        match self {
            Self::Export(destination) => destination,
            Self::Metadata
            | Self::Reference
            | Self::Content
            | Self::Verification
            | Self::Amendment
            | Self::Withdrawal
            | Self::Attachment(_)
            | Self::AttachmentUpload(_) => None,
        }
    }

    /// The place of the file that it is about.
    const fn attachment(self) -> Option<u32> {
        match self {
            Self::Attachment(place) | Self::AttachmentUpload(place) => Some(place),
            Self::Metadata
            | Self::Reference
            | Self::Content
            | Self::Export(_)
            | Self::Verification
            | Self::Amendment
            | Self::Withdrawal => None,
        }
    }

    /// Whether the envelope is handed out.
    const fn needs_envelope(self) -> bool {
        match self {
            Self::Content
            | Self::Export(_)
            | Self::Verification
            | Self::Withdrawal
            | Self::Attachment(_)
            | Self::AttachmentUpload(_) => true,
            Self::Metadata | Self::Reference | Self::Amendment => false,
        }
    }
}

/// What a record is disclosed for: whatever else is shown of it is asked for by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DisclosedFor {
    /// Why.
    pub(crate) purpose: Purpose,
    /// For which patient, where the caller acts for one.
    pub(crate) on_behalf_of: Option<UserId>,
}

/// One request for a record.
#[derive(Debug, Clone)]
pub(crate) struct DisclosureRequest {
    /// Who asks.
    pub(crate) caller: Caller,
    /// For which record.
    pub(crate) record: RecordId,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// What they want.
    pub(crate) wanted: Wanted,
    /// What an envelope is paid for by, before it is fetched; `None` where few are had at a time.
    pub(crate) budget: Option<AnswerBudget>,
}

impl DisclosureRequest {
    /// Why, where the caller says so.
    fn said_purpose(&self) -> Option<Purpose> {
        self.purpose.or(self.caller.purpose)
    }

    /// Whether the record is there, for what is wanted: its subject may compare an erased one with the chain, which shows
    /// nothing of it.
    fn availability(&self, record: &Record) -> Availability {
        let is_own_check =
            self.wanted == Wanted::Verification && record.patient == self.caller.user;
        match record.availability {
            Availability::Erased if is_own_check => Availability::Open,
            availability => availability,
        }
    }

    /// Whether an administrator asks a log of everybody's records for each of them. Administrators are shown none but their own,
    /// whatever is decided: it is no attempt to read this one, and is not written into its patient's log.
    fn is_never_shown_to(&self, actor: Actor, record: Option<&Arc<Record>>) -> bool {
        let is_own = record.is_some_and(|record| record.patient == self.caller.user);
        self.wanted == Wanted::Reference && actor.role == Role::Admin && !is_own
    }

    /// What the envelope takes of the answer's budget; given back where the batch is not committed.
    fn pay_for(&self, record: &Record) -> Result<Option<Reservation>, Error> {
        match &self.budget {
            Some(budget) if self.wanted.needs_envelope() => {
                budget.reserve(record.sealed_bytes).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }
}

/// What the record disclosure returns.
#[derive(Debug)]
pub(crate) struct Disclosed {
    /// The record.
    pub(crate) record: Arc<Record>,
    /// The purpose it was decided for.
    pub(crate) purpose: Purpose,
    /// Its whole row, if the content was wanted.
    pub(crate) sealed: Option<StoredRecord>,
}

/// Where requests are handed in.
#[derive(Debug, Clone)]
pub(crate) struct RecordDisclosure(Batcher<DisclosureRequest, Disclosed>);

impl RecordDisclosure {
    /// Starts the batcher. It stops when the last handle is dropped.
    pub(crate) fn start(pool: Pool, reads: Reads, tasks: &mut JoinSet<()>) -> Self {
        let serve = move |batch: Batch<DisclosureRequest>| {
            let (pool, reads) = (pool.clone(), reads.clone());
            async move { serve_batch(&pool, &reads, &batch).await }
        };
        Self(Batcher::start(LIMITS, tasks, serve))
    }

    /// Asks for one record.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is refused and for what does not exist.
    pub(crate) async fn ask(&self, inquiry: DisclosureRequest) -> Result<Disclosed, Error> {
        self.0.ask(inquiry).await
    }
}

/// Serves a batch in one transaction.
async fn serve_batch(
    pool: &Pool,
    reads: &Reads,
    batch: &Batch<DisclosureRequest>,
) -> BatchAnswers<Disclosed> {
    let tx = pool
        .begin_with_lock_wait(batch.lock_wait, Plans::Kept)
        .await?;
    Ok(disclose(tx, Some(reads), &batch.requests).await?)
}

/// Asks for several records by one transaction of their own, however many they are: what became of each, in their order.
/// [`Error::Forbidden`] where one is a [`Wanted::Reference`] and the caller's role is shown none: nothing is decided or written down of it.
///
/// # Errors
/// The database's, for all of them.
pub(super) async fn together(
    pool: &Pool,
    requests: &[Arc<DisclosureRequest>],
) -> Result<Vec<Result<Disclosed, Error>>, StoreError> {
    disclose(pool.begin().await?, None, requests).await
}

/// The facts, a decision for each, the audit rows, and the envelopes of what is allowed.
async fn disclose(
    mut tx: Transaction,
    reads: Option<&Reads>,
    batch: &[Arc<DisclosureRequest>],
) -> Result<Vec<Result<Disclosed, Error>>, StoreError> {
    let asked = distinct(batch.iter().map(|inquiry| inquiry.record));
    let callers = batch.iter().map(|inquiry| &inquiry.caller);
    let facts = Facts::gather_of_records(&mut tx, callers, &asked).await?;
    let purposes = batch
        .iter()
        .map(|asked| (&asked.caller, asked.said_purpose()));
    let facts = facts.with_emergencies(&mut tx, purposes).await?;
    let records: HashMap<RecordId, Arc<Record>> = records::by_ids(&mut tx, &asked)
        .await?
        .into_iter()
        .map(|record| (record.id, Arc::new(record)))
        .collect();

    let judged: Vec<DecidedInquiry> = batch
        .iter()
        .map(|inquiry| judge(inquiry, records.get(&inquiry.record), &facts))
        .collect();
    let mut sealed = envelopes(&mut tx, reads, batch, &judged).await?;
    let entries: Vec<AuditEntry> = judged
        .iter()
        .filter_map(|judged| judged.entry.clone())
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    let answers = batch.iter().zip(judged).enumerate();
    Ok(answers
        .map(|(nth, (inquiry, judged))| {
            let (record, purpose) = judged.verdict?;
            judged.paid.into_iter().for_each(Reservation::keep);
            let wanted = inquiry.wanted.needs_envelope();
            let later = &batch[nth + 1..];
            let envelope = wanted.then(|| take_envelope(&mut sealed, record.id, later));
            Ok(Disclosed {
                sealed: envelope.flatten(),
                record,
                purpose,
            })
        })
        .collect())
}

/// The envelope of a record: a copy of it where somebody who comes later in the batch asked for the same record.
fn take_envelope(
    sealed: &mut HashMap<RecordId, StoredRecord>,
    record: RecordId,
    later: &[Arc<DisclosureRequest>],
) -> Option<StoredRecord> {
    if later.iter().any(|inquiry| inquiry.record == record) {
        sealed.get(&record).cloned()
    } else {
        sealed.remove(&record)
    }
}

/// The envelopes of what is allowed and wanted, from the replica where it shows no less than what was decided by.
async fn envelopes(
    tx: &mut Tx<'_>,
    reads: Option<&Reads>,
    batch: &[Arc<DisclosureRequest>],
    judged: &[DecidedInquiry],
) -> Result<HashMap<RecordId, StoredRecord>, StoreError> {
    let allowed = batch
        .iter()
        .zip(judged)
        .filter(|(inquiry, _)| inquiry.wanted.needs_envelope());
    // Of an erased record there is none.
    let wanted = allowed.filter_map(|(_, judged)| {
        let (record, _) = judged.verdict.as_ref().ok()?;
        (record.availability != Availability::Erased).then_some(record.id)
    });
    let wanted = distinct(wanted);
    let mut found = None;
    if let Some(reads) = reads.filter(|reads| reads.has_replica())
        && !wanted.is_empty()
    {
        // Asked for after the rows were read that it was decided by: they lie before it.
        let written = LogPosition::now(tx).await?;
        if let Some(mut replica) = reads.at(written, Plans::Kept).await {
            found = reads.read(records::sealed(&mut replica, &wanted)).await;
        }
    }
    let sealed = match found {
        Some(sealed) => sealed,
        None => records::sealed(tx, &wanted).await?,
    };
    Ok(sealed
        .into_iter()
        .map(|sealed| (sealed.id, sealed))
        .collect())
}

/// What was decided of one inquiry, and the row that says so.
struct DecidedInquiry {
    verdict: Result<(Arc<Record>, Purpose), Error>,
    paid: Option<Reservation>,
    /// `None` where another row says it: a second factor that is missing is written down for the request.
    entry: Option<AuditEntry>,
}

fn judge(
    inquiry: &DisclosureRequest,
    record: Option<&Arc<Record>>,
    facts: &Facts,
) -> DecidedInquiry {
    let actor = match facts.actor(&inquiry.caller) {
        Ok(actor) => actor,
        Err(error) => {
            let is_over = matches!(error, Error::Unauthenticated);
            let purpose = Purpose::SystemAdministration;
            let refused = || denial_entry(inquiry, record, purpose, "ACTOR", None);
            return DecidedInquiry {
                verdict: Err(error),
                paid: None,
                entry: is_over.then(refused),
            };
        }
    };
    if inquiry.is_never_shown_to(actor, record) {
        return DecidedInquiry {
            verdict: Err(Error::Forbidden(Role::Doctor)),
            paid: None,
            entry: None,
        };
    }
    let purpose = inquiry
        .said_purpose()
        .unwrap_or_else(|| actor.default_purpose(record.map(|record| record.patient)));
    match decide_on(inquiry, record, actor, purpose, facts) {
        // Nothing is fetched, opened or shown of what there is no room for.
        Ok((record, decision)) => match inquiry.pay_for(record) {
            Ok(paid) => DecidedInquiry {
                paid,
                entry: Some(AuditEntry {
                    destination: destination(inquiry, record, actor, decision, facts),
                    ..permit_entry(inquiry, record, purpose, decision)
                }),
                verdict: Ok((Arc::clone(record), purpose)),
            },
            Err(error) => DecidedInquiry {
                verdict: Err(error),
                paid: None,
                entry: None,
            },
        },
        Err((reason, consent)) => DecidedInquiry {
            entry: Some(denial_entry(inquiry, record, purpose, reason, consent)),
            verdict: Err(Error::NotFound("record")),
            paid: None,
        },
    }
}

type Denied = (&'static str, Option<domain::ids::ConsentId>);

fn decide_on<'a>(
    inquiry: &DisclosureRequest,
    record: Option<&'a Arc<Record>>,
    actor: Actor,
    purpose: Purpose,
    facts: &Facts,
) -> Result<(&'a Arc<Record>, Decision), Denied> {
    let record = record.ok_or(("UNKNOWN", None))?;
    let wanted = inquiry.wanted;
    let destination = wanted.destination();
    let access_request = AccessRequest {
        actor,
        patient: record.patient,
        action: wanted.action(),
        purpose,
        record_type: record.record_type,
        availability: inquiry.availability(record),
        destination: destination.as_ref().map(Country::as_str),
        emergency: facts.emergency(&inquiry.caller, record.patient, purpose),
        now: facts.now,
    };
    let consents = facts.consents_of(record.patient);
    let decision = match wanted {
        Wanted::Metadata
        | Wanted::Reference
        | Wanted::Content
        | Wanted::Export(_)
        | Wanted::Verification
        | Wanted::Attachment(_) => decide(&access_request, consents),
        Wanted::Amendment | Wanted::Withdrawal => {
            decide_amendment(&access_request, record.author, consents)
        }
        Wanted::AttachmentUpload(_) => decide_file(&access_request, record.author, consents),
    };
    match decision {
        Decision::Permit(_) => Ok((record, decision)),
        Decision::Deny(reason) => Err((reason.as_str(), decision.consent())),
    }
}

fn permit_entry(
    inquiry: &DisclosureRequest,
    record: &Record,
    purpose: Purpose,
    decision: Decision,
) -> AuditEntry {
    let (action, encryption) = match inquiry.wanted {
        Wanted::Metadata | Wanted::Reference | Wanted::Amendment | Wanted::AttachmentUpload(_) => {
            (AuditAction::RecordRead, EncryptionStatus::MetadataOnly)
        }
        Wanted::Withdrawal => (
            AuditAction::RecordAmend,
            EncryptionStatus::DecryptedForDisclosure,
        ),
        Wanted::Content | Wanted::Attachment(_) => (
            AuditAction::RecordRead,
            EncryptionStatus::DecryptedForDisclosure,
        ),
        Wanted::Export(_) => (
            AuditAction::RecordExport,
            EncryptionStatus::ExportedPlaintext,
        ),
        Wanted::Verification => (AuditAction::RecordVerify, EncryptionStatus::EncryptedAtRest),
    };
    let mut shown = json!({ "version": record.version });
    if let Some(place) = inquiry.wanted.attachment() {
        shown["attachment"] = json!(place);
    }
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(shown),
        consent: decision.consent(),
        representation: decision.representation(),
        classification: Classification::Medical,
        encryption,
        patient: Some(record.patient),
        ..inquiry.caller.entry(action, purpose)
    }
}

/// The country that a record goes to: the one that the caller names, or that of the organisation as a member of which they
/// are let in.
fn destination(
    inquiry: &DisclosureRequest,
    record: &Record,
    actor: Actor,
    decision: Decision,
    facts: &Facts,
) -> Option<String> {
    let reached = || facts.country_reached(decision, actor, record.patient);
    let country = inquiry.wanted.destination().or_else(reached);
    country.map(|country| country.to_string())
}

fn denial_entry(
    inquiry: &DisclosureRequest,
    record: Option<&Arc<Record>>,
    purpose: Purpose,
    reason: &str,
    consent: Option<domain::ids::ConsentId>,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.map_or(inquiry.caller.origin.request.0, |record| record.id.0),
        new_value: Some(json!({
            "reason": reason,
            "asked": inquiry.record,
            "wanted": inquiry.wanted.action(),
        })),
        consent,
        classification: Classification::Medical,
        patient: record.map(|record| record.patient),
        destination: inquiry.wanted.destination().map(|it| it.to_string()),
        ..inquiry.caller.entry(AuditAction::AccessDenied, purpose)
    }
}
