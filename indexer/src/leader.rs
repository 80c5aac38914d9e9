//! One round of a leader: look at the chain, plan, and do what the plan says.

mod consents;
mod reorganisation;

use std::time::{Duration, Instant};

use chain::Client;
use store::{Pool, StoreError, checkpoints, cursor, cursor::Registry};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::ChainWriter,
    deadline::{in_time, until, within},
    error::{Halt, IndexerError},
    fetch::{self, RangeSize, Ranges},
    follow::{Followed, follow_both},
    plan::{Compared, Step, plan},
    position::{BlockRef, ChainPosition, RegistryState, number},
    status::{LeadershipRole, Status},
};

/// How often a leader writes although there is nothing new: the api says that nobody leads where it does not.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How many remembered blocks are compared at once when the fork is looked for.
const COMPARED_AT_ONCE: usize = 16;

/// The chain on one side, the database on the other.
pub(crate) struct ChainFollower {
    client: Client,
    pub(crate) pool: Pool,
    pub(crate) registry: Registry,
    status: Status,
    range_size: RangeSize,
    /// What the operator accepted; used once.
    accept_reorg_to: Option<u64>,
    /// Whether the node must be asked again who it is before anything else.
    pub(crate) unchecked: bool,
    stop: CancellationToken,
}

/// What a leader knows between two rounds; lost with leadership and read again from the database.
pub(crate) struct LeaderState {
    pub(crate) writer: ChainWriter,
    pub(crate) at: ChainPosition,
    /// The last block that was final when it was applied; the anchors up to it are finalised.
    finalized_up_to: u64,
    /// The chain's head and finality as they were last written; `None` before the first round.
    noted: Option<ObservedHead>,
    /// When that was.
    noted_at: Instant,
}

/// Where the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ObservedHead {
    head: u64,
    finalized: u64,
}

/// What is left after a round.
pub(crate) enum RoundOutcome {
    /// Nothing: wait for the next poll.
    Done,
    /// There is more: go on at once.
    More,
}

