//! The consents that let a doctor in.

use domain::{
    access::{
        Actor,
        overview::{AccessSubject, permissions},
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    ids::{ConsentId, UserId},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx, audit,
    consents::{
        ConsentCursor,
        reach::{self, Given},
    },
};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
    facts::{Facts, distinct},
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

/// The consents in force that let the caller in, newest first, each with a row of the trail for its patient.
///
/// # Errors
/// [`Error::Forbidden`] for all but doctors; [`Error::Unauthenticated`].
pub(crate) async fn given_to(
    pool: &Pool,
    caller: &Caller,
    after: Option<ConsentCursor>,
    size: i64,
) -> Result<LookedFor<Consent, ConsentCursor>, Error> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut page = LookedFor {
        found: Vec::new(),
        has_next: true,
        end: after,
    };
    for nth in 0..MOST_TRIES {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        if actor.role != Role::Doctor {
            let wanted = AuditAction::ConsentRead;
            return Err(refuse_role(tx, caller, actor, Role::Doctor, wanted).await?);
        }
        let limit = size - page.found.len();
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut rows = reach::given_to(&mut tx, actor, page.end, more).await?;
        page.has_next = rows.len() > limit;
        rows.truncate(limit);
        page.end = rows.last().map(|row| (row.at, row.consent)).or(page.end);
        let shown = that_count(&mut tx, caller, &rows).await?;
        let mut entries: Vec<AuditEntry> = shown
            .iter()
            .map(|consent| entry(caller, Some(consent)))
            .collect();
        if entries.is_empty() && nth == 0 {
            entries.push(entry(caller, None));
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

/// Those of these consents by which the caller may do something, as it is decided under their patients' locks.
async fn that_count(
    tx: &mut Tx<'_>,
    caller: &Caller,
    rows: &[Given],
) -> Result<Vec<Consent>, Error> {
    let patients: Vec<UserId> = distinct(rows.iter().map(|row| row.patient));
    let facts = Facts::gather(tx, [caller], patients).await?;
    let actor = facts.actor(caller)?;
    let counts = |row: &Given| {
        let consents = facts.consents_of(row.patient);
        let consent = consents.iter().find(|it| it.id == row.consent)?;
        lets_in(&facts, actor, consent).then(|| consent.clone())
    };
    Ok(rows.iter().filter_map(counts).collect())
}

/// Whether something is permitted that this consent permits, and no refusal takes all of it away.
fn lets_in(facts: &Facts, actor: Actor, consent: &Consent) -> bool {
    let alone = std::slice::from_ref(consent);
    let subject = AccessSubject::Person(actor);
    let by_it = permissions(subject, consent.patient, alone, facts.now);
    let consents = facts.consents_of(consent.patient);
    let permitted = permissions(subject, consent.patient, consents, facts.now);
    by_it.keys().any(|cell| permitted.contains_key(cell))
}

/// The row of a consent that is shown, for its patient; or of a look at none.
fn entry(caller: &Caller, consent: Option<&Consent>) -> AuditEntry {
    let id: Option<ConsentId> = consent.map(|consent| consent.id);
    AuditEntry {
        resource_type: ResourceType::Consent,
        resource_id: id.map_or(caller.origin.request.0, |id| id.0),
        consent: id,
        new_value: Some(json!({ "list": "consentsGivenToMe" })),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: consent.map(|consent| consent.patient),
        ..caller.entry(AuditAction::ConsentRead, Purpose::default_of(Role::Doctor))
    }
}
