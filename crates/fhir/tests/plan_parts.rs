//! Parts of a treatment plan that stand alone: filed, complete, summarised, found and withdrawn.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use documents::tree;
use fhir::summary::{Party, Summary, TreatmentPlanSummary, summarise};
use fhir::{Completeness, RecordType, check, entered_in_error, record_type_of, searchable};
use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const PLAN: RecordType = RecordType::TreatmentPlan;

fn goal() -> Value {
    json!({
        "resourceType": "Goal", "lifecycleStatus": "accepted",
        "achievementStatus": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/goal-achievement", "code": "not-achieved",
        }]},
        "description": {"text": "HbA1c below 7 %"},
        "subject": {"reference": "Patient/1"}, "statusDate": "2026-02-03",
        "target": [{
            "measure": {"coding": [{"system": LOINC, "code": "4548-4"}]}, "dueDate": "2026-03-05",
        }],
    })
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "priority": "urgent",
        "doNotPerform": true,
        "code": {"coding": [{"system": SNOMED, "code": "241615005", "display": "MRI of the knee"}]},
        "subject": {"reference": "Patient/1"}, "occurrenceDateTime": "2026-02-10", "authoredOn": "2026-02-03",
        "requester": {"display": "Dr Quill"}, "reasonCode": [{"text": "pacemaker"}],
    })
}

fn team() -> Value {
    json!({
        "resourceType": "CareTeam", "status": "active", "period": {"start": "2026-02-03"},
        "subject": {"reference": "Patient/1"},
        "reasonCode": [{"coding": [{"system": SNOMED, "code": "44054006", "display": "Diabetes"}]}],
        "participant": [
            {"role": [{"text": "Patient"}], "member": {"reference": "Patient/1"}},
            {
                "role": [{"text": "Healthcare professional"}],
                "member": {"display": "Dr Quill"}, "onBehalfOf": {"display": "a hospital"},
            },
        ],
        "managingOrganization": [{"display": "a hospital"}],
    })
}

/// The places that a document leaves open, bold ones with an exclamation mark.
fn open(document: &Value) -> Vec<String> {
    let checked = check(&tree(document), PLAN).unwrap();
    let open = checked.completeness.open().iter();
    open.map(|it| format!("{}{}", it.path, if it.is_required { "!" } else { "" }))
        .collect()
}

fn told(document: &Value) -> TreatmentPlanSummary {
    let Summary::TreatmentPlan(it) = summarise(&tree(document), PLAN) else {
        unreachable!("a summary is of its record type")
    };
    assert_eq!(it.unsupported_modifiers, [""; 0]);
    it
}

/// What a list shows of a document with another value of an element.
fn title_with(mut document: Value, element: &str, value: Value) -> String {
    document[element] = value;
    told(&document).title.unwrap()
}

#[test]
fn a_part_of_a_plan_stands_alone_and_is_asked_for_what_it_can_state() {
    for document in [goal(), request(), team()] {
        assert_eq!(record_type_of(&tree(&document), None), Ok(PLAN));
        let checked = check(&tree(&document), PLAN).unwrap();
        assert_eq!(checked.completeness, Completeness::Complete, "{document}");
        assert!(check(&tree(&document), RecordType::MedicalHistory).is_err());
    }
    let mut goal = goal();
    goal["description"] = json!({"coding": [{"system": LOINC}]});
    goal.as_object_mut().unwrap().remove("target");
    assert_eq!(open(&goal), ["Goal.description!", "Goal.target"]);
    let mut request = request();
    for name in ["code", "occurrenceDateTime"] {
        request.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(
        open(&request),
        ["ServiceRequest.code!", "ServiceRequest.occurrence"]
    );
    let mut team = team();
    team["participant"] = json!([{"period": {"start": "2026"}}]);
    assert_eq!(open(&team), ["CareTeam.participant!"]);
    // A plan is asked for all of it, whatever stands beside it.
    let plan = json!({"resourceType": "CarePlan", "status": "active", "intent": "plan"});
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": plan}, {"resource": team},
    ]});
    let plan = "Bundle.entry[0].resource";
    assert_eq!(
        open(&bundle),
        [
            format!("{plan}.goal!"),
            format!("{plan}.activity!"),
            format!("{plan}.period"),
            plan.to_owned(),
        ]
    );
}

