//! What time it is, and what the trail was, by the registry: a database can be told another time, and what is due by it is not
//! believed.

use chain::{Client, ClientError, PinnedCheckpoint};
use chrono::{DateTime, Utc};
use domain::clock::Clock;

use crate::error::Error;

/// What the node says when a run begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witness {
    /// The time of the newest block; without a node, the process's.
    pub(super) now: DateTime<Utc>,
    /// The last checkpoint that the registry holds; `None` without a node.
    pub(super) pinned: Option<PinnedCheckpoint>,
}

impl Witness {
    /// Asks the node, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it does not answer.
    pub(super) async fn ask(client: Option<&Client>) -> Result<Self, Error> {
        let Some(client) = client else {
            return Ok(Self {
                now: Clock::System.now(),
                pinned: None,
            });
        };
        let (pinned, seconds) = ask(client).await.map_err(|error| {
            tracing::error!(%error, "Nothing is removed: the node does not say what time it is");
            Error::Unavailable
        })?;
        let now = i64::try_from(seconds).ok();
        let now = now.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Ok(Self {
            now: now.ok_or(Error::Unavailable)?,
            pinned: Some(pinned),
        })
    }
}

async fn ask(client: &Client) -> Result<(PinnedCheckpoint, u64), ClientError> {
    let pinned = client.latest_checkpoint().await?;
    Ok((pinned, client.head().await?.timestamp))
}
