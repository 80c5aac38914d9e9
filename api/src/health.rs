//! Whether the process can do its work. A chain node that is down does not count: writes go on and
//! wait in the outbox.

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use crate::schema::Schema;

/// How long the database may take to say that it is there.
const DEADLINE: Duration = Duration::from_secs(2);

/// 200 where the database answers, 503 where it does not.
pub(crate) async fn ready(State(schema): State<Schema>) -> impl IntoResponse {
    let ask = async {
        let mut conn = schema
            .app()
            .pool
            .acquire()
            .await
            .map_err(store::StoreError::from)?;
        store::users::now(&mut conn).await
    };
    match tokio::time::timeout(DEADLINE, ask).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        ),
    }
}
