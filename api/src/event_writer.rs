//! Writes an event stream to its connection.
//!
//! hyper keeps two buffers of 8 KiB and the headers of the answer for each connection, which an event stream needs no more once it
//! has begun, and it is open for hours. So it leaves hyper with its head unwritten, and ends with its connection.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// How much is gathered before it is written. What is longer by itself is written from where it is. Unit: bytes.
const GATHERED: usize = 8 * 1024;
/// What ends a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The answer that is to be written, handed from where it is made. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct BegunEventStream(Arc<Mutex<Option<Response>>>);

impl BegunEventStream {
    /// Hands it over.
    pub(crate) fn put(&self, answer: Response) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Takes it, where one was handed over.
    pub(crate) fn take(&self) -> Option<Response> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes an answer of HTTP/1.1 to its end, and ends the connection.
///
/// # Errors
/// Where the client has left, or takes nothing.
pub(crate) async fn write<S>(mut stream: S, answer: Response) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (parts, body) = answer.into_parts();
    let head = head(parts.status, &parts.headers);
    drop(parts);
    stream.write_all(&head).await?;
    drop(head);
    let mut writer = EventWriter {
        stream,
        body,
        ahead: None,
        is_over: false,
        is_watched: true,
    };
    while let Some(piece) = poll_fn(|cx| writer.poll_next(cx)).await? {
        writer.write_with_followers(piece).await?;
    }
    writer.stream.write_all(LAST_CHUNK).await?;
    writer.stream.shutdown().await
}

