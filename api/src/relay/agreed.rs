//! Asks a second node before something is done that cannot be taken back or costs money, where several are named. While two differ
//! nothing is done about it: that is logged and counted, and becomes a finding where a record waits for it.

use chain::{Client, ClientError, ToldFact};

use super::Relay;
use crate::instruments::instruments;

/// Refuses where a second node says otherwise; logs and counts that.
///
/// # Errors
/// [`ClientError::NodesDiffer`], and those of the node that is asked.
pub(crate) async fn require_agreed(client: &Client, told: ToldFact<'_>) -> Result<(), ClientError> {
    let agreed = Box::pin(client.require_second_word(told)).await;
    if let Err(ClientError::NodesDiffer { number }) = agreed {
        instruments().handed_over("nodes-differ");
        tracing::error!(
            block = number,
            "A node says that {told}, and another one does not: nothing is done about it until two of the chain's nodes agree"
        );
    }
    agreed
}

/// What a second node makes of what one has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondOpinion {
    /// It says the same; or there is none that says anything.
    Same,
    /// It says otherwise.
    Other,
    /// The node that told it does not answer any more.
    Unknown,
}

impl Relay {
    /// Asks a second node.
    pub(super) async fn second_opinion(&self, told: ToldFact<'_>) -> SecondOpinion {
        match require_agreed(&self.client, told).await {
            Ok(()) => SecondOpinion::Same,
            Err(ClientError::NodesDiffer { .. }) => SecondOpinion::Other,
            Err(error) => {
                tracing::warn!(%error, "The node does not say again that {told}; looking again");
                SecondOpinion::Unknown
            }
        }
    }

    /// Whether a second node says so, too.
    pub(super) async fn is_agreed(&self, told: ToldFact<'_>) -> bool {
        self.second_opinion(told).await == SecondOpinion::Same
    }
}
