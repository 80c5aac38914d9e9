//! `PUT` and `GET /records/{id}/attachments/{n}`: the file that a document names as its nth attachment, stored beside the record or
//! in the document. A chunk of it is held at a time.
//!
//! What comes is sealed as it arrives and put aside (`spool`); it is stored in one transaction once it is known to be what the
//! document promises. What goes is opened chunk by chunk, from where it is asked for on.

use std::{ops::Range, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::RecordId;
use fhir::attachments::HEAD;
use futures::StreamExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;
use vault::{
    attachment::{CHUNK, FileHash},
    digest,
    row::Content,
};

use super::{
    Disconnected, Ending, PATIENCE, ResponseBody, Transfer, TransferRefused, Waits, drain,
    query::QueryParameters, spool::Spool, transfer_request::TransferRequest,
};
use crate::{
    codes::ErrorCode,
    error::Error,
    records::attachments::{self, AttachmentRequest, FileStorage, NamedFile, PromisedFile},
    wire::UNBUFFERED,
};

/// The same. Unit: bytes.
const CHUNK_BYTES: u64 = CHUNK as u64;
/// How long a decision is good for: whoever reads slowly is decided on again.
pub(super) const DECIDED_FOR: Duration = Duration::from_secs(10);

/// Which file an address names, and for whom the caller acts.
fn asked(
    (record, place): &(String, String),
    query: Option<&str>,
    transfer: &mut Transfer,
) -> Result<AttachmentRequest, TransferRefused> {
    let mut asked = QueryParameters::read(query)?;
    let (purpose, represented) = (asked.purpose(), asked.represented());
    asked.complete()?;
    transfer.caller = transfer.caller.clone().acting_for(represented)?;
    let record = record.parse::<Uuid>().ok().map(RecordId);
    let is_number = !place.is_empty() && place.bytes().all(|digit| digit.is_ascii_digit());
    let place = place.parse::<u32>().ok().filter(|_| is_number);
    Ok(AttachmentRequest {
        record: record.ok_or(Error::NotFound("record"))?,
        place: place.ok_or(Error::NotFound("attachment"))?,
        purpose,
    })
}

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum FilePart {
    /// This, with this status.
    Bytes(StatusCode, Range<u64>),
    /// Something behind its end.
    None,
}

impl FilePart {
    /// By RFC 9110, section 14: what cannot be read, asks for several parts, or is of another content (`If-Range`) is passed over.
    fn of(headers: &HeaderMap, size: u64, tag: &str) -> Self {
        let whole = Self::Bytes(StatusCode::OK, 0..size);
        let known = headers.get(header::IF_RANGE);
        if known.is_some_and(|known| known.as_bytes() != tag.as_bytes()) {
            return whole;
        }
        let mut given = headers.get_all(header::RANGE).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return whole;
        };
        let given = given.to_str().ok();
        let Some(range) = given.and_then(|given| read_range(given, size)) else {
            return whole;
        };
        if range.is_empty() {
            Self::None
        } else {
            Self::Bytes(StatusCode::PARTIAL_CONTENT, range)
        }
    }
}

/// The part of so many bytes that a header names, an empty one where it lies behind the end; `None` where it names none.
fn read_range(text: &str, size: u64) -> Option<Range<u64>> {
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        return Some(size.saturating_sub(number(last)?)..size);
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        size
    } else {
        let last = number(last)?;
        if last < first {
            return None;
        }
        last.saturating_add(1).min(size)
    };
    Some(first.min(end)..end)
}

/// A file that is on its way out.
struct Download {
    transfer: Transfer,
    asked: AttachmentRequest,
    file: NamedFile,
    /// What of it; `None` where there is nothing.
    part: FilePart,
    /// The chunk in which that begins.
    first: Option<Content>,
}

