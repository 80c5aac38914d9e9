//! Acting for a patient: a table, and what holds of every case.

use super::*;
use crate::{
    ids::RepresentationId,
    representatives::{
        Mandate, Relationship, Representation, RepresentedActivities, RepresentedActivity,
    },
};

fn row(id: u128) -> Representation {
    Representation {
        id: RepresentationId(Uuid::from_u128(id)),
        patient: PATIENT,
        representative: DOCTOR,
        relationship: Relationship::Guardian,
        activities: RepresentedActivities::of(RepresentedActivity::ALL.iter().copied()),
        from: at(0),
        until: at(1000),
        appointed_at: at(0),
        appointment: None,
        ended_at: None,
    }
}

/// Somebody who acts for the patient, by these rows.
fn acting(actor: Actor, rows: &[Representation], now: DateTime<Utc>) -> Actor {
    Actor {
        acts_for: Some(Mandate::of(rows, actor.id, PATIENT, now)),
        ..actor
    }
}

#[test]
fn a_representative_does_what_they_are_let_and_nothing_that_the_patient_cannot() {
    let only = |activity| Representation {
        activities: RepresentedActivities::of([activity]),
        ..row(4)
    };
    let permit = Decision::Permit(PermitReason::Representative(row(4).id));
    let deny = |reason| Decision::Deny(reason);
    let not = deny(DenyReason::NotRepresentative);
    let table = [
        (Action::Read, Some(row(4)), permit),
        (Action::Search, Some(row(4)), permit),
        (Action::Create, Some(row(4)), permit),
        (Action::Export, Some(row(4)), permit),
        (Action::Amend, Some(row(4)), not),
        (Action::Read, None, not),
        (
            Action::Read,
            Some(only(RepresentedActivity::ReadRecords)),
            permit,
        ),
        (
            Action::Search,
            Some(only(RepresentedActivity::ReadRecords)),
            permit,
        ),
        (
            Action::Create,
            Some(only(RepresentedActivity::ReadRecords)),
            not,
        ),
        (
            Action::Export,
            Some(only(RepresentedActivity::ReadRecords)),
            not,
        ),
        (
            Action::Read,
            Some(only(RepresentedActivity::ReadAccessLog)),
            not,
        ),
    ];
    for (nth, (action, known, wanted)) in table.into_iter().enumerate() {
        let known: Vec<Representation> = known.into_iter().collect();
        let request = AccessRequest {
            action,
            ..reads(acting(doctor(), &known, at(100)), Purpose::PatientRequest)
        };
        assert_eq!(decide(&request, &[]), wanted, "row {nth}");
        assert_eq!(
            decide_amendment(&request, Some(DOCTOR), &[]),
            wanted,
            "row {nth}"
        );
    }
}

#[test]
fn who_acts_for_a_patient_has_nothing_by_their_role_their_consents_or_their_own_account() {
    let asks = |actor: Actor, change: fn(&mut AccessRequest<'_>)| {
        let mut request = reads(acting(actor, &[row(4)], at(100)), Purpose::PatientRequest);
        change(&mut request);
        let everything = Consent {
            purpose: request.purpose,
            activities: Activity::ALL[..6].to_vec(),
            ..consent(1)
        };
        decide(&request, &[everything])
    };
    let with = |change: fn(&mut Actor)| {
        let mut actor = doctor();
        change(&mut actor);
        actor
    };
    let denied = [
        (
            asks(doctor(), |q| q.purpose = Purpose::Treatment),
            DenyReason::Purpose,
        ),
        (
            asks(doctor(), |q| q.purpose = Purpose::BreakGlass),
            DenyReason::Purpose,
        ),
        (
            asks(doctor(), |q| q.availability = Availability::Erased),
            DenyReason::Gone,
        ),
        (
            // Their own records, and those of a third person.
            asks(doctor(), |q| q.patient = DOCTOR),
            DenyReason::NotRepresentative,
        ),
        (
            asks(doctor(), |q| q.patient = UserId(Uuid::from_u128(77))),
            DenyReason::NotRepresentative,
        ),
        (
            asks(with(|it| it.is_active = false), |_| ()),
            DenyReason::Actor,
        ),
        (
            asks(with(|it| it.role = Role::Admin), |_| ()),
            DenyReason::AdminContent,
        ),
        (
            asks(with(|it| it.id = UserId(Uuid::from_u128(78))), |_| ()),
            DenyReason::NotRepresentative,
        ),
        (
            // Whoever says that they act for themselves.
            asks(with(|it| it.id = PATIENT), |_| ()),
            DenyReason::NotRepresentative,
        ),
    ];
    for (nth, (found, reason)) in denied.into_iter().enumerate() {
        assert_eq!(found, Decision::Deny(reason), "row {nth}");
    }
    // As the patient: restricted records, too, and abroad.
    let permit = Decision::Permit(PermitReason::Representative(row(4).id));
    let restricted = asks(doctor(), |q| q.availability = Availability::Restricted);
    let abroad = asks(doctor(), |q| q.destination = Some("SG"));
    let patient = asks(with(|it| it.role = Role::Patient), |_| ());
    assert_eq!([restricted, abroad, patient], [permit; 3]);
}

