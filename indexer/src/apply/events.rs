//! The stored events of both registries, held against one another a page at a time: each commits to those before it.

use std::collections::BTreeSet;

use chain::Head;
use domain::{audit::Origin, ids::RequestId, integrity::FeedKind};
use store::{
    PgConnection, StoreError, audit,
    cursor::{self, Position, Registry},
    feed,
    findings::{self, EventChain, EventCheck, Subject},
    replays,
};

use super::ChainWriter;
use crate::{
    error::IndexerError,
    notifications::{audit_entry_finding, feed_entry_finding},
    position::number,
    reconcile::links::{self, BrokenEvent, EventFault},
};

/// How many events of a registry one tick compares at most, as one statement gives them with the one before. With a tick each two
/// seconds that is 43 million a day. Unit: rows.
const MOST: i64 = 999;

/// How many findings one tick opens at most: the others follow. Unit: findings.
const FOUND_AT_ONCE: usize = 100;

/// How many open findings about events elsewhere one tick looks at again. Unit: findings.
const AGAIN_AT_ONCE: usize = 20;

/// Where the comparison of events stands: the last that was compared of either registry.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct EventSweep {
    pub(crate) after_sequence: i64,
    pub(crate) after_consent_sequence: i64,
}

/// What was compared of a registry.
struct ComparedEvents {
    broken: Vec<BrokenEvent>,
    /// Those of which a finding is open, and that are right.
    right: Vec<i64>,
    /// The last that was compared; zero to begin anew.
    after: i64,
}

/// One registry whose events are compared.
struct EventLine<'a> {
    chain: EventChain,
    registry: &'a Registry,
    first_head: Head,
    /// Where it was followed to.
    end: Position,
}

impl ChainWriter {
    /// Compares the next events of both registries. Gives how many findings were opened and resolved, and moves the places.
    pub(crate) async fn sweep_events(
        &self,
        place: &mut EventSweep,
        events_due: i64,
    ) -> Result<(u64, u64), IndexerError> {
        let records = (EventChain::Records, &self.registry, self.first_head);
        let (after, mut counts) = self
            .sweep_line(records, place.after_sequence, events_due)
            .await?;
        place.after_sequence = after;
        if let Some(line) = &self.consents {
            let consents = (EventChain::Consents, &line.registry, line.first_head);
            let (after, of_consents) = self
                .sweep_line(consents, place.after_consent_sequence, events_due)
                .await?;
            place.after_consent_sequence = after;
            counts = (counts.0 + of_consents.0, counts.1 + of_consents.1);
        }
        Ok(counts)
    }

    /// Compares the next events of one registry. Gives where that ended, and how many findings were opened and resolved.
    async fn sweep_line(
        &self,
        (chain, registry, first_head): (EventChain, &Registry, Head),
        after: i64,
        due: i64,
    ) -> Result<(i64, (u64, u64)), IndexerError> {
        let mut conn = self.pool.acquire().await?;
        let Some(end) = cursor::position(&mut conn, registry).await? else {
            return Ok((0, (0, 0)));
        };
        let line = EventLine {
            chain,
            registry,
            first_head,
            end,
        };
        let compared = line.compare(&mut conn, after, due.min(MOST)).await?;
        drop(conn);
        let counts = if compared.broken.is_empty() && compared.right.is_empty() {
            (0, 0)
        } else {
            self.apply_events((chain, registry), &compared.broken, &compared.right)
                .await?
        };
        Ok((compared.after, counts))
    }

    /// Opens and resolves what was found of events.
    pub(super) async fn apply_events(
        &self,
        (chain, registry): (EventChain, &Registry),
        broken: &[BrokenEvent],
        right: &[i64],
    ) -> Result<(u64, u64), IndexerError> {
        let mut tx = self.pool.begin().await?;
        // Whoever leads since then may have moved the events that were compared.
        if !cursor::holds(&mut tx, &self.registry, self.fence).await? {
            return Err(IndexerError::FenceLost);
        }
        let origin = Origin::job(RequestId::fresh());
        let (mut opened, mut resolved) = (0, 0);
        let (mut trail, mut news) = (Vec::new(), Vec::new());
        for broken in broken {
            let found = links::suspected(registry, *broken);
            let about = Subject::Event(registry, chain, broken.sequence);
            let id = findings::open_untold(&mut tx, found.kind, about, &found.details).await?;
            let Some(id) = id else {
                continue;
            };
            opened += 1;
            tracing::warn!(
                finding.kind = %found.kind,
                finding.id = %id,
                "Found {}: event {} of {}",
                found.kind,
                broken.sequence,
                registry.address
            );
            trail.push(audit_entry_finding(&found, id, "OPENED", &origin));
            news.push(feed_entry_finding(&found, id, FeedKind::FindingOpened));
        }
        let gone = links::resolved();
        for sequence in right {
            let about = Subject::Event(registry, chain, *sequence);
            for id in findings::resolve(&mut tx, gone.kind, about).await? {
                resolved += 1;
                trail.push(audit_entry_finding(&gone, id, "RESOLVED", &origin));
                news.push(feed_entry_finding(&gone, id, FeedKind::FindingResolved));
            }
        }
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        Ok((opened, resolved))
    }
}

