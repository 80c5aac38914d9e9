//! Consents in force that a decision did not read, because they cannot concern who asked. Their seals are checked soon
//! afterwards, outside every transaction, so that a row that somebody changed is found whoever asks.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{ids::UserId, seals::Tampered};
use store::{Pool, StoreError, consents};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use vault::keyring::Keyring;

use super::judge;

/// For how long patients are collected, each once: that often the consents of one are checked at most.
const GATHER: Duration = Duration::from_secs(1);
/// How many patients wait at most. Of one more, the next decision or the deep check finds what is wrong.
const MOST: usize = 10_000;
/// Of how many patients one statement reads the consents.
const AT_ONCE: usize = 50;

/// Where patients are named whose other consents are to be checked. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LeftOut {
    patients: Arc<Mutex<HashSet<UserId>>>,
    wake: mpsc::Sender<()>,
}

impl LeftOut {
    /// Begins to check. It ends when the last handle is dropped.
    pub(super) fn start(
        keyring: Arc<Keyring>,
        pool: Pool,
        found: mpsc::Sender<Tampered>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (wake, woken) = mpsc::channel(1);
        let patients = Arc::<Mutex<HashSet<UserId>>>::default();
        let checker = Checker {
            keyring,
            pool,
            found,
            patients: Arc::clone(&patients),
        };
        tasks.spawn(checker.run(woken));
        Self { patients, wake }
    }

    /// Names patients of whom consents were left out.
    pub(super) fn add(&self, left_out: &[UserId]) {
        if left_out.is_empty() {
            return;
        }
        let mut patients = held(&self.patients);
        let was_empty = patients.is_empty();
        let room = MOST.saturating_sub(patients.len());
        patients.extend(left_out.iter().copied().take(room));
        drop(patients);
        if was_empty {
            // Full: it is woken already, and takes these with the others.
            self.wake.try_send(()).ok();
        }
    }
}

/// What checks them.
struct Checker {
    keyring: Arc<Keyring>,
    pool: Pool,
    found: mpsc::Sender<Tampered>,
    patients: Arc<Mutex<HashSet<UserId>>>,
}

impl Checker {
    async fn run(self, mut woken: mpsc::Receiver<()>) {
        while woken.recv().await.is_some() {
            let end = Instant::now() + GATHER;
            while let Ok(Some(())) = timeout_at(end, woken.recv()).await {}
            let waiting = mem::take(&mut *held(&self.patients));
            let waiting: Vec<UserId> = waiting.into_iter().collect();
            for patients in waiting.chunks(AT_ONCE) {
                if let Err(error) = self.check(patients).await {
                    tracing::warn!(
                        sql_state = error.sql_state(),
                        "Consents that decisions left out cannot be read; the next decision names them again"
                    );
                }
            }
        }
    }

    async fn check(&self, patients: &[UserId]) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let stored = consents::in_force_now(&mut connection, patients).await?;
        for tampered in judge(&self.keyring, stored).found {
            // Full: the next decision names its patient again.
            self.found.try_send(tampered).ok();
        }
        Ok(())
    }
}

fn held(patients: &Mutex<HashSet<UserId>>) -> MutexGuard<'_, HashSet<UserId>> {
    patients.lock().unwrap_or_else(PoisonError::into_inner)
}
