//! Records that events, entries of logs and other versions name: asked for one by one, decided and written down together.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use dataloader::{BatchFn, cached::Loader};
use domain::{
    ids::{RecordId, UserId},
    purpose::Purpose,
};
use store::Pool;

use super::disclosure::{self, Disclosed, DisclosureRequest, Wanted};
use crate::{caller::RequestContext, cost_limit::CostLimiter, error::Error};

/// How often it is yielded before what has gathered is read. It is no timer: an idle process goes on at once.
const YIELDS: usize = 3;
/// How many records are decided on in one transaction: it locks their patients.
const MAX_BATCH: usize = 500;

/// A record, why it is asked for, if that is said, and for which patient the caller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ReferredRecord {
    record: RecordId,
    purpose: Option<Purpose>,
    on_behalf_of: Option<UserId>,
}

/// `None` for what may not be seen and for what does not exist.
type DisclosedRecord = Result<Option<Arc<Disclosed>>, Arc<Error>>;

struct ReferredRecordBatch {
    pool: Pool,
    costs: CostLimiter,
    context: Arc<RequestContext>,
}

impl ReferredRecordBatch {
    async fn read(&self, keys: &[ReferredRecord]) -> Result<Vec<Result<Disclosed, Error>>, Error> {
        let caller = self.context.caller()?;
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys {
            requests.push(Arc::new(DisclosureRequest {
                caller: caller.clone().acting_for(key.on_behalf_of)?,
                record: key.record,
                purpose: key.purpose,
                wanted: Wanted::Reference,
                budget: None,
            }));
        }
        Ok(disclosure::together(&self.pool, &requests).await?)
    }
}

impl BatchFn<ReferredRecord, DisclosedRecord> for ReferredRecordBatch {
    async fn load(&mut self, keys: &[ReferredRecord]) -> HashMap<ReferredRecord, DisclosedRecord> {
        let seen = |outcome: Result<Disclosed, Error>| match outcome {
            Ok(disclosed) => Ok(Some(Arc::new(disclosed))),
            Err(Error::NotFound(_) | Error::Forbidden(_)) => Ok(None),
            Err(error) => Err(Arc::new(error)),
        };
        match Box::pin(self.read(keys)).await {
            Ok(outcomes) => {
                let is_refused =
                    |it: &&Result<Disclosed, Error>| matches!(it, Err(Error::NotFound(_)));
                let refused = outcomes.iter().filter(is_refused).count();
                // The answer says null, and no error that would be charged.
                let party = self.context.party();
                self.costs.charge_refusals(party, refused).await;
                let outcomes = outcomes.into_iter().map(seen);
                keys.iter().copied().zip(outcomes).collect()
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = keys.iter().map(|key| (*key, Err(Arc::clone(&error))));
                failed.collect()
            }
        }
    }
}

type RecordLoader = Loader<ReferredRecord, DisclosedRecord, ReferredRecordBatch>;

/// Finds the records that one answer names, each once. What does it is made once one is asked for.
#[derive(Clone)]
pub(crate) struct ReferredRecords(Arc<LazyRecordLoader>);

struct LazyRecordLoader {
    pool: Pool,
    costs: CostLimiter,
    context: Arc<RequestContext>,
    made: OnceLock<RecordLoader>,
}

impl LazyRecordLoader {
    fn loader(&self) -> &RecordLoader {
        self.made.get_or_init(|| {
            let batch = ReferredRecordBatch {
                pool: self.pool.clone(),
                costs: self.costs.clone(),
                context: Arc::clone(&self.context),
            };
            let loader = Loader::new(batch);
            loader
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH)
        })
    }
}

impl ReferredRecords {
    /// Nothing is read yet.
    pub(crate) fn new(pool: &Pool, costs: &CostLimiter, context: &Arc<RequestContext>) -> Self {
        Self(Arc::new(LazyRecordLoader {
            pool: pool.clone(),
            costs: costs.clone(),
            context: Arc::clone(context),
            made: OnceLock::new(),
        }))
    }

    /// A record, without its content; `None` where the caller may not read it, and where there is none. Written down before it is
    /// given.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::TokenExpired`], [`Error::Busy`], [`Error::Unavailable`].
    pub(super) async fn find(
        &self,
        record: RecordId,
        purpose: Option<Purpose>,
        on_behalf_of: Option<UserId>,
    ) -> Result<Option<Arc<Disclosed>>, Error> {
        let key = ReferredRecord {
            record,
            purpose,
            on_behalf_of,
        };
        let loaded = self.0.loader().try_load(key).await;
        let loaded = loaded.map_err(|_| Error::Unavailable)?;
        loaded.map_err(Arc::unwrap_or_clone)
    }

    /// Forgets them: what comes next is decided anew.
    pub(crate) async fn forget(&self) {
        if let Some(loader) = self.0.made.get() {
            loader.clear_all().await;
        }
    }
}
