//! Notices of PostgreSQL: they wake whoever reads a table, and carry at most an id. One that was lost costs
//! latency only, because readers also poll.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use uuid::Uuid;

use crate::{StoreError, session};

/// What these connections are called in `pg_stat_activity`.
const APPLICATION: &str = "meditrustal api";

/// When to read again: whenever a writer says on the channel that there is something new, and now and then
/// besides. Its connection is its own, outside the pool, and is made anew where it breaks.
#[derive(Debug)]
pub struct Notices {
    url: String,
    channel: &'static str,
    poll: Duration,
    listener: Option<PgListener>,
}

impl Notices {
    /// Of this channel; a notice that is lost goes unnoticed for `poll`. Does not connect.
    pub fn of(url: String, channel: &'static str, poll: Duration) -> Self {
        Self {
            url,
            channel,
            poll,
            listener: None,
        }
    }

    /// Waits until it is time to read. Returns at once where it has just begun to listen: what was
    /// written before that was not heard. Answers the id that a notice carries.
    pub async fn next(&mut self) -> Option<Uuid> {
        let Some(listener) = &mut self.listener else {
            self.listener = listen(&self.url, self.channel).await.ok();
            if self.listener.is_none() {
                tokio::time::sleep(self.poll).await;
            }
            return None;
        };
        match tokio::time::timeout(self.poll, listener.recv()).await {
            Ok(Ok(notice)) => Uuid::try_parse(notice.payload()).ok(),
            Ok(Err(_)) => {
                self.listener = None;
                None
            }
            Err(_) => None,
        }
    }
}

async fn listen(url: &str, channel: &str) -> Result<PgListener, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .connect_lazy_with(session::options(url, APPLICATION)?);
    let mut listener = PgListener::connect_with(&pool).await?;
    // A channel belongs to the database: each schema has its own.
    let channel = sqlx::query_scalar!(r#"SELECT notice_channel($1) AS "name!""#, channel)
        .fetch_one(&mut listener)
        .await?;
    listener.listen(&channel).await?;
    Ok(listener)
}
