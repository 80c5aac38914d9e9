//! The newest records of single patients: what most lists look for, found for all of a batch by one statement.

use std::{collections::HashMap, sync::Arc};

use domain::ids::UserId;
use store::{
    StoreError, Tx,
    records::{
        Record,
        search::{self, NewestPage},
    },
};

use super::{ListRequest, find::Searcher};
use crate::facts::Facts;

/// The newest of single patients, found for several lists by one statement: their rows, by whose they are.
#[derive(Debug, Default)]
pub(super) struct NewestPages {
    found: HashMap<UserId, Vec<Record>>,
    /// By whose, the place in the batch of the list that they were found for.
    found_for: HashMap<UserId, usize>,
}

impl NewestPages {
    /// Finds what lists look for that is the newest of one patient, with no filter but types. Where several look for the
    /// same patient's, the first one's: the others have a statement each.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn find(
        tx: &mut Tx<'_>,
        batch: &[Arc<ListRequest>],
        facts: &Facts,
    ) -> Result<Self, StoreError> {
        let mut pages = Vec::new();
        let mut found_for = HashMap::new();
        for (nth, asked) in batch.iter().enumerate() {
            let Some(patient) = asked.search.newest_of() else {
                continue;
            };
            let searcher = Searcher::of(asked, facts).ok();
            let Some(searcher) = searcher.filter(Searcher::may_ask) else {
                continue;
            };
            let mut visible = searcher.visible(&[patient], &asked.search.criteria, facts);
            let Some(visible) = visible.pop() else {
                continue;
            };
            if found_for.contains_key(&patient) {
                continue;
            }
            found_for.insert(patient, nth);
            pages.push(NewestPage {
                visible,
                restricted: searcher.is_own(),
                after: asked.search.after,
                limit: asked.search.size + 1,
            });
        }
        let found = if pages.is_empty() {
            HashMap::new()
        } else {
            search::newest_of(tx, &pages).await?
        };
        Ok(Self { found, found_for })
    }

    /// The rows that were found for this list of the batch; `None` where it was not looked for.
    pub(super) fn take(&mut self, nth: usize, asked: &ListRequest) -> Option<Vec<Record>> {
        let patient = asked.search.criteria.patient?;
        let is_its = self.found_for.get(&patient) == Some(&nth);
        is_its.then(|| self.found.remove(&patient).unwrap_or_default())
    }
}
