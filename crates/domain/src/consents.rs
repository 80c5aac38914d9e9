//! Consents: who may do what with which of a patient's data, for what, from when to when.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConsentId, OrganizationId, UserId},
    purpose::Purpose,
    records::RecordType,
    text::text_enum,
    users::Role,
};

text_enum! {
    /// What may be done with data, or that nothing may.
    Activity {
        /// Open a record.
        Read = "READ",
        /// Find records.
        Search = "SEARCH",
        /// Write a record.
        Create = "CREATE",
        /// Write a new version.
        Amend = "AMEND",
        /// Take a copy out.
        Export = "EXPORT",
        /// Send abroad.
        Transfer = "TRANSFER",
        /// A refusal: nobody named here may do anything.
        Deny = "DENY",
    }
}

/// The text in `data_categories` that stands for all eight record types.
pub const ALL_RECORDS: &str = "ALL_RECORDS";

/// One record type, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Every record.
    All,
    /// Records of this type.
    Only(RecordType),
}

impl Category {
    /// The text it is stored as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => ALL_RECORDS,
            Self::Only(record_type) => record_type.as_str(),
        }
    }
}

impl Serialize for Category {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Category {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == ALL_RECORDS {
            return Ok(Self::All);
        }
        text.parse()
            .map(Self::Only)
            .map_err(serde::de::Error::custom)
    }
}

/// Who is let in, or kept out: one element of `third_parties`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Grantee {
    /// One person.
    User {
        /// Who.
        id: UserId,
    },
    /// Everybody of a role.
    Role {
        /// Which role.
        role: Role,
    },
    /// Everybody of an organisation.
    Org {
        /// Which organisation.
        id: OrganizationId,
        /// Where it is, ISO 3166-1 alpha-2.
        country: String,
    },
}

impl Grantee {
    /// Whether it is an organisation whose country is none: two capital letters name one (ISO 3166).
    fn is_of_no_country(&self) -> bool {
        match self {
            Self::Org { country, .. } => {
                country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase())
            }
            Self::User { .. } | Self::Role { .. } => false,
        }
    }
}

/// One row of `data_processing_consents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Which.
    pub id: ConsentId,
    /// Whose data.
    pub patient: UserId,
    /// What for.
    pub purpose: Purpose,
    /// From when on.
    pub given_at: DateTime<Utc>,
    /// Until when, exclusive; never ends where `None`.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// Which data.
    pub categories: Vec<Category>,
    /// What may be done, or [`Activity::Deny`].
    pub activities: Vec<Activity>,
    /// Who. Nobody where empty; a refusal that names nobody keeps everybody out.
    pub grantees: Vec<Grantee>,
}

impl Consent {
    /// Whether it holds at `now`: from the moment it was given, up to but not including its end.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.given_at <= now
            && self.expires_at.is_none_or(|end| now < end)
            && self.withdrawn_at.is_none_or(|end| now < end)
    }

    /// Whether this row lets somebody in whom `other` lets in, too, to do some of the same with some of the
    /// same data for the same purpose. A role or an organisation may hold anybody: it counts.
    pub fn allows_some_of(&self, other: &Self) -> bool {
        let categories = self.categories.iter().any(|ours| {
            let theirs = &other.categories;
            theirs.contains(ours) || theirs.contains(&Category::All) || *ours == Category::All
        });
        let activities = self
            .activities
            .iter()
            .any(|ours| other.activities.contains(ours));
        let grantees = self.grantees.iter().any(|ours| {
            let may_be = |theirs: &Grantee| match (ours, theirs) {
                (Grantee::User { id }, Grantee::User { id: other }) => id == other,
                (Grantee::Role { role }, Grantee::Role { role: other }) => role == other,
                _ => true,
            };
            other.grantees.iter().any(may_be)
        });
        let allow = !self.is_denial() && !other.is_denial();
        allow && self.purpose == other.purpose && categories && activities && grantees
    }

    /// Whether this row refuses rather than allows.
    pub fn is_denial(&self) -> bool {
        self.activities.contains(&Activity::Deny)
    }
}

