//! `GET /health/ready` and `GET /health/serving`: what the health monitor saw last.

use axum::{Json, extract::State, http::StatusCode};
use chain::EndpointHealth;
use serde::Serialize;
use store::reads::Fallback;

use crate::{
    health::{CheckpointState, FailingParts},
    schema::Schema,
};

/// What is told.
#[derive(Debug, Serialize)]
pub(crate) struct HealthReport {
    ready: bool,
    failing: FailingParts,
    checkpoints: CheckpointState,
    /// How each of the nodes does, in the order in which they were named; none where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<EndpointHealth>,
    /// `used`, or why the primary is read instead of the replica; nothing where none is named. It fails nothing that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'static str>,
}

/// 200 where this process can serve and what it serves comes to its end: the database works, the clocks
/// agree, an indexer leads, the chain moves. 503 and why where it does not.
pub(crate) async fn ready(State(schema): State<Schema>) -> (StatusCode, Json<HealthReport>) {
    let parts = schema.app().health.parts();
    answer(&schema, parts.is_ready(), parts)
}

/// 200 where this process can serve requests: the database works, the clocks agree. Records that are made
/// wait for the chain. 503, too, where it refuses some for the lack of a key, and another api refuses none.
pub(crate) async fn serving(State(schema): State<Schema>) -> (StatusCode, Json<HealthReport>) {
    let parts = schema.app().health.parts();
    answer(&schema, parts.can_serve(), parts)
}

fn answer(schema: &Schema, ready: bool, failing: FailingParts) -> (StatusCode, Json<HealthReport>) {
    let app = schema.app();
    let mut nodes = app.chain.endpoints();
    if nodes.len() == 1 {
        nodes.clear();
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let report = HealthReport {
        ready,
        failing,
        checkpoints: app.health.checkpoints(),
        nodes,
        replica: app
            .reads
            .figures()
            .map(|found| found.unused.map_or("used", Fallback::as_str)),
    };
    (status, Json(report))
}
