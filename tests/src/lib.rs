//! The world a test plays in: people, who speak GraphQL to the real api over HTTP and WebSocket;
//! the real indexer; a real PostgreSQL and a real chain node, none of them shared with another test.
//!
//! ```ignore
//! let world = World::start().await;
//! let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
//! ana.lets(&dr_bo, &["READ", "CREATE"]).await;
//! let record = dr_bo.creates(&ana, "LAB_RESULT", documents::lab_result()).await;
//! world.wait_for_anchor(&id(&record), "CONFIRMED").await;
//! ```
//!
//! Whatever goes wrong here panics with a sentence. Nothing waits for a fixed time: a test waits for
//! the thing, with [`eventually`] as the deadline.

pub mod aborts;
mod answer;
pub mod bench;
mod chance;
pub mod commands;
pub mod composition;
pub mod documents;
mod event_stream;
mod events;
mod line;
pub mod load;
pub mod manual;
pub mod monitoring;
pub mod organizations;
mod person;
mod pooler;
mod program;
pub mod prometheus;
mod promql;
mod raw;
pub mod registry;
pub mod rolling;
mod standby;
pub mod synthea;
mod template;
pub mod transfer;
mod wallet;
mod wiretap;
mod world;
mod writers;

use std::time::{Duration, Instant};

use serde_json::Value;

pub use answer::Answer;
pub use chance::Chance;
pub use event_stream::EventStream;
pub use events::Events;
pub use line::{Carriage, Line};
pub use person::Person;
pub use pooler::Pooler;
pub use program::Program;
pub use raw::Reply;
pub use standby::Standby;
pub use wiretap::Wiretap;
pub use world::World;
pub use writers::Writers;

/// How long anything may take on a busy machine. No test is proven by it: it only ends those that
/// wait for what never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is `Some`; panics when it never is.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The answer that does not say that too much is going on: asks again as a client is told to.
pub async fn patiently<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        match answer.code() {
            Some("BUSY" | "THROTTLED") if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            _ => return answer,
        }
    }
}

/// The id of what the api answered.
pub fn id(of: &Value) -> String {
    text(&of["id"])
}

/// A value that is text.
pub fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
