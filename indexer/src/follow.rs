//! Whether logs follow one another and what came before: numbers without gaps, heads that commit to
//! all of it. Pure.

use std::fmt;

use chain::{Block, BlockHash, RegistryLog, event};
use store::cursor::BlockRow;

use crate::position::{BlockRef, ChainPosition, RegistryState, column};

/// The evidence that logs are missing, swapped or forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    /// Where it shows.
    pub(crate) block: BlockRef,
    /// What follows from all that came before.
    pub(crate) computed: RegistryState,
    /// What the log, or the registry itself, says.
    pub(crate) claimed: RegistryState,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            block,
            computed,
            claimed,
        } = self;
        write!(
            f,
            "the registry's events do not follow at block {} ({}): by our count the next is number {} \
             with head {}, the chain says number {} with head {}",
            block.number,
            block.hash,
            computed.sequence,
            computed.head,
            claimed.sequence,
            claimed.head
        )
    }
}

/// A range of the chain as it was read: every log of the registry in it, in order.
#[derive(Debug, Clone)]
pub(crate) struct ReadRange {
    /// Blocks to remember, in order; the last is where the range ends.
    pub(crate) blocks: Vec<Block>,
    pub(crate) logs: Vec<RegistryLog>,
    /// What the registry said of itself at the end, where the node could tell.
    pub(crate) registry: Option<RegistryState>,
    /// What the registry of consents said, where there is one.
    pub(crate) consents: Option<ConsentRange>,
}

impl ReadRange {
    /// The block that it ends at.
    pub(crate) fn end(&self) -> Option<BlockRef> {
        self.blocks.last().map(BlockRef::from)
    }

    /// How many events there are in it, of both registries. Unit: events.
    pub(crate) fn event_count(&self) -> usize {
        let of_consents = self.consents.as_ref();
        self.logs.len() + of_consents.map_or(0, |range| range.logs.len())
    }

    /// Puts what was read next behind it.
    pub(crate) fn join(&mut self, next: Self) {
        self.blocks.extend(next.blocks);
        self.logs.extend(next.logs);
        self.registry = next.registry;
        self.consents = match (self.consents.take(), next.consents) {
            (Some(mut before), Some(next)) => {
                before.logs.extend(next.logs);
                before.registry = next.registry;
                Some(before)
            }
            (before, next) => next.or(before),
        };
    }

    /// Whether each registry's own word at the end is known.
    pub(crate) fn is_told(&self) -> bool {
        let of_consents = self.consents.as_ref();
        self.registry.is_some() && of_consents.is_none_or(|range| range.registry.is_some())
    }

    /// Takes the word of a later block for the one at the end, where a registry stands there as it does after all of this: then
    /// it has said nothing in between, and nothing of this is missing. So a registry that is silent for long holds up nothing
    /// of the other one.
    pub(crate) fn believe(&mut self, chain_id: u64, before: ChainPosition, later: LaterWord) {
        let reached = |state: RegistryState, logs: &[RegistryLog]| {
            let mut logs = logs.iter();
            logs.try_fold(state, |state, log| next(chain_id, state, log))
                .ok()
        };
        if self.registry.is_none() && later.records.is_some() {
            let is_same = reached(before.registry_state, &self.logs) == later.records;
            self.registry = later.records.filter(|_| is_same);
        }
        if let (Some(state), Some(range)) = (before.consents, self.consents.as_mut())
            && range.registry.is_none()
            && later.consents.is_some()
        {
            let is_same = reached(state, &range.logs) == later.consents;
            range.registry = later.consents.filter(|_| is_same);
        }
    }

