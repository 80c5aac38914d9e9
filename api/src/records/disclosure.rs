//! The desk that every single record passes: it decides, writes the audit row, and only then hands
//! out an envelope. **No content leaves before its audit row is durable.**
//!
//! Requests that arrive together share one transaction: the facts are read, every request is decided
//! (`domain::access`), and all audit rows are written and committed at once. What is refused and what
//! does not exist take the same path, the same statements and the same answer.

use std::{collections::HashMap, sync::Arc};

use domain::{
    access::{Action, Actor, Decision, Question, decide, decide_amendment},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    ids::{RecordId, SessionId, UserId},
    purpose::Purpose,
    stored::StoredRecord,
};
use serde_json::json;
use store::{
    Pool, StoreError, audit, consents,
    records::{self, Record},
    users,
};
use tokio::task::JoinSet;

use crate::{
    answer_budget::AnswerBudget,
    app::commit,
    caller::Caller,
    counter::{Counter, Limits, turned_away},
    error::Error,
};

/// How the desk serves.
const LIMITS: Limits = Limits {
    group: 64,
    groups_at_once: 4,
    queue: 4096,
};

/// What somebody wants of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// What is stored in clear.
    Metadata,
    /// The document.
    Content,
    /// A copy of the document to take out.
    Export,
    /// To compare the document with its hash and the chain, without seeing it.
    Verification,
    /// To write a new version, without seeing this one.
    Amendment,
    /// The document, to withdraw it.
    Withdrawal,
}

impl Wanted {
    /// What has to be allowed for it.
    const fn action(self) -> Action {
        match self {
            Self::Metadata | Self::Content | Self::Verification => Action::Read,
            Self::Export => Action::Export,
            Self::Amendment | Self::Withdrawal => Action::Amend,
        }
    }

    /// Whether the envelope is handed out.
    const fn needs_envelope(self) -> bool {
        match self {
            Self::Content | Self::Export | Self::Verification | Self::Withdrawal => true,
            Self::Metadata | Self::Amendment => false,
        }
    }
}

/// One request at the desk.
#[derive(Debug, Clone)]
pub(crate) struct Inquiry {
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

impl Inquiry {
    fn pay_for(&self, record: &Record) -> Result<(), Error> {
        match &self.budget {
            Some(budget) if self.wanted.needs_envelope() => budget.charge(record.sealed_bytes),
            Some(_) | None => Ok(()),
        }
    }
}

/// What the desk hands out.
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
pub(crate) struct Desk(Counter<Inquiry, Disclosed>);

impl Desk {
    /// Opens the desk. It closes when the last handle is dropped.
    pub(crate) fn open(pool: Pool, tasks: &mut JoinSet<()>) -> Self {
        let serve = move |group: Vec<Inquiry>| {
            let pool = pool.clone();
            async move {
                let settled = settle(&pool, &group).await;
                settled.unwrap_or_else(|error| turned_away(group.len(), error))
            }
        };
        Self(Counter::open(LIMITS, tasks, serve))
    }

