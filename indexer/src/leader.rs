//! One round of a leader: look at the chain, plan, and do what the plan says.

mod advance;
mod consents;
mod doubt;
mod event_places;
mod reorganisation;

use std::time::{Duration, Instant};

use chain::Client;
use store::{Pool, StoreError, checkpoints, cursor, cursor::Registry, leases};
use tokio_util::sync::CancellationToken;

use self::event_places::PlaceQuestion;
use crate::{
    apply::ChainWriter,
    deadline::{in_time, until, within},
    endpoints::Endpoints,
    error::{IndexerError, with_causes},
    fetch::RangeSize,
    plan::{Compared, Step, finality, plan},
    position::{BlockRef, ChainPosition, RegistryState, number},
    progress::Progress,
    status::{LeadershipRole, Status},
};

/// How often a leader writes although there is nothing new: the api says that nobody leads where it does not.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often in a row the chain may move while one node is read before another is asked. Unit: rounds.
const MOVED_TOO_OFTEN: usize = 10;

/// How many remembered blocks are compared at once when the fork is looked for.
const COMPARED_AT_ONCE: usize = 16;

/// The chain on one side, the database on the other.
pub(crate) struct ChainFollower {
    endpoints: Endpoints,
    pub(crate) pool: Pool,
    pub(crate) registry: Registry,
    status: Status,
    range_size: RangeSize,
    /// What this process is called where it holds the lease.
    pub(crate) holder: String,
    /// What the operator accepted; used once.
    accept_reorg_to: Option<u64>,
    /// How many blocks there are on top of a final one, at least.
    finality_depth: u64,
    /// How many nodes in a row have brought us to a halt.
    halts: usize,
    /// How often in a row the chain moved while it was read.
    moved: usize,
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
    /// The newest block of a node that is behind us, and since when it is that.
    behind: Option<(u64, Instant)>,
    /// How far the catching up is; `None` where there is nothing to catch up with.
    catching_up: Option<Progress>,
    /// What nodes are being asked about the places of events; `None` where nothing is.
    pub(crate) place_question: Option<PlaceQuestion>,
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

/// How the chain is followed.
#[derive(Debug, Clone)]
pub(crate) struct FollowSettings {
    /// What this process is called where it holds the lease.
    pub(crate) holder: String,
    /// The block to go back to, once, where the chain was undone below finality.
    pub(crate) accept_reorg_to: Option<u64>,
    /// How many blocks there are on top of a final one, at least.
    pub(crate) finality_depth: u64,
}

impl ChainFollower {
    pub(crate) fn new(
        endpoints: Endpoints,
        pool: Pool,
        registry: Registry,
        status: Status,
        settings: FollowSettings,
        stop: CancellationToken,
    ) -> Self {
        Self {
            endpoints,
            pool,
            registry,
            status,
            range_size: RangeSize::default(),
            holder: settings.holder,
            accept_reorg_to: settings.accept_reorg_to,
            finality_depth: settings.finality_depth,
            halts: 0,
            moved: 0,
            unchecked: true,
            stop,
        }
    }

    /// The node that is asked.
    fn client(&self) -> &Client {
        self.endpoints.client()
    }

    /// Whether every other node has brought us to a halt already.
    pub(crate) fn is_last_word(&self) -> bool {
        self.halts + 1 >= self.endpoints.count()
    }

    /// The node that is asked did not do what it should: it rests, and another is asked. Gives how long to wait before.
    pub(crate) fn turn_away(&mut self, error: &IndexerError) -> Duration {
        self.halts += usize::from(error.halted().is_some());
        (self.moved, self.unchecked) = (0, true);
        let wait = self
            .endpoints
            .failed(with_causes(error), error.retry_after());
        self.status.nodes(self.endpoints.health());
        wait
    }

    /// The chain moved while it was read. Gives whether that was so too often for a chain, and another node can be asked: one that
    /// does not answer for its own blocks looks the same.
    pub(crate) fn moved(&mut self) -> bool {
        self.moved += 1;
        self.moved >= MOVED_TOO_OFTEN && self.endpoints.count() > 1
    }

    /// The node that is asked did what it should.
    pub(crate) fn did_well(&mut self) {
        (self.halts, self.moved) = (0, 0);
        self.endpoints.succeeded();
        self.status.nodes(self.endpoints.health());
    }

