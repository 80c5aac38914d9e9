//! `DIAGNOSIS`: which, in whose judgement, since when.

use super::elements::{Coding, Concept, Party, Period};
use super::parts::{Part, Parts};
use super::silent::silent;

/// What a `DIAGNOSIS` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DiagnosisSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// Each `Condition`.
    pub diagnoses: Vec<Diagnosis>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// A `Condition`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// `code`: in ICD-10 as a rule.
    pub code: Option<Concept>,
    /// `code.text`, or what its system calls it.
    pub description: Option<String>,
    /// `asserter`, else `recorder`.
    pub doctor: Option<Party>,
    /// `recordedDate`.
    pub recorded: Option<String>,
    /// `onset[x]`, in words.
    pub onset: Option<String>,
    /// `clinicalStatus`: active, resolved, …
    pub clinical_status: Option<String>,
    /// `verificationStatus`: confirmed, provisional, …
    pub verification_status: Option<String>,
    /// `severity`, in words.
    pub severity: Option<String>,
    /// `severity.coding`.
    pub severity_codings: Vec<Coding>,
    /// `category`: an item of a list of problems, a diagnosis of an encounter, …
    pub categories: Vec<Concept>,
    /// `bodySite`.
    pub body_sites: Vec<Concept>,
    /// `abatement[x]`, in words.
    pub abatement: Option<String>,
    /// `stage.summary`: of a tumour, …
    pub stages: Vec<Concept>,
    /// `note`.
    pub notes: Vec<String>,
}

silent!(DiagnosisSummary, Diagnosis);

impl DiagnosisSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            unsupported_modifiers: Vec::new(),
            diagnoses: parts.all("Condition").map(diagnosis).collect(),
        }
    }
}

fn diagnosis(condition: Part<'_>) -> Diagnosis {
    let code = condition.concept("code");
    Diagnosis {
        description: code.as_ref().and_then(|code| code.text.clone()),
        code,
        doctor: condition
            .party("asserter")
            .or_else(|| condition.party("recorder")),
        recorded: condition.written("recordedDate"),
        onset: condition.choice("onset"),
        clinical_status: first_code(condition, "clinicalStatus"),
        verification_status: first_code(condition, "verificationStatus"),
        severity: condition.concept("severity").and_then(|it| it.text),
        severity_codings: condition.codings("severity"),
        categories: condition.concepts("category").collect(),
        body_sites: condition.concepts("bodySite").collect(),
        abatement: condition.choice("abatement"),
        stages: stages(condition),
        notes: condition.notes(),
    }
}

/// How far a condition is.
pub(super) fn stages(condition: Part<'_>) -> Vec<Concept> {
    let stages = condition.items("stage");
    stages.filter_map(|it| it.concept("summary")).collect()
}

/// The code of a concept whose system R4 prescribes; more than one only where it has more.
pub(super) fn first_code(part: Part<'_>, key: &str) -> Option<String> {
    let concept = part.concept(key)?;
    // HL7's own systems are the ones that R4 binds: a local code before them must not hide `refuted`.
    let is_bound = |coding: &&Coding| {
        let system = coding.system.as_deref().unwrap_or_default();
        system.starts_with("http://terminology.hl7.org/CodeSystem/")
    };
    let bound = concept.codings.iter().filter(is_bound);
    let bound: Vec<&str> = bound.filter_map(|coding| coding.code.as_deref()).collect();
    if !bound.is_empty() {
        return Some(bound.join(", "));
    }
    let code = concept.codings.into_iter().find_map(|coding| coding.code);
    code.or(concept.text)
}
