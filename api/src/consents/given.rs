//! The consents that let a doctor in.

use domain::{
    access::{
        Actor, Decision, PermitReason,
        overview::{AccessSubject, permissions},
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    countries::Country,
    ids::{ConsentId, UserId},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx,
    consents::{
        ConsentCursor,
        reach::{self, Given},
    },
};

use super::looking::{LookedFor, Looking, look_for};
use crate::{
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
};

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
    let caller = caller.clone();
    let looked = look_for(pool, GivenTo { caller }, after, size).await?;
    let found = looked.found.into_iter().map(|shown| shown.consent);
    Ok(LookedFor {
        found: found.collect(),
        has_next: looked.has_next,
        end: looked.end,
    })
}

/// A consent that lets the caller in, and the country that data goes to by it, if that is not the home country.
struct LettingConsent {
    consent: Consent,
    destination: Option<Country>,
}

struct GivenTo {
    caller: Caller,
}

impl Looking for GivenTo {
    type Row = Given;
    type Shown = LettingConsent;
    type Key = ConsentCursor;
    const WANTED: AuditAction = AuditAction::ConsentRead;

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn refusal(&self, _: Actor) -> Option<AuditEntry> {
        None
    }

    async fn rows(
        &self,
        tx: &mut Tx<'_>,
        actor: Actor,
        after: Option<ConsentCursor>,
        limit: i64,
    ) -> Result<Vec<Given>, Error> {
        Ok(reach::given_to(tx, actor, after, limit).await?)
    }

    fn key(row: &Given) -> ConsentCursor {
        (row.at, row.consent)
    }

    /// Those by which the caller may do something, as it is decided under their patients' locks.
    async fn decided(&self, tx: &mut Tx<'_>, rows: &[Given]) -> Result<Vec<LettingConsent>, Error> {
        let patients: Vec<UserId> = distinct(rows.iter().map(|row| row.patient));
        let facts = Facts::gather(tx, [&self.caller], patients).await?;
        let actor = facts.actor(&self.caller)?;
        let counts = |row: &Given| {
            let consents = facts.consents_of(row.patient);
            let consent = consents.iter().find(|it| it.id == row.consent)?;
            let decision = Decision::Permit(PermitReason::Consent(consent.id));
            lets_in(&facts, actor, consent).then(|| LettingConsent {
                consent: consent.clone(),
                destination: facts.country_reached(decision, actor, row.patient),
            })
        };
        Ok(rows.iter().filter_map(counts).collect())
    }

    fn entry(&self, shown: Option<&LettingConsent>) -> AuditEntry {
        let consent = shown.map(|shown| &shown.consent);
        let id: Option<ConsentId> = consent.map(|consent| consent.id);
        let destination = shown.and_then(|shown| shown.destination);
        let caller = &self.caller;
        AuditEntry {
            resource_type: ResourceType::Consent,
            resource_id: id.map_or(caller.origin.request.0, |id| id.0),
            consent: id,
            new_value: Some(json!({ "list": "consentsGivenToMe" })),
            classification: Classification::SensitivePersonal,
            encryption: EncryptionStatus::MetadataOnly,
            patient: consent.map(|consent| consent.patient),
            destination: destination.map(|country| country.to_string()),
            ..caller.entry(AuditAction::ConsentRead, Purpose::default_of(Role::Doctor))
        }
    }
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
