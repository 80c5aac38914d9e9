//! The connection pool, mapped from the specification's figures.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::postgres::PgPoolOptions;

use crate::{StoreError, session};

/// Connections to one database under one role.
pub type Pool = sqlx::PgPool;

/// How old a connection is before it is closed for being one of too many.
///
/// Under a load that lasts, a connection that was closed is missing a moment later. Another one costs
/// PostgreSQL a process, both sides thousands of rounds of SHA-256, and every statement is parsed anew.
const BURST: Duration = Duration::from_secs(30);

/// How many connections, for how long. The defaults are the specification's: min 5, max 20,
/// overflow 10, timeout 30 s, recycle 1800 s.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Kept open even when idle.
    pub min: u32,
    /// Kept after a burst.
    pub steady: u32,
    /// Opened beyond `steady` under load, and closed again when released, but not at once: see
    /// [`BURST`].
    pub overflow: u32,
    /// How long a caller waits for a connection.
    pub timeout: Duration,
    /// How old a connection may grow.
    pub recycle: Duration,
    /// How long one statement may run before the server ends it.
    pub statement_timeout: Duration,
    /// Whether a table is read as a whole only where no index helps. For statements that all have
    /// theirs: a plan made while a table is small is kept while it grows, and reading it whole is then
    /// what takes the time.
    pub by_index: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            min: 5,
            steady: 20,
            overflow: 10,
            timeout: Duration::from_secs(30),
            recycle: Duration::from_secs(1800),
            statement_timeout: Duration::from_secs(8),
            by_index: false,
        }
    }
}

impl PoolSettings {
    /// How many connections there are at most.
    pub const fn most(&self) -> u32 {
        self.steady.saturating_add(self.overflow)
    }

    /// The same with no more connections than the database allows: a pool that wants more waits for them
    /// in vain while others are idle.
    #[must_use]
    pub fn at_most(self, allowed: u32) -> Self {
        let steady = self.steady.min(allowed);
        Self {
            min: self.min.min(steady),
            steady,
            overflow: self.overflow.min(allowed - steady),
            ..self
        }
    }
}

/// Opens a pool. Connections are made when needed, so a database that is still starting is waited for.
///
/// # Errors
/// [`StoreError`] where `url` is no PostgreSQL address.
pub fn connect(url: &str, application: &str, settings: PoolSettings) -> Result<Pool, StoreError> {
    let options = session::options(url, application)?;
    let limits = session::limits(&settings);
    // A released connection that is not young any more is closed while more than the steady number is
    // open. The pool is known only after it is made, hence the cell.
    let itself: Arc<OnceLock<Pool>> = Arc::default();
    let known = Arc::clone(&itself);
    let pool = PgPoolOptions::new()
        .min_connections(settings.min)
        .max_connections(settings.most())
        .acquire_timeout(settings.timeout)
        .max_lifetime(settings.recycle)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let limits = limits.clone();
            Box::pin(async move { session::set(connection, &limits).await })
        })
        .after_release(move |_, released| {
            let keep = released.age < BURST
                || known
                    .get()
                    .is_none_or(|pool: &Pool| pool.size() <= settings.steady);
            Box::pin(async move { Ok(keep) })
        })
        .connect_lazy_with(options);
    // Cannot be set already: the cell was made above and handed to nobody else.
    drop(itself.set(pool.clone()));
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_wants_no_more_than_the_database_allows() {
        let figures = |settings: PoolSettings| (settings.min, settings.steady, settings.overflow);
        let usual = PoolSettings::default();
        for (allowed, expected) in [
            (u32::MAX, (5, 20, 10)),
            (30, (5, 20, 10)),
            (25, (5, 20, 5)),
            (20, (5, 20, 0)),
            (3, (3, 3, 0)),
        ] {
            assert_eq!(figures(usual.at_most(allowed)), expected, "{allowed}");
            assert!(usual.at_most(allowed).most() <= allowed);
        }
    }
}
