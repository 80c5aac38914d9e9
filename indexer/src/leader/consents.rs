//! The registry of consents, where there is one: followed by the same leader, in the same transactions, and brought to
//! where the other registry stands before anything else.

use chain::Client;
use store::{
    StoreError, chain_events,
    cursor::{self, Registry},
};

use super::{ChainFollower, LeaderState};
use crate::{
    apply::{ChainWriter, ConsentLine},
    deadline::{in_time, until, within},
    error::IndexerError,
    fetch,
    follow::follow_consents,
    position::{BlockRef, ChainPosition, RegistryState, column, number},
};

/// How many blocks are read at once to catch up; fewer where the node wants fewer.
const AT_ONCE: u64 = 1_000;

/// The registry of consents of a deployment, as the database names it.
pub(super) fn registry_of(client: &Client) -> Option<Registry> {
    let deployment = client.deployment();
    Some(Registry {
        chain_id: column(deployment.chain_id),
        address: deployment.consent_registry?.to_string(),
    })
}

impl ChainFollower {
    /// Where the registry of consents stood after a block that was applied; `None` where there is none.
    pub(super) async fn consents_after(
        &self,
        block: u64,
    ) -> Result<Option<RegistryState>, IndexerError> {
        let Some(registry) = registry_of(self.client()) else {
            return Ok(None);
        };
        let stored = within(async {
            let mut conn = self.pool.acquire().await?;
            chain_events::registry_state_after(&mut conn, &registry, column(block)).await
        });
        let Some(stored) = stored.await? else {
            return Ok(RegistryState::first_of_consents(self.client().deployment()));
        };
        let head = stored.head.parse();
        let head = head.map_err(|_| StoreError::Unreadable {
            what: "rolling head",
        })?;
        Ok(Some(RegistryState {
            sequence: number(stored.sequence),
            head,
        }))
    }

    /// Has the registry of consents followed from here on, where there is one and it is not. Only while the node has our
    /// newest block: what was undone is taken back first.
    pub(super) async fn join_consents(&self, leader: &mut LeaderState) -> Result<(), IndexerError> {
        if leader.at.consents.is_some() || registry_of(self.client()).is_none() {
            return Ok(());
        }
        let Some(first) = until(&self.stop, self.first_position()).await else {
            return Ok(());
        };
        let (first, finalized) = (first?, leader.finalized_up_to);
        let joined = self
            .take_over_consents(&mut leader.writer, &mut leader.at, first, finalized)
            .await;
        if joined.is_err() {
            leader.writer.consents = None;
        }
        joined
    }

    /// Takes the registry of consents over, and applies what it has said up to where the other one stands: all of it,
    /// where it was never followed. What is above finality is read again: an indexer that did not know this registry may
    /// have gone back meanwhile. Where it has gone back below finality, as an operator accepts, all of it is read again.
    async fn take_over_consents(
        &self,
        writer: &mut ChainWriter,
        at: &mut ChainPosition,
        first: ChainPosition,
        finalized: u64,
    ) -> Result<(), IndexerError> {
        let Some(registry) = registry_of(self.client()) else {
            return Ok(());
        };
        let before = ChainPosition {
            registry_state: RegistryState::first_of_consents(self.client().deployment())
                .unwrap_or(first.registry_state),
            ..first
        };
        let taken = within(async {
            let mut tx = self.pool.begin().await?;
            if !cursor::holds(&mut tx, &writer.registry, writer.fence).await? {
                return Ok(None);
            }
            let taken = cursor::take_over(&mut tx, &registry, &before.to_row()).await?;
            tx.commit().await?;
            Ok(Some(taken))
        });
        let taken = taken.await?.ok_or(IndexerError::FenceLost)?;
        let mut position = ChainPosition::from_row(&taken.position)?;
        writer.consents = Some(ConsentLine {
            registry,
            fence: taken.fence,
            first_head: before.registry_state.head,
        });
        if position.block != at.block && position.block.number > finalized {
            position = self.back_to(writer, position, finalized).await?;
        } else if position.block.number <= finalized && !self.is_there(position.block).await? {
            tracing::warn!(
                "The chain was undone below what was followed of the registry of consents; all of it is read again"
            );
            in_time(writer.rewind_consents(position, before, finalized)).await?;
            position = before;
        }
        let (mut size, mut begins_again) = (AT_ONCE, false);
        while position.block.number < at.block.number {
            let from = position.block.number + 1;
            let to = at.block.number.min(from.saturating_add(size - 1));
            let end = at.block.number;
            match self
                .catch_up(writer, position, (from, to, end), finalized)
                .await
            {
                Ok(Some(reached)) => position = reached,
                // Of a range that can be divided.
                Ok(None) => size = (size / 2).max(1),
                Err(IndexerError::Node(error)) if size > 1 && error.asks_for_less() => size /= 2,
                // What was applied on the way was confirmed by nobody, where the node keeps no old state.
                Err(error) if error.is_break() && !begins_again && position != before => {
                    tracing::warn!("All of the registry of consents is read again: {error}");
                    in_time(writer.rewind_consents(position, before, finalized)).await?;
                    (position, begins_again) = (before, true);
                }
                Err(error) => return Err(error),
            }
        }
        if position.block != at.block {
            return Err(IndexerError::BlockMoved);
        }
        at.consents = Some(position.registry_state);
        Ok(())
    }

    /// Whether the node has this block with this hash.
    async fn is_there(&self, block: BlockRef) -> Result<bool, IndexerError> {
        let theirs = self.client().block_by_number(block.number).await?;
        Ok(theirs.ok_or(IndexerError::BlockMoved)?.hash == block.hash)
    }

    /// Undoes what is above a block that is final.
    async fn back_to(
        &self,
        writer: &ChainWriter,
        from: ChainPosition,
        block: u64,
    ) -> Result<ChainPosition, IndexerError> {
        let theirs = self.client().block_by_number(block).await?;
        let registry_state = self.consents_after(block).await?;
        let to = ChainPosition {
            block: BlockRef::from(&theirs.ok_or(IndexerError::BlockMoved)?),
            registry_state: registry_state.unwrap_or(from.registry_state),
            consents: None,
        };
        in_time(writer.rewind_consents(from, to, block)).await?;
        Ok(to)
    }

    /// Reads and applies a range; `None` where it has too many logs for one transaction and can be divided.
    async fn catch_up(
        &self,
        writer: &ChainWriter,
        position: ChainPosition,
        (from, to, end): (u64, u64, u64),
        finalized: u64,
    ) -> Result<Option<ChainPosition>, IndexerError> {
        let Some((last, read)) = fetch::consents(self.client(), from, to).await? else {
            return Ok(None);
        };
        // What is missing before shows at the end: there the registry itself must have spoken.
        if to == end && read.registry.is_none() {
            return Err(IndexerError::Unconfirmed { from, to });
        }
        let block = BlockRef::from(&last);
        let chain_id = self.client().deployment().chain_id;
        let reached = ChainPosition {
            registry_state: follow_consents(chain_id, position.registry_state, block, &read)?,
            block,
            consents: None,
        };
        in_time(writer.advance_consents(position, reached, &read.logs, finalized)).await?;
        let events = read.logs.len();
        if events > 0 {
            tracing::info!(
                events,
                "Applied {events} events of the registry of consents up to block {to}"
            );
        }
        Ok(Some(reached))
    }
}