    /// Up to which block nothing can be missing; `None` where each registry's own word at the end says so of all of it.
    /// Without that word, an event shows that nothing is missing before it, and nothing of what is after it.
    fn certain_up_to(&self, before: ChainPosition) -> Option<u64> {
        let up_to_last = |logs: &[RegistryLog]| {
            let before_last = logs.last().map(|log| log.block_number.saturating_sub(1));
            before_last.unwrap_or(before.block.number)
        };
        let consents = self.consents.as_ref().filter(|_| before.consents.is_some());
        let of_consents = consents
            .filter(|it| it.registry.is_none())
            .map(|it| up_to_last(&it.logs));
        let of_records = self.registry.is_none().then(|| up_to_last(&self.logs));
        match (of_records, of_consents) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// What is in blocks up to the last of these that is not above `block`, and what is in later ones.
    fn split(self, block: u64) -> (Self, Self) {
        let numbers = self.blocks.iter().map(|it| it.number);
        let cut = numbers.filter(|number| *number <= block).max();
        let is_before = |number: u64| cut.is_some_and(|cut| number <= cut);
        let part = |logs: Vec<RegistryLog>| -> (Vec<_>, Vec<_>) {
            logs.into_iter()
                .partition(|log| is_before(log.block_number))
        };
        let (blocks, later) = self.blocks.into_iter().partition(|it| is_before(it.number));
        let (logs, later_logs) = part(self.logs);
        let (consents, later_consents) = match self.consents {
            Some(range) => {
                let (logs, later) = part(range.logs);
                let of = |logs, registry| Some(ConsentRange { logs, registry });
                (of(logs, None), of(later, range.registry))
            }
            None => (None, None),
        };
        let certain = Self {
            blocks,
            logs,
            registry: None,
            consents,
        };
        let rest = Self {
            blocks: later,
            logs: later_logs,
            registry: self.registry,
            consents: later_consents,
        };
        (certain, rest)
    }
}

/// What the registries say of themselves after a later block, each where there is one and the node can tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaterWord {
    pub(crate) records: Option<RegistryState>,
    pub(crate) consents: Option<RegistryState>,
}

/// A range that follows: what of it is confirmed, and what is not yet.
#[derive(Debug, Clone)]
pub(crate) struct ConfirmedRange {
    /// What may be applied; `None` for nothing.
    pub(crate) followed: Option<Followed>,
    /// What has to be read on before it may; `None` for nothing.
    pub(crate) held: Option<ReadRange>,
}

/// Checks a range of both registries against where they stood before it, and takes of it what is confirmed: by the
/// registry's own word at its end, or by a later event.
pub(crate) fn confirm(
    chain_id: u64,
    before: ChainPosition,
    read_range: ReadRange,
) -> Result<ConfirmedRange, Break> {
    let Some(certain_up_to) = read_range.certain_up_to(before) else {
        return Ok(ConfirmedRange {
            followed: follow_both(chain_id, before, read_range)?,
            held: None,
        });
    };
    // All of it: the last event confirms those before it only where it follows them.
    check(chain_id, before, &read_range)?;
    let (certain, rest) = read_range.split(certain_up_to);
    Ok(ConfirmedRange {
        followed: follow_both(chain_id, before, certain)?,
        held: Some(rest),
    })
}

/// Checks a range of both registries against where they stood before it, and takes nothing of it.
fn check(chain_id: u64, before: ChainPosition, read_range: &ReadRange) -> Result<(), Break> {
    let Some(end) = read_range.end() else {
        return Ok(());
    };
    follow_logs(
        chain_id,
        before.registry_state,
        end,
        (read_range.logs.as_slice(), read_range.registry),
    )?;
    if let Some((state, read)) = before.consents.zip(read_range.consents.as_ref()) {
        follow_consents(chain_id, state, end, read)?;
    }
    Ok(())
}

/// The logs of the registry of consents in a range, in order.
#[derive(Debug, Clone)]
pub(crate) struct ConsentRange {
    pub(crate) logs: Vec<RegistryLog>,
    /// What that registry said of itself at the end, where the node could tell.
    pub(crate) registry: Option<RegistryState>,
}

/// A range that follows.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// Where it ends.
    pub(crate) end: ChainPosition,
    /// The blocks to remember.
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) logs: Vec<RegistryLog>,
    /// Those of the registry of consents.
    pub(crate) consent_logs: Vec<RegistryLog>,
}

/// Checks a range of both registries against where they stood before it. `None` for a range without blocks.
fn follow_both(
    chain_id: u64,
    before: ChainPosition,
    mut read_range: ReadRange,
) -> Result<Option<Followed>, Break> {
    let consents = read_range.consents.take();
    let Some(mut followed) = follow(chain_id, before.registry_state, read_range)? else {
        return Ok(None);
    };
    if let Some((state, read)) = before.consents.zip(consents) {
        let reached = follow_consents(chain_id, state, followed.end.block, &read)?;
        followed.end.consents = Some(reached);
        followed.consent_logs = read.logs;
    }
    Ok(Some(followed))
}

/// Checks what the registry of consents said up to a block against where it stood before; gives where it stands.
pub(crate) fn follow_consents(
    chain_id: u64,
    before: RegistryState,
    end: BlockRef,
    read: &ConsentRange,
) -> Result<RegistryState, Break> {
    follow_logs(chain_id, before, end, (read.logs.as_slice(), read.registry))
}

