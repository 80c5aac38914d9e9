//! Organisations, and who belongs to them from when to when. Whom a consent to an organisation lets in, `access` decides.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, Utc};
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    countries::Country,
    ids::{MembershipId, OrganizationId, UserId},
    users::names::is_of_a_name,
};

/// The most organisations that one doctor belongs to at a time. Every decision about the doctor reads all of them.
pub const MAX_MEMBERSHIPS: usize = 8;

/// The most memberships that one doctor has in all, those that are over among them: every decision reads them, too.
pub const MAX_MEMBERSHIPS_EVER: usize = 100;

/// The most members that an organisation has whose membership is not over. What changes the organisation holds back a
/// decision about each of them, by a lock of the database, of which there are a few thousand.
pub const MAX_MEMBERS: usize = 1000;

/// The shortest and the longest name. Unit: characters; the longest is the column's.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=200;

/// What stands in the name of an organisation besides letters, digits and marks.
const PUNCTUATION: &str = " .,:;-–/&+#'’\"()";

/// The name of an organisation: Unicode's NFKC, with one blank between words and none at its ends, so that no two that look
/// alike differ in what cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationName(String);

/// A text that is no name of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of an organisation has 2 to 200 characters, two letters or digits at least, and besides letters and digits blanks and . , : ; - – / & + # ' ’ \" ( ) alone"
)]
pub struct InvalidOrganizationName;

impl OrganizationName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidOrganizationName`].
    pub fn parse(text: &str) -> Result<Self, InvalidOrganizationName> {
        let text = text.trim();
        let name: String = text.nfkc().collect();
        let words: Vec<&str> = name.split_whitespace().collect();
        let name = words.join(" ");
        let lettered = name.chars().filter(|c| c.is_alphanumeric()).count();
        let is_one = NAME_CHARS.contains(&name.chars().count())
            && lettered >= *NAME_CHARS.start()
            && name
                .chars()
                .all(|c| is_of_a_name(c) || PUNCTUATION.contains(c))
            && !text.chars().any(char::is_control);
        is_one.then_some(Self(name)).ok_or(InvalidOrganizationName)
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One row of `organizations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Which.
    pub id: OrganizationId,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub country: Country,
    /// Whether a consent to it lets anybody in.
    pub is_active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// One row of `memberships`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Which.
    pub id: MembershipId,
    /// Who belongs.
    pub doctor: UserId,
    /// To what.
    pub organization: OrganizationId,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when, exclusive; without an end where `None`.
    pub until: Option<DateTime<Utc>>,
    /// When an administrator ended it.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

impl Membership {
    /// When it is over, exclusive.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let ends = [self.until, self.ended_at].into_iter().flatten();
        ends.min()
    }

    /// Whether the doctor belongs to the organisation at `now`.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && !self.is_over(now)
    }

    /// Whether it is over at `now`, and never begins again.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.ends_at().is_some_and(|end| end <= now)
    }

    /// When the doctor left the organisation, who belonged to it before `now` and does no more by this membership.
    pub fn left_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = self.ends_at();
        end.filter(|end| self.from < *end && *end <= now)
    }

    /// Whether there is a moment at which both are in force.
    pub fn overlaps(&self, other: &Self) -> bool {
        let begins_in = |one: &Self, two: &Self| two.ends_at().is_none_or(|end| one.from < end);
        begins_in(self, other) && begins_in(other, self)
    }
}

/// What belonging to an organisation can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrganizationReach {
    /// It is in the home country.
    Home,
    /// It is in another country, to which data may be sent: a consent must allow TRANSFER.
    Abroad,
    /// It is inactive, or in a country to which nothing may be sent: nobody is let in through it. A refusal to it holds.
    Closed,
}

/// An organisation that a doctor belongs to at the moment of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentMembership {
    /// Which organisation.
    pub organization: OrganizationId,
    /// Where it is.
    pub country: Country,
    /// What belonging to it can open.
    pub reach: OrganizationReach,
    /// Until when, exclusive, if nobody ends it before; without an end where `None`.
    pub until: Option<DateTime<Utc>>,
}

