//! The policy as a table, its promises as properties, and 100,000 random cases against an oracle
//! written from the design's ten steps without looking at the code above.

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::{
    ids::{BreakGlassWindowId, OrganizationId, PatientKeyId},
    organizations::CurrentMembership,
};

const PATIENT: UserId = UserId(Uuid::from_u128(1));
const DOCTOR: UserId = UserId(Uuid::from_u128(2));
const HOSPITAL: OrganizationId = OrganizationId(Uuid::from_u128(3));
const CLINIC: OrganizationId = OrganizationId(Uuid::from_u128(4));

fn belongs(
    organization: OrganizationId,
    country: &str,
    reach: OrganizationReach,
) -> CurrentMembership {
    CurrentMembership {
        organization,
        country: country.parse().expect("a country"),
        reach,
        until: None,
    }
}

fn org(id: OrganizationId, country: &str) -> Grantee {
    Grantee::Org {
        id,
        country: country.to_owned(),
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn doctor() -> Actor {
    Actor {
        id: DOCTOR,
        role: Role::Doctor,
        is_active: true,
        memberships: CurrentMemberships::of([belongs(HOSPITAL, "ID", OrganizationReach::Home)]),
        second_factor: false,
        acts_for: None,
    }
}

fn reads(actor: Actor, purpose: Purpose) -> AccessRequest<'static> {
    AccessRequest {
        actor,
        patient: PATIENT,
        action: Action::Read,
        purpose,
        record_type: RecordType::LabResult,
        availability: Availability::Open,
        destination: None,
        emergency: None,
        now: at(100),
    }
}

fn consent(id: u128) -> Consent {
    Consent {
        id: ConsentId(Uuid::from_u128(id)),
        patient: PATIENT,
        purpose: Purpose::Treatment,
        given_at: at(0),
        expires_at: None,
        withdrawn_at: None,
        categories: vec![Category::All],
        activities: vec![Activity::Read],
        grantees: vec![Grantee::User { id: DOCTOR }],
    }
}

fn by(id: u128) -> Decision {
    Decision::Permit(PermitReason::Consent(ConsentId(Uuid::from_u128(id))))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn patients_amend_what_they_wrote_and_others_what_they_may_amend() {
    let patient = Actor {
        id: PATIENT,
        role: Role::Patient,
        is_active: true,
        memberships: CurrentMemberships::default(),
        second_factor: false,
        acts_for: None,
    };
    let amends = |actor, purpose| AccessRequest {
        action: Action::Amend,
        ..reads(actor, purpose)
    };
    let hers = || amends(patient, Purpose::PatientRequest);
    let his = || amends(doctor(), Purpose::Treatment);
    let may_amend = || Consent {
        activities: vec![Activity::Amend],
        ..consent(7)
    };
    let admin = Actor {
        role: Role::Admin,
        ..patient
    };
    let own = Decision::Permit(PermitReason::Own);
    let deny = Decision::Deny;
    let inactive = Actor {
        is_active: false,
        ..patient
    };
    let table = [
        ("her own upload", hers(), Some(PATIENT), None, own),
        (
            "an administrator's own",
            amends(admin, Purpose::PatientRequest),
            Some(PATIENT),
            None,
            own,
        ),
        (
            "what a doctor wrote about her",
            hers(),
            Some(DOCTOR),
            None,
            deny(DenyReason::NoConsent),
        ),
        (
            "nobody knows whose",
            hers(),
            None,
            None,
            deny(DenyReason::NoConsent),
        ),
        (
            "her own, in the grace of a deletion",
            AccessRequest {
                availability: Availability::Restricted,
                ..hers()
            },
            Some(PATIENT),
            None,
            deny(DenyReason::Restricted),
        ),
        (
            "her own, erased",
            AccessRequest {
                availability: Availability::Erased,
                ..hers()
            },
            Some(PATIENT),
            None,
            deny(DenyReason::Gone),
        ),
        (
            "her own, deactivated",
            amends(inactive, Purpose::PatientRequest),
            Some(PATIENT),
            None,
            deny(DenyReason::Actor),
        ),
        (
            "her own, for treatment",
            amends(patient, Purpose::Treatment),
            Some(PATIENT),
            None,
            deny(DenyReason::Purpose),
        ),
        (
            "a doctor with the consent",
            his(),
            Some(PATIENT),
            Some(may_amend()),
            by(7),
        ),
        (
            "a doctor who may only read",
            his(),
            Some(DOCTOR),
            Some(consent(7)),
            deny(DenyReason::NoConsent),
        ),
        (
            "a doctor's own work, without a consent",
            his(),
            Some(DOCTOR),
            None,
            deny(DenyReason::NoConsent),
        ),
    ];
    for (name, request, author, consent, wanted) in table {
        let consents: Vec<Consent> = consent.into_iter().collect();
        assert_eq!(
            decide_amendment(&request, author, &consents),
            wanted,
            "{name}"
        );
    }
}

#[test]
fn the_first_steps_need_no_consent() {
    let patient = Actor {
        id: PATIENT,
        role: Role::Patient,
        is_active: true,
        memberships: CurrentMemberships::default(),
        second_factor: false,
        acts_for: None,
    };
    let admin = Actor {
        id: UserId(Uuid::from_u128(9)),
        role: Role::Admin,
        ..doctor()
    };
    let asks = |actor, purpose, change: fn(&mut AccessRequest<'_>)| {
        let mut request = reads(actor, purpose);
        change(&mut request);
        decide(&request, &[])
    };
    let table = [
        (
            asks(
                Actor {
                    is_active: false,
                    ..patient
                },
                Purpose::PatientRequest,
                |_| (),
            ),
            Decision::Deny(DenyReason::Actor),
        ),
        (
            asks(patient, Purpose::Treatment, |_| ()),
            Decision::Deny(DenyReason::Purpose),
        ),
        (
            asks(doctor(), Purpose::Marketing, |_| ()),
            Decision::Deny(DenyReason::Purpose),
        ),
        (
            asks(patient, Purpose::PatientRequest, |_| ()),
            Decision::Permit(PermitReason::Own),
        ),
        (
            asks(patient, Purpose::PatientRequest, |q| {
                q.action = Action::Create;
            }),
            Decision::Permit(PermitReason::Own),
        ),
        (
            asks(patient, Purpose::PatientRequest, |q| {
                q.action = Action::Amend;
            }),
            Decision::Deny(DenyReason::NoConsent),
        ),
        (
            asks(patient, Purpose::PatientRequest, |q| {
                q.availability = Availability::Restricted;
            }),
            Decision::Permit(PermitReason::Own),
        ),
        (
            asks(patient, Purpose::PatientRequest, |q| {
                q.availability = Availability::Erased;
            }),
            Decision::Deny(DenyReason::Gone),
        ),
        (
            asks(patient, Purpose::PatientRequest, |q| q.patient = DOCTOR),
            Decision::Deny(DenyReason::NoConsent),
        ),
        (
            asks(admin, Purpose::Operations, |_| ()),
            Decision::Deny(DenyReason::AdminContent),
        ),
        (
            asks(doctor(), Purpose::Treatment, |q| {
                q.availability = Availability::Restricted;
            }),
            Decision::Deny(DenyReason::Restricted),
        ),
        (
            asks(doctor(), Purpose::Treatment, |_| ()),
            Decision::Deny(DenyReason::NoConsent),
        ),
        (
            asks(doctor(), Purpose::PatientRequest, |q| q.patient = DOCTOR),
            Decision::Permit(PermitReason::Own),
        ),
    ];
    for (row, (answer, wanted)) in table.into_iter().enumerate() {
        assert_eq!(answer, wanted, "row {row}");
    }
}

fn window() -> BreakGlassWindow {
    BreakGlassWindow {
        id: BreakGlassWindowId(Uuid::from_u128(4)),
        patient: PATIENT,
        doctor: DOCTOR,
        purpose: Purpose::BreakGlass,
        opened_at: at(50),
        expires_at: at(200),
        closed_at: None,
        patient_key: PatientKeyId(Uuid::from_u128(5)),
        sealed_reason: Vec::new(),
    }
}

const fn by_window(window: &BreakGlassWindow) -> Emergency<'_> {
    Emergency {
        window,
        second_factor_required: false,
    }
}

#[test]
fn an_emergency_needs_a_doctor_an_open_window_and_a_reading() {
    let permit = Decision::Permit(PermitReason::Emergency);
    let deny = Decision::Deny(DenyReason::NoConsent);
    let of_emergency_treatment = BreakGlassWindow {
        purpose: Purpose::EmergencyTreatment,
        ..window()
    };
    let another = UserId(Uuid::from_u128(77));
    let foreign = BreakGlassWindow {
        doctor: another,
        ..window()
    };
    let on_another = BreakGlassWindow {
        patient: another,
        ..window()
    };
    let closed = BreakGlassWindow {
        closed_at: Some(at(100)),
        ..window()
    };
    let nearly_over = BreakGlassWindow {
        closed_at: Some(at(101)),
        ..window()
    };
    let over = BreakGlassWindow {
        expires_at: at(100),
        ..window()
    };
    let later = BreakGlassWindow {
        opened_at: at(101),
        ..window()
    };
    let (glass, treat) = (Purpose::BreakGlass, Purpose::EmergencyTreatment);
    let table = [
        (glass, Action::Read, Some(window()), permit),
        (glass, Action::Search, Some(window()), permit),
        (
            treat,
            Action::Search,
            Some(of_emergency_treatment.clone()),
            permit,
        ),
        (glass, Action::Read, None, deny),
        // Each purpose has its own window.
        (treat, Action::Read, Some(window()), deny),
        (glass, Action::Read, Some(of_emergency_treatment), deny),
        (Purpose::Treatment, Action::Read, Some(window()), deny),
        (
            Purpose::EmergencyRoomTreatment,
            Action::Read,
            Some(window()),
            deny,
        ),
        (glass, Action::Create, Some(window()), deny),
        (glass, Action::Amend, Some(window()), deny),
        (glass, Action::Export, Some(window()), deny),
        (glass, Action::Read, Some(foreign), deny),
        (glass, Action::Read, Some(on_another), deny),
        (glass, Action::Read, Some(closed), deny),
        (glass, Action::Read, Some(nearly_over), permit),
        (glass, Action::Read, Some(over), deny),
        (glass, Action::Read, Some(later), deny),
    ];
    for (row, (purpose, action, window, wanted)) in table.into_iter().enumerate() {
        let request = AccessRequest {
            action,
            emergency: window.as_ref().map(by_window),
            ..reads(doctor(), purpose)
        };
        assert_eq!(decide(&request, &[]), wanted, "row {row}");
        let types = permitted_types(
            action,
            doctor(),
            PATIENT,
            purpose,
            request.emergency,
            &[],
            at(100),
        );
        assert_eq!(!types.is_empty(), wanted == permit, "row {row}");
    }
}

#[test]
fn an_emergency_takes_neither_a_patient_nor_an_administrator_nor_data_abroad() {
    let window = window();
    let asks = |actor, availability, destination| {
        let request = AccessRequest {
            availability,
            destination,
            emergency: Some(by_window(&window)),
            ..reads(actor, Purpose::BreakGlass)
        };
        decide(&request, &[])
    };
    let with_role = |role| Actor { role, ..doctor() };
    let table = [
        (
            with_role(Role::Patient),
            Availability::Open,
            None,
            DenyReason::Purpose,
        ),
        (
            with_role(Role::Admin),
            Availability::Open,
            None,
            DenyReason::Purpose,
        ),
        (
            Actor {
                is_active: false,
                ..doctor()
            },
            Availability::Open,
            None,
            DenyReason::Actor,
        ),
        (
            doctor(),
            Availability::Restricted,
            None,
            DenyReason::Restricted,
        ),
        (doctor(), Availability::Erased, None, DenyReason::Gone),
        (
            doctor(),
            Availability::Open,
            Some("SG"),
            DenyReason::NoConsent,
        ),
    ];
    for (row, (actor, availability, destination, wanted)) in table.into_iter().enumerate() {
        let found = asks(actor, availability, destination);
        assert_eq!(found, Decision::Deny(wanted), "row {row}");
    }
}

#[test]
fn a_refusal_wins_over_an_emergency() {
    let window = window();
    let refusal = Consent {
        purpose: Purpose::BreakGlass,
        activities: vec![Activity::Deny],
        grantees: vec![],
        ..consent(6)
    };
    let request = AccessRequest {
        emergency: Some(by_window(&window)),
        ..reads(doctor(), Purpose::BreakGlass)
    };
    let refused = Decision::Deny(DenyReason::ConsentDeny(refusal.id));
    assert_eq!(decide(&request, std::slice::from_ref(&refusal)), refused);
    // Once it is taken back, the window counts.
    let taken_back = Consent {
        withdrawn_at: Some(at(100)),
        ..refusal
    };
    let permit = Decision::Permit(PermitReason::Emergency);
    assert_eq!(decide(&request, &[taken_back]), permit);
    // A consent that permits is named rather than the window.
    let lets = Consent {
        purpose: Purpose::BreakGlass,
        ..consent(7)
    };
    assert_eq!(decide(&request, &[lets]), by(7));
}

#[test]
fn an_emergency_needs_a_second_factor_where_the_operator_says_so() {
    let permit = Decision::Permit(PermitReason::Emergency);
    let missing = Decision::Deny(DenyReason::SecondFactor);
    let nothing = Decision::Deny(DenyReason::NoConsent);
    let of = |purpose| BreakGlassWindow {
        purpose,
        ..window()
    };
    let over = BreakGlassWindow {
        expires_at: at(100),
        ..window()
    };
    let glass = Purpose::BreakGlass;
    let treat = Purpose::EmergencyTreatment;
    let table = [
        // required, shown, window, purpose, consents: answer
        (false, false, of(glass), glass, vec![], permit),
        (false, true, of(glass), glass, vec![], permit),
        (true, true, of(glass), glass, vec![], permit),
        (true, false, of(glass), glass, vec![], missing),
        (true, false, of(treat), treat, vec![], missing),
        // What no emergency allows needs no second factor to be refused.
        (true, false, over, glass, vec![], nothing),
        (true, true, of(glass), Purpose::Treatment, vec![], nothing),
        // A consent allows without one: nothing is broken.
        (
            true,
            false,
            of(glass),
            Purpose::Treatment,
            vec![consent(1)],
            by(1),
        ),
    ];
    for (row, (required, shown, window, purpose, consents, wanted)) in table.into_iter().enumerate()
    {
        let actor = Actor {
            second_factor: shown,
            ..doctor()
        };
        let request = AccessRequest {
            emergency: Some(Emergency {
                window: &window,
                second_factor_required: required,
            }),
            ..reads(actor, purpose)
        };
        assert_eq!(decide(&request, &consents), wanted, "row {row}");
    }
}

#[test]
fn the_most_specific_consent_is_the_one_that_is_named() {
    let role = Consent {
        grantees: vec![Grantee::Role { role: Role::Doctor }],
        ..consent(1)
    };
    let org = Consent {
        grantees: vec![Grantee::Org {
            id: HOSPITAL,
            country: "ID".into(),
        }],
        ..consent(2)
    };
    let user = consent(3);
    let named = Consent {
        categories: vec![Category::Only(RecordType::LabResult)],
        ..consent(4)
    };
    let ends = Consent {
        expires_at: Some(at(500)),
        ..consent(5)
    };
    let twin = Consent {
        expires_at: Some(at(500)),
        ..consent(6)
    };
    let request = reads(doctor(), Purpose::Treatment);

    assert_eq!(decide(&request, &[role.clone(), org.clone()]), by(2));
    assert_eq!(decide(&request, &[role.clone(), org, user.clone()]), by(3));
    assert_eq!(decide(&request, &[user.clone(), named]), by(4));
    assert_eq!(decide(&request, &[twin, user.clone(), ends]), by(5));
    let coordination = reads(doctor(), Purpose::Coordination);
    let exact = Consent {
        purpose: Purpose::Coordination,
        ..consent(7)
    };
    assert_eq!(decide(&coordination, &[user, exact]), by(7));
}

#[test]
fn abroad_needs_transfer_and_a_third_party_there() {
    let request = AccessRequest {
        destination: Some("SG"),
        ..reads(doctor(), Purpose::Treatment)
    };
    let clinic = Grantee::Org {
        id: OrganizationId(Uuid::from_u128(8)),
        country: "SG".into(),
    };
    let both = Consent {
        activities: vec![Activity::Read, Activity::Transfer],
        grantees: vec![Grantee::User { id: DOCTOR }, clinic],
        ..consent(1)
    };
    let stay = Consent {
        activities: vec![Activity::Read],
        ..both.clone()
    };
    let nowhere = Consent {
        grantees: vec![Grantee::User { id: DOCTOR }],
        ..both.clone()
    };

    assert_eq!(decide(&request, &[both]), by(1));
    assert_eq!(
        decide(&request, &[stay, nowhere]),
        Decision::Deny(DenyReason::NoConsent)
    );
}

/// A small generator: the same cases on every machine, without a dependency.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let sides = choices.len() as u64;
        choices[usize::try_from(self.roll(sides)).unwrap_or(0)].clone()
    }

    fn some<T: Clone>(&mut self, choices: &[T]) -> Vec<T> {
        choices
            .iter()
            .filter(|_| self.roll(2) == 0)
            .cloned()
            .collect()
    }

    /// A window that is often the right one, as a fixed one that lives as long as the tests.
    fn window(&mut self, purpose: Purpose) -> &'static BreakGlassWindow {
        let moment = |dice: &mut Self, within| at(i64::try_from(dice.roll(within)).unwrap_or(0));
        Box::leak(Box::new(BreakGlassWindow {
            patient: self.pick(&[PATIENT, PATIENT, PATIENT, PATIENT, PATIENT, DOCTOR]),
            doctor: self.pick(&[DOCTOR, DOCTOR, DOCTOR, DOCTOR, DOCTOR, PATIENT]),
            purpose: self.pick(&[
                purpose,
                purpose,
                Purpose::BreakGlass,
                Purpose::EmergencyTreatment,
            ]),
            opened_at: moment(self, 5),
            expires_at: moment(self, 20),
            closed_at: (self.roll(5) == 0).then(|| moment(self, 12)),
            ..window()
        }))
    }

    fn memberships(&mut self) -> CurrentMemberships {
        let reaches = [
            OrganizationReach::Home,
            OrganizationReach::Abroad,
            OrganizationReach::Closed,
        ];
        let (hospital, clinic) = (self.pick(&reaches), self.pick(&reaches));
        let hospital = belongs(HOSPITAL, self.pick(&["SG", "SG", "MY"]), hospital);
        let clinic = belongs(CLINIC, "ID", clinic);
        let some = CurrentMemberships::of(self.some(&[hospital, clinic]));
        let some = if self.roll(4) == 0 {
            let moments = [(HOSPITAL, at(2)), (CLINIC, at(4))];
            some.with_left(self.some(&moments))
        } else {
            some
        };
        if self.roll(12) == 0 {
            some.with_unknown()
        } else {
            some
        }
    }

    fn request(&mut self) -> AccessRequest<'static> {
        let purpose = if self.roll(3) == 0 {
            self.pick(Purpose::ALL)
        } else {
            self.pick(&Purpose::ALL[..7])
        };
        let window = (self.roll(3) > 0).then(|| self.window(purpose));
        AccessRequest {
            actor: Actor {
                id: self.pick(&[PATIENT, DOCTOR, DOCTOR]),
                role: self.pick(&[Role::Doctor, Role::Doctor, Role::Patient, Role::Admin]),
                is_active: self.roll(20) > 0,
                memberships: self.memberships(),
                second_factor: self.roll(2) == 0,
                acts_for: None,
            },
            patient: PATIENT,
            action: self.pick(Action::ALL),
            purpose,
            record_type: self.pick(&[RecordType::LabResult, RecordType::Imaging]),
            availability: if self.roll(6) == 0 {
                self.pick(&[Availability::Restricted, Availability::Erased])
            } else {
                Availability::Open
            },
            destination: self.pick(&[None, None, Some("SG")]),
            emergency: window.map(|window| Emergency {
                window,
                second_factor_required: self.roll(3) == 0,
            }),
            now: at(i64::try_from(self.roll(10)).unwrap_or(0)),
        }
    }

    fn consent(&mut self, id: u128) -> Consent {
        let moment = |dice: &mut Self, within| at(i64::try_from(dice.roll(within)).unwrap_or(0));
        Consent {
            id: ConsentId(Uuid::from_u128(id)),
            patient: self.pick(&[PATIENT, PATIENT, PATIENT, DOCTOR]),
            purpose: self.pick(Purpose::ALL),
            given_at: moment(self, 5),
            expires_at: (self.roll(3) == 0).then(|| moment(self, 12)),
            withdrawn_at: (self.roll(4) == 0).then(|| moment(self, 12)),
            categories: self.some(&[
                Category::All,
                Category::Only(RecordType::LabResult),
                Category::Only(RecordType::Imaging),
            ]),
            activities: if self.roll(6) == 0 {
                vec![Activity::Deny]
            } else {
                self.some(&Activity::ALL[..6])
            },
            grantees: self.some(&[
                Grantee::User { id: DOCTOR },
                Grantee::Role { role: Role::Doctor },
                org(HOSPITAL, "SG"),
                org(CLINIC, "ID"),
            ]),
        }
    }

    fn case(&mut self) -> (AccessRequest<'static>, Vec<Consent>) {
        let request = self.request();
        let count = u128::from(self.roll(6));
        let mut consents: Vec<_> = (0..count).map(|id| self.consent(id)).collect();
        // Without this, few random purposes would ever meet.
        for consent in &mut consents {
            if self.roll(2) == 0 {
                consent.purpose = self.pick(&request.purpose.covering());
            }
        }
        (request, consents)
    }
}