/// Where a registry stands after these logs, and by its own word where there is one.
fn follow_logs(
    chain_id: u64,
    before: RegistryState,
    end: BlockRef,
    (logs, registry): (&[RegistryLog], Option<RegistryState>),
) -> Result<RegistryState, Break> {
    let mut logs = logs.iter();
    let reached = logs.try_fold(before, |state, log| next(chain_id, state, log))?;
    match registry {
        Some(claimed) if claimed != reached => Err(Break {
            block: end,
            computed: reached,
            claimed,
        }),
        _ => Ok(reached),
    }
}

/// Checks a range of this chain against where the registry stood before it. `None` for a range without blocks.
fn follow(
    chain_id: u64,
    before: RegistryState,
    read_range: ReadRange,
) -> Result<Option<Followed>, Break> {
    let ReadRange {
        blocks,
        logs,
        registry,
        consents: _,
    } = read_range;
    let Some(last) = blocks.last() else {
        return Ok(None);
    };
    let end = BlockRef::from(last);
    let mut registry_state = before;
    let mut rows = Vec::with_capacity(blocks.len());
    let mut pending = logs.iter().peekable();
    for block in &blocks {
        while let Some(log) = pending.next_if(|log| log.block_number <= block.number) {
            registry_state = next(chain_id, registry_state, log)?;
        }
        rows.push(BlockRow {
            number: column(block.number),
            hash: block.hash.to_string(),
            parent_hash: block.parent_hash.to_string(),
            sequence: column(registry_state.sequence),
            head: registry_state.head.to_string(),
        });
    }
    // The logs were asked for up to the last block; one beyond it is not ours to ignore.
    for log in pending {
        registry_state = next(chain_id, registry_state, log)?;
    }
    match registry {
        Some(claimed) if claimed != registry_state => Err(Break {
            block: end,
            computed: registry_state,
            claimed,
        }),
        _ => Ok(Some(Followed {
            end: ChainPosition {
                block: end,
                registry_state,
                consents: None,
            },
            blocks: rows,
            logs,
            consent_logs: Vec::new(),
        })),
    }
}

fn next(chain_id: u64, before: RegistryState, log: &RegistryLog) -> Result<RegistryState, Break> {
    let computed = RegistryState {
        sequence: before.sequence + 1,
        head: event::next_head(chain_id, &before.head, &log.body),
    };
    let claimed = RegistryState {
        sequence: log.sequence,
        head: log.head,
    };
    if computed == claimed {
        return Ok(claimed);
    }
    let block = BlockRef {
        number: log.block_number,
        hash: log.block_hash,
    };
    Err(Break {
        block,
        computed,
        claimed,
    })
}

/// Whether blocks are linked by parent hashes, beginning at `before`.
pub(crate) fn linked(before: BlockHash, blocks: &[Block]) -> bool {
    let parents = std::iter::once(before).chain(blocks.iter().map(|block| block.hash));
    parents
        .zip(blocks)
        .all(|(parent, block)| block.parent_hash == parent)
}

#[cfg(test)]
pub(crate) mod tests {
    use chain::{ChainAddress, Head, RegistryEvent, TxHash};

    use super::*;

    pub(crate) const CHAIN: u64 = 31_337;
    pub(crate) const START: RegistryState = RegistryState {
        sequence: 0,
        head: Head([1; 25]),
    };

    pub(crate) fn block(number: u8) -> Block {
        Block {
            number: u64::from(number),
            hash: BlockHash([number; 32]),
            parent_hash: BlockHash([number.wrapping_sub(1); 32]),
            timestamp: 0,
        }
    }

    /// Logs 1, 2, 3 … in the given blocks.
    pub(crate) fn logs(blocks: &[u8]) -> Vec<RegistryLog> {
        let mut registry_state = START;
        let log = |(nth, number): (u8, &u8)| {
            let body = [nth; 32];
            registry_state = RegistryState {
                sequence: registry_state.sequence + 1,
                head: event::next_head(CHAIN, &registry_state.head, &body),
            };
            RegistryLog {
                block_number: u64::from(*number),
                block_hash: BlockHash([*number; 32]),
                tx_hash: TxHash([nth; 32]),
                log_index: u64::from(nth),
                sequence: registry_state.sequence,
                head: registry_state.head,
                body,
                event: RegistryEvent::PausedSet {
                    paused: true,
                    by: ChainAddress([0; 20]),
                },
            }
        };
        (0_u8..).zip(blocks).map(log).collect()
    }

    pub(crate) fn read_range(
        blocks: &[u8],
        logs: Vec<RegistryLog>,
        registry: Option<RegistryState>,
    ) -> ReadRange {
        ReadRange {
            blocks: blocks.iter().copied().map(block).collect(),
            logs,
            registry,
            consents: None,
        }
    }

