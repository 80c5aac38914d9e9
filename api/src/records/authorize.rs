//! Which drafts are stored: those that were not stored before, by somebody who may.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::{
    access::{AccessRequest, Decision, decide, decide_amendment},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::Availability,
    users::Role,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit,
    deletion::execution,
    idempotency::{self, Remembered},
    records::{self, Record},
};

use super::draft::{Draft, OPERATIONS, PendingDraft, Stored};
use crate::{error::Error, facts::Facts, idempotency::used_before};

/// A draft that may be stored, and why.
pub(super) struct Permitted<'a> {
    /// The draft, and where its answer goes.
    pub(super) asked: PendingDraft<'a>,
    /// What it is stored for.
    pub(super) purpose: Purpose,
    /// Why it may be.
    pub(super) decision: Decision,
    /// When, by the database's clock: the time that all rows of this transaction carry.
    pub(super) at: DateTime<Utc>,
}

impl Permitted<'_> {
    /// What the client's key stands for: the operation, the user and the key.
    fn key(&self) -> Option<(&'static str, UserId, &str)> {
        let draft = self.asked.draft;
        let (user, key) = draft.key()?;
        Some((draft.operation(), user, key))
    }
}

/// Answers those whose key was used before: with the record it made, which is written down as a reading, or
/// with a conflict. Gives the others.
pub(super) async fn answer_replays<'a>(
    tx: &mut Tx<'_>,
    permitted: Vec<Permitted<'a>>,
) -> Result<Vec<Permitted<'a>>, StoreError> {
    let known = UsedKeys::by_keys_of(tx, &permitted).await?;
    let mut in_this_batch: HashSet<(&str, UserId, String)> = HashSet::new();
    let mut reads = Vec::new();
    let mut others = Vec::with_capacity(permitted.len());
    for permitted in permitted {
        let Some((operation, user, key)) = permitted.key() else {
            others.push(permitted);
            continue;
        };
        if let Some(remembered) = known.by(operation, user, key) {
            match known.record(remembered, permitted.asked.draft) {
                Some(record) => {
                    reads.push(read_again(record, &permitted));
                    let purpose = permitted.purpose;
                    let on_behalf_of = permitted.asked.draft.caller.on_behalf_of;
                    permitted.asked.answer(Ok(Stored {
                        record: record.clone(),
                        purpose,
                        on_behalf_of,
                        anchor: None,
                        source: None,
                    }));
                }
                None => permitted.asked.answer(Err(used_before())),
            }
        } else if in_this_batch.insert((operation, user, key.to_owned())) {
            others.push(permitted);
        } else {
            // The same request is being stored: the next try finds it.
            permitted.asked.answer(Err(Error::met_another()));
        }
    }
    audit::insert(tx, &reads).await?;
    Ok(others)
}

/// What clients' keys have made before.
struct UsedKeys {
    remembered: Vec<(&'static str, Remembered)>,
    records: Vec<Record>,
}

impl UsedKeys {
    async fn by_keys_of(tx: &mut Tx<'_>, permitted: &[Permitted<'_>]) -> Result<Self, StoreError> {
        let mut remembered = Vec::new();
        for operation in OPERATIONS {
            let asked: Vec<(UserId, &str)> = permitted
                .iter()
                .filter_map(Permitted::key)
                .filter(|(of, _, _)| *of == operation)
                .map(|(_, user, key)| (user, key))
                .collect();
            let found = idempotency::find(tx, operation, &asked).await?;
            remembered.extend(found.into_iter().map(|known| (operation, known)));
        }
        let ids = remembered.iter().map(|(_, known)| RecordId(known.resource));
        let ids: Vec<RecordId> = ids.collect();
        let records = if ids.is_empty() {
            Vec::new()
        } else {
            records::by_ids(tx, &ids).await?
        };
        Ok(Self {
            remembered,
            records,
        })
    }

    fn by(&self, operation: &str, user: UserId, key: &str) -> Option<&Remembered> {
        let found = self
            .remembered
            .iter()
            .find(|(of, known)| *of == operation && known.user == user && known.key == key);
        found.map(|(_, known)| known)
    }

    /// The record that a key has made, if this draft is the request that it was used for.
    fn record(&self, remembered: &Remembered, draft: &Draft) -> Option<&Record> {
        let made = |record: &&Record| record.id.0 == remembered.resource;
        let record = self.records.iter().find(made)?;
        draft.asks_for(&remembered.request_hash).then_some(record)
    }
}

/// The row that says that somebody was told of a record that was there.
pub(super) fn read_again(record: &Record, permitted: &Permitted<'_>) -> AuditEntry {
    let caller = &permitted.asked.draft.caller;
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "version": record.version, "retry": true })),
        consent: permitted.decision.consent(),
        representation: permitted.decision.representation(),
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(record.patient),
        ..caller.entry(AuditAction::RecordRead, permitted.purpose)
    }
}

/// Decides every draft. Refusals get their audit row and the answer of a patient who does not exist.
pub(super) async fn authorize<'a>(
    tx: &mut Tx<'_>,
    asked: Vec<PendingDraft<'a>>,
    facts: &Facts,
) -> Result<Vec<Permitted<'a>>, StoreError> {
    let background = Background::of(tx, &asked).await?;
    let mut permitted = Vec::with_capacity(asked.len());
    let mut refusals = Vec::new();
    for asked in asked {
        match judge(asked.draft, facts, &background) {
            Judgement::Permitted { purpose, decision } => permitted.push(Permitted {
                asked,
                purpose,
                decision,
                at: facts.now,
            }),
            Judgement::Refused { error, entry } => {
                refusals.extend(entry);
                asked.answer(Err(error));
            }
        }
    }
    audit::insert(tx, &once_each(refusals)).await?;
    Ok(permitted)
}