/// The design's ten steps, read as plainly as possible: whether it is allowed, and which rows say so.
#[expect(clippy::too_many_lines, reason = "the ten steps, one after the other")]
fn oracle(q: &AccessRequest<'_>, rows: &[Consent]) -> (bool, Vec<ConsentId>) {
    let treat = [
        "TREAT", "ETREAT", "BTG", "ERTREAT", "COC", "CLINTRL", "POPHLTH", "HRESCH",
    ];
    let operate = ["HOPERAT", "HSYSADMIN", "HCOMPL", "RECORDMGT"];
    let code = q.purpose.as_str();
    let mine = q.actor.id == q.patient && code == "PATRQT";
    let role_fits = match q.actor.role {
        Role::Patient => code == "PATRQT",
        Role::Doctor => treat.contains(&code),
        Role::Admin => operate.contains(&code),
    };
    if !q.actor.is_active || !(role_fits || mine) || q.availability == Availability::Erased {
        return (false, vec![]);
    }
    if mine && q.action != Action::Amend {
        return (true, vec![]);
    }
    if q.actor.role == Role::Admin || q.availability == Availability::Restricted {
        return (false, vec![]);
    }
    let ancestors: &[&str] = match code {
        "COC" | "POPHLTH" => &["TREAT"],
        "HSYSADMIN" | "HCOMPL" | "RECORDMGT" => &["HOPERAT"],
        _ => &[],
    };
    let mut denies = vec![];
    let mut allows = vec![];
    for row in rows {
        let over = [row.expires_at, row.withdrawn_at]
            .into_iter()
            .flatten()
            .any(|end| end <= q.now);
        let purpose = row.purpose.as_str() == code || ancestors.contains(&row.purpose.as_str());
        let category = row
            .categories
            .iter()
            .any(|c| c.as_str() == "ALL_RECORDS" || c.as_str() == q.record_type.as_str());
        if row.patient != q.patient || row.given_at > q.now || over || !purpose || !category {
            continue;
        }
        let member = |org: &OrganizationId| {
            let mut all = q.actor.memberships.all();
            all.find(|m| m.organization == *org)
        };
        let unknown = q.actor.memberships.some_unknown();
        let may_go = |m: &CurrentMembership| match m.reach {
            OrganizationReach::Home => true,
            OrganizationReach::Abroad => row.activities.contains(&Activity::Transfer),
            OrganizationReach::Closed => false,
        };
        let is_denial = row.activities == [Activity::Deny];
        let named = row.grantees.iter().any(|g| match g {
            Grantee::User { id } => *id == q.actor.id,
            Grantee::Role { role } => *role == q.actor.role,
            Grantee::Org { id, .. } if is_denial => {
                let mut left = q.actor.memberships.left();
                let has_left = left.any(|(it, end)| it == *id && row.given_at <= end);
                unknown || has_left || member(id).is_some()
            }
            Grantee::Org { id, country } => {
                member(id).is_some_and(|m| m.country.as_str() == country && may_go(m))
            }
        });
        let there = |country: &str| {
            row.activities.contains(&Activity::Transfer)
                && row
                    .grantees
                    .iter()
                    .any(|g| matches!(g, Grantee::Org { country: c, .. } if c == country))
        };
        if is_denial {
            if named || row.grantees.is_empty() {
                denies.push(row.id);
            }
        } else if named
            && row
                .activities
                .iter()
                .any(|a| a.as_str() == q.action.as_str())
            && q.destination.is_none_or(there)
        {
            allows.push(row.id);
        }
    }
    if !denies.is_empty() {
        return (false, denies);
    }
    if !allows.is_empty() {
        return (true, allows);
    }
    let urgent = q.actor.role == Role::Doctor
        && ["BTG", "ETREAT"].contains(&code)
        && ["READ", "SEARCH"].contains(&q.action.as_str())
        && q.destination.is_none()
        && q.emergency.is_some_and(|glass| {
            let window = glass.window;
            let ended =
                window.expires_at <= q.now || window.closed_at.is_some_and(|it| it <= q.now);
            window.doctor == q.actor.id
                && window.patient == q.patient
                && window.purpose.as_str() == code
                && window.opened_at <= q.now
                && !ended
                && (q.actor.second_factor || !glass.second_factor_required)
        });
    (urgent, vec![])
}

