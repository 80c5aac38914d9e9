//! Which records somebody may find, and finding them.

use chrono::{DateTime, Utc};
use domain::{
    access::{AccessRequest, Action, Actor, DenyReason, decide, permitted_types},
    ids::UserId,
    purpose::Purpose,
    records::RecordType,
    representatives::RepresentedActivity,
    users::Role,
};
use store::{
    StoreError, Tx, consents,
    records::{
        Record,
        search::{Everybody, Filter, NewestPage, Visible},
    },
    users,
};
use vault::blind_index::IndexKey;

use super::{
    ListRequest, ListedRecord, Search,
    sources::{Sources, across_patients, of_patients},
};
use crate::{
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
    records::filter::Criteria,
};

/// By how many consents somebody may be let in and still have each patient looked up by name. Beyond,
/// the newest of everybody's are looked through, which then comes to an end sooner.
const MOST_CONSENTS: i64 = 200;

/// All of them, where a row was found that is not as it was sealed, and where records are counted.
const ALL_CONSENTS: i64 = i64::MAX - 1;
/// How often a page of everybody's records is looked for whose patients allowed less meanwhile.
const TRIES: usize = 3;

/// Whose records a list looks through. Read before anybody is locked: what they allow is read again under
/// their locks.
#[derive(Debug)]
pub(super) enum Scope {
    /// Those of these patients.
    Patients {
        /// Whose.
        patients: Vec<UserId>,
        /// Whether every consent that named them was as it was sealed: else the rule in SQL lets in more.
        are_sealed: bool,
    },
    /// Those of more patients than are looked up by name.
    Everybody,
    /// The same, where a row was found that is not as it was sealed, or the caller has a window of emergency access.
    EverybodySealed,
}

impl Scope {
    /// Whether it is of patients who are all locked before anything is looked for.
    pub(super) const fn is_of_patients(&self) -> bool {
        matches!(self, Self::Patients { .. })
    }

    /// The scope of one list.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn of(tx: &mut Tx<'_>, asked: &ListRequest) -> Result<Self, StoreError> {
        if let Some(patient) = asked.search.criteria.patient {
            return Ok(Self::of_patient(patient));
        }
        let caller = &asked.caller;
        let seals = &caller.seals;
        let Some(actor) = seals.actor_of(tx, caller.user, caller.session).await? else {
            return Ok(Self::sealed(Vec::new()));
        };
        let purpose = super::purpose_of(asked, actor);
        if purpose == Purpose::PatientRequest {
            return Ok(Self::sealed(vec![actor.id]));
        }
        let mut in_emergency = if purpose.is_emergency() {
            let now = users::now(tx).await?;
            seals.open_windows(tx, &[actor.id], now).await?
        } else {
            Vec::new()
        };
        in_emergency.retain(|window| window.purpose == purpose);
        // SQL counts by rows whose seals it cannot see: before that, every seal is looked at.
        let most = [MOST_CONSENTS, ALL_CONSENTS];
        for most in most.into_iter().take(1 + usize::from(asked.search.total)) {
            let Some(reaching) = consents::reaching(tx, actor, purpose, most).await? else {
                continue;
            };
            let (consents, are_sealed) = seals.consents(reaching);
            if most == MOST_CONSENTS {
                let patients = consents.iter().map(|consent| consent.patient);
                let patients = patients.chain(in_emergency.iter().map(|window| window.patient));
                let patients = distinct(patients);
                return Ok(Self::Patients {
                    patients,
                    are_sealed,
                });
            }
            if !are_sealed || !in_emergency.is_empty() {
                return Ok(Self::EverybodySealed);
            }
        }
        // The rule in SQL knows no windows.
        Ok(if in_emergency.is_empty() {
            Self::Everybody
        } else {
            Self::EverybodySealed
        })
    }

    /// That of a list of one patient's records.
    pub(super) fn of_patient(patient: UserId) -> Self {
        Self::sealed(vec![patient])
    }

    const fn sealed(patients: Vec<UserId>) -> Self {
        Self::Patients {
            patients,
            are_sealed: true,
        }
    }

    /// Whose changes are to be held back.
    pub(super) fn patients(&self) -> &[UserId] {
        match self {
            Self::Patients { patients, .. } => patients,
            Self::Everybody | Self::EverybodySealed => &[],
        }
    }
}

