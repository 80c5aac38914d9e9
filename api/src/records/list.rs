//! Finding records. Nothing is opened; what is shown of each is written down, first.
//!
//! Lists that wait together share a transaction, as single records do by the record disclosure
//! (`docs/decisions/0019-lists-share-a-transaction.md`): who asks, what consents hold, the newest records with their
//! people and anchors, and the audit rows are one statement each for all of them, and the commit is one.

mod find;
mod newest;
mod sources;
mod trail;

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    access::{Actor, Decision, DenyReason},
    audit::AuditEntry,
    countries::Country,
    ids::{ConsentId, RecordId, UserId},
    purpose::Purpose,
    representatives::RepresentedActivity,
    stored::StoredRecord,
    users::User,
};
use store::{
    Plans, Pool, StoreError, Transaction, Tx,
    anchors::{self, Anchor},
    audit,
    reads::Reads,
    records::{
        self, Record,
        search::{Order, PageKey, WithRecords},
    },
    users,
};
use tokio::task::JoinSet;
use vault::blind_index::IndexKey;

use self::{
    find::{Scope, SearchMeans, Searcher, find, newest_page},
    sources::{Paging, Sources},
};
use super::filter::Criteria;
use crate::{
    answer_budget::{AnswerBudget, Reservation},
    batcher::{Batch, BatchAnswers, BatchLimits, Batcher},
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
};

/// How lists of one patient are found: in no more batches at once than there are processors, so that the fewer there are,
/// the more lists share one.
fn brief() -> BatchLimits {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    BatchLimits {
        name: "lists",
        size: 16,
        at_once: processors.clamp(2, 4),
        queue: 1024,
        gather: Duration::ZERO,
    }
}
/// How those are found that take longer, each in a transaction of its own: half of the pool is left to
/// everybody else.
const ALONE: BatchLimits = BatchLimits {
    name: "long-lists",
    size: 1,
    at_once: 12,
    queue: 256,
    gather: Duration::ZERO,
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
    pub(crate) after: Option<PageKey>,
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

impl With {
    /// What any of these wants with the newest records, all of which are found at once.
    fn newest(batch: &[Arc<ListRequest>]) -> WithRecords {
        let any = |wants: fn(Self) -> bool| batch.iter().any(|asked| wants(asked.search.with));
        WithRecords {
            people: any(|with| with.people),
            anchors: any(|with| with.anchors),
        }
    }
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
struct ListRequest {
    caller: Caller,
    search: Search,
}

/// A record of a page, and why it may be shown.
#[derive(Debug)]
struct ListedRecord {
    record: Record,
    /// By which consent it is found; `None` where it is the caller's own.
    consent: Option<ConsentId>,
    /// By what its content is disclosed with it, where it is.
    opened: Option<Decision>,
    /// The country that it is shown in, and the one that its content is, where the caller is let in as a member of an
    /// organisation there.
    countries: [Option<Country>; 2],
}

/// A page that was found, and whose it is.
struct Page<'a> {
    asked: &'a ListRequest,
    purpose: Purpose,
    shown: Vec<ListedRecord>,
    total: i64,
    /// What its envelopes take of the answer's budget; given back where the batch is not committed.
    paid: Option<Reservation>,
}

impl Page<'_> {
    /// Without the one that only says that there are more.
    fn on_it(&self) -> &[ListedRecord] {
        let size = usize::try_from(self.asked.search.size).unwrap_or(usize::MAX);
        &self.shown[..self.shown.len().min(size)]
    }

    fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.on_it().iter().map(|shown| shown.record.id)
    }

    fn opened(&self) -> impl Iterator<Item = RecordId> {
        let opened = self.on_it().iter().filter(|shown| shown.opened.is_some());
        opened.map(|shown| shown.record.id)
    }

    /// How much has to be fetched to open what is opened.
    fn sealed_bytes(&self) -> usize {
        let opened = self.on_it().iter().filter(|shown| shown.opened.is_some());
        opened.map(|shown| shown.record.sealed_bytes).sum()
    }

    fn people(&self) -> impl Iterator<Item = UserId> {
        let people = |shown: &ListedRecord| [Some(shown.record.patient), shown.record.author];
        self.on_it().iter().flat_map(people).flatten()
    }

    fn wants(&self) -> With {
        self.asked.search.with
    }
}

/// Where lists are asked for.
#[derive(Debug)]
pub(crate) struct RecordLists {
    brief: Batcher<ListRequest, Found>,
    alone: Batcher<ListRequest, Found>,
}

/// Where they are found.
#[derive(Debug, Clone)]
struct RecordReader {
    pool: Pool,
    reads: Reads,
    index_key: Arc<IndexKey>,
}

