//! Every change the indexer makes: one transaction each, fenced, so that events, anchors, findings,
//! trail, feed and cursor stand or fall together.
//!
//! Locks are taken in one order: cursor, outbox by id, anchors by record, receipts of consents by id, the feed last.

mod consents;
mod events;
mod located;
pub(crate) mod places;

use std::collections::{HashMap, HashSet};

use chain::{ChainAddress, Head, RegistryEvent, RegistryLog};
use chrono::TimeDelta;
use domain::{
    audit::{AuditEntry, Origin},
    ids::RequestId,
    integrity::FeedKind,
};
use store::{
    Pool, StoreError, Tx, audit, chain_events,
    chain_events::EventRow,
    checkpoints::{self, PinnedEvent},
    cursor,
    cursor::{Move, Registry},
    feed,
    feed::FeedEntry,
    findings, health, inspect,
    receipts::following as receipts,
    reconciliation, signers,
};

pub(crate) use self::{
    consents::{ConsentLine, ConsentSweep},
    events::EventSweep,
};
use crate::{
    error::IndexerError,
    follow::Followed,
    notifications::{
        audit_entry_confirmed, audit_entry_finding, audit_entry_reorged, feed_entries_confirmed,
        feed_entry_anchor, feed_entry_closed, feed_entry_finding, feed_entry_reopened,
    },
    position::{ChainPosition, column},
    reconcile::{self, Changes, KnownHashes, SuspectedFinding},
};

/// The most anchors finalised in one transaction.
const FINALIZE_AT_ONCE: i64 = 1_000;

/// How many rows are made at once: what is in memory of a block with very many events are the events, and not what is written
/// of each. Unit: rows.
const ROWS_AT_ONCE: usize = 1_000;

/// One leader's right to write, and what it knows of the chain.
#[derive(Debug, Clone)]
pub(crate) struct ChainWriter {
    pub(crate) pool: Pool,
    pub(crate) registry: Registry,
    pub(crate) fence: i64,
    /// The account of the deployment; those in `signers` are ours too.
    pub(crate) registrar: ChainAddress,
    /// The head before the registry's first event.
    pub(crate) first_head: Head,
    /// The registry of consents, where there is one.
    pub(crate) consents: Option<ConsentLine>,
}

/// What a transaction did, for the log and the status.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Applied {
    pub(crate) events: u64,
    pub(crate) anchors: u64,
    pub(crate) findings: u64,
}

impl ChainWriter {
    /// Applies a range that follows the cursor.
    pub(crate) async fn advance(
        &self,
        from: ChainPosition,
        read_range: &Followed,
        chain_head: u64,
        finalized_up_to: u64,
    ) -> Result<Applied, IndexerError> {
        let mut tx = self.pool.begin().await?;
        reconciliation::plan_by_keys(&mut tx).await?;
        self.move_cursor(&mut tx, from, read_range.end, chain_head, finalized_up_to)
            .await?;
        self.move_consents(&mut tx, from, read_range.end, finalized_up_to)
            .await?;
        for some in read_range.logs.chunks(ROWS_AT_ONCE) {
            chain_events::insert(&mut tx, &self.registry, &event_rows(some)).await?;
        }
        let mut changes = self.reconcile(&mut tx, read_range).await?;
        let strange = self.confirm_checkpoints(&mut tx, read_range).await?;
        changes.suspicions.extend(strange);
        // All of their rows are locked already.
        for some in changes.confirmed.chunks(ROWS_AT_ONCE) {
            let some = some.iter().map(|it| it.confirmation.clone());
            let some: Vec<_> = some.collect();
            reconciliation::confirm(&mut tx, &some, &[]).await?;
        }
        let closings: Vec<_> = changes
            .closed
            .iter()
            .map(|closed| closed.confirmation.clone())
            .collect();
        reconciliation::confirm(&mut tx, &[], &closings).await?;
        let strange = self
            .apply_consents(&mut tx, &read_range.consent_logs)
            .await?;
        changes.suspicions.extend(strange);
        cursor::remember(&mut tx, &self.registry, &read_range.blocks).await?;
        cursor::forget_below(&mut tx, &self.registry, column(finalized_up_to)).await?;

        let found = tell(self, &mut tx, &changes).await?;
        tx.commit().await?;
        Ok(Applied {
            events: (read_range.logs.len() + read_range.consent_logs.len()) as u64,
            anchors: changes.confirmed.len() as u64,
            findings: found,
        })
    }