/// Who looks for records, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Searcher<'a> {
    pub(super) caller: &'a Caller,
    pub(super) actor: Actor,
    pub(super) purpose: Purpose,
}

impl<'a> Searcher<'a> {
    /// Who asks for this list, as they are known under their lock.
    ///
    /// # Errors
    /// As of [`Caller::authorize`].
    pub(super) fn of(asked: &'a ListRequest, facts: &Facts) -> Result<Self, Error> {
        let actor = facts.actor(&asked.caller)?;
        Ok(Self {
            caller: &asked.caller,
            actor,
            purpose: super::purpose_of(asked, actor),
        })
    }

    /// Whether they may look for anything of this at all.
    ///
    /// # Errors
    /// Why they may not.
    pub(super) fn may_ask(&self, criteria: &Criteria) -> Result<(), DenyReason> {
        let Self { actor, purpose, .. } = *self;
        let is_represented = actor.acts_for.is_some();
        // Who acts for one patient looks for nothing of another's.
        let may_read = actor.represents(RepresentedActivity::ReadRecords).is_some()
            && criteria.patient == Some(actor.subject());
        if is_represented && !may_read {
            return Err(DenyReason::NotRepresentative);
        }
        let is_open = match actor.role {
            // Administrators never touch content, not even its list.
            Role::Admin => false,
            Role::Patient | Role::Doctor => purpose.is_open_to(actor.role) && !is_represented,
        };
        if is_open || self.is_own() {
            Ok(())
        } else {
            Err(DenyReason::Purpose)
        }
    }

    /// Whether it is the request of the patient whose records they are, or of somebody who acts for them.
    fn is_own(&self) -> bool {
        self.purpose == Purpose::PatientRequest
    }

    fn access_request<'f>(
        &self,
        record: &Record,
        action: Action,
        facts: &'f Facts,
    ) -> AccessRequest<'f> {
        AccessRequest {
            actor: self.actor,
            patient: record.patient,
            action,
            purpose: self.purpose,
            record_type: record.record_type,
            availability: record.availability,
            destination: None,
            emergency: facts.emergency(self.caller, record.patient, self.purpose),
            now: facts.now,
        }
    }

    /// Which types of whose records may be found.
    fn visible(&self, patients: &[UserId], criteria: &Criteria, facts: &Facts) -> Vec<Visible> {
        let asked = &criteria.filter.record_types;
        let is_asked = |kind: &RecordType| asked.is_empty() || asked.contains(kind);
        let types = |patient: UserId| -> Vec<RecordType> {
            let Self {
                caller,
                actor,
                purpose,
            } = *self;
            if self.is_own() {
                return RecordType::ALL.to_vec();
            }
            let consents = facts.consents_of(patient);
            permitted_types(
                Action::Search,
                actor,
                patient,
                purpose,
                facts.emergency(caller, patient, purpose),
                consents,
                facts.now,
            )
        };
        let patients = patients.iter().copied();
        patients
            .filter(|patient| !self.is_own() || *patient == self.actor.subject())
            .filter_map(|patient| {
                let types: Vec<_> = types(patient).into_iter().filter(is_asked).collect();
                Visible::of(patient, &types)
            })
            .collect()
    }

    /// Decides a record of a page once more, where the rule itself is written, and names the consent. Its
    /// content is decided by itself.
    fn confirm(&self, search: &Search, record: Record, facts: &Facts) -> Option<ListedRecord> {
        let consents = facts.consents_of(record.patient);
        let decide_on = |action| decide(&self.access_request(&record, action, facts), consents);
        let found = decide_on(Action::Search);
        if !found.is_permit() {
            return None;
        }
        let opened = search.with.content.then(|| decide_on(Action::Read));
        let opened = opened.filter(|decision| decision.is_permit());
        let country = |decision| facts.country_reached(decision, self.actor, record.patient);
        Some(ListedRecord {
            consent: found.consent(),
            countries: [country(found), opened.and_then(country)],
            opened,
            record,
        })
    }
}

/// What a list found: its page, one more than asked for where there are more, and how many there are if
/// that was asked.
pub(super) type FoundPage = Result<(Vec<ListedRecord>, i64), Error>;

