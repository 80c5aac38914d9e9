//! A pooler that shares sessions: what `PgBouncer` does with `pool_mode = transaction` and one connection to
//! the server. No more of `PgBouncer` than that.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Stands before a database and gives each transaction of each client the one session that it has.
#[derive(Debug)]
pub struct Pooler {
    url: String,
}

/// The session, once somebody has logged in, and what the server said then.
#[derive(Debug, Default)]
struct Shared {
    server: Option<TcpStream>,
    greeting: Vec<u8>,
}

impl Pooler {
    /// Stands before the database of this URL, until the test's runtime ends.
    pub async fn before(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("the URL is one");
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, shared) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(serve(client, server, shared));
            }
        });
        let url = url.replace(&format!(":{}/", options.get_port()), &format!(":{port}/"));
        Self { url }
    }

    /// The database as it is reached through the pooler.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A message: its type and the rest, with its length. See the PostgreSQL manual, "Message Formats".
async fn message(from: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = from.read_u8().await.ok()?;
    Some((kind, rest(from).await?))
}

/// What follows a type: the length, which counts itself, and the body.
async fn rest(from: &mut TcpStream) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut all = vec![0; usize::try_from(length).ok()?];
    all[..4].copy_from_slice(&length.to_be_bytes());
    from.read_exact(&mut all[4..]).await.ok()?;
    Some(all)
}

async fn send(to: &mut TcpStream, kind: u8, rest: &[u8]) -> Option<()> {
    to.write_all(&[&[kind], rest].concat()).await.ok()
}

async fn serve(
    mut client: TcpStream,
    server: (String, u16),
    shared: Arc<Mutex<Shared>>,
) -> Option<()> {
    let mut start = rest(&mut client).await?;
    // "SSLRequest": the client asks for TLS, and goes on in clear text where it may.
    if start[4..] == 80_877_103_u32.to_be_bytes() {
        client.write_all(b"N").await.ok()?;
        start = rest(&mut client).await?;
    }
    let mut session = shared.lock().await;
    if session.server.is_none() {
        let mut line = TcpStream::connect(server).await.ok()?;
        line.write_all(&start).await.ok()?;
        loop {
            let (kind, rest) = message(&mut line).await?;
            send(&mut client, kind, &rest).await?;
            match kind {
                b'Z' => break,
                // Parameters, and the key to cancel.
                b'S' | b'K' => session.greeting.extend([&[kind], &rest[..]].concat()),
                // More is asked of the client, unless it is said that this was all.
                b'R' if !matches!(rest[4..], [0, 0, 0, 0] | [0, 0, 0, 12, ..]) => {
                    let (kind, answer) = message(&mut client).await?;
                    send(&mut line, kind, &answer).await?;
                }
                _ => {}
            }
        }
        session.server = Some(line);
    } else {
        send(&mut client, b'R', &[0, 0, 0, 8, 0, 0, 0, 0]).await?;
        client.write_all(&session.greeting).await.ok()?;
        send(&mut client, b'Z', &[0, 0, 0, 5, b'I']).await?;
    }
    drop(session);
    loop {
        // Between two transactions the session is anybody's.
        let (mut kind, mut asked) = message(&mut client).await?;
        let mut session = shared.lock().await;
        let line = session.server.as_mut()?;
        loop {
            if kind == b'X' {
                return None;
            }
            send(line, kind, &asked).await?;
            if matches!(kind, b'Q' | b'S') && answer(line, &mut client).await? {
                break;
            }
            (kind, asked) = message(&mut client).await?;
        }
    }
}

/// Hands an answer on; whether no transaction is open after it.
async fn answer(line: &mut TcpStream, client: &mut TcpStream) -> Option<bool> {
    loop {
        let (kind, rest) = message(line).await?;
        send(client, kind, &rest).await?;
        if kind == b'Z' {
            return Some(rest.last() == Some(&b'I'));
        }
    }
}
