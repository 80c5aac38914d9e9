//! What arrives, cut into entries. Whoever sends too slowly is not waited for. Of a long entry a part is in memory until all of it
//! has arrived.

use std::io;

use axum::body::{Body, Bytes};
use fhir::upload::{Cut, Cutter};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::time::Instant;

use super::parameters::ImportFormat;
use crate::{
    bulk::{
        Ending, PATIENCE, Waits,
        compression::{BrokenUpload, Compression, decompressed},
        spool::Spool,
    },
    codes::ErrorCode,
    records::import::LONG_ENTRY,
};

/// An entry that has arrived.
pub(super) enum ArrivedCut {
    /// In memory.
    Whole(Cut),
    /// For the most part on a disk.
    Long(SpooledEntry),
}

/// An entry that is put aside while it arrives.
pub(super) struct SpooledEntry {
    spool: Spool,
    /// Its end.
    rest: Vec<u8>,
    /// How long it is. Unit: bytes.
    pub(super) length: usize,
    /// How much of what is put aside is progress: blanks around a part are none. Unit: bytes.
    progress: u64,
}

impl SpooledEntry {
    /// Puts the next part of an entry aside.
    async fn put(aside: Option<Self>, part: Vec<u8>) -> io::Result<Self> {
        let mut aside = match aside {
            Some(aside) => aside,
            None => Self {
                spool: Spool::create().await?,
                rest: Vec::new(),
                length: 0,
                progress: 0,
            },
        };
        aside.spool.put(&part).await?;
        aside.length += part.len();
        aside.progress += part.trim_ascii().len() as u64;
        Ok(aside)
    }

    /// All of it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn bring_back(mut self) -> io::Result<Vec<u8>> {
        let mut entry = Vec::with_capacity(self.length);
        self.spool.rewind().await?;
        while let Some(part) = self.spool.take().await? {
            entry.extend_from_slice(&part);
        }
        entry.append(&mut self.rest);
        Ok(entry)
    }
}

/// How an import ends that cannot put a long entry aside, or not bring it back.
pub(super) fn not_aside(error: &io::Error) -> Ending {
    tracing::error!(%error, "A long entry of an import could not be put aside");
    let refusal = "there is no room to put a long entry aside: try again later";
    Ending::new(ErrorCode::Unavailable, refusal)
}

/// What arrives, cut into entries.
pub(super) struct Source {
    body: BoxStream<'static, Result<Bytes, BrokenUpload>>,
    piece: Bytes,
    cutter: Cutter,
    /// What is put aside of the entry that arrives, if it is long.
    aside: Option<SpooledEntry>,
    /// The same while one more part is put aside.
    putting: Option<BoxFuture<'static, io::Result<SpooledEntry>>>,
    is_over: bool,
    waits: Waits,
}

impl Source {
    pub(super) fn new(body: Body, form: ImportFormat, compression: Option<Compression>) -> Self {
        Self {
            body: decompressed(body, compression),
            piece: Bytes::new(),
            cutter: form.cutter(),
            aside: None,
            putting: None,
            is_over: false,
            waits: Waits::default(),
        }
    }

    /// The next entry. Loses nothing when it is not waited for to its end.
    pub(super) async fn next(&mut self) -> Result<Option<ArrivedCut>, Ending> {
        let broken =
            |broken: fhir::upload::Broken| Ending::new(ErrorCode::BadRequest, broken.to_string());
        loop {
            if let Some(putting) = &mut self.putting {
                let put = putting.await;
                self.putting = None;
                self.aside = Some(put.map_err(|error| not_aside(&error))?);
            }
            let mut rest: &[u8] = &self.piece;
            let cut = self.cutter.next(&mut rest).map_err(broken)?;
            let used = self.piece.len() - rest.len();
            drop(self.piece.split_to(used));
            if cut.is_some() || self.is_over {
                return Ok(cut.map(|cut| self.whole(cut)));
            }
            if let Some(part) = self.cutter.take(LONG_ENTRY) {
                let aside = self.aside.take();
                self.putting = Some(SpooledEntry::put(aside, part).boxed());
                continue;
            }
            let left = self.waits.left();
            let wait = Wait::of(&mut self.waits);
            let arrived = tokio::time::timeout(left, self.body.next()).await;
            drop(wait);
            match arrived {
                Ok(Some(Ok(piece))) => self.piece = piece,
                Ok(None) => {
                    self.is_over = true;
                    let last = self.cutter.end().map_err(broken)?;
                    return Ok(last.map(|cut| self.whole(cut)));
                }
                Ok(Some(Err(broken))) => {
                    return Err(Ending::new(ErrorCode::BadRequest, broken.to_string()));
                }
                Err(_) => {
                    let refusal = format!(
                        "nothing arrived for {} s, or too little of it was records: send it faster",
                        PATIENCE.as_secs()
                    );
                    return Err(Ending::new(ErrorCode::Timeout, refusal));
                }
            }
        }
    }

    /// An entry with what is put aside of it.
    fn whole(&mut self, cut: Cut) -> ArrivedCut {
        let aside = self.aside.take();
        // Blank lines, and what stands around entries, are no progress.
        match (cut, aside) {
            (Cut::Entry(rest), Some(mut aside)) => {
                aside.length += rest.len();
                self.waits.bytes += aside.progress + rest.trim_ascii().len() as u64;
                aside.rest = rest;
                ArrivedCut::Long(aside)
            }
            (Cut::Entry(entry), None) => {
                self.waits.bytes += entry.trim_ascii().len() as u64;
                ArrivedCut::Whole(Cut::Entry(entry))
            }
            (Cut::TooLong, _) => ArrivedCut::Whole(Cut::TooLong),
        }
    }
}

/// A wait for the other side that counts also where it is given up for something else.
struct Wait<'a> {
    waits: &'a mut Waits,
    begun: Option<Instant>,
}

impl<'a> Wait<'a> {
    fn of(waits: &'a mut Waits) -> Self {
        Self {
            waits,
            begun: Some(Instant::now()),
        }
    }

    fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.waits.waited += begun.elapsed();
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