/// Refusals of one request that say the same, as one with how many there were: nobody fills a patient's
/// trail by asking for many things at once.
fn once_each(refusals: Vec<AuditEntry>) -> Vec<AuditEntry> {
    let mut told: Vec<(AuditEntry, u32)> = Vec::new();
    for refusal in refusals {
        let same = told.iter_mut().find(|(known, _)| {
            known.origin.request == refusal.origin.request
                && (known.user, known.patient, known.on_behalf_of)
                    == (refusal.user, refusal.patient, refusal.on_behalf_of)
                && (known.purpose, known.consent) == (refusal.purpose, refusal.consent)
                && known.new_value == refusal.new_value
        });
        match same {
            Some((_, times)) => *times += 1,
            None => told.push((refusal, 1)),
        }
    }
    let told = told.into_iter().map(|(mut refusal, times)| {
        if let Some(value) = refusal.new_value.as_mut().filter(|_| times > 1) {
            value["times"] = json!(times);
        }
        refusal
    });
    told.collect()
}

/// What is known of the patients and of the versions that drafts follow.
struct Background {
    /// Those who have an account, and whether it is being erased.
    patients: HashMap<UserId, bool>,
    followed: Vec<Record>,
}

impl Background {
    async fn of(tx: &mut Tx<'_>, asked: &[PendingDraft<'_>]) -> Result<Self, StoreError> {
        let drafts = || asked.iter().map(|asked| asked.draft);
        let patients: Vec<UserId> = drafts().map(|draft| draft.patient).collect();
        let patients = execution::known_accounts(tx, &patients).await?;
        let followed: Vec<RecordId> = drafts().filter_map(|d| Some(d.follows?.id)).collect();
        let followed = if followed.is_empty() {
            Vec::new()
        } else {
            records::by_ids(tx, &followed).await?
        };
        Ok(Self { patients, followed })
    }

    /// The version that a draft follows, if it is what the draft was made from.
    fn followed_by(&self, draft: &Draft) -> Option<&Record> {
        let id = draft.follows?.id;
        self.followed.iter().find(|old| {
            old.id == id && old.patient == draft.patient && old.record_type == draft.record_type
        })
    }
}

/// What was decided of a draft.
#[expect(
    clippy::large_enum_variant,
    reason = "there are as many as drafts in a batch, and for a moment"
)]
enum Judgement {
    Permitted {
        purpose: Purpose,
        decision: Decision,
    },
    Refused {
        error: Error,
        /// The row that says so, where one does.
        entry: Option<AuditEntry>,
    },
}

impl From<Error> for Judgement {
    fn from(error: Error) -> Self {
        Self::Refused { error, entry: None }
    }
}

fn judge(draft: &Draft, facts: &Facts, background: &Background) -> Judgement {
    let actor = match facts.actor(&draft.caller) {
        Ok(actor) => actor,
        Err(error) => return error.into(),
    };
    let usual = || actor.default_purpose(Some(draft.patient));
    let purpose = draft.purpose.unwrap_or_else(usual);
    let old = background.followed_by(draft);
    let access_request = AccessRequest {
        actor,
        patient: draft.patient,
        action: draft.action(),
        purpose,
        record_type: draft.record_type,
        availability: old.map_or(Availability::Open, |old| old.availability),
        destination: None,
        // No emergency lets anybody write.
        emergency: None,
        now: facts.now,
    };
    let consents = facts.consents_of(draft.patient);
    let decision = match draft.follows {
        None => decide(&access_request, consents),
        Some(_) => decide_amendment(&access_request, old.and_then(|old| old.author), consents),
    };
    let account = background.patients.get(&draft.patient);
    let is_known = account.is_some();
    let reason = match decision {
        _ if !is_known || (draft.follows.is_some() && old.is_none()) => "UNKNOWN",
        Decision::Permit(_) if account == Some(&true) => BEING_ERASED,
        Decision::Deny(reason) => reason.as_str(),
        Decision::Permit(_) => {
            // A doctor's record must be complete in what matters; a patient's may be what it is.
            let must_be_whole = actor.role == Role::Doctor && actor.subject() != draft.patient;
            return match draft.lacking().filter(|_| must_be_whole) {
                Some(issues) => Error::Document(issues.to_vec()).into(),
                None => Judgement::Permitted { purpose, decision },
            };
        }
    };
    let error = match (reason, draft.follows) {
        // Whoever may store something knows of the patient.
        (BEING_ERASED, _) => being_erased(),
        (_, Some(_)) => Error::NotFound("record"),
        (_, None) => Error::NotFound("patient"),
    };
    Judgement::Refused {
        error,
        entry: Some(AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            new_value: Some(
                json!({ "reason": reason, "wanted": draft.action(), "recordType": draft.record_type }),
            ),
            consent: (reason != "UNKNOWN").then(|| decision.consent()).flatten(),
            classification: Classification::Medical,
            patient: is_known.then_some(draft.patient),
            ..draft.caller.entry(AuditAction::AccessDenied, purpose)
        }),
    }
}

/// The word of the audit trail for what is not stored because the patient's account is being erased.
const BEING_ERASED: &str = "BEING_ERASED";

fn being_erased() -> Error {
    Error::Conflict {
        field: "patientId",
        message: "the patient's account is being erased: nothing is stored for it any more"
            .to_owned(),
    }
}
