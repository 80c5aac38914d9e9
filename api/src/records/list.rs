//! Finding records. Nothing is opened; what is shown of each is written down, first.

use chrono::{DateTime, Utc};
use domain::{
    access::{Action, Actor, Question, decide, searchable_types},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    ids::{ConsentId, UserId},
    purpose::Purpose,
    records::RecordType,
    users::Role,
};
use serde_json::{Value, json};
use store::{
    StoreError, Tx, audit, consents,
    records::{
        Record,
        search::{self, Everybody, Filter, Order, Place, Visible},
    },
    users,
};

use super::filter::Criteria;
use crate::{
    app::{App, commit},
    caller::Caller,
    error::Error,
};

/// By how many consents somebody may be let in and still have each patient looked up by name. Beyond,
/// the newest of everybody's are looked through, which then comes to an end sooner.
const MOST_CONSENTS: i64 = 200;

/// What somebody looks for.
#[derive(Debug)]
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
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// One more than asked for where there are more.
    pub(crate) records: Vec<Record>,
    /// How many there are on all pages, if that was asked.
    pub(crate) total: i64,
    grounds: Vec<Option<ConsentId>>,
}

/// The records this caller may see, and the purpose they were found for.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::BadInput`] where a code is looked for among too many patients.
/// A patient whose records are hidden has an empty list.
pub(crate) async fn list(
    app: &App,
    caller: &Caller,
    search: &Search,
) -> Result<(Found, Purpose), Error> {
    let mut tx = app.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let now = users::now(&mut tx).await?;
    let purpose = search
        .purpose
        .or(caller.purpose)
        .unwrap_or_else(|| default_purpose(actor, search.criteria.patient));
    let may_ask = may_ask(actor, purpose);
    let found = if may_ask {
        let reach = reach(&mut tx, actor, purpose, &search.criteria, now).await?;
        find(app, &mut tx, search, reach, (actor, purpose, now)).await?
    } else {
        Found::default()
    };
    audit::insert(&mut tx, &entries(caller, search, purpose, may_ask, &found)).await?;
    commit(tx).await?;
    Ok((found, purpose))
}

fn may_ask(actor: Actor, purpose: Purpose) -> bool {
    match actor.role {
        // Administrators never touch content, not even its list.
        Role::Admin => purpose == Purpose::PatientRequest,
        Role::Patient | Role::Doctor => {
            purpose == Purpose::PatientRequest || purpose.is_open_to(actor.role)
        }
    }
}

/// Whose records a caller may find.
enum Reach {
    /// Their own.
    Own(Vec<Visible>),
    /// Those of these patients, by these consents.
    These(Vec<Visible>, Vec<Consent>),
    /// Those of more patients than are looked up by name.
    Many,
}

async fn reach(
    tx: &mut Tx<'_>,
    actor: Actor,
    purpose: Purpose,
    criteria: &Criteria,
    now: DateTime<Utc>,
) -> Result<Reach, StoreError> {
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
    let consents = match criteria.patient {
        Some(patient) => consents::in_force(tx, &[patient]).await?,
        None => match consents::reaching(tx, actor, purpose, MOST_CONSENTS).await? {
            Some(consents) => consents,
            None => return Ok(Reach::Many),
        },
    };
    let mut patients: Vec<UserId> = consents.iter().map(|consent| consent.patient).collect();
    patients.sort_unstable();
    patients.dedup();
    let visible = patients.into_iter().filter_map(|patient| {
        let types = searchable_types(actor, patient, purpose, &consents, now);
        Visible::of(patient, &wanted(types))
    });
    Ok(Reach::These(visible.collect(), consents))
}

