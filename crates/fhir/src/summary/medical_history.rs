//! `MEDICAL_HISTORY`: conditions, surgeries, family, allergies.

use super::diagnosis::first_code;
use super::elements::{Concept, Party};
use super::parts::{Part, Parts, distinct};
use super::silent::silent;

/// What a `MEDICAL_HISTORY` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MedicalHistorySummary {
    /// Each `Condition`.
    pub conditions: Vec<PastCondition>,
    /// Each `Procedure`.
    pub procedures: Vec<PastProcedure>,
    /// Each `FamilyMemberHistory`.
    pub family: Vec<Relative>,
    /// Each `AllergyIntolerance`.
    pub allergies: Vec<Allergy>,
    /// What a `List` or a `Composition` refers to outside of the document.
    pub referred: Vec<Party>,
    /// `title` of a `List`, of a `Composition` and of its sections, which may be all there is beside
    /// the narrative.
    pub titles: Vec<String>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
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
    /// `status`: completed, not-done, entered-in-error, …
    pub status: Option<String>,
}

/// A `FamilyMemberHistory`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Relative {
    /// `relationship`.
    pub relationship: Option<Concept>,
    /// `status`: completed, partial, health-unknown, entered-in-error.
    pub status: Option<String>,
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
}

/// An `AllergyIntolerance`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Allergy {
    /// `code`: the substance, or that none is known.
    pub code: Option<Concept>,
    /// `reaction.manifestation`.
    pub manifestations: Vec<Concept>,
    /// `criticality`: low, high, unable-to-assess.
    pub criticality: Option<String>,
    /// `clinicalStatus`: active, resolved, …
    pub clinical_status: Option<String>,
    /// `verificationStatus`: confirmed, unconfirmed, refuted, entered-in-error.
    pub verification_status: Option<String>,
}

silent!(
    MedicalHistorySummary,
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
        let titled = parts.all("List").chain(compositions()).chain(sections());
        let outside = |reference: &Part<'_>| {
            let literal = reference.written("reference");
            !literal.is_some_and(|it| it.starts_with('#') || it.starts_with("urn:uuid:"))
        };
        Self {
            unsupported_modifiers: Vec::new(), // `summarise` knows the whole document
            conditions: parts.all("Condition").map(condition).collect(),
            procedures: parts.all("Procedure").map(procedure).collect(),
            family: parts.all("FamilyMemberHistory").map(relative).collect(),
            allergies: parts.all("AllergyIntolerance").map(allergy).collect(),
            referred: distinct(listed.chain(composed).filter(outside).filter_map(Party::of)),
            titles: titled.filter_map(|it| it.written("title")).collect(),
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

fn condition(condition: Part<'_>) -> PastCondition {
    PastCondition {
        code: condition.concept("code"),
        onset: condition.choice("onset"),
        abatement: condition.choice("abatement"),
        clinical_status: first_code(condition, "clinicalStatus"),
        verification_status: first_code(condition, "verificationStatus"),
    }
}

fn procedure(procedure: Part<'_>) -> PastProcedure {
    PastProcedure {
        code: procedure.concept("code"),
        performed: procedure.choice("performed"),
        outcome: procedure.concept("outcome").and_then(|it| it.text),
        status: procedure.written("status"),
    }
}

fn relative(relative: Part<'_>) -> Relative {
    Relative {
        relationship: relative.concept("relationship"),
        status: relative.written("status"),
        conditions: relative.items("condition").map(family_condition).collect(),
        deceased: relative.choice("deceased"),
    }
}

fn family_condition(condition: Part<'_>) -> FamilyCondition {
    FamilyCondition {
        code: condition.concept("code"),
        onset: condition.choice("onset"),
    }
}

fn allergy(allergy: Part<'_>) -> Allergy {
    let reactions = allergy.items("reaction");
    Allergy {
        code: allergy.concept("code"),
        manifestations: reactions
            .flat_map(|reaction| reaction.concepts("manifestation"))
            .collect(),
        criticality: allergy.written("criticality"),
        clinical_status: first_code(allergy, "clinicalStatus"),
        verification_status: first_code(allergy, "verificationStatus"),
    }
}
