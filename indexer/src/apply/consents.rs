//! What the registry of consents has said: stored, held against the receipts, and looked at again where they did not fit.

use std::collections::BTreeSet;

use chain::{Head, RegistryLog};
use chrono::{DateTime, Utc};
use domain::{
    audit::Origin,
    ids::{FindingId, ReceiptId, RequestId},
    integrity::FeedKind,
    records::DataHash,
};
use store::{
    StoreError, Tx, audit, chain_events,
    cursor::{self, Move, Registry},
    feed, findings,
    receipts::following::{self as receipts, ConsentEvent},
};
use uuid::Uuid;

use super::{ChainWriter, event_rows, open};
use crate::{
    error::IndexerError,
    notifications::{audit_entry_finding, feed_entry_finding},
    position::{ChainPosition, column},
    reconcile::{SuspectedFinding, consents},
};

/// How many open findings about consents are looked at in each tick.
const PAGE: i64 = 1_000;

/// How many receipts the hashes of a tick have at most: two for each finding, and for each that was signed late or is missing.
const OF_HASHES: i64 = 6_000;

/// Before every receipt.
const FIRST: ReceiptId = ReceiptId(Uuid::nil());

/// Where the sweep over consents stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsentSweep {
    /// The last finding that was looked at again; `None` to begin with the oldest.
    after_finding: Option<(DateTime<Utc>, FindingId)>,
    /// The last receipt that was held against the chain.
    pub(crate) after_receipt: ReceiptId,
}

impl Default for ConsentSweep {
    fn default() -> Self {
        Self {
            after_finding: None,
            after_receipt: FIRST,
        }
    }
}

/// The last of a page of at most `limit` that may have one after it.
fn last_of_full<T>(page: &[T], limit: i64) -> Option<&T> {
    let is_full = i64::try_from(page.len()).is_ok_and(|rows| rows >= limit);
    page.last().filter(|_| is_full)
}

/// The right to write of the registry of consents.
#[derive(Debug, Clone)]
pub(crate) struct ConsentLine {
    pub(crate) registry: Registry,
    pub(crate) fence: i64,
    /// The head before that registry's first event.
    pub(crate) first_head: Head,
}

