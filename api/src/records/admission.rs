//! Which drafts are stored: those that were not stored before, by somebody who may.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{
    access::{Action, Actor, Decision, Question, decide},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{RecordId, SessionId, UserId},
    purpose::Purpose,
    records::Standing,
    users::Role,
};
use serde_json::json;
use store::{StoreError, Tx, audit, consents, idempotency, records, users};

use super::writer::{Answer, CREATE, Draft};
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
    let asked: Vec<(UserId, &str)> = permitted
        .iter()
        .filter_map(|permitted| permitted.draft.key())
        .collect();
    let known = idempotency::find(tx, CREATE, &asked).await?;
    let ids: Vec<RecordId> = known.iter().map(|known| RecordId(known.resource)).collect();
    let records = if ids.is_empty() {
        Vec::new()
    } else {
        records::by_ids(tx, &ids).await?
    };
    let mut in_this_group: Vec<(UserId, &str)> = Vec::new();
    let mut reads = Vec::new();
    permitted.retain(|permitted| {
        let Some(name) = permitted.draft.key() else {
            return true;
        };
        let answer = if let Some(known) = known.iter().find(|k| (k.user, k.key.as_str()) == name) {
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
                    Ok((record.clone(), permitted.purpose))
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

/// Decides every draft. Refusals get their audit row and the answer of a
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
    let actors: HashMap<SessionId, Actor> =
        users::actors(tx, &sessions).await?.into_iter().collect();
    let patients: Vec<UserId> = drafts.iter().map(|draft| draft.patient).collect();
    let known: Vec<UserId> = users::by_ids(tx, &patients)
        .await?
        .iter()
        .map(|user| user.id)
        .collect();
    let consents = consents::in_force(tx, &patients).await?;
    let now = users::now(tx).await?;
    let mut permitted = Vec::new();
    let mut refusals = Vec::new();
    for (place, (draft, answer)) in drafts.iter().zip(answers).enumerate() {
        let Some(actor) = actors
            .get(&draft.caller.session)
            .copied()
            .filter(|a| a.is_active)
        else {
            *answer = Some(Err(Error::Unauthenticated));
            continue;
        };
        let own = actor.id == draft.patient;
        let purpose = draft.purpose.unwrap_or(if own {
            Purpose::PatientRequest
        } else {
            Purpose::default_of(actor.role)
        });
        let question = Question {
            actor,
            patient: draft.patient,
            action: Action::Create,
            purpose,
            record_type: draft.record_type,
            standing: Standing::Open,
            destination: None,
            emergency: None,
            now,
        };
        let reason = match decide(&question, &consents) {
            _ if !known.contains(&draft.patient) => ("UNKNOWN", None),
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
        *answer = Some(Err(Error::NotFound("patient")));
        let is_known = known.contains(&draft.patient);
        refusals.push(AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            new_value: Some(json!({ "reason": reason.0, "wanted": Action::Create, "recordType": draft.record_type })),
            consent: reason.1,
            classification: Classification::Medical,
            patient: is_known.then_some(draft.patient),
            ..draft.caller.entry(AuditAction::AccessDenied, purpose)
        });
    }
    audit::insert(tx, &refusals).await?;
    Ok(permitted)
}
