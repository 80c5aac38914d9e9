//! Invariants of resources.

use std::collections::HashSet;

use super::{Rule, Scope};
use crate::json::Json;

const ALLERGY_VERIFICATION: &str =
    "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
const CONDITION_CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const CONDITION_VERIFICATION: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";

/// The invariants of the resource or of a node within one.
pub(super) fn of(node: &str) -> &'static [Rule] {
    match node {
        "AllergyIntolerance" => ALLERGY,
        "Bundle" => BUNDLE,
        "Bundle.entry" => BUNDLE_ENTRY,
        "CarePlan.activity" => CARE_PLAN_ACTIVITY,
        "CareTeam.participant" => CARE_TEAM_PARTICIPANT,
        "Composition.section" => SECTION,
        "Condition" => CONDITION,
        "Condition.evidence" => CONDITION_EVIDENCE,
        "Condition.stage" => CONDITION_STAGE,
        "DomainResource" => DOMAIN_RESOURCE,
        "FamilyMemberHistory" => FAMILY_HISTORY,
        "Goal.target" => GOAL_TARGET,
        "Immunization.education" => EDUCATION,
        "ImmunizationRecommendation.recommendation" => RECOMMENDATION,
        "List" => LIST,
        "MedicationAdministration.dosage" => ADMINISTERED_DOSAGE,
        "Observation" => OBSERVATION,
        "Observation.referenceRange" => REFERENCE_RANGE,
        "Organization" => ORGANIZATION,
        "Patient.contact" => PATIENT_CONTACT,
        "ServiceRequest" => SERVICE_REQUEST,
        _ => &[],
    }
}

const ALLERGY: &[Rule] = &[
    Rule {
        key: "ait-1",
        human: "there is a clinicalStatus unless it was entered in error",
        holds: |s| allergy_in_error(s) || s.has("clinicalStatus"),
    },
    Rule {
        key: "ait-2",
        human: "there is no clinicalStatus if it was entered in error",
        holds: |s| !allergy_in_error(s) || !s.has("clinicalStatus"),
    },
];

fn allergy_in_error(s: Scope<'_>) -> bool {
    s.is_coded(
        "verificationStatus",
        ALLERGY_VERIFICATION,
        &["entered-in-error"],
    )
}

const BUNDLE: &[Rule] = &[
    Rule {
        key: "bdl-1",
        human: "only the result of a search or a history has a total",
        holds: |s| !s.has("total") || is_bundle(s, &["searchset", "history"]),
    },
    Rule {
        key: "bdl-2",
        human: "only the entries of a search result have search",
        holds: |s| is_bundle(s, &["searchset"]) || !s.objects("entry").any(|e| e.has("search")),
    },
    Rule {
        key: "bdl-3",
        human: "entries have a request in a batch, transaction or history and nowhere else",
        holds: |s| {
            let expected = is_bundle(s, &["batch", "transaction", "history"]);
            s.objects("entry").all(|e| e.has("request") == expected)
        },
    },
    Rule {
        key: "bdl-4",
        human: "entries have a response in a batch or transaction response or a history and nowhere else",
        holds: |s| {
            let expected = is_bundle(s, &["batch-response", "transaction-response", "history"]);
            s.objects("entry").all(|e| e.has("response") == expected)
        },
    },
    Rule {
        key: "bdl-7",
        human: "a fullUrl occurs once, or with different versions",
        holds: |s| is_bundle(s, &["history"]) || full_urls_are_distinct(s),
    },
    Rule {
        key: "bdl-9",
        human: "a document has an identifier with system and value",
        holds: |s| {
            let named = |i: Scope<'_>| i.has("system") && i.has("value");
            !is_bundle(s, &["document"]) || s.object("identifier").is_some_and(named)
        },
    },
    Rule {
        key: "bdl-10",
        human: "a document has a timestamp",
        holds: |s| !is_bundle(s, &["document"]) || s.text("timestamp").is_some(),
    },
    Rule {
        key: "bdl-11",
        human: "the first resource of a document is a Composition",
        holds: |s| !is_bundle(s, &["document"]) || first_resource(s) == Some("Composition"),
    },
    Rule {
        key: "bdl-12",
        human: "the first resource of a message is a MessageHeader",
        holds: |s| !is_bundle(s, &["message"]) || first_resource(s) == Some("MessageHeader"),
    },
];

fn is_bundle(s: Scope<'_>, types: &[&str]) -> bool {
    s.text("type").is_some_and(|kind| types.contains(&kind))
}

fn first_resource(s: Scope<'_>) -> Option<&str> {
    s.items("entry")
        .first()?
        .get("resource")?
        .get("resourceType")?
        .as_str()
}

