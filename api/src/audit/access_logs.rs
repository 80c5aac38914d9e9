//! Who saw each record of a page: asked for one by one, read together.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
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
type MakeLoader = Box<dyn FnOnce() -> AccessLogLoader + Send>;

/// Reads the access logs of records, of one request. What does it is made once one is asked for.
#[derive(Clone)]
pub(crate) struct AccessLogs(Arc<LazyLock<AccessLogLoader, MakeLoader>>);

impl AccessLogs {
    /// Nothing is read yet.
    pub(crate) fn new(pool: &Pool, context: &Arc<RequestContext>) -> Self {
        let batch = AccessLogBatch {
            pool: pool.clone(),
            context: Arc::clone(context),
        };
        let make: MakeLoader = Box::new(move || {
            Loader::new(batch)
                .with_yield_count(YIELDS)
                .with_max_batch_size(MAX_BATCH)
        });
        Self(Arc::new(LazyLock::new(make)))
    }

    /// A page of the log of one of the caller's own records, newest first. Written down before it is shown.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::Busy`], [`Error::Unavailable`].
    pub(crate) async fn page(&self, asked: RecordPage) -> Result<Arc<AuditPage>, Error> {
        let loaded = self.0.try_load(asked).await;
        let loaded = loaded.map_err(|_| Error::Unavailable)?;
        loaded.map_err(Arc::unwrap_or_clone)
    }
}