/// The page of one patient's newest that a list looks for, if it looks for nothing else, and may find some.
pub(super) fn newest_page(asked: &ListRequest, facts: &Facts) -> Option<NewestPage> {
    let patient = asked.search.newest_of()?;
    let searcher = Searcher::of(asked, facts).ok();
    let searcher = searcher.filter(|it| it.may_ask(&asked.search.criteria).is_ok())?;
    let mut visible = searcher.visible(&[patient], &asked.search.criteria, facts);
    Some(NewestPage {
        visible: visible.pop()?,
        restricted: searcher.is_own(),
        after: asked.search.after,
        limit: asked.search.size + 1,
    })
}

/// What a list is found by besides what was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchMeans<'a> {
    pub(super) index_key: &'a IndexKey,
    pub(super) scope: &'a Scope,
    pub(super) facts: &'a Facts,
}

/// Finds a page, or takes the rows that were found for it already.
///
/// # Errors
/// The database's; within, what is wrong with the search itself.
pub(super) async fn find(
    sources: &mut Sources<'_>,
    asked: &ListRequest,
    searcher: Searcher<'_>,
    means: SearchMeans<'_>,
    newest: Option<Vec<Record>>,
) -> Result<FoundPage, StoreError> {
    let SearchMeans {
        index_key,
        scope,
        facts,
    } = means;
    if let Some(newest) = newest {
        return Ok(Ok((confirmed(asked, searcher, newest, facts), 0)));
    }
    let criteria = &asked.search.criteria;
    let (visible, are_sealed) = match scope {
        Scope::Patients {
            patients,
            are_sealed,
        } => (
            Some(searcher.visible(patients, criteria, facts)),
            *are_sealed && facts.are_sealed,
        ),
        Scope::Everybody => (None, !searcher.actor.memberships.has_left()),
        Scope::EverybodySealed => (None, false),
    };
    if visible.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Ok((Vec::new(), 0)));
    }
    let tokens = match tokens(index_key, criteria, visible.as_deref()) {
        Ok(tokens) => tokens,
        Err(error) => return Ok(Err(error)),
    };
    let filter = Filter {
        tokens,
        ..criteria.filter.clone()
    };
    // What an index finds across patients leads; else each patient's newest do.
    // The rule in SQL knows consents alone: neither windows nor representatives, nor when somebody left an organisation.
    let by_window = visible.iter().flatten().any(|one| {
        let window = facts.emergency(searcher.caller, one.patient, searcher.purpose);
        window.is_some()
    });
    let across = are_sealed
        && !by_window
        && searcher.actor.acts_for.is_none()
        && !searcher.actor.memberships.has_left()
        && (filter.tokens.is_some()
            || (criteria.patient.is_none()
                && !searcher.is_own()
                && (filter.author.is_some() || filter.metadata.is_some())));
    let found = match visible {
        Some(visible) if across => {
            let everybody = everybody(asked, searcher, facts.now);
            let paging = asked.search.paging();
            let found = sources.across_patients(&everybody, &filter, paging).await?;
            // Whoever let them in since is not locked, and not among them.
            let (page, total) = found;
            let is_visible = |record: &Record| visible.iter().any(|v| v.patient == record.patient);
            (page.into_iter().filter(is_visible).collect(), total)
        }
        Some(visible) => {
            let paging = asked.search.paging();
            let found = sources.of_patients(&visible, searcher.is_own(), &filter, paging);
            found.await?
        }
        None if are_sealed => {
            let found = of_everybody(sources.primary, asked, (searcher, facts.now), &filter).await;
            return found.map(Ok);
        }
        None => {
            let found = by_sealed_consents(sources.primary, asked, searcher, &filter).await;
            return found.map(Ok);
        }
    };
    let (page, total): (Vec<Record>, i64) = found;
    Ok(Ok((confirmed(asked, searcher, page, facts), total)))
}

/// Decides each record of a page once more, where the rule itself is written.
fn confirmed(
    asked: &ListRequest,
    searcher: Searcher<'_>,
    page: Vec<Record>,
    facts: &Facts,
) -> Vec<ListedRecord> {
    let shown = page.into_iter().filter_map(|record| {
        let id = record.id;
        let shown = searcher.confirm(&asked.search, record, facts);
        if shown.is_none() {
            // The two never differ: a test holds them against each other. If they did, it is not shown.
            tracing::error!(record.id = %id, "SQL and the policy disagree about record {id}");
        }
        shown
    });
    shown.collect()
}