fn full_urls_are_distinct(s: Scope<'_>) -> bool {
    let mut seen = HashSet::new();
    s.objects("entry").all(|entry| {
        let meta = entry
            .get("resource")
            .and_then(|resource| resource.get("meta"));
        let version = meta
            .and_then(|meta| meta.get("versionId"))
            .and_then(Json::as_str);
        entry
            .text("fullUrl")
            .is_none_or(|url| seen.insert((url, version)))
    })
}

const BUNDLE_ENTRY: &[Rule] = &[
    Rule {
        key: "bdl-5",
        human: "an entry has a resource, a request or a response",
        holds: |s| s.has("resource") || s.has("request") || s.has("response"),
    },
    Rule {
        key: "bdl-8",
        human: "a fullUrl names no version",
        holds: |s| {
            !s.text("fullUrl")
                .is_some_and(|url| url.contains("/_history/"))
        },
    },
];

const CARE_PLAN_ACTIVITY: &[Rule] = &[Rule {
    key: "cpl-3",
    human: "either a detail or a reference, not both",
    holds: |s| !s.has("detail") || !s.has("reference"),
}];

const CARE_TEAM_PARTICIPANT: &[Rule] = &[Rule {
    key: "ctm-1",
    human: "only a practitioner acts on behalf of an organization",
    holds: |s| {
        let reference = s
            .object("member")
            .and_then(|member| member.text("reference"));
        let kind = reference.and_then(|reference| s.contained.target(reference));
        // PractitionerRole and others are other types; an unknown one may be anything.
        !s.has("onBehalfOf")
            || !matches!(
                kind,
                Some(
                    "Patient" | "RelatedPerson" | "PractitionerRole" | "Organization" | "CareTeam"
                )
            )
    },
}];

const SECTION: &[Rule] = &[
    Rule {
        key: "cmp-1",
        human: "a section has text, entries or sections",
        holds: |s| s.has("text") || s.has("entry") || s.has("section"),
    },
    Rule {
        key: "cmp-2",
        human: "only a section without entries has an emptyReason",
        holds: |s| !s.has("emptyReason") || !s.has("entry"),
    },
];

const CONDITION: &[Rule] = &[
    Rule {
        key: "con-4",
        human: "what has abated is inactive, resolved or in remission",
        holds: |s| {
            let over = ["resolved", "remission", "inactive"];
            !s.has_choice("abatement") || s.is_coded("clinicalStatus", CONDITION_CLINICAL, &over)
        },
    },
    Rule {
        key: "con-5",
        human: "there is no clinicalStatus if it was entered in error",
        holds: |s| {
            !s.is_coded(
                "verificationStatus",
                CONDITION_VERIFICATION,
                &["entered-in-error"],
            ) || !s.has("clinicalStatus")
        },
    },
];

const CONDITION_STAGE: &[Rule] = &[Rule {
    key: "con-1",
    human: "a stage has a summary or an assessment",
    holds: |s| s.has("summary") || s.has("assessment"),
}];

const CONDITION_EVIDENCE: &[Rule] = &[Rule {
    key: "con-2",
    human: "evidence has a code or details",
    holds: |s| s.has("code") || s.has("detail"),
}];

const DOMAIN_RESOURCE: &[Rule] = &[
    Rule {
        key: "dom-2",
        human: "a contained resource contains none",
        holds: |s| !s.objects("contained").any(|c| c.has("contained")),
    },
    Rule {
        key: "dom-3",
        human: "a contained resource is referred to, or refers to its container",
        holds: |s| {
            if !s.has("contained") {
                return true;
            }
            let mut fragments = HashSet::new();
            collect_fragments(s.this, &mut fragments);
            s.items("contained").iter().all(|contained| {
                let id = contained.get("id").and_then(Json::as_str);
                id.is_some_and(|id| fragments.contains(id)) || refers_to_container(contained)
            })
        },
    },
    Rule {
        key: "dom-4",
        human: "a contained resource has no versionId and no lastUpdated",
        holds: |s| {
            let mut metas = s.objects("contained").filter_map(|c| c.object("meta"));
            !metas.any(|meta| meta.has("versionId") || meta.has("lastUpdated"))
        },
    },
    Rule {
        key: "dom-5",
        human: "a contained resource has no security label",
        holds: |s| {
            let mut metas = s.objects("contained").filter_map(|c| c.object("meta"));
            !metas.any(|meta| meta.has("security"))
        },
    },
];

