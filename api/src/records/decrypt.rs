//! A record's content: opened, and compared with its hash, its anchor and everything else that speaks of
//! it, on every read. What does not match is a finding and never silent data. The judge is `vault::row`.

use std::collections::HashMap;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{FindingId, PatientKeyId, RequestId, UserId},
    integrity::{FeedKind, FindingKind},
    purpose::Purpose,
    records::DataHash,
    stored::{StoredKey, StoredRecord},
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Pool, StoreError, audit,
    feed::{self, FeedEntry},
    findings,
};
use vault::{
    envelope::PatientKey,
    keyring::{Keyring, KeysUnavailable},
    row::{self, Content, Opened},
};

use crate::error::Error;

/// Unwraps the keys of rows, each once, and opens them.
///
/// # Errors
/// [`KeysUnavailable`]; then nothing is known of any row.
pub(crate) async fn open_all(
    keyring: &Keyring,
    rows: &[&StoredRecord],
) -> Result<Vec<Opened>, KeysUnavailable> {
    let keys = unwrapped_keys(keyring, rows).await?;
    let key_of = |row: &StoredRecord| keys.get(&row.key.as_ref()?.id);
    let opened = rows.iter().map(|row| row::open(row, key_of(row)));
    Ok(opened.collect())
}

/// The same in the envelopes' own places, which are taken out of the rows: no second copy is made of them.
///
/// # Errors
/// [`KeysUnavailable`]; then nothing is known of any row.
pub(crate) async fn open_all_in_place(
    keyring: &Keyring,
    rows: &mut [StoredRecord],
) -> Result<Vec<Opened>, KeysUnavailable> {
    let named: Vec<&StoredRecord> = rows.iter().collect();
    let keys = unwrapped_keys(keyring, &named).await?;
    let opened = rows.iter_mut().map(|row| {
        let key = row.key.as_ref().and_then(|key| keys.get(&key.id));
        row::open_in_place(row, key)
    });
    Ok(opened.collect())
}

/// The keys of rows that can be unwrapped, each once.
async fn unwrapped_keys(
    keyring: &Keyring,
    rows: &[&StoredRecord],
) -> Result<HashMap<PatientKeyId, PatientKey>, KeysUnavailable> {
    let mut keys: Vec<&StoredKey> = rows.iter().filter_map(|row| row.key.as_ref()).collect();
    keys.sort_unstable_by_key(|key| key.id);
    keys.dedup_by_key(|key| key.id);
    let unwrapped = keyring.unwrap(&keys).await?;
    let ids = keys.iter().map(|key| key.id);
    let unwrapped = ids
        .zip(unwrapped)
        .filter_map(|(id, key)| Some((id, key.ok()?)));
    Ok(unwrapped.collect())
}

/// The same of one.
///
/// # Errors
/// [`KeysUnavailable`]; then nothing is known of it.
pub(crate) async fn open(keyring: &Keyring, row: &StoredRecord) -> Result<Opened, KeysUnavailable> {
    let opened = open_all(keyring, &[row]).await?.pop();
    Ok(opened.unwrap_or(Opened::Undecryptable))
}

/// Reads opened bytes as a document. What was stored may be longer than what may come in: the patient
/// was written into each of its entries.
pub(crate) fn document(bytes: &[u8]) -> Option<fhir::Json> {
    let limits = fhir::reader::Limits {
        max_bytes: usize::MAX,
        ..fhir::reader::Limits::default()
    };
    fhir::reader::read_within(bytes, limits).ok()
}

/// What is wrong with a row, and the evidence: hashes and names of columns. `None` where nothing is.
pub(crate) fn finding_of(row: &StoredRecord, opened: &Opened) -> Option<(FindingKind, Value)> {
    match opened {
        Opened::Intact(_) => None,
        Opened::Mismatch { computed, astray } => Some((
            FindingKind::ContentMismatch,
            json!({ "stored": row.data_hash, "computed": computed.to_string(), "columns": astray }),
        )),
        Opened::Undecryptable => Some((
            FindingKind::Undecryptable,
            json!({ "stored": row.data_hash }),
        )),
    }
}

