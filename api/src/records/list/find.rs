//! Which records somebody may find, and finding them.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::{
    access::{Action, Actor, Question, decide, permitted_types},
    consents::Consent,
    ids::UserId,
    purpose::Purpose,
    records::RecordType,
    users::Role,
};
use store::{
    StoreError, Tx, consents,
    records::{
        Record,
        search::{self, Everybody, Filter, Visible},
    },
};
use vault::blind_index::IndexKey;

use super::{Search, Shown};
use crate::{error::Error, records::filter::Criteria};

/// By how many consents somebody may be let in and still have each patient looked up by name. Beyond,
/// the newest of everybody's are looked through, which then comes to an end sooner.
const MOST_CONSENTS: i64 = 200;

/// Who looks for records, what for, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeker {
    pub(super) actor: Actor,
    pub(super) purpose: Purpose,
    pub(super) now: DateTime<Utc>,
}

impl Seeker {
    /// Whether they may look for anything at all.
    pub(super) fn may_ask(&self) -> bool {
        let Self { actor, purpose, .. } = *self;
        match actor.role {
            // Administrators never touch content, not even its list.
            Role::Admin => purpose == Purpose::PatientRequest,
            Role::Patient | Role::Doctor => {
                purpose == Purpose::PatientRequest || purpose.is_open_to(actor.role)
            }
        }
    }

    fn question(&self, record: &Record, action: Action) -> Question<'_> {
        Question {
            actor: self.actor,
            patient: record.patient,
            action,
            purpose: self.purpose,
            record_type: record.record_type,
            standing: record.standing,
            destination: None,
            emergency: None,
            now: self.now,
        }
    }
}

/// Whose records a caller may find.
enum Reach<'a> {
    /// Their own.
    Own(Vec<Visible>),
    /// Those of these patients, by these consents.
    These(Vec<Visible>, Cow<'a, [Consent]>),
    /// Those of more patients than are looked up by name.
    Many,
}

/// `consents` are those of the patient who is named, if one is.
async fn reach<'a>(
    tx: &mut Tx<'_>,
    Seeker {
        actor,
        purpose,
        now,
    }: Seeker,
    criteria: &Criteria,
    consents: &'a [Consent],
) -> Result<Reach<'a>, StoreError> {
    let wanted = |types: Vec<RecordType>| -> Vec<RecordType> {
        let asked = &criteria.filter.record_types;
        let is_asked = |kind: &RecordType| asked.is_empty() || asked.contains(kind);
        types.into_iter().filter(is_asked).collect()
    };
    if purpose == Purpose::PatientRequest {
        let is_asked = criteria.patient.is_none_or(|patient| patient == actor.id);
        let all = wanted(RecordType::ALL.to_vec());
        let own = Visible::of(actor.id, &all).filter(|_| is_asked);
        return Ok(Reach::Own(own.into_iter().collect()));
    }
    let (mut patients, consents) = match criteria.patient {
        Some(patient) => (vec![patient], Cow::Borrowed(consents)),
        None => match consents::reaching(tx, actor, purpose, MOST_CONSENTS).await? {
            Some(consents) => {
                let patients = consents.iter().map(|consent| consent.patient);
                (patients.collect(), Cow::Owned(consents))
            }
            None => return Ok(Reach::Many),
        },
    };
    patients.sort_unstable();
    patients.dedup();
    let visible = patients.into_iter().filter_map(|patient| {
        let types = permitted_types(Action::Search, actor, patient, purpose, &consents, now);
        Visible::of(patient, &wanted(types))
    });
    Ok(Reach::These(visible.collect(), consents))
}

/// Finds a page, one more than asked for where there are more, and how many there are if that is asked.
///
/// # Errors
/// The database's; within, what is wrong with the search itself.
pub(super) async fn find(
    tx: &mut Tx<'_>,
    index_key: &IndexKey,
    search: &Search,
    seeker: Seeker,
    consents: &[Consent],
) -> Result<Result<(Vec<Shown>, i64), Error>, StoreError> {
    let Search {
        criteria,
        order,
        after,
        ..
    } = search;
    let reach = reach(tx, seeker, criteria, consents).await?;
    let (visible, consents, is_own) = match reach {
        Reach::Own(visible) => (Some(visible), Some(Cow::default()), true),
        Reach::These(visible, consents) => (Some(visible), Some(consents), false),
        Reach::Many => (None, None, false),
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
    let across = filter.tokens.is_some()
        || (criteria.patient.is_none()
            && !is_own
            && (filter.author.is_some() || filter.metadata.is_some()));
    let limit = search.size + 1;
    let everybody = Everybody {
        actor: seeker.actor,
        purpose: seeker.purpose,
        patient: criteria.patient,
    };
    let mut total = 0;
    let page = if let Some(visible) = visible.filter(|_| !across) {
        if search.total {
            total = search::count_of(tx, &visible, is_own, &filter).await?;
        }
        search::page_of(tx, &visible, is_own, &filter, *order, *after, limit).await?
    } else {
        if search.total {
            total = search::count_of_everybody(tx, &everybody, &filter).await?;
        }
        search::page_of_everybody(tx, &everybody, &filter, *order, *after, limit).await?
    };
    let consents = match consents {
        Some(consents) => consents,
        None => Cow::Owned(consents::in_force(tx, &patients_of(&page)).await?),
    };
    let shown = page
        .into_iter()
        .filter_map(|record| confirm(seeker, search, record, &consents));
    Ok(Ok((shown.collect(), total)))
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

fn patients_of(page: &[Record]) -> Vec<UserId> {
    let mut patients: Vec<UserId> = page.iter().map(|record| record.patient).collect();
    patients.sort_unstable();
    patients.dedup();
    patients
}

/// Decides a record of a page once more, where the rule itself is written, and names the consent. The
/// two never differ (a test holds them against each other); if they did, it is not shown. Its content
/// is decided by itself.
fn confirm(seeker: Seeker, search: &Search, record: Record, consents: &[Consent]) -> Option<Shown> {
    let found = decide(&seeker.question(&record, Action::Search), consents);
    if !found.is_permit() {
        tracing::error!(record.id = %record.id, "SQL and the policy disagree about record {}", record.id);
        return None;
    }
    let content = || decide(&seeker.question(&record, Action::Read), consents);
    let opens = search.with.content.then(content);
    let opens = opens.filter(|decision| decision.is_permit());
    Some(Shown {
        ground: opens.unwrap_or(found).consent(),
        opens: opens.is_some(),
        record,
    })
}
