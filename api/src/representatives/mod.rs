//! Representatives: named by patients, or by two administrators; and ended.
//!
//! What somebody may do for a patient is decided where the patient's own request is (`crate::facts`, `crate::caller`);
//! here representations come and go.

mod administrators;
mod appoint;
mod end;
pub(crate) mod graphql;
mod list;

use chrono::{DateTime, SubsecRound as _, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    break_glass::NotificationKind,
    ids::UserId,
    purpose::Purpose,
    representatives::{
        InvalidTerm, Relationship, Representation, RepresentedActivities, RepresentedActivity,
        check_term,
    },
    users::Role,
};
use serde_json::{Value, json};
use store::{
    StoreError, Tx, audit,
    notifications::{self, NewNotification},
};
use uuid::Uuid;

use crate::{
    caller::Caller,
    error::{Error, check_kept_time},
};

/// Who is to act for a patient, in what, and for how long.
#[derive(Debug, Clone)]
struct RepresentativeTerms {
    representative: UserId,
    relationship: Relationship,
    activities: Vec<RepresentedActivity>,
    from: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
}

impl RepresentativeTerms {
    /// As exactly as the database keeps them, and so as they are sealed.
    fn to_microseconds(&self) -> Self {
        Self {
            from: self.from.map(|from| from.trunc_subsecs(6)),
            until: self.until.trunc_subsecs(6),
            ..self.clone()
        }
    }

    fn activities(&self) -> RepresentedActivities {
        RepresentedActivities::of(self.activities.iter().copied())
    }

    /// What is wrong with them, whoever is named.
    fn checks(&self, now: DateTime<Utc>) -> [Result<(), Error>; 4] {
        let term = check_term(self.from, self.until, now);
        // Where it would last to a time that is to come, it begins too late.
        let begins_too_late = term == Err(InvalidTerm::Over) && self.until > now;
        let field = if begins_too_late {
            "validFrom"
        } else {
            "validUntil"
        };
        [
            self.check_activities(),
            check_kept_time("validFrom", self.from),
            check_kept_time("validUntil", Some(self.until)),
            term.map_err(|error| Error::bad(field, error.to_string())),
        ]
    }

    fn check_activities(&self) -> Result<(), Error> {
        let activities = self.activities();
        let changes = activities.contains(RepresentedActivity::ChangeConsents);
        if activities.is_empty() {
            Err(Error::bad("activities", "name at least one activity"))
        } else if changes && !activities.contains(RepresentedActivity::ReadConsents) {
            let told = "whoever changes consents is shown them: name READ_CONSENTS, too";
            Err(Error::bad("activities", told))
        } else {
            Ok(())
        }
    }

    /// Whether this is what was appointed already.
    fn are_those_of(&self, made: &Representation) -> bool {
        made.appointment.is_none()
            && made.representative == self.representative
            && made.relationship == self.relationship
            && made.activities == self.activities()
            && made.until == self.until
            && self.from.is_none_or(|from| from == made.from)
    }
}

/// Whether somebody can represent this patient: an active account, not the patient's own, and no administrator's. Why not
/// is not said: accounts are nobody else's business.
async fn check_representative(
    tx: &mut Tx<'_>,
    caller: &Caller,
    patient: UserId,
    representative: UserId,
) -> Result<Result<(), Error>, StoreError> {
    let account = caller.seals.account(tx, representative).await?;
    let is_fit = account.is_some_and(|it| it.is_active && it.role != Role::Admin);
    if is_fit && representative != patient {
        return Ok(Ok(()));
    }
    let told = "there is no such person who could represent this patient";
    Ok(Err(Error::bad("representativeId", told)))
}

/// The entry of what somebody did about a representation, or about a proposal of one.
fn entry(caller: &Caller, action: AuditAction, about: Uuid, patient: UserId) -> AuditEntry {
    let purpose = if caller.user == patient {
        Purpose::PatientRequest
    } else {
        Purpose::SystemAdministration
    };
    AuditEntry {
        resource_type: ResourceType::Representative,
        resource_id: about,
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(patient),
        ..caller.entry(action, purpose)
    }
}

/// What an audit row keeps of a representation: never its reason.
pub(crate) fn evidence(made: &Representation) -> Value {
    json!({
        "representative": made.representative,
        "relationship": made.relationship,
        "activities": made.activities.iter().collect::<Vec<_>>(),
        "from": made.from,
        "until": made.until,
        "endedAt": made.ended_at,
    })
}

/// Writes down that something was refused that only administrators do about representatives, and answers why. A patient is named
/// only where there is one.
async fn refuse<T>(
    mut tx: Tx<'_>,
    caller: &Caller,
    (about, patient): (Uuid, Option<UserId>),
    (reason, wanted): (&str, AuditAction),
    error: Error,
) -> Result<T, Error> {
    let denied = AuditEntry {
        action: AuditAction::AccessDenied,
        new_value: Some(json!({ "reason": reason, "wanted": wanted })),
        patient,
        purpose: Purpose::SystemAdministration,
        ..entry(caller, wanted, about, patient.unwrap_or(caller.user))
    };
    audit::insert(&mut tx, &[denied]).await?;
    tx.commit().await?;
    Err(error)
}

/// Tells the patient and the representative, but not whoever did it.
async fn tell(
    tx: &mut Tx<'_>,
    caller: &Caller,
    made: &Representation,
    kind: NotificationKind,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let people = [made.patient, made.representative].into_iter();
    let told = people.filter(|user| *user != caller.user);
    let told = told.map(|user| NewNotification {
        user,
        kind,
        actor: caller.user,
        resource: made.id.0,
        at,
    });
    notifications::append(tx, &told.collect::<Vec<_>>()).await
}

/// The error where a patient has as many representatives as may be.
fn too_many() -> Error {
    Error::LimitReached {
        field: "representativeId",
        message: format!(
            "{} representatives are appointed, and no more can be: end one first",
            domain::representatives::MAX_REPRESENTATIVES
        ),
    }
}
