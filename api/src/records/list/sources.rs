//! Where the rows of lists are read: in a replica that has replayed what the decisions go by, or in the primary, which decides.
//!
//! Where the replica fails, what is still to be read of a batch comes from the primary, which is never behind it.

use std::time::{Duration, Instant};

use store::{
    Plans, StoreError, Transaction, Tx,
    reads::{LogPosition, Reads},
    records::{
        Record,
        search::{self, Everybody, Filter, NewestPage, Order, PageKey, Visible, WithRecords},
    },
};

use super::newest::NewestPages;

/// How long a batch reads from the replica: the primary's locks are held meanwhile, and its transaction does nothing.
const READS_FOR: Duration = Duration::from_secs(3);

/// Which page is looked for, and whether all there are is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paging {
    pub(super) order: Order,
    pub(super) after: Option<PageKey>,
    pub(super) limit: i64,
    pub(super) total: bool,
}

/// The primary's transaction, and the replica's where there is one that can be used.
pub(super) struct Sources<'a> {
    /// What decides, and is written to.
    pub(super) primary: &'a mut Transaction,
    reads: &'a Reads,
    plans: Plans,
    /// What the replica has to have replayed; `None` once it was asked, and where it is not to be.
    written: Option<LogPosition>,
    replica: Option<Transaction>,
    /// Until when it is read from, once it was asked.
    until: Option<Instant>,
}

impl<'a> Sources<'a> {
    /// `written` is how far the primary's log was under the locks of everybody whose records are looked through; `None` where some
    /// of them are locked later: then the primary alone is read. The replica is asked when something is read first.
    pub(super) const fn new(
        reads: &'a Reads,
        primary: &'a mut Transaction,
        written: Option<LogPosition>,
        plans: Plans,
    ) -> Self {
        Self {
            primary,
            reads,
            plans,
            written,
            replica: None,
            until: None,
        }
    }

    /// The replica's transaction, while there is time for it.
    async fn replica(&mut self) -> Option<&mut Transaction> {
        if let Some(written) = self.written.take() {
            self.until = Some(Instant::now() + READS_FOR);
            self.replica = self.reads.at(Some(written), self.plans).await;
        }
        if self.until.is_some_and(|until| until < Instant::now()) {
            self.replica = None;
        }
        self.replica.as_mut()
    }

    /// What is left to read from, where nothing else will be read: the primary, and the replica while there is time for it.
    pub(super) async fn last(mut self) -> (&'a mut Transaction, &'a Reads, Option<Transaction>) {
        self.replica().await;
        (self.primary, self.reads, self.replica)
    }

    /// The newest of single patients, with what comes with them.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn newest(
        &mut self,
        wanted: Vec<Option<NewestPage>>,
        with: WithRecords,
    ) -> Result<NewestPages, StoreError> {
        if wanted.iter().all(Option::is_none) {
            return Ok(NewestPages::default());
        }
        let reads = self.reads;
        if let Some(replica) = self.replica().await {
            let reading = NewestPages::find(replica, wanted.iter().cloned(), with);
            if let Some(found) = reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        NewestPages::find(self.primary, wanted.into_iter(), with).await
    }

    /// Each patient's newest by other filters.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn of_patients(
        &mut self,
        visible: &[Visible],
        own: bool,
        filter: &Filter,
        paging: Paging,
    ) -> Result<(Vec<Record>, i64), StoreError> {
        let reads = self.reads;
        if let Some(replica) = self.replica().await {
            let reading = of_patients(replica, visible, own, filter, paging);
            if let Some(found) = reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        of_patients(self.primary, visible, own, filter, paging).await
    }

    /// What an index finds across patients who are locked.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn across_patients(
        &mut self,
        everybody: &Everybody,
        filter: &Filter,
        paging: Paging,
    ) -> Result<(Vec<Record>, i64), StoreError> {
        let reads = self.reads;
        if let Some(replica) = self.replica().await {
            let reading = across_patients(replica, everybody, filter, paging);
            if let Some(found) = reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        across_patients(self.primary, everybody, filter, paging).await
    }
}

/// Each patient's newest, and how many there are.
///
/// # Errors
/// The database's.
pub(super) async fn of_patients(
    tx: &mut Tx<'_>,
    visible: &[Visible],
    own: bool,
    filter: &Filter,
    paging: Paging,
) -> Result<(Vec<Record>, i64), StoreError> {
    let Paging {
        order,
        after,
        limit,
        total,
    } = paging;
    let total = if total {
        search::count_of(tx, visible, own, filter).await?
    } else {
        0
    };
    let page = search::page_of(tx, visible, own, filter, order, after, limit).await?;
    Ok((page, total))
}

/// What an index finds across patients, and how many there are.
///
/// # Errors
/// The database's.
pub(super) async fn across_patients(
    tx: &mut Tx<'_>,
    everybody: &Everybody,
    filter: &Filter,
    paging: Paging,
) -> Result<(Vec<Record>, i64), StoreError> {
    let Paging {
        order,
        after,
        limit,
        total,
    } = paging;
    let total = if total {
        search::count_of_everybody(tx, everybody, filter).await?
    } else {
        0
    };
    let page = search::page_of_everybody(tx, everybody, filter, order, after, limit).await?;
    Ok((page, total))
}
