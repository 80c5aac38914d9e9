//! Rows of the trail whose time is over: removed where they are what was hashed, and pinned, and where what they say of
//! themselves and what the registry says of the time agree with the database that they are due. A row of the trail says how many
//! went, with a hash over their leaves that the account of the checkpoints signs, so that what retention removed can be told from
//! what somebody else did.

use std::collections::{BTreeMap, BTreeSet};

use chain::PinnedCheckpoint;
use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::{ConsentId, RequestId, UserId},
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    StoreError, Tx, audit, barrier, consents, housekeeping, memberships, representatives,
    retention::{self, DueAuditRow},
    seals::Walk,
    trail::{self as tree_of, HashedRow, Leaf},
};
use trail::{
    Hash,
    purge::{PurgeDigest, PurgeStatement},
    row::Row,
    tree::Place,
};
use uuid::Uuid;

use super::{
    LOCK, Pinner, Retention, RetentionError, RetentionReport,
    evidence::{self, DueVerdict},
    witness::Witness,
};
use crate::{
    audit::{check::readable, finding},
    error::Error,
};

/// How many rows go in one transaction, which locks whom they are about.
const AT_ONCE: i64 = 500;

/// Where the next rows begin: after this time, or at it with a higher number.
type After = (DateTime<Utc>, i64);

/// Rows that the database says are due, and what there is of them.
struct DueRows {
    due: Vec<DueAuditRow>,
    leaves: Vec<Leaf>,
    nodes: BTreeMap<Place, Hash>,
    rows: BTreeMap<i64, HashedRow>,
    unreadable: BTreeSet<i64>,
}

/// A row that is to go, and its leaf.
struct Going {
    due: DueAuditRow,
    leaf: Hash,
    people: Vec<UserId>,
    /// The consent that it says was given or taken back.
    consent: Option<ConsentId>,
    /// What it says was made or ended, by whose row that is over.
    tie: Option<Tie>,
}

/// What somebody may be by a row that has an end: the audit trail keeps that it was ended until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    Representation(Uuid),
    Membership(Uuid),
}

impl Retention {
    /// Goes through the rows that are due, in the order in which they became so.
    pub(super) async fn purge_audit_rows(
        &self,
        witness: &Witness,
        report: &mut RetentionReport,
        tell: &mut (dyn FnMut(&RetentionReport) + Send),
    ) -> Result<(), RetentionError> {
        let (Some(pinner), Some(checkpoint)) = (&self.pinner, witness.pinned) else {
            report.audit_rows_unsigned = true;
            return Ok(());
        };
        let mut after = (DateTime::UNIX_EPOCH, i64::MIN);
        loop {
            let found = self.found(after, &checkpoint).await?;
            let Some(last) = found.due.last().map(|row| (row.due_at, row.id)) else {
                return Ok(());
            };
            let going = self
                .judge(found, (witness.now, &checkpoint), report)
                .await?;
            if !going.is_empty() {
                report.audit_rows += self
                    .purge(pinner, going, (witness.now, report.dry_run))
                    .await?;
            }
            tell(report);
            after = last;
        }
    }

    /// The next rows. They are read one by one where one of them cannot be.
    async fn found(
        &self,
        after: After,
        pinned: &PinnedCheckpoint,
    ) -> Result<DueRows, RetentionError> {
        let mut tx = self.pool.begin().await?;
        retention::take_time(&mut tx).await?;
        let due = retention::audit_rows_due(&mut tx, after, AT_ONCE).await?;
        let mut places: Vec<i64> = due.iter().map(|row| row.position).collect();
        places.sort_unstable();
        let leaves = tree_of::leaves_at(&mut tx, &places).await?;
        let nodes = tree_of::stored(&mut tx, &evidence::nodes(pinned, &places)).await?;
        let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
        let (rows, unreadable) = readable(&mut tx, &ids).await?;
        tx.commit().await?;
        Ok(DueRows {
            due,
            leaves,
            nodes,
            rows: rows.into_iter().map(|row| (row.row.id, row)).collect(),
            unreadable,
        })
    }

    /// Those that are to go, in the order of places. Those that are not what was hashed are written down.
    async fn judge(
        &self,
        found: DueRows,
        (now, pinned): (DateTime<Utc>, &PinnedCheckpoint),
        report: &mut RetentionReport,
    ) -> Result<Vec<Going>, RetentionError> {
        if !evidence::is_this_trail(pinned, &found.nodes) {
            tracing::error!(
                size = pinned.size,
                "No row of the trail is removed: the registry holds a checkpoint of {} rows that this trail is not",
                pinned.size
            );
            return Err(Error::Unavailable.into());
        }
        let leaves: BTreeMap<i64, Leaf> = found
            .leaves
            .into_iter()
            .map(|leaf| (leaf.position, leaf))
            .collect();
        let (mut going, mut changed) = (Vec::new(), Vec::new());
        let mut undue = 0;
        for due in found.due {
            let row = found.rows.get(&due.id);
            if row.is_none() && !found.unreadable.contains(&due.id) {
                // Another process removed it since.
                continue;
            }
            let leaf = leaves.get(&due.position);
            match evidence::judge(due, (row, leaf), (now, pinned), &found.nodes) {
                DueVerdict::Due(leaf) => going.push(Going {
                    people: row.map(|row| people(&row.row)).unwrap_or_default(),
                    consent: row.and_then(|row| consent(&row.row)),
                    tie: row.and_then(|row| tie(&row.row)),
                    due,
                    leaf,
                }),
                DueVerdict::Changed(fault) => changed.push(fault),
                DueVerdict::Undue => undue += 1,
                DueVerdict::Waits => {}
            }
        }
        if undue > 0 {
            tracing::error!(
                rows = undue,
                "The database says that {undue} rows of the audit trail are due, and by what was hashed of them and the registry's time they are not"
            );
        }
        report.undue_audit_rows += undue;
        report.changed_audit_rows += u64::try_from(changed.len()).unwrap_or(u64::MAX);
        if !report.dry_run {
            finding::settle(&self.pool, &changed, &[]).await?;
        }
        going.sort_unstable_by_key(|row| row.due.position);
        Ok(going)
    }