impl RecordLists {
    /// Begins to find lists. It ends when the last handle is dropped.
    pub(crate) fn start(
        pool: &Pool,
        reads: &Reads,
        index_key: &Arc<IndexKey>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let reader = RecordReader {
            pool: pool.clone(),
            reads: reads.clone(),
            index_key: Arc::clone(index_key),
        };
        let mut start = |limits| {
            let reader = reader.clone();
            let serve = move |batch: Batch<ListRequest>| {
                let reader = reader.clone();
                async move { reader.find_all(&batch).await }
            };
            Batcher::start(limits, tasks, serve)
        };
        Self {
            brief: start(brief()),
            alone: start(ALONE),
        }
    }

    /// The records this caller may see, and the purpose they were found for.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::BadInput`] where a code is looked for among too many
    /// patients; [`Error::Busy`]. A patient whose records are hidden has an empty list.
    pub(crate) async fn ask(&self, caller: Caller, search: Search) -> Result<Found, Error> {
        let asked = ListRequest { caller, search };
        let batcher = if asked.search.is_brief() {
            &self.brief
        } else {
            &self.alone
        };
        batcher.ask(asked).await
    }
}

impl Search {
    /// Whether it takes so little that others need not wait longer for it: one patient's, by their own
    /// index. What is looked for across patients, or counted, takes a transaction of its own.
    fn is_brief(&self) -> bool {
        self.criteria.patient.is_some() && self.criteria.code.is_none() && !self.total
    }

    /// Which page it looks for: one more than is shown.
    fn paging(&self) -> Paging {
        Paging {
            order: self.order,
            after: self.after,
            limit: self.size + 1,
            total: self.total,
        }
    }

    /// Whose newest it looks for, if it looks for nothing else: the index that finds these is the same whatever the values are.
    fn newest_of(&self) -> Option<UserId> {
        let newest_of = self.criteria.newest_of(self.order);
        newest_of.filter(|_| !self.total)
    }
}

impl RecordReader {
    /// Begins the transaction of a batch, under the locks of whose records it looks through.
    async fn begin(
        &self,
        batch: &[Arc<ListRequest>],
        (wait, plans): (Duration, Plans),
    ) -> Result<(Transaction, Vec<Scope>, Facts), StoreError> {
        let named = batch.iter().map(|asked| asked.search.criteria.patient);
        if let Some(patients) = named.collect::<Option<Vec<UserId>>>() {
            let callers = batch.iter().map(|asked| &asked.caller);
            let all = patients.iter().copied();
            let (tx, facts) = Facts::begin(&self.pool, (wait, plans), callers, all).await?;
            let scopes = patients.into_iter().map(Scope::of_patient);
            return Ok((tx, scopes.collect(), facts));
        }
        let mut tx = self.pool.begin_with_lock_wait(wait, plans).await?;
        let mut scopes = Vec::with_capacity(batch.len());
        for asked in batch {
            scopes.push(Scope::of(&mut tx, asked).await?);
        }
        let callers = batch.iter().map(|asked| &asked.caller);
        let patients = scopes.iter().flat_map(Scope::patients).copied();
        let facts = Facts::gather(&mut tx, callers, patients).await?;
        Ok((tx, scopes, facts))
    }

    /// Finds a batch of lists in one transaction.
    async fn find_all(&self, batch: &Batch<ListRequest>) -> BatchAnswers<Found> {
        let is_of_newest = |asked: &Arc<ListRequest>| asked.search.newest_of().is_some();
        let plans = if batch.requests.iter().all(is_of_newest) {
            Plans::Kept
        } else {
            Plans::AsUsual
        };
        let wait = batch.lock_wait;
        let batch = batch.requests.as_slice();
        let (mut tx, scopes, facts) = self.begin(batch, (wait, plans)).await?;
        let purposes = batch
            .iter()
            .map(|asked| (&asked.caller, asked.said_purpose()));
        let facts = facts.with_emergencies(&mut tx, purposes).await?;
        let mut pages = Vec::with_capacity(batch.len());
        let mut entries: Vec<AuditEntry> = Vec::new();
        // Whoever is locked later, once a page is known, is decided about by what is newer.
        let are_locked = scopes.iter().all(Scope::is_of_patients);
        let written = facts.written.filter(|_| are_locked);
        let mut sources = Sources::new(&self.reads, &mut tx, written, plans);
        let newest = batch.iter().map(|asked| newest_page(asked, &facts));
        let mut newest = sources
            .newest(newest.collect(), With::newest(batch))
            .await?;
        for (nth, (asked, scope)) in batch.iter().zip(&scopes).enumerate() {
            let searcher = match Searcher::of(asked, &facts) {
                Ok(searcher) => searcher,
                Err(error) => {
                    pages.push(Err(error));
                    continue;
                }
            };
            let purpose = searcher.purpose;
            let mut page = Page {
                asked,
                purpose,
                shown: Vec::new(),
                total: 0,
                paid: None,
            };
            if let Err(reason) = searcher.may_ask(&asked.search.criteria) {
                entries.push(trail::of_refusal(asked, purpose, reason));
                // Who is not the caller's to act for does not exist for them.
                let is_foreign = reason == DenyReason::NotRepresentative;
                pages.push(if is_foreign {
                    Err(Error::NotFound("patient"))
                } else {
                    Ok(page)
                });
                continue;
            }
            let means = SearchMeans {
                index_key: &self.index_key,
                scope,
                facts: &facts,
            };
            let by = searcher.actor.represents(RepresentedActivity::ReadRecords);
            let patient = asked.search.criteria.patient;
            let found_newest = patient.and_then(|patient| newest.take(nth, patient));
            let found = find(&mut sources, asked, searcher, means, found_newest).await?;
            pages.push(found.and_then(|(shown, total)| {
                (page.shown, page.total) = (shown, total);
                // Nothing is fetched, opened or shown of a page that there is no room for.
                page.paid = Some(asked.search.budget.reserve(page.sealed_bytes())?);
                entries.extend(trail::of_page(asked, (purpose, by), page.on_it(), total));
                Ok(page)
            }));
        }
        let related = Related::of(newest.related());
        let wanted = RelatedIds::of(&pages.iter().flatten(), &related);
        let related = related.read(sources, &wanted).await?;
        audit::insert(&mut tx, &entries).await?;
        tx.commit().await?;
        let pages = pages.into_iter();
        Ok(pages.map(|page| Ok(related.join(page?))).collect())
    }
}

