//! `GET /metrics`, at an address of its own: whoever may ask a program what it counts need not be able to ask it anything
//! else.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, http::header, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What OpenMetrics 1.0 is told as.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long whoever reads may take once the program is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Begins to listen; serving ends with `stop`. `text` is asked for each answer. Gives where it listens.
///
/// # Errors
/// Where the address is taken or not ours.
pub async fn serve(
    address: SocketAddr,
    text: impl Fn() -> String + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let at = listener.local_addr()?;
    let answer = move || {
        let text = text();
        async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], text) }
    };
    let routes = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move {
        let until = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, routes).with_graceful_shutdown(until);
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            ended = serving.into_future() => {
                if let Err(error) = ended {
                    tracing::error!("The metrics ended: {error}");
                }
            }
            () = late => {}
        }
    });
    Ok(at)
}