    /// Goes back to a block of ours: what lies above was undone.
    pub(crate) async fn rewind(
        &self,
        from: ChainPosition,
        to: ChainPosition,
        chain_head: u64,
        finalized_up_to: u64,
    ) -> Result<Applied, IndexerError> {
        let mut tx = self.pool.begin().await?;
        let block = column(to.block.number);
        self.move_cursor(&mut tx, from, to, chain_head, finalized_up_to)
            .await?;
        self.move_consents(&mut tx, from, to, finalized_up_to)
            .await?;
        let mut events = chain_events::undo_above(&mut tx, &self.registry, block).await?;
        let undone = reconciliation::reorg_above(&mut tx, self.registry.chain_id, block).await?;
        events += self.undo_consents(&mut tx, block).await?;
        checkpoints::reorg_above(&mut tx, &self.registry, block).await?;
        let mut moved = undone.anchors;
        moved.sort_unstable_by_key(|anchor| anchor.place.sequence);
        cursor::forget_above(&mut tx, &self.registry, block).await?;

        let origin = Origin::job(RequestId::fresh());
        let trail: Vec<AuditEntry> = moved
            .iter()
            .map(|anchor| audit_entry_reorged(anchor, &origin))
            .collect();
        let news: Vec<FeedEntry> = moved
            .iter()
            .map(|anchor| feed_entry_anchor(FeedKind::AnchorReorged, anchor))
            .chain(undone.closings.iter().map(feed_entry_reopened))
            .collect();
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        Ok(Applied {
            events,
            anchors: moved.len() as u64,
            findings: 0,
        })
    }

    /// Notes that the chain's head or its finality moved, or where both are though nothing did. Answers how
    /// far the database's clock is ahead of ours.
    pub(crate) async fn note(
        &self,
        at: ChainPosition,
        chain_head: u64,
        finalized_up_to: u64,
    ) -> Result<TimeDelta, IndexerError> {
        let mut tx = self.pool.begin().await?;
        let clock = inspect::measure(&mut tx).await?;
        self.move_cursor(&mut tx, at, at, chain_head, finalized_up_to)
            .await?;
        cursor::forget_below(&mut tx, &self.registry, column(finalized_up_to)).await?;
        health::take_space(&mut tx).await?;
        tx.commit().await?;
        Ok(clock.ahead)
    }

    /// Finalises the anchors up to a block that cannot be undone.
    pub(crate) async fn finalize(&self, finalized_up_to: u64) -> Result<u64, IndexerError> {
        let (mut total, mut from) = (0, 0);
        loop {
            let mut tx = self.pool.begin().await?;
            reconciliation::plan_by_keys(&mut tx).await?;
            if !cursor::holds(&mut tx, &self.registry, self.fence).await? {
                return Err(IndexerError::FenceLost);
            }
            let chain = self.registry.chain_id;
            if self.consents.is_some() && total == 0 {
                receipts::finalize(&mut tx, chain, column(finalized_up_to)).await?;
            }
            let blocks = (from, column(finalized_up_to));
            let mut moved =
                reconciliation::finalize(&mut tx, chain, blocks, FINALIZE_AT_ONCE).await?;
            // The oldest blocks come first, and nobody else confirms anything meanwhile.
            let last = moved.iter().filter_map(|it| it.place.block_number).max();
            from = last.unwrap_or(from);
            // Locked by record, told in the order of the chain.
            moved.sort_unstable_by_key(|anchor| anchor.place.sequence);
            let news: Vec<FeedEntry> = moved
                .iter()
                .map(|anchor| feed_entry_anchor(FeedKind::AnchorFinalized, anchor))
                .collect();
            feed::append(&mut tx, &news).await?;
            tx.commit().await?;
            total += moved.len() as u64;
            if column(moved.len() as u64) < FINALIZE_AT_ONCE {
                return Ok(total);
            }
        }
    }

    /// Opens and resolves what the sweep found.
    pub(crate) async fn apply_findings(
        &self,
        opened: &[SuspectedFinding],
        resolved: &[SuspectedFinding],
    ) -> Result<(u64, u64), IndexerError> {
        let mut tx = self.pool.begin().await?;
        if !cursor::holds(&mut tx, &self.registry, self.fence).await? {
            return Err(IndexerError::FenceLost);
        }
        let origin = Origin::job(RequestId::fresh());
        let (mut trail, mut news) = (Vec::new(), Vec::new());
        let found = open(self, &mut tx, opened, &origin, &mut trail, &mut news).await?;
        let mut closed = 0;
        for gone in resolved {
            for id in findings::resolve(&mut tx, gone.kind, self.subject(gone)).await? {
                closed += 1;
                trail.push(audit_entry_finding(gone, id, "RESOLVED", &origin));
                news.push(feed_entry_finding(gone, id, FeedKind::FindingResolved));
            }
        }
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        Ok((found, closed))
    }

    async fn move_cursor(
        &self,
        tx: &mut Tx<'_>,
        from: ChainPosition,
        to: ChainPosition,
        chain_head: u64,
        finalized_up_to: u64,
    ) -> Result<(), IndexerError> {
        let (from, to) = (from.to_row(), to.to_row());
        let change = Move {
            fence: self.fence,
            from: &from,
            to: &to,
            chain_head: column(chain_head),
            finalized_block: column(finalized_up_to),
        };
        if cursor::advance(tx, &self.registry, change).await? {
            Ok(())
        } else {
            Err(IndexerError::FenceLost)
        }
    }

