//! Where the rows of lists are read: from a replica that has replayed what the decisions go by, or from the primary, which decides.
//!
//! All of a batch is read from one of them: where the replica fails, what is still to be read comes from the primary, which
//! is never behind it.

use store::{
    Plans, StoreError, Transaction,
    reads::Reads,
    records::{
        Record,
        search::{Filter, NewestPage, Visible},
    },
};

use super::{
    ListRequest, Page, Related, Search,
    find::{Scope, Searcher, across_patients, of_patients},
    newest::NewestPages,
};
use crate::facts::Facts;

/// The primary's transaction, and the replica's where there is one that can be used.
pub(super) struct Sources<'a> {
    /// What decides, and is written to.
    pub(super) primary: &'a mut Transaction,
    reads: &'a Reads,
    replica: Option<Transaction>,
}

impl<'a> Sources<'a> {
    /// A list of more patients than are locked beforehand is decided by what is locked once its page is known: it is read from
    /// the primary alone.
    pub(super) async fn open(
        reads: &'a Reads,
        primary: &'a mut Transaction,
        scopes: &[Scope],
        facts: &Facts,
        plans: Plans,
    ) -> Self {
        let are_locked = scopes
            .iter()
            .all(|scope| matches!(scope, Scope::Patients { .. }));
        let replica = if are_locked {
            reads.at(facts.written, plans).await
        } else {
            None
        };
        Self {
            primary,
            reads,
            replica,
        }
    }

    /// The newest of single patients.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn newest(
        &mut self,
        wanted: impl Iterator<Item = Option<NewestPage>>,
    ) -> Result<NewestPages, StoreError> {
        let wanted: Vec<Option<NewestPage>> = wanted.collect();
        if wanted.iter().all(Option::is_none) {
            return Ok(NewestPages::default());
        }
        if let Some(replica) = &mut self.replica {
            let reading = NewestPages::find(replica, wanted.iter().cloned());
            if let Some(found) = self.reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        NewestPages::find(self.primary, wanted.into_iter()).await
    }

    /// Each patient's newest by other filters.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn of_patients(
        &mut self,
        search: &Search,
        searcher: Searcher<'_>,
        visible: &[Visible],
        filter: &Filter,
    ) -> Result<(Vec<Record>, i64), StoreError> {
        if let Some(replica) = &mut self.replica {
            let reading = of_patients(replica, search, searcher, visible, filter);
            if let Some(found) = self.reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        of_patients(self.primary, search, searcher, visible, filter).await
    }

    /// What an index finds across patients who are locked.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn across_patients(
        &mut self,
        asked: &ListRequest,
        searcher: Searcher<'_>,
        filter: &Filter,
    ) -> Result<(Vec<Record>, i64), StoreError> {
        if let Some(replica) = &mut self.replica {
            let reading = across_patients(replica, asked, searcher, filter);
            if let Some(found) = self.reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        across_patients(self.primary, asked, searcher, filter).await
    }

    /// What is fetched with the records of these pages.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn related<'p>(
        &mut self,
        pages: impl Iterator<Item = &'p Page<'p>> + Clone,
    ) -> Result<Related, StoreError> {
        if let Some(replica) = &mut self.replica {
            let reading = Related::fetch(replica, pages.clone());
            if let Some(found) = self.reads.read(reading).await {
                return Ok(found);
            }
            self.replica = None;
        }
        Related::fetch(self.primary, pages).await
    }
}