/// Answers with a file, or a part of one.
pub(crate) async fn download(
    request: TransferRequest,
    Path(address): Path<(String, String)>,
) -> Response {
    let asking = request.clone();
    let begun = async move {
        let mut transfer = Transfer::begin(&asking, |room| &room.exports).await?;
        let asked = asked(&address, asking.query.as_deref(), &mut transfer)?;
        let app = &transfer.app;
        let (disclosure, caller) = (&app.disclosure, &transfer.caller);
        let file = attachments::open(disclosure, app.decryption(), caller, asked).await;
        let file = transfer.charged(file).await?;
        let part = FilePart::of(&asking.headers, file.size, &tag(&file));
        let first = match &part {
            FilePart::Bytes(_, range) => Some(file.chunk(&app.pool, chunk_at(range.start)?).await?),
            FilePart::None => None,
        };
        Ok::<_, TransferRefused>(Download {
            transfer,
            asked,
            file,
            part,
            first,
        })
    };
    match request.finish(begun).await {
        Ok(download) => {
            let promised = request.promised(false).await;
            (promised, download.answer()).into_response()
        }
        Err(refused) => request.refuse(&refused).await,
    }
}

/// What a client knows a file by.
fn tag(file: &NamedFile) -> String {
    format!("\"{}\"", digest::to_hex(&file.sha256))
}

/// The number of the chunk that a byte is in.
fn chunk_at(byte: u64) -> Result<u32, Error> {
    u32::try_from(byte / CHUNK_BYTES).map_err(|_| Error::Internal)
}

impl Download {
    fn answer(self) -> Response {
        let size = self.file.size;
        let FilePart::Bytes(status, range) = &self.part else {
            let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        };
        let (status, range) = (*status, range.clone());
        let mut said = vec![
            (header::CONTENT_TYPE, self.file.content_type.to_owned()),
            (
                header::CONTENT_LENGTH,
                (range.end - range.start).to_string(),
            ),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::ETAG, tag(&self.file)),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{}\"", self.file.name()),
            ),
        ];
        if status == StatusCode::PARTIAL_CONTENT {
            let last = range.end.saturating_sub(1);
            let part = format!("bytes {}-{last}/{size}", range.start);
            said.push((header::CONTENT_RANGE, part));
        }
        let (output, body) = ResponseBody::new();
        tokio::spawn(self.run(range, output).in_current_span());
        let mut response = (status, UNBUFFERED, body).into_response();
        let headers = response.headers_mut();
        for (name, value) in said {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }

    async fn run(mut self, range: Range<u64>, output: ResponseBody) {
        if let Err(NotWhole) = self.send(range, &output).await {
            output.abort().await;
        }
    }

    async fn send(&mut self, range: Range<u64>, output: &ResponseBody) -> Result<(), NotWhole> {
        let mut decided = Instant::now();
        let mut at = range.start;
        while at < range.end {
            let number = chunk_at(at)?;
            let chunk = if let Some(first) = self.first.take() {
                first
            } else {
                if decided.elapsed() >= DECIDED_FOR {
                    self.decide_again().await?;
                    decided = Instant::now();
                }
                self.file.chunk(&self.transfer.app.pool, number).await?
            };
            let begins = u64::from(number) * CHUNK_BYTES;
            let end = range.end.min(begins + CHUNK_BYTES);
            let within = |byte: u64| usize::try_from(byte - begins).map_err(|_| NotWhole);
            let piece = chunk.get(within(at)?..within(end)?).ok_or(NotWhole)?;
            let piece = Bytes::copy_from_slice(piece);
            tokio::select! {
                biased;
                _ = self.transfer.over() => return Err(NotWhole),
                sent = output.write(piece) => sent?,
            }
            at = end;
        }
        Ok(())
    }

    /// Asks once more whether the caller may have it, which is written down again.
    async fn decide_again(&self) -> Result<(), Error> {
        let Transfer { app, caller, .. } = &self.transfer;
        attachments::open(&app.disclosure, app.decryption(), caller, self.asked).await?;
        Ok(())
    }
}

/// A file that was not sent to its end.
#[derive(Debug)]
struct NotWhole;

impl From<Error> for NotWhole {
    fn from(error: Error) -> Self {
        tracing::warn!(
            code = error.public_code().as_str(),
            "A file was not sent to its end"
        );
        Self
    }
}

