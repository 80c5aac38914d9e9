//! The connection pool, mapped from the specification's figures.
//!
//! A future may be dropped at any point: a client leaves, a deadline passes. `begin` of sqlx 0.9.0 then puts a
//! connection back into the pool that is inside a transaction. So sqlx's is not used. [`Transaction`] sends
//! `BEGIN`, `COMMIT` and `ROLLBACK` itself, and **a connection goes back into the pool only after the server
//! has answered what proves that it is outside a transaction** (`docs/decisions/0032-transactions-end.md`).

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::ids::UserId;
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{StoreError, barrier::statements::shared_locks, session};

/// Connections to one database under one role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(PgPool, Arc<PoolWaits>);

/// How long connections were waited for.
#[derive(Debug, Default)]
struct PoolWaits {
    taken: AtomicU64,
    micros: AtomicU64,
    in_vain: AtomicU64,
}

/// What a pool is doing.
#[derive(Debug, Clone, Copy)]
pub struct PoolFigures {
    /// Connections that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// How often one was taken, since the pool was opened.
    pub taken: u64,
    /// How often none could be had.
    pub in_vain: u64,
    /// How long it was waited for them, in all.
    pub waited: Duration,
}

impl Pool {
    /// What it is doing now.
    pub fn figures(&self) -> PoolFigures {
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolFigures {
            open: self.0.size(),
            idle: u32::try_from(self.0.num_idle()).unwrap_or(u32::MAX),
            taken: counted(&self.1.taken),
            in_vain: counted(&self.1.in_vain),
            waited: Duration::from_micros(counted(&self.1.micros)),
        }
    }

    async fn take(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let began = Instant::now();
        let taken = self.0.acquire().await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.1.micros.fetch_add(micros, Ordering::Relaxed);
        let counter = match taken {
            Ok(_) => &self.1.taken,
            Err(_) => &self.1.in_vain,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        taken
    }

    /// Begins a transaction. Dropped at any point, it is rolled back.
    ///
    /// # Errors
    /// [`StoreError`] where no connection could be had.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_by("BEGIN".to_owned()).await
    }

    /// Begins a transaction that sees all as it was when its first statement began, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] where no connection could be had.
    pub async fn snapshot(&self) -> Result<Transaction, StoreError> {
        self.begin_by("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned())
            .await
    }

    /// Begins a transaction that changes nothing, each statement of which sees all that is committed when it begins, and is ended
    /// by the server after this long.
    pub(crate) async fn begin_reading(
        &self,
        plans: Plans,
        statements_within: Duration,
    ) -> Result<Transaction, StoreError> {
        self.begin_by(beginning_to_read(plans, statements_within))
            .await
    }

    /// Begins a transaction whose statements wait this long for a lock, each of them, instead of the usual
    /// five seconds.
    ///
    /// # Errors
    /// [`StoreError`] where no connection could be had.
    pub async fn begin_with_lock_wait(
        &self,
        wait: Duration,
        plans: Plans,
    ) -> Result<Transaction, StoreError> {
        self.begin_by(beginning(wait, plans)).await
    }

    /// The same, with the shared locks of these people ([`crate::barrier`]), in one message to the server. What is read
    /// by later statements is read after all of them. For a few people.
    ///
    /// # Errors
    /// [`StoreError`] where no connection could be had, or a change to what decides about them takes too long.
    pub async fn begin_locked(
        &self,
        wait: Duration,
        plans: Plans,
        people: impl IntoIterator<Item = UserId>,
    ) -> Result<Transaction, StoreError> {
        let locks = shared_locks(people);
        self.begin_by(format!("{}{locks}", beginning(wait, plans)))
            .await
    }

    /// `statements` hold numbers of our own at most.
    async fn begin_by(&self, statements: String) -> Result<Transaction, StoreError> {
        // Whole before BEGIN is sent: dropped from here on, the connection is rolled back first.
        let mut tx = Transaction(Some(self.take().await?));
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }

    /// A connection for single statements, each of which is its own transaction.
    ///
    /// # Errors
    /// [`StoreError`] where none could be had.
    pub async fn acquire(&self) -> Result<PooledConnection, StoreError> {
        Ok(PooledConnection(Some(self.take().await?)))
    }

    /// Closes every connection, once it is given back.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// What sqlx's own functions take, migrations above all.
    pub(crate) const fn as_sqlx(&self) -> &PgPool {
        &self.0
    }
}

/// How the statements of a transaction are planned (`docs/decisions/0057-plans-are-kept.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plans {
    /// As PostgreSQL guesses: by the values at hand, where it expects a better plan of them.
    AsUsual,
    /// Once for each connection. For statements whose index is the same whatever their values are.
    Kept,
}

