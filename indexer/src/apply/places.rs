//! The places of stored events: which the chain is asked for next, and what is found of them. Where an event is, its head does not say.
//! Our own anchors are held against their rows, and not asked for. The rows of closings, receipts and checkpoints do not say where in a
//! block the event is, and a receipt is put where its event is before it is final.

use std::collections::BTreeSet;

use store::{
    PgConnection, StoreError,
    chain_events::{self, UnpairedEvent},
    cursor::{self, Registry},
    findings::{self, EventChain, EventCheck},
};

use super::ChainWriter;
use crate::{
    error::IndexerError,
    fetch::PlaceAnswer,
    reconcile::links::{BrokenEvent, EventFault},
};

/// The events of one registry that the chain is asked for.
#[derive(Debug)]
pub(crate) struct AskedEvents {
    pub(crate) chain: EventChain,
    pub(crate) events: Vec<UnpairedEvent>,
    /// Where the next tick goes on: behind this number.
    pub(crate) after: i64,
    /// Those that findings are open about.
    open: BTreeSet<i64>,
    /// Those of them that are no such events any more: what they are is found by their heads.
    gone: Vec<i64>,
}

/// What nodes said of them.
#[derive(Debug)]
pub(crate) struct ToldEvents {
    pub(crate) asked: AskedEvents,
    /// In their order; `None` where there was no answer in time.
    pub(crate) answers: Option<Vec<PlaceAnswer>>,
}

impl AskedEvents {
    /// Those in these places of the list.
    pub(crate) fn some(&self, places: &[usize]) -> Vec<UnpairedEvent> {
        let events = places.iter().filter_map(|nth| self.events.get(*nth));
        events.cloned().collect()
    }

    /// The numbers of all that are asked for, and of those that are gone.
    fn sequences(&self) -> Vec<i64> {
        let events = self.events.iter().map(|it| it.sequence);
        events.chain(self.gone.iter().copied()).collect()
    }

    /// Whether a finding is open about the one in this place.
    pub(crate) fn is_open(&self, nth: usize) -> bool {
        let event = self.events.get(nth);
        event.is_some_and(|it| self.open.contains(&it.sequence))
    }
}

impl ChainWriter {
    /// At most `due` of the `rows` events behind this one, and as many of those that findings are open about; `None` where the
    /// registry is not followed.
    pub(crate) async fn events_to_ask(
        &self,
        chain: EventChain,
        after: i64,
        (rows, due): (i64, i64),
    ) -> Result<Option<AskedEvents>, IndexerError> {
        let Some(registry) = self.registry_of(chain) else {
            return Ok(None);
        };
        let mut conn = self.pool.acquire().await?;
        let Some(end) = cursor::position(&mut conn, registry).await? else {
            return Ok(None);
        };
        let end = end.sequence;
        let first = if (0..end).contains(&after) {
            after + 1
        } else {
            1
        };
        let last = end.min(first.saturating_add(rows - 1));
        let ours = self.registrar_names(&mut conn).await?;
        let range = (first, last);
        let mut events =
            chain_events::unpaired_between(&mut conn, registry, &ours, range, due).await?;
        let at_once = usize::try_from(due).unwrap_or(0);
        let is_full = events.len() >= at_once;
        let reached = events.last().map(|it| it.sequence);
        let reached = reached.filter(|_| is_full).unwrap_or(last);
        let check = EventCheck::Places;
        let open = findings::open_about_events(&mut conn, registry, chain, check).await?;
        let asked = |events: &[UnpairedEvent], sequence: i64| {
            events.iter().any(|it| it.sequence == sequence)
        };
        let again = open.iter().copied().filter(|it| !asked(&events, *it));
        let again: Vec<i64> = again.take(at_once).collect();
        let found = chain_events::unpaired_of(&mut conn, registry, &ours, &again).await?;
        let gone = again.into_iter().filter(|it| !asked(&found, *it)).collect();
        events.extend(found);
        Ok(Some(AskedEvents {
            chain,
            events,
            after: if reached < end { reached } else { 0 },
            open: open.into_iter().collect(),
            gone,
        }))
    }

    /// Opens and resolves what the chain says of these events. Gives how many findings that were.
    pub(crate) async fn apply_places(
        &self,
        asked: &AskedEvents,
        answers: &[PlaceAnswer],
    ) -> Result<(u64, u64), IndexerError> {
        let Some(registry) = self.registry_of(asked.chain) else {
            return Ok((0, 0));
        };
        let (mut broken, mut right) = (Vec::new(), asked.gone.clone());
        for (event, answer) in asked.events.iter().zip(answers) {
            let sequence = event.sequence;
            match answer {
                PlaceAnswer::Differs(column) => broken.push(BrokenEvent {
                    sequence,
                    fault: EventFault::Elsewhere(*column),
                }),
                PlaceAnswer::Same if asked.open.contains(&sequence) => right.push(sequence),
                PlaceAnswer::Same | PlaceAnswer::Unknown => {}
            }
        }
        if broken.is_empty() && right.is_empty() {
            return Ok((0, 0));
        }
        let mut conn = self.pool.acquire().await?;
        let ours = self.registrar_names(&mut conn).await?;
        let told = asked.sequences();
        let stored = chain_events::unpaired_of(&mut conn, registry, &ours, &told).await?;
        drop(conn);
        // The chain was followed meanwhile: of an event that was undone, and is elsewhere by right, nothing was said.
        let is_as_asked =
            |sequence: i64| row_of(&stored, sequence) == row_of(&asked.events, sequence);
        broken.retain(|it| is_as_asked(it.sequence));
        right.retain(|it| is_as_asked(*it));
        self.apply_events((asked.chain, registry), &broken, &right)
            .await
    }

    /// The accounts that anchor for us, as events name them.
    async fn registrar_names(&self, conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
        let registrars = self.registrars(conn).await?;
        Ok(registrars.iter().map(ToString::to_string).collect())
    }

    /// The registry of these events; `None` where it is not followed.
    pub(super) fn registry_of(&self, chain: EventChain) -> Option<&Registry> {
        match chain {
            EventChain::Records => Some(&self.registry),
            EventChain::Consents => self.consents.as_ref().map(|line| &line.registry),
        }
    }
}

fn row_of(events: &[UnpairedEvent], sequence: i64) -> Option<&UnpairedEvent> {
    events.iter().find(|it| it.sequence == sequence)
}
