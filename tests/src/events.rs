//! What a person is told over `integrityEvents`.

use dev::client::{Answer, ClientError, Subscription};
use serde_json::Value;

use crate::PATIENCE;

/// A running subscription to `integrityEvents`. Dropping it ends it.
#[derive(Debug)]
pub struct Events {
    subscription: Subscription,
    /// What came before anybody asked.
    first: Option<Result<Answer, ClientError>>,
}

impl Events {
    /// What [`crate::Person::watches`] asks for.
    pub(crate) const DOCUMENT: &str =
        "subscription Watch($after: Cursor, $recordId: UUID) {
          integrityEvents(after: $after, recordId: $recordId) {
            cursor kind at recordId patientId dataHash txHash blockNumber blockHash logIndex sequence state
            finding { id kind openedAt resolvedAt details }
          }
        }";

    pub(crate) fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            first: None,
        }
    }

    /// Waits until there is something to be taken, and leaves it there.
    pub(crate) async fn looks_ahead(&mut self) {
        self.first = Some(self.subscription.next_within(PATIENCE).await);
    }

    /// The next event.
    pub async fn next(&mut self) -> Value {
        let event = self.try_next().await;
        event.unwrap_or_else(|error| panic!("there is no next event: {error}"))
    }

    /// The next event, or how the subscription ended.
    ///
    /// # Errors
    ///
    /// When it was closed, refused, or nothing came for as long as a test is patient.
    pub async fn try_next(&mut self) -> Result<Value, ClientError> {
        let answer = match self.first.take() {
            Some(answer) => answer,
            None => self.subscription.next_within(PATIENCE).await,
        };
        let mut data = answer?.data()?;
        Ok(data["integrityEvents"].take())
    }

    /// The next event of this kind, and all that came before it.
    pub async fn until(&mut self, kind: &str) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            match self.try_next().await {
                Ok(event) if event["kind"] == kind => return (event, before),
                Ok(event) => before.push(event),
                Err(error) => panic!("waited for {kind}: {error}; before that came {before:#?}"),
            }
        }
    }
}
