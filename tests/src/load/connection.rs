//! One connection that speaks HTTP/1.1 and as little of it as there is.
//!
//! Written by hand because it shares the machine with what it measures: a client that redirects,
//! pools and parses headers takes a tenth of the machine at some thousand answers a second.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// Whether this is an answer of GraphQL without an error in it, as our api writes them.
    pub fn is_data(&self) -> bool {
        self.status == 200 && self.body.starts_with(br#"{"data":"#)
    }
}

/// A POST of JSON, as it goes over the line; for nobody where `token` is empty.
pub fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    let bearer = if token.is_empty() {
        String::new()
    } else {
        format!("authorization: Bearer {token}\r\n")
    };
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: meditrustal-bench\r\n{bearer}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let read = Vec::with_capacity(64 * 1024);
        Ok(Self { stream, read })
    }

    /// Sends a request and waits for its answer, which must say how long it is.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let (status, start, length) = loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.read.windows(4).position(|it| it == b"\r\n\r\n") {
                let (status, length) = head(&self.read[..end])
                    .ok_or_else(|| Error::new(ErrorKind::InvalidData, "no length"))?;
                break (status, end + 4, length);
            }
        };
        while self.read.len() < start + length {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let body = &self.read[start..start + length];
        Ok(Reply { status, body })
    }
}

/// The status and the length of the body.
fn head(bytes: &[u8]) -> Option<(u16, usize)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })?;
    Some((status, length))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{Connection, head, post};

    #[test]
    fn a_head_is_its_status_and_its_length() {
        let whole = b"HTTP/1.1 404 Not Found\r\nx: y\r\nContent-Length: 12";
        assert_eq!(head(whole), Some((404, 12)));
        for wrong in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nx: y",
            b"HTTP/1.1\r\n",
            b"\xff",
        ] {
            assert_eq!(head(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_in_pieces_is_put_together() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = listener.local_addr().expect("an address");
        let request = post("/x", "", "{}");
        let length = request.len();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            for answer in ["one", "three"] {
                client.read_exact(&mut vec![0; length]).await.expect("asks");
                let text = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
                    answer.len()
                );
                for piece in text.as_bytes().chunks(7) {
                    client.write_all(piece).await.expect("is told");
                    client.flush().await.expect("is told");
                    tokio::task::yield_now().await;
                }
            }
        });

        let mut connection = Connection::open(server).await.expect("it listens");

        for wanted in ["one", "three"] {
            let reply = connection.ask(&request).await.expect("it answers");
            assert_eq!((reply.status, reply.body), (200, wanted.as_bytes()));
        }
        assert!(connection.ask(&request).await.is_err(), "it has left");
    }
}
