//! How an upload is compressed, and what it comes to: gzip (RFC 1952) or Zstandard (RFC 8878), of any number of members.
//!
//! It is read as it arrives, in bounded memory. What comes to far more than records ever do, ends the upload.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header},
};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};
use tokio_util::io::{ReaderStream, StreamReader};

/// The largest window that a Zstandard frame may ask for: 8 MiB, which RFC 8878, section 3.1.1.1.2, recommends that every decoder
/// takes. Unit: the logarithm of bytes.
const WINDOW_LOG: u32 = 23;
/// How much a compressed byte comes to at most, on average. Records compress to a tenth; a file of one record a thousand times over
/// to a two-hundredth; a bomb to a thousandth (gzip) or less.
const MAX_RATIO: u64 = 400;
/// What may come of an upload before the ratio counts: a small file may hold one entry of many equal parts. Unit: bytes.
const FREE: u64 = 8 << 20;
/// How much is decompressed at once. Unit: bytes.
const PIECE: usize = 64 << 10;

/// How an upload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// Why no more of an upload can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrokenUpload {
    /// The connection ended before the upload did.
    #[error("the upload broke off: send it again")]
    Disconnected,
    /// What arrived is not what `Content-Encoding` says, or ends too early.
    #[error(
        "the upload cannot be decompressed from here on: it is damaged, cut off, or not what `Content-Encoding` says"
    )]
    Damaged,
    /// It comes to far more than what arrived.
    #[error("the upload comes to more than {MAX_RATIO} times what was sent: send it uncompressed")]
    TooLarge,
}

impl Compression {
    /// What the headers of an upload say; `None` for what is not understood, such as two at once.
    #[expect(
        clippy::option_option,
        reason = "one says whether it is understood, the other which it is"
    )]
    pub(crate) fn of(headers: &HeaderMap) -> Option<Option<Self>> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = given.next().map(HeaderValue::as_bytes);
        if given.next().is_some() {
            return None;
        }
        match coding.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"identity") => Some(None),
            Some(b"gzip" | b"x-gzip") => Some(Some(Self::Gzip)),
            Some(b"zstd") => Some(Some(Self::Zstd)),
            Some(_) => None,
        }
    }

    /// What the name of a file says: `.gz` or `.zst` at its end.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// As `Content-Encoding` has it.
    pub(crate) const fn coding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What it comes to.
    pub(crate) fn decoded(
        self,
        compressed: impl AsyncBufRead + Send + Unpin + 'static,
    ) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(compressed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Zstd => {
                let window = [DParameter::window_log_max(WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(compressed, &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }
}

/// The bytes of an upload, decompressed where it is compressed.
pub(super) fn decompressed(
    body: Body,
    compression: Option<Compression>,
) -> BoxStream<'static, Result<Bytes, BrokenUpload>> {
    let pieces = body.into_data_stream();
    let Some(compression) = compression else {
        return pieces.map_err(|_| BrokenUpload::Disconnected).boxed();
    };
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&arrived);
    let pieces = pieces.map(move |piece| match piece {
        Ok(piece) => {
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        }
        Err(_) => Err(io::Error::other(BrokenUpload::Disconnected)),
    });
    let limited = Limited {
        decoded: compression.decoded(StreamReader::new(pieces.boxed())),
        arrived,
        came: 0,
    };
    ReaderStream::with_capacity(limited, PIECE)
        .map_err(|error| {
            let inner = error.into_inner();
            let known = inner.and_then(|inner| inner.downcast::<BrokenUpload>().ok());
            known.map_or(BrokenUpload::Damaged, |known| *known)
        })
        .boxed()
}

/// A file as it is read, decompressed where its name says so.
pub(crate) fn decompressed_file(
    file: tokio::fs::File,
    path: &Path,
) -> Pin<Box<dyn AsyncRead + Send>> {
    match Compression::of_file(path) {
        None => Box::pin(file),
        Some(compression) => compression.decoded(BufReader::with_capacity(PIECE, file)),
    }
}

/// What is decompressed, as long as it is not too much.
struct Limited {
    decoded: Pin<Box<dyn AsyncRead + Send>>,
    /// How many compressed bytes arrived.
    arrived: Arc<AtomicU64>,
    /// How many bytes they came to.
    came: u64,
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.decoded.as_mut().poll_read(context, buffer);
        self.came += (buffer.filled().len() - before) as u64;
        let may_come = FREE.saturating_add(
            self.arrived
                .load(Ordering::Relaxed)
                .saturating_mul(MAX_RATIO),
        );
        if self.came > may_come {
            return Poll::Ready(Err(io::Error::other(BrokenUpload::TooLarge)));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn compressed(compression: Compression, plain: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match compression {
            Compression::Gzip => GzipEncoder::new(plain).read_to_end(&mut bytes).await,
            Compression::Zstd => ZstdEncoder::new(plain).read_to_end(&mut bytes).await,
        }
        .expect("memory is read");
        bytes
    }

    async fn read(compression: Compression, bytes: Vec<u8>) -> Result<Vec<u8>, BrokenUpload> {
        // Byte by byte at the beginning, as a slow line gives it.
        let (head, tail) = bytes.split_at(bytes.len().min(40));
        let mut pieces: Vec<_> = head.iter().map(|byte| vec![*byte]).collect();
        pieces.push(tail.to_vec());
        let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, io::Error>));
        let body = Body::from_stream(pieces);
        let pieces: Vec<_> = decompressed(body, Some(compression)).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn what_was_compressed_comes_back_in_one_member_or_in_several() {
        let plain = b"{\"resourceType\":\"Observation\"}\n".repeat(5000);
        for compression in [Compression::Gzip, Compression::Zstd] {
            let once = compressed(compression, &plain).await;
            assert_eq!(read(compression, once.clone()).await, Ok(plain.clone()));
            let twice = [once.clone(), once].concat();
            assert_eq!(read(compression, twice).await, Ok(plain.repeat(2)));
        }
    }

    #[tokio::test]
    async fn what_is_damaged_or_cut_off_is_told() {
        let mut seed = 7_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(100_000)
        .collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let whole = compressed(compression, &noise).await;
            let mut cut = whole.clone();
            cut.truncate(whole.len() - 9);
            let mut strange = whole.clone();
            strange[0] ^= 1;
            for broken in [cut, strange, b"{\"resourceType\"".to_vec()] {
                let told = read(compression, broken).await;
                assert_eq!(told, Err(BrokenUpload::Damaged), "{compression:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_the_upload() {
        let plain = vec![b' '; 64 << 20];
        for compression in [Compression::Gzip, Compression::Zstd] {
            let bomb = compressed(compression, &plain).await;
            assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
            assert_eq!(read(compression, bomb).await, Err(BrokenUpload::TooLarge));
        }
    }

    #[test]
    fn headers_say_how_it_is_compressed() {
        for (given, understood) in [
            (&[][..], Some(None)),
            (&["identity"], Some(None)),
            (&["gzip"], Some(Some(Compression::Gzip))),
            (&["GZIP"], Some(Some(Compression::Gzip))),
            (&["zstd"], Some(Some(Compression::Zstd))),
            (&["br"], None),
            (&["gzip, gzip"], None),
            (&["gzip", "zstd"], None),
        ] {
            let mut headers = HeaderMap::new();
            for coding in given {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(Compression::of(&headers), understood, "{given:?}");
        }
    }
}
