//! What a document is found by: when it was so, its state, and its codes.
//!
//! Only what FHIR writes as a date or a code is read, never a text or a name. Where a document is a
//! `Bundle`, its latest date counts, and its state only if all of its resources agree. A period counts from its beginning to its
//! end. Which of it is stored in clear and which as a keyed hash is not decided here.

use std::fmt;

use crate::json::Json;
use crate::record_types::{RecordType, resource_type};
use crate::temporal::Moment;

/// How many codes of one document are searchable. More are left out: nobody looks a document up by its
/// 257th.
pub const MAX_CODES: usize = 256;

/// Where HL7 lists what kind of laboratory or department a report comes from.
const DIAGNOSTIC_SERVICES: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";

/// What a document is found by. Its `Debug` says how much there is, and never what.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Searchable {
    /// When what it says was so. Unit: microseconds since 1970 began in UTC. A year, month or day
    /// stands for its beginning in UTC.
    pub effective_micros: Option<i64>,
    /// What may be read off it in clear: dates, states, kinds. A date is its day (`2026-11-23`), or
    /// less where the document says less.
    pub metadata: Vec<(&'static str, String)>,
    /// Its codes with their systems, each once, in the order of the document: first those that say what it is
    /// about, then those of answers, reactions and parts of the body.
    pub codes: Vec<(String, String)>,
}

impl fmt::Debug for Searchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, codes) = (self.metadata.len(), self.codes.len());
        write!(f, "{keys} metadata keys and {codes} codes")
    }
}

/// Reads off a document what it is found by. What is not there is left out.
pub fn searchable(document: &Json, record_type: RecordType) -> Searchable {
    let roots = roots(document);
    let everything: Vec<&Json> = roots
        .iter()
        .flat_map(|root| std::iter::once(*root).chain(each(root, "contained")))
        .collect();
    let mut metadata = Vec::new();

    let dates: Vec<Dated<'_>> = roots.iter().filter_map(|root| date_of(root)).collect();
    let date = latest(&dates);
    if let Some(date) = date {
        metadata.push(("date", day(date.text)));
        metadata.extend(last_end(&dates, date).map(|end| ("dateEnd", end)));
    }
    if let Some(status) = shared_state(&roots) {
        metadata.push(("status", status.to_owned()));
    }
    metadata.extend(particular(record_type, &roots, &everything));
    Searchable {
        effective_micros: date.map(|date| date.micros),
        metadata,
        codes: codes(&everything),
    }
}

/// The latest date that a document is about, as it gives it.
pub(crate) fn date(document: &Json) -> Option<&str> {
    date_in(document).map(|date| date.text)
}

/// The beginning and the end of the period that this date belongs to; `None` where it is no part of one. What the document leaves
/// open is `None` in it.
pub(crate) fn period(document: &Json) -> Option<(Option<&str>, Option<&str>)> {
    let date = date_in(document)?;
    match date.span? {
        PeriodSpan::Until(end) => Some((Some(date.text), Some(end))),
        PeriodSpan::Ongoing => Some((Some(date.text), None)),
        PeriodSpan::EndAlone => Some((None, Some(date.text))),
    }
}

fn date_in(document: &Json) -> Option<Dated<'_>> {
    let dates: Vec<Dated<'_>> = roots(document).into_iter().filter_map(date_of).collect();
    latest(&dates)
}

fn roots(document: &Json) -> Vec<&Json> {
    if resource_type(document) == Some("Bundle") {
        each(document, "entry.resource")
    } else {
        vec![document]
    }
}

/// Every value at the end of a dotted path, whatever arrays lie on the way.
fn each<'a>(json: &'a Json, path: &str) -> Vec<&'a Json> {
    path.split('.').fold(vec![json], |found, key| {
        let members = found.into_iter().filter_map(|json| json.get(key));
        members
            .flat_map(|member| match member {
                Json::Array(items) => items.iter().collect(),
                single => vec![single],
            })
            .collect()
    })
}

