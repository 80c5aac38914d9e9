//! The newest records of single patients: what most lists look for, found for all of a batch by one statement, with the people and
//! anchors that are shown with them.

use std::collections::HashMap;

use domain::{ids::UserId, users::User};
use store::{
    StoreError, Tx,
    anchors::Anchor,
    records::{
        Record,
        search::{self, NewestPage, NewestRecords, WithRecords},
    },
};

/// The rows that were found, by whose they are.
#[derive(Debug, Default)]
pub(super) struct NewestPages {
    found: NewestRecords,
    /// By whose, the place in the batch of the list that they were found for.
    found_for: HashMap<UserId, usize>,
}

impl NewestPages {
    /// Finds the pages that lists of a batch look for, `None` of those that look for anything else. Where several look for the
    /// same patient's, the first one's: the others have a statement each.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn find(
        tx: &mut Tx<'_>,
        wanted: impl Iterator<Item = Option<NewestPage>>,
        with: WithRecords,
    ) -> Result<Self, StoreError> {
        let mut pages = Vec::new();
        let mut found_for = HashMap::new();
        for (nth, page) in wanted.enumerate() {
            let Some(page) = page else {
                continue;
            };
            let first = *found_for.entry(page.visible.patient).or_insert(nth);
            if first == nth {
                pages.push(page);
            }
        }
        let found = if pages.is_empty() {
            NewestRecords::default()
        } else {
            search::newest_of(tx, &pages, with).await?
        };
        Ok(Self { found, found_for })
    }

    /// The rows that were found for the list at this place of the batch, of this patient; `None` where it was not looked for.
    pub(super) fn take(&mut self, nth: usize, patient: UserId) -> Option<Vec<Record>> {
        let is_its = self.found_for.get(&patient) == Some(&nth);
        is_its.then(|| self.found.pages.remove(&patient).unwrap_or_default())
    }

    /// Who is named by them, and where their anchors stand, as far as that was asked.
    pub(super) fn related(self) -> (Vec<User>, Vec<Anchor>) {
        (self.found.people, self.found.anchors)
    }
}