impl ChainFollower {
    pub(crate) fn new(
        client: Client,
        pool: Pool,
        registry: Registry,
        status: Status,
        accept_reorg_to: Option<u64>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            pool,
            registry,
            status,
            range_size: RangeSize::default(),
            accept_reorg_to,
            unchecked: true,
            stop,
        }
    }

    /// Looks at the chain once and does what is to be done.
    pub(crate) async fn round(
        &mut self,
        leader: &mut Option<LeaderState>,
    ) -> Result<RoundOutcome, IndexerError> {
        if self.unchecked {
            let Some(checked) = until(&self.stop, self.client.check()).await else {
                return Ok(RoundOutcome::Done);
            };
            checked?;
            self.unchecked = false;
        }
        let leader = match leader {
            Some(leader) => leader,
            None => match until(&self.stop, self.first_position()).await {
                Some(first) => leader.insert(self.take_over(first?).await?),
                None => return Ok(RoundOutcome::Done),
            },
        };
        let Some(looked) = until(&self.stop, Box::pin(self.look(leader))).await else {
            return Ok(RoundOutcome::Done);
        };
        let (seen, compared) = looked?;
        self.status.saw_head(seen.head, seen.finalized);
        let step = plan(&compared, seen.head, seen.finalized, leader.finalized_up_to);
        if compared.first().is_some_and(Compared::agrees) {
            self.join_consents(leader).await?;
        }
        match step {
            Step::Wait => {
                self.finalize(leader, seen).await?;
                Ok(RoundOutcome::Done)
            }
            Step::Behind { blocks } => {
                tracing::debug!("The node is {blocks} blocks behind us");
                self.unchecked = true;
                Ok(RoundOutcome::Done)
            }
            Step::AdvanceFinal { from, to } => {
                let advanced = self.advance_final(leader, from, to, seen).await;
                self.advanced(leader, advanced, seen).await
            }
            Step::AdvanceRecent { from, to } => {
                let advanced = self.advance_recent(leader, from, to, seen).await;
                self.advanced(leader, advanced, seen).await
            }
            Step::Rewind { to } => {
                // An undone chain may be another chain: look once more before undoing anything.
                self.client.check().await?;
                self.rewind(leader, to, seen).await?;
                Ok(RoundOutcome::More)
            }
            Step::TooDeep { fork } => {
                self.client.check().await?;
                let halt = Halt::TooDeep {
                    fork,
                    finalized_up_to: leader.finalized_up_to,
                };
                self.halt_or_accept(leader, halt.into(), seen).await
            }
        }
    }

    /// The block before the registry's first: where an empty database begins.
    async fn first_position(&self) -> Result<ChainPosition, IndexerError> {
        let deployment = self.client.deployment();
        let number = deployment.block.saturating_sub(1);
        let block = self
            .client
            .block_by_number(number)
            .await?
            .ok_or(IndexerError::BlockMoved)?;
        Ok(ChainPosition {
            block: BlockRef::from(&block),
            registry_state: RegistryState::first(deployment),
            consents: None,
        })
    }

    async fn take_over(&self, first: ChainPosition) -> Result<LeaderState, IndexerError> {
        let taken = within(async {
            let mut conn = self.pool.acquire().await?;
            cursor::take_over(&mut conn, &self.registry, &first.to_row()).await
        });
        let cursor = taken.await?;
        within(async {
            let mut tx = self.pool.begin().await?;
            checkpoints::confirm_by_stored_events(&mut tx, &self.registry).await?;
            tx.commit().await
        })
        .await?;
        let at = ChainPosition::from_row(&cursor.position)?;
        self.status.is(LeadershipRole::Leader);
        self.status.at(at.block.number, at.registry_state.sequence);
        tracing::info!(
            "Leading with fence {} from block {}, {} events so far",
            cursor.fence,
            at.block.number,
            at.registry_state.sequence
        );
        let writer = ChainWriter {
            pool: self.pool.clone(),
            registry: self.registry.clone(),
            fence: cursor.fence,
            registrar: self.client.deployment().registrar,
            consents: None,
        };
        Ok(LeaderState {
            writer,
            at,
            finalized_up_to: number(cursor.finalized_block),
            noted: None,
            noted_at: Instant::now(),
        })
    }

    /// Where the chain is, and how our newest blocks compare: as many as it takes to find a common one.
    async fn look(
        &self,
        leader: &LeaderState,
    ) -> Result<(ObservedHead, Vec<Compared>), IndexerError> {
        let (head, finalized) = tokio::try_join!(self.client.head(), self.client.finalized())?;
        self.status.head_was_made(head.timestamp);
        let seen = ObservedHead {
            head: head.number,
            finalized: finalized.map_or(0, |block| block.number),
        };
        let mut compared = vec![self.compare(leader.at.block).await?];
        if compared.iter().any(Compared::agrees) {
            return Ok((seen, compared));
        }
        let remembered = self.remembered().await?;
        let older: Vec<&ChainPosition> = remembered
            .iter()
            .filter(|position| position.block.number < leader.at.block.number)
            .collect();
        for positions in older.chunks(COMPARED_AT_ONCE) {
            let asked = positions
                .iter()
                .map(|position| self.compare(position.block));
            compared.extend(futures::future::try_join_all(asked).await?);
            if compared.iter().any(Compared::agrees) {
                break;
            }
        }
        Ok((seen, compared))
    }

    async fn compare(&self, ours: BlockRef) -> Result<Compared, IndexerError> {
        let theirs = self.client.block_by_number(ours.number).await?;
        Ok(Compared {
            ours,
            theirs: theirs.map(|block| block.hash),
        })
    }

    /// The blocks we remember, newest first.
    async fn remembered(&self) -> Result<Vec<ChainPosition>, IndexerError> {
        let rows = within(async {
            let mut conn = self.pool.acquire().await?;
            cursor::remembered(&mut conn, &self.registry).await
        });
        let rows = rows.await?;
        Ok(rows
            .iter()
            .map(ChainPosition::from_block_row)
            .collect::<Result<_, StoreError>>()?)
    }

    async fn advance_final(
        &self,
        leader: &mut LeaderState,
        from: u64,
        to: u64,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        let mut ranges = Ranges::new(&self.client, &self.range_size, from, to);
        let mut next = from;
        let chain_id = self.client.deployment().chain_id;
        loop {
            let Some(read) = until(&self.stop, ranges.next()).await else {
                return Ok(RoundOutcome::Done);
            };
            let Some(read_range) = read? else {
                return Ok(RoundOutcome::More);
            };
            let end = read_range.blocks.last().map_or(next, |block| block.number);
            let followed = match follow_both(chain_id, leader.at, read_range) {
                Ok(followed) => followed,
                Err(seen) => {
                    tracing::warn!("Asking again for blocks {next} to {end}: {seen}");
                    follow_both(
                        chain_id,
                        leader.at,
                        fetch::range(&self.client, next, end).await?,
                    )?
                }
            };
            self.apply(leader, followed, seen).await?;
            next = end + 1;
            self.status.round();
        }
    }

    async fn advance_recent(
        &self,
        leader: &mut LeaderState,
        from: u64,
        to: u64,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        let before = leader.at;
        let chain_id = self.client.deployment().chain_id;
        let read = until(
            &self.stop,
            fetch::recent(&self.client, before.block, from, to),
        )
        .await;
        let Some(read) = read else {
            return Ok(RoundOutcome::Done);
        };
        let followed = match follow_both(chain_id, before, read?) {
            Ok(followed) => followed,
            Err(seen) => {
                tracing::warn!("Asking again for blocks {from} to {to}: {seen}");
                follow_both(
                    chain_id,
                    before,
                    fetch::recent(&self.client, before.block, from, to).await?,
                )?
            }
        };
        self.apply(leader, followed, seen).await?;
        Ok(if leader.at.block.number < to {
            RoundOutcome::More
        } else {
            RoundOutcome::Done
        })
    }

    async fn apply(
        &self,
        leader: &mut LeaderState,
        followed: Option<Followed>,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        let Some(followed) = followed else {
            return Ok(());
        };
        let finalized_up_to = leader
            .finalized_up_to
            .max(seen.finalized.min(followed.end.block.number));
        let applied = in_time(leader.writer.advance(
            leader.at,
            &followed,
            seen.head,
            finalized_up_to,
        ))
        .await?;
        // `finalized_up_to` moves in `finalize`, when the anchors up to it are finalised.
        leader.at = followed.end;
        leader.noted = leader.noted.and(Some(seen));
        self.status
            .at(leader.at.block.number, leader.at.registry_state.sequence);
        self.status
            .applied(applied.events, applied.anchors, applied.findings);
        if applied.events > 0 {
            tracing::info!(
                block = leader.at.block.number,
                events = applied.events,
                confirmed = applied.anchors,
                "Applied {} events up to block {}",
                applied.events,
                leader.at.block.number
            );
        }
        Ok(())
    }

    async fn advanced(
        &mut self,
        leader: &mut LeaderState,
        advanced: Result<RoundOutcome, IndexerError>,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        match advanced {
            Ok(round) => {
                self.finalize(leader, seen).await?;
                Ok(round)
            }
            Err(IndexerError::Halt(halt)) => {
                self.halt_or_accept(leader, IndexerError::Halt(halt), seen)
                    .await
            }
            Err(error) => Err(error),
        }
    }

    /// Writes down where the chain is, if it moved, and finalises what became final.
    async fn finalize(
        &self,
        leader: &mut LeaderState,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        let finalized_up_to = leader
            .finalized_up_to
            .max(seen.finalized.min(leader.at.block.number));
        if leader.noted != Some(seen) || leader.noted_at.elapsed() > HEARTBEAT {
            let noted = leader.writer.note(leader.at, seen.head, finalized_up_to);
            self.status.clock(in_time(noted).await?);
            leader.noted_at = Instant::now();
        }
        // In the first round as well: some may have become final while nobody led.
        if leader.noted.is_none() || finalized_up_to > leader.finalized_up_to {
            let count = in_time(leader.writer.finalize(finalized_up_to)).await?;
            if count > 0 {
                tracing::info!("Finalised {count} anchors up to block {finalized_up_to}");
            }
        }
        (leader.finalized_up_to, leader.noted) = (finalized_up_to, Some(seen));
        Ok(())
    }
}