fn first_text<'a>(json: &'a Json, paths: &[&str]) -> Option<&'a str> {
    let mut texts = paths
        .iter()
        .filter_map(|path| each(json, path).into_iter().find_map(Json::as_str));
    texts.next()
}

/// A date.
#[derive(Clone, Copy)]
struct Dated<'a> {
    /// When it begins. Unit: microseconds since 1970 began in UTC.
    micros: i64,
    /// The same as it is written.
    text: &'a str,
    /// How it belongs to a period, if it does.
    span: Option<PeriodSpan<'a>>,
}

/// What is known of the period that a date belongs to.
#[derive(Clone, Copy)]
enum PeriodSpan<'a> {
    /// It begins with the date and lasts until the end of this one.
    Until(&'a str),
    /// It begins with the date, and no end is known or planned.
    Ongoing,
    /// It ends with the date, and nobody says when it began.
    EndAlone,
}

/// What stands for the end of a period that has none. Greater than every date, as text.
const ONGOING: &str = "ongoing";

fn dated(text: &str) -> Option<Dated<'_>> {
    let micros = Moment::parse(text)?.unix_micros();
    Some(Dated {
        micros,
        text,
        span: None,
    })
}

fn latest<'a>(dates: &[Dated<'a>]) -> Option<Dated<'a>> {
    dates.iter().max_by_key(|date| date.micros).copied()
}

/// The latest day that any of these dates lasts to, or less where the document says less; [`ONGOING`] where one has no end. `None`
/// where none lasts longer than the latest of them.
fn last_end(dates: &[Dated<'_>], latest: Dated<'_>) -> Option<String> {
    let mut ends = Vec::new();
    for date in dates {
        match date.span {
            Some(PeriodSpan::Ongoing) => return Some(ONGOING.to_owned()),
            Some(PeriodSpan::Until(end)) => ends.extend(Moment::parse(end)),
            Some(PeriodSpan::EndAlone) | None => {}
        }
    }
    let last = ends.into_iter().max_by_key(Moment::end_micros)?;
    let is_longer =
        Moment::parse(latest.text).is_some_and(|latest| latest.end_micros() < last.end_micros());
    is_longer.then(|| last.last_day())
}

/// The day of a date, or the month or year that it is.
fn day(text: &str) -> String {
    text.chars().take("YYYY-MM-DD".len()).collect()
}

/// When a resource was so: from the first element that says it.
fn date_of(resource: &Json) -> Option<Dated<'_>> {
    let mut paths = date_paths(resource_type(resource)?).iter().copied();
    let (path, dates) = paths.find_map(|path| {
        let texts = each(resource, path).into_iter().filter_map(Json::as_str);
        let dates: Vec<Dated<'_>> = texts.filter_map(dated).collect();
        (!dates.is_empty()).then_some((path, dates))
    })?;
    let first = *dates.first()?;
    if let Some(period) = path.strip_suffix(".start") {
        let end = first_text(resource, &[format!("{period}.end").as_str()]);
        let span = Some(end.map_or(PeriodSpan::Ongoing, PeriodSpan::Until));
        return Some(Dated { span, ..first });
    }
    if path.ends_with("eriod.end") {
        let span = Some(PeriodSpan::EndAlone);
        return Some(Dated { span, ..first });
    }
    if path.ends_with("Timing.event") && dates.len() > 1 {
        let first = dates.iter().min_by_key(|date| date.micros).copied()?;
        let span = latest(&dates).map(|last| PeriodSpan::Until(last.text));
        return Some(Dated { span, ..first });
    }
    Some(first)
}

