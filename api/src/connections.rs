//! Taking connections: how many there may be, of whom, and how long one may be silent.
//!
//! axum's own loop takes connections without number and waits for headers without end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use domain::throttle::Network;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection_limiter::{ConnectionLimiter, Permit},
    proxies::Proxies,
};

/// How long to wait where the operating system has no connection to give, such as without file
/// descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// How many connections, for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) all: usize,
    /// Of one network; trusted proxies are exempt.
    pub(crate) of_network: usize,
    /// How long a request's headers may take, and how long a connection may be idle between two.
    pub(crate) headers_within: Duration,
}

/// The right to have a connection. It travels with each request, so that a WebSocket keeps it.
#[derive(Debug, Clone)]
pub(crate) struct HeldConnection(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<ConnectionPermits>,
);

type ConnectionPermits = (OwnedSemaphorePermit, Option<Permit<Network>>);

/// Serves until told to stop; then takes no more, and ends when what runs has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    proxies: &Proxies,
    stopping: CancellationToken,
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
            () = stopping.cancelled() => break,
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
        let connection = serve_connection(&builder, stream, peer, held, router.clone(), &stopping);
        tracker.spawn(connection);
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
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

fn serve_connection(
    builder: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    held: HeldConnection,
    router: Router,
    stopping: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let router = TowerToHyperService::new(router);
    let answer = move |mut request: Request<Incoming>| {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(held.clone());
        router.call(request)
    };
    let service = hyper::service::service_fn(answer);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let stopping = stopping.clone();
    async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "A connection ended before its time");
        }
    }
}