impl ChainWriter {
    /// Applies events of the registry of consents alone, to bring it to where the other one stands.
    pub(crate) async fn advance_consents(
        &self,
        from: ChainPosition,
        to: ChainPosition,
        logs: &[RegistryLog],
        finalized_up_to: u64,
    ) -> Result<(), IndexerError> {
        let mut tx = self.pool.begin().await?;
        self.move_line(&mut tx, from, to, finalized_up_to).await?;
        let suspicions = self.apply_consents(&mut tx, logs).await?;
        let origin = Origin::job(RequestId::fresh());
        let (mut trail, mut news) = (Vec::new(), Vec::new());
        open(self, &mut tx, &suspicions, &origin, &mut trail, &mut news).await?;
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Undoes events of the registry of consents alone.
    pub(crate) async fn rewind_consents(
        &self,
        from: ChainPosition,
        to: ChainPosition,
        finalized_up_to: u64,
    ) -> Result<(), IndexerError> {
        let mut tx = self.pool.begin().await?;
        self.move_line(&mut tx, from, to, finalized_up_to).await?;
        self.undo_consents(&mut tx, column(to.block.number)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Moves the cursor of the registry of consents with the other one.
    pub(super) async fn move_consents(
        &self,
        tx: &mut Tx<'_>,
        from: ChainPosition,
        to: ChainPosition,
        finalized_up_to: u64,
    ) -> Result<(), IndexerError> {
        match (from.of_consents(), to.of_consents()) {
            (Some(from), Some(to)) => self.move_line(tx, from, to, finalized_up_to).await,
            _ => Ok(()),
        }
    }

    async fn move_line(
        &self,
        tx: &mut Tx<'_>,
        from: ChainPosition,
        to: ChainPosition,
        finalized_up_to: u64,
    ) -> Result<(), IndexerError> {
        let Some(line) = &self.consents else {
            return Ok(());
        };
        let (from, to) = (from.to_row(), to.to_row());
        let change = Move {
            fence: line.fence,
            from: &from,
            to: &to,
            chain_head: to.block_number,
            finalized_block: column(finalized_up_to).min(to.block_number),
        };
        if cursor::advance(tx, &line.registry, change).await? {
            Ok(())
        } else {
            Err(IndexerError::FenceLost)
        }
    }

    /// Stores events, and confirms the receipts that they are of; gives what does not fit.
    pub(super) async fn apply_consents(
        &self,
        tx: &mut Tx<'_>,
        logs: &[RegistryLog],
    ) -> Result<Vec<SuspectedFinding>, StoreError> {
        let Some(line) = &self.consents else {
            return Ok(Vec::new());
        };
        chain_events::insert(tx, &line.registry, &event_rows(logs)).await?;
        let events: Vec<ConsentEvent> = logs.iter().filter_map(consents::event).collect();
        reconcile(tx, &line.registry, &events).await
    }

    /// Marks events above a block as undone, after what told of them was queued again in the outbox.
    pub(super) async fn undo_consents(
        &self,
        tx: &mut Tx<'_>,
        block: i64,
    ) -> Result<u64, StoreError> {
        let Some(line) = &self.consents else {
            return Ok(0);
        };
        let events = chain_events::undo_above(tx, &line.registry, block).await?;
        receipts::reorg_above(tx, line.registry.chain_id, block).await?;
        Ok(events)
    }

    /// Looks again at the consents that did not fit, a page at a time, at the next `receipts_due` of those that are said to be
    /// in a block, and at those that were signed after the registry had them. Gives how many findings were opened and
    /// resolved, and moves the places.
    pub(crate) async fn sweep_consents(
        &self,
        place: &mut ConsentSweep,
        receipts_due: i64,
    ) -> Result<(u64, u64), IndexerError> {
        let Some(line) = &self.consents else {
            return Ok((0, 0));
        };
        let mut conn = self.pool.acquire().await?;
        let registry = &line.registry;
        let after = place.after_finding;
        let open_before = receipts::open_findings(&mut conn, registry, after, PAGE).await?;
        let late = receipts::unconfirmed(&mut conn, &line.registry).await?;
        let (chain, after) = (self.registry.chain_id, place.after_receipt);
        let page = receipts::settled(&mut conn, chain, after, None, receipts_due).await?;
        drop(conn);
        let next = ConsentSweep {
            after_finding: last_of_full(&open_before, PAGE).map(|it| (it.opened_at, it.id)),
            after_receipt: last_of_full(&page, receipts_due).map_or(FIRST, |it| it.id),
        };
        let wrong = page.iter().filter(|it| it.is_missing || it.is_misplaced);
        let wrong: Vec<DataHash> = wrong.map(|it| it.details_hash).collect();
        if open_before.is_empty() && late.is_empty() && wrong.is_empty() {
            *place = next;
            return Ok((0, 0));
        }
        let mut tx = self.pool.begin().await?;
        if !cursor::holds(&mut tx, &self.registry, self.fence).await? {
            return Err(IndexerError::FenceLost);
        }
        let hashes: BTreeSet<DataHash> = open_before
            .iter()
            .map(|it| it.details_hash)
            .chain(late)
            .chain(wrong)
            .collect();
        let hashes: Vec<DataHash> = hashes.into_iter().collect();
        // Again, now that nobody else writes what the chain says: before what is not final is put where its event is, which is
        // told all the same, and after.
        let among = Some(hashes.as_slice());
        let before = receipts::settled(&mut tx, chain, FIRST, among, OF_HASHES).await?;
        let events = receipts::events_about(&mut tx, &line.registry, &hashes).await?;
        let mut suspicions = reconcile(&mut tx, &line.registry, &events).await?;
        let after = receipts::settled(&mut tx, chain, FIRST, among, OF_HASHES).await?;
        let moved = before.iter().filter(|it| !it.is_missing);
        suspicions.extend(moved.filter_map(consents::unsettled));
        suspicions.extend(after.iter().filter_map(consents::unsettled));
        let origin = Origin::job(RequestId::fresh());
        let (mut trail, mut news) = (Vec::new(), Vec::new());
        let opened = open(self, &mut tx, &suspicions, &origin, &mut trail, &mut news).await?;
        let mut resolved = 0;
        for before in &open_before {
            let is_still = |it: &SuspectedFinding| {
                (it.kind, it.record_hash) == (before.kind, Some(before.details_hash))
            };
            if suspicions.iter().any(is_still) {
                continue;
            }
            let gone = consents::resolved(before.kind, before.details_hash);
            for id in findings::resolve(&mut tx, before.kind, self.subject(&gone)).await? {
                resolved += 1;
                trail.push(audit_entry_finding(&gone, id, "RESOLVED", &origin));
                news.push(feed_entry_finding(&gone, id, FeedKind::FindingResolved));
            }
        }
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        *place = next;
        Ok((opened, resolved))
    }
}

/// Confirms the receipts that these events are of; gives what does not fit.
async fn reconcile(
    tx: &mut Tx<'_>,
    registry: &Registry,
    events: &[ConsentEvent],
) -> Result<Vec<SuspectedFinding>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: BTreeSet<DataHash> = events.iter().map(|it| it.details_hash).collect();
    let hashes: Vec<DataHash> = hashes.into_iter().collect();
    let known = receipts::lock_by_details(tx, &hashes).await?;
    let wallets: BTreeSet<&String> = events.iter().map(|it| &it.wallet).collect();
    let wallets: Vec<String> = wallets.into_iter().cloned().collect();
    let wallets = receipts::known_wallets(tx, &wallets).await?;
    let (confirmed, suspicions) = consents::reconcile(events, &known, &wallets);
    receipts::confirm(tx, registry.chain_id, &confirmed).await?;
    Ok(suspicions)
}
