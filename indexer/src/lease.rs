//! The right to lead: a lease in the database, renewed by a task of its own for as long as the loop goes round. A process
//! that is stopped, cut off from the database or hangs does not renew it, and another one takes it.

use std::{fs, time::Duration};

use domain::ids::RequestId;
use store::{PgConnection, Pool, StoreError, cursor::Registry, leases};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::status::Status;

/// How long a lease lasts that is not renewed. With [`LOOK_EVERY`] a leader that stands still is replaced within four seconds, and
/// on a busy machine within five.
const LEASE: Duration = Duration::from_millis(3500);

/// How often a leader renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often one that stands by looks whether it may lead.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a transaction of ours may do nothing: a leader that stands still in one holds its locks no longer than its
/// lease.
pub(crate) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(3);

/// The longest name of a machine that is kept. Unit: characters.
const MAX_HOST_CHARS: usize = 100;

/// What this process is called in the database: by its machine, its number, and what tells it from an earlier one.
pub(crate) fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().take(MAX_HOST_CHARS).collect();
    format!(
        "{host} process {} {}",
        std::process::id(),
        RequestId::fresh()
    )
}

/// A lease that is held, and the task that renews it.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    end: CancellationToken,
    lost: CancellationToken,
    keeping: JoinHandle<()>,
}

impl LeaseKeeper {
    /// Takes the lease if nobody has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn try_take(
        pool: &Pool,
        registry: &Registry,
        holder: &str,
        status: &Status,
    ) -> Result<Option<Self>, StoreError> {
        let mut connection = pool.acquire().await?;
        if !leases::take(&mut connection, registry, holder, LEASE).await? {
            return Ok(None);
        }
        let held = HeldLease {
            connection: connection.detach(),
            registry: registry.clone(),
            holder: holder.to_owned(),
        };
        let (end, lost) = (CancellationToken::new(), CancellationToken::new());
        let keeping = held.keep(status.clone(), end.clone(), lost.clone());
        Ok(Some(Self {
            end,
            lost,
            keeping: tokio::spawn(keeping),
        }))
    }

    /// Whether it is another's by now, or nobody can say.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Lets the next one lead at once.
    pub(crate) async fn release(self) {
        self.end.cancel();
        if let Err(error) = self.keeping.await {
            tracing::debug!("The lease runs out: {error}");
        }
    }
}

/// What the task works with: the connection is its own, so that no renewal waits for one.
struct HeldLease {
    connection: PgConnection,
    registry: Registry,
    holder: String,
}

impl HeldLease {
    /// Renews the lease until it is to end, or is lost.
    async fn keep(mut self, status: Status, end: CancellationToken, lost: CancellationToken) {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                _ = ticks.tick() => {}
            }
            // Who hangs does not lead.
            if status.alive() && !self.renew().await {
                lost.cancel();
                return;
            }
        }
        let given_up = leases::give_up(self.connection, &self.registry, &self.holder);
        match timeout(LEASE, given_up).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("The lease ended with its connection: {error}"),
            Err(_) => tracing::debug!("The lease runs out: the database did not answer"),
        }
    }

    async fn renew(&mut self) -> bool {
        let renewed = leases::renew(&mut self.connection, &self.registry, &self.holder);
        match timeout(LEASE, renewed).await {
            Ok(Ok(true)) => true,
            Ok(Ok(false)) => {
                tracing::warn!("Another indexer has taken the lease");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!("The lease could not be renewed: {error}");
                false
            }
            Err(_) => {
                tracing::warn!("The lease could not be renewed: the database did not answer");
                false
            }
        }
    }
}
