//! Rows of the trail whose time is over: removed where their leaves are pinned and they are what was hashed. A row of the trail
//! says how many went, with a hash over their leaves that the account of the checkpoints signs, so that what retention removed
//! can be told from what somebody else did.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::RequestId,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Tx, audit, housekeeping,
    retention::{self, DueAuditRow},
    trail::HashedRow,
};
use trail::purge::{PurgeDigest, PurgeStatement};

use super::{LOCK, Pinner, Retention, RetentionError, RetentionReport};
use crate::{audit::check::readable, error::Error};

/// How many rows go in one transaction.
const AT_ONCE: i64 = 1000;

/// Where the next rows begin: after this time, or at it with a higher number.
type After = (DateTime<Utc>, i64);

impl Retention {
    /// Goes through the rows that are due, oldest first.
    pub(super) async fn purge_audit_rows(
        &self,
        report: &mut RetentionReport,
        tell: &mut (dyn FnMut(&RetentionReport) + Send),
    ) -> Result<(), RetentionError> {
        let Some(pinner) = &self.pinner else {
            report.audit_rows_unsigned = true;
            return Ok(());
        };
        let mut after = (DateTime::UNIX_EPOCH, i64::MIN);
        while let Some(last) = self.purge_some(pinner, after, report).await? {
            tell(report);
            after = last;
        }
        Ok(())
    }

    /// Some rows, in one transaction; `None` where there are no more.
    async fn purge_some(
        &self,
        pinner: &Pinner,
        after: After,
        report: &mut RetentionReport,
    ) -> Result<Option<After>, RetentionError> {
        let mut tx = self.pool.begin().await?;
        if !report.dry_run && !housekeeping::is_alone(&mut tx, LOCK).await? {
            return Err(RetentionError::Busy);
        }
        let due = retention::audit_rows_due(&mut tx, after, AT_ONCE).await?;
        let Some(last) = due.last().map(|row| (row.event_time, row.id)) else {
            return Ok(None);
        };
        let (going, digest) = as_hashed(&mut tx, &due).await?;
        let (all, rows) = (due.len(), going.len());
        if !report.dry_run && !going.is_empty() {
            remove(&mut tx, pinner, &going, &digest).await?;
            tx.commit().await?;
        }
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        report.audit_rows += count(rows);
        report.changed_audit_rows += count(all - rows);
        Ok(Some(last))
    }
}

/// Those of the rows that are what was hashed, in the order of places, and the hash over their leaves.
async fn as_hashed(
    tx: &mut Tx<'_>,
    due: &[DueAuditRow],
) -> Result<(Vec<DueAuditRow>, PurgeDigest), RetentionError> {
    let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
    let (rows, _) = readable(tx, &ids).await?;
    let rows: BTreeMap<i64, HashedRow> = rows.into_iter().map(|row| (row.row.id, row)).collect();
    let mut places: Vec<i64> = due.iter().map(|row| row.position).collect();
    places.sort_unstable();
    let mut going: BTreeMap<i64, DueAuditRow> =
        due.iter().map(|row| (row.position, *row)).collect();
    let leaves = store::trail::leaves_at(tx, &places).await?;
    let mut digest = PurgeDigest::default();
    for leaf in &leaves {
        let hash = rows.get(&leaf.audit_id).and_then(|row| {
            let hash = row.computed()?;
            let is_right = row.leaf_hash == hash && leaf.leaf_hash == hash;
            is_right.then_some(hash)
        });
        match (hash, u64::try_from(leaf.position)) {
            (Some(hash), Ok(place)) => digest.push(place, &hash),
            _ => {
                going.remove(&leaf.position);
            }
        }
    }
    Ok((going.into_values().collect(), digest))
}

async fn remove(
    tx: &mut Tx<'_>,
    pinner: &Pinner,
    going: &[DueAuditRow],
    digest: &PurgeDigest,
) -> Result<(), RetentionError> {
    let purge = RequestId::fresh();
    let (rows, hex) = (digest.rows(), digest.hex());
    let text = PurgeStatement::text(&pinner.origin, purge.0, rows, &hex);
    let signature = pinner.signer.sign_text(&text).map_err(|error| {
        tracing::error!(%error, "What is removed from the trail cannot be signed");
        Error::Unavailable
    })?;
    let statement = PurgeStatement::new(rows, hex, &signature);
    let entry = AuditEntry {
        resource_type: ResourceType::AuditLog,
        resource_id: purge.0,
        new_value: Some(json!(statement)),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::RetentionPurge,
            Purpose::RecordManagement,
            &Origin::job(purge),
        )
    };
    audit::insert(tx, &[entry]).await?;
    retention::name_purged(tx, purge.0, going).await?;
    let removed = retention::remove_purged(tx, purge.0).await?;
    if u64::try_from(removed).ok() != Some(rows) {
        tracing::error!(
            removed,
            rows,
            "Rows of the trail are not removed: {removed} of {rows} are due any more"
        );
        return Err(Error::Unavailable.into());
    }
    Ok(())
}