impl Plans {
    /// What is said behind `BEGIN` for it.
    const fn setting(self) -> &'static str {
        match self {
            Self::AsUsual => "",
            Self::Kept => "; SET LOCAL plan_cache_mode = force_generic_plan",
        }
    }
}

/// A connection outside a transaction.
pub struct PooledConnection(Option<PoolConnection<Postgres>>);

impl PooledConnection {
    /// Takes the connection out of the pool for good: it is counted no more.
    #[must_use]
    pub fn detach(mut self) -> PgConnection {
        self.0.take().expect(HELD).detach()
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            give_back(connection, IdleProof::OutsideTransaction, PROVEN_WITHIN);
        }
    }
}

/// A transaction: what is done in it is committed together or not at all.
#[must_use = "what is not committed is rolled back"]
pub struct Transaction(Option<PoolConnection<Postgres>>);

impl Transaction {
    /// From here on its statements wait as long for a lock as those of other transactions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wait_for_locks_as_usual(&mut self) -> Result<(), StoreError> {
        sqlx::raw_sql(AssertSqlSafe(lock_wait(session::LOCK)))
            .execute(&mut **self)
            .await?;
        Ok(())
    }

    /// Ends it for good.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it happened, or nobody knows.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        drop(self.0.take());
        Ok(())
    }

    /// Undoes it.
    ///
    /// # Errors
    /// [`StoreError`]; it is undone all the same.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        sqlx::raw_sql("ROLLBACK").execute(&mut *self).await?;
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            give_back(connection, IdleProof::Rollback, PROVEN_WITHIN);
        }
    }
}

fn beginning(wait: Duration, plans: Plans) -> String {
    format!("BEGIN; {}{}", lock_wait(wait), plans.setting())
}

fn beginning_to_read(plans: Plans, statements_within: Duration) -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY{}; SET LOCAL statement_timeout = {}",
        plans.setting(),
        statements_within.as_millis()
    )
}

/// The statement that sets how long a transaction waits for each lock: a number of our own alone.
fn lock_wait(wait: Duration) -> String {
    format!("SET LOCAL lock_timeout = {}", wait.as_millis())
}

const HELD: &str = "a connection is held until it is dropped";

macro_rules! is_a_connection {
    ($($held:ty),+) => {$(
        impl Deref for $held {
            type Target = PgConnection;
            fn deref(&self) -> &PgConnection {
                self.0.as_ref().expect(HELD)
            }
        }

        impl DerefMut for $held {
            fn deref_mut(&mut self) -> &mut PgConnection {
                self.0.as_mut().expect(HELD)
            }
        }

        impl fmt::Debug for $held {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($held))
            }
        }
    )+};
}
is_a_connection!(PooledConnection, Transaction);

/// What shows that a connection is outside a transaction.
#[derive(Clone, Copy)]
enum IdleProof {
    /// It was in one, which is rolled back.
    Rollback,
    /// It never was in one: a statement by itself begins its transaction.
    OutsideTransaction,
}

impl IdleProof {
    async fn of(self, connection: &mut PgConnection) -> bool {
        match self {
            Self::Rollback => sqlx::raw_sql("ROLLBACK").execute(connection).await.is_ok(),
            Self::OutsideTransaction => {
                // In a transaction that failed, this fails, too (25P02).
                let asked =
                    "SELECT FROM (VALUES (now())) AS t(begun) WHERE begun = statement_timestamp()";
                let found = sqlx::raw_sql(asked).fetch_optional(connection).await;
                found.is_ok_and(|row| row.is_some())
            }
        }
    }
}

