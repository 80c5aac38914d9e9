//! Reads the chain, and compares each row that was written from it.

use std::collections::{HashMap, HashSet, VecDeque};

use chain::{ChainAddress, RegistryLog};
use domain::ids::RecordId;
use store::{
    PgConnection, StoreError,
    cursor::{self, BlockRow, Position, Registry},
    reconciliation, replays, signers,
};
use uuid::Uuid;

use super::{
    ProgressTeller, Replay, ReplayFailure,
    difference::{Differences, RowFault, of_block, of_event, of_position},
    reader::ChainReader,
    repair::Repair,
};
use crate::{
    apply::event_rows,
    error::IndexerError,
    follow::Followed,
    position::{RegistryState, column, number},
    sweep::misplaced,
};

/// How many rows are compared at once. Unit: rows; what [`replays::live_events`] gives at most.
const AT_ONCE: usize = 1_000;

/// As many rows of any other table. Unit: rows.
const PAGE: i64 = 1_000;

/// How many rows that the chain does not have are looked for: one more than [`repair`](super::repair) replaces. Unit: rows.
const MAX_SURPLUS: i64 = 50_001;

/// The columns of an anchor that are compared.
const ANCHOR_COLUMNS: [&str; 7] = [
    "state",
    "tx_hash",
    "block_number",
    "block_hash",
    "log_index",
    "sequence",
    "registrar",
];

/// One registry: where it was followed to, and what is to be replaced.
pub(super) struct FollowedLine {
    pub(super) registry: Registry,
    /// Where its cursor stood at the start.
    pub(super) cursor: Position,
    /// Where it stands, as the chain has it.
    pub(super) wanted: Position,
    /// What of its events is to be replaced.
    pub(super) repair: Repair,
}

/// What came of it.
pub(super) struct VerifiedTables {
    pub(super) from_block: u64,
    pub(super) to_block: u64,
    /// How many events were compared.
    pub(super) events: u64,
    /// The registry of records.
    pub(super) line: FollowedLine,
    /// That of consents, where it stands in the same block.
    pub(super) consents: Option<FollowedLine>,
    /// Remembered blocks as they should be.
    pub(super) blocks: Vec<BlockRow>,
    pub(super) differences: Differences,
    /// How many anchors were compared; `None` where none were.
    pub(super) anchors: Option<u64>,
    pub(super) anchors_differ: u64,
}

impl VerifiedTables {
    /// How many rows would be replaced.
    pub(super) fn repair_count(&self) -> usize {
        let lines = [Some(&self.line), self.consents.as_ref()];
        let of_lines = lines.into_iter().flatten();
        let of_lines = of_lines.map(|line| {
            let rows = line.repair.count();
            rows + usize::from(line.cursor != line.wanted)
        });
        of_lines.sum::<usize>() + self.blocks.len()
    }
}

impl FollowedLine {
    fn new(registry: Registry, cursor: Position, is_to_replace: bool) -> Self {
        Self {
            registry,
            wanted: cursor.clone(),
            cursor,
            repair: Repair::new(is_to_replace),
        }
    }