/// The organisations that a doctor belongs to at the moment of a decision, at most [`MAX_MEMBERSHIPS`], and those that the
/// doctor left: a refusal that was given before that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CurrentMemberships {
    known: [Option<CurrentMembership>; MAX_MEMBERSHIPS],
    some_unknown: bool,
    /// The organisations that were left last, each with the moment.
    left: [Option<(OrganizationId, DateTime<Utc>)>; MAX_MEMBERSHIPS],
    /// When the last of all others was left.
    left_before: Option<DateTime<Utc>>,
}

impl CurrentMemberships {
    /// These, each organisation once. Of more than [`MAX_MEMBERSHIPS`] the rest is unknown.
    pub fn of(all: impl IntoIterator<Item = CurrentMembership>) -> Self {
        let mut memberships = Self::default();
        for one in all {
            if memberships
                .all()
                .any(|it| it.organization == one.organization)
            {
                continue;
            }
            match memberships.known.iter_mut().find(|it| it.is_none()) {
                Some(free) => *free = Some(one),
                None => memberships.some_unknown = true,
            }
        }
        memberships
    }

    /// The same where a row that says to what the doctor belongs cannot be believed: nobody is let in by that row, and a
    /// refusal to any organisation holds.
    #[must_use]
    pub const fn with_unknown(self) -> Self {
        Self {
            some_unknown: true,
            ..self
        }
    }

    /// The same with organisations that the doctor left, in any order, each with the moment. Of more than
    /// [`MAX_MEMBERSHIPS`] it is known only when the rest was left.
    #[must_use]
    pub fn with_left(self, all: impl IntoIterator<Item = (OrganizationId, DateTime<Utc>)>) -> Self {
        let mut ends = BTreeMap::<OrganizationId, DateTime<Utc>>::new();
        for (organization, end) in all {
            let latest = ends.entry(organization).or_insert(end);
            *latest = end.max(*latest);
        }
        let mut newest: Vec<_> = ends.into_iter().collect();
        newest.sort_by_key(|(_, end)| Reverse(*end));
        let mut left = [None; MAX_MEMBERSHIPS];
        for (place, one) in left.iter_mut().zip(&newest) {
            *place = Some(*one);
        }
        let left_before = newest.get(MAX_MEMBERSHIPS).map(|(_, end)| *end);
        Self {
            left,
            left_before,
            ..self
        }
    }

    /// The organisations that were left last, each with the moment.
    pub fn left(&self) -> impl Iterator<Item = (OrganizationId, DateTime<Utc>)> {
        self.left.iter().flatten().copied()
    }

    /// Whether others were left before those.
    pub const fn left_others(&self) -> bool {
        self.left_before.is_some()
    }

    /// Whether the doctor left any organisation.
    pub fn has_left(&self) -> bool {
        self.left().next().is_some()
    }

    /// Whether the doctor left this organisation at `moment` or later, or may have.
    pub fn left_since(&self, organization: OrganizationId, moment: DateTime<Utc>) -> bool {
        let is_meant =
            |(it, end): (OrganizationId, DateTime<Utc>)| it == organization && end >= moment;
        self.left().any(is_meant) || self.left_before.is_some_and(|end| end >= moment)
    }

    /// The same at a later moment, if nobody changes anything before.
    #[must_use]
    pub fn at(&self, now: DateTime<Utc>) -> Self {
        let is_over = |it: &&CurrentMembership| it.until.is_some_and(|until| until <= now);
        if !self.all().any(|it| is_over(&it)) {
            return *self;
        }
        let over = self.all().filter(is_over);
        let over = over.filter_map(|it| Some((it.organization, it.until?)));
        let current = self.all().filter(|it| !is_over(it)).copied();
        let later = Self::of(current).with_left(self.left().chain(over));
        Self {
            some_unknown: self.some_unknown,
            left_before: later.left_before.max(self.left_before),
            ..later
        }
    }

