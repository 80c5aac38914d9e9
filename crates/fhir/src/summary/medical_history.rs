//! `MEDICAL_HISTORY`: conditions, surgeries, family, allergies, what was observed.

use super::diagnosis::{first_code, stages};
use super::document::{ReferredDocument, document};
use super::elements::{Coding, Concept, Party, Period};
use super::measurement::{Measurement, measurement};
use super::medication::{MedicationGiven, MedicationTaken, given, taken};
use super::parts::{Part, Parts, distinct};
use super::report::{Report, report};
use super::silent::silent;
use super::text;

/// What a `MEDICAL_HISTORY` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MedicalHistorySummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// Each `Condition`.
    pub conditions: Vec<PastCondition>,
    /// Each `Procedure`.
    pub procedures: Vec<PastProcedure>,
    /// Each `FamilyMemberHistory`.
    pub family: Vec<Relative>,
    /// Each `AllergyIntolerance`.
    pub allergies: Vec<Allergy>,
    /// Each `MedicationStatement`: what somebody says is taken, or is not.
    pub medication_statements: Vec<MedicationTaken>,
    /// Each `MedicationAdministration`: what was given, or was not.
    pub medication_administrations: Vec<MedicationGiven>,
    /// Each `Observation`: of social history, of a survey, of an examination.
    pub observations: Vec<Measurement>,
    /// Each `DiagnosticReport`, with its state: of a visit, of cardiology, …
    pub reports: Vec<Report>,
    /// Each `DocumentReference`.
    pub document_references: Vec<ReferredDocument>,
    /// What a `List` or a `Composition` refers to outside of the document.
    pub referred: Vec<Party>,
    /// `title` of a `List`, of a `Composition` and of its sections, which may be all there is beside
    /// the narrative.
    pub titles: Vec<String>,
    /// Each `List` and section that has no entries and says why.
    pub empty_lists: Vec<EmptyList>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// A `List`, or a section of a `Composition`, that has no entries: nothing is known, or nobody asked.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EmptyList {
    /// `title`, else its `code` in words.
    pub title: Option<String>,
    /// `emptyReason`: nilknown, notasked, withheld, unavailable, …
    pub reason: Concept,
}

/// A `Condition`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PastCondition {
    /// `code`.
    pub code: Option<Concept>,
    /// `onset[x]`, in words.
    pub onset: Option<String>,
    /// `abatement[x]`, in words.
    pub abatement: Option<String>,
    /// `clinicalStatus`: active, resolved, …
    pub clinical_status: Option<String>,
    /// `verificationStatus`: confirmed, provisional, refuted, entered-in-error, …
    pub verification_status: Option<String>,
    /// `category`: an item of a list of problems, a diagnosis of an encounter, …
    pub categories: Vec<Concept>,
    /// `severity`.
    pub severity: Option<Concept>,
    /// `bodySite`.
    pub body_sites: Vec<Concept>,
    /// `recordedDate`.
    pub recorded: Option<String>,
    /// `stage.summary`: of a tumour, …
    pub stages: Vec<Concept>,
    /// `note`.
    pub notes: Vec<String>,
}

/// A `Procedure`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PastProcedure {
    /// `code`.
    pub code: Option<Concept>,
    /// `performed[x]`, in words.
    pub performed: Option<String>,
    /// `outcome`, in words.
    pub outcome: Option<String>,
    /// `outcome.coding`.
    pub outcome_codings: Vec<Coding>,
    /// `status`: completed, not-done, entered-in-error, …
    pub status: Option<String>,
    /// `statusReason`: why it was not done.
    pub status_reason: Option<Concept>,
    /// `category`.
    pub category: Option<Concept>,
    /// `bodySite`.
    pub body_sites: Vec<Concept>,
    /// `note`.
    pub notes: Vec<String>,
}

/// A `FamilyMemberHistory`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Relative {
    /// `relationship`.
    pub relationship: Option<Concept>,
    /// `status`: completed, partial, health-unknown, entered-in-error.
    pub status: Option<String>,
    /// `dataAbsentReason`: why nothing is known of them.
    pub absent_reason: Option<Concept>,
    /// What they have or had.
    pub conditions: Vec<FamilyCondition>,
    /// `deceased[x]`, in words.
    pub deceased: Option<String>,
}

/// What a relative has or had.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FamilyCondition {
    /// `code`.
    pub code: Option<Concept>,
    /// `onset[x]`, in words.
    pub onset: Option<String>,
    /// `outcome`: what it came to.
    pub outcome: Option<Concept>,
}

/// An `AllergyIntolerance`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Allergy {
    /// `code`: the substance, or that none is known.
    pub code: Option<Concept>,
    /// `type`: allergy, intolerance.
    pub r#type: Option<String>,
    /// `category`: food, medication, …
    pub categories: Vec<String>,
    /// `onset[x]`, in words.
    pub onset: Option<String>,
    /// `recordedDate`.
    pub recorded: Option<String>,
    /// `reaction.manifestation`.
    pub manifestations: Vec<Concept>,
    /// `reaction.substance`, each once: what it was that the patient reacted to.
    pub substances: Vec<Concept>,
    /// `reaction.severity`, each once: mild, moderate, severe.
    pub severities: Vec<String>,
    /// `criticality`: low, high, unable-to-assess.
    pub criticality: Option<String>,
    /// `clinicalStatus`: active, resolved, …
    pub clinical_status: Option<String>,
    /// `verificationStatus`: confirmed, unconfirmed, refuted, entered-in-error.
    pub verification_status: Option<String>,
    /// `note`.
    pub notes: Vec<String>,
}

