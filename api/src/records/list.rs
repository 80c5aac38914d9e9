//! Finding records. Nothing is opened; what is shown of each is written down, first.
//!
//! Lists that wait together share a transaction, as single records do at their desk
//! (`docs/decisions/0019-lists-share-a-transaction.md`): who asks, what consents hold, the audit rows, the
//! people and the anchors are one statement each for all of them, and the commit is one.

mod find;
mod trail;

use std::{collections::HashMap, sync::Arc};

use domain::{
    access::Actor,
    audit::AuditEntry,
    consents::Consent,
    ids::{ConsentId, RecordId, UserId},
    purpose::Purpose,
    stored::StoredRecord,
    users::User,
};
use store::{
    Pool, StoreError, Tx,
    anchors::{self, Anchor},
    audit, consents,
    records::{
        self, Record,
        search::{Order, Place},
    },
    users,
};
use tokio::task::JoinSet;
use vault::blind_index::IndexKey;

use self::find::{Seeker, find};
use super::filter::Criteria;
use crate::{
    answer_budget::AnswerBudget,
    app::commit,
    caller::Caller,
    counter::{Counter, Limits, turned_away},
    error::Error,
};

/// What somebody looks for.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Which records.
    pub(crate) criteria: Criteria,
    /// In which order.
    pub(crate) order: Order,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Where the page goes on.
    pub(crate) after: Option<Place>,
    /// How many.
    pub(crate) size: i64,
    /// Whether to count all there are.
    pub(crate) total: bool,
    /// What is fetched besides.
    pub(crate) with: With,
    /// What envelopes are paid for by, before they are fetched.
    pub(crate) budget: AnswerBudget,
}

/// What is fetched with the records of a page.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct With {
    /// Patients and authors.
    pub(crate) people: bool,
    /// Anchors.
    pub(crate) anchors: bool,
    /// Envelopes, to be opened: those whose content the caller may read.
    pub(crate) content: bool,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// One more than asked for where there are more.
    pub(crate) records: Vec<Record>,
    /// How many there are on all pages, if that was asked.
    pub(crate) total: i64,
    /// The purpose they were found for.
    pub(crate) purpose: Purpose,
    /// Who is named by them, if that was asked.
    pub(crate) people: Vec<Arc<User>>,
    /// Where their anchors stand, if that was asked.
    pub(crate) anchors: Vec<Anchor>,
    /// What may be opened, if that was asked: disclosed, and written down as such.
    pub(crate) sealed: Vec<Arc<StoredRecord>>,
}

/// One list that somebody asks for.
#[derive(Debug)]
struct Asked {
    caller: Caller,
    search: Search,
}

/// A record of a page, and why it may be shown.
#[derive(Debug)]
struct Shown {
    record: Record,
    ground: Option<ConsentId>,
    /// Whether its content is disclosed with it.
    opens: bool,
}

/// A page that was found, and whose it is.
struct Page<'a> {
    asked: &'a Asked,
    purpose: Purpose,
    shown: Vec<Shown>,
    total: i64,
}

impl Page<'_> {
    /// Without the one that only says that there are more.
    fn on_it(&self) -> &[Shown] {
        let size = usize::try_from(self.asked.search.size).unwrap_or(usize::MAX);
        &self.shown[..self.shown.len().min(size)]
    }

    fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.on_it().iter().map(|shown| shown.record.id)
    }

    fn opened(&self) -> impl Iterator<Item = RecordId> {
        let opened = self.on_it().iter().filter(|shown| shown.opens);
        opened.map(|shown| shown.record.id)
    }

    /// How much has to be fetched to open what is opened.
    fn sealed_bytes(&self) -> usize {
        let opened = self.on_it().iter().filter(|shown| shown.opens);
        opened.map(|shown| shown.record.sealed_bytes).sum()
    }

    fn people(&self) -> impl Iterator<Item = UserId> {
        let people = |shown: &Shown| [Some(shown.record.patient), shown.record.author];
        self.on_it().iter().flat_map(people).flatten()
    }

    fn wants(&self) -> With {
        self.asked.search.with
    }
}

/// Where lists are asked for.
#[derive(Debug)]
pub(crate) struct Lists {
    counter: Counter<Asked, Found>,
    archive: Archive,
}

/// Where they are found.
#[derive(Debug, Clone)]
struct Archive {
    pool: Pool,
    index_key: Arc<IndexKey>,
}

impl Lists {
    /// Opens the counter at which lists are asked for. It closes when the last handle is dropped.
    pub(crate) fn open(pool: Pool, index_key: Arc<IndexKey>, tasks: &mut JoinSet<()>) -> Self {
        let archive = Archive { pool, index_key };
        let limits = Limits {
            group: 16,
            groups_at_once: 4,
            queue: 1024,
        };
        let clerk = archive.clone();
        let serve = move |group: Vec<Asked>| {
            let clerk = clerk.clone();
            async move { clerk.serve(&group).await }
        };
        Self {
            counter: Counter::open(limits, tasks, serve),
            archive,
        }
    }

    /// The records this caller may see, and the purpose they were found for.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::BadInput`] where a code is looked for among too many
    /// patients; [`Error::Busy`]. A patient whose records are hidden has an empty list.
    pub(crate) async fn ask(&self, caller: Caller, search: Search) -> Result<Found, Error> {
        let asked = Asked { caller, search };
        if asked.search.is_brief() {
            return self.counter.ask(asked).await;
        }
        let answer = self.archive.serve(std::slice::from_ref(&asked)).await.pop();
        answer.unwrap_or(Err(Error::Internal))
    }
}

