//! What a leader does when the chain was reorganised: back to the block that both sides know, never below
//! finality; `apply` takes back what was written above it, in one transaction.

use store::{StoreError, chain_events};

use super::{ChainFollower, LeaderState, ObservedHead, RoundOutcome};
use crate::{
    deadline::{in_time, within},
    error::{Halt, IndexerError},
    position::{BlockRef, ChainPosition, RegistryState, column, number},
};

impl ChainFollower {
    /// Goes back to a block that is remembered.
    ///
    /// # Errors
    /// [`Halt::TooDeep`] where it is not remembered any more.
    pub(super) async fn rewind(
        &self,
        leader: &mut LeaderState,
        to: u64,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        let remembered = self.remembered().await?;
        match remembered
            .into_iter()
            .find(|position| position.block.number == to)
        {
            Some(position) => self.go_back(leader, position, seen).await,
            None => Err(Halt::TooDeep {
                fork: Some(to),
                finalized_up_to: leader.finalized_up_to,
                ours: leader.at.block,
                theirs: None,
            }
            .into()),
        }
    }

    pub(super) async fn go_back(
        &self,
        leader: &mut LeaderState,
        to: ChainPosition,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        let consents = match leader.writer.consents {
            Some(_) => self.consents_after(to.block.number).await?,
            None => None,
        };
        let to = ChainPosition { consents, ..to };
        let depth = leader.at.block.number - to.block.number;
        let finalized_up_to = leader.finalized_up_to.min(to.block.number);
        let undone = in_time(
            leader
                .writer
                .rewind(leader.at, to, seen.head, finalized_up_to),
        )
        .await?;
        (leader.at, leader.finalized_up_to) = (to, finalized_up_to);
        self.status.at(to.block.number, to.registry_state.sequence);
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

    /// Stops applying, unless the operator said beforehand how far back to go, and that block is the same on both sides.
    pub(super) async fn halt_or_accept(
        &mut self,
        leader: &mut LeaderState,
        halt: IndexerError,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        let Some(block) = self
            .accept_reorg_to
            .filter(|block| *block < leader.at.block.number)
        else {
            return Err(halt);
        };
        let theirs = self
            .client()
            .block_by_number(block)
            .await?
            .ok_or(IndexerError::BlockMoved)?;
        let stored = within(async {
            let mut conn = self.pool.acquire().await?;
            chain_events::registry_state_after(&mut conn, &self.registry, column(block)).await
        });
        let registry_state = match stored.await? {
            None => RegistryState::first(self.client().deployment()),
            Some(stored) => {
                let head = stored.head.parse();
                let head = head.map_err(|_| StoreError::Unreadable {
                    what: "rolling head",
                })?;
                RegistryState {
                    sequence: number(stored.sequence),
                    head,
                }
            }
        };
        let to = ChainPosition {
            block: BlockRef::from(&theirs),
            registry_state,
            consents: None,
        };
        self.require_common(to).await?;
        tracing::warn!("Going back to block {block}, as the operator accepted: {halt}");
        self.go_back(leader, to, seen).await?;
        self.accept_reorg_to = None;
        Ok(RoundOutcome::More)
    }
}
