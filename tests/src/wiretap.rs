//! A listener on the line to PostgreSQL: hears every statement that a program runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::PATIENCE;

/// What an api asks again and again while nobody asks it, by a part of its text.
const BACKGROUND: [&str; 7] = [
    "FROM anchor_outbox",
    "FROM record_closings",
    "WHERE finding.kind = 'ANCHOR_STUCK'",
    // Health, of a pooled connection.
    "SELECT decision_time() AS",
    "FROM integrity_feed AS feed",
    // Where the chain is.
    "block_hash AS indexed_hash",
    "FROM sessions WHERE revoked_at >",
];

/// What a process runs while nobody asks, by a part of its text on one line.
const IDLE: [&str; 11] = [
    "FROM registry_feed AS feed",
    // The reader of the feed, woken by each notice and each second besides: where the trail ends, and where the chain is.
    "SELECT max(position) FROM audit_leaves",
    "block_hash AS indexed_hash",
    // Health, of a pooled connection.
    "SELECT decision_time() AS",
    "FROM anchor_outbox",
    "FROM record_closings",
    "WHERE finding.kind = 'ANCHOR_STUCK'",
    "FROM sessions WHERE revoked_at >",
    "feed.position > $1 ORDER",
    "FROM notifications WHERE position > $1 ORDER",
    // The pool, of a connection that comes back from use outside a transaction.
    "AS t(begun)",
];

/// How a transaction begins of what one process at a time does by itself, such as giving audit rows their places: whatever is
/// asked, it goes on beside it, and is not recorded.
const JOB: &str = "pg_try_advisory_xact_lock(";

/// What the statement says that checks consents about a second after an answer that left them out (`store::consents::in_force_now`):
/// it is not recorded either.
const AFTER_ANSWERS: &str = "/* after an answer */";

/// Stands before a database and hands everything on. Hears whatever is executed, by its text.
#[derive(Debug)]
pub struct Wiretap {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Wiretap {
    /// Stands before the database of this URL, until the test's runtime ends.
    pub async fn before(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("the URL is one");
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, ears) = (server.clone(), Arc::clone(&ears));
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.ok()?;
                    // What comes in pieces would otherwise wait until the piece before is acknowledged.
                    for end in [&client, &server] {
                        end.set_nodelay(true).ok();
                    }
                    let (mut answers, questions) = server.into_split();
                    let (asks, mut is_told) = client.into_split();
                    tokio::spawn(async move { copy(&mut answers, &mut is_told).await });
                    listen(asks, questions, &ears).await
                });
            }
        });
        let url = url.replace(&format!(":{}/", options.get_port()), &format!(":{port}/"));
        Self { url, heard }
    }

    /// The database as it is reached past the listener.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What is executed while nobody asks, from now on: waits until each statement of the background was heard three times,
    /// so that what is asked as seldom as the most seldom of them was heard as well.
    pub async fn background(&self) -> Vec<String> {
        drop(self.takes());
        let mut heard: Vec<String> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !BACKGROUND
            .iter()
            .all(|part| heard.iter().filter(|text| text.contains(part)).count() >= 3)
        {
            assert!(Instant::now() < deadline, "the background is not heard");
            tokio::time::sleep(Duration::from_millis(20)).await;
            heard.extend(self.takes());
        }
        heard
    }

    /// What was executed since this or [`Self::takes`] was last asked, each on one line, but for what an api runs while
    /// nobody asks.
    pub fn takes_asked(&self) -> Vec<String> {
        let heard = self.takes().into_iter();
        let flat = heard.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        flat.filter(|text| !IDLE.iter().any(|idle| text.contains(idle)))
            .collect()
    }

    /// What was executed since this was last asked.
    pub fn takes(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("no panic"))
    }
}

/// Hands on what the client says, message by message; `None` when it has left. Health checks are not recorded.
///
/// See the PostgreSQL manual, "Message Formats": a start-up message has no type, every other one
/// has a byte for it; then comes the length, which counts itself.
async fn listen(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    heard: &Mutex<Vec<String>>,
) -> Option<()> {
    const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
    /// The application that a connection for health checks alone names at its start.
    const HEALTH: &[u8] = b"meditrustal health";
    let is_health = loop {
        let length = client.read_u32().await.ok()?;
        let rest = body(&mut client, length).await?;
        server.write_u32(length).await.ok()?;
        server.write_all(&rest).await.ok()?;
        let code = rest.first_chunk().map(|code| u32::from_be_bytes(*code));
        if !code.is_some_and(|code| ENCRYPTION.contains(&code)) {
            break rest.windows(HEALTH.len()).any(|part| part == HEALTH);
        }
    };
    if is_health {
        copy(&mut client, &mut server).await.ok()?;
        return None;
    }
    let mut prepared: HashMap<String, String> = HashMap::new();
    let (mut is_of_a_job, mut begun) = (false, None);
    let mut hears = |statement: String| {
        if statement.contains(AFTER_ANSWERS) {
            return;
        }
        if statement.contains(JOB) {
            (is_of_a_job, begun) = (true, None);
        } else if is_of_a_job {
            let ends = ["COMMIT", "ROLLBACK"];
            is_of_a_job = !ends.iter().any(|end| statement.starts_with(end));
        } else if statement.starts_with("BEGIN") {
            // Of what, the next statement says.
            begun = Some(statement);
        } else {
            let both = begun.take().into_iter().chain([statement]);
            heard.lock().expect("no panic").extend(both);
        }
    };
    loop {
        let kind = client.read_u8().await.ok()?;
        let length = client.read_u32().await.ok()?;
        let rest = body(&mut client, length).await?;
        let mut texts = rest
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned());
        match kind {
            // Parse: the statement's name and its text.
            b'P' => drop(prepared.insert(texts.next()?, texts.next()?)),
            // Bind: the portal's name and the statement's. It is run once for each.
            b'B' => {
                let statement = prepared.get(&texts.nth(1)?).cloned();
                hears(statement.unwrap_or_default());
            }
            b'Q' => hears(texts.next()?),
            _ => {}
        }
        server.write_u8(kind).await.ok()?;
        server.write_u32(length).await.ok()?;
        server.write_all(&rest).await.ok()?;
    }
}

async fn body(client: &mut OwnedReadHalf, length: u32) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok()?.checked_sub(4)?;
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.ok()?;
    Some(body)
}
