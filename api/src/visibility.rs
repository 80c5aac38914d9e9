//! Which events a subscriber may see: decided for many events, and for many subscribers, together.
//!
//! Nothing is kept from one decision to the next: a consent withdrawn or a session ended binds whatever is
//! decided after it. A decision says which role it was made by: it is of use to whoever asked as that role alone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use domain::{
    access::{AccessRequest, Action, Actor, decide},
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::Availability,
    users::Role,
};
use store::{Plans, Pool, StoreError, deletion, feed::FeedRow};
use tokio::task::JoinSet;

use crate::{
    batcher::{Batch, BatchAnswers, BatchLimits, Batcher},
    caller::Caller,
    error::Error,
    facts::Facts,
};

/// How subscribers are decided for together: all that wait for one event are.
const LIMITS: BatchLimits = BatchLimits {
    name: "visibility",
    size: 256,
    at_once: 1,
    queue: 4096,
    gather: Duration::from_millis(2),
};
/// How many events of doctors are decided on in one transaction: it locks their patients, and PostgreSQL has
/// room for some thousand locks.
const MOST_EVENTS: usize = 1024;

/// What a subscriber would be told next.
#[derive(Debug)]
pub(crate) struct VisibilityRequest {
    /// Who follows.
    pub(crate) caller: Caller,
    /// Their role as they were last told it.
    pub(crate) role: Role,
    /// The events, in their order.
    pub(crate) events: Vec<Arc<FeedRow>>,
}

/// What of it they may be told.
#[derive(Debug)]
pub(crate) struct VisibleEvents {
    /// The role that was decided by.
    pub(crate) role: Role,
    /// The events that may be seen, in their order.
    pub(crate) visible: Vec<Arc<FeedRow>>,
}

/// Where subscribers ask.
#[derive(Debug, Clone)]
pub(crate) struct EventVisibility(Batcher<VisibilityRequest, VisibleEvents>);

impl EventVisibility {
    /// Starts to decide. It ends when the last handle is dropped.
    pub(crate) fn start(pool: Pool, tasks: &mut JoinSet<()>) -> Self {
        let serve = move |batch: Batch<VisibilityRequest>| {
            let pool = pool.clone();
            async move { serve(&pool, &batch).await }
        };
        Self(Batcher::start(LIMITS, tasks, serve))
    }

    /// Decides what of these events may be told.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the session is over; [`Error::Unavailable`].
    pub(crate) async fn ask(&self, inquiry: VisibilityRequest) -> Result<VisibleEvents, Error> {
        self.0.ask_in_turn(inquiry).await
    }
}

/// Whether an event can concern an account of this role at all: what does not is not told.
pub(crate) fn concerns(row: &FeedRow, user: UserId, role: Role) -> bool {
    match role {
        Role::Admin => true,
        Role::Patient => row.entry.patient == Some(user),
        Role::Doctor => row.entry.patient.is_some(),
    }
}

async fn serve(pool: &Pool, batch: &Batch<VisibilityRequest>) -> BatchAnswers<VisibleEvents> {
    let mut decided = Vec::with_capacity(batch.requests.len());
    let mut left = batch.requests.as_slice();
    while !left.is_empty() {
        let (now, later) = left.split_at(how_many_fit(left));
        decided.extend(decide_all(pool, now, batch.lock_wait).await?);
        left = later;
    }
    Ok(decided)
}

/// One, or as many as have no more than [`MOST_EVENTS`] together.
fn how_many_fit(batch: &[Arc<VisibilityRequest>]) -> usize {
    let mut events = 0;
    let fit = batch.iter().take_while(|inquiry| {
        events += inquiry.patients().count();
        events <= MOST_EVENTS
    });
    fit.count().max(1)
}

impl VisibilityRequest {
    /// The patients whose consents decide: doctors alone are let in by them.
    fn patients(&self) -> impl Iterator<Item = UserId> {
        let events = self.events.iter().filter(|_| self.role == Role::Doctor);
        events.filter_map(|row| row.entry.patient)
    }

    /// The records that doctors may be told of.
    fn records(&self) -> impl Iterator<Item = RecordId> {
        let events = self.events.iter().filter(|_| self.role == Role::Doctor);
        events.filter_map(|row| row.entry.record)
    }
}

/// One transaction for all of them: who they are, and the consents of the patients that doctors ask about.
async fn decide_all(
    pool: &Pool,
    batch: &[Arc<VisibilityRequest>],
    lock_wait: Duration,
) -> Result<Vec<Result<VisibleEvents, Error>>, StoreError> {
    let callers = batch.iter().map(|inquiry| &inquiry.caller);
    let patients = batch.iter().flat_map(|inquiry| inquiry.patients());
    let begun = Facts::begin(pool, (lock_wait, Plans::Kept), callers, patients);
    let (mut tx, facts) = begun.await?;
    let records: HashSet<RecordId> = batch.iter().flat_map(|it| it.records()).collect();
    let records: Vec<RecordId> = records.into_iter().collect();
    let withheld = deletion::withheld(&mut tx, &records).await?;
    let withheld: HashSet<RecordId> = withheld.into_iter().collect();
    // Whoever withdraws waits no longer: an entry says that something happened, not what.
    tx.commit().await?;
    let decided = batch.iter().map(|inquiry| {
        let actor = facts.actor(&inquiry.caller)?;
        let visible = inquiry.events.iter();
        let visible = visible.filter(|row| may_see(row, actor, &facts, &withheld));
        Ok(VisibleEvents {
            role: actor.role,
            visible: visible.cloned().collect(),
        })
    });
    Ok(decided.collect())
}

fn may_see(row: &FeedRow, actor: Actor, facts: &Facts, withheld: &HashSet<RecordId>) -> bool {
    if !concerns(row, actor.id, actor.role) {
        return false;
    }
    if actor.role == Role::Admin || row.entry.patient == Some(actor.id) {
        return true;
    }
    // Of what is restricted or erased only the patient and the administrators are told.
    if row.entry.record.is_some_and(|it| withheld.contains(&it)) {
        return false;
    }
    let (Some(patient), Some(record_type)) = (row.entry.patient, row.entry.record_type) else {
        return false;
    };
    let access_request = AccessRequest {
        actor,
        patient,
        action: Action::Search,
        purpose: Purpose::Treatment,
        record_type,
        availability: Availability::Open,
        destination: None,
        // Nobody follows events in an emergency: they are decided for treatment.
        emergency: None,
        now: facts.now,
    };
    decide(&access_request, facts.consents_of(patient)).is_permit()
}
