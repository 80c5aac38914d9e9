//! One round of a leader: look at the chain, plan, and do what the plan says.

use std::time::{Duration, Instant};

use chain::Client;
use store::{Pool, StoreError, chain_events, cursor, cursor::Registry};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::Writer,
    deadline::{in_time, until, within},
    fetch::{self, Appetite, Ranges},
    follow::{Followed, follow},
    place::{BlockRef, Place, Standing, column, number},
    plan::{Compared, Step, plan},
    status::{Role, Status},
    trouble::{Halt, Trouble},
};

/// How often a leader writes although there is nothing new: the api says that nobody leads where it does not.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How many remembered blocks are compared at once when the fork is looked for.
const COMPARED_AT_ONCE: usize = 16;

/// The chain on one side, the database on the other.
pub(crate) struct Chain {
    client: Client,
    pub(crate) pool: Pool,
    pub(crate) registry: Registry,
    status: Status,
    appetite: Appetite,
    /// What the operator accepted; used once.
    accept_reorg_to: Option<u64>,
    /// Whether the node must be asked again who it is before anything else.
    pub(crate) unchecked: bool,
    stop: CancellationToken,
}

/// What a leader knows between two rounds; lost with the lead and read again from the database.
pub(crate) struct Lead {
    pub(crate) writer: Writer,
    pub(crate) at: Place,
    /// The last block that was final when it was applied; the anchors up to it are finalised.
    settled: u64,
    /// The chain's head and finality as they were last written; `None` before the first round.
    noted: Option<Seen>,
    /// When that was.
    noted_at: Instant,
}

/// Where the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    head: u64,
    finalized: u64,
}

/// What is left after a round.
pub(crate) enum Round {
    /// Nothing: wait for the next poll.
    Done,
    /// There is more: go on at once.
    More,
}