    /// Removes them in one transaction, but for what somebody began to need meanwhile. Gives how many.
    async fn purge(
        &self,
        pinner: &Pinner,
        going: Vec<Going>,
        (now, dry_run): (DateTime<Utc>, bool),
    ) -> Result<u64, RetentionError> {
        let mut tx = self.pool.begin().await?;
        retention::take_time(&mut tx).await?;
        if !dry_run {
            if !housekeeping::is_alone(&mut tx, LOCK).await? {
                return Err(RetentionError::Busy);
            }
            let people: BTreeSet<UserId> = going
                .iter()
                .flat_map(|row| row.people.iter().copied())
                .collect();
            barrier::lock_shared(&mut tx, people).await?;
        }
        let going = self.still(&mut tx, going, now).await?;
        let mut digest = PurgeDigest::default();
        for row in &going {
            let place = u64::try_from(row.due.position).map_err(|_| Error::Unavailable)?;
            digest.push(place, &row.leaf);
        }
        if !dry_run && digest.rows() > 0 {
            remove(&mut tx, pinner, &going, &digest).await?;
            tx.commit().await?;
        } else {
            // Here, and not when it is dropped: the lock is free for the next transaction.
            tx.rollback().await?;
        }
        Ok(digest.rows())
    }

    /// Those that are due now, and that nothing goes by. That a consent, a representation or a membership is over, its row says
    /// with a seal.
    async fn still(
        &self,
        tx: &mut Tx<'_>,
        mut going: Vec<Going>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Going>, RetentionError> {
        let ids: Vec<i64> = going.iter().map(|row| row.due.id).collect();
        let due = retention::audit_rows_still_due(tx, &ids).await?;
        let needed = retention::audit_rows_needed(tx, &ids).await?;
        let (due, needed): (BTreeSet<i64>, BTreeSet<i64>) =
            (due.into_iter().collect(), needed.into_iter().collect());
        going.retain(|row| due.contains(&row.due.id) && !needed.contains(&row.due.id));
        let of_consents: Vec<ConsentId> = going.iter().filter_map(|row| row.consent).collect();
        let found = consents::by_ids(tx, &of_consents).await?.into_iter();
        let over: BTreeSet<ConsentId> = found
            .filter_map(|sealed| self.seals.open(sealed))
            .filter(|consent| consent.expires_at.is_some_and(|end| end <= now))
            .map(|consent| consent.id)
            .collect();
        going.retain(|row| row.consent.is_none_or(|id| over.contains(&id)));
        let ties: BTreeSet<Tie> = going.iter().filter_map(|row| row.tie).collect();
        let mut lasting = BTreeSet::new();
        for tie in ties {
            if !self.is_over(tx, tie, now).await? {
                lasting.insert(tie);
            }
        }
        going.retain(|row| row.tie.is_none_or(|tie| !lasting.contains(&tie)));
        Ok(going)
    }

    /// Whether a row that is there and as it was sealed says that its time is over.
    async fn is_over(
        &self,
        tx: &mut Tx<'_>,
        tie: Tie,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (Tie::Representation(id) | Tie::Membership(id)) = tie;
        let walk = Walk {
            after: Uuid::nil(),
            sealed_by: None,
            only: Some(id),
            limit: 1,
        };
        let until = match tie {
            Tie::Representation(_) => {
                let found = representatives::walk(tx, walk).await?.pop();
                let sealed = found.and_then(|(_, _, sealed)| sealed);
                let known = sealed.and_then(|sealed| self.seals.open(sealed));
                known.map(|it| it.until)
            }
            Tie::Membership(_) => {
                let found = memberships::walk(tx, walk).await?.pop();
                let known = found.and_then(|(_, sealed)| self.seals.open(sealed));
                known.and_then(|it| it.until)
            }
        };
        Ok(until.is_some_and(|end| end <= now))
    }
}

/// Whom a row is about, who did it, and for whom.
fn people(row: &Row) -> Vec<UserId> {
    let some = [Some(row.user_id), row.patient_id, row.on_behalf_of];
    some.into_iter().flatten().map(UserId).collect()
}

/// Of which consent a row says that it was given or taken back.
fn consent(row: &Row) -> Option<ConsentId> {
    let actions = [AuditAction::ConsentGrant, AuditAction::ConsentWithdraw];
    let is_one = actions.iter().any(|it| it.as_str() == row.action_type);
    is_one.then_some(ConsentId(row.resource_id))
}

/// What a row says was made or ended.
fn tie(row: &Row) -> Option<Tie> {
    let is = |action: AuditAction| action.as_str() == row.action_type;
    if is(AuditAction::RepresentativeAppoint) || is(AuditAction::RepresentativeEnd) {
        Some(Tie::Representation(row.resource_id))
    } else if is(AuditAction::MembershipAdd) || is(AuditAction::MembershipEnd) {
        Some(Tie::Membership(row.resource_id))
    } else {
        None
    }
}

async fn remove(
    tx: &mut Tx<'_>,
    pinner: &Pinner,
    going: &[Going],
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
    let going: Vec<DueAuditRow> = going.iter().map(|row| row.due).collect();
    retention::remove_audit_rows(tx, purge.0, &going).await?;
    Ok(())
}
