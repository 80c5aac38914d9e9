//! The patients who let a doctor in.

use chrono::{DateTime, Utc};
use domain::{
    access::{
        Action, Actor, Decision, PermitReason,
        overview::{Access, AccessSubject, in_short, permissions_for},
        permitted_types,
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    countries::Country,
    ids::{ConsentId, UserId},
    purpose::Purpose,
    records::RecordType,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx,
    consents::reach,
    records::{self, Number},
    users,
};

use super::looking::{LookedFor, Looking, look_for};
use crate::{
    caller::Caller,
    error::Error,
    facts::{Facts, distinct},
};

/// A patient, and what they let the caller do.
#[derive(Debug, Clone)]
pub(crate) struct LettingIn {
    /// Who.
    pub(crate) patient: UserId,
    /// What, for the purpose that was asked for.
    pub(crate) accesses: Vec<Access>,
    /// Until when the caller has emergency access for that purpose; `None` where they have none.
    pub(crate) emergency_until: Option<DateTime<Utc>>,
    /// How many records the caller finds of theirs.
    pub(crate) records: i64,
    /// The country that this is told in, where the caller is let in as a member of an organisation there.
    destination: Option<Country>,
}

impl LettingIn {
    /// The consent that the row of the trail names.
    fn deciding(accesses: &[Access]) -> Option<ConsentId> {
        let searches = |access: &&Access| access.actions.contains(&Action::Search);
        let deciding = accesses.iter().find(searches).or(accesses.first());
        deciding.map(|access| access.consent)
    }
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
    let purpose = purpose.or(caller.purpose);
    let purpose = purpose.unwrap_or(Purpose::default_of(Role::Doctor));
    let caller = caller.clone();
    look_for(pool, LetIn { caller, purpose }, after, size).await
}

struct LetIn {
    caller: Caller,
    purpose: Purpose,
}

impl LetIn {
    fn entry_of(&self, action: AuditAction) -> AuditEntry {
        AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            classification: Classification::Medical,
            encryption: EncryptionStatus::MetadataOnly,
            ..self.caller.entry(action, self.purpose)
        }
    }
}

impl Looking for LetIn {
    type Row = UserId;
    type Shown = LettingIn;
    type Key = UserId;
    const WANTED: AuditAction = AuditAction::RecordSearch;

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn refusal(&self, actor: Actor) -> Option<AuditEntry> {
        (!self.purpose.is_open_to(actor.role)).then(|| AuditEntry {
            new_value: Some(json!({ "reason": "PURPOSE", "wanted": Action::Search })),
            ..self.entry_of(AuditAction::AccessDenied)
        })
    }

    /// Patients of whom a consent, or a window of emergency access, may let the caller in, in the order of their ids.
    async fn rows(
        &self,
        tx: &mut Tx<'_>,
        actor: Actor,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<UserId>, Error> {
        let purpose = self.purpose;
        let mut rows = reach::letting_in(tx, actor, purpose, after, limit).await?;
        if purpose.is_emergency() {
            let now = users::now(tx).await?;
            let windows = self.caller.seals.open_windows(tx, &[actor.id], now).await?;
            let windows = windows.iter().filter(|window| {
                window.purpose == purpose && after.is_none_or(|it| window.patient > it)
            });
            rows.extend(windows.map(|window| window.patient));
            rows = distinct(rows.into_iter());
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(rows)
    }

    fn key(row: &UserId) -> UserId {
        *row
    }

    /// What these patients let the caller do, as it is decided under their locks; those who let them do nothing are
    /// left out.
    async fn decided(&self, tx: &mut Tx<'_>, patients: &[UserId]) -> Result<Vec<LettingIn>, Error> {
        let facts = Facts::gather(tx, [&self.caller], patients.iter().copied()).await?;
        let asks = [(&self.caller, Some(self.purpose))].into_iter();
        let facts = facts.with_emergencies(tx, asks).await?;
        let actor = facts.actor(&self.caller)?;
        let numbers = records::numbers(tx, patients).await?;
        let purpose = self.purpose;
        let of = |patient: UserId| {
            let consents = facts.consents_of(patient);
            let subject = AccessSubject::Person(actor);
            let permitted = permissions_for(purpose, subject, patient, consents, facts.now);
            let emergency = facts.emergency(&self.caller, patient, purpose);
            let types = |action| {
                permitted_types(
                    action, actor, patient, purpose, emergency, consents, facts.now,
                )
            };
            let findable: Vec<RecordType> = types(Action::Search);
            let by_consent =
                |of: &RecordType| permitted.contains_key(&(purpose, Action::Search, *of));
            let by_window = findable.iter().any(|of| !by_consent(of));
            let emergency =
                emergency.filter(|_| by_window || types(Action::Read).len() > findable.len());
            let theirs = numbers.iter().filter(|number| number.patient == patient);
            let found = theirs.filter(|number: &&Number| findable.contains(&number.record_type));
            let records = found.map(|number| number.records).sum();
            let accesses = in_short(&permitted);
            let decision = LettingIn::deciding(&accesses).map(PermitReason::Consent);
            let reached = |reason| facts.country_reached(Decision::Permit(reason), actor, patient);
            (!permitted.is_empty() || emergency.is_some()).then(|| LettingIn {
                patient,
                destination: decision.and_then(reached),
                accesses,
                emergency_until: emergency.map(|emergency| emergency.window.ends_at()),
                records,
            })
        };
        Ok(patients.iter().copied().filter_map(of).collect())
    }

    fn entry(&self, shown: Option<&LettingIn>) -> AuditEntry {
        let entry = self.entry_of(AuditAction::RecordSearch);
        let count = shown.map_or(0, |shown| shown.records);
        let accesses = shown.map_or(&[][..], |shown| &shown.accesses);
        let destination = shown.and_then(|shown| shown.destination);
        AuditEntry {
            new_value: Some(json!({ "list": "patients", "count": count })),
            consent: LettingIn::deciding(accesses),
            destination: destination.map(|country| country.to_string()),
            patient: shown.map(|shown| shown.patient),
            ..entry
        }
    }
}
