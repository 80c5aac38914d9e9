//! Representatives and their proposals: nothing of them can be other, and their seals are what they always were.

use domain::{
    ids::{RepresentationId, RepresentativeProposalId},
    representatives::{Appointment, Relationship, RepresentedActivities, RepresentedActivity},
};

use super::*;

/// Computed in Python 3 by hmac and hashlib, from the layout at the head of the module.
const REPRESENTATION: &str = "3fa0bce5a1957c46d9fedbb6c8d1167e0a3a4bc755794969c9314247f41aba82";
const PROPOSED: &str = "8e2006022b03cd68c4019c1224b36bf7bb49961d2c8c933af35e0ee3959194b5";

fn activities() -> RepresentedActivities {
    RepresentedActivities::of([
        RepresentedActivity::ReadConsents,
        RepresentedActivity::ReadRecords,
    ])
}

fn representation() -> Representation {
    Representation {
        id: RepresentationId(Uuid::from_u128(10)),
        patient: user(1),
        representative: user(2),
        relationship: Relationship::Guardian,
        activities: activities(),
        from: second(3),
        until: second(9),
        appointed_at: second(2),
        appointment: Some(Appointment {
            proposed_by: user(4),
            approved_by: user(5),
        }),
        ended_at: Some(second(8)),
    }
}

fn proposed() -> RepresentativeProposal {
    RepresentativeProposal {
        id: RepresentativeProposalId(Uuid::from_u128(10)),
        patient: user(1),
        representative: user(2),
        relationship: Relationship::Guardian,
        activities: activities(),
        from: Some(second(3)),
        until: second(9),
        reason: "by the order of a court".to_owned(),
        proposed_by: user(4),
        proposed_at: second(1),
        expires_at: second(8),
    }
}

#[test]
fn no_column_of_a_sealed_representation_can_be_changed() {
    assert!(passes(representation(), seal(&representation())));
    let changes: [fn(&mut Representation); 13] = [
        |it| it.id = RepresentationId(Uuid::from_u128(11)),
        |it| it.patient = user(3),
        |it| it.representative = user(3),
        |it| std::mem::swap(&mut it.patient, &mut it.representative),
        |it| it.relationship = Relationship::Parent,
        |it| it.activities = RepresentedActivities::of(RepresentedActivity::ALL.iter().copied()),
        |it| it.from -= TimeDelta::microseconds(1),
        |it| it.until += TimeDelta::microseconds(1),
        |it| it.appointed_at += TimeDelta::microseconds(1),
        |it| it.appointment = None,
        |it| it.appointment.as_mut().unwrap().approved_by = user(6),
        |it| it.ended_at = None,
        |it| it.ended_at = Some(second(9)),
    ];
    for (nth, change) in changes.iter().enumerate() {
        let mut other = representation();
        change(&mut other);
        let passes = passes(other, seal(&representation()));
        assert!(!passes, "change {nth} of a representation");
    }
}

#[test]
fn no_column_of_a_sealed_proposal_of_a_representative_can_be_changed() {
    assert!(passes(proposed(), seal(&proposed())));
    let changes: [fn(&mut RepresentativeProposal); 11] = [
        |it| it.id = RepresentativeProposalId(Uuid::from_u128(11)),
        |it| it.patient = user(3),
        |it| it.representative = user(3),
        |it| it.relationship = Relationship::Parent,
        |it| it.activities = RepresentedActivities::default(),
        |it| it.from = None,
        |it| it.until += TimeDelta::microseconds(1),
        |it| it.reason.push('.'),
        |it| it.proposed_by = user(6),
        |it| it.proposed_at += TimeDelta::microseconds(1),
        |it| it.expires_at += TimeDelta::microseconds(1),
    ];
    for (nth, change) in changes.iter().enumerate() {
        let mut other = proposed();
        change(&mut other);
        let passes = passes(other, seal(&proposed()));
        assert!(!passes, "change {nth} of a proposal");
    }
}

#[test]
fn the_seals_of_representatives_are_what_another_implementation_computed() {
    let hex = |seal: Seal| crate::digest::to_hex(&seal.mac);
    assert_eq!(hex(seal(&representation())), REPRESENTATION);
    assert_eq!(hex(seal(&proposed())), PROPOSED);
}
