//! `/health/live` says that the loop goes round, `/health/ready` that what it wrote is current. Both
//! are for machines inside: they show numbers and reasons, no record and no address.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::status::{HealthReport, Status};

/// Begins to listen; serving ends with `stop`.
///
/// # Errors
/// Where the address is taken or not ours.
pub(crate) async fn serve(
    listen: SocketAddr,
    status: Status,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let at = listener.local_addr()?;
    let routes = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(status);
    tokio::spawn(async move {
        let until = stop.cancelled_owned();
        if let Err(error) = axum::serve(listener, routes)
            .with_graceful_shutdown(until)
            .await
        {
            tracing::error!("The health endpoints ended: {error}");
        }
    });
    Ok(at)
}

async fn live(State(status): State<Status>) -> StatusCode {
    if status.alive() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn ready(State(status): State<Status>) -> (StatusCode, Json<HealthReport>) {
    let report = status.report();
    let code = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(report))
}