impl Dice {
    fn representation(&mut self, id: u128) -> Representation {
        let moment = |dice: &mut Self, within| at(i64::try_from(dice.roll(within)).unwrap_or(0));
        Representation {
            patient: self.pick(&[PATIENT, PATIENT, PATIENT, DOCTOR]),
            representative: self.pick(&[DOCTOR, DOCTOR, DOCTOR, PATIENT]),
            activities: RepresentedActivities::of(self.some(RepresentedActivity::ALL)),
            from: moment(self, 8),
            until: moment(self, 20),
            ended_at: (self.roll(4) == 0).then(|| moment(self, 12)),
            ..row(id)
        }
    }

    /// A request of somebody who acts for a patient, mostly for what they may do.
    fn represented(&mut self) -> (AccessRequest<'static>, Vec<Consent>, Vec<Representation>) {
        let (mut request, consents) = self.case();
        let count = u128::from(self.roll(4));
        let rows = (0..count).map(|id| self.representation(id)).collect();
        if self.roll(4) > 0 {
            request.purpose = Purpose::PatientRequest;
        }
        (request, consents, rows)
    }
}

/// The same request with what follows from these rows.
fn by_rows<'a>(request: &AccessRequest<'a>, rows: &[Representation]) -> AccessRequest<'a> {
    AccessRequest {
        actor: acting(request.actor, rows, request.now),
        ..*request
    }
}

/// The rule as plainly as possible: which rows let this be done.
fn letting(q: &AccessRequest<'_>, rows: &[Representation]) -> Vec<RepresentationId> {
    let is_asked_for_the_patient = q.actor.is_active
        && q.actor.role != Role::Admin
        && q.purpose.as_str() == "PATRQT"
        && q.availability != Availability::Erased;
    let activity = match q.action {
        Action::Read | Action::Search => "READ_RECORDS",
        Action::Create => "CREATE_RECORDS",
        Action::Export => "EXPORT_RECORDS",
        Action::Amend => return Vec::new(),
    };
    let lets = |row: &&Representation| {
        is_asked_for_the_patient
            && row.patient == PATIENT
            && q.patient == PATIENT
            && row.representative == q.actor.id
            && q.actor.id != PATIENT
            && row.from <= q.now
            && q.now < row.until
            && row.ended_at.is_none_or(|ended| q.now < ended)
            && row.activities.iter().any(|it| it.as_str() == activity)
    };
    rows.iter().filter(lets).map(|row| row.id).collect()
}

#[test]
fn a_hundred_thousand_random_representatives_agree_with_a_naive_oracle() {
    let mut dice = Dice(0x0af7_1337);
    let mut permitted = 0;
    for case in 0..100_000 {
        let (request, consents, rows) = dice.represented();
        let found = decide(&by_rows(&request, &rows), &consents);
        let wanted = letting(&request, &rows).into_iter().min();
        match found {
            Decision::Permit(PermitReason::Representative(id)) => {
                assert_eq!(Some(id), wanted, "case {case}: {request:?} {rows:?}");
                permitted += 1;
            }
            // Never by a consent, as their own, or in an emergency.
            Decision::Permit(_) => unreachable!("case {case}: {found:?}"),
            Decision::Deny(_) => {
                assert_eq!(wanted, None, "case {case}: {request:?} {rows:?}");
            }
        }
        assert_eq!(found.consent(), None, "case {case}");
    }
    assert!(permitted > 2_000, "{permitted}");
}

#[test]
fn an_end_never_widens_and_a_representative_never_gets_more_than_the_patient() {
    let mut dice = Dice(0x0e4d_5afe);
    let (mut permitted, mut ended) = (0, 0);
    for case in 0..50_000 {
        let (request, consents, rows) = dice.represented();
        let before = decide(&by_rows(&request, &rows), &consents);

        let mut reversed = rows.clone();
        reversed.reverse();
        let other_order = decide(&by_rows(&request, &reversed), &consents);
        assert_eq!(other_order, before, "case {case}");

        for nth in 0..rows.len() {
            let mut fewer = rows.clone();
            fewer[nth].ended_at = Some(request.now);
            let after = decide(&by_rows(&request, &fewer), &consents);
            assert!(before.is_permit() || !after.is_permit(), "case {case}");
            ended += u32::from(before.is_permit() && !after.is_permit());
        }

        if before.is_permit() {
            permitted += 1;
            let patient = AccessRequest {
                actor: Actor {
                    id: PATIENT,
                    acts_for: None,
                    ..request.actor
                },
                ..request
            };
            let own = decide(&patient, &consents);
            assert_eq!(own, Decision::Permit(PermitReason::Own), "case {case}");
            // Nor does it depend on what the patient consented to.
            assert_eq!(decide(&by_rows(&request, &rows), &[]), before);
        }
    }
    assert!(permitted > 1_000 && ended > 500, "{permitted} {ended}");
}