impl Search {
    /// Whether it takes so little that others need not wait longer for it: one patient's, by their own
    /// index. What is looked for across patients, or counted, takes a transaction of its own.
    fn is_brief(&self) -> bool {
        self.criteria.patient.is_some() && self.criteria.code.is_none() && !self.total
    }
}

impl Archive {
    /// Finds a group of lists; where the database refuses it as a whole, each by itself, so that one
    /// that cannot be found does not take the others with it.
    async fn serve(&self, group: &[Asked]) -> Vec<Result<Found, Error>> {
        match self.find_all(group).await {
            Ok(found) => found,
            Err(StoreError::Refused(_)) if group.len() > 1 => {
                let mut answers = Vec::with_capacity(group.len());
                for asked in group {
                    let alone = self.find_all(std::slice::from_ref(asked)).await;
                    answers.extend(alone.unwrap_or_else(|error| vec![Err(error.into())]));
                }
                answers
            }
            Err(error) if group.len() == 1 => vec![Err(error.into())],
            Err(error) => turned_away(group.len(), error),
        }
    }

    async fn find_all(&self, group: &[Asked]) -> Result<Vec<Result<Found, Error>>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let callers = group.iter().map(|asked| &asked.caller);
        let sessions: Vec<_> = callers
            .map(|caller| (caller.user, caller.session))
            .collect();
        let (now, actors) = users::present(&mut tx, &sessions).await?;
        let consents = consents_for(&mut tx, group).await?;
        let mut pages = Vec::with_capacity(group.len());
        let mut entries: Vec<AuditEntry> = Vec::new();
        for asked in group {
            let actor = actors.get(&asked.caller.session).copied();
            let actor = match asked.caller.admit(actor) {
                Ok(actor) => actor,
                Err(error) => {
                    pages.push(Err(error));
                    continue;
                }
            };
            let purpose = purpose_of(asked, actor);
            let seeker = Seeker {
                actor,
                purpose,
                now,
            };
            let mut page = Page {
                asked,
                purpose,
                shown: Vec::new(),
                total: 0,
            };
            if !seeker.may_ask() {
                entries.push(trail::of_refusal(asked, purpose));
                pages.push(Ok(page));
                continue;
            }
            let found = find(&mut tx, &self.index_key, &asked.search, seeker, &consents).await?;
            pages.push(found.and_then(|(shown, total)| {
                (page.shown, page.total) = (shown, total);
                // Nothing is fetched, opened or shown of a page that there is no room for.
                asked.search.budget.charge(page.sealed_bytes())?;
                entries.extend(trail::of_page(asked, purpose, page.on_it(), total));
                Ok(page)
            }));
        }
        let besides = Besides::fetch(&mut tx, pages.iter().flatten()).await?;
        audit::insert(&mut tx, &entries).await?;
        commit(tx).await?;
        let pages = pages.into_iter();
        Ok(pages.map(|page| Ok(besides.join(page?))).collect())
    }
}

/// Every consent that holds now of the patients who are named.
async fn consents_for(tx: &mut Tx<'_>, group: &[Asked]) -> Result<Vec<Consent>, StoreError> {
    let named = group
        .iter()
        .filter_map(|asked| asked.search.criteria.patient);
    let patients = distinct(named);
    if patients.is_empty() {
        return Ok(Vec::new());
    }
    consents::in_force(tx, &patients).await
}

fn purpose_of(Asked { caller, search }: &Asked, actor: Actor) -> Purpose {
    let said = search.purpose.or(caller.purpose);
    said.unwrap_or_else(|| actor.default_purpose(search.criteria.patient))
}

/// What was fetched for all pages of a group, one statement each.
#[derive(Default)]
struct Besides {
    people: HashMap<UserId, Arc<User>>,
    anchors: HashMap<RecordId, Anchor>,
    sealed: HashMap<RecordId, Arc<StoredRecord>>,
}

impl Besides {
    async fn fetch<'a>(
        tx: &mut Tx<'_>,
        pages: impl Iterator<Item = &'a Page<'a>> + Clone,
    ) -> Result<Self, StoreError> {
        let of = |wanted: fn(With) -> bool| pages.clone().filter(move |page| wanted(page.wants()));
        let mut besides = Self::default();
        let people = distinct(of(|with| with.people).flat_map(Page::people));
        if !people.is_empty() {
            let found = users::by_ids(tx, &people).await?.into_iter();
            besides.people = found.map(|user| (user.id, Arc::new(user))).collect();
        }
        let ids = distinct(of(|with| with.anchors).flat_map(Page::ids));
        if !ids.is_empty() {
            let found = anchors::by_records(tx, &ids).await?.into_iter();
            besides.anchors = found.map(|anchor| (anchor.record, anchor)).collect();
        }
        let ids = distinct(of(|with| with.content).flat_map(Page::opened));
        if !ids.is_empty() {
            let found = records::sealed(tx, &ids).await?.into_iter();
            besides.sealed = found.map(|row| (row.id, Arc::new(row))).collect();
        }
        Ok(besides)
    }

    fn join(&self, page: Page<'_>) -> Found {
        let with = page.wants();
        let (mut people, mut anchors) = (Vec::new(), Vec::new());
        if with.people {
            let named = distinct(page.people()).into_iter();
            people.extend(named.filter_map(|id| self.people.get(&id).cloned()));
        }
        if with.anchors {
            anchors.extend(page.ids().filter_map(|id| self.anchors.get(&id).cloned()));
        }
        let sealed = page.opened().filter_map(|id| self.sealed.get(&id).cloned());
        Found {
            people,
            anchors,
            sealed: sealed.collect(),
            total: page.total,
            purpose: page.purpose,
            records: page.shown.into_iter().map(|shown| shown.record).collect(),
        }
    }
}

fn distinct<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
