//! Whether a document says what its record type asks for.
//!
//! The bullets are those of the specification (Record Types Documentation),
//! bound to elements. A document that leaves one open is taken and called
//! incomplete. A *bold* bullet is one that a doctor's record must state; whether
//! that is demanded is the caller's decision. A `Bundle` states a bullet about
//! each resource only if every one of its resources does.

mod elements;

use self::elements::{
    at, has, has_choice, has_range, has_result, is_coded, is_described, is_fragment, is_icd_10,
    is_in_units, is_last_dose, is_loinc, is_loinc_code, is_measured, is_no_known_allergy, items,
    names_professional,
};
use crate::issue::{Issue, IssueCode, Severity};
use crate::json::Json;
use crate::record_types::{RecordType, resource_type};

/// A document that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it says everything that its record type asks for.
    pub completeness: Completeness,
}

/// Whether a document says everything that its record type asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Every bullet is stated.
    Complete,
    /// Some bullets are open.
    Incomplete {
        /// The open bullets by name, in the specification's order.
        missing: Vec<&'static str>,
        /// Whether one of them is bold: required in a doctor's record.
        required_missing: bool,
    },
}

impl Completeness {
    /// The open bullets as issues: errors if a bold one is among them, for a
    /// caller who demands completeness, else warnings.
    pub fn issues(&self, record_type: RecordType) -> Vec<Issue> {
        let Self::Incomplete {
            missing,
            required_missing,
        } = self
        else {
            return Vec::new();
        };
        let issue = |bullet: &&str| Issue {
            severity: if *required_missing {
                Severity::Error
            } else {
                Severity::Warning
            },
            code: IssueCode::BusinessRule,
            path: String::new(),
            rule: record_type.rule(),
            message: format!("the document does not state: {bullet}"),
        };
        missing.iter().map(issue).collect()
    }
}

/// A point of the specification and whether the document states it.
struct Bullet {
    name: &'static str,
    bold: bool,
    stated: bool,
}

fn bold(name: &'static str, stated: bool) -> Bullet {
    Bullet {
        name,
        bold: true,
        stated,
    }
}

fn plain(name: &'static str, stated: bool) -> Bullet {
    Bullet {
        name,
        bold: false,
        stated,
    }
}

/// How complete a document with these roots is.
pub(crate) fn of(roots: &[&Json], record_type: RecordType) -> Completeness {
    let parts = RecordParts { roots };
    let bullets = match record_type {
        RecordType::Diagnosis => diagnosis(&parts),
        RecordType::LabResult => lab_result(&parts),
        RecordType::Prescription => prescription(&parts),
        RecordType::TreatmentPlan => treatment_plan(&parts),
        RecordType::MedicalHistory => medical_history(&parts),
        RecordType::VitalSigns => vital_signs(&parts),
        RecordType::Imaging => imaging(&parts),
        RecordType::Vaccination => vaccination(&parts),
    };
    let open: Vec<Bullet> = bullets
        .into_iter()
        .filter(|bullet| !bullet.stated)
        .collect();
    if open.is_empty() {
        return Completeness::Complete;
    }
    Completeness::Incomplete {
        required_missing: open.iter().any(|bullet| bullet.bold),
        missing: open.into_iter().map(|bullet| bullet.name).collect(),
    }
}

fn diagnosis(parts: &RecordParts<'_>) -> Vec<Bullet> {
    vec![
        bold(
            "diagnosis code (ICD-10)",
            parts.every("Condition", |c| is_coded(c, "code", is_icd_10)),
        ),
        bold(
            "diagnosis description",
            parts.every("Condition", |c| is_described(c, "code")),
        ),
        bold(
            "diagnosing doctor",
            parts.every("Condition", |c| {
                names_professional(c, "asserter") || names_professional(c, "recorder")
            }),
        ),
        bold(
            "date of diagnosis",
            parts.every("Condition", |c| {
                has(c, "recordedDate") || has_choice(c, "onset")
            }),
        ),
    ]
}