impl ListRequest {
    /// Why, where the caller says so.
    fn said_purpose(&self) -> Option<Purpose> {
        self.search.purpose.or(self.caller.purpose)
    }
}

fn purpose_of(asked: &ListRequest, actor: Actor) -> Purpose {
    let said = asked.said_purpose();
    said.unwrap_or_else(|| actor.default_purpose(asked.search.criteria.patient))
}

/// What is to be fetched for all pages of a group, besides what came with them.
struct RelatedIds {
    people: Vec<UserId>,
    anchors: Vec<RecordId>,
    opened: Vec<RecordId>,
}

impl RelatedIds {
    fn of<'a>(pages: &(impl Iterator<Item = &'a Page<'a>> + Clone), known: &Related) -> Self {
        let of = |wanted: fn(With) -> bool| pages.clone().filter(move |page| wanted(page.wants()));
        let people = of(|with| with.people).flat_map(Page::people);
        let anchors = of(|with| with.anchors).flat_map(Page::ids);
        Self {
            people: distinct(people.filter(|id| !known.people.contains_key(id))),
            anchors: distinct(anchors.filter(|id| !known.anchors.contains_key(id))),
            opened: distinct(of(|with| with.content).flat_map(Page::opened)),
        }
    }

    const fn are_none(&self) -> bool {
        self.people.is_empty() && self.anchors.is_empty() && self.opened.is_empty()
    }
}

/// What is shown with the records of all pages of a group: what came with the newest, and of the others what was fetched, one
/// statement each.
struct Related {
    people: HashMap<UserId, Arc<User>>,
    anchors: HashMap<RecordId, Anchor>,
    sealed: HashMap<RecordId, Arc<StoredRecord>>,
}

impl Related {
    fn of((people, anchors): (Vec<User>, Vec<Anchor>)) -> Self {
        let people = people.into_iter();
        let anchors = anchors.into_iter();
        Self {
            people: people.map(|user| (user.id, Arc::new(user))).collect(),
            anchors: anchors.map(|anchor| (anchor.record, anchor)).collect(),
            sealed: HashMap::new(),
        }
    }

    /// With what else is wanted.
    async fn read(mut self, sources: Sources<'_>, wanted: &RelatedIds) -> Result<Self, StoreError> {
        if wanted.are_none() {
            return Ok(self);
        }
        let (primary, reads, replica) = sources.last().await;
        let found = match replica {
            Some(mut replica) => reads.read(Self::fetch(&mut replica, wanted)).await,
            None => None,
        };
        let found = match found {
            Some(found) => found,
            None => Self::fetch(primary, wanted).await?,
        };
        self.people.extend(found.people);
        self.anchors.extend(found.anchors);
        self.sealed = found.sealed;
        Ok(self)
    }

    async fn fetch(tx: &mut Tx<'_>, wanted: &RelatedIds) -> Result<Self, StoreError> {
        let mut people = Vec::new();
        if !wanted.people.is_empty() {
            people = users::by_ids(tx, &wanted.people).await?;
        }
        let mut anchors = Vec::new();
        if !wanted.anchors.is_empty() {
            anchors = anchors::by_records(tx, &wanted.anchors).await?;
        }
        let mut related = Self::of((people, anchors));
        if !wanted.opened.is_empty() {
            let found = records::sealed(tx, &wanted.opened).await?.into_iter();
            related.sealed = found.map(|row| (row.id, Arc::new(row))).collect();
        }
        Ok(related)
    }

    fn join(&self, mut page: Page<'_>) -> Found {
        page.paid.take().into_iter().for_each(Reservation::keep);
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