impl From<Disconnected> for NotWhole {
    fn from(Disconnected: Disconnected) -> Self {
        Self
    }
}

/// Takes a file that a document promises.
pub(crate) async fn upload(
    request: TransferRequest,
    Path(address): Path<(String, String)>,
    body: Body,
) -> Response {
    let asking = request.clone();
    let begun = async move {
        let mut transfer = Transfer::begin(&asking, |room| &room.imports).await?;
        let asked = asked(&address, asking.query.as_deref(), &mut transfer)?;
        let app = &transfer.app;
        let (disclosure, caller) = (&app.disclosure, &transfer.caller);
        let file = attachments::promised(disclosure, app.decryption(), caller, asked).await;
        let file = transfer.charged(file).await?;
        check_headers(&asking.headers, &file)?;
        transfer.charge_upload(file.file.size).await?;
        Ok::<_, TransferRefused>((transfer, asked, file))
    };
    let (transfer, asked, file) = match request.finish(begun).await {
        Ok(begun) => begun,
        Err(refused) => {
            drain(body).await;
            return request.refuse(&refused).await;
        }
    };
    let mut pieces = body.into_data_stream();
    let received = match receive(&transfer, &mut pieces, &file).await {
        Ok(received) => received,
        Err(refused) => {
            drain(Body::from_stream(pieces)).await;
            return request.refuse(&refused).await;
        }
    };
    let stored = store(transfer, asked, file, received);
    match request.finish(stored).await {
        Ok(is_new) => {
            let status = if is_new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            (status, request.promised(false).await, ()).into_response()
        }
        Err(refused) => request.refuse(&refused).await,
    }
}

fn check_headers(headers: &HeaderMap, file: &PromisedFile) -> Result<(), TransferRefused> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(TransferRefused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::UnsupportedMediaType,
            "send the file as it is, without `Content-Encoding`",
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length != file.file.size) {
        return Err(another_size(file).into());
    }
    Ok(())
}

fn another_size(file: &PromisedFile) -> Error {
    let told = "the file is longer or shorter than the document says";
    file.differs("size", "attachment-size", told)
}

/// Seals a file as it arrives, and puts it aside where it is what the document promises.
async fn receive(
    transfer: &Transfer,
    pieces: &mut BodyDataStream,
    file: &PromisedFile,
) -> Result<Spool, TransferRefused> {
    let mut intake = Intake {
        file,
        spool: Spool::create().await.map_err(|error| no_room(&error))?,
        hash: FileHash::default(),
        chunk: Vec::with_capacity(CHUNK),
        number: 0,
        received: 0,
    };
    let mut waits = Waits::default();
    loop {
        let (left, begun) = (waits.left(), Instant::now());
        let arrived = tokio::select! {
            biased;
            over = transfer.over() => return Err(over.into()),
            arrived = tokio::time::timeout(left, pieces.next()) => arrived,
        };
        waits.waited += begun.elapsed();
        match arrived {
            Ok(Some(Ok(piece))) => {
                waits.bytes += piece.len() as u64;
                intake.take(&piece).await?;
            }
            Ok(None) => return intake.finish().await,
            Ok(Some(Err(_))) => {
                return Err(TransferRefused::new(
                    StatusCode::BAD_REQUEST,
                    ErrorCode::BadRequest,
                    "the file broke off",
                ));
            }
            Err(_) => {
                let told = format!(
                    "nothing arrived for {} s, or too little",
                    PATIENCE.as_secs()
                );
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(TransferRefused::new(status, ErrorCode::Timeout, told));
            }
        }
    }
}

impl From<Ending> for TransferRefused {
    fn from(over: Ending) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, over.code, over.message)
    }
}

fn no_room(error: &std::io::Error) -> TransferRefused {
    tracing::error!(%error, "A file could not be put aside");
    Error::Unavailable.into()
}

/// A file that arrives.
struct Intake<'a> {
    file: &'a PromisedFile,
    spool: Spool,
    hash: FileHash,
    /// What is not sealed yet, less than a whole chunk.
    chunk: Vec<u8>,
    /// The number of that chunk.
    number: u32,
    received: u64,
}

