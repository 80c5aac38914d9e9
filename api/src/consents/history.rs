//! What became of one's consents.

use std::collections::HashMap;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::ConsentId,
    purpose::Purpose,
};
use serde_json::json;
use store::{
    Pool, audit,
    consents::{
        ConsentCursor,
        history::{self, Event},
    },
    users,
};

use super::list::ListedConsent;
use crate::{caller::Caller, error::Error, facts::distinct, seals::Seals};

/// What happened to the caller's consents, newest first, one more than asked for where there are more; each with its
/// consent.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn events(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<Vec<(Event, ListedConsent)>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let now = users::now(&mut tx).await?;
    let events = history::events(&mut tx, actor.id, now, after, size + 1).await?;
    let ids: Vec<ConsentId> = distinct(events.iter().map(|event| event.consent));
    let found = history::by_ids(&mut tx, &ids).await?.into_iter();
    let found = found.map(|sealed| seals.look_at(sealed));
    let found: HashMap<ConsentId, ListedConsent> = found.map(|it| (it.0.id, it)).collect();
    let entry = AuditEntry {
        resource_type: ResourceType::Consent,
        new_value: Some(json!({ "list": "consentHistory" })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(actor.id),
        ..caller.entry(AuditAction::ConsentRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    let events = events.into_iter();
    let with_consent = events.filter_map(|event| Some((event, found.get(&event.consent)?.clone())));
    Ok(with_consent.collect())
}