    /// Notes which of our checkpoints are in the registry, and gives those in it that are none of ours.
    async fn confirm_checkpoints(
        &self,
        tx: &mut Tx<'_>,
        read_range: &Followed,
    ) -> Result<Vec<SuspectedFinding>, StoreError> {
        let mut strange = Vec::new();
        for log in &read_range.logs {
            let RegistryEvent::CheckpointAnchored {
                tree_size,
                root,
                by,
                epoch,
                ..
            } = log.event
            else {
                continue;
            };
            let event = PinnedEvent {
                epoch: column(epoch),
                tree_size: column(tree_size),
                root,
                by: by.to_string(),
                tx_hash: log.tx_hash.to_string(),
                block_number: column(log.block_number),
                block_hash: log.block_hash.to_string(),
            };
            if !checkpoints::confirm(tx, &self.registry, &event).await? {
                strange.push(reconcile::foreign_checkpoint(&event));
            }
        }
        Ok(strange)
    }

    async fn reconcile(
        &self,
        tx: &mut Tx<'_>,
        read_range: &Followed,
    ) -> Result<Changes, IndexerError> {
        let hashes = reconcile::subjects(&read_range.logs);
        if hashes.is_empty() {
            return Ok(reconcile::reconcile(
                &read_range.logs,
                &KnownHashes::default(),
            ));
        }
        let chain = self.registry.chain_id;
        let anchors = reconciliation::lock_by_hash(tx, chain, &hashes).await?;
        let anchors: HashMap<_, _> = anchors
            .into_iter()
            .map(|anchor| (anchor.record_hash, anchor))
            .collect();
        let strange: Vec<_> = hashes
            .into_iter()
            .filter(|hash| !anchors.contains_key(hash))
            .collect();
        let unanchored = if strange.is_empty() {
            HashSet::new()
        } else {
            reconciliation::hashes_of_records(tx, &strange)
                .await?
                .into_iter()
                .collect()
        };
        let registrars = self.registrars(tx).await?;
        Ok(reconcile::reconcile(
            &read_range.logs,
            &KnownHashes {
                anchors,
                unanchored,
                registrars,
            },
        ))
    }

    /// The accounts that anchor for us: the deployment's, and every one the api ever signed with.
    pub(crate) async fn registrars(
        &self,
        conn: &mut store::PgConnection,
    ) -> Result<HashSet<ChainAddress>, StoreError> {
        let signers = signers::addresses(conn, self.registry.chain_id).await?;
        let known = signers.iter().filter_map(|signer| signer.parse().ok());
        Ok(known.chain([self.registrar]).collect())
    }
}

/// Opens what does not fit, and writes of all changes what the trail and subscribers are told; gives how many findings were opened.
/// The feed is locked last.
async fn tell(writer: &ChainWriter, tx: &mut Tx<'_>, changes: &Changes) -> Result<u64, StoreError> {
    let origin = Origin::job(RequestId::fresh());
    let (mut trail, mut news) = (Vec::new(), Vec::new());
    let suspicions = &changes.suspicions;
    let found = open(writer, tx, suspicions, &origin, &mut trail, &mut news).await?;
    for some in changes.confirmed.chunks(ROWS_AT_ONCE) {
        let entries = some.iter().map(|it| audit_entry_confirmed(it, &origin));
        let entries: Vec<AuditEntry> = entries.collect();
        audit::insert(tx, &entries).await?;
    }
    audit::insert(tx, &trail).await?;
    for some in changes.confirmed.chunks(ROWS_AT_ONCE) {
        let entries: Vec<FeedEntry> = some.iter().flat_map(feed_entries_confirmed).collect();
        feed::append(tx, &entries).await?;
    }
    let closed = changes.closed.iter().map(feed_entry_closed);
    let rest: Vec<FeedEntry> = closed.chain(news).collect();
    feed::append(tx, &rest).await?;
    Ok(found)
}

/// Opens what is not open yet, with its trail and its news; gives how many that were.
async fn open(
    writer: &ChainWriter,
    tx: &mut Tx<'_>,
    suspicions: &[SuspectedFinding],
    origin: &Origin,
    trail: &mut Vec<AuditEntry>,
    news: &mut Vec<FeedEntry>,
) -> Result<u64, StoreError> {
    // Told at the end of the transaction: what is suspected twice in it is told once.
    let mut opened = HashSet::new();
    for found in suspicions {
        let kind = found.kind;
        let details = writer.located_details(found);
        let about = writer.subject(found);
        let Some(id) = findings::open_untold(tx, kind, about, &details).await? else {
            continue;
        };
        if !opened.insert(id.0) {
            continue;
        }
        tracing::warn!(finding.kind = %kind, finding.id = %id, "Found {kind}");
        trail.push(audit_entry_finding(found, id, "OPENED", origin));
        news.push(feed_entry_finding(found, id, FeedKind::FindingOpened));
    }
    Ok(opened.len() as u64)
}

/// Logs as rows.
pub(crate) fn event_rows(logs: &[RegistryLog]) -> Vec<EventRow> {
    logs.iter()
        .map(|log| EventRow {
            block_number: column(log.block_number),
            block_hash: log.block_hash.to_string(),
            tx_hash: log.tx_hash.to_string(),
            log_index: column(log.log_index),
            kind: log.event.kind(),
            subject: log.event.subject(),
            actor: log.event.actor().to_string(),
            sequence: column(log.sequence),
            head: log.head.to_string(),
            payload: log.event.payload(),
        })
        .collect()
}
