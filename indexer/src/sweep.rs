//! Comparing what is stored with what the chain said, a batch at a time, round and round. A table
//! smaller than a batch is looked at whole each time; a million records take a few minutes.

mod judge;

use std::collections::{BTreeSet, HashMap};

use domain::{ids::RecordId, integrity::FindingKind, records::DataHash};
use store::{reconciliation, reconciliation::OpenFinding};
use uuid::Uuid;

use crate::{
    apply::{ChainWriter, ConsentSweep},
    error::IndexerError,
    reconcile::{SuspectedFinding, paused},
};

/// How many records, and how many events, one tick compares. Unit: rows.
const BATCH: i64 = 4_000;

/// How many open findings are looked at again in each tick, so that a repair shows at once.
const OPEN_AT_ONCE: i64 = 1_000;

/// Where the sweep stands. Lost with the process: it begins again, which costs nothing but time.
#[derive(Debug)]
pub(crate) struct Sweep {
    after_record: RecordId,
    after_event: i64,
    consents: ConsentSweep,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            after_record: FIRST,
            after_event: 0,
            consents: ConsentSweep::default(),
        }
    }
}

/// Before every record.
const FIRST: RecordId = RecordId(Uuid::nil());

impl Sweep {
    /// Compares the next batch; gives how many findings it opened and resolved.
    pub(crate) async fn tick(&mut self, writer: &ChainWriter) -> Result<(u64, u64), IndexerError> {
        let mut conn = writer.pool.acquire().await?;
        let registry = &writer.registry;
        let open = reconciliation::open_findings(&mut conn, OPEN_AT_ONCE).await?;
        let registrars = writer.registrars(&mut conn).await?;

        let records = reconciliation::records_after(&mut conn, self.after_record, BATCH).await?;
        let after_record = next(&records, FIRST);
        let events =
            reconciliation::hashes_after(&mut conn, registry, self.after_event, BATCH).await?;
        let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
        let after_event = next(&ids, 0);

        let records: BTreeSet<RecordId> = records
            .into_iter()
            .chain(open.iter().filter_map(|finding| finding.record))
            .collect();
        let hashes: BTreeSet<DataHash> = events
            .into_iter()
            .map(|(_, hash)| hash)
            .chain(
                open.iter()
                    .filter(|finding| about_hash(finding))
                    .filter_map(|f| f.record_hash),
            )
            .collect();
        let records: Vec<RecordId> = records.into_iter().collect();
        let hashes: Vec<DataHash> = hashes.into_iter().collect();
        let about_records = reconciliation::record_facts(&mut conn, registry, &records).await?;
        let placed = reconciliation::placed_anchors(&mut conn, registry, &records).await?;
        let about_hashes = reconciliation::hash_facts(&mut conn, registry, &hashes).await?;
        let names: Vec<String> = registrars.iter().map(ToString::to_string).collect();
        let anchored: Vec<DataHash> = about_records.iter().filter_map(judge::anchored).collect();
        let endings = reconciliation::endings(&mut conn, registry, &anchored, &names).await?;
        let endings: HashMap<_, _> = endings.into_iter().map(|it| (it.hash, it)).collect();
        let pause = reconciliation::pause(&mut conn, registry).await?;
        drop(conn);

        let wrong: Vec<SuspectedFinding> = about_records
            .iter()
            .flat_map(|facts| judge::record(facts, registry.chain_id, &registrars))
            .chain(
                placed
                    .iter()
                    .filter_map(|anchor| judge::misplaced(anchor, &registrars)),
            )
            .chain(about_hashes.iter().filter_map(judge::hash))
            .chain(
                about_records
                    .iter()
                    .filter_map(|facts| judge::ended(facts, &endings)),
            )
            .chain(
                about_records
                    .iter()
                    .filter_map(|facts| judge::stands_again(facts, registry.chain_id, &endings)),
            )
            .chain(pause.as_ref().map(paused))
            .collect();
        let (opened, resolved) = judge::compare(&open, wrong, &about_records, &about_hashes);
        let counts = if opened.is_empty() && resolved.is_empty() {
            (0, 0)
        } else {
            writer.apply_findings(&opened, &resolved).await?
        };
        let of_consents = writer.sweep_consents(&mut self.consents).await?;
        // Only now: what was interrupted is looked at again.
        (self.after_record, self.after_event) = (after_record, after_event);
        Ok((counts.0 + of_consents.0, counts.1 + of_consents.1))
    }
}

/// Where the next batch begins: after this one, or from the start when this one was the last.
fn next<T: Copy>(batch: &[T], start: T) -> T {
    match batch.last() {
        Some(last) if i64::try_from(batch.len()).is_ok_and(|rows| rows >= BATCH) => *last,
        _ => start,
    }
}

fn about_hash(finding: &OpenFinding) -> bool {
    finding.kind == FindingKind::UnknownOnChain
}
