//! Notices of PostgreSQL: they wake whoever reads a table, and carry nothing. One that was lost costs
//! latency only, because readers also poll.

use crate::StoreError;

/// Wakes whenever a writer says on its channel that there is something new. Its connection is its own,
/// outside the pool.
#[derive(Debug)]
pub struct Listener(sqlx::postgres::PgListener);

impl Listener {
    /// Starts listening.
    ///
    /// # Errors
    /// [`StoreError`] where no connection could be had.
    pub async fn start(url: &str, channel: &str) -> Result<Self, StoreError> {
        let mut listener = sqlx::postgres::PgListener::connect(url).await?;
        listener.listen(channel).await?;
        Ok(Self(listener))
    }

    /// Waits for the next notice.
    ///
    /// # Errors
    /// [`StoreError`] where the connection broke; start another.
    pub async fn notice(&mut self) -> Result<(), StoreError> {
        self.0.recv().await?;
        Ok(())
    }
}