/// The elements that say when a resource of a kind was so, the best first: when it was or is to be so, before when somebody
/// wrote it down (R4 maps the one to `FiveWs.done`, `.planned` or `.init`, the other to `FiveWs.recorded`). Of what is
/// planned, an end alone is a limit, and comes last. Conditions and allergies count by when they were established
/// (`recordedDate`): that is the date of a diagnosis, and how long it had lasted by then is often a guess.
fn date_paths(kind: &str) -> &'static [&'static str] {
    match kind {
        "Condition" | "AllergyIntolerance" => &[
            "recordedDate",
            "onsetDateTime",
            "onsetPeriod.start",
            "onsetPeriod.end",
        ],
        "Observation" => &[
            "effectiveDateTime",
            "effectivePeriod.start",
            "effectivePeriod.end",
            "effectiveInstant",
            "effectiveTiming.event",
            "effectiveTiming.repeat.boundsPeriod.start",
            "issued",
        ],
        "DiagnosticReport" => &[
            "effectiveDateTime",
            "effectivePeriod.start",
            "effectivePeriod.end",
            "issued",
        ],
        "MedicationRequest" => &["authoredOn"],
        "ServiceRequest" => &[
            "occurrenceDateTime",
            "occurrencePeriod.start",
            "occurrenceTiming.event",
            "occurrenceTiming.repeat.boundsPeriod.start",
            "authoredOn",
            "occurrencePeriod.end",
        ],
        "MedicationStatement" => &[
            "effectiveDateTime",
            "effectivePeriod.start",
            "effectivePeriod.end",
            "dateAsserted",
        ],
        "MedicationAdministration" => &[
            "effectiveDateTime",
            "effectivePeriod.start",
            "effectivePeriod.end",
        ],
        "CarePlan" => &["period.start", "created", "period.end"],
        "CareTeam" => &["period.start", "period.end"],
        // By when it is to be reached is a limit, and no date of it.
        "Goal" => &["startDate", "statusDate"],
        "Procedure" => &[
            "performedDateTime",
            "performedPeriod.start",
            "performedPeriod.end",
        ],
        "FamilyMemberHistory" | "List" | "Composition" | "ImmunizationRecommendation" => &["date"],
        "DocumentReference" => &[
            "context.period.start",
            "context.period.end",
            "content.attachment.creation",
            "date",
        ],
        "ImagingStudy" => &["started"],
        "Media" => &[
            "createdDateTime",
            "createdPeriod.start",
            "createdPeriod.end",
            "issued",
        ],
        "Immunization" => &["occurrenceDateTime", "recorded"],
        _ => &[],
    }
}

/// The state that all resources with a state are in.
fn shared_state<'a>(roots: &[&'a Json]) -> Option<&'a str> {
    let mut states = roots.iter().filter_map(|root| state_of(root));
    let first = states.next()?;
    states.all(|state| state == first).then_some(first)
}

fn state_of(resource: &Json) -> Option<&str> {
    let paths: &[&str] = match resource_type(resource)? {
        "Condition" | "AllergyIntolerance" => &[
            "clinicalStatus.coding.code",
            // What was entered in error has no clinical status any more (con-5, ait-2).
            "verificationStatus.coding.code",
        ],
        "Goal" => &["lifecycleStatus"],
        _ => &["status"],
    };
    first_text(resource, paths)
}