#[test]
fn a_hundred_thousand_random_cases_agree_with_a_naive_oracle() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut by_consent, mut by_emergency) = (0, 0);
    for case in 0..100_000 {
        let (request, consents) = dice.case();
        let decision = decide(&request, &consents);
        let (allowed, rows) = oracle(&request, &consents);
        assert_eq!(
            decision.is_permit(),
            allowed,
            "case {case}: {request:?} {consents:?}"
        );
        match decision.consent() {
            Some(id) => assert!(rows.contains(&id), "case {case}"),
            None => assert!(rows.is_empty(), "case {case}"),
        }
        by_consent += u32::from(decision.consent().is_some());
        by_emergency += u32::from(decision == Decision::Permit(PermitReason::Emergency));
    }
    assert!(
        by_consent > 4_000,
        "the cases hardly ever reach a consent: {by_consent}"
    );
    assert!(
        by_emergency > 100,
        "the cases hardly ever reach an emergency: {by_emergency}"
    );
}

#[test]
fn no_window_overrides_a_refusal_and_none_helps_that_is_not_open_or_not_the_callers() {
    let mut dice = Dice(0x0b7e_6a55);
    let (mut permitted, mut refused) = (0, 0);
    for case in 0..100_000 {
        let (request, consents) = dice.case();
        let with = decide(&request, &consents);
        let without = AccessRequest {
            emergency: None,
            ..request
        };
        let without = decide(&without, &consents);
        // A window opens what no consent does, and changes nothing else.
        if without.is_permit() || matches!(without, Decision::Deny(DenyReason::ConsentDeny(_))) {
            assert_eq!(with, without, "case {case}: {request:?} {consents:?}");
            refused += u32::from(request.emergency.is_some() && !without.is_permit());
        }
        if with != Decision::Permit(PermitReason::Emergency) {
            continue;
        }
        permitted += 1;
        let emergency = request.emergency.expect("by an emergency");
        let asks = |window: &BreakGlassWindow| {
            let request = AccessRequest {
                emergency: Some(Emergency {
                    window,
                    ..emergency
                }),
                ..request
            };
            decide(&request, &consents)
        };
        let right = emergency.window.clone();
        let another = UserId(Uuid::from_u128(77));
        for wrong in [
            BreakGlassWindow {
                closed_at: Some(request.now),
                ..right.clone()
            },
            BreakGlassWindow {
                expires_at: request.now,
                ..right.clone()
            },
            BreakGlassWindow {
                opened_at: request.now + TimeDelta::microseconds(1),
                ..right.clone()
            },
            BreakGlassWindow {
                doctor: another,
                ..right.clone()
            },
            BreakGlassWindow {
                patient: another,
                ..right.clone()
            },
            BreakGlassWindow {
                purpose: Purpose::Treatment,
                ..right.clone()
            },
        ] {
            assert_eq!(
                asks(&wrong),
                Decision::Deny(DenyReason::NoConsent),
                "case {case}"
            );
        }
        let refusal = Consent {
            purpose: request.purpose,
            activities: vec![Activity::Deny],
            grantees: vec![],
            ..consent(99)
        };
        let mut denied = consents;
        denied.push(refusal.clone());
        assert_eq!(
            decide(&request, &denied),
            Decision::Deny(DenyReason::ConsentDeny(refusal.id)),
            "case {case}"
        );
    }
    assert!(permitted > 100, "{permitted}");
    assert!(refused > 50, "{refused}");
}