    /// Looks at the chain once and does what is to be done.
    pub(crate) async fn round(
        &mut self,
        leader: &mut Option<LeaderState>,
    ) -> Result<RoundOutcome, IndexerError> {
        if self.unchecked {
            let Some(checked) = until(&self.stop, self.client().check()).await else {
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
        // Counts only from one round to the next: nobody knows what a node does that gives no answer.
        let behind = leader.behind.take();
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
            Step::Behind { blocks, common } => {
                tracing::debug!("The node is {blocks} blocks behind us");
                leader.behind = behind;
                self.await_blocks(leader, seen, (common, compared.as_slice()))
                    .await
            }
            Step::AdvanceFinal { from, .. } | Step::AdvanceRecent { from, .. } => {
                let advanced = self.advance(leader, from, seen).await;
                self.advanced(leader, advanced, seen).await
            }
            Step::Rewind { to } => {
                if !self.is_undone(leader, step).await? {
                    return Ok(RoundOutcome::Done);
                }
                self.rewind(leader, to, seen).await?;
                Ok(RoundOutcome::More)
            }
            Step::TooDeep { fork } => {
                if !self.is_undone(leader, step).await? {
                    return Ok(RoundOutcome::Done);
                }
                let halt = self.too_deep(leader, fork, &compared).await?;
                self.halt_or_accept(leader, halt.into(), seen).await
            }
        }
    }

    /// The block before the registry's first: where an empty database begins.
    async fn first_position(&self) -> Result<ChainPosition, IndexerError> {
        let deployment = self.client().deployment();
        let number = deployment.block.saturating_sub(1);
        let block = self
            .client()
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
        // One that stood still since it took the lease must not take the fence from who has it now.
        let taken = within(async {
            let mut tx = self.pool.begin().await?;
            if !leases::holds(&mut tx, &self.registry, &self.holder).await? {
                return Ok(None);
            }
            let cursor = cursor::take_over(&mut tx, &self.registry, &first.to_row()).await?;
            checkpoints::confirm_by_stored_events(&mut tx, &self.registry).await?;
            tx.commit().await?;
            Ok(Some(cursor))
        });
        let cursor = taken.await?.ok_or(IndexerError::LeaseLost)?;
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
            registrar: self.client().deployment().registrar,
            first_head: first.registry_state.head,
            consents: None,
        };
        Ok(LeaderState {
            writer,
            at,
            finalized_up_to: number(cursor.finalized_block),
            noted: None,
            noted_at: Instant::now(),
            behind: None,
            catching_up: None,
            place_question: None,
        })
    }

    /// Where the chain is, and how our newest blocks compare: as many as it takes to find a common one.
    async fn look(
        &self,
        leader: &LeaderState,
    ) -> Result<(ObservedHead, Vec<Compared>), IndexerError> {
        let (head, finalized) = tokio::try_join!(self.client().head(), self.client().finalized())?;
        self.status.head_was_made(head.timestamp);
        let told = finalized.map(|block| block.number);
        let seen = ObservedHead {
            head: head.number,
            finalized: finality(head.number, told, self.finality_depth),
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
        let theirs = self.client().block_by_number(ours.number).await?;
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
            Err(error @ IndexerError::Unconfirmed { .. }) => {
                self.say_that_we_lead(leader, seen).await?;
                Err(error)
            }
            // Other nodes are asked first.
            Err(error) if error.halted().is_none() || !self.is_last_word() => Err(error),
            Err(error) => {
                if error.is_break() && self.back_to_confirmed(leader, seen).await? {
                    return Ok(RoundOutcome::More);
                }
                self.halt_or_accept(leader, error, seen).await
            }
        }
    }

    /// Writes that somebody leads where nothing was written for a while: the api reads it.
    async fn say_that_we_lead(
        &self,
        leader: &mut LeaderState,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        if leader.noted_at.elapsed() > HEARTBEAT {
            let head = seen.head.max(leader.at.block.number);
            let noted = leader.writer.note(leader.at, head, leader.finalized_up_to);
            self.status.clock(in_time(noted).await?);
            leader.noted_at = Instant::now();
        }
        Ok(())
    }

    /// Writes down where the chain is, if it moved, and finalises what became final, where no other node contradicts.
    async fn finalize(
        &self,
        leader: &mut LeaderState,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        // By the blocks that we have seen on top, whatever the node says.
        let deep_enough = leader.at.block.number.saturating_sub(self.finality_depth);
        let wanted = leader.finalized_up_to.max(seen.finalized.min(deep_enough));
        let disputed = self.dispute_about(leader, wanted).await?;
        let finalized_up_to = if disputed.is_some() {
            leader.finalized_up_to
        } else {
            wanted
        };
        let moves = finalized_up_to > leader.finalized_up_to;
        // Before any anchor is final: the sweep holds the anchors against it.
        if moves || leader.noted != Some(seen) || leader.noted_at.elapsed() > HEARTBEAT {
            let noted = leader.writer.note(leader.at, seen.head, finalized_up_to);
            self.status.clock(in_time(noted).await?);
            leader.noted_at = Instant::now();
        }
        // In the first round as well: some may have become final while nobody led.
        if moves || leader.noted.is_none() {
            let count = in_time(leader.writer.finalize(finalized_up_to)).await?;
            if count > 0 {
                tracing::info!("Finalised {count} anchors up to block {finalized_up_to}");
            }
        }
        (leader.finalized_up_to, leader.noted) = (finalized_up_to, Some(seen));
        disputed.map_or(Ok(()), |halt| Err(halt.into()))
    }
}