silent!(
    MedicalHistorySummary,
    EmptyList,
    PastCondition,
    PastProcedure,
    Relative,
    FamilyCondition,
    Allergy,
);

impl MedicalHistorySummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let listed = parts
            .all("List")
            .flat_map(|list| list.items("entry"))
            .filter_map(|entry| entry.get("item"));
        let compositions = || parts.all("Composition");
        let sections = || compositions().flat_map(sections);
        let composed = sections().flat_map(|section| section.items("entry"));
        let titled = || parts.all("List").chain(compositions()).chain(sections());
        let outside = |reference: &Part<'_>| {
            let literal = reference.written("reference");
            !literal.is_some_and(|it| reference.is_inside(&it))
        };
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            document_references: parts.all("DocumentReference").map(document).collect(),
            unsupported_modifiers: Vec::new(),
            conditions: parts.all("Condition").map(condition).collect(),
            procedures: parts.all("Procedure").map(procedure).collect(),
            family: parts.all("FamilyMemberHistory").map(relative).collect(),
            allergies: parts.all("AllergyIntolerance").map(allergy).collect(),
            medication_statements: parts.all("MedicationStatement").map(taken).collect(),
            medication_administrations: parts.all("MedicationAdministration").map(given).collect(),
            observations: parts.all("Observation").map(measurement).collect(),
            reports: parts.all("DiagnosticReport").map(report).collect(),
            referred: distinct(listed.chain(composed).filter(outside).filter_map(Party::of)),
            titles: titled().filter_map(|it| it.written("title")).collect(),
            empty_lists: titled().filter_map(empty_list).collect(),
        }
    }
}

/// The sections of a composition, and theirs. The reader bounds the depth.
fn sections(part: Part<'_>) -> Vec<Part<'_>> {
    let mut all = Vec::new();
    for section in part.items("section") {
        all.push(section);
        all.extend(sections(section));
    }
    all
}

fn empty_list(list: Part<'_>) -> Option<EmptyList> {
    let coded = || list.concept("code").and_then(|it| it.text);
    Some(EmptyList {
        reason: list.concept("emptyReason")?,
        title: list.written("title").or_else(coded),
    })
}

fn condition(condition: Part<'_>) -> PastCondition {
    PastCondition {
        code: condition.concept("code"),
        onset: condition.choice("onset"),
        abatement: condition.choice("abatement"),
        clinical_status: first_code(condition, "clinicalStatus"),
        verification_status: first_code(condition, "verificationStatus"),
        categories: condition.concepts("category").collect(),
        severity: condition.concept("severity"),
        body_sites: condition.concepts("bodySite").collect(),
        recorded: condition.written("recordedDate"),
        stages: stages(condition),
        notes: condition.notes(),
    }
}

fn procedure(procedure: Part<'_>) -> PastProcedure {
    PastProcedure {
        code: procedure.concept("code"),
        performed: procedure.choice("performed"),
        outcome: procedure.concept("outcome").and_then(|it| it.text),
        outcome_codings: procedure.codings("outcome"),
        status: procedure.written("status"),
        status_reason: procedure.concept("statusReason"),
        category: procedure.concept("category"),
        body_sites: procedure.concepts("bodySite").collect(),
        notes: procedure.notes(),
    }
}

fn relative(relative: Part<'_>) -> Relative {
    Relative {
        relationship: relative.concept("relationship"),
        status: relative.written("status"),
        absent_reason: relative.concept("dataAbsentReason"),
        conditions: relative.items("condition").map(family_condition).collect(),
        deceased: relative.choice("deceased"),
    }
}

fn family_condition(condition: Part<'_>) -> FamilyCondition {
    FamilyCondition {
        code: condition.concept("code"),
        onset: condition.choice("onset"),
        outcome: condition.concept("outcome"),
    }
}

fn allergy(allergy: Part<'_>) -> Allergy {
    let reactions = || allergy.items("reaction");
    let categories = allergy.items("category");
    Allergy {
        code: allergy.concept("code"),
        r#type: allergy.written("type"),
        categories: categories.filter_map(|it| text::written(it.json)).collect(),
        onset: allergy.choice("onset"),
        recorded: allergy.written("recordedDate"),
        severities: distinct(reactions().filter_map(|it| it.written("severity"))),
        manifestations: reactions()
            .flat_map(|reaction| reaction.concepts("manifestation"))
            .collect(),
        substances: distinct(reactions().filter_map(|it| it.concept("substance"))),
        criticality: allergy.written("criticality"),
        clinical_status: first_code(allergy, "clinicalStatus"),
        verification_status: first_code(allergy, "verificationStatus"),
        notes: allergy.notes(),
    }
}
