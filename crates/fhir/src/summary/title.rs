//! What a list shows of a document whose type it does not know: what it is about, in one line.
//!
//! The line never reads as the opposite of the document. What was measured stands with its value, and each
//! state that is not the usual one stands behind what it is about: `Peanut (refuted)`.

use super::diagnosis::first_code;
use super::elements::Concept;
use super::imaging::body_site;
use super::measurement::{Measurement, foci, measurement};
use super::modifiers::{is_plain, shown};
use super::parts::{Part, Parts, distinct};
use super::prescription::medication;
use crate::record_types::{RecordType, resource_type};

/// How many resources of a document are named.
const MAX_NAMED: usize = 3;
/// How much of a name is shown. Unit: characters.
const MAX_NAME: usize = 120;
/// Who or what has neither a name nor a reference. Its identifier alone could be read as a number.
const ANOTHER: &str = "another";

/// The line of a document. `is_modified` where it has modifiers that its summary does not show.
pub(super) fn title(
    parts: &Parts<'_>,
    record_type: RecordType,
    is_modified: bool,
) -> Option<String> {
    let named: Vec<String> = leading(parts, record_type)
        .into_iter()
        .flat_map(|part| lines(part, record_type))
        .collect();
    let named = distinct(named.into_iter());
    let more = named.len().saturating_sub(MAX_NAMED);
    let mut title = named[..named.len() - more].join(", ");
    if more > 0 {
        title = format!("{title}, {more} more");
    }
    if is_modified {
        title += " (read the document: it has modifiers that are not shown)";
    }
    title.retain(|it| !is_bidi_control(it));
    Some(title).filter(|title| !title.is_empty())
}

/// Whether a character embeds, overrides or isolates a direction of text, or ends that (Unicode, UAX 9): with it, a
/// line could be shown in another order than it is written in.
fn is_bidi_control(it: char) -> bool {
    matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What the others belong to and the documents beside it, if there is such a thing, else all of them.
fn leading<'a>(parts: &Parts<'a>, record_type: RecordType) -> Vec<Part<'a>> {
    let kind = match record_type {
        RecordType::LabResult | RecordType::Imaging => "DiagnosticReport",
        RecordType::TreatmentPlan => "CarePlan",
        RecordType::Diagnosis
        | RecordType::Prescription
        | RecordType::MedicalHistory
        | RecordType::VitalSigns
        | RecordType::Vaccination => "",
    };
    let is_one = |part: &Part<'_>, kind: &str| resource_type(part.json) == Some(kind);
    let roots = parts.roots();
    if !roots.iter().any(|part| is_one(part, kind)) {
        return roots.to_vec();
    }
    // No report says what a document beside it is.
    let leading = roots.iter().copied();
    leading
        .filter(|part| is_one(part, kind) || is_one(part, "DocumentReference"))
        .collect()
}

/// What a resource is about: a line, or one for each vaccine that is recommended.
fn lines(part: Part<'_>, record_type: RecordType) -> Vec<String> {
    let kind = resource_type(part.json).unwrap_or_default();
    let recommended: Vec<String> = match kind {
        "ImmunizationRecommendation" => part.items("recommendation").map(recommended).collect(),
        _ => Vec::new(),
    };
    if !recommended.is_empty() {
        return recommended;
    }
    let name = name(part, kind).map(|name| shortened(&name));
    let said = name.as_ref().and(said_kind(kind)).map(str::to_owned);
    let states = states(part, kind, record_type).into_iter();
    // A list that nobody may see is not one that has nothing to say.
    let empty = words(part.concept("emptyReason")).map(|it| format!("empty: {}", shortened(&it)));
    let states: Vec<String> = said.into_iter().chain(states).chain(empty).collect();
    let name = name.unwrap_or_else(|| kind.to_owned());
    vec![with_states(name + &focus(part, kind), &states)]
}

/// What the name alone would not say: that a drug is no order and no allergy, that a goal is not reached and a
/// service not done by being named, and that what a team is for is no diagnosis.
fn said_kind(kind: &str) -> Option<&str> {
    let is_said = matches!(
        kind,
        "MedicationStatement" | "MedicationAdministration" | "Goal" | "ServiceRequest" | "CareTeam"
    );
    is_said.then_some(kind)
}

/// Of whom or what an observation is, where that is not the patient.
fn focus(part: Part<'_>, kind: &str) -> String {
    if kind != "Observation" {
        return String::new();
    }
    let named = foci(part).map(|it| it.name.or(it.reference));
    let named = named.map(|it| it.unwrap_or_else(|| ANOTHER.to_owned()));
    let named = distinct(named.map(|it| shortened(&it)));
    if named.is_empty() {
        return String::new();
    }
    let more = named.len().saturating_sub(MAX_NAMED);
    let shown = named[..named.len() - more].join(", ");
    match more {
        0 => format!(" (of {shown})"),
        _ => format!(" (of {shown}, {more} more)"),
    }
}

