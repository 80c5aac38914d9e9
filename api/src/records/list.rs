//! Finding records. Nothing is opened; what is shown of each is written down, first.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    audit,
    records::{self, Record, RecordCursor, RecordFilter},
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
    let purpose = purpose.unwrap_or_else(|| default_purpose(actor, filter));
    let may_ask = match actor.role {
        // Administrators never touch content, not even its list.
        Role::Admin => purpose == Purpose::PatientRequest,
        Role::Patient | Role::Doctor => {
            purpose == Purpose::PatientRequest || purpose.is_open_to(actor.role)
        }
    };
    let found = if may_ask {
        records::page(&mut tx, actor, purpose, filter, after, size + 1).await?
    } else {
        Vec::new()
    };
    let shown = found
        .iter()
        .take(usize::try_from(size).unwrap_or(usize::MAX));

    let search = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(json!({
            "recordType": filter.record_type,
            "count": shown.clone().count(),
        })),
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        patient: filter.patient,
        ..caller.entry(
            if may_ask {
                AuditAction::RecordSearch
            } else {
                AuditAction::AccessDenied
            },
            purpose,
        )
    };
    let reads = shown.map(|record| AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "version": record.version })),
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

fn default_purpose(actor: Actor, filter: &RecordFilter) -> Purpose {
    if filter.patient == Some(actor.id) {
        Purpose::PatientRequest
    } else {
        Purpose::default_of(actor.role)
    }
}
