//! The text of an answer in pieces, so that a long one is nowhere in memory as a whole: a stored document is sent from where it was
//! opened, and what was written is dropped while the rest is.

use std::{
    collections::VecDeque,
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use async_graphql::{Response as Answer, Value};
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::{begin, end};
use crate::{
    graphql::document::{write, write_text},
    schema::has_run,
};

/// From this length on a stored document is a piece of its own, instead of being copied into one. Unit: bytes.
const LONG_DOCUMENT: usize = 16 << 10;
/// How long other pieces become. Unit: bytes.
const PIECE: usize = 64 << 10;

/// An answer as JSON text, as [`super::to_json`] writes it, in pieces.
pub(crate) fn to_pieces(mut response: Answer) -> Vec<Bytes> {
    let mut out = PieceWriter {
        pieces: Vec::new(),
        text: String::with_capacity(1024),
    };
    begin(&response, &mut out.text);
    if has_run(&response) {
        out.write(mem::take(&mut response.data));
    }
    end(&response, &mut out.text);
    out.cut();
    out.pieces
}

struct PieceWriter {
    pieces: Vec<Bytes>,
    /// What comes after them.
    text: String,
}

impl PieceWriter {
    /// Appends a value, which is dropped bit by bit.
    fn write(&mut self, value: Value) {
        match value {
            Value::Binary(bytes) if is_long_text(&bytes) => {
                self.cut();
                self.pieces.push(bytes);
            }
            Value::List(items) => {
                self.text.push('[');
                for (nth, item) in items.into_iter().enumerate() {
                    if nth > 0 {
                        self.text.push(',');
                    }
                    self.write(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (nth, (key, member)) in members.into_iter().enumerate() {
                    if nth > 0 {
                        self.text.push(',');
                    }
                    write_text(&key, &mut self.text);
                    self.text.push(':');
                    self.write(member);
                }
                self.text.push('}');
            }
            other => write(&other, &mut self.text),
        }
        if self.text.len() >= PIECE {
            self.cut();
        }
    }

    /// Ends the piece that is being written.
    fn cut(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(mem::take(&mut self.text).into());
        }
    }
}

fn is_long_text(bytes: &[u8]) -> bool {
    bytes.len() >= LONG_DOCUMENT && std::str::from_utf8(bytes).is_ok()
}

/// The body of an answer in pieces. Its length is known.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl AnswerBody {
    /// These, in their order.
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        Self {
            left: pieces.iter().map(|piece| piece.len() as u64).sum(),
            pieces: pieces.into(),
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.pop_front();
        let length = next.as_ref().map_or(0, Bytes::len);
        self.left -= length as u64;
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Name;

    use super::*;
    use crate::wire::to_json;

    fn answer(documents: &[Bytes]) -> Answer {
        let node = |document: &Bytes| {
            let document = (Name::new("document"), Value::Binary(document.clone()));
            let short = (Name::new("a\"b"), Value::String("c\n".repeat(1_000)));
            Value::Object([document, short].into_iter().collect())
        };
        Answer::new(Value::List(documents.iter().map(node).collect()))
    }

    #[test]
    fn an_answer_in_pieces_is_the_same_text() {
        let long = Bytes::from(format!("\"{}\"", "é".repeat(LONG_DOCUMENT)));
        let broken = Bytes::from(vec![0xff; LONG_DOCUMENT]);
        let short = Bytes::from_static(b"1.10");
        for documents in [
            vec![],
            vec![short.clone()],
            vec![long.clone(), short.clone(), long.clone()],
            vec![broken],
            vec![short; 100],
        ] {
            let pieces = to_pieces(answer(&documents));

            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
            assert_eq!(whole, to_json(&answer(&documents)).into_bytes());
        }
    }

    #[test]
    fn a_long_document_is_sent_from_where_it_is() {
        let long = Bytes::from(format!("\"{}\"", "a".repeat(LONG_DOCUMENT)));

        let pieces = to_pieces(answer(&[long.clone(), long.clone()]));

        let own = pieces.iter().filter(|it| it.as_ptr() == long.as_ptr());
        assert_eq!(own.count(), 2);
        let others = pieces.iter().filter(|it| it.as_ptr() != long.as_ptr());
        assert_eq!(others.count(), 3);
    }

    #[test]
    fn a_body_knows_how_much_of_it_is_left() {
        let pieces = vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        let mut body = AnswerBody::new(pieces);
        let mut context = Context::from_waker(std::task::Waker::noop());

        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        for left in [1, 0] {
            let next = Pin::new(&mut body).poll_frame(&mut context);
            assert!(matches!(next, Poll::Ready(Some(Ok(_)))));
            assert_eq!(body.size_hint().exact(), Some(left));
        }
        assert!(body.is_end_stream());
        let next = Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(next, Poll::Ready(None)));
    }
}