    #[test]
    fn blocks_are_remembered_with_where_the_registry_stood_after_each() {
        let logs = logs(&[2, 2, 4]);
        let followed = follow(CHAIN, START, read_range(&[1, 2, 3, 4], logs.clone(), None));
        let followed = followed.expect("it follows").expect("it has blocks");
        let sequences: Vec<i64> = followed.blocks.iter().map(|row| row.sequence).collect();
        assert_eq!(sequences, [0, 2, 2, 3]);
        assert_eq!(followed.end.registry_state.head, logs[2].head);
        assert_eq!(followed.end.block.number, 4);
    }

    #[test]
    fn a_long_stretch_remembers_only_its_end() {
        let followed = follow(CHAIN, START, read_range(&[9], logs(&[2, 2, 9]), None));
        let followed = followed.expect("it follows").expect("it has blocks");
        assert_eq!(followed.blocks.len(), 1);
        assert_eq!(followed.end.registry_state.sequence, 3);
    }

    #[test]
    fn a_missing_log_is_found_at_the_next_one_or_at_the_registrys_head() {
        let whole = logs(&[2, 3, 4]);
        let last = RegistryState {
            sequence: 3,
            head: whole[2].head,
        };

        let without_first = read_range(&[2, 3, 4], whole[1..].to_vec(), None);
        let seen = follow(CHAIN, START, without_first).expect_err("number 1 is missing");
        assert_eq!(
            (
                seen.block.number,
                seen.computed.sequence,
                seen.claimed.sequence
            ),
            (3, 1, 2)
        );

        let without_last = read_range(&[2, 3, 4], whole[..2].to_vec(), Some(last));
        let seen =
            follow(CHAIN, START, without_last).expect_err("the registry has spoken three times");
        assert_eq!(
            (seen.block.number, seen.computed.sequence, seen.claimed),
            (4, 2, last)
        );

        assert!(follow(CHAIN, START, read_range(&[2, 3, 4], whole, Some(last))).is_ok());
        assert!(matches!(
            follow(CHAIN, START, read_range(&[], Vec::new(), None)),
            Ok(None)
        ));
    }

    #[test]
    fn events_of_both_registries_are_counted_also_where_they_were_joined() {
        let with = |count, consents: Option<usize>| ReadRange {
            consents: consents.map(|count| ConsentRange {
                logs: logs(&vec![3_u8; count]),
                registry: None,
            }),
            ..read_range(&[3], logs(&vec![3_u8; count]), None)
        };
        let cases = [
            // what was held and what was read next: events of records, of consents → all of them
            ((0, None), (0, None), 0),
            ((2, None), (3, None), 5),
            ((0, Some(2)), (0, Some(3)), 5),
            ((1, Some(2)), (4, Some(8)), 15),
            ((1, None), (4, Some(8)), 13),
            ((1, Some(2)), (4, None), 7),
        ];
        for (held, next, count) in cases {
            let mut joined = with(held.0, held.1);
            joined.join(with(next.0, next.1));
            assert_eq!(joined.event_count(), count, "{held:?} and {next:?}");
        }
    }

    #[test]
    fn without_the_registrys_word_only_what_is_before_the_last_event_may_be_applied() {
        let at = |number| ChainPosition {
            block: BlockRef::from(&block(number)),
            registry_state: START,
            consents: None,
        };
        let whole = logs(&[2, 3, 3, 6]);
        let last = RegistryState {
            sequence: 4,
            head: whole[3].head,
        };
        let cases = [
            // the blocks that are remembered, how many logs, the registry's word → up to where, with which sequence
            (&[2, 4, 6, 9][..], 4, Some(last), Some((9, 4))),
            (&[2, 4, 6, 9][..], 4, None, Some((4, 3))),
            (&[2, 3, 4, 5, 6][..], 4, None, Some((5, 3))),
            (&[2, 4, 9][..], 3, None, Some((2, 1))),
            (&[2, 9][..], 4, None, Some((2, 1))),
            (&[9][..], 4, None, None),
            (&[2, 4, 9][..], 0, None, None),
        ];
        for (blocks, count, word, wanted) in cases {
            let read = read_range(blocks, whole[..count].to_vec(), word);
            let confirmed = confirm(CHAIN, at(1), read).expect("it follows");
            let end = confirmed.followed.as_ref().map(|it| {
                let end = it.end;
                (end.block.number, end.registry_state.sequence)
            });
            assert_eq!(end, wanted, "{blocks:?} {count}");
            let held = confirmed.held.map_or(0, |held| held.logs.len());
            let applied = confirmed.followed.map_or(0, |it| it.logs.len());
            assert_eq!(held + applied, count, "{blocks:?} {count}");
            assert_eq!(word.is_some(), held == 0 && count > 0, "{blocks:?} {count}");
        }
        let swapped = read_range(&[9], vec![whole[0].clone(), whole[2].clone()], None);
        assert!(confirm(CHAIN, at(1), swapped).is_err());
    }

