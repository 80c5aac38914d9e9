//! A line to PostgreSQL that can be slow, swallow what is said on it, break, and lead to another server.

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What happens to what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// It is handed on.
    Open,
    /// It is handed on later, by this much, in each direction. What is said meanwhile is on its way at the same time.
    Slow(Duration),
    /// Nothing arrives, and nobody is told: neither end hears that the other one is out of reach.
    Silent,
}

#[derive(Debug, Clone)]
struct State {
    server: (String, u16),
    carriage: Carriage,
    /// Connections of another generation than this have ended.
    generation: u64,
}

/// Stands before a server of PostgreSQL until it is dropped.
#[derive(Debug)]
pub struct Line {
    port: u16,
    state: watch::Sender<State>,
}

impl Line {
    /// Stands before the server of this URL, and is open.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let (state, seen) = watch::channel(State {
            server: server_of(url),
            carriage: Carriage::Open,
            generation: 0,
        });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connects(client, seen.clone()));
            }
        });
        Self { port, state }
    }

    /// The same database, as it is reached over this line.
    pub fn over(&self, url: &str) -> String {
        let (_, port) = server_of(url);
        url.replace(&format!(":{port}/"), &format!(":{}/", self.port))
    }

    /// Changes what happens to what is said from now on. Who had to do with a silent line is cut off when it is silent no more: what
    /// was swallowed is lost.
    pub fn becomes(&self, carriage: Carriage) {
        self.state.send_modify(|state| {
            state.generation += u64::from(state.carriage == Carriage::Silent);
            state.carriage = carriage;
        });
    }

    /// Leads to the server of this URL from now on, and cuts off whoever had to do with the one before.
    pub fn leads_to(&self, url: &str) {
        self.state.send_modify(|state| {
            state.generation += 1;
            state.server = server_of(url);
        });
    }
}

fn server_of(url: &str) -> (String, u16) {
    let options: PgConnectOptions = url.parse().expect("the URL is one");
    (options.get_host().to_owned(), options.get_port())
}

async fn connects(client: TcpStream, mut state: watch::Receiver<State>) {
    let State {
        server,
        carriage,
        generation,
    } = state.borrow().clone();
    if carriage == Carriage::Silent {
        // It waits for an answer, and none comes.
        ended(&mut state, generation).await;
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for end in [&client, &server] {
        end.set_nodelay(true).ok();
    }
    let (answers, asks) = server.into_split();
    let (says, hears) = client.into_split();
    // Where one end has gone, the other one is told.
    tokio::select! {
        () = carries(says, asks, state.clone(), generation) => {}
        () = carries(answers, hears, state, generation) => {}
    }
}

/// Waits until the connections of this generation have ended.
async fn ended(state: &mut watch::Receiver<State>, generation: u64) {
    let over = state.wait_for(|now| now.generation != generation).await;
    drop(over);
}

async fn carries(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    generation: u64,
) {
    let mut buffer = vec![0; 16 * 1024];
    // What is on its way, and when it arrives.
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut is_over = false;
    loop {
        let due = under_way.front().map(|(due, _)| *due);
        if is_over && due.is_none() {
            return;
        }
        tokio::select! {
            () = arrives(due) => {
                let said = under_way.pop_front().map(|(_, said)| said);
                if to.write_all(&said.unwrap_or_default()).await.is_err() {
                    return;
                }
            }
            read = from.read(&mut buffer), if !is_over => {
                let length = read.unwrap_or_default();
                is_over = length == 0;
                let carriage = state.borrow().carriage;
                let later = match carriage {
                    Carriage::Open => Duration::ZERO,
                    Carriage::Slow(by) => by,
                    Carriage::Silent => continue,
                };
                if !is_over {
                    under_way.push_back((Instant::now() + later, buffer[..length].to_vec()));
                }
            }
            () = ended(&mut state, generation) => return,
        }
    }
}

/// Waits until what is due then arrives; for ever where nothing is on its way.
async fn arrives(due: Option<Instant>) {
    match due {
        // A timer would wait for the end of the millisecond.
        Some(due) if due <= Instant::now() => {}
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
