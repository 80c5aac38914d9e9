//! Which events a subscriber may see: decided for many events, and for many subscribers, together.
//!
//! Nothing is kept from one decision to the next: a consent withdrawn or a session ended binds whatever is
//! decided after it. A decision says which role it was made by: it is of use to whoever asked as that role alone. What tells
//! somebody else than its patient of a record is written down in the transaction that decides, before it is told.

mod trail;

use std::{collections::HashSet, sync::Arc, time::Duration};

use domain::{
    access::{AccessRequest, Action, Actor, decide},
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::Availability,
    users::Role,
};
use store::{Plans, Pool, StoreError, audit, deletion, feed::FeedRow};
use tokio::task::JoinSet;

pub(crate) use self::trail::{DisclosureGround, ToldRecords};
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
/// For what doctors are told of events.
const PURPOSE: Purpose = Purpose::Treatment;

/// What a subscriber would be told next.
#[derive(Debug)]
pub(crate) struct VisibilityRequest {
    /// Who follows.
    pub(crate) caller: Caller,
    /// Their role as they were last told it.
    pub(crate) role: Role,
    /// The name of the subscription.
    pub(crate) subscription: &'static str,
    /// The events, in their order.
    pub(crate) events: Vec<AskedEvent>,
}

/// An event that a subscriber would be told.
#[derive(Debug)]
pub(crate) struct AskedEvent {
    /// The event.
    pub(crate) row: Arc<FeedRow>,
    /// On what ground the trail says already that this stream tells of its record ([`ToldRecords`]).
    pub(crate) written: Option<DisclosureGround>,
}

/// An event that a subscriber may be told.
#[derive(Debug)]
pub(crate) struct VisibleEvent {
    /// The event.
    pub(crate) row: Arc<FeedRow>,
    /// On what ground the trail says since this decision that the stream tells of its record; `None` where it said so already, and
    /// where it need not.
    pub(crate) written: Option<DisclosureGround>,
}

/// What of it they may be told.
#[derive(Debug)]
pub(crate) struct VisibleEvents {
    /// The role that was decided by.
    pub(crate) role: Role,
    /// The events that may be seen, in their order; none where it is another role than was asked as.
    pub(crate) visible: Vec<VisibleEvent>,
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
        events.filter_map(|event| event.row.entry.patient)
    }

    /// The records that doctors may be told of.
    fn records(&self) -> impl Iterator<Item = RecordId> {
        let events = self.events.iter().filter(|_| self.role == Role::Doctor);
        events.filter_map(|event| event.row.entry.record)
    }

    /// What of it an account may be told, as it is known now.
    fn visible_to(
        &self,
        actor: Actor,
        facts: &Facts,
        withheld: &HashSet<RecordId>,
    ) -> VisibleEvents {
        let events = self.events.iter().filter(|_| actor.role == self.role);
        let visible = events.filter_map(|event| visible(event, actor, facts, withheld));
        VisibleEvents {
            role: actor.role,
            visible: visible.collect(),
        }
    }
}

/// One transaction for all of them: who they are, the consents of the patients that doctors ask about, and the rows that say of
/// whose records they are told.
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
    let mut decided = Vec::with_capacity(batch.len());
    let mut entries = Vec::new();
    for inquiry in batch {
        let actor = facts.actor(&inquiry.caller);
        let told = actor.map(|actor| inquiry.visible_to(actor, &facts, &withheld));
        if let Ok(told) = &told {
            entries.extend(trail::of_events(inquiry, &told.visible));
        }
        decided.push(told);
    }
    audit::insert(&mut tx, &entries).await?;
    // Whoever withdraws waits no longer: an entry says that something happened, not what.
    tx.commit().await?;
    Ok(decided)
}

/// The event, if it may be told.
fn visible(
    event: &AskedEvent,
    actor: Actor,
    facts: &Facts,
    withheld: &HashSet<RecordId>,
) -> Option<VisibleEvent> {
    let AskedEvent { row, written } = event;
    if !concerns(row, actor.id, actor.role) {
        return None;
    }
    // What is their own, and what an administrator is told, follows from the row of the stream's beginning alone.
    if actor.role == Role::Admin || row.entry.patient == Some(actor.id) {
        return Some(VisibleEvent {
            row: Arc::clone(row),
            written: None,
        });
    }
    let ground = disclosure_ground(row, actor, facts, withheld)?;
    Some(VisibleEvent {
        row: Arc::clone(row),
        written: (*written != Some(ground)).then_some(ground),
    })
}

/// By what a doctor may be told of a patient's record; `None` where they may not.
fn disclosure_ground(
    row: &FeedRow,
    actor: Actor,
    facts: &Facts,
    withheld: &HashSet<RecordId>,
) -> Option<DisclosureGround> {
    // Of what is restricted or erased only the patient and the administrators are told.
    if row.entry.record.is_some_and(|it| withheld.contains(&it)) {
        return None;
    }
    let patient = row.entry.patient?;
    let access_request = AccessRequest {
        actor,
        patient,
        action: Action::Search,
        purpose: PURPOSE,
        record_type: row.entry.record_type?,
        availability: Availability::Open,
        destination: None,
        // Nobody follows events in an emergency: they are decided for treatment.
        emergency: None,
        now: facts.now,
    };
    let decision = decide(&access_request, facts.consents_of(patient));
    decision.is_permit().then(|| DisclosureGround {
        consent: decision.consent(),
        destination: facts.country_reached(decision, actor, patient),
    })
}