#[test]
fn a_goal_says_whether_it_is_pursued_and_whether_it_is_reached() {
    let told = told(&goal());

    assert_eq!(
        told.title.as_deref(),
        Some("HbA1c below 7 % (Goal, accepted, not-achieved)")
    );
    assert_eq!(told.date.as_deref(), Some("2026-02-03"));
    assert_eq!(told.goals[0].status.as_deref(), Some("accepted"));
    assert_eq!(told.goals[0].achievement.as_deref(), Some("not-achieved"));
    assert_eq!(told.goals[0].targets[0].due.as_deref(), Some("2026-03-05"));
    assert_eq!(
        title_with(goal(), "lifecycleStatus", json!("rejected")),
        "HbA1c below 7 % (Goal, rejected, not-achieved)"
    );
}

#[test]
fn a_request_says_that_it_was_not_done_and_whether_it_is_to_be() {
    let told = told(&request());

    assert_eq!(
        told.title.as_deref(),
        Some("MRI of the knee (ServiceRequest, doNotPerform)")
    );
    assert_eq!(told.date.as_deref(), Some("2026-02-10"));
    let [activity] = told.activities.as_slice() else {
        unreachable!("there is one")
    };
    assert!(activity.do_not_perform);
    assert_eq!(activity.intent.as_deref(), Some("order"));
    assert_eq!(activity.priority.as_deref(), Some("urgent"));
    let requester = activity.requester.as_ref().unwrap();
    assert_eq!(requester.name.as_deref(), Some("Dr Quill"));
    assert_eq!(activity.reasons[0].text.as_deref(), Some("pacemaker"));
    for (element, value, expected) in [
        ("doNotPerform", json!(false), "ServiceRequest"),
        (
            "status",
            json!("revoked"),
            "ServiceRequest, revoked, doNotPerform",
        ),
        (
            "intent",
            json!("proposal"),
            "ServiceRequest, proposal, doNotPerform",
        ),
    ] {
        let expected = format!("MRI of the knee ({expected})");
        assert_eq!(title_with(request(), element, value), expected);
    }
}

#[test]
fn a_team_says_who_it_is_what_for_and_whether_it_still_is_one() {
    let said = told(&team());

    assert_eq!(said.title.as_deref(), Some("Diabetes (CareTeam)"));
    assert_eq!(said.date.as_deref(), Some("2026-02-03"));
    let [of_team] = said.care_teams.as_slice() else {
        unreachable!("there is one")
    };
    assert_eq!(of_team.status.as_deref(), Some("active"));
    assert_eq!(of_team.reasons[0].text.as_deref(), Some("Diabetes"));
    let doctor = &of_team.members[1];
    let name = |it: &Option<Party>| it.clone().unwrap().name.unwrap();
    assert_eq!(name(&doctor.member), "Dr Quill");
    assert_eq!(name(&doctor.on_behalf_of), "a hospital");
    assert_eq!(
        doctor.roles[0].text.as_deref(),
        Some("Healthcare professional")
    );
    assert_eq!(
        title_with(team(), "status", json!("inactive")),
        "Diabetes (CareTeam, inactive)"
    );
    assert_eq!(
        title_with(team(), "name", json!("Knee and heart")),
        "Knee and heart (CareTeam)"
    );
    let nameless = json!({"resourceType": "CareTeam", "status": "suspended"});
    assert_eq!(
        told(&nameless).title.as_deref(),
        Some("CareTeam (suspended)")
    );
}

#[test]
fn parts_of_a_plan_are_found_and_withdrawn() {
    for (document, codes) in [
        (goal(), [(LOINC, "4548-4")]),
        (request(), [(SNOMED, "241615005")]),
        (team(), [(SNOMED, "44054006")]),
    ] {
        let withdrawn = entered_in_error(tree(&document));

        let found = searchable(&withdrawn, PLAN);
        let found_codes: Vec<(&str, &str)> = found
            .codes
            .iter()
            .map(|(system, code)| (system.as_str(), code.as_str()))
            .collect();
        assert_eq!(found_codes, codes);
        assert!(found.effective_micros.is_some());
        let status = ("status", "entered-in-error".to_owned());
        assert!(found.metadata.contains(&status));
        assert!(check(&withdrawn, PLAN).is_ok());
        let told = summarise(&withdrawn, PLAN);
        assert!(told.title().unwrap().contains("entered-in-error"));
    }
}