fn with_states(name: String, states: &[String]) -> String {
    if states.is_empty() {
        name
    } else {
        format!("{name} ({})", states.join(", "))
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The modifiers of a resource that its summary shows, and that say something else than is usual.
fn states(part: Part<'_>, kind: &str, record_type: RecordType) -> Vec<String> {
    let elements = shown(record_type).iter().filter_map(|element| {
        let element = element.strip_prefix(kind)?.strip_prefix('.')?;
        (!element.contains('.')).then_some(element)
    });
    elements
        .filter_map(|element| state(part, kind, element))
        .collect()
}

fn state(part: Part<'_>, kind: &str, element: &str) -> Option<String> {
    let value = part
        .written(element)
        .or_else(|| first_code(part, element))?;
    if is_plain(kind, element, &value) {
        return None;
    }
    Some(match value.as_str() {
        "true" => element.to_owned(),
        _ => shortened(&value),
    })
}

fn recommended(recommendation: Part<'_>) -> String {
    let texts = |key: &str| {
        let concepts = recommendation.concepts(key);
        distinct(concepts.filter_map(|it| it.text))
    };
    let vaccines = texts("vaccineCode");
    let name = match vaccines.as_slice() {
        [] => words(recommendation.concept("targetDisease"))
            .unwrap_or_else(|| "ImmunizationRecommendation".to_owned()),
        some => some.join(" / "),
    };
    let not = texts("contraindicatedVaccineCode");
    let more = not.len().saturating_sub(MAX_NAMED);
    let told = not[..not.len() - more].iter();
    let told = told.map(|it| format!("contraindicated: {}", shortened(it)));
    let more = (more > 0).then(|| format!("contraindicated: {more} more"));
    let forecast = first_code(recommendation, "forecastStatus");
    let states: Vec<String> = forecast.into_iter().chain(told).chain(more).collect();
    with_states(shortened(&name), &states)
}

fn words(concept: Option<Concept>) -> Option<String> {
    concept?.text
}

fn name(part: Part<'_>, kind: &str) -> Option<String> {
    let first = |key: &str| words(part.concepts(key).next());
    match kind {
        "MedicationRequest" | "MedicationStatement" | "MedicationAdministration" => {
            words(medication(part))
        }
        "Immunization" => words(part.concept("vaccineCode")),
        "Observation" => observed(&measurement(part)),
        "CarePlan" => part
            .written("title")
            .or_else(|| first("category"))
            .or_else(|| part.written("description")),
        "Goal" => words(part.concept("description")),
        "CareTeam" => part
            .written("name")
            .or_else(|| first("reasonCode"))
            .or_else(|| first("category")),
        "FamilyMemberHistory" => relative(part),
        "List" => part
            .written("title")
            .or_else(|| words(part.concept("code"))),
        "Composition" => part
            .written("title")
            .or_else(|| words(part.concept("type"))),
        "DocumentReference" => referred(part),
        "ImagingStudy" => part
            .written("description")
            .or_else(|| first("procedureCode"))
            .or_else(|| pictured(part)),
        "Media" => words(part.concept("bodySite"))
            .or_else(|| words(part.concept("modality")))
            .or_else(|| words(part.concept("type"))),
        _ => words(part.concept("code")),
    }
}

/// What was observed, and what came out.
fn observed(it: &Measurement) -> Option<String> {
    let name = it.name.clone()?;
    let value: Vec<&str> = [&it.comparator, &it.value, &it.unit]
        .into_iter()
        .flatten()
        .filter(|_| it.value.is_some())
        .map(String::as_str)
        .collect();
    let value = if value.is_empty() {
        let interpretations = it.interpretations.iter();
        let interpretations = interpretations.filter_map(|it| it.text.as_deref());
        let reason = it.absent_reason.as_deref().into_iter();
        let told: Vec<&str> = reason.chain(interpretations).collect();
        let told = Some(told.join(", ")).filter(|it| !it.is_empty());
        it.text.clone().or(told)
    } else {
        Some(value.join(" "))
    };
    Some(match value {
        Some(value) => format!("{}: {}", shortened(&name), shortened(&value)),
        None => name,
    })
}

fn relative(part: Part<'_>) -> Option<String> {
    let relationship = words(part.concept("relationship"))?;
    let conditions = part.items("condition");
    let conditions: Vec<String> = conditions
        .filter_map(|it| words(it.concept("code")))
        .collect();
    Some(if conditions.is_empty() {
        relationship
    } else {
        format!("{relationship}: {}", conditions.join(", "))
    })
}

/// What a document is, and what somebody says of it.
fn referred(document: Part<'_>) -> Option<String> {
    let mut files = document
        .items("content")
        .filter_map(|it| it.get("attachment"));
    let said = document
        .written("description")
        .or_else(|| files.find_map(|it| it.written("title")));
    match (words(document.concept("type")), said) {
        (Some(kind), Some(said)) if kind != said => {
            Some(format!("{}: {}", shortened(&kind), shortened(&said)))
        }
        (kind, said) => kind.or(said),
    }
}

/// How and of what, where nobody says it in words.
fn pictured(study: Part<'_>) -> Option<String> {
    let series = || study.items("series");
    let coded = |part: Part<'_>, key: &str| part.json.get(key).and_then(Concept::of_coding);
    let modality = series().find_map(|it| coded(it, "modality"));
    let words: Vec<String> = words(modality)
        .into_iter()
        .chain(words(series().find_map(body_site)))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}
