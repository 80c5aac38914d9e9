//! What is asked of a treatment plan, and of the parts of one that stand alone: of each what it can state.

use super::bullets::{Bullet, RecordParts, Stated, bold, plain};
use super::elements::{has, has_choice, is_described, is_fragment, is_named, items};
use crate::json::Json;

pub(super) fn bullets(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let holds = |kinds: [&str; 2]| kinds.iter().any(|kind| parts.holds(kind));
    let mut bullets = Vec::new();
    if holds(["CarePlan", "Goal"]) {
        bullets.push(bold("treatment objectives", objectives(parts)));
    }
    if holds(["CarePlan", "ServiceRequest"]) {
        bullets.push(bold("procedures", procedures(parts)));
        bullets.push(plain("timeline", timeline(parts)));
    }
    if holds(["CarePlan", "Goal"]) {
        bullets.push(plain("expected outcomes", outcomes(parts)));
    }
    if bullets.is_empty() {
        // A team alone says of no treatment what it is.
        bullets.push(bold(
            "care team",
            parts.every("CareTeam", "participant", has_members),
        ));
    }
    bullets
}

fn objectives(parts: &RecordParts<'_>) -> Stated {
    let stated = parts.any("Goal", "description", |goal| {
        is_described(goal, "description")
    });
    or_in_plan(parts, stated, "goal", |plan| {
        let mut goals = items(plan, "goal").iter();
        goals.any(|goal| !is_fragment(goal) && is_named(goal))
    })
}

fn procedures(parts: &RecordParts<'_>) -> Stated {
    let stated = parts.any("ServiceRequest", "code", |request| {
        is_described(request, "code")
    });
    or_in_plan(parts, stated, "activity", |plan| {
        has_activity(plan, |activity| {
            let reference = activity.get("reference");
            reference.is_some_and(|it| is_fragment(it) || is_named(it))
                || says_in_detail(activity, |detail| is_described(detail, "code"))
        })
    })
}

fn timeline(parts: &RecordParts<'_>) -> Stated {
    let stated = parts.any("ServiceRequest", "occurrence", |request| {
        has_choice(request, "occurrence")
    });
    or_in_plan(parts, stated, "period", |plan| {
        has(plan, "period")
            || has_activity(plan, |activity| {
                says_in_detail(activity, |detail| has_choice(detail, "scheduled"))
            })
    })
}

fn outcomes(parts: &RecordParts<'_>) -> Stated {
    let stated = parts.any("CarePlan", "activity", |plan| {
        has_activity(plan, |activity| {
            has(activity, "outcomeCodeableConcept") || has(activity, "outcomeReference")
        })
    });
    stated.or_else(|_| parts.any("Goal", "target", |goal| has(goal, "target")))
}

/// What the parts of a plan state, or else the plan itself, where there is one.
fn or_in_plan(
    parts: &RecordParts<'_>,
    stated: Stated,
    element: &str,
    says: impl Fn(&Json) -> bool,
) -> Stated {
    if parts.holds("CarePlan") {
        stated.or_else(|_| parts.any("CarePlan", element, says))
    } else {
        stated
    }
}

fn has_activity(plan: &Json, found: impl Fn(&Json) -> bool) -> bool {
    items(plan, "activity").iter().any(found)
}

fn says_in_detail(activity: &Json, found: impl Fn(&Json) -> bool) -> bool {
    activity.get("detail").is_some_and(found)
}

/// Whether a team says of anybody who they are, or what they do.
fn has_members(team: &Json) -> bool {
    let mut participants = items(team, "participant").iter();
    participants.any(|it| has(it, "member") || has(it, "role"))
}
