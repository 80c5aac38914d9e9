//! Asking for the places of stored events, of the node that is asked, and of others before anything is found.

use std::time::Duration;

use chain::ChainAddress;
use store::findings::EventChain;

use super::{ChainFollower, LeaderState};
use crate::{
    apply::places::AskedEvents,
    error::{IndexerError, with_causes},
    fetch::{self, PlaceAnswer},
    position::BlockRef,
};

/// How long the node may take to say where the events of one registry are: nothing is followed meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How many events of one registry are proven to be elsewhere in each tick, so that every node can answer in time: the others
/// follow in the next round. Unit: events.
const PROVEN_AT_ONCE: usize = 5;

impl ChainFollower {
    /// What the chain says of where these events are, in their order; what the other nodes do not say too counts as not known.
    /// `None` where the node gives no answer in time.
    pub(crate) async fn place_answers(
        &self,
        leader: &LeaderState,
        asked: &AskedEvents,
    ) -> Option<Vec<PlaceAnswer>> {
        let deployment = self.client().deployment();
        let contract = match asked.chain {
            EventChain::Records => deployment.registry,
            EventChain::Consents => deployment.consent_registry?,
        };
        let at = leader.at.block;
        let told = self.told_places(contract, asked, at);
        let mut answers = match tokio::time::timeout(ANSWER_TIMEOUT, told).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => {
                tracing::debug!("Not told where events are: {}", with_causes(&error));
                return None;
            }
            Err(_) => {
                tracing::debug!("Not told in time where events are");
                return None;
            }
        };
        let differing = places(&answers, |it| matches!(it, PlaceAnswer::Differs(_)));
        let events = asked.some(&differing);
        let confirmed = self.endpoints.others_differ(contract, &events, at).await;
        for (nth, is_confirmed) in differing.into_iter().zip(confirmed) {
            if !is_confirmed {
                answers[nth] = PlaceAnswer::Unknown;
            }
        }
        Some(answers)
    }

    /// What the node that is asked says. What is not found yet is proven first.
    async fn told_places(
        &self,
        contract: ChainAddress,
        asked: &AskedEvents,
        at: BlockRef,
    ) -> Result<Vec<PlaceAnswer>, IndexerError> {
        let mut answers = fetch::told_places(self.client(), contract, &asked.events).await?;
        let mut doubted = places(&answers, |it| it == PlaceAnswer::Unknown);
        doubted.sort_by_key(|nth| asked.is_open(*nth));
        doubted.truncate(PROVEN_AT_ONCE);
        let events = asked.some(&doubted);
        let proven = fetch::proven_places(self.client(), contract, &events, at).await?;
        for (nth, answer) in doubted.into_iter().zip(proven) {
            answers[nth] = answer;
        }
        Ok(answers)
    }
}

/// Which answers are such ones.
fn places(answers: &[PlaceAnswer], is_one: impl Fn(PlaceAnswer) -> bool) -> Vec<usize> {
    let each = answers.iter().enumerate();
    each.filter(|(_, answer)| is_one(**answer))
        .map(|(nth, _)| nth)
        .collect()
}
