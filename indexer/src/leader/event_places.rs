//! Asking for the places of stored events, of the node that is asked, and of others before anything is found.

use std::time::Duration;

use store::findings::EventChain;

use super::{ChainFollower, LeaderState};
use crate::{
    apply::places::AskedEvents,
    error::with_causes,
    fetch::{self, PlaceAnswer},
};

/// How long the node may take to say where the events of one registry are: nothing is followed meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

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
        let told = fetch::place_answers(self.client(), contract, &asked.events, at);
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
        for (event, answer) in asked.events.iter().zip(&mut answers) {
            let differs = matches!(answer, PlaceAnswer::Differs(_));
            if differs && !self.endpoints.others_differ(contract, event, at).await {
                *answer = PlaceAnswer::Unknown;
            }
        }
        Some(answers)
    }
}