    #[test]
    fn what_is_held_is_confirmed_by_what_is_read_next() {
        let before = ChainPosition {
            block: BlockRef::from(&block(1)),
            registry_state: START,
            consents: None,
        };
        let whole = logs(&[2, 6]);
        let last = RegistryState {
            sequence: 2,
            head: whole[1].head,
        };
        let first = confirm(CHAIN, before, read_range(&[4], whole[..1].to_vec(), None));
        let first = first.expect("it follows");
        assert!(first.followed.is_none());
        let mut held = first.held.expect("all of it is held");

        held.join(read_range(&[8], whole[1..].to_vec(), Some(last)));

        let both = confirm(CHAIN, before, held).expect("it follows");
        assert!(both.held.is_none());
        let followed = both.followed.expect("all of it is confirmed");
        assert_eq!(followed.end.registry_state, last);
        assert_eq!((followed.blocks.len(), followed.logs.len()), (2, 2));
    }

    #[test]
    fn a_later_word_confirms_only_where_nothing_was_said_since() {
        let before = ChainPosition {
            block: BlockRef::from(&block(1)),
            registry_state: START,
            consents: Some(START),
        };
        let whole = logs(&[2, 6]);
        let state = |log: &RegistryLog, sequence| RegistryState {
            sequence,
            head: log.head,
        };
        let read = || ReadRange {
            consents: Some(ConsentRange {
                logs: Vec::new(),
                registry: None,
            }),
            ..read_range(&[4], whole[..1].to_vec(), None)
        };
        for (records, consents, applied) in [
            (Some(state(&whole[0], 1)), Some(START), true),
            (Some(state(&whole[1], 2)), Some(START), false),
            (Some(state(&whole[0], 1)), None, false),
            (Some(state(&whole[0], 1)), Some(state(&whole[0], 1)), false),
            (None, None, false),
        ] {
            let mut read = read();
            assert!(!read.is_told());
            read.believe(CHAIN, before, LaterWord { records, consents });
            let seen = confirm(CHAIN, before, read).expect("it follows");
            assert_eq!(seen.followed.is_some(), applied, "{records:?} {consents:?}");
            assert_eq!(seen.held.is_none(), applied, "{records:?} {consents:?}");
        }
    }

    #[test]
    fn each_registry_has_a_chain_of_its_own_and_a_missing_log_of_either_is_found() {
        let records = logs(&[2, 3]);
        let consents = logs(&[2, 4]);
        let last = RegistryState {
            sequence: 2,
            head: consents[1].head,
        };
        let before = |consents| ChainPosition {
            block: BlockRef::from(&block(1)),
            registry_state: START,
            consents,
        };
        let both = |logs: Vec<RegistryLog>| ReadRange {
            consents: Some(ConsentRange {
                logs,
                registry: Some(last),
            }),
            ..read_range(&[2, 3, 4], records.clone(), None)
        };

        let followed = follow_both(CHAIN, before(Some(START)), both(consents.clone()));
        let followed = followed.expect("it follows").expect("it has blocks");
        assert_eq!(followed.end.consents, Some(last));
        assert_eq!(followed.end.registry_state.sequence, 2);
        assert_eq!(followed.consent_logs.len(), 2);
        for cut in [&consents[1..], &consents[..1], &[]] {
            let seen = follow_both(CHAIN, before(Some(START)), both(cut.to_vec()));
            assert!(seen.is_err(), "{} of two", cut.len());
        }
        let without = follow_both(CHAIN, before(None), both(consents));
        let without = without.expect("it follows").expect("it has blocks");
        assert_eq!(without.end.consents, None);
    }

    #[test]
    fn blocks_are_linked_by_their_parents() {
        let blocks = [block(5), block(6)];
        assert!(linked(BlockHash([4; 32]), &blocks));
        assert!(!linked(BlockHash([9; 32]), &blocks));
        assert!(!linked(BlockHash([4; 32]), &[block(5), block(7)]));
        assert!(linked(BlockHash([4; 32]), &[]));
    }
}
