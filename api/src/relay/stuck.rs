//! Findings about records that are not on the chain although their transaction was signed: opened with the reason, and closed
//! when the anchor is in a block.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{FindingId, RequestId},
    integrity::{FeedKind, FindingKind},
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit,
    feed::{self, AnchorSubject, FeedEntry},
    findings::{self, Subject},
    outbox::{DueTransaction, again},
};

const KIND: FindingKind = FindingKind::AnchorStuck;

/// Why a transaction gets nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StuckReason {
    /// It was mined without effect: another one is signed.
    Reverted,
    /// Another transaction of the account used its nonce: another one is signed.
    NonceUsed,
    /// It would have to offer more than it may.
    FeeTooLow,
    /// The account cannot pay for it.
    NoFunds,
    /// The registry takes nothing from the account.
    RoleLost,
    /// The node does not take it, for a reason of its own.
    Refused,
    /// One node says that it came to nothing, or has to offer more, and another one does not.
    NodesDiffer,
    /// A node has it, and no block comes that takes it.
    NotMined,
}

impl StuckReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reverted => "REVERTED",
            Self::NonceUsed => "NONCE_USED",
            Self::FeeTooLow => "FEE_TOO_LOW",
            Self::NoFunds => "NO_FUNDS",
            Self::RoleLost => "ROLE_LOST",
            Self::Refused => "REFUSED",
            Self::NodesDiffer => "NODES_DIFFER",
            Self::NotMined => "NOT_MINED",
        }
    }
}

/// Opens a finding about an anchor, unless the same one is open. Gives what the feed is to tell of it.
pub(super) async fn write_down(
    tx: &mut Tx<'_>,
    subject: AnchorSubject,
    of: &DueTransaction,
    reason: StuckReason,
) -> Result<Option<FeedEntry>, StoreError> {
    let reason = reason.as_str();
    let details = json!({ "reason": reason, "nonce": of.nonce, "txHash": of.tx_hash });
    let about = Subject::Record(Some(subject.record), subject.record_hash);
    let Some(id) = findings::open_unrecorded(tx, KIND, about, &details).await? else {
        return Ok(None);
    };
    let record = subject.record;
    tracing::error!(record.id = %record, reason, "The anchor of record {record} is stuck: {reason}");
    audit::insert(tx, &[failure(subject, id, reason)]).await?;
    Ok(Some(event(FeedKind::FindingOpened, subject, id)))
}

/// The same in a transaction of its own.
pub(super) async fn open(
    pool: &Pool,
    of: &DueTransaction,
    reason: StuckReason,
) -> Result<(), StoreError> {
    let Some(record) = of.of.as_record() else {
        return Ok(());
    };
    let mut tx = pool.begin().await?;
    if let Some(subject) = again::subject(&mut tx, record).await? {
        let opened = write_down(&mut tx, subject, of, reason).await?;
        feed::append(&mut tx, opened.as_slice()).await?;
    }
    tx.commit().await
}

/// Closes the findings about anchors that are in a block by now.
pub(super) async fn close(pool: &Pool) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    let settled = again::no_longer_stuck(&mut conn).await?;
    drop(conn);
    for subject in settled {
        let record = subject.record;
        let mut tx = pool.begin().await?;
        let about = Subject::Record(Some(record), None);
        let closed = findings::resolve(&mut tx, KIND, about).await?;
        let events: Vec<FeedEntry> = closed
            .into_iter()
            .map(|id| event(FeedKind::FindingResolved, subject, id))
            .collect();
        feed::append(&mut tx, &events).await?;
        tx.commit().await?;
        tracing::info!(record.id = %record, "The anchor of record {record} is in a block");
    }
    Ok(())
}

fn failure(subject: AnchorSubject, finding: FindingId, reason: &str) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: subject.record.0,
        new_value: Some(json!({ "finding": KIND, "findingId": finding, "reason": reason })),
        classification: Classification::Security,
        encryption: EncryptionStatus::EncryptedAtRest,
        patient: Some(subject.patient),
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::IntegrityFailure,
            Purpose::SystemAdministration,
            &Origin::job(RequestId::fresh()),
        )
    }
}

fn event(kind: FeedKind, subject: AnchorSubject, finding: FindingId) -> FeedEntry {
    FeedEntry {
        record: Some(subject.record),
        patient: Some(subject.patient),
        record_type: subject.record_type,
        record_hash: subject.record_hash,
        finding: Some(finding),
        ..FeedEntry::new(kind)
    }
}
