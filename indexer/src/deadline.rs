//! How long anything may take, and what is dropped when we are told to stop.

use std::time::Duration;

use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::error::IndexerError;

/// How long one question to the node may take.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one transaction may take before the database counts as frozen.
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_mins(1);

/// Something that changes nothing and may be dropped when we are told to stop: then `None`.
pub(crate) async fn until<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// A frozen database is one that is away.
pub(crate) async fn within<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, IndexerError> {
    match tokio::time::timeout(DATABASE_TIMEOUT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(IndexerError::DatabaseTimeout),
    }
}

/// As [`within`], for what has more ways to fail. A transaction that is dropped is rolled back.
pub(crate) async fn in_time<T>(
    work: impl Future<Output = Result<T, IndexerError>>,
) -> Result<T, IndexerError> {
    tokio::time::timeout(DATABASE_TIMEOUT, work)
        .await
        .unwrap_or(Err(IndexerError::DatabaseTimeout))
}
