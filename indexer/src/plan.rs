//! What to do next, from what is known here and what the node says. Pure: the whole of following a
//! chain through its reorganisations is this one table.

use chain::BlockHash;

use crate::position::BlockRef;

/// The most blocks one step covers. Unit: blocks. Between steps the head is looked at again.
pub(crate) const MAX_STEP: u64 = 20_000;

/// A block we applied or remember, and the hash the node has under its number, if it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) ours: BlockRef,
    pub(crate) theirs: Option<BlockHash>,
}

impl Compared {
    pub(crate) fn agrees(&self) -> bool {
        self.theirs == Some(self.ours.hash)
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is new.
    Wait,
    /// The node knows less than we do, and nothing else: it is behind, or its newest blocks were undone and there are no
    /// others yet. Wait for it.
    Behind {
        /// By how many blocks.
        blocks: u64,
        /// The newest block both have, if one is still remembered.
        common: Option<u64>,
    },
    /// Blocks that cannot be undone: by range.
    AdvanceFinal {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Blocks that may still be undone: one by one, by hash.
    AdvanceRecent {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The chain above this block of ours was undone.
    Rewind {
        /// The newest block both have.
        to: u64,
    },
    /// The chain was undone below what was final: no machine decides this.
    TooDeep {
        /// The newest block both have, if one is still remembered.
        fork: Option<u64>,
    },
}

/// The newest block that counts as final: as the node says, and never with fewer than `depth` blocks on top, whatever it says.
pub(crate) fn finality(head: u64, told: Option<u64>, depth: u64) -> u64 {
    let by_depth = head.saturating_sub(depth);
    told.map_or(by_depth, |told| told.min(by_depth))
}

/// Decides. `compared` is newest first and begins with the cursor; where the cursor does not agree it
/// goes on until a block does or nothing more is remembered. `finalized` is what the node calls final,
/// `settled` what we applied as final.
pub(crate) fn plan(compared: &[Compared], head: u64, finalized: u64, finalized_up_to: u64) -> Step {
    let Some(cursor) = compared.first() else {
        return Step::Wait;
    };
    let at = cursor.ours.number;
    if cursor.agrees() {
        return if head <= at {
            Step::Wait
        } else if finalized > at {
            Step::AdvanceFinal {
                from: at + 1,
                to: finalized.min(head).min(at + MAX_STEP),
            }
        } else {
            Step::AdvanceRecent {
                from: at + 1,
                to: head.min(at + MAX_STEP),
            }
        };
    }
    let fork = compared
        .iter()
        .find(|block| block.agrees())
        .map(|block| block.ours.number);
    let contradicted = compared
        .iter()
        .any(|block| block.theirs.is_some() && !block.agrees());
    if !contradicted {
        return Step::Behind {
            blocks: at.saturating_sub(head),
            common: fork,
        };
    }
    match fork {
        Some(to) if to >= finalized_up_to => Step::Rewind { to },
        fork => Step::TooDeep { fork },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our block `number` on branch `branch`.
    fn hash(number: u64, branch: u8) -> BlockHash {
        let mut bytes = [branch; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        BlockHash(bytes)
    }

    /// Our blocks from `newest` down to `oldest`; the node agrees up to `same`, has another branch up
    /// to `theirs`, and nothing above.
    fn compared(newest: u64, oldest: u64, same: u64, theirs: u64) -> Vec<Compared> {
        (oldest..=newest)
            .rev()
            .map(|number| Compared {
                ours: BlockRef {
                    number,
                    hash: hash(number, 0),
                },
                theirs: (number <= theirs).then(|| hash(number, u8::from(number > same))),
            })
            .collect()
    }

    type Blocks = (u64, u64, u64, u64);

    fn check(
        name: &str,
        blocks: Blocks,
        (head, finalized, finalized_up_to): (u64, u64, u64),
        step: Step,
    ) {
        let (newest, oldest, same, theirs) = blocks;
        let compared = compared(newest, oldest, same, theirs);
        assert_eq!(
            plan(&compared, head, finalized, finalized_up_to),
            step,
            "{name}"
        );
    }

    #[test]
    fn a_chain_that_grows_is_followed() {
        let one = |number| (number, number, number, 100_000);
        let recent = |from, to| Step::AdvanceRecent { from, to };
        let by_range = |from, to| Step::AdvanceFinal { from, to };
        check("nothing new", one(9), (9, 5, 5), Step::Wait);
        check("one block", one(9), (10, 5, 5), recent(10, 10));
        check("three blocks", one(9), (12, 9, 9), recent(10, 12));
        check("from the start", one(0), (99, 90, 0), by_range(1, 90));
        check(
            "one below finality",
            one(89),
            (99, 90, 89),
            by_range(90, 90),
        );
        check("final beyond the head", one(5), (7, 50, 5), by_range(6, 7));
        check(
            "a long way",
            one(0),
            (90_000, 80_000, 0),
            by_range(1, MAX_STEP),
        );
        check(
            "a long way without finality",
            one(0),
            (90_000, 0, 0),
            recent(1, MAX_STEP),
        );
        check("finality runs back", one(9), (9, 1, 5), Step::Wait);
        assert_eq!(plan(&[], 9, 9, 9), Step::Wait, "nothing known");
    }

    #[test]
    fn a_reorganisation_rewinds_but_never_below_finality() {
        let deep = |fork| Step::TooDeep { fork };
        check("depth one", (9, 8, 8, 9), (9, 5, 5), Step::Rewind { to: 8 });
        check(
            "depth one, longer",
            (9, 8, 8, 12),
            (12, 5, 5),
            Step::Rewind { to: 8 },
        );
        check(
            "depth three, shorter",
            (9, 6, 6, 7),
            (7, 5, 5),
            Step::Rewind { to: 6 },
        );
        check(
            "down to finality",
            (9, 5, 5, 9),
            (9, 5, 5),
            Step::Rewind { to: 5 },
        );
        check("below finality", (9, 4, 4, 9), (9, 5, 5), deep(Some(4)));
        check("nothing in common", (9, 3, 0, 9), (9, 5, 5), deep(None));
        check(
            "another chain, shorter",
            (9, 1, 0, 2),
            (2, 0, 5),
            deep(None),
        );
    }

    #[test]
    fn nothing_is_final_with_fewer_blocks_on_top_than_the_depth() {
        for (head, told, depth, wanted) in [
            (100, Some(36), 64, 36),
            (100, Some(20), 64, 20),
            (100, Some(100), 64, 36),
            (100, Some(1_000_000_000), 64, 36),
            (100, None, 64, 36),
            (10, Some(10), 64, 0),
            (10, None, 64, 0),
            (0, None, 1, 0),
        ] {
            let found = finality(head, told, depth);
            assert_eq!(found, wanted, "{head} {told:?} {depth}");
        }
    }

    #[test]
    fn a_node_that_knows_less_is_waited_for() {
        check(
            "a little",
            (9, 7, 7, 7),
            (7, 3, 5),
            Step::Behind {
                blocks: 2,
                common: Some(7),
            },
        );
        check(
            "far beyond memory",
            (9, 7, 7, 2),
            (2, 0, 5),
            Step::Behind {
                blocks: 7,
                common: None,
            },
        );
    }
}