/// Why a consent cannot be given as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConsent {
    /// No category.
    #[error("name at least one data category, or ALL_RECORDS")]
    NoCategory,
    /// More than [`MAX_CATEGORIES`].
    #[error("at most {MAX_CATEGORIES} data categories: there are no more")]
    TooManyCategories,
    /// No activity.
    #[error("name at least one processing activity, or DENY")]
    NoActivity,
    /// More than [`MAX_ACTIVITIES`].
    #[error("at most {MAX_ACTIVITIES} processing activities: there are no more")]
    TooManyActivities,
    /// A refusal that also allows.
    #[error("DENY stands alone: a consent either refuses or allows")]
    MixedDenial,
    /// Nobody is let in.
    #[error("name at least one grantee")]
    NoGrantee,
    /// It would be over before it began.
    #[error("a consent must expire after now")]
    AlreadyExpired,
    /// More than [`MAX_GRANTEES`] grantees.
    #[error("at most {MAX_GRANTEES} grantees")]
    TooManyGrantees,
    /// Not two capital letters.
    #[error("a country is two capital letters, as ISO 3166-1 alpha-2 writes it")]
    Country,
    /// A refusal that whoever has a code would be named by.
    #[error("a code lets somebody in: refuse by grantConsent")]
    DenialByCode,
    /// It would be over before its code is.
    #[error(
        "a consent that is given by a code must expire after the code, which is good for 15 minutes"
    )]
    EndsBeforeCode,
    /// Not a purpose a third party can act for.
    #[error("nobody but the patient acts for PATRQT, so it needs no consent")]
    OwnPurpose,
}

/// The most data categories a list may name: the record types, and all of them. A table's CHECK says the
/// same (`data_processing_consents_categories_check`).
pub const MAX_CATEGORIES: usize = RecordType::ALL.len() + 1;

/// The most processing activities a list may name: as many as there are. A table's CHECK says the same
/// (`data_processing_consents_activities_check`).
pub const MAX_ACTIVITIES: usize = Activity::ALL.len();

/// The most grantees one consent may name; more are more consents. A table's CHECK says the same
/// (`data_processing_consents_grantees_check`).
pub const MAX_GRANTEES: usize = 100;

/// The most consents of one patient that hold at the same time.
///
/// Where several people ask at once, a decision about a patient reads all of them. A hundred is more
/// than one for each purpose and record type, and is read in a few milliseconds.
pub const MAX_CONSENTS_IN_FORCE: usize = 100;

/// A list of data categories as the set that it means, in a fixed order.
///
/// # Errors
/// [`InvalidConsent::NoCategory`], [`InvalidConsent::TooManyCategories`].
pub fn set_of_categories(named: Vec<Category>) -> Result<Vec<Category>, InvalidConsent> {
    if named.is_empty() {
        return Err(InvalidConsent::NoCategory);
    }
    if named.len() > MAX_CATEGORIES {
        return Err(InvalidConsent::TooManyCategories);
    }
    Ok(set_of(named))
}

