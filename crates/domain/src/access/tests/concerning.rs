//! The consents that concern who asks decide alike as all of a patient's: a decision of one person's reads these, and not all
//! others (`store::facts::of_person`).

use super::*;
use crate::access::overview::{AccessSubject, concerns};

#[test]
fn the_consents_that_concern_an_actor_decide_as_all_do() {
    let mut dice = Dice(0x51ab_07c3);
    let (mut left_out, mut by_consent) = (0, 0);
    for case in 0..100_000 {
        let (request, consents) = dice.case();
        let subject = AccessSubject::Person(request.actor);
        let mut fewer = consents.clone();
        fewer.retain(|consent| concerns(consent, subject));
        left_out += consents.len() - fewer.len();

        let decision = decide(&request, &consents);

        assert_eq!(
            decide(&request, &fewer),
            decision,
            "case {case}: {request:?} {consents:?}"
        );
        let (allowed, _) = oracle(&request, &fewer);
        assert_eq!(decision.is_permit(), allowed, "case {case}");
        let reached = |consents: &[Consent]| country_reached(decision, request.actor, consents);
        assert_eq!(reached(&fewer), reached(&consents), "case {case}");
        by_consent += u32::from(decision.consent().is_some());
    }
    assert!(left_out > 10_000, "hardly any is left out: {left_out}");
    assert!(by_consent > 4_000, "hardly any decides: {by_consent}");
}
