//! Many event streams of one api, each with a connection of its own, and when each of them is told what.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{PATIENCE, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// What is asked of an event: what a page shows that follows records.
const FOLLOW: &str = "subscription Follow($after: Cursor) {
  integrityEvents(after: $after) { cursor kind at recordId state }
}";
/// How often it is looked how many streams have begun.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What begins each event that tells something.
const TOLD: &[u8] = b"event: next\n";
/// What stands in one that tells an error.
const ERRORS: &[u8] = b"{\"errors\":";

/// What became of a stream.
enum Heard {
    /// It is open.
    Begun,
    /// So many events have come, at once.
    Told(Instant, u64),
    /// It was refused, told an error, or has ended.
    Failed,
}

/// Streams that are open. Dropping it closes them.
pub(crate) struct Audience {
    heard: UnboundedReceiver<Heard>,
    says: UnboundedSender<Heard>,
    streams: JoinSet<()>,
    begun: u64,
    told: Vec<(Instant, u64)>,
    /// How many streams failed.
    pub(crate) failed: u64,
}

impl Audience {
    /// Nobody yet.
    pub(crate) fn empty() -> Self {
        let (says, heard) = unbounded_channel();
        Self {
            heard,
            says,
            streams: JoinSet::new(),
            begun: 0,
            told: Vec::new(),
            failed: 0,
        }
    }

    /// Opens a stream for each of these tokens, all of them at once, from now or after a cursor; waits until each has begun
    /// to follow, which its audit row says.
    pub(crate) async fn joins(&mut self, world: &World, tokens: &[&str], after: Option<&str>) {
        let wanted = subscriptions(world).await + count(tokens.len());
        let failed = self.failed;
        let answered = self.begun + failed + count(tokens.len());
        for token in tokens {
            let request = request(token, after);
            let (server, says) = (world.api.address(), self.says.clone());
            self.streams.spawn(async move {
                // However it ends: nobody has closed it who is asked.
                follow(server, &request, &says).await.ok();
                says.send(Heard::Failed).ok();
            });
        }
        while self.begun + self.failed < answered && self.hears_more().await {}
        let deadline = Instant::now() + PATIENCE;
        // One that told an error in the place of its first event has begun nothing.
        while subscriptions(world).await + self.failed - failed < wanted {
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} in vain: the streams have begun"
            );
            let next = Instant::now() + LOOK_EVERY;
            while Instant::now() < next && self.hears_within(LOOK_EVERY).await {}
        }
    }

    /// How long after `since` each of the next so many events came, the first of them first. Fewer, where nothing comes for as
    /// long as a test is patient.
    pub(crate) async fn hears(&mut self, events: u64, since: Instant) -> Vec<Duration> {
        let mut waits = Vec::new();
        loop {
            for (at, told) in self.told.drain(..) {
                waits.extend((0..told).map(|_| at.saturating_duration_since(since)));
            }
            if count(waits.len()) >= events || !self.hears_more().await {
                break;
            }
        }
        waits.sort_unstable();
        waits
    }

    /// What comes next; false where nothing does.
    async fn hears_more(&mut self) -> bool {
        self.hears_within(PATIENCE).await
    }

    /// The same, of what comes within this time.
    async fn hears_within(&mut self, within: Duration) -> bool {
        match tokio::time::timeout(within, self.heard.recv()).await {
            Ok(Some(Heard::Begun)) => self.begun += 1,
            Ok(Some(Heard::Told(at, events))) => self.told.push((at, events)),
            Ok(Some(Heard::Failed)) => self.failed += 1,
            Ok(None) | Err(_) => return false,
        }
        true
    }
}

/// A number of things as they are counted here.
pub(crate) fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

/// How many streams have ever begun, says the audit trail.
async fn subscriptions(world: &World) -> u64 {
    let query =
        "SELECT count(*) AS begun FROM audit_logs WHERE new_value ->> 'subscription' IS NOT NULL";
    world.sql(query).await[0]["begun"].as_u64().unwrap_or(0)
}

fn request(token: &str, after: Option<&str>) -> Vec<u8> {
    let body = json!({ "query": FOLLOW, "variables": { "after": after } }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\nuser-agent: meditrustal-bench\r\n\
         authorization: Bearer {token}\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Says what comes until nothing does any more. Events are counted where they are: what frames them is of no interest.
async fn follow(
    server: SocketAddr,
    request: &[u8],
    says: &UnboundedSender<Heard>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request).await?;
    let mut read = Vec::with_capacity(2048);
    let mut has_begun = false;
    while stream.read_buf(&mut read).await? > 0 {
        let at = Instant::now();
        if !has_begun {
            if !read.windows(4).any(|it| it == b"\r\n\r\n") {
                continue;
            }
            if !read.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other("it was refused"));
            }
            has_begun = true;
            says.send(Heard::Begun).ok();
        }
        if read.windows(ERRORS.len()).any(|it| it == ERRORS) {
            return Err(io::Error::other("it told an error"));
        }
        let told = read.windows(TOLD.len()).filter(|it| *it == TOLD).count();
        if told > 0 {
            says.send(Heard::Told(at, count(told))).ok();
        }
        // The start of what may go on with what comes next, too short to be counted again.
        let kept = read.len().min(TOLD.len() - 1);
        read.drain(..read.len() - kept);
    }
    Ok(())
}
