//! Reading on. What was read is applied as far as it is confirmed; the rest is held until what is read next confirms it, and
//! read again where nothing does.

use std::{io::IsTerminal as _, time::Instant};

use super::{ChainFollower, LeaderState, ObservedHead, RoundOutcome};
use crate::{
    deadline::{in_time, until},
    error::IndexerError,
    fetch::{self, Ranges},
    follow::{Followed, LaterWord, ReadRange},
    held::{HeldRange, MOST_HELD},
    plan::MAX_STEP,
    progress::{self, Progress},
};

/// How far behind a leader is that says how far it is: no more are read at once above finality. Unit: blocks.
const FAR_BEHIND: u64 = 64;

impl ChainFollower {
    /// Reads on from a block; where logs do not follow, once more from the last position that is confirmed.
    pub(super) async fn advance(
        &self,
        leader: &mut LeaderState,
        from: u64,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        match self.read_on(leader, from, seen).await {
            Err(error) if error.is_break() => {
                let at = leader.at.block.number;
                tracing::warn!("Asking again for what follows block {at}: {error}");
                self.read_on(leader, at + 1, seen).await
            }
            done => done,
        }
    }

    /// By ranges up to what is final, and then block by block: as far as it takes to confirm what was read.
    async fn read_on(
        &self,
        leader: &mut LeaderState,
        from: u64,
        seen: ObservedHead,
    ) -> Result<RoundOutcome, IndexerError> {
        let (mut from, mut held) = (from, HeldRange::of_at_most(MOST_HELD));
        let last = seen.finalized.min(seen.head);
        let mut later = None;
        while from <= last {
            let to = last.min(from.saturating_add(MAX_STEP - 1));
            let mut ranges = Ranges::new(self.client(), &self.range_size, from, to);
            loop {
                let Some(read) = until(&self.stop, ranges.next()).await else {
                    return Ok(RoundOutcome::Done);
                };
                let Some(read_range) = read? else {
                    break;
                };
                if later.is_none() && !read_range.is_told() {
                    later = Some(self.newest_word(seen).await?);
                }
                self.take(leader, &mut held, read_range, (seen, later))
                    .await?;
                self.status.round();
                self.say_that_we_lead(leader, seen).await?;
            }
            if held.is_empty() {
                return Ok(RoundOutcome::More);
            }
            from = to + 1;
        }
        while from <= seen.head {
            let before = held.end().unwrap_or(leader.at.block);
            let recent = fetch::recent(self.client(), before, from, seen.head);
            let Some(read) = until(&self.stop, recent).await else {
                return Ok(RoundOutcome::Done);
            };
            let read_range = read?;
            from = read_range.end().map_or(seen.head, |end| end.number) + 1;
            self.take(leader, &mut held, read_range, (seen, None))
                .await?;
            self.status.round();
            self.say_that_we_lead(leader, seen).await?;
            if held.is_empty() {
                return Ok(if leader.at.block.number < seen.head {
                    RoundOutcome::More
                } else {
                    RoundOutcome::Done
                });
            }
        }
        held.require_empty(leader.at)?;
        Ok(RoundOutcome::Done)
    }

    /// What the registries say of themselves at the newest block, for a node that does not know older state.
    async fn newest_word(&self, seen: ObservedHead) -> Result<LaterWord, IndexerError> {
        let block = self.client().block_by_number(seen.head).await?;
        let block = block.ok_or(IndexerError::BlockMoved)?;
        let (records, consents) = fetch::registries_at(self.client(), &block).await?;
        Ok(LaterWord { records, consents })
    }

    /// Applies what is confirmed of what is held and was read behind it.
    async fn take(
        &self,
        leader: &mut LeaderState,
        held: &mut HeldRange,
        read_range: ReadRange,
        (seen, later): (ObservedHead, Option<LaterWord>),
    ) -> Result<(), IndexerError> {
        let chain_id = self.client().deployment().chain_id;
        if let Some(followed) = held.take(chain_id, leader.at, read_range, later)? {
            self.apply(leader, followed, seen).await?;
        }
        // Another node is asked.
        held.require_room(leader.at)
    }

    async fn apply(
        &self,
        leader: &mut LeaderState,
        followed: Followed,
        seen: ObservedHead,
    ) -> Result<(), IndexerError> {
        // What is final moves in `finalize`, when the anchors up to it are finalised.
        let finalized_up_to = leader.finalized_up_to;
        let applied = in_time(leader.writer.advance(
            leader.at,
            &followed,
            seen.head,
            finalized_up_to,
        ))
        .await?;
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
        tell_progress(leader, seen);
        Ok(())
    }
}

/// Says how far the catching up is, where there is much to catch up with.
fn tell_progress(leader: &mut LeaderState, seen: ObservedHead) {
    let block = leader.at.block.number;
    if seen.head.saturating_sub(block) < FAR_BEHIND {
        leader.catching_up = None;
        return;
    }
    let progress = leader.catching_up.get_or_insert_with(|| {
        let is_terminal = std::io::stderr().is_terminal();
        Progress::new(block + 1, seen.head, Instant::now(), is_terminal)
    });
    let Some(line) = progress.at(block, Instant::now()) else {
        return;
    };
    if progress.is_rewritten() {
        progress::show(&line, true);
    } else {
        tracing::info!(block, "Catching up: {line}");
    }
}
