//! Taking connections: how many there may be, of whom, and how long one may be silent.
//!
//! axum's own loop takes connections without number and waits for headers without end.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderMap, HeaderValue, Version, header},
    response::Response,
};
use domain::throttle::Network;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tls::Certificate;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection_limiter::{ConnectionLimiter, Permit},
    event_writer::{self, BegunEventStream},
    proxies::Proxies,
    write_deadline::{WriteDeadline, WriteDeadlineSwitch},
};

/// How long to wait where the operating system has no connection to give, such as without file
/// descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is looked whether the certificate has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many connections, for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) all: usize,
    /// Of one network; trusted proxies are exempt.
    pub(crate) of_network: usize,
    /// How long a request's headers may take, and how long a connection may be idle between two.
    pub(crate) headers_within: Duration,
    /// How long the client of an event stream may take nothing of what is sent.
    pub(crate) events_within: Duration,
}

/// The right to have a connection. It travels with each request, so that a WebSocket keeps it.
#[derive(Debug, Clone)]
pub(crate) struct HeldConnection(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<ConnectionPermits>,
);

type ConnectionPermits = (OwnedSemaphorePermit, Option<Permit<Network>>);

/// One connection, and what answers on it.
struct AcceptedConnection {
    builder: http1::Builder,
    router: Router,
    peer: SocketAddr,
    held: HeldConnection,
    ends: Ends,
    /// Holds while an event stream is written.
    deadline: WriteDeadlineSwitch,
}

/// When connections end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// From here on each connection ends with the answer to its next request.
    pub(crate) draining: CancellationToken,
    /// From here on no connection is taken, and each ends with the request under way.
    pub(crate) stopping: CancellationToken,
}

/// Serves until told to stop; then takes no more, and ends when what runs has ended. With a certificate by TLS alone.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    proxies: &Proxies,
    certificate: Option<Arc<Certificate>>,
    ends: Ends,
) {
    let all = Arc::new(Semaphore::new(limits.all));
    let of_network = ConnectionLimiter::new(limits.of_network);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within);
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = ends.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "A connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(held) = admit_connection(&all, &of_network, proxies, peer) else {
            // Closed without a word: an answer would cost what is to be saved.
            tracing::debug!("A connection was refused: there are too many");
            continue;
        };
        // Below TLS, which takes what the other side does not.
        let deadline = WriteDeadlineSwitch::default();
        let stream = WriteDeadline::new(stream, deadline.clone(), limits.events_within);
        let accepted = AcceptedConnection {
            builder: builder.clone(),
            router: router.clone(),
            peer,
            held,
            ends: ends.clone(),
            deadline,
        };
        // A task of its own for each: one that may do both has the room of TLS, also where there is none.
        match certificate.clone() {
            None => {
                tracker.spawn(accepted.answer(stream));
            }
            Some(certificate) => {
                let within = limits.headers_within;
                tracker.spawn(async move {
                    accepted.answer_by_tls(stream, &certificate, within).await;
                });
            }
        }
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

/// Reads a certificate again whenever its files have changed. Never ends.
pub(crate) async fn renew(certificate: Arc<Certificate>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = Arc::clone(&certificate);
        let Ok(looked) = tokio::task::spawn_blocking(move || looked.refresh()).await else {
            continue;
        };
        match looked {
            Ok(is_new) => {
                if is_new {
                    tracing::info!("The certificate of this api was read again");
                }
                told.clear();
            }
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    tracing::warn!("The certificate of before is shown on: {text}");
                    told = text;
                }
            }
        }
    }
}

fn admit_connection(
    all: &Arc<Semaphore>,
    of_network: &ConnectionLimiter<Network>,
    proxies: &Proxies,
    peer: SocketAddr,
) -> Option<HeldConnection> {
    let one_of_all = Arc::clone(all).try_acquire_owned().ok()?;
    let permit = if proxies.trusts(peer.ip()) {
        None
    } else {
        Some(of_network.acquire(Network::of(peer.ip()))?)
    };
    Some(HeldConnection(Arc::new((one_of_all, permit))))
}

/// Whether an answer is a stream of events, which has no end of its own.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "text/event-stream")
}

impl AcceptedConnection {
    /// Shows the certificate, and then answers. The handshake takes no longer than headers may.
    async fn answer_by_tls<S>(self, stream: S, certificate: &Certificate, within: Duration)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = tokio::select! {
            () = self.ends.stopping.cancelled() => return,
            shaken = tokio::time::timeout(within, certificate.accept(stream)) => shaken,
        };
        match shaken {
            // In a box: what answers would have its room several times.
            Ok(Ok(stream)) => self.answer(Box::new(stream)).await,
            Ok(Err(error)) => tracing::trace!(%error, "A connection came to no TLS"),
            Err(_) => tracing::trace!("A connection came to no TLS in time"),
        }
    }

    /// Answers until the connection ends.
    async fn answer<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Each request has it, too, and none is there any more while events are written.
        let _held = self.held.clone();
        // In a box, which is given back before events are written.
        let Some((stream, answer)) = Box::pin(self.answer_by_hyper(stream)).await else {
            return;
        };
        if let Err(error) = event_writer::write(stream, answer).await {
            tracing::trace!(%error, "An event stream ended before its time");
        }
    }

    /// Answers until the connection ends, or until an answer is an event stream: gives that, which is not written yet, and the
    /// connection that it is to be written to.
    async fn answer_by_hyper<S>(self, stream: S) -> Option<(S, Response)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            builder,
            router,
            peer,
            held,
            ends: Ends { draining, stopping },
            deadline,
        } = self;
        let begun = BegunEventStream::default();
        let handed_over = begun.clone();
        let written = deadline.clone();
        let router = TowerToHyperService::new(router);
        let answer = move |mut request: Request<Incoming>| {
            // Others know no chunks.
            let has_chunks = request.version() == Version::HTTP_11;
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(peer));
            extensions.insert(held.clone());
            let (answer, draining) = (router.call(request), draining.clone());
            let (deadline, handed_over) = (deadline.clone(), handed_over.clone());
            async move {
                let mut answer = answer.await?;
                let is_event_stream = is_event_stream(answer.headers());
                deadline.set(is_event_stream);
                if is_event_stream && has_chunks {
                    handed_over.put(answer);
                    return std::future::pending().await;
                }
                // A switch of protocols has that header already.
                if draining.is_cancelled() && !answer.headers().contains_key(header::CONNECTION) {
                    let headers = answer.headers_mut();
                    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        };
        let service = hyper::service::service_fn(answer);
        let mut connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut stops = pin!(stopping.cancelled());
        let mut is_stopping = false;
        let ended = poll_fn(|cx| {
            if !is_stopping && stops.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            let ended = Pin::new(&mut connection).poll(cx);
            // What hyper has still to write, such as the end of an answer before, is written first: it tries whenever it is polled.
            if !written.is_blocked()
                && let Some(answer) = begun.take()
            {
                return Poll::Ready(Ok(Some(answer)));
            }
            ended.map_ok(|()| None)
        });
        match ended.await {
            Ok(answer) => {
                let answer = answer?;
                let parts = connection.into_parts()?;
                Some((parts.io.into_inner(), answer))
            }
            Err(error) => {
                tracing::trace!(%error, "A connection ended before its time");
                None
            }
        }
    }
}