/// Gives the bytes, or withholds them and writes down why.
///
/// # Errors
/// [`Error::Integrity`] where they are not what was hashed, or the row is not as it was written.
pub(crate) async fn intact(
    pool: &Pool,
    row: &StoredRecord,
    opened: Opened,
) -> Result<Content, Error> {
    let found = finding_of(row, &opened);
    if let Opened::Intact(bytes) = opened {
        return Ok(bytes);
    }
    record_findings(pool, row, found).await?;
    Err(Error::Integrity(row.id))
}

/// Writes down what is wrong with a record now: opens that finding, once, and closes those that are so
/// no more, each with its audit row and its event.
///
/// # Errors
/// The database's; the content is withheld either way.
pub(crate) async fn record_findings(
    pool: &Pool,
    row: &StoredRecord,
    found: Option<(FindingKind, Value)>,
) -> Result<(), StoreError> {
    let subject = FindingTarget::of(row);
    let about = findings::Subject::Record(Some(row.id), None);
    let mut tx = pool.begin().await?;
    let mut events = Vec::new();
    for kind in [FindingKind::ContentMismatch, FindingKind::Undecryptable] {
        if found.as_ref().is_none_or(|(wanted, _)| *wanted != kind) {
            let closed = findings::resolve(&mut tx, kind, about).await?;
            events.extend(closed.into_iter().map(|id| subject.resolved(id)));
        }
    }
    if let Some((kind, details)) = found {
        tracing::error!(record.id = %row.id, finding = kind.as_str(), "Record {} failed its integrity check", row.id);
        if let Some(id) = findings::open_unrecorded(&mut tx, kind, about, &details).await? {
            audit::insert(&mut tx, &[subject.failure(kind, id)]).await?;
            events.push(subject.opened(id));
        }
    }
    feed::append(&mut tx, &events).await?;
    tx.commit().await
}

/// What a finding is about, as far as the row can be believed.
pub(crate) struct FindingTarget {
    resource: ResourceType,
    id: uuid::Uuid,
    patient: UserId,
    event: FeedEntry,
}

impl FindingTarget {
    pub(crate) fn of(row: &StoredRecord) -> Self {
        let event = FeedEntry {
            record: Some(row.id),
            patient: Some(row.patient),
            record_type: row.record_type.parse().ok(),
            record_hash: DataHash::parse(&row.data_hash).ok(),
            tx_hash: Some(row.blockchain_record_id.clone()),
            ..FeedEntry::new(FeedKind::FindingOpened)
        };
        Self {
            resource: ResourceType::MedicalRecord,
            id: row.id.0,
            patient: row.patient,
            event,
        }
    }

    pub(crate) fn of_key(key: &domain::stored::StoredKey) -> Self {
        let event = FeedEntry {
            patient: Some(key.patient),
            ..FeedEntry::new(FeedKind::FindingOpened)
        };
        Self {
            resource: ResourceType::PatientKey,
            id: key.id.0,
            patient: key.patient,
            event,
        }
    }

    pub(crate) fn failure(&self, kind: FindingKind, finding: FindingId) -> AuditEntry {
        AuditEntry {
            resource_type: self.resource,
            resource_id: self.id,
            new_value: Some(json!({ "finding": kind, "findingId": finding })),
            classification: Classification::Security,
            encryption: EncryptionStatus::EncryptedAtRest,
            patient: Some(self.patient),
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::IntegrityFailure,
                Purpose::SystemAdministration,
                &Origin::job(RequestId::fresh()),
            )
        }
    }

    pub(crate) fn opened(&self, finding: FindingId) -> FeedEntry {
        FeedEntry {
            finding: Some(finding),
            ..self.event.clone()
        }
    }

    pub(crate) fn resolved(&self, finding: FindingId) -> FeedEntry {
        FeedEntry {
            kind: FeedKind::FindingResolved,
            ..self.opened(finding)
        }
    }
}