fn lab_result(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let root_observations = || {
        parts
            .roots
            .iter()
            .filter(|r| resource_type(r) == Some("Observation"))
    };
    let facility = |r: &Json| has(r, "performer") || has(r, "resultsInterpreter");
    vec![
        bold(
            "laboratory category",
            root_observations().all(|o| has(o, "category")),
        ),
        bold(
            "test type (LOINC)",
            parts.roots.iter().all(|r| is_coded(r, "code", is_loinc)),
        ),
        bold(
            "test results",
            parts.every("DiagnosticReport", |r| has(r, "result"))
                && parts.every("Observation", has_result),
        ),
        plain("reference ranges", parts.any("Observation", has_range)),
        plain(
            "laboratory facility",
            parts.roots.iter().all(|r| facility(r)),
        ),
    ]
}

fn prescription(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let medication = |r: &Json| {
        is_described(r, "medicationCodeableConcept")
            || (has(r, "medicationReference")
                && parts.every("Medication", |m| is_described(m, "code")))
    };
    let dosage = |d: &Json| has(d, "text") || (has(d, "doseAndRate") && has(d, "timing"));
    let bounded = |d: &Json| at(d, &["timing", "repeat"]).is_some_and(|r| has_choice(r, "bounds"));
    let duration = |r: &Json| {
        at(r, &["dispenseRequest", "expectedSupplyDuration"]).is_some()
            || at(r, &["dispenseRequest", "validityPeriod"]).is_some()
            || items(r, "dosageInstruction").iter().any(bounded)
    };
    vec![
        bold(
            "medication details",
            parts.every("MedicationRequest", medication),
        ),
        bold(
            "dosage instructions",
            parts.every("MedicationRequest", |r| {
                items(r, "dosageInstruction").iter().any(dosage)
            }),
        ),
        plain("duration", parts.every("MedicationRequest", duration)),
        bold(
            "prescribing doctor",
            parts.every("MedicationRequest", |r| names_professional(r, "requester")),
        ),
    ]
}

fn treatment_plan(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let activities = || {
        parts
            .all("CarePlan")
            .flat_map(|plan| items(plan, "activity"))
    };
    let detail =
        |activity: &Json, found: fn(&Json) -> bool| activity.get("detail").is_some_and(found);
    let procedure = |a: &Json| has(a, "reference") || detail(a, |d| is_described(d, "code"));
    let outcome = |a: &Json| has(a, "outcomeCodeableConcept") || has(a, "outcomeReference");
    vec![
        bold(
            "treatment objectives",
            parts.any("Goal", |goal| is_described(goal, "description"))
                || parts.any("CarePlan", |plan| {
                    items(plan, "goal").iter().any(|g| !is_fragment(g))
                }),
        ),
        bold(
            "procedures",
            activities().any(procedure) || parts.any("ServiceRequest", |r| is_described(r, "code")),
        ),
        plain(
            "timeline",
            parts.any("CarePlan", |plan| has(plan, "period"))
                || parts.any("ServiceRequest", |r| has_choice(r, "occurrence"))
                || activities().any(|a| detail(a, |d| has_choice(d, "scheduled"))),
        ),
        plain(
            "expected outcomes",
            parts.any("Goal", |g| has(g, "target")) || activities().any(outcome),
        ),
    ]
}

/// A history states a bullet if every resource for it is filled in. One without any
/// resource for a bullet is about something else: only if nothing at all is named
/// are all four open, and then they are bold.
fn medical_history(parts: &RecordParts<'_>) -> Vec<Bullet> {
    struct Part {
        bullet: &'static str,
        kind: &'static str,
        names: fn(&Json) -> bool,
        fills: fn(&Json) -> bool,
    }
    let history = [
        Part {
            bullet: "past conditions",
            kind: "Condition",
            names: |c| is_described(c, "code"),
            fills: |_| true,
        },
        Part {
            bullet: "surgeries",
            kind: "Procedure",
            names: |p| is_described(p, "code"),
            fills: |p| has_choice(p, "performed"),
        },
        Part {
            bullet: "family history",
            kind: "FamilyMemberHistory",
            names: |f| is_described(f, "relationship"),
            fills: |f| has(f, "condition"),
        },
        Part {
            bullet: "allergies",
            kind: "AllergyIntolerance",
            names: |a| is_described(a, "code"),
            fills: |a| has(a, "reaction") || is_coded(a, "code", is_no_known_allergy),
        },
    ];
    // What a list refers to outside of the document is named there.
    let named = history.iter().any(|part| parts.any(part.kind, part.names))
        || parts.any("List", |list| has(list, "entry"))
        || parts.any("Composition", |composition| has(composition, "section"));
    let stated = |part: &Part| {
        named
            && parts.every(part.kind, |resource| {
                (part.names)(resource) && (part.fills)(resource)
            })
    };
    history
        .iter()
        .map(|part| Bullet {
            name: part.bullet,
            bold: !named,
            stated: stated(part),
        })
        .collect()
}

