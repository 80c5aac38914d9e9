//! What would become of an entry whose caller only asks: decided as the writer decides it, by the same rows. Nothing is stored but the
//! audit rows of what is refused, and of records that the caller is told are there.
//!
//! What an import would store counts for what comes behind it in the same import: the second of two versions would be the next one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    access::{AccessRequest, Action, Decision, decide_amendment},
    ids::RecordId,
    records::{Availability, Reason},
    sources::{RecordSource, SourceComparison},
};
use store::{Pool, Tx};
use tokio::sync::Semaphore;

use super::{
    reason_to_amend,
    report::{Foreseen, ForeseenOutcome, Imported},
};
use crate::{
    dependencies::Drafting,
    error::Error,
    facts::Facts,
    records::{
        authorize::{answer_replays, authorize},
        draft::{Draft, Follows, PendingDraft, StoreResult, Stored},
        prepare,
        sources::{KnownSources, SourceOfPatient, answer_known},
    },
};

/// How many entries are looked up at once, by all imports of this process that store nothing: each has a connection.
static LOOKED_UP_AT_ONCE: Semaphore = Semaphore::const_new(4);
/// How many documents of sources, and how many others, are remembered of one import. One that comes again after that many would be
/// told as if it were new.
const MAX_REMEMBERED: usize = 200_000;

/// What an import that stores nothing would have stored until now.
#[derive(Debug, Default)]
pub(crate) struct PlannedRecords(Mutex<PlannedVersions>);

#[derive(Debug, Default)]
struct PlannedVersions {
    /// The versions of what a source has sent: those that are there, and those that would be.
    sources: HashMap<SourceOfPatient, Vec<RecordSource>>,
    /// What would be made of documents whose source is not known, by the keys of their retries.
    keys: HashMap<String, RecordId>,
}

impl PlannedRecords {
    fn versions(&self) -> MutexGuard<'_, PlannedVersions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What would be made of an entry before this one that says the same, if it may be stored and is not there; remembers it where there
    /// is none. Of what has a source [`foresee`] knows.
    pub(crate) fn twin(&self, draft: &Draft) -> Option<Foreseen> {
        let (_, key) = draft.key().filter(|_| draft.source.is_none())?;
        let mut versions = self.versions();
        if let Some(record) = versions.keys.get(key) {
            return Some(foreseen(draft, *record, ForeseenOutcome::AlreadyThere));
        }
        if versions.keys.len() < MAX_REMEMBERED {
            versions.keys.insert(key.to_owned(), draft.id);
        }
        None
    }

    fn of(&self, source: &SourceOfPatient) -> Option<Vec<RecordSource>> {
        self.versions().sources.get(source).cloned()
    }

    /// Remembers that a draft would be the next of these versions.
    fn plan(&self, draft: &Draft, before: &[RecordSource]) {
        let (Some(of), Some(source)) = (called(draft), &draft.source) else {
            return;
        };
        let newest = before.iter().map(|it| it.number).max();
        let mut versions = before.to_vec();
        versions.push(RecordSource {
            patient: draft.patient,
            record: draft.id,
            number: newest.map_or(1, |newest| newest.saturating_add(1)),
            kind: source.kind.to_owned(),
            state: source.state.stored(),
        });
        let mut planned = self.versions();
        let sources = &mut planned.sources;
        if sources.len() < MAX_REMEMBERED || sources.contains_key(&of) {
            sources.insert(of, versions);
        }
    }
}

fn called(draft: &Draft) -> Option<SourceOfPatient> {
    let source = draft.source.as_ref()?;
    Some((draft.patient, source.state.token))
}

fn foreseen(draft: &Draft, record: RecordId, outcome: ForeseenOutcome) -> Foreseen {
    Foreseen {
        outcome,
        record,
        record_type: draft.record_type,
        patient: draft.patient,
    }
}

