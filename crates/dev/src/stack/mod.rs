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

use crate::Result;
use crate::client::Client;
use crate::postgres::free_port;
use crate::process::Supervised;

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
        options.say("starting the api and the indexer");
        let (api, indexer) = tokio::try_join!(
            on_some_port(options.api_port, |port| foundation.api(
                "api",
                port,
                &options.api
            )),
            on_some_port(options.indexer_port, |port| foundation.indexer_from(
                "indexer",
                port,
                &options.indexer,
                back_to
            )),
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
        let port = port.map_or_else(free_port, Ok)?;
        let more = &self.foundation.options().indexer;
        let started = self
            .foundation
            .indexer_from("indexer", port, more, Some(block))
            .await;
        self.indexer = started?;
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

/// Starts a program on this port; for 0 on one that is free, and on another one if somebody takes
/// it before the program does.
async fn on_some_port<F>(port: u16, start: impl Fn(u16) -> F) -> Result<Supervised>
where
    F: Future<Output = Result<Supervised>>,
{
    if port != 0 {
        return start(port).await;
    }
    for _ in 0..3 {
        match start(free_port()?).await {
            Err(error) if error.to_string().contains("in use") => {}
            done => return done,
        }
    }
    start(free_port()?).await
}
