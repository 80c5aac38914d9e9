//! `TREATMENT_PLAN`: what for, what is done, when, and what came of it.

use std::collections::HashSet;

use super::care_team::{CareTeam, care_team};
use super::elements::{Coding, Concept, Party, Period, Quantity, Range};
use super::parts::{Part, Parts};
use super::prescription::reasons;
use super::silent::silent;
use super::text;
use crate::json::Json;

/// What a `TREATMENT_PLAN` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TreatmentPlanSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// Each `CarePlan`, with its state.
    pub plans: Vec<PlanState>,
    /// `description`, likewise.
    pub description: Option<String>,
    /// `period`, likewise.
    pub period: Option<Period>,
    /// Each `Goal`, and goals that are only referred to.
    pub goals: Vec<Goal>,
    /// Each `activity`, and each `ServiceRequest`.
    pub activities: Vec<Activity>,
    /// Each `CareTeam`.
    pub care_teams: Vec<CareTeam>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// Whether a `CarePlan` is in force.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PlanState {
    /// `title`.
    pub title: Option<String>,
    /// `status`: draft, active, revoked, entered-in-error, …
    pub status: Option<String>,
    /// `intent`: proposal, plan, order, option.
    pub intent: Option<String>,
    /// `category`: which kind of plan it is.
    pub categories: Vec<Concept>,
    /// `description`.
    pub description: Option<String>,
    /// `period`.
    pub period: Option<Period>,
}

/// A `Goal`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Goal {
    /// `description`.
    pub description: Option<Concept>,
    /// `lifecycleStatus`: proposed, active, …
    pub status: Option<String>,
    /// `statusReason`.
    pub status_reason: Option<String>,
    /// `achievementStatus`, in words.
    pub achievement: Option<String>,
    /// `achievementStatus.coding`.
    pub achievement_codings: Vec<Coding>,
    /// `category`: dietary, safety, …
    pub categories: Vec<Concept>,
    /// `start[x]`, in words.
    pub start: Option<String>,
    /// `target`: how to tell that it is reached.
    pub targets: Vec<GoalTarget>,
}

/// What is to be reached.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GoalTarget {
    /// `measure`: what is looked at.
    pub measure: Option<Concept>,
    /// `detail[x]`, in words.
    pub detail: Option<String>,
    /// `due[x]`, in words.
    pub due: Option<String>,
}

/// Something that is done.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// `detail.code`, or a `ServiceRequest`'s `code`.
    pub code: Option<Concept>,
    /// `detail.description`, or what the activity refers to.
    pub description: Option<String>,
    /// `detail.status`, or a `ServiceRequest`'s `status`.
    pub status: Option<String>,
    /// `detail.doNotPerform`, or a `ServiceRequest`'s: it is **not** to be done.
    pub do_not_perform: bool,
    /// `detail.statusReason`.
    pub status_reason: Option<Concept>,
    /// `intent` of a `ServiceRequest`: order, plan, proposal, …
    pub intent: Option<String>,
    /// `priority` of a `ServiceRequest`: routine, urgent, …
    pub priority: Option<String>,
    /// `requester` of a `ServiceRequest`.
    pub requester: Option<Party>,
    /// `detail.reasonCode` and `detail.reasonReference`, or a `ServiceRequest`'s: what it is done for.
    pub reasons: Vec<Concept>,
    /// `asNeeded[x]` of a `ServiceRequest`, in words: `true`, or for what.
    pub as_needed: Option<String>,
    /// `bodySite` of a `ServiceRequest`.
    pub body_sites: Vec<Concept>,
    /// `category` of a `ServiceRequest`.
    pub categories: Vec<Concept>,
    /// `detail.scheduled[x]`, or a `ServiceRequest`'s `occurrence[x]`, in words.
    pub scheduled: Option<String>,
    /// `outcomeCodeableConcept` and `outcomeReference`, in words.
    pub outcomes: Vec<String>,
}

silent!(TreatmentPlanSummary, PlanState, Goal, GoalTarget, Activity);

impl TreatmentPlanSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let plans = || parts.all("CarePlan");
        let elsewhere = plans()
            .flat_map(|plan| plan.items("goal"))
            .filter_map(outside);
        let requests = parts.all("ServiceRequest").map(requested);
        let mut told = HashSet::new();
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            unsupported_modifiers: Vec::new(),
            plans: plans().map(plan_state).collect(),
            description: plans().find_map(|plan| plan.written("description")),
            period: plans().find_map(|plan| plan.period("period")),
            goals: parts.all("Goal").map(goal).chain(elsewhere).collect(),
            activities: plans()
                .flat_map(|plan| plan.items("activity"))
                .map(|it| activity(it, &mut told))
                .chain(requests)
                .collect(),
            care_teams: parts.all("CareTeam").map(care_team).collect(),
        }
    }
}

