//! The places of stored events that no other row here is of: which the chain is asked for next, and what is found of them. Where
//! an event is, its head does not say.

use std::collections::BTreeSet;

use store::{
    chain_events::{self, UnpairedEvent},
    cursor::Registry,
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

impl AskedEvents {
    /// Those in these places of the list.
    pub(crate) fn some(&self, places: &[usize]) -> Vec<UnpairedEvent> {
        let events = places.iter().filter_map(|nth| self.events.get(*nth));
        events.cloned().collect()
    }

    /// Whether a finding is open about the one in this place.
    pub(crate) fn is_open(&self, nth: usize) -> bool {
        let event = self.events.get(nth);
        event.is_some_and(|it| self.open.contains(&it.sequence))
    }
}

impl ChainWriter {
    /// At most `due` events behind this one, and as many of those that findings are open about; `None` where the registry is not
    /// followed.
    pub(crate) async fn events_to_ask(
        &self,
        chain: EventChain,
        after: i64,
        due: i64,
    ) -> Result<Option<AskedEvents>, IndexerError> {
        let Some(registry) = self.registry_of(chain) else {
            return Ok(None);
        };
        let mut conn = self.pool.acquire().await?;
        let mut events = chain_events::unpaired_after(&mut conn, registry, after, due).await?;
        let at_once = usize::try_from(due).unwrap_or(0);
        let is_full = events.len() >= at_once;
        let last = events.last().map(|it| it.sequence);
        let check = EventCheck::Places;
        let open = findings::open_about_events(&mut conn, registry, chain, check).await?;
        let asked = |events: &[UnpairedEvent], sequence: i64| {
            events.iter().any(|it| it.sequence == sequence)
        };
        let again = open.iter().copied().filter(|it| !asked(&events, *it));
        let again: Vec<i64> = again.take(at_once).collect();
        let found = chain_events::unpaired_of(&mut conn, registry, &again).await?;
        let gone = again.into_iter().filter(|it| !asked(&found, *it)).collect();
        events.extend(found);
        Ok(Some(AskedEvents {
            chain,
            events,
            after: last.filter(|_| is_full).unwrap_or(0),
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
        self.apply_events((asked.chain, registry), &broken, &right)
            .await
    }

    /// The registry of these events; `None` where it is not followed.
    pub(super) fn registry_of(&self, chain: EventChain) -> Option<&Registry> {
        match chain {
            EventChain::Records => Some(&self.registry),
            EventChain::Consents => self.consents.as_ref().map(|line| &line.registry),
        }
    }
}
