//! What arrives, cut into entries. Whoever sends too slowly is not waited for.

use axum::body::{Body, Bytes};
use fhir::upload::{Cut, Cutter};
use futures::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;

use super::parameters::ImportFormat;
use crate::{
    bulk::{
        Ending, PATIENCE, Waits,
        compression::{BrokenUpload, Compression, decompressed},
    },
    codes::ErrorCode,
};

/// What arrives, cut into entries.
pub(super) struct Source {
    body: BoxStream<'static, Result<Bytes, BrokenUpload>>,
    piece: Bytes,
    cutter: Cutter,
    is_over: bool,
    waits: Waits,
}

impl Source {
    pub(super) fn new(body: Body, form: ImportFormat, compression: Option<Compression>) -> Self {
        Self {
            body: decompressed(body, compression),
            piece: Bytes::new(),
            cutter: form.cutter(),
            is_over: false,
            waits: Waits::default(),
        }
    }

    /// The next entry. Loses nothing when it is not waited for to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Cut>, Ending> {
        let broken =
            |broken: fhir::upload::Broken| Ending::new(ErrorCode::BadRequest, broken.to_string());
        loop {
            let mut rest: &[u8] = &self.piece;
            let cut = self.cutter.next(&mut rest).map_err(broken)?;
            let used = self.piece.len() - rest.len();
            drop(self.piece.split_to(used));
            // Blank lines, and what stands around entries, are no progress.
            if let Some(Cut::Entry(entry)) = &cut {
                self.waits.bytes += entry.trim_ascii().len() as u64;
            }
            if cut.is_some() || self.is_over {
                return Ok(cut);
            }
            let left = self.waits.left();
            let mut wait = Wait::of(&mut self.waits);
            let arrived = tokio::time::timeout(left, self.body.next()).await;
            wait.end();
            match arrived {
                Ok(Some(Ok(piece))) => self.piece = piece,
                Ok(None) => {
                    self.is_over = true;
                    return self.cutter.end().map_err(broken);
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