    /// When the next membership is over after this moment, if nobody ends one before.
    pub fn next_end(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ends = self.all().filter_map(|it| it.until);
        ends.filter(|end| *end > after).min()
    }

    /// Those that are known.
    pub fn all(&self) -> impl Iterator<Item = &CurrentMembership> {
        self.known.iter().flatten()
    }

    /// Whether the doctor may belong to others besides.
    pub const fn some_unknown(&self) -> bool {
        self.some_unknown
    }

    /// Whether the doctor may belong to this organisation.
    pub fn may_include(&self, organization: OrganizationId) -> bool {
        self.some_unknown || self.all().any(|it| it.organization == organization)
    }

    /// What the doctor may be let in by who belongs to this organisation, where it is in this country.
    pub fn reach(&self, organization: OrganizationId, country: &str) -> Option<OrganizationReach> {
        let mut all = self.all();
        let found = all.find(|it| it.organization == organization)?;
        (found.country.as_str() == country).then_some(found.reach)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn membership(from: i64, until: Option<i64>, ended_at: Option<i64>) -> Membership {
        Membership {
            id: MembershipId(Uuid::nil()),
            doctor: UserId(Uuid::nil()),
            organization: OrganizationId(Uuid::nil()),
            from: at(from),
            until: until.map(at),
            ended_at: ended_at.map(at),
            created_at: at(0),
        }
    }

    fn current(id: u128) -> CurrentMembership {
        CurrentMembership {
            organization: OrganizationId(Uuid::from_u128(id)),
            country: "ID".parse().expect("a country"),
            reach: OrganizationReach::Home,
            until: None,
        }
    }

    #[test]
    fn a_membership_holds_in_a_half_open_interval() {
        let planned = membership(2, Some(9), None);
        let ended = membership(2, Some(9), Some(5));
        let before_it_began = membership(2, None, Some(1));
        for (now, of_planned, of_ended) in [
            (1, false, false),
            (2, true, true),
            (4, true, true),
            (5, true, false),
            (8, true, false),
            (9, false, false),
        ] {
            assert_eq!(planned.is_in_force(at(now)), of_planned, "at {now}");
            assert_eq!(ended.is_in_force(at(now)), of_ended, "at {now}");
            assert!(!before_it_began.is_in_force(at(now)), "at {now}");
            assert!(membership(2, None, None).is_in_force(at(now)) == (now >= 2));
        }
    }

    #[test]
    fn two_overlap_where_a_moment_is_in_both() {
        for (one, two, wanted) in [
            ((0, Some(5)), (5, None), false),
            ((0, Some(5)), (4, None), true),
            ((0, None), (9, None), true),
            ((3, Some(4)), (0, Some(9)), true),
            ((0, Some(2)), (3, Some(4)), false),
        ] {
            let (one, two) = (
                membership(one.0, one.1, None),
                membership(two.0, two.1, None),
            );
            assert_eq!(one.overlaps(&two), wanted, "{one:?} {two:?}");
            assert_eq!(two.overlaps(&one), wanted, "{one:?} {two:?}");
        }
        assert!(!membership(0, None, Some(3)).overlaps(&membership(3, None, None)));
    }

    #[test]
    fn an_organization_is_left_by_who_belonged_to_it() {
        for (of, left) in [
            (membership(2, Some(9), None), None),
            (membership(2, Some(5), None), Some(5)),
            (membership(2, Some(9), Some(4)), Some(4)),
            (membership(2, None, Some(1)), None),
            (membership(2, None, Some(2)), None),
            (membership(2, None, None), None),
        ] {
            assert_eq!(of.left_at(at(5)), left.map(at), "{of:?}");
        }
    }

    #[test]
    fn what_was_left_is_known_of_the_last_and_may_be_any_of_the_others() {
        let organization = |nth: u32| OrganizationId(Uuid::from_u128(nth.into()));
        let none = CurrentMemberships::default();
        assert!(!none.has_left());
        assert!(!none.left_since(organization(1), at(0)));
        let twice = none.with_left([(organization(1), at(3)), (organization(1), at(7))]);
        let twice = twice.with_left([(organization(1), at(7)), (organization(1), at(3))]);
        assert_eq!(twice.left().count(), 1);
        assert!(!twice.left_others());
        for (moment, is_since) in [(2, true), (7, true), (8, false)] {
            assert_eq!(twice.left_since(organization(1), at(moment)), is_since);
            assert!(!twice.left_since(organization(2), at(moment)));
        }
        let many = none.with_left((1..=10).map(|nth| (organization(nth), at(nth.into()))));
        assert_eq!(many.left().count(), MAX_MEMBERSHIPS);
        assert!(many.left_others());
        assert!(many.left_since(organization(10), at(10)));
        assert!(!many.left_since(organization(3), at(4)));
        assert!(many.left_since(organization(1), at(2)));
        assert!(!many.left_since(organization(1), at(3)));
    }

    #[test]
    fn names_have_letters_and_nothing_that_cannot_be_seen() {
        for (text, name) in [
            (" RS Harapan Kita ", Some("RS Harapan Kita")),
            ("A1", Some("A1")),
            ("１２", Some("12")),
            ("A", None),
            ("- -", None),
            ("", None),
            ("a\nb", None),
            ("RS\u{a0} Harapan", Some("RS Harapan")),
            (
                "Klinik \"Ibu & Anak\" (Tbk.)",
                Some("Klinik \"Ibu & Anak\" (Tbk.)"),
            ),
            ("東京病院", Some("東京病院")),
            ("โรงพยาบาล", Some("โรงพยาบาล")),
            ("RS\u{200b}Harapan", None),
            ("RS \u{202e}Harapan", None),
            ("RS \u{3164}Harapan", None),
            ("RS Harapan \u{2705}", None),
        ] {
            let read = OrganizationName::parse(text).ok();
            assert_eq!(read.as_ref().map(OrganizationName::as_str), name, "{text}");
        }
        let long = "a".repeat(200);
        assert!(OrganizationName::parse(&long).is_ok());
        assert!(OrganizationName::parse(&format!("{long}a")).is_err());
    }

    #[test]
    fn what_ends_by_itself_is_left_then() {
        let ends = |nth, second| CurrentMembership {
            until: Some(at(second)),
            ..current(nth)
        };
        let some = CurrentMemberships::of([ends(1, 5), ends(2, 9), current(3)]);
        assert_eq!(some.at(at(4)), some);
        assert_eq!(some.next_end(at(4)), Some(at(5)));
        let later = some.with_unknown().at(at(5));
        assert!(later.some_unknown());
        assert_eq!(later.all().count(), 2);
        assert!(later.left_since(current(1).organization, at(5)));
        assert_eq!(later.next_end(at(5)), Some(at(9)));
        assert_eq!(later.next_end(at(9)), None);
    }

    #[test]
    fn what_is_unknown_opens_nothing_and_may_be_anything() {
        let home = OrganizationReach::Home;
        let some = CurrentMemberships::of([current(1), current(1), current(2)]);
        assert_eq!(some.all().count(), 2);
        assert_eq!(some.reach(current(1).organization, "ID"), Some(home));
        assert_eq!(some.reach(current(1).organization, "SG"), None);
        assert!(!some.may_include(current(3).organization));
        let less = some.with_unknown();
        assert!(less.may_include(current(3).organization));
        assert_eq!(less.reach(current(3).organization, "ID"), None);
        let many = CurrentMemberships::of((1..=9).map(current));
        assert_eq!(many.all().count(), MAX_MEMBERSHIPS);
        assert!(many.some_unknown());
    }
}