/// Says what would become of a draft. Of two drafts of one source the first comes first.
///
/// # Errors
/// As of [`super::store`].
pub(crate) async fn foresee(
    pool: &Pool,
    drafting: Drafting<'_>,
    planned: &PlannedRecords,
    draft: Draft,
) -> Result<Imported, Error> {
    let _turn = LOOKED_UP_AT_ONCE.acquire().await;
    let mut tx = pool.begin().await?;
    let facts = Facts::gather(&mut tx, [&draft.caller], [draft.patient]).await?;
    let before = called(&draft).and_then(|of| planned.of(&of));
    let result = match before {
        Some(versions) => beside_planned(&mut tx, &facts, planned, &draft, &versions).await,
        None => beside_stored(&mut tx, &facts, drafting, planned, &draft).await,
    };
    // What was refused, and what is told, is written down.
    if result.as_ref().is_err_and(super::interrupts) {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    result
}

/// Beside what is there, where nothing of the same source came before in this import.
async fn beside_stored(
    tx: &mut Tx<'_>,
    facts: &Facts,
    drafting: Drafting<'_>,
    planned: &PlannedRecords,
    draft: &Draft,
) -> Result<Imported, Error> {
    let mut answer: Option<StoreResult> = None;
    let asked = PendingDraft {
        draft,
        answer: &mut answer,
    };
    let permitted = authorize(tx, vec![asked], facts).await?;
    let permitted = answer_known(tx, permitted, drafting.index_key).await?;
    let would_be_new = !answer_replays(tx, permitted).await?.is_empty();
    if would_be_new {
        planned.plan(draft, &[]);
        let new = foreseen(draft, draft.id, ForeseenOutcome::Created);
        return Ok(Imported::Checked(new));
    }
    let stored = answer.unwrap_or(Err(Error::Internal))?;
    let Some(reason) = reason_to_amend(&stored) else {
        return Ok(Imported::Stored(Box::new(stored)));
    };
    Box::pin(check_amendment(
        tx,
        facts,
        drafting,
        draft,
        (&stored, reason),
    ))
    .await?;
    if let Some(of) = called(draft) {
        let known = KnownSources::read(tx, drafting.index_key, &[of]).await?;
        planned.plan(draft, known.of(&of)?);
    }
    let next = foreseen(draft, draft.id, ForeseenOutcome::Amended);
    Ok(Imported::Checked(next))
}

/// Whether a draft may take the place of the version that its source has sent before.
///
/// # Errors
/// What [`super::store`] would answer.
async fn check_amendment(
    tx: &mut Tx<'_>,
    facts: &Facts,
    drafting: Drafting<'_>,
    draft: &Draft,
    (stored, reason): (&Stored, &str),
) -> Result<(), Error> {
    let old = Follows {
        id: stored.record.id,
        version: stored.record.version,
        withdraws: false,
    };
    let reason = Reason::parse(reason)?;
    let next = prepare::following(drafting, draft.clone(), old, &reason)?;
    let mut answer: Option<StoreResult> = None;
    let asked = PendingDraft {
        draft: &next,
        answer: &mut answer,
    };
    let is_permitted = !authorize(tx, vec![asked], facts).await?.is_empty();
    match answer {
        Some(Err(error)) => return Err(error),
        Some(Ok(_)) => return Err(Error::Internal),
        None if !is_permitted => return Err(Error::Internal),
        None => {}
    }
    if stored.record.is_current && !stored.record.is_withdrawn {
        Ok(())
    } else {
        Err(super::changed_here())
    }
}

/// Beside what this import would have stored of the same source before.
async fn beside_planned(
    tx: &mut Tx<'_>,
    facts: &Facts,
    planned: &PlannedRecords,
    draft: &Draft,
    versions: &[RecordSource],
) -> Result<Imported, Error> {
    let mut answer: Option<StoreResult> = None;
    let asked = PendingDraft {
        draft,
        answer: &mut answer,
    };
    let is_permitted = !authorize(tx, vec![asked], facts).await?.is_empty();
    if !is_permitted {
        return match answer {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(Error::Internal),
        };
    }
    let source = draft.source.as_ref().ok_or(Error::Internal)?;
    let (record, outcome) = match source.state.compare(versions) {
        SourceComparison::Same(id) => (id, ForeseenOutcome::AlreadyThere),
        SourceComparison::Outdated(id) => (id, ForeseenOutcome::Outdated),
        SourceComparison::Mended { record, .. } if !may_amend_own(facts, draft)? => {
            (record, ForeseenOutcome::AlreadyThere)
        }
        SourceComparison::Changed(_) if !may_amend_own(facts, draft)? => {
            return Err(Error::NotFound("record"));
        }
        SourceComparison::Changed(_) | SourceComparison::Mended { .. } => {
            (draft.id, ForeseenOutcome::Amended)
        }
        SourceComparison::Unknown => (draft.id, ForeseenOutcome::Created),
    };
    if matches!(outcome, ForeseenOutcome::Created | ForeseenOutcome::Amended) {
        planned.plan(draft, versions);
    }
    Ok(Imported::Checked(foreseen(draft, record, outcome)))
}

/// Whether the caller could amend what they would have stored just before.
fn may_amend_own(facts: &Facts, draft: &Draft) -> Result<bool, Error> {
    let actor = facts.actor(&draft.caller)?;
    let usual = || actor.default_purpose(Some(draft.patient));
    let request = AccessRequest {
        actor,
        patient: draft.patient,
        action: Action::Amend,
        purpose: draft.purpose.unwrap_or_else(usual),
        record_type: draft.record_type,
        availability: Availability::Open,
        destination: None,
        emergency: None,
        now: facts.now,
    };
    let author = Some(draft.caller.subject());
    let decision = decide_amendment(&request, author, facts.consents_of(draft.patient));
    Ok(matches!(decision, Decision::Permit(_)))
}
