//! What is asked again, and of other nodes, before anything is undone, called final, or given up.

use std::time::{Duration, Instant};

use store::{chain_events, cursor};

use super::{ChainFollower, LeaderState, ObservedHead, RoundOutcome};
use crate::{
    deadline::within,
    error::{Halt, IndexerError},
    fetch,
    follow::Break,
    plan::{Compared, Step, plan},
    position::{BlockRef, ChainPosition, column, number},
};

/// How long a node may stand still behind us before its newest blocks count as undone: more than a block takes on Ethereum.
const ROLLED_BACK_AFTER: Duration = Duration::from_secs(15);

/// How many blocks with events of ours are compared with the node's to find one that is the same. Unit: blocks.
const KNOWN_AT_ONCE: i64 = 1_000;

impl ChainFollower {
    /// Whether blocks of ours were undone: also when the node is asked again, and no other node that is as far has our newest.
    pub(super) async fn is_undone(
        &self,
        leader: &LeaderState,
        step: Step,
    ) -> Result<bool, IndexerError> {
        // An undone chain may be another chain: look once more before undoing anything.
        self.client().check().await?;
        let (seen, compared) = self.look(leader).await?;
        if plan(&compared, seen.head, seen.finalized, leader.finalized_up_to) != step {
            let at = leader.at.block.number;
            tracing::warn!(
                "Nothing is undone: asked again, the node says otherwise of the blocks up to {at}"
            );
            return Ok(false);
        }
        let others = self.endpoints.others_with(leader.at.block).await;
        if others.iter().any(|(_, head)| head.number >= seen.head) {
            return Err(IndexerError::Disputed(leader.at.block));
        }
        Ok(true)
    }

    /// Waits for a node that knows less than we do, or asks one that does not. One that stands still for long has undone its
    /// newest blocks and has no others yet: then so do we.
    pub(super) async fn await_blocks(
        &mut self,
        leader: &mut LeaderState,
        seen: ObservedHead,
        (common, compared): (Option<u64>, &[Compared]),
    ) -> Result<RoundOutcome, IndexerError> {
        self.unchecked = true;
        let others = self.endpoints.others_with(leader.at.block).await;
        if let Some((place, _)) = others.first() {
            self.endpoints.use_other(*place);
            return Ok(RoundOutcome::More);
        }
        let since = match leader.behind {
            Some((head, since)) if head == seen.head => since,
            Some(_) | None => Instant::now(),
        };
        leader.behind = Some((seen.head, since));
        if since.elapsed() < ROLLED_BACK_AFTER {
            self.say_that_we_lead(leader, seen).await?;
            return Ok(RoundOutcome::Done);
        }
        self.client().check().await?;
        match common {
            Some(to) if to >= leader.finalized_up_to => {
                tracing::warn!("The node's newest blocks were undone, and there are no others yet");
                self.rewind(leader, to, seen).await?;
                leader.behind = None;
                Ok(RoundOutcome::More)
            }
            common => {
                let halt = self.too_deep(leader, common, compared).await?;
                self.halt_or_accept(leader, halt.into(), seen).await
            }
        }
    }

    /// The evidence that the chain was undone below finality, with the newest block that is known to be the same.
    pub(super) async fn too_deep(
        &self,
        leader: &LeaderState,
        fork: Option<u64>,
        compared: &[Compared],
    ) -> Result<Halt, IndexerError> {
        let fork = match fork {
            Some(block) => Some(block),
            None => self.common_block(leader.at.block.number).await?,
        };
        let other = compared.iter().rev().find(|block| !block.agrees());
        let (ours, theirs) = other.map_or((leader.at.block, None), |it| (it.ours, it.theirs));
        Ok(Halt::TooDeep {
            fork,
            finalized_up_to: leader.finalized_up_to,
            ours,
            theirs,
        })
    }

    /// The newest block up to one that events of ours are in, and that the node has, too: older ones are not remembered
    /// otherwise.
    pub(super) async fn common_block(&self, up_to: u64) -> Result<Option<u64>, IndexerError> {
        let known = within(async {
            let mut conn = self.pool.acquire().await?;
            let registry = &self.registry;
            chain_events::blocks_up_to(&mut conn, registry, column(up_to), KNOWN_AT_ONCE).await
        });
        let known = known.await?;
        let numbers: Vec<u64> = known.iter().map(|block| number(block.number)).collect();
        let theirs = self.client().blocks_by_number(&numbers).await?;
        let mut both = known.iter().zip(theirs);
        let common = both.find_map(|(ours, theirs)| {
            (theirs?.hash.to_string() == ours.hash).then(|| number(ours.number))
        });
        Ok(common)
    }