/// The head of the answer.
fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    let of_connection = [header::CONNECTION, header::TRANSFER_ENCODING];
    for (name, value) in headers {
        if !of_connection.contains(name) {
            // Neither has the end of a line in it: their types see to that.
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    head
}

/// An event stream that is being written.
struct EventWriter<S> {
    stream: S,
    body: Body,
    /// What came of the body while something before it was written.
    ahead: Option<io::Result<Option<Bytes>>>,
    /// Whether the body has ended: it is asked for no more.
    is_over: bool,
    /// Whether it is noticed when the client leaves. What it sends meanwhile is read by nobody.
    is_watched: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> EventWriter<S> {
    /// The next piece of the body, once there is one; `None` at its end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let piece = self.poll_piece(cx);
        if piece.is_pending() && self.poll_left(cx) {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        piece
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(ahead);
        }
        while !self.is_over {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.is_over = true,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    // An empty chunk would be the end.
                    if let Ok(piece) = frame.into_data()
                        && !piece.is_empty()
                    {
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Lets the body go on while a write waits, until it has one more piece. It may hold what others wait for, such as a turn or a
    /// connection to the database, which it would keep for as long as the client takes nothing.
    fn look_ahead<T>(&mut self, write: Poll<T>, cx: &mut Context<'_>) -> Poll<T> {
        if write.is_pending() && self.ahead.is_none() {
            self.ahead = match self.poll_piece(cx) {
                Poll::Ready(piece) => Some(piece),
                Poll::Pending => None,
            };
        }
        write
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = poll_fn(|cx| {
                let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
                self.look_ahead(write, cx)
            });
            let written = write.await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let flush = poll_fn(|cx| {
            let flush = Pin::new(&mut self.stream).poll_flush(cx);
            self.look_ahead(flush, cx)
        });
        flush.await
    }

    /// Whether the client has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_watched {
            return false;
        }
        let mut byte = [0; 1];
        let mut read = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Pending => false,
            Poll::Ready(Err(_)) => true,
            Poll::Ready(Ok(())) => {
                // Another request, which is not answered: the connection ends with this one.
                self.is_watched = false;
                read.filled().is_empty()
            }
        }
    }

    /// Writes a piece, and with it what is there besides.
    async fn write_with_followers(&mut self, first: Bytes) -> io::Result<()> {
        let mut gathered = Vec::new();
        let mut next = Some(first);
        while let Some(piece) = next.take() {
            gathered.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            if piece.len() > GATHERED {
                self.write_all(&gathered).await?;
                gathered.clear();
                self.write_all(&piece).await?;
            } else {
                gathered.extend_from_slice(&piece);
            }
            gathered.extend_from_slice(b"\r\n");
            if gathered.len() < GATHERED {
                let at_hand = poll_fn(|cx| Poll::Ready(self.poll_piece(cx))).await;
                if let Poll::Ready(found) = at_hand {
                    next = found?;
                }
            }
        }
        self.write_all(&gathered).await?;
        self.flush().await
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures::{StreamExt as _, stream};
    use tokio::{
        io::{AsyncReadExt as _, duplex},
        sync::oneshot,
    };

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\
                        transfer-encoding: chunked\r\n\r\n";

    fn answer(body: Body) -> Response {
        let mut answer = Response::new(body);
        let kind = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }

    fn pieces(lengths: &[usize]) -> Vec<Bytes> {
        let pieces = lengths.iter();
        pieces.map(|length| "a".repeat(*length).into()).collect()
    }

    #[tokio::test]
    async fn each_piece_is_a_chunk_and_the_connection_ends_with_the_last() {
        for lengths in [
            vec![],
            vec![1],
            vec![3, 0, 10],
            vec![GATHERED, GATHERED + 1, 1],
            vec![20_000, 20_000],
            vec![100; 300],
        ] {
            let pieces = pieces(&lengths);
            let written = pieces.iter().filter(|piece| !piece.is_empty());
            let chunks = written.map(|piece| {
                let text = String::from_utf8_lossy(piece);
                format!("{:x}\r\n{text}\r\n", piece.len())
            });
            let chunks: Vec<String> = chunks.collect();
            let expected = [HEAD, &chunks.concat(), "0\r\n\r\n"].concat();
            let body = stream::iter(pieces.into_iter().map(Ok::<_, io::Error>));
            let (ours, mut theirs) = duplex(1000);

            let sent = tokio::spawn(write(ours, answer(Body::from_stream(body))));
            let mut read = String::new();
            theirs.read_to_string(&mut read).await.expect("it ends");

            assert_eq!(read, expected, "{lengths:?}");
            sent.await.expect("no panic").expect("it was written");
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_has_no_last_chunk() {
        let error = Err(io::Error::other("it broke off"));
        let body = stream::iter([Ok(Bytes::from_static(b"a")), error]);
        let (ours, mut theirs) = duplex(1000);

        let sent = write(ours, answer(Body::from_stream(body))).await;
        let mut read = String::new();
        theirs.read_to_string(&mut read).await.expect("it ends");

        assert!(sent.is_err());
        assert!(read.starts_with(HEAD) && !read.ends_with("0\r\n\r\n"));
    }

    #[tokio::test]
    async fn the_next_piece_is_made_while_the_client_takes_nothing() {
        let (made, is_made) = oneshot::channel();
        let first = stream::iter(pieces(&[2000]).into_iter().map(Ok::<_, io::Error>));
        let second = stream::once(async move {
            tokio::task::yield_now().await;
            made.send(()).ok();
            Ok::<_, io::Error>(Bytes::from_static(b"b"))
        });
        let (ours, mut theirs) = duplex(1000);

        let sent = tokio::spawn(write(ours, answer(Body::from_stream(first.chain(second)))));
        let within = std::time::Duration::from_secs(10);
        let made = tokio::time::timeout(within, is_made).await;
        made.expect("it is made in time").expect("it is made");
        let mut read = String::new();
        theirs.read_to_string(&mut read).await.expect("it ends");

        assert!(read.ends_with("a\r\n1\r\nb\r\n0\r\n\r\n"), "{read}");
        sent.await.expect("no panic").expect("it was written");
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_a_stream_that_says_nothing() {
        let body = stream::pending::<Result<Bytes, io::Error>>();
        let (ours, mut theirs) = duplex(1000);

        let sent = tokio::spawn(write(ours, answer(Body::from_stream(body))));
        let mut read = vec![0; HEAD.len()];
        theirs.read_exact(&mut read).await.expect("it has begun");
        drop(theirs);

        assert!(sent.await.expect("no panic").is_err());
    }

    #[tokio::test]
    async fn what_a_client_sends_besides_is_not_answered() {
        let body = stream::pending::<Result<Bytes, io::Error>>();
        let (ours, mut theirs) = duplex(1000);
        let more = b"GET /health/live HTTP/1.1\r\n\r\n";
        theirs.write_all(more).await.expect("sent");

        let written = write(ours, answer(Body::from_stream(body)));
        let within = std::time::Duration::from_millis(50);
        let ended = tokio::time::timeout(within, written).await;
        let mut read = String::new();
        theirs.read_to_string(&mut read).await.expect("it ends");

        assert!(ended.is_err(), "it goes on");
        assert_eq!(read, HEAD);
    }
}