impl EventLine<'_> {
    /// Compares at most so many events behind this one, and what is open about others.
    async fn compare(
        &self,
        conn: &mut PgConnection,
        after: i64,
        due: i64,
    ) -> Result<ComparedEvents, StoreError> {
        let end = self.end.sequence;
        let first = if (0..end).contains(&after) {
            after + 1
        } else {
            1
        };
        let last = end.min(first.saturating_add(due - 1));
        let mut broken = self.broken(conn, (first, last)).await?;
        let is_round = last >= end;
        if is_round {
            broken.extend(self.surplus(conn).await?);
        }
        let mut right = Vec::new();
        let mut others = 0;
        let check = EventCheck::Links;
        let open = findings::open_about_events(conn, self.registry, self.chain, check).await?;
        for sequence in open {
            let is_compared = if (1..=end).contains(&sequence) {
                (first..=last).contains(&sequence)
            } else {
                is_round
            };
            let is_wrong = if is_compared {
                broken.iter().any(|it| it.sequence == sequence)
            } else if others < AGAIN_AT_ONCE {
                others += 1;
                self.is_wrong(conn, sequence).await?
            } else {
                true
            };
            if !is_wrong {
                right.push(sequence);
            }
        }
        // Of a run of them the first.
        let missing = broken.iter().filter(|it| it.fault == EventFault::Missing);
        let missing: BTreeSet<i64> = missing.map(|it| it.sequence).collect();
        let is_further = |it: &BrokenEvent| missing.contains(&(it.sequence - 1));
        broken.retain(|it| it.fault != EventFault::Missing || !is_further(it));
        let mut after = if is_round { 0 } else { last };
        if broken.len() > FOUND_AT_ONCE {
            broken.truncate(FOUND_AT_ONCE);
            // The next tick goes on behind the last of them, unless that one has a number that was never given.
            let told = broken.last().map(|it| it.sequence);
            after = told.filter(|it| (1..=last).contains(it)).unwrap_or(after);
        }
        Ok(ComparedEvents {
            broken,
            right,
            after,
        })
    }

    /// Those of these events that are not as the registry has them. The last of all has to be where the cursor is.
    async fn broken(
        &self,
        conn: &mut PgConnection,
        (first, last): (i64, i64),
    ) -> Result<Vec<BrokenEvent>, StoreError> {
        let stored = replays::live_events(conn, self.registry, first - 1, last).await?;
        let chain_id = number(self.registry.chain_id);
        let mut broken = links::broken(chain_id, self.first_head, (first, last), &stored);
        let newest = stored.last().filter(|it| it.sequence == self.end.sequence);
        let is_other = newest.is_some_and(|it| it.head != self.end.head);
        if is_other && broken.iter().all(|it| it.sequence != self.end.sequence) {
            broken.push(BrokenEvent {
                sequence: self.end.sequence,
                fault: EventFault::Altered,
            });
        }
        Ok(broken)
    }

    /// Events with numbers that the registry has not given.
    async fn surplus(&self, conn: &mut PgConnection) -> Result<Vec<BrokenEvent>, StoreError> {
        let (last, limit) = (self.end.sequence, 100);
        let surplus = replays::surplus_events(conn, self.registry, last, i64::MAX, limit).await?;
        let surplus = surplus.into_iter().map(|it| BrokenEvent {
            sequence: it.sequence,
            fault: EventFault::Surplus,
        });
        Ok(surplus.collect())
    }

    /// Whether an event of which a finding is open is not right yet.
    async fn is_wrong(&self, conn: &mut PgConnection, sequence: i64) -> Result<bool, StoreError> {
        if (1..=self.end.sequence).contains(&sequence) {
            let broken = self.broken(conn, (sequence, sequence)).await?;
            return Ok(!broken.is_empty());
        }
        let rows = replays::live_events(conn, self.registry, sequence, sequence).await?;
        Ok(!rows.is_empty())
    }
}
