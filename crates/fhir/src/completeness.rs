//! Whether a document says what its record type asks for.
//!
//! The bullets are those of the specification (Record Types Documentation),
//! bound to elements. A document that leaves one open is taken and called
//! incomplete. A *bold* bullet is one that a doctor's record must state; whether
//! that is demanded is the caller's decision. A `Bundle` states a bullet about
//! each resource only if every one of its resources does. Nothing is asked of a kind
//! that its kind cannot state: a report has no body part.

mod bullets;
mod documents;
mod elements;
mod medications;
mod treatment_plans;

use self::bullets::{Bullet, RecordParts, Stated, bold, plain};
use self::elements::{
    at, has, has_choice, has_range, has_result, is_coded, is_concluded, is_described, is_fragment,
    is_icd_10, is_in_units, is_last_dose, is_loinc, is_loinc_code, is_measured, is_named,
    is_no_known_allergy, items, names_professional, says,
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
    /// These are open, in the specification's order.
    Incomplete(Vec<OpenBullet>),
}

/// A point of the specification that a document does not state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBullet {
    /// Its name.
    pub name: &'static str,
    /// Whether it is bold: required in a doctor's record.
    pub is_required: bool,
    /// The first place where it could have been stated, as `FHIRPath`.
    pub path: String,
}

impl Completeness {
    /// What is open.
    pub fn open(&self) -> &[OpenBullet] {
        match self {
            Self::Complete => &[],
            Self::Incomplete(open) => open,
        }
    }

    /// The open bullets as issues: errors are those that a doctor's record must state, the rest is
    /// information.
    pub fn issues(&self, record_type: RecordType) -> Vec<Issue> {
        let issue = |bullet: &OpenBullet| Issue {
            severity: if bullet.is_required {
                Severity::Error
            } else {
                Severity::Information
            },
            code: IssueCode::BusinessRule,
            path: bullet.path.clone(),
            rule: record_type.rule(),
            message: format!("the document does not state: {}", bullet.name),
        };
        self.open().iter().map(issue).collect()
    }
}

/// How complete a document with these roots is.
pub(crate) fn of(document: &Json, roots: &[&Json], record_type: RecordType) -> Completeness {
    let parts = RecordParts::of(document, roots);
    let bullets = match record_type {
        RecordType::Diagnosis => diagnosis(&parts),
        RecordType::LabResult => lab_result(&parts),
        RecordType::Prescription => prescription(&parts),
        RecordType::TreatmentPlan => treatment_plans::bullets(&parts),
        RecordType::MedicalHistory => medical_history(&parts),
        RecordType::VitalSigns => vital_signs(&parts),
        RecordType::Imaging => imaging(&parts),
        RecordType::Vaccination => vaccination(&parts),
    };
    let open = |bullet: Bullet| {
        let path = bullet.stated.err()?;
        Some(OpenBullet {
            name: bullet.name,
            is_required: bullet.bold,
            path,
        })
    };
    let open: Vec<OpenBullet> = bullets.into_iter().filter_map(open).collect();
    if open.is_empty() {
        Completeness::Complete
    } else {
        Completeness::Incomplete(open)
    }
}

fn diagnosis(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let has_words = |c: &Json| {
        c.get("code").is_some_and(|code| {
            has(code, "text") || items(code, "coding").iter().any(|it| has(it, "display"))
        })
    };
    vec![
        bold(
            "diagnosis code (ICD-10)",
            parts.every("Condition", "code", |c| is_coded(c, "code", is_icd_10)),
        ),
        // Beside the code: the specification asks for both.
        bold(
            "diagnosis description",
            parts.every("Condition", "code", has_words),
        ),
        bold(
            "diagnosing doctor",
            parts.every_within("Condition", "asserter", |c, root| {
                names_professional(c, "asserter", root) || names_professional(c, "recorder", root)
            }),
        ),
        bold(
            "date of diagnosis",
            parts.every("Condition", "recordedDate", |c| {
                has(c, "recordedDate") || has_choice(c, "onset")
            }),
        ),
    ]
}