/// What stands after `#` in the strings below.
fn collect_fragments<'a>(members: &'a [(String, Json)], found: &mut HashSet<&'a str>) {
    fn collect<'a>(json: &'a Json, found: &mut HashSet<&'a str>) {
        match json {
            Json::String(text) => found.extend(text.strip_prefix('#')),
            Json::Array(items) => {
                for item in items {
                    collect(item, found);
                }
            }
            Json::Object(members) => collect_fragments(members, found),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
    for (key, value) in members {
        // A narrative refers to what it shows: `<img src="#picture"/>`.
        if let ("div", Json::String(narrative)) = (key.as_str(), value) {
            found.extend(crate::narrative::fragments(narrative));
        }
        collect(value, found);
    }
}

fn refers_to_container(contained: &Json) -> bool {
    let mut fragments = HashSet::new();
    collect_fragments(contained.as_object().unwrap_or_default(), &mut fragments);
    fragments.contains("")
}

const FAMILY_HISTORY: &[Rule] = &[
    Rule {
        key: "fhs-1",
        human: "either age or born, not both",
        holds: |s| !s.has_choice("age") || !s.has_choice("born"),
    },
    Rule {
        key: "fhs-2",
        human: "only an age can be estimated",
        holds: |s| s.has_choice("age") || !s.has("estimatedAge"),
    },
];

const GOAL_TARGET: &[Rule] = &[Rule {
    key: "gol-1",
    human: "a target with detail has a measure",
    holds: |s| !s.has_choice("detail") || s.has("measure"),
}];

const EDUCATION: &[Rule] = &[Rule {
    key: "imm-1",
    human: "education material has a documentType or a reference",
    holds: |s| s.has("documentType") || s.has("reference"),
}];

const RECOMMENDATION: &[Rule] = &[Rule {
    key: "imr-1",
    human: "a recommendation has a vaccineCode or a targetDisease",
    holds: |s| s.has("vaccineCode") || s.has("targetDisease"),
}];

const LIST: &[Rule] = &[
    Rule {
        key: "lst-1",
        human: "only a list without entries has an emptyReason",
        holds: |s| !s.has("emptyReason") || !s.has("entry"),
    },
    Rule {
        key: "lst-2",
        human: "only in a list of changes are entries deleted",
        holds: |s| {
            s.text("mode") == Some("changes") || !s.objects("entry").any(|e| e.has("deleted"))
        },
    },
    Rule {
        key: "lst-3",
        human: "only in a working list do entries have a date",
        holds: |s| s.text("mode") == Some("working") || !s.objects("entry").any(|e| e.has("date")),
    },
];

const ADMINISTERED_DOSAGE: &[Rule] = &[Rule {
    key: "mad-1",
    human: "what was given has a dose or a rate",
    holds: |s| s.has("dose") || s.has_choice("rate"),
}];

const OBSERVATION: &[Rule] = &[
    Rule {
        key: "obs-6",
        human: "only an observation without a value has a dataAbsentReason",
        holds: |s| !s.has("dataAbsentReason") || !s.has_choice("value"),
    },
    Rule {
        key: "obs-7",
        human: "an observation with a value has no component of its own code",
        holds: |s| {
            if !s.has_choice("value") {
                return true;
            }
            let own: HashSet<_> = codings(s).into_iter().collect();
            !s.objects("component")
                .flat_map(codings)
                .any(|coding| own.contains(&coding))
        },
    },
];

/// System and code of the codings of `code`.
fn codings(s: Scope<'_>) -> Vec<(Option<&str>, &str)> {
    let Some(code) = s.object("code") else {
        return Vec::new();
    };
    code.objects("coding")
        .filter_map(|c| Some((c.text("system"), c.text("code")?)))
        .collect()
}

const REFERENCE_RANGE: &[Rule] = &[Rule {
    key: "obs-3",
    human: "a reference range has low, high or text",
    holds: |s| s.has("low") || s.has("high") || s.has("text"),
}];

const ORGANIZATION: &[Rule] = &[
    Rule {
        key: "org-1",
        human: "an organization has an identifier or a name",
        holds: |s| s.has("identifier") || s.has("name"),
    },
    Rule {
        key: "org-2",
        human: "an organization has no home address",
        holds: |s| !s.objects("address").any(|a| a.text("use") == Some("home")),
    },
    Rule {
        key: "org-3",
        human: "an organization has no home telephone",
        holds: |s| !s.objects("telecom").any(|t| t.text("use") == Some("home")),
    },
];

const PATIENT_CONTACT: &[Rule] = &[Rule {
    key: "pat-1",
    human: "a contact has a name, a telecom, an address or an organization",
    holds: |s| {
        ["name", "telecom", "address", "organization"]
            .iter()
            .any(|key| s.has(key))
    },
}];

const SERVICE_REQUEST: &[Rule] = &[Rule {
    key: "prr-1",
    human: "only a request with a code has orderDetail",
    holds: |s| !s.has("orderDetail") || s.has("code"),
}];