#[test]
fn neither_a_denial_nor_a_withdrawal_ever_widens_access_and_order_is_irrelevant() {
    let mut dice = Dice(7);
    for case in 0..20_000 {
        let (request, consents) = dice.case();
        let before = decide(&request, &consents);

        let mut reversed = consents.clone();
        reversed.reverse();
        assert_eq!(decide(&request, &reversed), before, "case {case}");

        let mut denied = consents.clone();
        denied.push(Consent {
            activities: vec![Activity::Deny],
            ..dice.consent(99)
        });
        if !before.is_permit() {
            assert!(!decide(&request, &denied).is_permit(), "case {case}");
        }

        let mut withdrawn = consents;
        for consent in withdrawn.iter_mut().filter(|c| !c.is_denial()) {
            consent.withdrawn_at = Some(request.now);
        }
        if !before.is_permit() {
            assert!(!decide(&request, &withdrawn).is_permit(), "case {case}");
        }
    }
}

#[test]
fn a_destination_never_widens_access() {
    let mut dice = Dice(0x00de_5714);
    let (mut kept, mut lost) = (0, 0);
    for case in 0..100_000 {
        let (request, consents) = dice.case();
        let asks = |destination| {
            let request = AccessRequest {
                destination,
                ..request
            };
            decide(&request, &consents)
        };
        let at_home = asks(None);
        for country in ["SG", "ID", "XX"] {
            let abroad = asks(Some(country));
            assert!(
                at_home.is_permit() || !abroad.is_permit(),
                "case {case}, {country}: {request:?} {consents:?}"
            );
            // A refusal refuses wherever it goes.
            if matches!(at_home, Decision::Deny(DenyReason::ConsentDeny(_))) {
                assert_eq!(abroad, at_home, "case {case}, {country}");
            }
            kept += u32::from(abroad.consent().is_some() && abroad.is_permit());
            lost += u32::from(at_home.is_permit() && !abroad.is_permit());
        }
    }
    assert!(kept > 500, "hardly anything goes abroad: {kept}");
    assert!(lost > 500, "hardly anything is kept at home: {lost}");
}

