//! Who saw each record of a page: asked for one by one, read together.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use dataloader::{BatchFn, non_cached::Loader};
use store::{
    Pool,
    audit::{AuditPage, RecordPage},
};

use super::read;
use crate::{caller::RequestContext, error::Error};

/// How often it is yielded before what has gathered is read. It is no timer: an idle process goes on at once.
const YIELDS: usize = 3;
/// How many pages are read by one statement.
const MAX_BATCH: usize = 100;

type ReadLog = Result<Arc<AuditPage>, Arc<Error>>;

struct AccessLogBatch {
    pool: Pool,
    context: Arc<RequestContext>,
}

impl AccessLogBatch {
    async fn read(&self, asked: &[RecordPage]) -> Result<Vec<AuditPage>, Error> {
        read::of_records(&self.pool, &self.context.caller()?, asked).await
    }
}

impl BatchFn<RecordPage, ReadLog> for AccessLogBatch {
    async fn load(&mut self, keys: &[RecordPage]) -> HashMap<RecordPage, ReadLog> {
        match self.read(keys).await {
            Ok(pages) => {
                let pages = pages.into_iter().map(|page| Ok(Arc::new(page)));
                keys.iter().copied().zip(pages).collect()
            }
            Err(error) => {
                let error = Arc::new(error);
                keys.iter()
                    .map(|key| (*key, Err(Arc::clone(&error))))
                    .collect()
            }
        }
    }
}

type AccessLogLoader = Loader<RecordPage, ReadLog, AccessLogBatch>;

/// Reads the access logs of records, of one request. What does it is made once one is asked for.
#[derive(Clone)]
pub(crate) struct AccessLogs(Arc<LazyAccessLogLoader>);

struct LazyAccessLogLoader {
    pool: Pool,
    context: Arc<RequestContext>,
    made: OnceLock<AccessLogLoader>,
}

impl LazyAccessLogLoader {
    fn loader(&self) -> &AccessLogLoader {
        self.made.get_or_init(|| {
            let batch = AccessLogBatch {
                pool: self.pool.clone(),
                context: Arc::clone(&self.context),
            };
            let loader = Loader::new(batch);
            loader
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH)
        })
    }
}

impl AccessLogs {
    /// Nothing is read yet.
    pub(crate) fn new(pool: &Pool, context: &Arc<RequestContext>) -> Self {
        Self(Arc::new(LazyAccessLogLoader {
            pool: pool.clone(),
            context: Arc::clone(context),
            made: OnceLock::new(),
        }))
    }

    /// A page of the log of one of the caller's own records, newest first. Written down before it is shown.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn page(&self, asked: RecordPage) -> Result<Arc<AuditPage>, Error> {
        let loaded = self.0.loader().try_load(asked).await;
        let loaded = loaded.map_err(|_| Error::Unavailable)?;
        loaded.map_err(Arc::unwrap_or_clone)
    }
}
