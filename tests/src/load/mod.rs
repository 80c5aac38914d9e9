//! Many clients at once: how many answers a second, and how long each took.
//!
//! Each client has a connection of its own that stays open, and asks again as soon as it has its
//! answer: a closed loop. A server that is slow is therefore asked less, and what a client waits
//! for is counted from the moment it asked.

mod connection;
mod measured;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use connection::Connection;
pub use connection::{Reply, post};
pub use measured::Measured;

/// When the clients stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Nobody asks any more once this has passed; what was asked is still answered.
    Passed(Duration),
    /// So many have been asked, by all of them together.
    Asked(u64),
}

/// Clients, and what they ask.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Who answers.
    pub server: SocketAddr,
    /// How many clients there are.
    pub clients: usize,
    /// When they stop.
    pub until: Until,
}

/// One client's turn to ask.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Which client, from 0.
    pub client: usize,
    /// How many turns all of them have had before: no two turns are the same.
    pub nth: u64,
}

impl Load {
    /// Asks until it is over. `ask` gives a whole request, as [`post`] makes it; `right` says whether
    /// an answer is what was wanted, and may keep what it needs of it.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn run(
        self,
        ask: impl Fn(Turn) -> Vec<u8> + Send + Sync + 'static,
        right: impl Fn(Turn, &Reply<'_>) -> bool + Send + Sync + 'static,
    ) -> Measured {
        let mut connections = Vec::with_capacity(self.clients);
        for _ in 0..self.clients {
            let opened = Connection::open(self.server).await;
            connections.push(opened.unwrap_or_else(|error| panic!("{}: {error}", self.server)));
        }
        let shared = Arc::new((ask, right, AtomicU64::new(0)));
        let began = Instant::now();
        let clients = connections
            .into_iter()
            .enumerate()
            .map(|(client, mut connection)| {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (ask, right, turns) = &*shared;
                    let mut measured = Measured::default();
                    while !self.is_over(began, turns) {
                        let nth = turns.fetch_add(1, Ordering::Relaxed);
                        let turn = Turn { client, nth };
                        let request = ask(turn);
                        let asked = Instant::now();
                        if let Ok(reply) = connection.ask(&request).await {
                            measured.answer(asked.elapsed(), right(turn, &reply));
                            continue;
                        }
                        measured.lost += 1;
                        let Ok(another) = Connection::open(self.server).await else {
                            break;
                        };
                        connection = another;
                    }
                    measured
                })
            });
        let mut all = Measured::default();
        for client in clients.collect::<Vec<_>>() {
            all.join(client.await.expect("a client does not panic"));
        }
        all.took = began.elapsed();
        all.sort();
        all
    }

    fn is_over(&self, began: Instant, turns: &AtomicU64) -> bool {
        match self.until {
            Until::Passed(time) => began.elapsed() >= time,
            Until::Asked(count) => turns.load(Ordering::Relaxed) >= count,
        }
    }
}