fn vital_signs(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let measured = |code: &'static str, unit: &'static [&'static str]| {
        parts.every("Observation", |o| {
            !is_coded(o, "code", |s, c| is_loinc_code(s, c, code)) || is_in_units(o, unit)
        })
    };
    let pressure = |o: &Json| {
        let component = |code: &str| {
            items(o, "component")
                .iter()
                .any(|part| is_coded(part, "code", |s, c| is_loinc_code(s, c, code)))
        };
        !is_coded(o, "code", |s, c| is_loinc_code(s, c, "85354-9"))
            || (component("8480-6") && component("8462-4"))
    };
    vec![
        bold(
            "vital signs category",
            parts.roots.iter().all(|o| has(o, "category")),
        ),
        bold(
            "LOINC code",
            parts.every("Observation", |o| is_coded(o, "code", is_loinc)),
        ),
        bold("value in UCUM", parts.every("Observation", is_measured)),
        bold(
            "blood pressure (8480-6, 8462-4)",
            parts.every("Observation", pressure),
        ),
        plain("heart rate per minute", measured("8867-4", &["/min"])),
        plain(
            "temperature in degrees",
            measured("8310-5", &["Cel", "[degF]"]),
        ),
        plain("respiratory rate per minute", measured("9279-1", &["/min"])),
    ]
}

fn imaging(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let series = || {
        parts
            .all("ImagingStudy")
            .flat_map(|study| items(study, "series"))
    };
    vec![
        bold(
            "image type",
            parts.any("ImagingStudy", |study| has(study, "modality"))
                || series().any(|s| has(s, "modality"))
                || parts.any("Media", |media| has(media, "modality"))
                || parts.any("DiagnosticReport", |report| is_described(report, "code")),
        ),
        bold(
            "body part",
            series().any(|s| has(s, "bodySite"))
                || parts.any("Media", |media| has(media, "bodySite")),
        ),
        plain(
            "findings",
            parts.any("DiagnosticReport", |report| {
                has(report, "conclusion")
                    || has(report, "conclusionCode")
                    || has(report, "presentedForm")
            }),
        ),
        plain(
            "radiologist notes",
            parts.any("DiagnosticReport", |report| {
                has(report, "resultsInterpreter")
            }) || parts.any("ImagingStudy", |study| has(study, "note"))
                || parts.any("Media", |media| has(media, "note")),
        ),
    ]
}

fn vaccination(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let dated = |r: &Json| {
        items(r, "recommendation")
            .iter()
            .any(|r| has(r, "dateCriterion"))
    };
    vec![
        bold(
            "vaccine type",
            parts.all("Immunization").next().is_some()
                && parts.every("Immunization", |i| is_described(i, "vaccineCode")),
        ),
        bold(
            "date administered",
            parts.all("Immunization").next().is_some()
                && parts.every("Immunization", |i| {
                    has(i, "occurrenceDateTime") || has(i, "occurrenceString")
                }),
        ),
        plain(
            "batch number",
            parts.every("Immunization", |i| has(i, "lotNumber")),
        ),
        plain(
            "next dose due date",
            parts.any("ImmunizationRecommendation", dated)
                || parts.any("Immunization", is_last_dose),
        ),
    ]
}

/// The resources of a document.
struct RecordParts<'a> {
    roots: &'a [&'a Json],
}

impl<'a> RecordParts<'a> {
    /// The roots of this kind and what roots contain of it.
    fn all(&self, kind: &str) -> impl Iterator<Item = &'a Json> {
        let contained = self.roots.iter().flat_map(|root| items(root, "contained"));
        let everything = self.roots.iter().copied().chain(contained);
        everything.filter(move |resource| resource_type(resource) == Some(kind))
    }

    fn every(&self, kind: &str, holds: impl Fn(&Json) -> bool) -> bool {
        self.all(kind).all(holds)
    }

    fn any(&self, kind: &str, holds: impl Fn(&Json) -> bool) -> bool {
        self.all(kind).any(holds)
    }
}
