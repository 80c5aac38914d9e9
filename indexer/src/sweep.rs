//! Comparing what is stored with what the chain said, a batch at a time, round and round, as fast as it takes to be through in
//! time: records with their anchors, these with their events, receipts with theirs, each event with the one before it, and all events
//! but our own anchors with where the chain has them. The node's answer to that is not waited for: it is compared in the batch that finds
//! it there. A table smaller than a batch is looked at whole each time, and what is new at once. Where a round stands is kept: a restart
//! goes on there.

mod judge;
mod pace;

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use chain::MAX_REST;
use domain::{
    ids::{ReceiptId, RecordId},
    integrity::FindingKind,
    records::DataHash,
};
use store::{
    PgConnection, StoreError,
    cursor::{self, Registry},
    findings::EventChain,
    reconciliation,
    reconciliation::OpenFinding,
    sweeps::{self, SweepPlace},
};
use uuid::Uuid;

pub(crate) use self::judge::misplaced;
use self::pace::{Pace, TickRows};
use crate::{
    apply::{
        ChainWriter, ConsentSweep, EventSweep,
        places::{AskedEvents, ToldEvents},
    },
    error::IndexerError,
    reconcile::{SuspectedFinding, paused},
};

/// How many new records one tick compares at most. Unit: rows.
const NEW_AT_ONCE: i64 = 1_000;

/// How many open findings are looked at again in each tick, so that a repair shows at once.
const OPEN_AT_ONCE: i64 = 1_000;

/// Where the sweep stands.
#[derive(Debug)]
pub(crate) struct Sweep {
    pace: Pace,
    /// `None` before it was read.
    place: Option<SweepPlace>,
    consents: ConsentSweep,
    /// How fast the chain is asked for places: an answer may take longer than a tick.
    place_pace: Pace,
    /// Until when it is not asked, because a node gave no answer; `None` once one was given.
    not_asked_until: Option<Instant>,
}

/// Before every record.
const FIRST: RecordId = RecordId(Uuid::nil());

/// Where the first round begins.
const START: SweepPlace = SweepPlace {
    after_record: FIRST,
    after_event: 0,
    after_receipt: ReceiptId(Uuid::nil()),
    after_sequence: 0,
    after_consent_sequence: 0,
    after_place: 0,
    after_consent_place: 0,
    newest_record: FIRST,
};

impl Sweep {
    /// One that is through with all that there is within this time.
    pub(crate) fn new(round: Duration) -> Self {
        Self {
            pace: Pace::new(round),
            place: None,
            consents: ConsentSweep::default(),
            place_pace: Pace::new(round),
            not_asked_until: None,
        }
    }

    /// Where it stands.
    async fn begin(
        &self,
        conn: &mut PgConnection,
        registry: &Registry,
    ) -> Result<SweepPlace, StoreError> {
        match self.place {
            Some(place) => Ok(place),
            None => Ok(sweeps::place(conn, registry).await?.unwrap_or(START)),
        }
    }

    /// Compares the next batch; gives how many findings it opened and resolved.
    pub(crate) async fn tick(&mut self, writer: &ChainWriter) -> Result<(u64, u64), IndexerError> {
        let now = Instant::now();
        writer.claim_findings().await?;
        let mut conn = writer.pool.acquire().await?;
        let registry = &writer.registry;
        let due = self.pace.due(&mut conn, now).await?;
        let open = reconciliation::open_findings(&mut conn, registry, OPEN_AT_ONCE).await?;
        let registrars = writer.registrars(&mut conn).await?;

        let place = self.begin(&mut conn, registry).await?;
        let after = place.newest_record;
        let new = reconciliation::records_after(&mut conn, after, NEW_AT_ONCE).await?;
        let after = place.after_record;
        let records = reconciliation::records_after(&mut conn, after, due.records).await?;
        let after = place.after_event;
        let events = reconciliation::hashes_after(&mut conn, registry, after, due.events).await?;
        let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
        let reached = SweepPlace {
            after_record: next(&records, due.records, FIRST),
            after_event: next(&ids, due.events, 0),
            newest_record: new.last().copied().unwrap_or(place.newest_record),
            ..place
        };

        let records: BTreeSet<RecordId> = records
            .into_iter()
            .chain(new)
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

        // Of a record that is not there the finding would never close: nothing is there that could become right. That it is not
        // there, its hash tells.
        let there: BTreeSet<RecordId> = about_records.iter().map(|it| it.record).collect();
        let placed = placed.iter().filter(|it| there.contains(&it.record));
        let known = &registrars;
        let wrong: Vec<SuspectedFinding> = about_records
            .iter()
            .flat_map(|facts| judge::record(facts, registry.chain_id, known))
            .chain(placed.filter_map(|it| judge::misplaced(it, known)))
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
        let others = self.compare_others(writer, due, place, reached).await?;
        self.pace.done(now);
        Ok((counts.0 + others.0, counts.1 + others.1))
    }

