//! A record's content: opened, and compared with its hash and its anchor on every read. What does not
//! match is a finding and never silent data.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{FindingId, RequestId},
    integrity::{FeedKind, FindingKind},
    purpose::Purpose,
    records::DataHash,
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    audit,
    feed::{self, FeedEntry},
    findings,
    records::{Record, SealedRecord},
};
use vault::{
    digest,
    envelope::Binding,
    keyring::{KeyName, Keyring, WrappedKey},
};

use crate::{
    app::{App, commit},
    error::Error,
};

/// What an envelope turned out to hold.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Exactly the bytes that were hashed.
    Intact(Vec<u8>),
    /// It opened, but its hash is another one.
    Mismatch {
        /// The hash of what is in there.
        computed: DataHash,
    },
    /// It did not open.
    Undecryptable,
}

/// Opens an envelope and compares it with the hash its row holds, and with the hash that was anchored
/// where that is known. Pure computation: keys, ciphers, no I/O.
pub(crate) fn open(keyring: &Keyring, record: &Record, sealed: &SealedRecord) -> Opened {
    let Some(plain) = decrypt(keyring, record, sealed) else {
        return Opened::Undecryptable;
    };
    let computed = digest::of_document(&plain);
    let text = computed.to_string();
    let anchored = sealed.anchored_hash.as_ref();
    if text == record.data_hash && anchored.is_none_or(|anchored| text == *anchored) {
        Opened::Intact(plain)
    } else {
        Opened::Mismatch { computed }
    }
}

fn decrypt(keyring: &Keyring, record: &Record, sealed: &SealedRecord) -> Option<Vec<u8>> {
    let key_id = sealed.key?;
    let wrapped = WrappedKey {
        bytes: sealed.wrapped_key.clone()?,
        master_key_id: sealed.master_key_id.clone()?,
    };
    let name = KeyName {
        id: key_id,
        patient: record.patient,
        created_at: sealed.key_created_at?,
    };
    let key = keyring.unwrap_patient_key(name, &wrapped).ok()?;
    let binding = Binding {
        record: record.id,
        patient: record.patient,
        author: record.author,
        record_type: record.record_type,
        version: u32::try_from(record.version).ok()?,
        predecessor: record.predecessor,
        is_withdrawn: record.is_withdrawn,
        key: key_id,
        created_at: record.created_at,
        effective_at: record.effective_at,
        code_tokens: sealed.code_tokens.as_deref(),
        metadata: record.metadata.as_ref(),
        missing: record.missing.as_ref(),
    };
    key.open(&binding, &sealed.encrypted_data)
        .ok()
        .map(|plain| plain.to_vec())
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

/// Writes a finding down, once, with its audit row and its event.
///
/// # Errors
/// The database's; the content is withheld either way.
pub(crate) async fn report(
    app: &App,
    record: &Record,
    kind: FindingKind,
    details: Value,
) -> Result<(), Error> {
    tracing::error!(record.id = %record.id, finding = kind.as_str(), "Record {} failed its integrity check", record.id);
    let mut tx = app.begin().await?;
    let Some(finding) = findings::open(&mut tx, kind, Some(record.id), None, &details).await?
    else {
        return Ok(());
    };
    let entry = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "finding": kind, "findingId": finding })),
        classification: Classification::Security,
        encryption: EncryptionStatus::EncryptedAtRest,
        patient: Some(record.patient),
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::IntegrityFailure,
            Purpose::SystemAdministration,
            &Origin::job(RequestId::fresh()),
        )
    };
    audit::insert(&mut tx, &[entry]).await?;
    feed::append(&mut tx, &[event(record, FeedKind::FindingOpened, finding)]).await?;
    commit(tx).await?;
    Ok(())
}

/// Closes what was found wrong with a record's content: it is right again.
///
/// # Errors
/// The database's.
pub(crate) async fn resolve(app: &App, record: &Record) -> Result<(), Error> {
    let mut tx = app.begin().await?;
    let mut resolved = Vec::new();
    for kind in [FindingKind::ContentMismatch, FindingKind::Undecryptable] {
        resolved.extend(findings::resolve(&mut tx, kind, Some(record.id), None).await?);
    }
    let events: Vec<FeedEntry> = resolved
        .iter()
        .map(|finding| event(record, FeedKind::FindingResolved, *finding))
        .collect();
    feed::append(&mut tx, &events).await?;
    commit(tx).await?;
    Ok(())
}

fn event(record: &Record, kind: FeedKind, finding: FindingId) -> FeedEntry {
    FeedEntry {
        record: Some(record.id),
        patient: Some(record.patient),
        record_type: Some(record.record_type),
        record_hash: DataHash::parse(&record.data_hash).ok(),
        tx_hash: Some(record.blockchain_record_id.clone()),
        finding: Some(finding),
        ..FeedEntry::new(kind)
    }
}

/// Gives the bytes, or withholds them and writes down why.
///
/// # Errors
/// [`Error::Integrity`] where they are not what was hashed.
pub(crate) async fn intact(app: &App, record: &Record, opened: Opened) -> Result<Vec<u8>, Error> {
    let (kind, details) = match opened {
        Opened::Intact(bytes) => return Ok(bytes),
        Opened::Mismatch { computed } => (
            FindingKind::ContentMismatch,
            json!({ "stored": record.data_hash, "computed": computed.to_string() }),
        ),
        Opened::Undecryptable => (
            FindingKind::Undecryptable,
            json!({ "stored": record.data_hash }),
        ),
    };
    report(app, record, kind, details).await?;
    Err(Error::Integrity(record.id))
}
