//! How answers are compressed: by what the header `Accept-Encoding` wants most of what there is (RFC 9110, section 12.5.3).
//!
//! An answer is compressed whole, piece by piece, before it is sent, so that a client that reads slowly holds no encoder, and what is held of
//! the answer meanwhile is less than before.

use std::io;

use async_compression::{
    Level,
    brotli::EncoderParams,
    tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder},
};
use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::Semaphore,
    task,
};

use crate::wire::{Range, ranges};

/// The shortest answer that is compressed: a shorter one fits a packet anyway. Unit: bytes.
const WORTHWHILE: usize = 1024;
/// How much is compressed before others have their turn. Unit: bytes.
const PIECE: usize = 64 << 10;
/// How hard brotli works, of 11: from here on it is shorter than gzip's fastest at every length, and takes no longer.
const BROTLI_QUALITY: i32 = 2;
/// How far back brotli looks, as a power of two: what it holds of an answer. Answers repeat what is near.
const BROTLI_WINDOW: i32 = 18;
/// How many answers are compressed at once: an encoder takes about a MiB, and its output at most as much as its answer.
const AT_ONCE: usize = 4;

static COMPRESSING: Semaphore = Semaphore::const_new(AT_ONCE);

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

/// The codings of answers that are made, from the one that is sent most gladly.
pub(crate) const OF_ANSWERS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

impl Coding {
    /// As `Content-Encoding` has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Which of these the client wants most, by its weights (`q`); of what it wants alike the first. `None` where it wants what is
    /// sent as it is, or names none of them: that is how it is sent then.
    pub(crate) fn wanted(headers: &HeaderMap, offered: &[Self]) -> Option<Self> {
        let wishes = ranges(headers, header::ACCEPT_ENCODING);
        let plain = wishes
            .iter()
            .find(|wish| wish.kind.eq_ignore_ascii_case("identity"));
        let mut best = None;
        let mut most = plain.map_or(0.0, |wish| wish.weight);
        for coding in offered {
            let weight = coding.weight(&wishes);
            // Plain is the first only where it is wanted more.
            if weight > most || (best.is_none() && weight > 0.0 && weight >= most) {
                best = Some(*coding);
                most = weight;
            }
        }
        best
    }

    /// How much it is wanted: what names it counts before `*`, which stands for all that is not named.
    fn weight(self, wishes: &[Range<'_>]) -> f64 {
        let named = wishes.iter().find(|wish| self.is_named(wish.kind));
        let any = || wishes.iter().find(|wish| wish.kind == "*");
        named.or_else(any).map_or(0.0, |wish| wish.weight)
    }

    fn is_named(self, kind: &str) -> bool {
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        is(self.as_str()) || (self == Self::Gzip && is("x-gzip"))
    }
}

/// The text of these pieces, by this coding; as it is, and without one, where it is short or would not become shorter.
pub(crate) async fn encode(
    plain: Vec<Bytes>,
    coding: Option<Coding>,
) -> (Vec<Bytes>, Option<Coding>) {
    let Some(coding) = coding.filter(|_| length(&plain) >= WORTHWHILE) else {
        return (plain, None);
    };
    match compressed(&plain, coding).await {
        Some(shorter) => (vec![shorter.into()], Some(coding)),
        None => (plain, None),
    }
}

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

async fn compressed(plain: &[Bytes], coding: Coding) -> Option<Vec<u8>> {
    // Waits for computing alone, never for a client.
    let _permit = COMPRESSING.acquire().await.ok()?;
    let bytes = match coding {
        Coding::Zstd => {
            let mut encoder = ZstdEncoder::with_quality(Vec::new(), Level::Fastest);
            write(&mut encoder, plain).await.ok()?;
            encoder.into_inner()
        }
        Coding::Gzip => {
            let mut encoder = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
            write(&mut encoder, plain).await.ok()?;
            encoder.into_inner()
        }
        Coding::Brotli => {
            let params = EncoderParams::default()
                .quality(Level::Precise(BROTLI_QUALITY))
                .window_size(BROTLI_WINDOW);
            let mut encoder = BrotliEncoder::with_params(Vec::new(), params);
            write(&mut encoder, plain).await.ok()?;
            encoder.into_inner()
        }
    };
    (bytes.len() < length(plain)).then_some(bytes)
}

async fn write(encoder: &mut (impl AsyncWrite + Unpin), plain: &[Bytes]) -> io::Result<()> {
    for piece in plain.iter().flat_map(|piece| piece.chunks(PIECE)) {
        encoder.write_all(piece).await?;
        task::yield_now().await;
    }
    encoder.shutdown().await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_has_the_coding_that_it_wants_most() {
        use Coding::{Brotli, Gzip, Zstd};
        let table: [(&str, Option<Coding>, Option<Coding>); 20] = [
            ("", None, None),
            ("gzip", Some(Gzip), Some(Gzip)),
            ("GZip", Some(Gzip), Some(Gzip)),
            ("x-gzip", Some(Gzip), Some(Gzip)),
            ("zstd", Some(Zstd), None),
            ("br", Some(Brotli), Some(Brotli)),
            ("gzip, deflate, br", Some(Brotli), Some(Brotli)),
            ("br;q=0.8, gzip;q=0.9", Some(Gzip), Some(Gzip)),
            ("zstd;q=0.5, br;q=0.6", Some(Brotli), Some(Brotli)),
            ("deflate", None, None),
            ("gzip, deflate, br, zstd", Some(Zstd), Some(Brotli)),
            ("gzip;q=1.0, zstd;q=0.5, br;q=0.9", Some(Gzip), Some(Gzip)),
            ("gzip;q=0.2, zstd; q=0.3", Some(Zstd), Some(Gzip)),
            ("gzip;q=0", None, None),
            ("gzip;q=0, zstd;q=0, br;q=0", None, None),
            ("*", Some(Zstd), Some(Brotli)),
            ("*;q=0", None, None),
            ("zstd;q=0, br;q=0, *;q=0.1", Some(Gzip), Some(Gzip)),
            ("identity, gzip;q=0.5, *;q=0.5", None, None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), Some(Gzip)),
        ];
        for (accept, of_answers, of_files) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(
                Coding::wanted(&headers, &OF_ANSWERS),
                of_answers,
                "{accept}"
            );
            assert_eq!(
                Coding::wanted(&headers, &[Brotli, Gzip]),
                of_files,
                "{accept}"
            );
            assert_eq!(Coding::wanted(&headers, &[]), None, "{accept}");
        }
        assert_eq!(Coding::wanted(&HeaderMap::new(), &OF_ANSWERS), None);
    }

    #[tokio::test]
    async fn what_is_short_or_would_not_become_shorter_stays_as_it_is() {
        let (half, rest) = (WORTHWHILE / 2, WORTHWHILE - WORTHWHILE / 2);
        let like = [half, rest].map(|length| Bytes::from("a".repeat(length)));
        let short = [half, rest - 1].map(|length| Bytes::from("a".repeat(length)));
        for coding in OF_ANSWERS {
            let (bytes, by) = encode(like.to_vec(), Some(coding)).await;
            assert!(by == Some(coding) && length(&bytes) < 100, "{coding:?}");
            let (bytes, by) = encode(short.to_vec(), Some(coding)).await;
            assert!(by.is_none() && bytes == short, "{coding:?}");
        }
        let (bytes, by) = encode(like.to_vec(), None).await;
        assert!(by.is_none() && bytes == like);
    }
}