    /// That another node has another block where ones up to it are about to be called final; `None` where none of them
    /// contradicts. After a jump by ranges the newest block that is remembered up to there can be far below, and the fork in
    /// between: then the block itself is asked for, and compared besides.
    pub(super) async fn dispute_about(
        &self,
        leader: &LeaderState,
        finalized_up_to: u64,
    ) -> Result<Option<Halt>, IndexerError> {
        if self.endpoints.count() == 1 || finalized_up_to <= leader.finalized_up_to {
            return Ok(None);
        }
        let remembered = within(async {
            let mut conn = self.pool.acquire().await?;
            cursor::remembered_at(&mut conn, &self.registry, column(finalized_up_to)).await
        });
        let remembered = match remembered.await? {
            Some(row) => Some(ChainPosition::from_block_row(&row)?.block),
            None => None,
        };
        let itself = match remembered {
            Some(block) if block.number == finalized_up_to => None,
            Some(_) | None => {
                let block = self.client().block_by_number(finalized_up_to).await?;
                Some(BlockRef::from(&block.ok_or(IndexerError::BlockMoved)?))
            }
        };
        // The lower one, too: the other node may not be as far as the upper one.
        for ours in itself.into_iter().chain(remembered) {
            let contradicting = self.endpoints.others_without(ours).await;
            if let Some((place, theirs)) = contradicting.first() {
                return Ok(Some(Halt::NodesDisagree {
                    ours,
                    theirs: *theirs,
                    node: place + 1,
                }));
            }
        }
        Ok(None)
    }

    /// Goes back to the newest position that the registry itself confirms, where it does not confirm the one we are at: a log
    /// was missing before. `false` where it confirms that one, or none: then going back would change nothing.
    pub(super) async fn back_to_confirmed(
        &self,
        leader: &mut LeaderState,
        seen: ObservedHead,
    ) -> Result<bool, IndexerError> {
        if self.is_confirmed(leader.at).await? != Some(false) {
            return Ok(false);
        }
        for position in self.remembered().await? {
            let block = position.block.number;
            if block >= leader.at.block.number {
                continue;
            }
            if block < leader.finalized_up_to {
                break;
            }
            let consents = match leader.at.consents {
                Some(_) => self.consents_after(block).await?,
                None => None,
            };
            let position = ChainPosition {
                consents,
                ..position
            };
            if self.is_confirmed(position).await? == Some(true) {
                tracing::warn!(
                    "What was applied above block {block} is not what the registry says; it is read again"
                );
                self.go_back(leader, position, seen).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the registries say of themselves after this block what we hold; `None` where the node cannot tell.
    async fn is_confirmed(&self, position: ChainPosition) -> Result<Option<bool>, IndexerError> {
        let block = self
            .client()
            .block_by_number(position.block.number)
            .await?
            .ok_or(IndexerError::BlockMoved)?;
        if BlockRef::from(&block) != position.block {
            return Err(IndexerError::BlockMoved);
        }
        let (records, consents) = fetch::registries_at(self.client(), &block).await?;
        let of_records = records.map(|says| says == position.registry_state);
        let of_consents = match (position.consents, consents) {
            (Some(ours), Some(says)) => Some(ours == says),
            (Some(_), None) => None,
            (None, _) => Some(true),
        };
        Ok(match (of_records, of_consents) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            (None, _) | (_, None) => None,
        })
    }

    /// Refuses a block to go back to that is not the same on both sides, or after which the registry does not stand where we
    /// hold that it stood.
    pub(super) async fn require_common(&self, to: ChainPosition) -> Result<(), IndexerError> {
        let asked = to.block.number;
        let known = within(async {
            let mut conn = self.pool.acquire().await?;
            let (registry, block) = (&self.registry, column(asked));
            let remembered = cursor::remembered_at(&mut conn, registry, block).await?;
            let with_events = chain_events::blocks_up_to(&mut conn, registry, block, 1).await?;
            let remembered = remembered.map(|row| (row.number, row.hash));
            let with_events = with_events.into_iter().map(|row| (row.number, row.hash));
            let known = remembered.into_iter().chain(with_events);
            known
                .map(|(number, hash)| BlockRef::from_columns(number, &hash))
                .collect::<Result<Vec<_>, _>>()
        });
        for ours in known.await? {
            let theirs = self.client().block_by_number(ours.number).await?;
            let theirs = theirs.map(|block| block.hash);
            if theirs != Some(ours.hash) {
                let fork = self.common_block(ours.number).await?;
                return Err(Halt::NotCommon {
                    asked,
                    ours,
                    theirs,
                    fork,
                }
                .into());
            }
        }
        let block = self.client().block_by_number(asked).await?;
        let block = block.ok_or(IndexerError::BlockMoved)?;
        match fetch::registries_at(self.client(), &block).await?.0 {
            Some(claimed) if claimed != to.registry_state => Err(Break {
                block: to.block,
                computed: to.registry_state,
                claimed,
            }
            .into()),
            Some(_) | None => Ok(()),
        }
    }
}
