//! Requests that nobody verified in time are over: looked for again and again, by one process at a time.

use std::time::Duration;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin, ResourceType},
    deletion::{DeletionStatus, DeletionStep, VERIFY_WITHIN},
    ids::RequestId,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::json;
use store::{Pool, audit, deletion, housekeeping, users};
use tokio::time::MissedTickBehavior;

use crate::error::Error;

/// How many are ended in one transaction.
const AT_A_TIME: i64 = 100;

/// Looks again and again.
pub(crate) async fn run(pool: Pool, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = expire(&pool).await {
            tracing::warn!(%error, "Deletion requests that are too old cannot be ended; trying again");
        }
    }
}

/// Ends some that are too old, each with its audit row.
async fn expire(pool: &Pool) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    if !housekeeping::is_alone(&mut tx, "meditrustal expiry of deletion requests").await? {
        return Ok(());
    }
    let now = users::now(&mut tx).await?;
    let found = deletion::lock_unverified(&mut tx, now - VERIFY_WITHIN, AT_A_TIME).await?;
    let origin = Origin::job(RequestId::fresh());
    let mut entries = Vec::new();
    for sealed in found {
        let (request, _) = sealed.into_parts();
        let Some(expired) = request.after(DeletionStep::Expire) else {
            continue;
        };
        deletion::save(&mut tx, &expired, None).await?;
        entries.push(AuditEntry {
            resource_type: ResourceType::DeletionRequest,
            resource_id: expired.id.0,
            old_value: Some(json!({ "status": DeletionStatus::Pending })),
            new_value: Some(json!({ "status": expired.status, "reason": "TIME" })),
            classification: Classification::SensitivePersonal,
            patient: Some(expired.user),
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::DeletionExpire,
                Purpose::Compliance,
                &origin,
            )
        });
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(())
}