impl Chain {
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
            appetite: Appetite::default(),
            accept_reorg_to,
            unchecked: true,
            stop,
        }
    }

    /// Looks at the chain once and does what is to be done.
    pub(crate) async fn round(&mut self, lead: &mut Option<Lead>) -> Result<Round, Trouble> {
        if self.unchecked {
            let Some(checked) = until(&self.stop, self.client.check()).await else {
                return Ok(Round::Done);
            };
            checked?;
            self.unchecked = false;
        }
        let lead = match lead {
            Some(lead) => lead,
            None => match until(&self.stop, self.first_place()).await {
                Some(first) => lead.insert(self.take_over(first?).await?),
                None => return Ok(Round::Done),
            },
        };
        let Some(looked) = until(&self.stop, self.look(lead)).await else {
            return Ok(Round::Done);
        };
        let (seen, compared) = looked?;
        self.status.saw_head(seen.head, seen.finalized);
        match plan(&compared, seen.head, seen.finalized, lead.settled) {
            Step::Wait => {
                self.settle(lead, seen).await?;
                Ok(Round::Done)
            }
            Step::Behind { blocks } => {
                tracing::debug!("The node is {blocks} blocks behind us");
                self.unchecked = true;
                Ok(Round::Done)
            }
            Step::AdvanceFinal { from, to } => {
                let advanced = self.advance_final(lead, from, to, seen).await;
                self.advanced(lead, advanced, seen).await
            }
            Step::AdvanceRecent { from, to } => {
                let advanced = self.advance_recent(lead, from, to, seen).await;
                self.advanced(lead, advanced, seen).await
            }
            Step::Rewind { to } => {
                // An undone chain may be another chain: look once more before undoing anything.
                self.client.check().await?;
                self.rewind(lead, to, seen).await?;
                Ok(Round::More)
            }
            Step::TooDeep { fork } => {
                self.client.check().await?;
                let halt = Halt::TooDeep {
                    fork,
                    settled: lead.settled,
                };
                self.halt_or_accept(lead, halt.into(), seen).await
            }
        }
    }

    /// The block before the registry's first: where an empty database begins.
    async fn first_place(&self) -> Result<Place, Trouble> {
        let deployment = self.client.deployment();
        let number = deployment.block.saturating_sub(1);
        let block = self
            .client
            .block_by_number(number)
            .await?
            .ok_or(Trouble::Moved)?;
        Ok(Place {
            block: BlockRef::from(&block),
            standing: Standing::first(deployment),
        })
    }

    async fn take_over(&self, first: Place) -> Result<Lead, Trouble> {
        let taken = within(async {
            let mut conn = self.pool.acquire().await?;
            cursor::take_over(&mut conn, &self.registry, &first.to_row()).await
        });
        let cursor = taken.await?;
        let at = Place::from_row(&cursor.position)?;
        self.status.is(Role::Leader);
        self.status.at(at.block.number, at.standing.sequence);
        tracing::info!(
            "Leading with fence {} from block {}, {} events so far",
            cursor.fence,
            at.block.number,
            at.standing.sequence
        );
        let writer = Writer {
            pool: self.pool.clone(),
            registry: self.registry.clone(),
            fence: cursor.fence,
            registrar: self.client.deployment().registrar,
        };
        Ok(Lead {
            writer,
            at,
            settled: number(cursor.finalized_block),
            noted: None,
            noted_at: Instant::now(),
        })
    }

    /// Where the chain is, and how our newest blocks compare: as many as it takes to find a common one.
    async fn look(&self, lead: &Lead) -> Result<(Seen, Vec<Compared>), Trouble> {
        let (head, finalized) = tokio::try_join!(self.client.head(), self.client.finalized())?;
        self.status.head_was_made(head.timestamp);
        let seen = Seen {
            head: head.number,
            finalized: finalized.map_or(0, |block| block.number),
        };
        let mut compared = vec![self.compare(lead.at.block).await?];
        if compared.iter().any(Compared::agrees) {
            return Ok((seen, compared));
        }
        let remembered = self.remembered().await?;
        let older: Vec<&Place> = remembered
            .iter()
            .filter(|place| place.block.number < lead.at.block.number)
            .collect();
        for places in older.chunks(COMPARED_AT_ONCE) {
            let asked = places.iter().map(|place| self.compare(place.block));
            compared.extend(futures::future::try_join_all(asked).await?);
            if compared.iter().any(Compared::agrees) {
                break;
            }
        }
        Ok((seen, compared))
    }

    async fn compare(&self, ours: BlockRef) -> Result<Compared, Trouble> {
        let theirs = self.client.block_by_number(ours.number).await?;
        Ok(Compared {
            ours,
            theirs: theirs.map(|block| block.hash),
        })
    }

    /// The blocks we remember, newest first.
    async fn remembered(&self) -> Result<Vec<Place>, Trouble> {
        let rows = within(async {
            let mut conn = self.pool.acquire().await?;
            cursor::remembered(&mut conn, &self.registry).await
        });
        let rows = rows.await?;
        Ok(rows
            .iter()
            .map(Place::from_block_row)
            .collect::<Result<_, StoreError>>()?)
    }

    async fn advance_final(
        &self,
        lead: &mut Lead,
        from: u64,
        to: u64,
        seen: Seen,
    ) -> Result<Round, Trouble> {
        let mut ranges = Ranges::new(&self.client, &self.appetite, from, to);
        let mut next = from;
        let chain_id = self.client.deployment().chain_id;
        loop {
            let Some(read) = until(&self.stop, ranges.next()).await else {
                return Ok(Round::Done);
            };
            let Some(stretch) = read? else {
                return Ok(Round::More);
            };
            let end = stretch.blocks.last().map_or(next, |block| block.number);
            let followed = match follow(chain_id, lead.at.standing, stretch) {
                Ok(followed) => followed,
                Err(seen) => {
                    tracing::warn!("Asking again for blocks {next} to {end}: {seen}");
                    follow(
                        chain_id,
                        lead.at.standing,
                        fetch::range(&self.client, next, end).await?,
                    )?
                }
            };
            self.apply(lead, followed, seen).await?;
            next = end + 1;
            self.status.round();
        }
    }

    async fn advance_recent(
        &self,
        lead: &mut Lead,
        from: u64,
        to: u64,
        seen: Seen,
    ) -> Result<Round, Trouble> {
        let (before, standing) = (lead.at.block, lead.at.standing);
        let chain_id = self.client.deployment().chain_id;
        let read = until(&self.stop, fetch::recent(&self.client, before, from, to)).await;
        let Some(read) = read else {
            return Ok(Round::Done);
        };
        let followed = match follow(chain_id, standing, read?) {
            Ok(followed) => followed,
            Err(seen) => {
                tracing::warn!("Asking again for blocks {from} to {to}: {seen}");
                follow(
                    chain_id,
                    standing,
                    fetch::recent(&self.client, before, from, to).await?,
                )?
            }
        };
        self.apply(lead, followed, seen).await?;
        Ok(if lead.at.block.number < to {
            Round::More
        } else {
            Round::Done
        })
    }

    async fn apply(
        &self,
        lead: &mut Lead,
        followed: Option<Followed>,
        seen: Seen,
    ) -> Result<(), Trouble> {
        let Some(followed) = followed else {
            return Ok(());
        };
        let settled = lead
            .settled
            .max(seen.finalized.min(followed.end.block.number));
        let applied = in_time(lead.writer.advance(lead.at, &followed, seen.head, settled)).await?;
        // `settled` moves in `settle`, when the anchors up to it are finalised.
        lead.at = followed.end;
        lead.noted = lead.noted.and(Some(seen));
        self.status
            .at(lead.at.block.number, lead.at.standing.sequence);
        self.status
            .applied(applied.events, applied.anchors, applied.findings);
        if applied.events > 0 {
            tracing::info!(
                block = lead.at.block.number,
                events = applied.events,
                confirmed = applied.anchors,
                "Applied {} events up to block {}",
                applied.events,
                lead.at.block.number
            );
        }
        Ok(())
    }

    async fn advanced(
        &mut self,
        lead: &mut Lead,
        advanced: Result<Round, Trouble>,
        seen: Seen,
    ) -> Result<Round, Trouble> {
        match advanced {
            Ok(round) => {
                self.settle(lead, seen).await?;
                Ok(round)
            }
            Err(Trouble::Halt(halt)) => self.halt_or_accept(lead, Trouble::Halt(halt), seen).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes down where the chain is, if it moved, and finalises what became final.
    async fn settle(&self, lead: &mut Lead, seen: Seen) -> Result<(), Trouble> {
        let settled = lead.settled.max(seen.finalized.min(lead.at.block.number));
        if lead.noted != Some(seen) || lead.noted_at.elapsed() > HEARTBEAT {
            let noted = lead.writer.note(lead.at, seen.head, settled);
            self.status.clock(in_time(noted).await?);
            lead.noted_at = Instant::now();
        }
        // In the first round as well: some may have become final while nobody led.
        if lead.noted.is_none() || settled > lead.settled {
            let count = in_time(lead.writer.finalize(settled)).await?;
            if count > 0 {
                tracing::info!("Finalised {count} anchors up to block {settled}");
            }
        }
        (lead.settled, lead.noted) = (settled, Some(seen));
        Ok(())
    }

    async fn rewind(&self, lead: &mut Lead, to: u64, seen: Seen) -> Result<(), Trouble> {
        let remembered = self.remembered().await?;
        match remembered
            .into_iter()
            .find(|place| place.block.number == to)
        {
            Some(place) => self.go_back(lead, place, seen).await,
            None => Err(Halt::TooDeep {
                fork: Some(to),
                settled: lead.settled,
            }
            .into()),
        }
    }

    async fn go_back(&self, lead: &mut Lead, to: Place, seen: Seen) -> Result<(), Trouble> {
        let depth = lead.at.block.number - to.block.number;
        let settled = lead.settled.min(to.block.number);
        let undone = in_time(lead.writer.rewind(lead.at, to, seen.head, settled)).await?;
        (lead.at, lead.settled) = (to, settled);
        self.status.at(to.block.number, to.standing.sequence);
        self.status.reorged(depth);
        tracing::warn!(
            depth,
            events = undone.events,
            anchors = undone.anchors,
            "The chain was undone above block {}: {} events and {} anchors taken back",
            to.block.number,
            undone.events,
            undone.anchors
        );
        Ok(())
    }

    /// Stops applying, unless the operator said beforehand how far back to go.
    async fn halt_or_accept(
        &mut self,
        lead: &mut Lead,
        halt: Trouble,
        seen: Seen,
    ) -> Result<Round, Trouble> {
        let Some(block) = self
            .accept_reorg_to
            .filter(|block| *block < lead.at.block.number)
        else {
            return Err(halt);
        };
        let theirs = self
            .client
            .block_by_number(block)
            .await?
            .ok_or(Trouble::Moved)?;
        let stood = within(async {
            let mut conn = self.pool.acquire().await?;
            chain_events::standing_after(&mut conn, &self.registry, column(block)).await
        });
        let standing = match stood.await? {
            None => Standing::first(self.client.deployment()),
            Some(stood) => {
                let head = stood.head.parse();
                let head = head.map_err(|_| StoreError::Unreadable {
                    what: "rolling head",
                })?;
                Standing {
                    sequence: number(stood.sequence),
                    head,
                }
            }
        };
        tracing::warn!("Going back to block {block}, as the operator accepted: {halt}");
        self.go_back(
            lead,
            Place {
                block: BlockRef::from(&theirs),
                standing,
            },
            seen,
        )
        .await?;
        self.accept_reorg_to = None;
        Ok(Round::More)
    }
}