/// What a patient wants to allow or refuse.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What for.
    pub purpose: Purpose,
    /// Which data.
    pub categories: Vec<Category>,
    /// What may be done.
    pub activities: Vec<Activity>,
    /// Who.
    pub grantees: Vec<Grantee>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Terms {
    /// Which lists are longer than the sets that they mean can be.
    pub fn too_long(&self) -> Vec<InvalidConsent> {
        let broken = [
            (
                self.categories.len() > MAX_CATEGORIES,
                InvalidConsent::TooManyCategories,
            ),
            (
                self.activities.len() > MAX_ACTIVITIES,
                InvalidConsent::TooManyActivities,
            ),
            (
                self.grantees.len() > MAX_GRANTEES,
                InvalidConsent::TooManyGrantees,
            ),
        ];
        those(broken)
    }

    /// The same terms with each list as the set that it means, in a fixed order.
    #[must_use]
    pub fn into_sets(self) -> Self {
        Self {
            categories: set_of(self.categories),
            activities: set_of(self.activities),
            grantees: set_of(self.grantees),
            // The database keeps microseconds.
            expires_at: self.expires_at.map(|end| end.trunc_subsecs(6)),
            ..self
        }
    }

    /// Whether a consent says exactly this: the same purpose, end, and sets.
    pub fn are_those_of(&self, consent: &Consent) -> bool {
        fn same<T: Ord>(some: &[T], others: &[T]) -> bool {
            BTreeSet::from_iter(some) == BTreeSet::from_iter(others)
        }
        self.purpose == consent.purpose
            && self.expires_at == consent.expires_at
            && same(&self.categories, &consent.categories)
            && same(&self.activities, &consent.activities)
            && same(&self.grantees, &consent.grantees)
    }

    /// Every rule that these terms, as sets, break at `now`.
    pub fn broken_rules(&self, now: DateTime<Utc>) -> Vec<InvalidConsent> {
        let denial = self.activities.contains(&Activity::Deny);
        let broken = [
            (
                self.purpose == Purpose::PatientRequest,
                InvalidConsent::OwnPurpose,
            ),
            (self.categories.is_empty(), InvalidConsent::NoCategory),
            (self.activities.is_empty(), InvalidConsent::NoActivity),
            (
                denial && self.activities.len() > 1,
                InvalidConsent::MixedDenial,
            ),
            (
                self.grantees.is_empty() && !denial,
                InvalidConsent::NoGrantee,
            ),
            (
                self.expires_at.is_some_and(|end| end <= now),
                InvalidConsent::AlreadyExpired,
            ),
            (
                self.grantees.iter().any(Grantee::is_of_no_country),
                InvalidConsent::Country,
            ),
        ];
        those(broken)
    }
}

fn those(rules: impl IntoIterator<Item = (bool, InvalidConsent)>) -> Vec<InvalidConsent> {
    let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
    broken.map(|(_, rule)| rule).collect()
}