async fn find(
    app: &App,
    tx: &mut Tx<'_>,
    search: &Search,
    reach: Reach,
    (actor, purpose, now): (Actor, Purpose, DateTime<Utc>),
) -> Result<Found, Error> {
    let Search {
        criteria,
        order,
        after,
        ..
    } = search;
    let (visible, consents, is_own) = match reach {
        Reach::Own(visible) => (Some(visible), Some(Vec::new()), true),
        Reach::These(visible, consents) => (Some(visible), Some(consents), false),
        Reach::Many => (None, None, false),
    };
    if visible.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Found::default());
    }
    let filter = Filter {
        tokens: tokens(app, criteria, visible.as_deref())?,
        ..criteria.filter.clone()
    };
    // What an index finds across patients leads; else each patient's newest do.
    let across = filter.tokens.is_some()
        || (criteria.patient.is_none()
            && !is_own
            && (filter.author.is_some() || filter.metadata.is_some()));
    let limit = search.size + 1;
    let everybody = Everybody {
        actor,
        purpose,
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
        None => consents::in_force(tx, &patients_of(&page)).await?,
    };
    let (records, grounds) = confirm(actor, purpose, now, page, &consents);
    Ok(Found {
        records,
        total,
        grounds,
    })
}

/// The code that is looked for, as it is stored for each patient who may have it.
fn tokens(
    app: &App,
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
    let token = |one: &Visible| app.index_key.token(one.patient, system, code).to_vec();
    Ok(Some(visible.iter().map(token).collect()))
}

fn patients_of(page: &[Record]) -> Vec<UserId> {
    let mut patients: Vec<UserId> = page.iter().map(|record| record.patient).collect();
    patients.sort_unstable();
    patients.dedup();
    patients
}

/// Decides each record of a page once more, where the rule itself is written, and names the consent.
/// The two never differ (a test holds them against each other); if they did, nothing is shown.
fn confirm(
    actor: Actor,
    purpose: Purpose,
    now: DateTime<Utc>,
    page: Vec<Record>,
    consents: &[Consent],
) -> (Vec<Record>, Vec<Option<ConsentId>>) {
    let decided = page.into_iter().filter_map(|record| {
        let question = Question {
            actor,
            patient: record.patient,
            action: Action::Search,
            purpose,
            record_type: record.record_type,
            standing: record.standing,
            destination: None,
            emergency: None,
            now,
        };
        let decision = decide(&question, consents);
        if !decision.is_permit() {
            tracing::error!(record.id = %record.id, "SQL and the policy disagree about record {}", record.id);
            return None;
        }
        Some((record, decision.consent()))
    });
    decided.unzip()
}

/// The rows that say what was looked for and what is shown.
fn entries(
    caller: &Caller,
    search: &Search,
    purpose: Purpose,
    may_ask: bool,
    found: &Found,
) -> Vec<AuditEntry> {
    let shown = usize::try_from(search.size)
        .unwrap_or(usize::MAX)
        .min(found.records.len());
    let mut asked = AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(in_words(search, shown, found.total)),
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        patient: search.criteria.patient,
        ..caller.entry(AuditAction::RecordSearch, purpose)
    };
    if !may_ask {
        asked.action = AuditAction::AccessDenied;
        asked.new_value = Some(json!({ "reason": "PURPOSE", "wanted": Action::Search }));
    }
    let reads = found
        .records
        .iter()
        .zip(&found.grounds)
        .take(shown)
        .map(|(record, consent)| AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            resource_id: record.id.0,
            new_value: Some(json!({ "version": record.version })),
            consent: *consent,
            classification: Classification::Medical,
            encryption: EncryptionStatus::MetadataOnly,
            patient: Some(record.patient),
            ..caller.entry(AuditAction::RecordRead, purpose)
        });
    std::iter::once(asked).chain(reads).collect()
}

/// What was looked for: the type, and of other filters the names. Their values are health data.
fn in_words(search: &Search, shown: usize, total: i64) -> Value {
    let record_type = match search.criteria.filter.record_types.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let mut words = json!({ "recordType": record_type, "count": shown });
    let filters = search.criteria.names();
    if !filters.is_empty() {
        words["filters"] = json!(filters);
    }
    if search.total {
        words["total"] = json!(total);
    }
    words
}

fn default_purpose(actor: Actor, patient: Option<UserId>) -> Purpose {
    if patient == Some(actor.id) {
        Purpose::PatientRequest
    } else {
        Purpose::default_of(actor.role)
    }
}
