//! Asking for the places of stored events, of the node that is asked, and of others before anything is found: in a task of its own,
//! which writes nothing. Nobody waits for it, and the leader writes what came of it.

use std::time::Duration;

use chain::ChainAddress;
use store::findings::EventChain;
use tokio::task::JoinHandle;

use super::{ChainFollower, LeaderState};
use crate::{
    apply::places::{AskedEvents, ToldEvents},
    endpoints::Endpoints,
    error::{IndexerError, with_causes},
    fetch::{self, PlaceAnswer},
    position::BlockRef,
};

/// How long the node may take to say where the events of one registry are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many events of one registry are proven to be elsewhere at a time, so that every node can answer in time: the others follow in
/// the next round. Unit: events.
const PROVEN_AT_ONCE: usize = 5;

/// What nodes are being asked. It ends with this.
#[derive(Debug)]
pub(crate) struct PlaceQuestion(JoinHandle<Vec<ToldEvents>>);

impl PlaceQuestion {
    /// Whether there is nothing to wait for any more.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.is_finished()
    }

    /// What was said, at once where it is answered.
    pub(crate) async fn answers(mut self) -> Vec<ToldEvents> {
        // A task ends without a value only when the program is ending.
        (&mut self.0).await.unwrap_or_default()
    }
}

impl Drop for PlaceQuestion {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ChainFollower {
    /// Has nodes asked where these events are. The chain is followed meanwhile.
    pub(crate) fn ask_for_places(
        &self,
        leader: &LeaderState,
        asked: Vec<AskedEvents>,
    ) -> PlaceQuestion {
        let (endpoints, at) = (self.endpoints.clone(), leader.at.block);
        PlaceQuestion(tokio::spawn(async move {
            let mut told = Vec::new();
            for asked in asked {
                let answers = Box::pin(place_answers(&endpoints, &asked, at)).await;
                told.push(ToldEvents { asked, answers });
            }
            told
        }))
    }
}

/// What the chain says of where these events are, in their order; what the other nodes do not say too counts as not known. `None`
/// where the node gives no answer in time.
async fn place_answers(
    endpoints: &Endpoints,
    asked: &AskedEvents,
    at: BlockRef,
) -> Option<Vec<PlaceAnswer>> {
    let deployment = endpoints.client().deployment();
    let contract = match asked.chain {
        EventChain::Records => deployment.registry,
        EventChain::Consents => deployment.consent_registry?,
    };
    let told = told_places(endpoints, contract, asked, at);
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
    let confirmed = endpoints.others_differ(contract, &events, at).await;
    for (nth, is_confirmed) in differing.into_iter().zip(confirmed) {
        if !is_confirmed {
            answers[nth] = PlaceAnswer::Unknown;
        }
    }
    Some(answers)
}

/// What the node that is asked says. What is not found yet is proven first.
async fn told_places(
    endpoints: &Endpoints,
    contract: ChainAddress,
    asked: &AskedEvents,
    at: BlockRef,
) -> Result<Vec<PlaceAnswer>, IndexerError> {
    let client = endpoints.client();
    let mut answers = fetch::told_places(client, contract, &asked.events).await?;
    let mut doubted = places(&answers, |it| it == PlaceAnswer::Unknown);
    doubted.sort_by_key(|nth| asked.is_open(*nth));
    doubted.truncate(PROVEN_AT_ONCE);
    let events = asked.some(&doubted);
    let proven = fetch::proven_places(client, contract, &events, at).await?;
    for (nth, answer) in doubted.into_iter().zip(proven) {
        answers[nth] = answer;
    }
    Ok(answers)
}

/// Which answers are such ones.
fn places(answers: &[PlaceAnswer], is_one: impl Fn(PlaceAnswer) -> bool) -> Vec<usize> {
    let each = answers.iter().enumerate();
    each.filter(|(_, answer)| is_one(**answer))
        .map(|(nth, _)| nth)
        .collect()
}
