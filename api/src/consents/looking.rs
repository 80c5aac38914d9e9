//! Pages of what lets a doctor in, looked for among rows of which not all count: an index finds the rows, and what
//! they come to is decided under the patients' locks.

use domain::{
    access::Actor,
    audit::{AuditAction, AuditEntry},
    users::Role,
};
use futures::future::BoxFuture;
use store::{Pool, Tx, audit};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
};

/// How many pages of rows are looked through for one page that is shown.
const MOST_TRIES: usize = 10;

/// A page that was looked for among rows of which not all count.
#[derive(Debug)]
pub(crate) struct LookedFor<T, K> {
    /// What counts.
    pub(crate) found: Vec<T>,
    /// Whether there may be more.
    pub(crate) has_next: bool,
    /// Where the next page begins.
    pub(crate) end: Option<K>,
}

/// What is looked for.
pub(super) trait Looking: Send + Sync + 'static {
    /// What the index gives.
    type Row: Send + Sync + 'static;
    /// What is shown of a row that counts.
    type Shown: Send + 'static;
    /// Where a page goes on.
    type Key: Copy + Send + Sync + 'static;
    /// What is refused to all but doctors.
    const WANTED: AuditAction;

    /// Who looks.
    fn caller(&self) -> &Caller;

    /// What is written down where this actor may not look, and finds nothing.
    fn refusal(&self, actor: Actor) -> Option<AuditEntry>;

    /// The next rows.
    fn rows(
        &self,
        tx: &mut Tx<'_>,
        actor: Actor,
        after: Option<Self::Key>,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Error>> + Send;

    /// Where the page after this row begins.
    fn key(row: &Self::Row) -> Self::Key;

    /// What counts of these rows.
    fn decided(
        &self,
        tx: &mut Tx<'_>,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Vec<Self::Shown>, Error>> + Send;

    /// The row of the trail of what is shown, for its patient; or of a look at nothing.
    fn entry(&self, shown: Option<&Self::Shown>) -> AuditEntry;
}

/// A page of what is looked for.
type PageOf<L> = LookedFor<<L as Looking>::Shown, <L as Looking>::Key>;

/// A page of what counts, each with a row of the trail.
///
/// # Errors
/// [`Error::Forbidden`] for all but doctors; [`Error::Unauthenticated`].
pub(super) fn look_for<L: Looking>(
    pool: &Pool,
    looking: L,
    after: Option<L::Key>,
    size: i64,
) -> BoxFuture<'_, Result<PageOf<L>, Error>> {
    // Boxed, so that the compiler looks no further to see that it can go to another thread.
    Box::pin(page_of(pool, looking, after, size))
}

async fn page_of<L: Looking>(
    pool: &Pool,
    looking: L,
    after: Option<L::Key>,
    size: i64,
) -> Result<PageOf<L>, Error> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let caller = looking.caller();
    let mut page = LookedFor {
        found: Vec::new(),
        has_next: true,
        end: after,
    };
    for nth in 0..MOST_TRIES {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if actor.role != Role::Doctor {
            return Err(refuse_role(tx, caller, actor, Role::Doctor, L::WANTED).await?);
        }
        if let Some(refusal) = looking.refusal(actor) {
            audit::insert(&mut tx, &[refusal]).await?;
            tx.commit().await?;
            page.has_next = false;
            return Ok(page);
        }
        let limit = size - page.found.len();
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut rows = looking.rows(&mut tx, actor, page.end, more).await?;
        page.has_next = rows.len() > limit;
        rows.truncate(limit);
        page.end = rows.last().map(L::key).or(page.end);
        let shown = looking.decided(&mut tx, &rows).await?;
        let entries = shown.iter().map(|shown| looking.entry(Some(shown)));
        let mut entries: Vec<AuditEntry> = entries.collect();
        if entries.is_empty() && nth == 0 {
            entries.push(looking.entry(None));
        }
        audit::insert(&mut tx, &entries).await?;
        tx.commit().await?;
        page.found.extend(shown);
        if page.found.len() == size || !page.has_next {
            break;
        }
    }
    Ok(page)
}