fn lab_result(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let facility = |r: &Json| has(r, "performer") || has(r, "resultsInterpreter");
    let is_here = parts.holds("Observation");
    // What is only referred to is stated if the reference says what it is, or if it is in the document.
    let result = |r: &Json| names_results(r) || (is_here && has(r, "result"));
    let mut bullets = vec![
        plain(
            "laboratory category",
            parts.every_root("category", |r| {
                resource_type(r) != Some("Observation") || has(r, "category")
            }),
        ),
        bold(
            "test type (LOINC)",
            parts
                .every_root("code", |r| {
                    documents::is_one(r) || is_coded(r, "code", is_loinc)
                })
                .and_then(|()| {
                    documents::every_root(parts, "type", |it| is_coded(it, "type", is_loinc))
                }),
        ),
        bold(
            "test results",
            parts
                .every("DiagnosticReport", "result", result)
                .and_then(|()| parts.every("Observation", "value", has_result))
                .and_then(|()| documents::every_root(parts, "content", documents::has_content)),
        ),
    ];
    // A document alone cannot say them.
    if !documents::is_all(parts) {
        bullets.push(plain(
            "reference ranges",
            parts.any("Observation", "referenceRange", has_range),
        ));
    }
    bullets.push(plain(
        "laboratory facility",
        parts
            .every_root("performer", |r| documents::is_one(r) || facility(r))
            .and_then(|()| documents::every_root(parts, "custodian", documents::has_origin)),
    ));
    bullets
}

fn prescription(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let bounded = |d: &Json| at(d, &["timing", "repeat"]).is_some_and(|r| has_choice(r, "bounds"));
    let duration = |r: &Json| {
        at(r, &["dispenseRequest", "expectedSupplyDuration"]).is_some()
            || at(r, &["dispenseRequest", "validityPeriod"]).is_some()
            || items(r, "dosageInstruction").iter().any(bounded)
    };
    let kind = "MedicationRequest";
    vec![
        bold(
            "medication details",
            parts
                .every_within(kind, "medication", medications::is_stated)
                .and_then(|()| {
                    medications::every_root(parts, "medication", |it| {
                        medications::is_stated(it, it)
                    })
                }),
        ),
        bold(
            "dosage instructions",
            parts
                .every(kind, "dosageInstruction", |r| {
                    // What is not to be given has no dose.
                    let mut instructions = items(r, "dosageInstruction").iter();
                    says(r, "doNotPerform") || instructions.any(medications::is_instruction)
                })
                .and_then(|()| medications::every_root(parts, "dosage", medications::has_dosage)),
        ),
        plain(
            "duration",
            parts.every(kind, "dispenseRequest.validityPeriod", duration),
        ),
        bold(
            "prescribing doctor",
            parts.every_within(kind, "requester", |r, root| {
                names_professional(r, "requester", root)
            }),
        ),
    ]
}

/// Whether a report says of one of its results what it is, or contains it.
fn names_results(report: &Json) -> bool {
    let mut results = items(report, "result").iter();
    results.any(|it| is_fragment(it) || is_named(it))
}

/// What is asked of a kind in a history.
struct HistoryPart {
    bullet: &'static str,
    kind: &'static str,
    /// The element that names it, and whether it does.
    naming: &'static str,
    names: fn(&Json) -> bool,
    /// The element that fills it in, and whether it does.
    filling: &'static str,
    fills: fn(&Json) -> bool,
}

const HISTORY_PARTS: [HistoryPart; 7] = [
    HistoryPart {
        bullet: "past conditions",
        kind: "Condition",
        naming: "code",
        names: |c| is_described(c, "code"),
        filling: "code",
        fills: |_| true,
    },
    HistoryPart {
        bullet: "surgeries",
        kind: "Procedure",
        naming: "code",
        names: |p| is_described(p, "code"),
        filling: "performed",
        fills: |p| has_choice(p, "performed"),
    },
    HistoryPart {
        bullet: "family history",
        kind: "FamilyMemberHistory",
        naming: "relationship",
        names: |f| is_described(f, "relationship"),
        filling: "condition",
        fills: |f| has(f, "condition"),
    },
    HistoryPart {
        bullet: "allergies",
        kind: "AllergyIntolerance",
        naming: "code",
        names: |a| is_described(a, "code"),
        filling: "reaction",
        fills: |a| has(a, "reaction") || is_coded(a, "code", is_no_known_allergy),
    },
    HistoryPart {
        bullet: "observations",
        kind: "Observation",
        naming: "code",
        names: |o| is_described(o, "code"),
        filling: "value",
        fills: has_result,
    },
    HistoryPart {
        bullet: "reports",
        kind: "DiagnosticReport",
        naming: "code",
        names: |r| is_described(r, "code"),
        filling: "conclusion",
        fills: |r| is_concluded(r) || names_results(r),
    },
    HistoryPart {
        bullet: "documents",
        kind: "DocumentReference",
        naming: "type",
        names: |d| is_described(d, "type") || has(d, "description"),
        filling: "content",
        fills: documents::has_content,
    },
];