impl Intake<'_> {
    async fn take(&mut self, piece: &[u8]) -> Result<(), TransferRefused> {
        self.received += piece.len() as u64;
        if self.received > self.file.file.size {
            return Err(another_size(self.file).into());
        }
        self.hash.update(piece);
        let mut rest = piece;
        while !rest.is_empty() {
            let fits = rest.len().min(CHUNK - self.chunk.len());
            let (now, later) = rest.split_at(fits);
            self.chunk.extend_from_slice(now);
            rest = later;
            if self.chunk.len() == CHUNK {
                self.seal().await?;
            }
        }
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), TransferRefused> {
        let chunk = self.chunk.as_slice();
        let content_type = self.file.content_type;
        let head = chunk.get(..HEAD).unwrap_or(chunk);
        let begins = self.number > 0 || content_type.begins(head);
        if !begins || !content_type.goes_on(chunk) {
            let told = "the file is not of the type that the document names";
            let differs = self.file.differs("contentType", "attachment-type", told);
            return Err(differs.into());
        }
        let sealed = self.file.file.seal(&self.file.key, self.number, chunk);
        let put = self.spool.put(&sealed).await;
        put.map_err(|error| no_room(&error))?;
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }

    async fn finish(mut self) -> Result<Spool, TransferRefused> {
        if !self.chunk.is_empty() {
            self.seal().await?;
        }
        if self.received != self.file.file.size {
            return Err(another_size(self.file).into());
        }
        let (sha256, sha1) = self.hash.finish();
        if sha256 != self.file.file.sha256 {
            let told = "the file has another SHA-256 than the document says";
            return Err(self
                .file
                .differs("extension", "attachment-sha256", told)
                .into());
        }
        if self.file.hash.as_ref().is_some_and(|hash| *hash != sha1) {
            let told = "the file has another SHA-1 than the document says";
            return Err(self.file.differs("hash", "attachment-hash", told).into());
        }
        let mut spool = self.spool;
        let rewound = spool.rewind().await;
        rewound.map_err(|error| no_room(&error))?;
        Ok(spool)
    }
}

/// Stores what was put aside, all of it or nothing. False where all of it was there already.
async fn store(
    transfer: Transfer,
    asked: AttachmentRequest,
    file: PromisedFile,
    mut sealed: Spool,
) -> Result<bool, TransferRefused> {
    let Transfer { app, caller, .. } = &transfer;
    let mut storage = FileStorage::begin(&app.pool, caller, asked, file.file).await?;
    while let Some(chunk) = sealed.take().await.map_err(|error| no_room(&error))? {
        storage.put(&chunk).await?;
    }
    Ok(storage.finish().await?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_range_is_what_the_header_names_within_the_file() {
        let part = |from, to| FilePart::Bytes(StatusCode::PARTIAL_CONTENT, from..to);
        let whole = || FilePart::Bytes(StatusCode::OK, 0..1000);
        let cases = [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 20)),
            ("bytes=990-", part(990, 1000)),
            ("bytes=990-99999999999999999999", part(990, 1000)),
            ("bytes=-10", part(990, 1000)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=1000-", FilePart::None),
            ("bytes=1000-2000", FilePart::None),
            ("bytes=-0", FilePart::None),
            ("bytes=5-4", whole()),
            ("bytes=0-1,3-4", whole()),
            ("bytes=+1-2", whole()),
            ("bytes=-", whole()),
            ("lines=0-1", whole()),
        ];
        for (given, wanted) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(given));
            assert_eq!(FilePart::of(&headers, 1000, "\"a\""), wanted, "{given}");
            headers.insert(header::IF_RANGE, "\"a\"".parse().unwrap());
            assert_eq!(FilePart::of(&headers, 1000, "\"a\""), wanted, "{given}");
            assert_eq!(FilePart::of(&headers, 1000, "\"b\""), whole(), "{given}");
        }
        assert_eq!(FilePart::of(&HeaderMap::new(), 1000, "\"a\""), whole());
    }
}
