//! Everything together: a database, a chain, the registry on it, the api and the indexer as two
//! processes, each with what it may know and no more.
//!
//! `cargo dev` keeps it under `.dev`; a test throws it away. Both go through the same steps.

mod database;
mod foundation;
mod loss;
mod options;
mod ports;
mod programs;
mod run;
mod secrets;
mod template;

pub use database::Database;
pub use foundation::Foundation;
pub use options::Options;
pub use programs::{Profile, Programs};
pub use run::{Person, Run, RunFile};
pub use template::Template;

use crate::client::Client;
use crate::process::Supervised;
use crate::{Result, port};

/// A running stack. Dropping it stops it: the api first, the database last.
#[derive(Debug)]
pub struct Stack {
    /// The GraphQL server.
    pub api: Supervised,
    /// What follows the chain.
    pub indexer: Supervised,
    /// What they stand on.
    pub foundation: Foundation,
}

impl Stack {
    /// Puts everything up, one upon the other, and waits until both programs are ready.
    ///
    /// # Errors
    ///
    /// The first thing that does not work, with what to do or the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        Self::on(Foundation::start(options).await?).await
    }

    /// Starts both programs on a foundation, and waits until they are ready.
    ///
    /// # Errors
    ///
    /// When one of them is not: with the end of its log.
    pub async fn on(foundation: Foundation) -> Result<Self> {
        let options = foundation.options();
        let back_to = if options.keep {
            foundation.lost_after().await?
        } else {
            None
        };
        if let Some(block) = back_to {
            options.say(format_args!(
                "the chain was killed and has lost its last blocks: going back to block {block}; what was \
                 anchored after it is sent again"
            ));
        }
        foundation.let_signers_anchor().await?;
        options.say("starting the api and the indexer");
        let (api_port, indexer_port) = (some(options.api_port)?, some(options.indexer_port)?);
        let (api, indexer) = tokio::try_join!(
            foundation.api("api", api_port, &options.api),
            foundation.indexer_from("indexer", indexer_port, &options.indexer, back_to),
        )?;
        Ok(Self {
            api,
            indexer,
            foundation,
        })
    }

    /// Where the chain has lost blocks that the indexer has applied, starts the indexer again from the last one
    /// that both know. Answers whether that was so.
    ///
    /// # Errors
    ///
    /// When the database or the node does not answer, or the indexer does not get ready.
    pub async fn heal(&mut self) -> Result<bool> {
        let Some(block) = self.foundation.lost_after().await? else {
            return Ok(false);
        };
        self.indexer.stop().await;
        let url = &self.indexer.program().ready_url;
        let port = url.split([':', '/']).find_map(|part| part.parse().ok());
        let port = port.map_or_else(port::claim, Ok)?;
        let more = &self.foundation.options().indexer;
        let started = self
            .foundation
            .indexer_from("indexer", port, more, Some(block))
            .await;
        self.indexer = started?;
        // That may be among what was lost.
        self.foundation.let_signers_anchor().await?;
        Ok(true)
    }

    /// Stops everything in order, each waiting for the one before.
    pub async fn stop(self) {
        self.api.stop().await;
        self.indexer.stop().await;
        self.foundation.stop().await;
    }

    /// Where the api listens: `http://127.0.0.1:8000`.
    pub fn url(&self) -> String {
        self.api.program().ready_url.replace("/health/ready", "")
    }

    /// A client of its GraphQL, logged in as nobody.
    pub fn client(&self) -> Client {
        Client::new(&format!("{}/graphql", self.url()))
    }
}

/// This port; for 0 one that is claimed.
fn some(port: u16) -> Result<u16> {
    if port == 0 { port::claim() } else { Ok(port) }
}