/// The overview says what the decision says, about every cell, and when it ends.
#[test]
fn the_overview_of_access_agrees_with_each_decision() {
    use overview::{Access, AccessSubject, in_short, permissions, permissions_for};

    let mut dice = Dice(0x5eed_0f0e);
    let mut permitted_cells = 0;
    for _ in 0..2_000 {
        let (request, mut consents) = dice.case();
        for it in &mut consents {
            it.withdrawn_at = None;
        }
        consents.retain(|consent| consent.given_at <= request.now);
        let actor = request.actor;
        let subject = AccessSubject::Person(actor);
        let all = permissions(subject, PATIENT, &consents, request.now);
        for purpose in Purpose::ALL {
            let one = permissions_for(*purpose, subject, PATIENT, &consents, request.now);
            for action in Action::ALL {
                for record_type in RecordType::ALL {
                    let cell = (*purpose, *action, *record_type);
                    let at = |now| AccessRequest {
                        actor,
                        patient: PATIENT,
                        action: *action,
                        purpose: *purpose,
                        record_type: *record_type,
                        availability: Availability::Open,
                        destination: None,
                        emergency: None,
                        now,
                    };
                    let decision = decide(&at(request.now), &consents);
                    let wanted = decision.is_permit() && actor.id != PATIENT;
                    assert_eq!(
                        one.contains_key(&cell),
                        wanted,
                        "{request:#?} {consents:#?}"
                    );
                    // Nothing is permitted, for whatever purpose, that is not told.
                    assert_eq!(all.get(&cell), one.get(&cell), "{request:#?} {consents:#?}");
                    if let Some(ground) = all.get(&cell) {
                        permitted_cells += 1;
                        assert_eq!(
                            decision,
                            Decision::Permit(PermitReason::Consent(ground.consent))
                        );
                        if let Some(until) = ground.until {
                            let last = until - TimeDelta::microseconds(1);
                            assert!(decide(&at(last), &consents).is_permit());
                            assert!(!decide(&at(until), &consents).is_permit());
                        }
                    }
                }
            }
        }
        let told: usize = in_short(&all)
            .iter()
            .map(
                |Access {
                     actions,
                     record_types,
                     ..
                 }| actions.len() * record_types.len(),
            )
            .sum();
        assert_eq!(told, all.len(), "each cell is told once");
    }
    assert!(permitted_cells > 1_000, "{permitted_cells}");
}

mod concerning;
mod memberships;

mod represented;