/// Which part of everybody's records is looked through.
fn everybody(asked: &ListRequest, searcher: Searcher<'_>, now: DateTime<Utc>) -> Everybody {
    Everybody {
        actor: searcher.actor,
        purpose: searcher.purpose,
        patient: asked.search.criteria.patient,
        now,
    }
}

/// The newest of more patients than can be locked beforehand: those of the page are locked once it is known,
/// and where one of them allows less by then, it is looked for again.
async fn of_everybody(
    tx: &mut Tx<'_>,
    asked: &ListRequest,
    (searcher, mut now): (Searcher<'_>, DateTime<Utc>),
    filter: &Filter,
) -> Result<(Vec<ListedRecord>, i64), StoreError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let everybody = everybody(asked, searcher, now);
        let paging = asked.search.paging();
        let (page, total) = across_patients(tx, &everybody, filter, paging).await?;
        let patients = page.iter().map(|record| record.patient);
        let facts = Facts::gather(tx, [&asked.caller], patients).await?;
        // What ended between the two would be found again.
        now = facts.now;
        let Ok(actor) = facts.actor(&asked.caller) else {
            return Ok((Vec::new(), 0));
        };
        let searcher = Searcher { actor, ..searcher };
        if !facts.are_sealed {
            return by_sealed_consents(tx, asked, searcher, filter).await;
        }
        let found = page.len();
        let confirmed = page.into_iter();
        let shown: Vec<ListedRecord> = confirmed
            .filter_map(|record| searcher.confirm(&asked.search, record, &facts))
            .collect();
        if shown.len() == found || tries == 0 {
            return Ok((shown, total));
        }
    }
}

/// The newest of everybody's by what counts alone: the rule in SQL sees no seals, and a row that does not
/// count lets somebody in, or keeps somebody off the page. Those of the page are locked once it is known, as in
/// [`of_everybody`]: there may be more patients than the database has locks for.
async fn by_sealed_consents(
    tx: &mut Tx<'_>,
    asked: &ListRequest,
    searcher: Searcher<'_>,
    filter: &Filter,
) -> Result<(Vec<ListedRecord>, i64), StoreError> {
    let Searcher { actor, purpose, .. } = searcher;
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let reaching = consents::reaching(tx, actor, purpose, ALL_CONSENTS).await?;
        let (consents, _) = asked.caller.seals.consents(reaching.unwrap_or_default());
        let patients = consents.iter().map(|consent| consent.patient);
        let patients: Vec<UserId> = patients.collect();
        let asks = [(&asked.caller, Some(purpose))];
        let unlocked = Facts::unlocked(users::now(tx).await?, consents);
        let unlocked = unlocked.with_emergencies(tx, asks.into_iter()).await?;
        let in_emergency = unlocked.patients_in_emergency(&asked.caller, purpose);
        let patients = distinct(patients.into_iter().chain(in_emergency));
        let visible = searcher.visible(&patients, &asked.search.criteria, &unlocked);
        let (own, paging) = (searcher.is_own(), asked.search.paging());
        let (page, total) = of_patients(tx, &visible, own, filter, paging).await?;
        let found = page.len();
        let patients = page.iter().map(|record| record.patient);
        let facts = Facts::gather(tx, [&asked.caller], patients).await?;
        let Ok(actor) = facts.actor(&asked.caller) else {
            return Ok((Vec::new(), 0));
        };
        let facts = facts.with_emergencies(tx, asks.into_iter()).await?;
        let searcher = Searcher { actor, ..searcher };
        let shown: Vec<ListedRecord> = page
            .into_iter()
            .filter_map(|record| searcher.confirm(&asked.search, record, &facts))
            .collect();
        if shown.len() == found || tries == 0 {
            return Ok((shown, total));
        }
    }
}

/// The code that is looked for, as it is stored for each patient who may have it.
fn tokens(
    index_key: &IndexKey,
    criteria: &Criteria,
    visible: Option<&[Visible]>,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let Some((system, code)) = &criteria.code else {
        return Ok(None);
    };
    let Some(visible) = visible else {
        let wanted = "so many patients let you in that a code is looked for in one at a time: name a patientId";
        return Err(Error::bad("code", wanted));
    };
    let token = |one: &Visible| index_key.token(one.patient, system, code).to_vec();
    Ok(Some(visible.iter().map(token).collect()))
}