fn plan_state(plan: Part<'_>) -> PlanState {
    PlanState {
        title: plan.written("title"),
        status: plan.written("status"),
        intent: plan.written("intent"),
        categories: plan.concepts("category").collect(),
        description: plan.written("description"),
        period: plan.period("period"),
    }
}

fn goal(goal: Part<'_>) -> Goal {
    Goal {
        description: goal.concept("description"),
        status: goal.written("lifecycleStatus"),
        status_reason: goal.written("statusReason"),
        achievement: goal.concept("achievementStatus").and_then(|it| it.text),
        achievement_codings: goal.codings("achievementStatus"),
        categories: goal.concepts("category").collect(),
        start: goal.choice("start"),
        targets: goal.items("target").map(target).collect(),
    }
}

/// A goal that the document does not hold: what its reference says.
fn outside(reference: Part<'_>) -> Option<Goal> {
    let literal = reference.written("reference").unwrap_or_default();
    let is_inside = reference.is_inside(&literal);
    let party = Party::of(reference).filter(|_| !is_inside)?;
    Some(Goal {
        description: party.name.or(party.reference).map(Concept::in_words),
        ..Goal::default()
    })
}

fn target(target: Part<'_>) -> GoalTarget {
    let json = target.json;
    let quantity = json.get("detailQuantity").and_then(Quantity::of);
    let range = json.get("detailRange").and_then(Range::of);
    GoalTarget {
        measure: target.concept("measure"),
        detail: quantity
            .map(|it| text::quantity(&it))
            .or_else(|| range.map(|it| text::range(&it)))
            .or_else(|| target.choice("detail")),
        due: target.choice("due"),
    }
}

/// `told` are the resources whose details another activity has told: many may refer to the same.
fn activity(activity: Part<'_>, told: &mut HashSet<*const Json>) -> Activity {
    let detail = activity.get("detail");
    // What is in the document is told by the plan, and so is whether it is to be done at all.
    let reference = activity
        .get("reference")
        .and_then(|it| it.written("reference"));
    let meant = reference.and_then(|it| activity.referred(&it));
    let either = || [detail, meant].into_iter().flatten();
    let asked = meant.filter(|it| told.insert(std::ptr::from_ref(it.json)));
    let reasoned = [detail, asked].into_iter().flatten();
    let referred = activity
        .party("reference")
        .and_then(|party| party.name.or(party.reference));
    let concepts = activity.concepts("outcomeCodeableConcept");
    let references = activity.parties("outcomeReference");
    Activity {
        code: detail.and_then(|it| it.concept("code")),
        description: detail.and_then(|it| it.written("description")).or(referred),
        status: either().find_map(|it| it.written("status")),
        do_not_perform: either().any(|it| it.says("doNotPerform")),
        status_reason: detail.and_then(|it| it.concept("statusReason")),
        intent: meant.and_then(|it| it.written("intent")),
        priority: meant.and_then(|it| it.written("priority")),
        requester: asked.and_then(|it| it.party("requester")),
        reasons: reasoned.flat_map(reasons).collect(),
        as_needed: asked.and_then(|it| it.choice("asNeeded")),
        body_sites: asked
            .map(|it| it.concepts("bodySite").collect())
            .unwrap_or_default(),
        categories: asked
            .map(|it| it.concepts("category").collect())
            .unwrap_or_default(),
        scheduled: detail.and_then(|it| it.choice("scheduled")),
        outcomes: concepts
            .filter_map(|it| it.text)
            .chain(references.filter_map(|it| it.name.or(it.reference)))
            .collect(),
    }
}

fn requested(request: Part<'_>) -> Activity {
    Activity {
        code: request.concept("code"),
        description: request.written("patientInstruction"),
        status: request.written("status"),
        do_not_perform: request.says("doNotPerform"),
        status_reason: None,
        intent: request.written("intent"),
        priority: request.written("priority"),
        requester: request.party("requester"),
        reasons: reasons(request),
        as_needed: request.choice("asNeeded"),
        body_sites: request.concepts("bodySite").collect(),
        categories: request.concepts("category").collect(),
        scheduled: request.choice("occurrence"),
        outcomes: Vec::new(),
    }
}
