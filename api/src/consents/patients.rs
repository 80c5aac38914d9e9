//! The patients who let a doctor in.

use domain::{
    access::{
        Action, Actor,
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
    Pool, StoreError, Tx,
    consents::reach,
    records::{self, Number},
};

use super::looking::{LookedFor, Looking, look_for};
use crate::{caller::Caller, error::Error, facts::Facts};

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

    async fn rows(
        &self,
        tx: &mut Tx<'_>,
        actor: Actor,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<UserId>, StoreError> {
        reach::letting_in(tx, actor, self.purpose, after, limit).await
    }

    fn key(row: &UserId) -> UserId {
        *row
    }

    /// What these patients let the caller do, as it is decided under their locks; those who let them do nothing are
    /// left out.
    async fn decided(&self, tx: &mut Tx<'_>, patients: &[UserId]) -> Result<Vec<LettingIn>, Error> {
        let facts = Facts::gather(tx, [&self.caller], patients.iter().copied()).await?;
        let actor = facts.actor(&self.caller)?;
        let numbers = records::numbers(tx, patients).await?;
        let purpose = self.purpose;
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

    fn entry(&self, shown: Option<&LettingIn>) -> AuditEntry {
        let entry = self.entry_of(AuditAction::RecordSearch);
        let count = shown.map_or(0, |shown| shown.records);
        let searches = |access: &&Access| access.actions.contains(&Action::Search);
        let accesses = shown.map_or(&[][..], |shown| &shown.accesses);
        let deciding = accesses.iter().find(searches).or(accesses.first());
        AuditEntry {
            new_value: Some(json!({ "list": "patients", "count": count })),
            consent: deciding.map(|access| access.consent),
            patient: shown.map(|shown| shown.patient),
            ..entry
        }
    }
}
