//! The caller's own account. Callers who ask together share one transaction.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus},
    ids::UserId,
    purpose::Purpose,
    users::User,
};
use store::{Plans, Pool, audit, users};
use tokio::task::JoinSet;

use crate::{
    batcher::{Batch, BatchAnswers, BatchLimits, Batcher},
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
};

/// The limits of its batches.
const LIMITS: BatchLimits = BatchLimits {
    name: "own-accounts",
    size: 64,
    at_once: 2,
    queue: 4096,
    gather: Duration::ZERO,
};

/// Where callers ask for their own accounts.
#[derive(Debug, Clone)]
pub(crate) struct OwnAccounts(Batcher<Caller, User>);

impl OwnAccounts {
    /// Starts the batcher. It stops when the last handle is dropped.
    pub(crate) fn start(pool: Pool, tasks: &mut JoinSet<()>) -> Self {
        let serve = move |batch: Batch<Caller>| {
            let pool = pool.clone();
            async move { serve_batch(&pool, &batch).await }
        };
        Self(Batcher::start(LIMITS, tasks, serve))
    }

    /// The caller's own account. Written down before it is shown.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the session is over, [`Error::Busy`].
    pub(crate) async fn of(&self, caller: Caller) -> Result<User, Error> {
        self.0.ask(caller).await
    }
}

/// Serves a batch in one transaction.
async fn serve_batch(pool: &Pool, batch: &Batch<Caller>) -> BatchAnswers<User> {
    let callers = batch.requests.iter().map(Arc::as_ref);
    let beginning = (batch.lock_wait, Plans::Kept);
    let (mut tx, facts) = Facts::begin(pool, beginning, callers.clone(), []).await?;
    let actors: Vec<Result<Actor, Error>> = callers
        .clone()
        .map(|caller| facts.active_actor(caller))
        .collect();
    let asked = distinct(actors.iter().flatten().map(|actor| actor.id));
    let accounts: HashMap<UserId, User> = users::by_ids(&mut tx, &asked)
        .await?
        .into_iter()
        .map(|user| (user.id, user))
        .collect();
    let shown = callers.zip(&actors).filter_map(|(caller, actor)| {
        let actor = actor.as_ref().ok().copied()?;
        accounts.contains_key(&actor.id).then_some((caller, actor))
    });
    let entries: Vec<AuditEntry> = shown
        .map(|(caller, actor)| AuditEntry {
            resource_id: actor.id.0,
            ..of_reading(caller, actor)
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    let answers = actors.into_iter().map(|actor| {
        let account = accounts.get(&actor?.id);
        account.cloned().ok_or(Error::Unauthenticated)
    });
    Ok(answers.collect())
}

/// The row that says that accounts were read, to be completed by which.
pub(super) fn of_reading(caller: &Caller, actor: Actor) -> AuditEntry {
    AuditEntry {
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserRead, Purpose::default_of(actor.role))
    }
}
