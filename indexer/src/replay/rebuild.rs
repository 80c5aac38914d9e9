//! Puts what the chain says in the place of what differs: in one transaction, with a new fence, so that no leader of before writes
//! any more, and with a row of the audit trail.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin, ResourceType},
    ids::RequestId,
    purpose::Purpose,
    users,
};
use serde_json::json;
use store::{
    Tx, audit, chain_events,
    cursor::{self, Move},
    replays,
};

use super::{
    Replay, ReplayFailure,
    verify::{FollowedLine, VerifiedTables},
};
use crate::{apply::event_rows, position::column};

/// How many rows are removed or written by one statement. Unit: rows.
const AT_ONCE: usize = 1_000;

impl Replay {
    /// Refuses a role that may not replace anything, before hours are spent.
    pub(super) async fn require_owner(&self) -> Result<(), ReplayFailure> {
        let mut conn = self.pool.acquire().await?;
        if replays::may_replace(&mut conn).await? {
            return Ok(());
        }
        Err("this role may not replace what the indexer wrote: stop every indexer, and run it with the DATABASE_URL of \
             meditrustal_migrator"
            .into())
    }

    /// Replaces what differs.
    pub(super) async fn rebuild(&self, verified: &VerifiedTables) -> Result<(), ReplayFailure> {
        let lines = [Some(&verified.line), verified.consents.as_ref()];
        let lines: Vec<&FollowedLine> = lines.into_iter().flatten().collect();
        if lines.iter().any(|line| line.repair.is_too_much()) {
            return Err(
                "more than 50000 rows differ, which is no repair: restore the database from a backup"
                    .into(),
            );
        }
        for line in &lines {
            if line.cursor.block_hash != line.wanted.block_hash {
                return Err(
                    "the node does not have the block of the cursor: let an indexer follow the chain first, and run it again"
                        .into(),
                );
            }
        }
        let chain_head = self.client.head().await?.number;
        let mut tx = self.pool.begin().await?;
        for line in &lines {
            replace(&mut tx, line, column(chain_head)).await?;
        }
        cursor::remember(&mut tx, &self.registry, &verified.blocks).await?;
        audit::insert(&mut tx, &[audit_entry(verified)]).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Replaces the rows of one registry. The lock on its cursor is held from here on.
async fn replace(
    tx: &mut Tx<'_>,
    line: &FollowedLine,
    chain_head: i64,
) -> Result<(), ReplayFailure> {
    let taken = cursor::take_over(tx, &line.registry, &line.cursor).await?;
    if taken.position != line.cursor {
        return Err(
            "an indexer has moved the cursor meanwhile: stop every indexer, and run it again"
                .into(),
        );
    }
    // All that is wrong goes first: a number that a row has wrongly is another's.
    for some in line.repair.removed().chunks(AT_ONCE) {
        replays::make_room(tx, &line.registry, some, &[]).await?;
    }
    for some in line.repair.written().chunks(AT_ONCE) {
        replays::make_room(tx, &line.registry, &[], &event_rows(some)).await?;
    }
    for some in line.repair.written().chunks(AT_ONCE) {
        chain_events::insert(tx, &line.registry, &event_rows(some)).await?;
    }
    let change = Move {
        fence: taken.fence,
        from: &line.cursor,
        to: &line.wanted,
        chain_head,
        finalized_block: taken.finalized_block,
    };
    if cursor::advance(tx, &line.registry, change).await? {
        Ok(())
    } else {
        Err("another has taken the lead: stop every indexer, and run it again".into())
    }
}

/// What was replaced, by how many rows of which registry.
fn audit_entry(verified: &VerifiedTables) -> AuditEntry {
    let of = |line: &FollowedLine| {
        json!({
            "registry": line.registry.address,
            "chainId": line.registry.chain_id,
            "removedEvents": line.repair.removed().len(),
            "writtenEvents": line.repair.written().len(),
            "cursor": line.cursor != line.wanted,
        })
    };
    let origin = Origin::job(RequestId::fresh());
    AuditEntry {
        resource_type: ResourceType::Finding,
        resource_id: origin.request.0,
        new_value: Some(json!({
            "state": "REBUILT",
            "fromBlock": verified.from_block,
            "toBlock": verified.to_block,
            "records": of(&verified.line),
            "consents": verified.consents.as_ref().map(of),
            "blocks": verified.blocks.len(),
        })),
        classification: Classification::Security,
        ..AuditEntry::new(
            users::INDEXER,
            AuditAction::IntegrityFailure,
            Purpose::SystemAdministration,
            &origin,
        )
    }
}