/// What is read off the documents of one type alone.
fn particular(
    record_type: RecordType,
    roots: &[&Json],
    everything: &[&Json],
) -> Vec<(&'static str, String)> {
    let is = |kind: &'static str| move |json: &&&Json| resource_type(json) == Some(kind);
    let first = |kind, path: &str| {
        let mut found = everything.iter().filter(is(kind));
        found.find_map(|resource| first_text(resource, &[path]))
    };
    let first_day = |kind, path: &str| first(kind, path).and_then(dated).map(|at| day(at.text));
    let told = match record_type {
        RecordType::LabResult => vec![(
            "testType",
            roots
                .iter()
                .filter(is("DiagnosticReport"))
                .find_map(|it| service(it)),
        )],
        RecordType::Prescription => vec![(
            "validUntil",
            first_day("MedicationRequest", "dispenseRequest.validityPeriod.end"),
        )],
        RecordType::TreatmentPlan => vec![
            ("start", first_day("CarePlan", "period.start")),
            ("end", first_day("CarePlan", "period.end")),
        ],
        RecordType::Imaging => {
            let modality = first("ImagingStudy", "modality.code")
                .or_else(|| first("ImagingStudy", "series.modality.code"))
                .or_else(|| first("Media", "modality.coding.code"));
            vec![("modality", modality.map(str::to_owned))]
        }
        RecordType::Vaccination => {
            let due = everything
                .iter()
                .filter(is("ImmunizationRecommendation"))
                .flat_map(|it| each(it, "recommendation.dateCriterion.value"))
                .filter_map(Json::as_str)
                .filter_map(dated)
                .min_by_key(|date| date.micros);
            vec![("nextDue", due.map(|date| day(date.text)))]
        }
        RecordType::Diagnosis | RecordType::MedicalHistory | RecordType::VitalSigns => Vec::new(),
    };
    told.into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// The kind of laboratory a report comes from: `CH` is chemistry.
fn service(report: &Json) -> Option<String> {
    let codings = each(report, "category.coding");
    let mut services = codings
        .iter()
        .filter(|coding| coding.get("system").and_then(Json::as_str) == Some(DIAGNOSTIC_SERVICES));
    services.find_map(|coding| Some(coding.get("code")?.as_str()?.to_owned()))
}

/// Where a resource says what was found, done, measured or given.
fn coded_elements(resource: &Json) -> &'static [&'static str] {
    match resource_type(resource) {
        Some("Observation") => &["code", "component.code"],
        Some("DiagnosticReport") => &["code", "conclusionCode"],
        Some("MedicationRequest" | "MedicationStatement" | "MedicationAdministration") => {
            &["medicationCodeableConcept"]
        }
        Some("DocumentReference") => &["type"],
        Some("CarePlan") => &["activity.detail.code"],
        Some("Goal") => &["description"],
        Some("CareTeam") => &["category"],
        Some("FamilyMemberHistory") => &["condition.code"],
        Some("AllergyIntolerance") => &["code", "reaction.substance"],
        Some("ImagingStudy") => &["procedureCode"],
        Some("Immunization") => &["vaccineCode"],
        Some("ImmunizationRecommendation") => &["recommendation.vaccineCode"],
        Some("Condition" | "Medication" | "Procedure" | "ServiceRequest" | "List") => &["code"],
        _ => &[],
    }
}

/// Where a resource says more of that: what was answered, how somebody reacted, where in the body.
fn detailing_elements(resource: &Json) -> &'static [&'static str] {
    match resource_type(resource) {
        Some("Observation") => &[
            "valueCodeableConcept",
            "component.valueCodeableConcept",
            "bodySite",
        ],
        Some("DocumentReference") => &["context.event"],
        Some("AllergyIntolerance") => &["reaction.manifestation"],
        Some("Goal") => &["target.measure"],
        Some("CareTeam") => &["reasonCode"],
        Some("ImagingStudy") => &["series.bodySite"],
        Some("Condition" | "Media" | "Procedure" | "ServiceRequest") => &["bodySite"],
        _ => &[],
    }
}

/// The codes of a concept. Imaging names parts of the body by a bare code.
fn codings(concept: &Json) -> Vec<&Json> {
    if concept.get("coding").is_some() {
        each(concept, "coding")
    } else {
        vec![concept]
    }
}

/// What every resource is about, and then what they say of it: where there are too many codes, no detail of one
/// resource takes the place of what another one is about.
fn codes(resources: &[&Json]) -> Vec<(String, String)> {
    let mut codes: Vec<(String, String)> = Vec::new();
    let about = resources.iter().map(|it| (it, coded_elements(it)));
    let details = resources.iter().map(|it| (it, detailing_elements(it)));
    for (resource, paths) in about.chain(details) {
        for path in paths {
            let concepts = each(resource, path);
            for coding in concepts.into_iter().flat_map(codings) {
                let text = |key| coding.get(key).and_then(Json::as_str);
                // A code without a system says nothing.
                let (Some(system), Some(code)) = (text("system"), text("code")) else {
                    continue;
                };
                let code = (system.to_owned(), code.to_owned());
                if codes.len() < MAX_CODES && !codes.contains(&code) {
                    codes.push(code);
                }
            }
        }
    }
    codes
}