    /// Asks for one record.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is refused and for what does not exist.
    pub(crate) async fn ask(&self, inquiry: Inquiry) -> Result<Disclosed, Error> {
        self.0.ask(inquiry).await
    }
}

async fn settle(
    pool: &Pool,
    group: &[Inquiry],
) -> Result<Vec<Result<Disclosed, Error>>, StoreError> {
    let mut tx = pool.begin().await?;
    let mut ids: Vec<RecordId> = group.iter().map(|inquiry| inquiry.record).collect();
    ids.sort_unstable();
    ids.dedup();
    let records: HashMap<RecordId, Arc<Record>> = records::by_ids(&mut tx, &ids)
        .await?
        .into_iter()
        .map(|record| (record.id, Arc::new(record)))
        .collect();
    let mut sessions: Vec<(UserId, SessionId)> = group
        .iter()
        .map(|i| (i.caller.user, i.caller.session))
        .collect();
    sessions.sort_unstable();
    sessions.dedup();
    let (now, actors) = users::present(&mut tx, &sessions).await?;
    let mut patients: Vec<UserId> = records.values().map(|record| record.patient).collect();
    patients.sort_unstable();
    patients.dedup();
    let consents = consents::in_force(&mut tx, &patients).await?;

    let mut entries = Vec::with_capacity(group.len());
    let mut verdicts = Vec::with_capacity(group.len());
    for inquiry in group {
        let record = records.get(&inquiry.record);
        let actor = actors
            .get(&inquiry.caller.session)
            .copied()
            .filter(|actor| actor.is_active);
        let Some(actor) = actor else {
            verdicts.push(Err(Error::Unauthenticated));
            entries.push(refusal(
                inquiry,
                record,
                Purpose::SystemAdministration,
                "ACTOR",
                None,
            ));
            continue;
        };
        let purpose = inquiry
            .purpose
            .or(inquiry.caller.purpose)
            .unwrap_or_else(|| actor.default_purpose(record.map(|record| record.patient)));
        match judge(record, actor, inquiry.wanted, purpose, &consents, now) {
            Ok((record, decision)) => {
                // Nothing is fetched, opened or shown of what there is no room for.
                if let Err(error) = inquiry.pay_for(record) {
                    verdicts.push(Err(error));
                    continue;
                }
                entries.push(permission(inquiry, record, purpose, decision));
                verdicts.push(Ok((Arc::clone(record), purpose)));
            }
            Err((reason, consent)) => {
                entries.push(refusal(inquiry, record, purpose, reason, consent));
                verdicts.push(Err(Error::NotFound("record")));
            }
        }
    }
    let mut wanted: Vec<RecordId> = group
        .iter()
        .zip(&verdicts)
        .filter(|(inquiry, verdict)| verdict.is_ok() && inquiry.wanted.needs_envelope())
        .map(|(inquiry, _)| inquiry.record)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let sealed = records::sealed(&mut tx, &wanted).await?;
    let sealed: HashMap<RecordId, StoredRecord> = sealed.into_iter().map(|s| (s.id, s)).collect();
    audit::insert(&mut tx, &entries).await?;
    commit(tx).await?;

    Ok(group
        .iter()
        .zip(verdicts)
        .map(|(inquiry, verdict)| {
            let (record, purpose) = verdict?;
            let wanted = inquiry.wanted.needs_envelope();
            let sealed = sealed.get(&inquiry.record).filter(|_| wanted).cloned();
            Ok(Disclosed {
                record,
                purpose,
                sealed,
            })
        })
        .collect())
}

type Refused = (&'static str, Option<domain::ids::ConsentId>);

fn judge<'a>(
    record: Option<&'a Arc<Record>>,
    actor: Actor,
    wanted: Wanted,
    purpose: Purpose,
    consents: &[Consent],
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(&'a Arc<Record>, Decision), Refused> {
    let record = record.ok_or(("UNKNOWN", None))?;
    let question = Question {
        actor,
        patient: record.patient,
        action: wanted.action(),
        purpose,
        record_type: record.record_type,
        standing: record.standing,
        destination: None,
        emergency: None,
        now,
    };
    let decision = match wanted {
        Wanted::Metadata | Wanted::Content | Wanted::Export | Wanted::Verification => {
            decide(&question, consents)
        }
        Wanted::Amendment | Wanted::Withdrawal => {
            decide_amendment(&question, record.author, consents)
        }
    };
    match decision {
        Decision::Permit(_) => Ok((record, decision)),
        Decision::Deny(reason) => Err((reason.as_str(), decision.consent())),
    }
}

fn permission(
    inquiry: &Inquiry,
    record: &Record,
    purpose: Purpose,
    decision: Decision,
) -> AuditEntry {
    let (action, encryption) = match inquiry.wanted {
        Wanted::Metadata | Wanted::Amendment => {
            (AuditAction::RecordRead, EncryptionStatus::MetadataOnly)
        }
        Wanted::Withdrawal => (
            AuditAction::RecordAmend,
            EncryptionStatus::DecryptedForDisclosure,
        ),
        Wanted::Content => (
            AuditAction::RecordRead,
            EncryptionStatus::DecryptedForDisclosure,
        ),
        Wanted::Export => (
            AuditAction::RecordExport,
            EncryptionStatus::ExportedPlaintext,
        ),
        Wanted::Verification => (AuditAction::RecordVerify, EncryptionStatus::EncryptedAtRest),
    };
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "version": record.version })),
        consent: decision.consent(),
        classification: Classification::Medical,
        encryption,
        patient: Some(record.patient),
        ..inquiry.caller.entry(action, purpose)
    }
}

fn refusal(
    inquiry: &Inquiry,
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
        ..inquiry.caller.entry(AuditAction::AccessDenied, purpose)
    }
}