fn set_of<T: Ord>(mut named: Vec<T>) -> Vec<T> {
    named.sort_unstable();
    named.dedup();
    named
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn third_parties_are_stored_in_the_form_the_design_settled() {
        let user = Grantee::User {
            id: UserId(Uuid::nil()),
        };
        let role = Grantee::Role { role: Role::Doctor };
        assert_eq!(
            json!([user, role]),
            json!([
                {"kind": "user", "id": "00000000-0000-0000-0000-000000000000"},
                {"kind": "role", "role": "DOCTOR"}
            ])
        );
        assert_eq!(
            json!([Category::All, Category::Only(RecordType::Imaging)]),
            json!(["ALL_RECORDS", "IMAGING"])
        );
    }

    #[test]
    fn a_consent_holds_in_a_half_open_interval() {
        let start = DateTime::UNIX_EPOCH;
        let second = TimeDelta::seconds(1);
        let consent = Consent {
            id: ConsentId(Uuid::nil()),
            patient: UserId(Uuid::nil()),
            purpose: Purpose::Treatment,
            given_at: start,
            expires_at: Some(start + second * 9),
            withdrawn_at: Some(start + second * 5),
            categories: vec![Category::All],
            activities: vec![Activity::Read],
            grantees: vec![],
        };
        for (at, active) in [(-1, false), (0, true), (4, true), (5, false), (9, false)] {
            assert_eq!(consent.is_active(start + second * at), active, "at {at}");
        }
    }

    #[test]
    fn access_remains_by_what_allows_some_of_the_same_to_some_of_the_same() {
        let user = |low| Grantee::User {
            id: UserId(Uuid::from_u128(low)),
        };
        let consent =
            |activities: &[Activity], categories: &[Category], grantees: &[Grantee]| Consent {
                id: ConsentId(Uuid::nil()),
                patient: UserId(Uuid::nil()),
                purpose: Purpose::Treatment,
                given_at: DateTime::UNIX_EPOCH,
                expires_at: None,
                withdrawn_at: None,
                categories: categories.to_vec(),
                activities: activities.to_vec(),
                grantees: grantees.to_vec(),
            };
        let imaging = Category::Only(RecordType::Imaging);
        let doctors = Grantee::Role { role: Role::Doctor };
        let patients = Grantee::Role {
            role: Role::Patient,
        };
        let taken = consent(&[Activity::Read], &[imaging], &[user(1)]);
        let elsewhere = Consent {
            purpose: Purpose::PatientRequest,
            ..taken.clone()
        };
        for (other, remains) in [
            (taken.clone(), true),
            (elsewhere, false),
            (
                consent(
                    &[Activity::Read, Activity::Search],
                    &[Category::All],
                    &[user(2), user(1)],
                ),
                true,
            ),
            (
                consent(
                    &[Activity::Read],
                    &[imaging],
                    std::slice::from_ref(&doctors),
                ),
                true,
            ),
            (consent(&[Activity::Read], &[imaging], &[user(2)]), false),
            (consent(&[Activity::Search], &[imaging], &[user(1)]), false),
            (consent(&[Activity::Deny], &[imaging], &[user(1)]), false),
            (
                consent(
                    &[Activity::Read],
                    &[Category::Only(RecordType::Diagnosis)],
                    &[user(1)],
                ),
                false,
            ),
        ] {
            assert_eq!(other.allows_some_of(&taken), remains, "{other:?}");
        }
        let of_doctors = consent(&[Activity::Read], &[imaging], &[doctors]);
        let of_patients = consent(&[Activity::Read], &[imaging], &[patients]);
        assert!(!of_doctors.allows_some_of(&of_patients));
    }

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        let now = DateTime::UNIX_EPOCH;
        let good = Terms {
            purpose: Purpose::Treatment,
            categories: vec![Category::All],
            activities: vec![Activity::Read],
            grantees: vec![Grantee::Role { role: Role::Doctor }],
            expires_at: None,
        };
        let refusal = |change: fn(&mut Terms)| {
            let mut terms = good.clone();
            change(&mut terms);
            terms.broken_rules(now)
        };
        assert_eq!(refusal(|_| ()), []);
        assert_eq!(
            refusal(|t| t.categories.clear()),
            [InvalidConsent::NoCategory]
        );
        assert_eq!(
            refusal(|t| t.activities.clear()),
            [InvalidConsent::NoActivity]
        );
        assert_eq!(
            refusal(|t| t.activities.push(Activity::Deny)),
            [InvalidConsent::MixedDenial]
        );
        assert_eq!(refusal(|t| t.grantees.clear()), [InvalidConsent::NoGrantee]);
        assert_eq!(
            refusal(|t| t.expires_at = Some(DateTime::UNIX_EPOCH)),
            [InvalidConsent::AlreadyExpired]
        );
        assert_eq!(
            refusal(|t| t.purpose = Purpose::PatientRequest),
            [InvalidConsent::OwnPurpose]
        );
        let refuse_all = |t: &mut Terms| {
            t.activities = vec![Activity::Deny];
            t.grantees.clear();
        };
        assert_eq!(refusal(refuse_all), []);
        let abroad = |t: &mut Terms| {
            let id = OrganizationId(Uuid::nil());
            t.grantees = vec![Grantee::Org {
                id,
                country: "id".into(),
            }];
        };
        assert_eq!(refusal(abroad), [InvalidConsent::Country]);
        let all_at_once = |t: &mut Terms| {
            t.purpose = Purpose::PatientRequest;
            t.categories.clear();
            t.activities.clear();
            t.grantees.clear();
        };
        assert_eq!(
            refusal(all_at_once),
            [
                InvalidConsent::OwnPurpose,
                InvalidConsent::NoCategory,
                InvalidConsent::NoActivity,
                InvalidConsent::NoGrantee
            ]
        );
    }
}