    /// Compares the next receipts, and the next events with one another, and keeps what was reached; gives how many findings it opened
    /// and resolved. What was interrupted before is looked at again.
    async fn compare_others(
        &mut self,
        writer: &ChainWriter,
        due: TickRows,
        place: SweepPlace,
        reached: SweepPlace,
    ) -> Result<(u64, u64), IndexerError> {
        self.consents.after_receipt = place.after_receipt;
        let of_consents = writer
            .sweep_consents(&mut self.consents, due.receipts)
            .await?;
        let mut events = EventSweep {
            after_sequence: place.after_sequence,
            after_consent_sequence: place.after_consent_sequence,
        };
        let of_events = writer.sweep_events(&mut events, due.events).await?;
        let reached = SweepPlace {
            after_receipt: self.consents.after_receipt,
            after_sequence: events.after_sequence,
            after_consent_sequence: events.after_consent_sequence,
            ..reached
        };
        if reached != place {
            keep(writer, reached).await?;
        }
        self.place = Some(reached);
        Ok((of_consents.0 + of_events.0, of_consents.1 + of_events.1))
    }

    /// The events that the chain is asked for now, of each registry: one, where a node gave no answer to more.
    pub(crate) async fn events_to_ask(
        &mut self,
        writer: &ChainWriter,
    ) -> Result<Vec<AskedEvents>, IndexerError> {
        let now = Instant::now();
        let rests = self.not_asked_until.is_some_and(|until| now < until);
        let Some(place) = self.place.filter(|_| !rests) else {
            return Ok(Vec::new());
        };
        let mut conn = writer.pool.acquire().await?;
        let due = self.place_pace.due(&mut conn, now).await?;
        drop(conn);
        let registries = [
            (EventChain::Records, place.after_place),
            (EventChain::Consents, place.after_consent_place),
        ];
        let at_once = match self.not_asked_until {
            Some(_) => 1,
            None => due.places,
        };
        let mut asked = Vec::new();
        for (chain, after) in registries {
            let due = (due.events, at_once);
            asked.extend(writer.events_to_ask(chain, after, due).await?);
        }
        self.place_pace.done(now);
        Ok(asked)
    }

    /// Holds events against what the chain says of where they are, and keeps what was reached; gives how many findings it opened and
    /// resolved. A node that gave no answer is left alone for a while, and asked for the first of the same again.
    pub(crate) async fn compare_places(
        &mut self,
        writer: &ChainWriter,
        told: &[ToldEvents],
    ) -> Result<(u64, u64), IndexerError> {
        let Some(place) = self.place else {
            return Ok((0, 0));
        };
        let is_silent = told.iter().any(|it| it.answers.is_none());
        self.not_asked_until = is_silent.then(|| Instant::now() + MAX_REST);
        let (mut reached, mut counts) = (place, (0, 0));
        for ToldEvents { asked, answers } in told {
            let Some(answers) = answers else { continue };
            let (opened, resolved) = writer.apply_places(asked, answers).await?;
            counts = (counts.0 + opened, counts.1 + resolved);
            match asked.chain {
                EventChain::Records => reached.after_place = asked.after,
                EventChain::Consents => reached.after_consent_place = asked.after,
            }
        }
        if reached != place {
            keep(writer, reached).await?;
        }
        self.place = Some(reached);
        Ok(counts)
    }
}

/// Keeps where it stands, for as long as this one leads.
async fn keep(writer: &ChainWriter, reached: SweepPlace) -> Result<(), IndexerError> {
    let mut tx = writer.pool.begin().await?;
    if !cursor::holds(&mut tx, &writer.registry, writer.fence).await? {
        return Err(IndexerError::FenceLost);
    }
    sweeps::keep(&mut tx, &writer.registry, reached).await?;
    tx.commit().await?;
    Ok(())
}

/// Where the next batch begins: after this one, or from the start when this one was the last.
fn next<T: Copy>(batch: &[T], limit: i64, start: T) -> T {
    match batch.last() {
        Some(last) if i64::try_from(batch.len()).is_ok_and(|rows| rows >= limit) => *last,
        _ => start,
    }
}

fn about_hash(finding: &OpenFinding) -> bool {
    finding.kind == FindingKind::UnknownOnChain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_behind_a_full_batch_and_begins_again_behind_one_that_is_not() {
        let cases = [
            // the batch, how many it may have → where the next one begins
            (&[0_i32; 0][..], 3, 0),
            (&[1, 2][..], 3, 0),
            (&[1, 2, 3][..], 3, 3),
            // The limit follows the pace: it may have been another in the batch before.
            (&[4, 5, 6][..], 4, 0),
            (&[4, 5, 6][..], 2, 6),
        ];
        for (batch, limit, begins) in cases {
            assert_eq!(next(batch, limit, 0), begins, "{batch:?} of {limit}");
        }
    }
}
