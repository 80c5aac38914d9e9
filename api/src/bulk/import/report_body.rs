//! The report of an import on its way to the client: as it comes; or, where a proxy stands between, from the end of the upload on.
//!
//! HTTP/1.1 lets an answer begin before its request has ended. Proxies that are written in Go, such as Caddy, drop a part of the
//! request then, and nobody is told. So what there is to report is put aside (`spool`) until all has arrived.

use std::io;

use tokio::sync::oneshot;

use crate::{
    bulk::{Disconnected, Ending, ResponseBody, spool::Spool},
    codes::ErrorCode,
};

/// How much is kept in memory before it is put aside. Unit: bytes.
const IN_MEMORY: usize = 64 << 10;

/// Why no more is told.
pub(super) enum ReportEnd {
    /// Nobody listens any more.
    Disconnected,
    /// This.
    Over(Ending),
}

impl From<Disconnected> for ReportEnd {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// What the client is told.
pub(super) struct ReportBody {
    output: ResponseBody,
    /// What waits for the end of the upload; nothing once the answer has begun.
    delayed: Option<DelayedReport>,
}

/// A report that is not sent yet.
struct DelayedReport {
    /// What was put aside, if there was more than is kept in memory.
    spool: Option<Spool>,
    /// What was told last.
    recent: Vec<u8>,
    /// Lets the answer begin.
    begins: oneshot::Sender<()>,
}

impl ReportBody {
    /// A report that is sent as it comes.
    pub(super) fn at_once(output: ResponseBody) -> Self {
        Self {
            output,
            delayed: None,
        }
    }

    /// A report that is sent from [`Self::begin`] on, and what says that it has begun.
    pub(super) fn delayed(output: ResponseBody) -> (Self, oneshot::Receiver<()>) {
        let (begins, begun) = oneshot::channel();
        let delayed = DelayedReport {
            spool: None,
            recent: Vec::new(),
            begins,
        };
        let report = Self {
            output,
            delayed: Some(delayed),
        };
        (report, begun)
    }

    /// Tells something, or puts it aside.
    pub(super) async fn write(&mut self, piece: Vec<u8>) -> Result<(), ReportEnd> {
        match &mut self.delayed {
            Some(delayed) => delayed.put(&piece).await.map_err(|error| no_room(&error)),
            None => self.output.write(piece).await.map_err(Into::into),
        }
    }

    /// Says that it goes on, where anybody hears that yet.
    pub(super) async fn beat(&self) -> Result<(), Disconnected> {
        match self.delayed {
            Some(_) => Ok(()),
            None => self.output.write("\n").await,
        }
    }

    /// Lets the answer begin, by what was put aside.
    pub(super) async fn begin(&mut self) -> Result<(), ReportEnd> {
        let Some(delayed) = self.delayed.take() else {
            return Ok(());
        };
        // Who has gone meanwhile is found out by the first piece.
        delayed.begins.send(()).ok();
        if let Some(mut spool) = delayed.spool {
            spool.rewind().await.map_err(|error| no_room(&error))?;
            while let Some(piece) = spool.take().await.map_err(|error| no_room(&error))? {
                self.output.write(piece.to_vec()).await?;
            }
        }
        if !delayed.recent.is_empty() {
            self.output.write(delayed.recent).await?;
        }
        Ok(())
    }

    /// Waits until nobody listens.
    pub(super) async fn disconnected(&self) {
        self.output.disconnected().await;
    }
}

impl DelayedReport {
    /// Keeps a piece: all of it, or nothing where this fails or is not waited for to its end.
    async fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.recent.len() >= IN_MEMORY {
            if self.spool.is_none() {
                self.spool = Some(Spool::create().await?);
            }
            if let Some(spool) = &mut self.spool {
                spool.put(&self.recent).await?;
            }
            self.recent.clear();
        }
        self.recent.extend_from_slice(piece);
        Ok(())
    }
}

fn no_room(error: &io::Error) -> ReportEnd {
    tracing::error!(%error, "The report of an import could not be put aside");
    let refusal = "there is no room to put the report aside: try again later";
    ReportEnd::Over(Ending::new(ErrorCode::Unavailable, refusal))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_report_that_waited_is_told_whole_and_in_its_order() {
        let (output, body) = ResponseBody::new();
        let (mut report, mut begun) = ReportBody::delayed(output);
        let lines: Vec<Vec<u8>> = (0..20_000)
            .map(|nth| format!("{{\"entry\":{nth}}}\n").into_bytes())
            .collect();
        for line in &lines {
            report.write(line.clone()).await.ok().unwrap();
        }
        assert!(begun.try_recv().is_err());

        let tells = async move {
            report.begin().await.ok().unwrap();
            report.write(b"{}\n".to_vec()).await.ok().unwrap();
        };
        let reads = async {
            let mut heard = Vec::new();
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                heard.extend_from_slice(&piece.unwrap());
            }
            heard
        };
        let ((), heard) = tokio::join!(tells, reads);

        assert!(begun.try_recv().is_ok());
        assert!(heard == [lines.concat(), b"{}\n".to_vec()].concat());
    }
}
