//! Whom a consent to an organisation lets in, as tables and as properties of random cases.

use super::*;

/// A consent to an organisation lets in who belongs to it now: where it is active, in the country that the consent says, and
/// abroad only by TRANSFER.
#[test]
fn a_member_is_let_in_where_the_organization_is_and_no_further() {
    let to_hospital = |activities: &[Activity]| Consent {
        activities: activities.to_vec(),
        grantees: vec![org(HOSPITAL, "SG")],
        ..consent(1)
    };
    let plain = to_hospital(&[Activity::Read]);
    let transfer = to_hospital(&[Activity::Read, Activity::Transfer]);
    let refusal = to_hospital(&[Activity::Deny]);
    let (home, abroad, closed) = (
        OrganizationReach::Home,
        OrganizationReach::Abroad,
        OrganizationReach::Closed,
    );
    let in_sg = |reach| CurrentMemberships::of([belongs(HOSPITAL, "SG", reach)]);
    let none = CurrentMemberships::default();
    let left = |second| none.with_left([(HOSPITAL, refusal.given_at + TimeDelta::seconds(second))]);
    let elsewhere = CurrentMemberships::of([belongs(HOSPITAL, "MY", home)]);
    let no = Decision::Deny(DenyReason::NoConsent);
    let refused = Decision::Deny(DenyReason::ConsentDeny(ConsentId(Uuid::from_u128(1))));
    for (name, memberships, row, wanted, country) in [
        ("at home", in_sg(home), &plain, by(1), None),
        ("abroad", in_sg(abroad), &plain, no, None),
        (
            "abroad by TRANSFER",
            in_sg(abroad),
            &transfer,
            by(1),
            Some("SG"),
        ),
        ("inactive", in_sg(closed), &transfer, no, None),
        ("moved", elsewhere, &transfer, no, None),
        ("no member", none, &transfer, no, None),
        ("unknown", none.with_unknown(), &transfer, no, None),
        ("refused", in_sg(home), &refusal, refused, None),
        ("refused, inactive", in_sg(closed), &refusal, refused, None),
        ("refused, moved", elsewhere, &refusal, refused, None),
        ("refused, no member", none, &refusal, no, None),
        ("left, let in", left(9), &transfer, no, None),
        ("refused, left since", left(9), &refusal, refused, None),
        ("refused, left before", left(-9), &refusal, no, None),
        (
            "refused, unknown",
            none.with_unknown(),
            &refusal,
            refused,
            None,
        ),
    ] {
        let actor = Actor {
            memberships,
            ..doctor()
        };
        let rows = std::slice::from_ref(row);
        let decision = decide(&reads(actor, Purpose::Treatment), rows);
        assert_eq!(decision, wanted, "{name}");
        let reached = country_reached(decision, actor, rows);
        let reached = reached.as_ref().map(Country::as_str);
        assert_eq!(reached, country, "{name}");
    }
}

/// What is told of a member ends with the membership, where no other consent goes on.
#[test]
fn what_a_member_may_do_is_over_with_the_membership() {
    let member = CurrentMembership {
        until: Some(at(9)),
        ..belongs(HOSPITAL, "SG", OrganizationReach::Home)
    };
    let actor = Actor {
        memberships: CurrentMemberships::of([member]),
        ..doctor()
    };
    let to_hospital = |expires_at| Consent {
        grantees: vec![org(HOSPITAL, "SG")],
        expires_at,
        ..consent(1)
    };
    for (rows, wanted) in [
        (vec![to_hospital(None)], Some(at(9))),
        (vec![to_hospital(Some(at(5)))], Some(at(5))),
        (vec![to_hospital(Some(at(20)))], Some(at(9))),
        (vec![to_hospital(None), consent(2)], None),
    ] {
        let subject = overview::AccessSubject::Person(actor);
        let told = overview::permissions(subject, PATIENT, &rows, at(1));
        assert!(!told.is_empty());
        for ground in told.values() {
            assert_eq!(ground.until, wanted, "{rows:?}");
        }
    }
}