    /// Compares a stretch of its events.
    async fn compare(
        &mut self,
        conn: &mut PgConnection,
        logs: &[RegistryLog],
        differences: &mut Differences,
    ) -> Result<(), StoreError> {
        for some in logs.chunks(AT_ONCE) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else {
                continue;
            };
            let (first, last) = (column(first.sequence), column(last.sequence));
            let stored = replays::live_events(conn, &self.registry, first, last).await?;
            let mut stored: HashMap<i64, _> =
                stored.into_iter().map(|row| (row.sequence, row)).collect();
            for (log, wanted) in some.iter().zip(event_rows(some)) {
                let row = self.row(wanted.sequence);
                match stored.remove(&wanted.sequence) {
                    None => differences.add("chain_events", &row, RowFault::Missing),
                    Some(kept) => {
                        let columns = of_event(&kept, &wanted);
                        if columns.is_empty() {
                            continue;
                        }
                        differences.add_columns("chain_events", &row, &columns);
                        self.repair.remove(kept.id);
                    }
                }
                self.repair.write(log);
            }
        }
        Ok(())
    }

    /// Compares what is left: rows that the chain does not have, and the cursor.
    async fn end(
        &mut self,
        conn: &mut PgConnection,
        reached: Position,
        differences: &mut Differences,
    ) -> Result<(), StoreError> {
        let (last, block) = (reached.sequence, reached.block_number);
        let surplus =
            replays::surplus_events(conn, &self.registry, last, block, MAX_SURPLUS).await?;
        for event in surplus {
            let row = self.row(event.sequence);
            differences.add("chain_events", &row, RowFault::Surplus);
            self.repair.remove(event.id);
        }
        let columns = of_position(&self.cursor, &reached);
        let row = format!("the cursor of {}", self.registry.address);
        differences.add_columns("chain_cursors", &row, &columns);
        self.wanted = reached;
        Ok(())
    }
}

/// The remembered blocks, each beside where the registry stood after it.
struct RememberedBlocks {
    /// Those that the reading has not reached, lowest first.
    rows: VecDeque<BlockRow>,
    passed: Vec<(BlockRow, RegistryState)>,
    state: RegistryState,
}

impl RememberedBlocks {
    fn pass(&mut self, followed: &Followed) {
        for log in &followed.logs {
            self.pass_below(log.block_number);
            self.state = RegistryState {
                sequence: log.sequence,
                head: log.head,
            };
        }
        self.pass_below(followed.end.block.number + 1);
    }

    fn pass_below(&mut self, block: u64) {
        while let Some(row) = self.rows.pop_front_if(|row| number(row.number) < block) {
            self.passed.push((row, self.state));
        }
    }
}

impl Replay {
    /// Compares everything up to where the cursor stands now. What differs is counted, and held where it is to be replaced.
    pub(super) async fn verify(
        &self,
        is_to_replace: bool,
    ) -> Result<VerifiedTables, ReplayFailure> {
        let mut conn = self.pool.acquire().await?;
        let cursor = cursor::position(&mut conn, &self.registry).await?;
        let cursor = cursor.ok_or("the registry of the deployment file was never followed here")?;
        let to_block = number(cursor.block_number);
        let mut consents = None;
        if let Some(registry) = &self.consents {
            let followed = cursor::position(&mut conn, registry).await?;
            consents = followed
                .filter(|it| it.block_number == cursor.block_number)
                .map(|it| FollowedLine::new(registry.clone(), it, is_to_replace));
        }
        let mut rows = cursor::remembered(&mut conn, &self.registry).await?;
        rows.reverse();
        let mut reader = ChainReader::begin(&self.client, to_block).await?;
        let mut blocks = RememberedBlocks {
            rows: rows.into(),
            passed: Vec::new(),
            state: reader.at.registry_state,
        };
        blocks.pass_below(reader.at.block.number + 1);
        let mut line = FollowedLine::new(self.registry.clone(), cursor, is_to_replace);
        let mut differences = Differences::default();
        let from_block = reader.at.block.number + 1;
        let mut progress = ProgressTeller::new(from_block, to_block);
        let mut events = 0;
        while let Some(followed) = reader.next().await? {
            let (logs, consent_logs) = (&followed.logs, &followed.consent_logs);
            line.compare(&mut conn, logs, &mut differences).await?;
            events += logs.len() as u64;
            if let Some(consents) = &mut consents {
                let compared = consents.compare(&mut conn, consent_logs, &mut differences);
                compared.await?;
                events += consent_logs.len() as u64;
            }
            blocks.pass(&followed);
            progress.at(followed.end.block.number);
        }
        let reached = reader.at;
        line.end(&mut conn, reached.to_row(), &mut differences)
            .await?;
        if let (Some(consents), Some(reached)) = (&mut consents, reached.of_consents()) {
            let ended = consents.end(&mut conn, reached.to_row(), &mut differences);
            ended.await?;
        }
        let blocks = self.compare_blocks(blocks, &mut differences).await?;
        self.require_unmoved(&mut conn, &line).await?;
        let (anchors, anchors_differ) = if differences.count == 0 {
            let (compared, differ) = self.compare_anchors(&mut conn, &mut differences).await?;
            (Some(compared), differ)
        } else {
            (None, 0)
        };
        Ok(VerifiedTables {
            from_block,
            to_block,
            events,
            line,
            consents,
            blocks,
            differences,
            anchors,
            anchors_differ,
        })
    }

