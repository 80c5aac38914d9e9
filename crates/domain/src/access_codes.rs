//! Consents that a patient has prepared without a grantee: whoever redeems the code becomes it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    consents::{Activity, Category, Grantee, InvalidConsent, Terms},
    ids::{AccessCodeId, ConsentId, UserId},
    purpose::Purpose,
};

/// For how long a code may be redeemed.
pub const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// The most codes of one patient that may be redeemed at the same time.
pub const MAX_OPEN_CODES: usize = 10;

/// One row of `access_codes` that is neither redeemed nor cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedConsent {
    /// `id`: that of the consent which it becomes, so that it becomes one only.
    pub id: AccessCodeId,
    /// `user_id`: whose data.
    pub patient: UserId,
    /// `code_hash`: what the code is found by.
    pub code_hash: [u8; 32],
    /// `purpose`.
    pub purpose: Purpose,
    /// `data_categories`.
    pub categories: Vec<Category>,
    /// `processing_activities`.
    pub activities: Vec<Activity>,
    /// `consent_expires_at`: until when the consent will hold.
    pub consent_expires_at: Option<DateTime<Utc>>,
    /// `created_at`.
    pub created_at: DateTime<Utc>,
    /// `expires_at`: until when the code may be redeemed, exclusive.
    pub expires_at: DateTime<Utc>,
}

impl PreparedConsent {
    /// What these terms, as sets, become now, under this hash of a code. Whom they name is left out.
    pub fn new(patient: UserId, code_hash: [u8; 32], terms: Terms, now: DateTime<Utc>) -> Self {
        Self {
            id: AccessCodeId::fresh(),
            patient,
            code_hash,
            purpose: terms.purpose,
            categories: terms.categories,
            activities: terms.activities,
            consent_expires_at: terms.expires_at,
            created_at: now,
            expires_at: now + CODE_LIFETIME,
        }
    }

    /// Whether its code may be redeemed at `now`.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.created_at <= now && now < self.expires_at
    }

    /// The terms of the consent that this person becomes the grantee of.
    pub fn terms_for(&self, grantee: UserId) -> Terms {
        Terms {
            purpose: self.purpose,
            categories: self.categories.clone(),
            activities: self.activities.clone(),
            grantees: vec![Grantee::User { id: grantee }],
            expires_at: self.consent_expires_at,
        }
    }

    /// The id of the consent that it becomes.
    pub const fn consent(&self) -> ConsentId {
        ConsentId(self.id.0)
    }
}

/// Every rule that terms without a grantee, as sets, break at `now`, where a code is to let somebody in by them.
pub fn broken_rules(terms: &Terms, now: DateTime<Utc>) -> Vec<InvalidConsent> {
    let broken = terms.broken_rules(now).into_iter();
    let mut broken: Vec<InvalidConsent> = broken
        .filter(|rule| *rule != InvalidConsent::NoGrantee)
        .collect();
    if terms.activities.contains(&Activity::Deny) {
        broken.push(InvalidConsent::DenialByCode);
    }
    let ends_too_early = terms
        .expires_at
        .is_some_and(|end| now < end && end <= now + CODE_LIFETIME);
    if ends_too_early {
        broken.push(InvalidConsent::EndsBeforeCode);
    }
    broken
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn terms() -> Terms {
        Terms {
            purpose: Purpose::Treatment,
            categories: vec![Category::All],
            activities: vec![Activity::Read],
            grantees: Vec::new(),
            expires_at: None,
        }
    }

    #[test]
    fn a_code_lets_in_by_what_a_consent_could_say_and_refuses_nobody() {
        let now = DateTime::UNIX_EPOCH;
        let broken = |change: fn(&mut Terms)| {
            let mut terms = terms();
            change(&mut terms);
            broken_rules(&terms, now)
        };
        let ends = |minutes| Some(DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes));
        assert_eq!(broken(|_| ()), []);
        assert_eq!(
            broken(|it| it.activities = vec![Activity::Deny]),
            [InvalidConsent::DenialByCode]
        );
        assert_eq!(
            broken(|it| it.purpose = Purpose::PatientRequest),
            [InvalidConsent::OwnPurpose]
        );
        assert_eq!(
            broken(|it| it.categories.clear()),
            [InvalidConsent::NoCategory]
        );
        for (minutes, wanted) in [
            (0, vec![InvalidConsent::AlreadyExpired]),
            (1, vec![InvalidConsent::EndsBeforeCode]),
            (15, vec![InvalidConsent::EndsBeforeCode]),
            (16, vec![]),
        ] {
            let terms = Terms {
                expires_at: ends(minutes),
                ..terms()
            };
            assert_eq!(broken_rules(&terms, now), wanted, "{minutes}");
        }
    }

    #[test]
    fn a_code_is_open_in_a_half_open_interval_and_becomes_one_consent() {
        let now = DateTime::UNIX_EPOCH;
        let prepared = PreparedConsent::new(UserId(Uuid::nil()), [7; 32], terms(), now);
        for (seconds, is_open) in [(-1, false), (0, true), (899, true), (900, false)] {
            let at = now + TimeDelta::seconds(seconds);
            assert_eq!(prepared.is_open(at), is_open, "{seconds}");
        }
        let doctor = UserId(Uuid::from_u128(2));
        let terms = prepared.terms_for(doctor);
        assert_eq!(terms.grantees, [Grantee::User { id: doctor }]);
        assert_eq!(terms.categories, prepared.categories);
        assert_eq!(prepared.consent().0, prepared.id.0);
    }
}
