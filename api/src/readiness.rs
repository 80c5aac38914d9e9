//! `GET /health/ready` and `GET /health/serving`: what the health monitor saw last.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

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
}

/// 200 where this process can serve and what it serves comes to its end: the database works, the clocks
/// agree, an indexer leads, the chain moves. 503 and why where it does not.
pub(crate) async fn ready(State(schema): State<Schema>) -> (StatusCode, Json<HealthReport>) {
    let health = &schema.app().health;
    let parts = health.parts();
    answer(parts.is_ready(), parts, health.checkpoints())
}

/// 200 where this process can serve requests: the database works, the clocks agree. Records that are made
/// wait for the chain.
pub(crate) async fn serving(State(schema): State<Schema>) -> (StatusCode, Json<HealthReport>) {
    let health = &schema.app().health;
    let parts = health.parts();
    answer(parts.can_serve(), parts, health.checkpoints())
}

fn answer(
    ready: bool,
    failing: FailingParts,
    checkpoints: CheckpointState,
) -> (StatusCode, Json<HealthReport>) {
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let report = HealthReport {
        ready,
        failing,
        checkpoints,
    };
    (status, Json(report))
}