    /// Gives those that differ, as they should be.
    async fn compare_blocks(
        &self,
        blocks: RememberedBlocks,
        differences: &mut Differences,
    ) -> Result<Vec<BlockRow>, IndexerError> {
        let numbers: Vec<u64> = blocks
            .passed
            .iter()
            .map(|(row, _)| number(row.number))
            .collect();
        let theirs = self.client.blocks_by_number(&numbers).await?;
        let mut wrong = Vec::new();
        for ((stored, state), theirs) in blocks.passed.into_iter().zip(theirs) {
            let theirs = theirs.ok_or(IndexerError::BlockMoved)?;
            let wanted = BlockRow {
                number: stored.number,
                hash: theirs.hash.to_string(),
                parent_hash: theirs.parent_hash.to_string(),
                sequence: column(state.sequence),
                head: state.head.to_string(),
            };
            let columns = of_block(&stored, &wanted);
            if !columns.is_empty() {
                let row = format!("block {}", stored.number);
                differences.add_columns("chain_blocks", &row, &columns);
                wrong.push(wanted);
            }
        }
        Ok(wrong)
    }

    /// Refuses what was read while blocks of it were undone.
    async fn require_unmoved(
        &self,
        conn: &mut PgConnection,
        line: &FollowedLine,
    ) -> Result<(), ReplayFailure> {
        let now = cursor::position(conn, &self.registry).await?;
        let is_ahead = now.is_some_and(|now| now.block_number >= line.cursor.block_number);
        let block = self
            .client
            .block_by_number(number(line.wanted.block_number))
            .await?;
        let is_there = block.is_some_and(|it| it.hash.to_string() == line.wanted.block_hash);
        if is_ahead && is_there {
            Ok(())
        } else {
            Err("the chain was reorganised while it was read: run it again".into())
        }
    }

    /// Holds every anchor against its event. Gives how many there are, and how many differ.
    async fn compare_anchors(
        &self,
        conn: &mut PgConnection,
        differences: &mut Differences,
    ) -> Result<(u64, u64), StoreError> {
        let registrars = self.registrars(conn).await?;
        let (mut after, mut compared, mut differ) = (RecordId(Uuid::nil()), 0, 0);
        loop {
            let records = reconciliation::records_after(conn, after, PAGE).await?;
            let Some(last) = records.last() else {
                return Ok((compared, differ));
            };
            after = *last;
            let placed = reconciliation::placed_anchors(conn, &self.registry, &records).await?;
            compared += placed.len() as u64;
            for anchor in &placed {
                let Some(suspicion) = misplaced(anchor, &registrars) else {
                    continue;
                };
                differ += 1;
                let found = suspicion.details["column"].as_str();
                let column = ANCHOR_COLUMNS.into_iter().find(|it| Some(*it) == found);
                let row = format!("the anchor of record {}", anchor.record);
                let (table, column) = match found {
                    Some("outbox") => ("anchor_outbox", "state"),
                    _ => ("record_anchors", column.unwrap_or("tx_hash")),
                };
                differences.add(table, &row, RowFault::Column(column));
            }
        }
    }

    /// The accounts that anchor for us.
    async fn registrars(
        &self,
        conn: &mut PgConnection,
    ) -> Result<HashSet<ChainAddress>, StoreError> {
        let signers = signers::addresses(conn, self.registry.chain_id).await?;
        let known = signers.iter().filter_map(|signer| signer.parse().ok());
        let registrar = self.client.deployment().registrar;
        Ok(known.chain([registrar]).collect())
    }
}
