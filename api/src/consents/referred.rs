//! Consents that entries of the access log name: asked for one by one, read and written down together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use dataloader::{BatchFn, cached::Loader};
use domain::ids::{ConsentId, UserId};
use store::Pool;

use super::list::{self, ListedConsent};
use crate::{caller::RequestContext, cost_limit::CostLimiter, error::Error};

/// How often it is yielded before what has gathered is read. It is no timer: an idle process goes on at once.
const YIELDS: usize = 3;
/// How many consents are read in one transaction.
const MAX_BATCH: usize = 500;

/// A consent, and for which patient the caller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ReferredConsent {
    consent: ConsentId,
    on_behalf_of: Option<UserId>,
}

/// `None` for what may not be seen and for what does not exist.
type ReadConsent = Result<Option<Arc<ListedConsent>>, Arc<Error>>;

struct ReferredConsentBatch {
    pool: Pool,
    costs: CostLimiter,
    context: Arc<RequestContext>,
}

impl ReferredConsentBatch {
    async fn read(
        &self,
        on_behalf_of: Option<UserId>,
        ids: &[ConsentId],
    ) -> Result<Vec<ListedConsent>, Error> {
        let caller = self.context.caller()?.acting_for(on_behalf_of)?;
        // There is a row for each that is not theirs, and one for all of them where they may not act for the patient.
        let (found, refused) =
            match list::by_ids(&self.pool, &self.context.seals, &caller, ids).await {
                Ok(found) => {
                    let refused = ids.len().saturating_sub(found.len());
                    (found, refused)
                }
                Err(Error::NotFound(_)) => (Vec::new(), 1),
                Err(error) => return Err(error),
            };
        // The answer says null, and no error that would be charged.
        let party = self.context.party();
        self.costs.charge_refusals(party, refused).await;
        Ok(found)
    }
}

impl BatchFn<ReferredConsent, ReadConsent> for ReferredConsentBatch {
    async fn load(&mut self, keys: &[ReferredConsent]) -> HashMap<ReferredConsent, ReadConsent> {
        let mut by_patient = BTreeMap::<Option<UserId>, Vec<ConsentId>>::new();
        for key in keys {
            let of_patient = by_patient.entry(key.on_behalf_of).or_default();
            of_patient.push(key.consent);
        }
        let mut all = HashMap::with_capacity(keys.len());
        for (on_behalf_of, ids) in by_patient {
            let key = |consent| ReferredConsent {
                consent,
                on_behalf_of,
            };
            match Box::pin(self.read(on_behalf_of, &ids)).await {
                Ok(found) => {
                    all.extend(ids.into_iter().map(|id| (key(id), Ok(None))));
                    let found = found.into_iter();
                    all.extend(found.map(|it| (key(it.0.id), Ok(Some(Arc::new(it))))));
                }
                Err(error) => {
                    let error = Arc::new(error);
                    let failed = ids.into_iter();
                    all.extend(failed.map(|id| (key(id), Err(Arc::clone(&error)))));
                }
            }
        }
        all
    }
}

type ConsentLoader = Loader<ReferredConsent, ReadConsent, ReferredConsentBatch>;

/// Finds the consents that one answer names, each once. What does it is made once one is asked for.
#[derive(Clone)]
pub(crate) struct ReferredConsents(Arc<LazyConsentLoader>);

struct LazyConsentLoader {
    pool: Pool,
    costs: CostLimiter,
    context: Arc<RequestContext>,
    made: OnceLock<ConsentLoader>,
}

impl LazyConsentLoader {
    fn loader(&self) -> &ConsentLoader {
        self.made.get_or_init(|| {
            let batch = ReferredConsentBatch {
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

impl ReferredConsents {
    /// Nothing is read yet.
    pub(crate) fn new(pool: &Pool, costs: &CostLimiter, context: &Arc<RequestContext>) -> Self {
        Self(Arc::new(LazyConsentLoader {
            pool: pool.clone(),
            costs: costs.clone(),
            context: Arc::clone(context),
            made: OnceLock::new(),
        }))
    }

    /// A consent of the caller's, or of the patient's for whom they act; `None` for any other. Written down before it is given.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::TokenExpired`], [`Error::Busy`], [`Error::Unavailable`].
    pub(super) async fn find(
        &self,
        consent: ConsentId,
        on_behalf_of: Option<UserId>,
    ) -> Result<Option<Arc<ListedConsent>>, Error> {
        let key = ReferredConsent {
            consent,
            on_behalf_of,
        };
        let loaded = self.0.loader().try_load(key).await;
        let loaded = loaded.map_err(|_| Error::Unavailable)?;
        loaded.map_err(Arc::unwrap_or_clone)
    }

    /// Forgets them: what comes next is read anew.
    pub(crate) async fn forget(&self) {
        if let Some(loader) = self.0.made.get() {
            loader.clear_all().await;
        }
    }
}
