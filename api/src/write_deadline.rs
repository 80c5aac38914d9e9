//! Ends a connection whose event stream cannot be written on because its client takes nothing. Otherwise a client that stops
//! reading would keep its places for as long as it likes: whoever makes the events only sees that nobody asks for the next one.
//!
//! A WebSocket has its own deadline, because it can say first why it ends.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Whether the deadline holds for what is written now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteDeadlineSwitch(Arc<WriteState>);

#[derive(Debug, Default)]
struct WriteState {
    is_on: AtomicBool,
    is_blocked: AtomicBool,
}

impl WriteDeadlineSwitch {
    /// Lets it hold from now on, or no more.
    pub(crate) fn set(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Relaxed);
    }

    /// Whether the last write waits for the other side.
    pub(crate) fn is_blocked(&self) -> bool {
        self.0.is_blocked.load(Ordering::Relaxed)
    }

    fn set_blocked(&self, is_blocked: bool) {
        self.0.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }
}

/// A stream whose writes fail where the other side takes nothing for so long.
#[derive(Debug)]
pub(crate) struct WriteDeadline<S> {
    stream: S,
    switch: WriteDeadlineSwitch,
    within: Duration,
    /// When the write that waits fails.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// Over this stream, where the switch is on.
    pub(crate) const fn new(stream: S, switch: WriteDeadlineSwitch, within: Duration) -> Self {
        Self {
            stream,
            switch,
            within,
            waiting: None,
        }
    }

    /// What came of a write, or that it has waited for too long.
    fn judge<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        self.switch.set_blocked(written.is_pending());
        if written.is_ready() || !self.switch.is_on() {
            self.waiting = None;
            return written;
        }
        let within = self.within;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(within)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.waiting = None;
        tracing::info!("A subscriber was dropped: it took nothing of its event stream");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(written, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// Writes more than the other side, which takes nothing, has room for.
    async fn writes(is_on: bool, within: Duration) -> Option<io::ErrorKind> {
        let (ours, _theirs) = duplex(8);
        let switch = WriteDeadlineSwitch::default();
        switch.set(is_on);
        let mut stream = WriteDeadline::new(ours, switch.clone(), within);
        stream.write_all(&[0; 8]).await.ok()?;
        assert!(!switch.is_blocked(), "there was room");
        let written = tokio::time::timeout(within * 2, stream.write_all(&[0; 1])).await;
        assert!(switch.is_blocked(), "there is none");
        written.ok()?.err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn a_write_that_nobody_takes_fails_where_the_deadline_holds_and_waits_elsewhere() {
        let within = Duration::from_millis(50);

        assert_eq!(writes(true, within).await, Some(io::ErrorKind::TimedOut));
        assert_eq!(writes(false, within).await, None);
    }
}