/// A history states a bullet if every resource for it is filled in. One without any resource for a
/// bullet is about something else. Something must be named: only then is nothing bold.
fn medical_history(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let named = |part: &HistoryPart| parts.any(part.kind, part.naming, part.names).is_ok();
    // What a list refers to outside of the document is named there.
    let is_named = HISTORY_PARTS.iter().any(named)
        || medications::is_any_stated(parts)
        || parts.any("List", "entry", |it| has(it, "entry")).is_ok()
        || parts
            .any("Composition", "section", |it| has(it, "section"))
            .is_ok();
    let bullet = |part: &HistoryPart| {
        let element = |json: &Json| {
            if (part.names)(json) {
                part.filling
            } else {
                part.naming
            }
        };
        Bullet {
            name: part.bullet,
            bold: !is_named,
            stated: parts.every_at(part.kind, element, |json| {
                (part.names)(json) && (part.fills)(json)
            }),
        }
    };
    let taken = Bullet {
        name: "medications",
        bold: !is_named,
        stated: medications::in_history(parts),
    };
    let bullets = HISTORY_PARTS.iter().map(bullet);
    let bullets: Vec<Bullet> = bullets.chain([taken]).collect();
    if is_named || bullets.iter().any(|bullet| bullet.stated.is_err()) {
        return bullets;
    }
    let nothing = "past conditions, surgeries, family history or allergies";
    vec![bold(nothing, Err(parts.somewhere("")))]
}

fn vital_signs(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let measured = |code: &'static str, unit: &'static [&'static str]| {
        parts.every("Observation", "value", |o| {
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
        plain(
            "vital signs category",
            parts.every_root("category", |o| has(o, "category")),
        ),
        bold(
            "LOINC code",
            parts.every("Observation", "code", |o| is_coded(o, "code", is_loinc)),
        ),
        bold(
            "value in UCUM",
            parts.every("Observation", "value", is_measured),
        ),
        bold(
            "blood pressure (8480-6, 8462-4)",
            parts.every("Observation", "component", pressure),
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
    if documents::is_all(parts) {
        return documents::of_imaging(parts);
    }
    let series = |study: &Json, key: &str| items(study, "series").iter().any(|it| has(it, key));
    let either = |elsewhere: Stated, then: Stated| elsewhere.or(then);
    let mut bullets = vec![bold(
        "image type",
        either(
            parts
                .any("ImagingStudy", "modality", |study| {
                    has(study, "modality") || series(study, "modality")
                })
                .or_else(|_| parts.any("Media", "modality", |media| has(media, "modality")))
                .or_else(|_| parts.any("Observation", "code", |it| is_described(it, "code"))),
            parts.any("DiagnosticReport", "code", |report| {
                is_described(report, "code")
            }),
        ),
    )];
    // A report and an observation cannot say it but by their code.
    if parts.holds("ImagingStudy") || parts.holds("Media") {
        bullets.push(bold(
            "body part",
            parts
                .any("Media", "bodySite", |media| has(media, "bodySite"))
                .or_else(|_| {
                    parts.any("ImagingStudy", "series.bodySite", |study| {
                        series(study, "bodySite")
                    })
                }),
        ));
    }
    bullets.push(plain(
        "findings",
        parts
            .any("Observation", "value", has_result)
            .or_else(|_| parts.any("DiagnosticReport", "conclusion", is_concluded)),
    ));
    bullets.push(plain(
        "radiologist notes",
        parts
            .any("ImagingStudy", "note", |study| {
                has(study, "note") || has(study, "interpreter")
            })
            .or_else(|_| parts.any("Media", "note", |media| has(media, "note")))
            .or_else(|_| {
                parts.any("DiagnosticReport", "resultsInterpreter", |report| {
                    has(report, "resultsInterpreter")
                })
            }),
    ));
    bullets
}

fn vaccination(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let dated = |r: &Json| {
        items(r, "recommendation")
            .iter()
            .any(|r| has(r, "dateCriterion"))
    };
    let recommended = |r: &Json| {
        items(r, "recommendation")
            .iter()
            .all(|r| has(r, "vaccineCode") || is_described(r, "targetDisease"))
    };
    vec![
        bold(
            "vaccine type",
            parts
                .every("Immunization", "vaccineCode", |i| {
                    is_described(i, "vaccineCode")
                })
                .and_then(|()| {
                    parts.every("ImmunizationRecommendation", "recommendation", recommended)
                }),
        ),
        bold(
            "date administered",
            parts.every("Immunization", "occurrence", |i| {
                has(i, "occurrenceDateTime") || has(i, "occurrenceString")
            }),
        ),
        plain(
            "batch number",
            parts.every("Immunization", "lotNumber", |i| has(i, "lotNumber")),
        ),
        plain(
            "next dose due date",
            parts
                .any("ImmunizationRecommendation", "recommendation", dated)
                .or_else(|_| parts.any("Immunization", "protocolApplied", is_last_dose)),
        ),
    ]
}