/// How long a connection may take to be proven to be outside a transaction. A statement that nobody waits for any more is ended by the
/// server before that ([`PoolSettings::statement_timeout`]); longer than this takes a server or a network that is gone, whose
/// connections would be missing in the pool for as long as the system sends again.
const PROVEN_WITHIN: Duration = Duration::from_secs(10);

/// Gives a connection back once it is proven to be outside a transaction, in this time; else closes it.
fn give_back(mut connection: PoolConnection<Postgres>, proof: IdleProof, within: Duration) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        // The process ends, and with it the connection.
        drop(connection.leak());
        return;
    };
    runtime.spawn(async move {
        if timeout(within, proof.of(&mut connection)).await != Ok(true) {
            tracing::warn!(
                "A connection could not be brought out of its transaction and is closed"
            );
            // Nothing is said on it any more: a server that does not answer would be waited for again.
            drop(connection.detach());
        }
    });
}

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
    /// How long a transaction may do nothing before the server ends it, and frees what it has locked.
    pub idle_in_transaction: Duration,
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
            idle_in_transaction: Duration::from_secs(15),
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

/// The database's address cannot be used. Does not print it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no address of a database, which looks like postgres://role:password@host:5432/meditrustal"
)]
pub struct InvalidDatabaseUrl;

/// Refuses what is no address of a PostgreSQL database. Nobody is asked.
///
/// # Errors
/// [`InvalidDatabaseUrl`].
pub fn check_url(url: &str) -> Result<(), InvalidDatabaseUrl> {
    let is_ours = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    let parsed: Result<PgConnectOptions, _> = url.parse();
    if is_ours && parsed.is_ok() {
        Ok(())
    } else {
        Err(InvalidDatabaseUrl)
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
    let itself: Arc<OnceLock<PgPool>> = Arc::default();
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
                    .is_none_or(|pool: &PgPool| pool.size() <= settings.steady);
            Box::pin(async move { Ok(keep) })
        })
        .connect_lazy_with(options);
    // Cannot be set already: the cell was made above and handed to nobody else.
    drop(itself.set(pool.clone()));
    Ok(Pool(pool, Arc::default()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Answers as PostgreSQL does, and no more from a `ROLLBACK` on.
    async fn falls_silent(mut client: TcpStream) -> std::io::Result<()> {
        let length = client.read_u32().await?;
        let mut message = vec![0; length as usize - 4];
        client.read_exact(&mut message).await?;
        // It may log in, and the server is ready.
        client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
        loop {
            client.read_u8().await?;
            let length = client.read_u32().await?;
            message.resize(length as usize - 4, 0);
            client.read_exact(&mut message).await?;
            if !message.starts_with(b"ROLLBACK") {
                client.write_all(b"C\0\0\0\x08SET\0Z\0\0\0\x05I").await?;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_whose_server_fell_silent_is_closed() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = server.local_addr().expect("it has one").port();
        let silence = tokio::spawn(async move {
            let (client, _) = server.accept().await.expect("a client");
            falls_silent(client).await
        });
        let settings = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let url = format!("postgres://nobody@127.0.0.1:{port}/none?sslmode=disable");
        let pool = connect(&url, "test", settings).expect("an address");
        let mut tx = pool.begin().await.expect("it begins");
        assert_eq!(pool.figures().open, 1);

        let connection = tx.0.take().expect("it is held");
        give_back(connection, IdleProof::Rollback, Duration::from_millis(20));
        // It ends when the client has gone.
        let ended = silence.await.expect("it does not panic");
        assert!(ended.is_err());
        assert_eq!(pool.figures().open, 0);
    }

    #[test]
    fn what_is_read_from_a_replica_ends_there_when_nobody_waits_any_more() {
        let within = Duration::from_secs(3);
        assert_eq!(
            beginning_to_read(Plans::AsUsual, within),
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = 3000"
        );
        assert_eq!(
            beginning_to_read(Plans::Kept, within),
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL statement_timeout = 3000"
        );
    }

    #[test]
    fn a_statement_ends_before_its_connection_is_given_up() {
        assert!(PoolSettings::default().statement_timeout < PROVEN_WITHIN);
    }

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