/// Where somebody is let in at home, too, nothing crosses a border.
#[test]
fn the_country_that_is_reached_is_the_one_of_the_closest_grantee() {
    let abroad = belongs(HOSPITAL, "SG", OrganizationReach::Abroad);
    let further = belongs(CLINIC, "MY", OrganizationReach::Abroad);
    let home = belongs(CLINIC, "ID", OrganizationReach::Home);
    let user = Grantee::User { id: DOCTOR };
    let role = Grantee::Role { role: Role::Doctor };
    for (memberships, grantees, wanted) in [
        (vec![abroad], vec![org(HOSPITAL, "SG")], Some("SG")),
        (
            vec![abroad],
            vec![org(HOSPITAL, "SG"), role.clone()],
            Some("SG"),
        ),
        (vec![abroad], vec![org(HOSPITAL, "SG"), user], None),
        (
            vec![abroad, home],
            vec![org(HOSPITAL, "SG"), org(CLINIC, "ID")],
            None,
        ),
        (
            vec![abroad, further],
            vec![org(HOSPITAL, "SG"), org(CLINIC, "MY")],
            Some("MY"),
        ),
        (vec![abroad], vec![role], None),
    ] {
        let actor = Actor {
            memberships: CurrentMemberships::of(memberships),
            ..doctor()
        };
        let rows = [Consent {
            activities: vec![Activity::Read, Activity::Transfer],
            grantees,
            ..consent(1)
        }];
        let decision = decide(&reads(actor, Purpose::Treatment), &rows);
        assert_eq!(decision, by(1));
        let reached = country_reached(decision, actor, &rows);
        assert_eq!(reached.as_ref().map(Country::as_str), wanted, "{rows:?}");
        assert_eq!(
            country_reached(Decision::Permit(PermitReason::Own), actor, &rows),
            None
        );
    }
}

/// What takes a membership away, closes an organisation, or makes its rows unbelievable, takes access away alone.
#[test]
fn neither_the_end_of_a_membership_nor_a_refusal_to_an_organization_widens_access() {
    let mut dice = Dice(0x0126_a912);
    let (mut narrowed, mut refused) = (0, 0);
    for case in 0..100_000 {
        let (request, consents) = dice.case();
        let before = decide(&request, &consents);
        let known: Vec<CurrentMembership> = request.actor.memberships.all().copied().collect();
        let ends: Vec<_> = request.actor.memberships.left().collect();
        let with = |memberships: CurrentMemberships, left: Option<OrganizationId>| {
            let left = left.map(|organization| (organization, request.now));
            let memberships = memberships.with_left(ends.iter().copied().chain(left));
            let memberships = if request.actor.memberships.some_unknown() {
                memberships.with_unknown()
            } else {
                memberships
            };
            let actor = Actor {
                memberships,
                ..request.actor
            };
            decide(&AccessRequest { actor, ..request }, &consents)
        };
        for left in &known {
            let others = known.iter().copied().filter(|it| it != left);
            let after = with(CurrentMemberships::of(others), Some(left.organization));
            assert!(
                before.is_permit() || !after.is_permit(),
                "case {case}: {request:?} {consents:?}"
            );
            narrowed += u32::from(before.is_permit() && !after.is_permit());
        }
        let closed = known.iter().map(|it| CurrentMembership {
            reach: OrganizationReach::Closed,
            ..*it
        });
        let closed = with(CurrentMemberships::of(closed), None);
        assert!(before.is_permit() || !closed.is_permit(), "case {case}");
        let unknown = with(CurrentMemberships::default().with_unknown(), None);
        assert!(before.is_permit() || !unknown.is_permit(), "case {case}");

        let mut denied = consents.clone();
        let refusal = Consent {
            activities: vec![Activity::Deny],
            grantees: vec![org(HOSPITAL, "SG")],
            ..dice.consent(99)
        };
        denied.push(refusal);
        let after = decide(&request, &denied);
        assert!(before.is_permit() || !after.is_permit(), "case {case}");
        refused += u32::from(before.is_permit() && !after.is_permit());
    }
    assert!(narrowed > 200, "{narrowed}");
    assert!(refused > 50, "{refused}");
}
