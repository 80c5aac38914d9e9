//! Finding records. Nothing is opened; what is shown of each is written down, first.

use domain::{
    access::{Action, Actor, Question, decide},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::{ConsentId, UserId},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit, consents,
    records::{self, Record, RecordCursor, RecordFilter},
    users,
};

use crate::{
    app::{App, commit},
    caller::Caller,
    error::Error,
};

/// The records this caller may see, newest first, one more than asked for where there are more; and
/// the purpose they were found for.
///
/// # Errors
/// [`Error::Unauthenticated`]. A patient whose records are hidden has an empty list.
pub(crate) async fn list(
    app: &App,
    caller: &Caller,
    purpose: Option<Purpose>,
    filter: &RecordFilter,
    after: Option<RecordCursor>,
    size: i64,
) -> Result<(Vec<Record>, Purpose), Error> {
    let mut tx = app.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let purpose = purpose
        .or(caller.purpose)
        .unwrap_or_else(|| default_purpose(actor, filter));
    let may_ask = match actor.role {
        // Administrators never touch content, not even its list.
        Role::Admin => purpose == Purpose::PatientRequest,
        Role::Patient | Role::Doctor => {
            purpose == Purpose::PatientRequest || purpose.is_open_to(actor.role)
        }
    };
    let mut found = Vec::new();
    let mut grounds = Vec::new();
    if may_ask {
        let page = records::page(&mut tx, actor, purpose, filter, after, size + 1).await?;
        (found, grounds) = confirm(&mut tx, actor, purpose, page).await?;
    }
    let shown = usize::try_from(size).unwrap_or(usize::MAX).min(found.len());

    let mut search = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(json!({ "recordType": filter.record_type, "count": shown })),
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        patient: filter.patient,
        ..caller.entry(AuditAction::RecordSearch, purpose)
    };
    if !may_ask {
        search.action = AuditAction::AccessDenied;
        search.new_value = Some(json!({ "reason": "PURPOSE", "wanted": Action::Search }));
    }
    let reads = found
        .iter()
        .zip(grounds)
        .take(shown)
        .map(|(record, consent)| AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: record.id.0,
            new_value: Some(json!({ "version": record.version })),
            consent,
            classification: Classification::Medical,
            encryption: EncryptionStatus::MetadataOnly,
            patient: Some(record.patient),
            ..caller.entry(AuditAction::RecordRead, purpose)
        });
    let entries: Vec<AuditEntry> = std::iter::once(search).chain(reads).collect();
    audit::insert(&mut tx, &entries).await?;
    commit(tx).await?;
    Ok((found, purpose))
}

/// Decides each record of a page once more, where the rule itself is written, and names the consent.
/// The two never differ (a test holds them against each other); if they did, nothing is shown.
async fn confirm(
    tx: &mut Tx<'_>,
    actor: Actor,
    purpose: Purpose,
    page: Vec<Record>,
) -> Result<(Vec<Record>, Vec<Option<ConsentId>>), StoreError> {
    let mut patients: Vec<UserId> = page.iter().map(|record| record.patient).collect();
    patients.sort_unstable();
    patients.dedup();
    let consents = consents::in_force(tx, &patients).await?;
    let now = users::now(tx).await?;
    let decided = page.into_iter().filter_map(|record| {
        let question = Question {
            actor,
            patient: record.patient,
            action: Action::Search,
            purpose,
            record_type: record.record_type,
            standing: record.standing,
            destination: None,
            emergency: None,
            now,
        };
        let decision = decide(&question, &consents);
        if !decision.is_permit() {
            tracing::error!(record.id = %record.id, "SQL and the policy disagree about record {}", record.id);
            return None;
        }
        Some((record, decision.consent()))
    });
    Ok(decided.unzip())
}

fn default_purpose(actor: Actor, filter: &RecordFilter) -> Purpose {
    if filter.patient == Some(actor.id) {
        Purpose::PatientRequest
    } else {
        Purpose::default_of(actor.role)
    }
}
