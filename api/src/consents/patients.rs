//! The patients who let a doctor in.

use domain::{
    access::{
        Action,
        overview::{Access, AccessSubject, in_short, permissions_for},
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::UserId,
    purpose::Purpose,
    records::RecordType,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx, audit,
    consents::reach,
    records::{self, Number},
};

use super::given::LookedFor;
use crate::{
    caller::{Caller, refuse_role},
    error::Error,
    facts::Facts,
};

/// How many pages of rows are looked through for one page that is shown.
const MOST_TRIES: usize = 10;

/// A patient, and what they let the caller do.
#[derive(Debug, Clone)]
pub(crate) struct LettingIn {
    /// Who.
    pub(crate) patient: UserId,
    /// What, for the purpose that was asked for.
    pub(crate) accesses: Vec<Access>,
    /// How many records the caller finds of theirs.
    pub(crate) records: i64,
}

/// The patients who let the caller do something for a purpose now, in the order of their ids, each with a row of the
/// trail.
///
/// # Errors
/// [`Error::Forbidden`] for all but doctors; [`Error::Unauthenticated`].
pub(crate) async fn letting_in(
    pool: &Pool,
    caller: &Caller,
    purpose: Option<Purpose>,
    after: Option<UserId>,
    size: i64,
) -> Result<LookedFor<LettingIn, UserId>, Error> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let purpose = purpose.or(caller.purpose);
    let purpose = purpose.unwrap_or(Purpose::default_of(Role::Doctor));
    let mut page = LookedFor {
        found: Vec::new(),
        has_next: true,
        end: after,
    };
    for nth in 0..MOST_TRIES {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if actor.role != Role::Doctor {
            let wanted = AuditAction::RecordSearch;
            return Err(refuse_role(tx, caller, actor, Role::Doctor, wanted).await?);
        }
        if !purpose.is_open_to(actor.role) {
            let denied = AuditEntry {
                new_value: Some(json!({ "reason": "PURPOSE", "wanted": Action::Search })),
                ..entry(AuditAction::AccessDenied, caller, purpose)
            };
            audit::insert(&mut tx, &[denied]).await?;
            tx.commit().await?;
            page.has_next = false;
            return Ok(page);
        }
        let limit = size - page.found.len();
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut rows = reach::letting_in(&mut tx, actor, purpose, page.end, more).await?;
        page.has_next = rows.len() > limit;
        rows.truncate(limit);
        page.end = rows.last().copied().or(page.end);
        let shown = decided(&mut tx, caller, purpose, &rows).await?;
        let mut entries: Vec<AuditEntry> = shown
            .iter()
            .map(|shown| of_patient(caller, purpose, shown))
            .collect();
        if entries.is_empty() && nth == 0 {
            let none = json!({ "list": "patients", "count": 0 });
            entries.push(AuditEntry {
                new_value: Some(none),
                ..entry(AuditAction::RecordSearch, caller, purpose)
            });
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

/// What these patients let the caller do, as it is decided under their locks; those who let them do nothing are left
/// out.
async fn decided(
    tx: &mut Tx<'_>,
    caller: &Caller,
    purpose: Purpose,
    patients: &[UserId],
) -> Result<Vec<LettingIn>, Error> {
    let facts = Facts::gather(tx, [caller], patients.iter().copied()).await?;
    let actor = facts.actor(caller)?;
    let numbers = records::numbers(tx, patients).await?;
    let of = |patient: UserId| {
        let consents = facts.consents_of(patient);
        let subject = AccessSubject::Person(actor);
        let permitted = permissions_for(purpose, subject, patient, consents, facts.now);
        let found = |of: RecordType| permitted.contains_key(&(purpose, Action::Search, of));
        let theirs = numbers.iter().filter(|number| number.patient == patient);
        let found = theirs.filter(|number: &&Number| found(number.record_type));
        let records = found.map(|number| number.records).sum();
        (!permitted.is_empty()).then(|| LettingIn {
            patient,
            accesses: in_short(&permitted),
            records,
        })
    };
    Ok(patients.iter().copied().filter_map(of).collect())
}

fn of_patient(caller: &Caller, purpose: Purpose, shown: &LettingIn) -> AuditEntry {
    let searches = |access: &&Access| access.actions.contains(&Action::Search);
    let accesses = &shown.accesses;
    let deciding = accesses.iter().find(searches).or(accesses.first());
    AuditEntry {
        new_value: Some(json!({ "list": "patients", "count": shown.records })),
        consent: deciding.map(|access| access.consent),
        patient: Some(shown.patient),
        ..entry(AuditAction::RecordSearch, caller, purpose)
    }
}

fn entry(action: AuditAction, caller: &Caller, purpose: Purpose) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        classification: Classification::Medical,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(action, purpose)
    }
}
