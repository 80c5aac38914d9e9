//! Which drafts are stored: those that were not stored before, by somebody who may.

use chrono::{DateTime, Utc};
use domain::{
    access::{Decision, Question, decide, decide_amendment},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RecordId, SessionId, UserId},
    purpose::Purpose,
    records::Standing,
    users::Role,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit, consents, idempotency,
    records::{self, Record},
    users,
};

use super::writer::{Answer, Draft, OPERATIONS, Stored};
use crate::{consents::give::used_before, error::Error};

/// A draft that may be stored, and why.
pub(super) struct Permitted<'a> {
    /// Where in the group it stands.
    pub(super) place: usize,
    /// The draft.
    pub(super) draft: &'a Draft,
    /// What it is stored for.
    pub(super) purpose: Purpose,
    /// Why it may be.
    pub(super) decision: Decision,
    /// When, by the database's clock: the time that all rows of this transaction carry.
    pub(super) at: DateTime<Utc>,
}

/// Takes those out of `permitted` whose key was used before, and answers them: with the record it made,
/// which is written down as a reading, or with a conflict.
pub(super) async fn recall(
    tx: &mut Tx<'_>,
    permitted: &mut Vec<Permitted<'_>>,
    answers: &mut [Option<Answer>],
) -> Result<(), StoreError> {
    let mut known = Vec::new();
    for operation in OPERATIONS {
        let asked: Vec<(UserId, &str)> = permitted
            .iter()
            .filter(|permitted| permitted.draft.operation() == operation)
            .filter_map(|permitted| permitted.draft.key())
            .collect();
        let found = idempotency::find(tx, operation, &asked).await?;
        known.extend(found.into_iter().map(|known| (operation, known)));
    }
    let ids: Vec<RecordId> = known
        .iter()
        .map(|(_, known)| RecordId(known.resource))
        .collect();
    let records = if ids.is_empty() {
        Vec::new()
    } else {
        records::by_ids(tx, &ids).await?
    };
    let mut in_this_group: Vec<(&str, UserId, &str)> = Vec::new();
    let mut reads = Vec::new();
    permitted.retain(|permitted| {
        let Some((user, key)) = permitted.draft.key() else {
            return true;
        };
        let name = (permitted.draft.operation(), user, key);
        let same = |operation, known: &idempotency::Remembered| {
            (operation, known.user, known.key.as_str()) == name
        };
        let answer = if let Some((_, known)) = known.iter().find(|(of, known)| same(*of, known)) {
            let record = records.iter().find(|record| record.id.0 == known.resource);
            match record.filter(|_| permitted.draft.asks_for(&known.request_hash)) {
                Some(record) => {
                    reads.push(AuditEntry {
                        resource_type: ResourceType::MedicalRecord,
                        resource_id: record.id.0,
                        new_value: Some(json!({ "version": record.version, "retry": true })),
                        consent: permitted.decision.consent(),
                        classification: Classification::Medical,
                        encryption: EncryptionStatus::MetadataOnly,
                        patient: Some(record.patient),
                        ..permitted
                            .draft
                            .caller
                            .entry(AuditAction::RecordRead, permitted.purpose)
                    });
                    Ok(Stored {
                        record: record.clone(),
                        purpose: permitted.purpose,
                        anchor: None,
                    })
                }
                None => Err(used_before()),
            }
        } else if in_this_group.contains(&name) {
            // Its twin is being stored: the next try finds it.
            Err(Error::Busy {
                retry_after_seconds: 1,
            })
        } else {
            in_this_group.push(name);
            return true;
        };
        answers[permitted.place] = Some(answer);
        false
    });
    audit::insert(tx, &reads).await
}

/// Decides every draft that was not answered yet. Refusals get their audit row and the answer of a
/// patient who does not exist.
pub(super) async fn admit<'a>(
    tx: &mut Tx<'_>,
    drafts: &'a [Draft],
    answers: &mut [Option<Answer>],
) -> Result<Vec<Permitted<'a>>, StoreError> {
    let sessions: Vec<(UserId, SessionId)> = drafts
        .iter()
        .map(|draft| (draft.caller.user, draft.caller.session))
        .collect();
    let (now, actors) = users::present(tx, &sessions).await?;
    let patients: Vec<UserId> = drafts.iter().map(|draft| draft.patient).collect();
    let known: Vec<UserId> = users::by_ids(tx, &patients)
        .await?
        .iter()
        .map(|user| user.id)
        .collect();
    let consents = consents::in_force(tx, &patients).await?;
    let followed: Vec<RecordId> = drafts.iter().filter_map(|d| Some(d.follows?.id)).collect();
    let followed = if followed.is_empty() {
        Vec::new()
    } else {
        records::by_ids(tx, &followed).await?
    };
    let mut permitted = Vec::new();
    let mut refusals = Vec::new();
    for (place, (draft, answer)) in drafts.iter().zip(answers).enumerate() {
        if answer.is_some() {
            continue;
        }
        let Some(actor) = actors
            .get(&draft.caller.session)
            .copied()
            .filter(|a| a.is_active)
        else {
            *answer = Some(Err(Error::Unauthenticated));
            continue;
        };
        let own = actor.id == draft.patient;
        let usual = || actor.default_purpose(Some(draft.patient));
        let purpose = draft.purpose.unwrap_or_else(usual);
        let old = draft.follows.map(|old| find(&followed, old.id, draft));
        let question = Question {
            actor,
            patient: draft.patient,
            action: draft.action(),
            purpose,
            record_type: draft.record_type,
            standing: old.flatten().map_or(Standing::Open, |old| old.standing),
            destination: None,
            emergency: None,
            now,
        };
        let decision = match old {
            None => decide(&question, &consents),
            Some(old) => decide_amendment(&question, old.and_then(|old| old.author), &consents),
        };
        let is_known = known.contains(&draft.patient) && old.is_none_or(|old| old.is_some());
        let reason = match decision {
            _ if !is_known => ("UNKNOWN", None),
            Decision::Deny(reason) => (reason.as_str(), Decision::Deny(reason).consent()),
            decision @ Decision::Permit(_) => {
                // A doctor's record must be complete in what matters; a patient's may be what it is.
                if let Some(issues) = draft
                    .incomplete
                    .as_ref()
                    .filter(|_| actor.role == Role::Doctor && !own)
                    && issues
                        .iter()
                        .any(|issue| issue.severity == fhir::Severity::Error)
                {
                    *answer = Some(Err(Error::Document(issues.clone())));
                } else {
                    permitted.push(Permitted {
                        place,
                        draft,
                        purpose,
                        decision,
                        at: now,
                    });
                }
                continue;
            }
        };
        let missing = if old.is_some() { "record" } else { "patient" };
        *answer = Some(Err(Error::NotFound(missing)));
        let is_known = known.contains(&draft.patient);
        refusals.push(AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            new_value: Some(json!({ "reason": reason.0, "wanted": draft.action(), "recordType": draft.record_type })),
            consent: reason.1,
            classification: Classification::Medical,
            patient: is_known.then_some(draft.patient),
            ..draft.caller.entry(AuditAction::AccessDenied, purpose)
        });
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
                && (known.user, known.patient, known.purpose, known.consent)
                    == (
                        refusal.user,
                        refusal.patient,
                        refusal.purpose,
                        refusal.consent,
                    )
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

/// The version that a draft follows, if it is what the draft was made from.
fn find<'a>(records: &'a [Record], id: RecordId, draft: &Draft) -> Option<&'a Record> {
    records.iter().find(|old| {
        old.id == id && old.patient == draft.patient && old.record_type == draft.record_type
    })
}
