//! `PRESCRIPTION`: what, how much, how often, for how long, by whom.

use super::elements::{Coding, Concept, Party, Period, Quantity, Range};
use super::medication::{MedicationGiven, MedicationTaken, given, taken};
use super::parts::{Part, Parts};
use super::silent::silent;
use super::text;

/// What a `PRESCRIPTION` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PrescriptionSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// Each `MedicationRequest`.
    pub medications: Vec<PrescribedMedication>,
    /// Each `MedicationStatement`: what somebody says is taken, or is not. It orders nothing.
    pub medication_statements: Vec<MedicationTaken>,
    /// Each `MedicationAdministration`: what was given, or was not. It orders nothing.
    pub medication_administrations: Vec<MedicationGiven>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// A `MedicationRequest`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PrescribedMedication {
    /// `medication[x]`, or the `code` of the contained `Medication` it refers to.
    pub medication: Option<Concept>,
    /// `status`: active, stopped, …
    pub status: Option<String>,
    /// `doNotPerform`: the medication is **not** to be given.
    pub do_not_perform: bool,
    /// `statusReason`: why it is in that state.
    pub status_reason: Option<Concept>,
    /// `intent`: order, plan, proposal, …
    pub intent: Option<String>,
    /// `category`: inpatient, outpatient, …
    pub categories: Vec<Concept>,
    /// `priority`: routine, urgent, …
    pub priority: Option<String>,
    /// `reasonCode`, then `reasonReference` in words: what it is for.
    pub reasons: Vec<Concept>,
    /// `dosageInstruction`.
    pub dosages: Vec<Dosage>,
    /// `dispenseRequest.expectedSupplyDuration`: how long what is handed out lasts.
    pub supply: Option<Quantity>,
    /// `dispenseRequest.validityPeriod`: when it may be handed out.
    pub validity: Option<Period>,
    /// `requester`.
    pub prescriber: Option<Party>,
    /// `authoredOn`.
    pub authored: Option<String>,
    /// `substitution.allowed[x]`, in words: whether, or how, another one may be handed out.
    pub substitution: Option<String>,
    /// `note`.
    pub notes: Vec<String>,
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Dosage {
    /// The instruction in words: `text`, else `patientInstruction`.
    pub instructions: Option<String>,
    /// `patientInstruction`, for the patient.
    pub patient_instruction: Option<String>,
    /// `sequence`: which comes after which.
    pub sequence: Option<String>,
    /// `doseAndRate.doseQuantity`: of the one that is ordered, else of the first.
    pub dose: Option<Quantity>,
    /// `doseAndRate.doseRange`, likewise.
    pub dose_range: Option<Range>,
    /// `timing`, in words: `2 times per 1 d`.
    pub timing: Option<String>,
    /// `timing.repeat.bounds[x]`, in words: for how long, or from when to when.
    pub bounds: Option<String>,
    /// `route`, in words.
    pub route: Option<String>,
    /// `route.coding`.
    pub route_codings: Vec<Coding>,
    /// `site`: where it enters the body.
    pub site: Option<Concept>,
    /// `method`: inject, apply, …
    pub method: Option<Concept>,
    /// `additionalInstruction`: with meals, …
    pub additional_instructions: Vec<Concept>,
    /// `doseAndRate.rate[x]`, likewise, in words: `50 mL/h`.
    pub rate: Option<String>,
    /// Each other `doseAndRate`, in words: `calculated: 500 mg`.
    pub other_doses: Vec<String>,
    /// `asNeeded[x]`, in words: `true`, or for what.
    pub as_needed: Option<String>,
    /// `asNeededCodeableConcept.coding`.
    pub as_needed_codings: Vec<Coding>,
    /// `maxDosePerPeriod`, in words: `20 mg : 1 d`.
    pub max_dose: Option<String>,
    /// `maxDosePerAdministration`.
    pub max_dose_per_administration: Option<Quantity>,
    /// `maxDosePerLifetime`.
    pub max_dose_per_lifetime: Option<Quantity>,
}

silent!(PrescriptionSummary, PrescribedMedication, Dosage);

impl PrescriptionSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            unsupported_modifiers: Vec::new(),
            medications: parts.all("MedicationRequest").map(prescribed).collect(),
            medication_statements: parts.all("MedicationStatement").map(taken).collect(),
            medication_administrations: parts.all("MedicationAdministration").map(given).collect(),
        }
    }
}

fn prescribed(request: Part<'_>) -> PrescribedMedication {
    let dispense = request.get("dispenseRequest");
    PrescribedMedication {
        medication: medication(request),
        status: request.written("status"),
        do_not_perform: request.says("doNotPerform"),
        status_reason: request.concept("statusReason"),
        intent: request.written("intent"),
        categories: request.concepts("category").collect(),
        priority: request.written("priority"),
        reasons: reasons(request),
        dosages: request.items("dosageInstruction").map(dosage).collect(),
        supply: dispense
            .and_then(|it| it.json.get("expectedSupplyDuration"))
            .and_then(Quantity::of),
        validity: dispense.and_then(|it| it.period("validityPeriod")),
        prescriber: request.party("requester"),
        authored: request.written("authoredOn"),
        substitution: request
            .get("substitution")
            .and_then(|it| it.choice("allowed")),
        notes: request.notes(),
    }
}

pub(super) fn medication(request: Part<'_>) -> Option<Concept> {
    if let stated @ Some(_) = request.concept("medicationCodeableConcept") {
        return stated;
    }
    let reference = request.get("medicationReference")?;
    let contained = reference
        .written("reference")
        .and_then(|it| reference.contained(&it));
    let coded = contained.and_then(|medication| medication.concept("code"));
    coded.or_else(|| {
        let party = Party::of(reference)?;
        party.name.or(party.reference).map(Concept::in_words)
    })
}

/// `reasonCode`, then what each `reasonReference` means.
pub(super) fn reasons(part: Part<'_>) -> Vec<Concept> {
    let referred = part.parties("reasonReference");
    let referred = referred.filter_map(|it| it.name.or(it.reference));
    let coded = part.concepts("reasonCode");
    coded.chain(referred.map(Concept::in_words)).collect()
}

pub(super) fn dosage(instruction: Part<'_>) -> Dosage {
    let doses: Vec<Part<'_>> = instruction.items("doseAndRate").collect();
    // What was calculated is not what is to be given.
    let ordered = doses.iter().position(|it| is_ordered(*it));
    let (before, from) = doses.split_at(ordered.unwrap_or_default());
    let dose = from.first().copied();
    let others = before.iter().chain(from.iter().skip(1));
    let timing = instruction.get("timing");
    let quantity = |key| instruction.json.get(key).and_then(Quantity::of);
    Dosage {
        instructions: instruction
            .written("text")
            .or_else(|| instruction.written("patientInstruction")),
        patient_instruction: instruction.written("patientInstruction"),
        sequence: instruction.written("sequence"),
        dose: dose.and_then(|it| Quantity::of(it.json.get("doseQuantity")?)),
        dose_range: dose.and_then(|it| Range::of(it.json.get("doseRange")?)),
        timing: timing.and_then(|timing| text::timing(timing.json)),
        bounds: timing
            .and_then(|timing| timing.get("repeat"))
            .and_then(|repeat| repeat.choice("bounds")),
        route: instruction.concept("route").and_then(|it| it.text),
        route_codings: instruction.codings("route"),
        site: instruction.concept("site"),
        method: instruction.concept("method"),
        additional_instructions: instruction.concepts("additionalInstruction").collect(),
        rate: dose.and_then(|it| it.choice("rate")),
        other_doses: others.filter_map(|it| dose_in_words(*it)).collect(),
        as_needed: instruction.choice("asNeeded"),
        as_needed_codings: instruction.codings("asNeededCodeableConcept"),
        max_dose: instruction
            .json
            .get("maxDosePerPeriod")
            .and_then(text::ratio),
        max_dose_per_administration: quantity("maxDosePerAdministration"),
        max_dose_per_lifetime: quantity("maxDosePerLifetime"),
    }
}

fn is_ordered(dose: Part<'_>) -> bool {
    let codings = dose.codings("type");
    codings
        .iter()
        .any(|it| it.code.as_deref() == Some("ordered"))
}

/// A dose and a rate, and whether they were ordered or calculated.
fn dose_in_words(it: Part<'_>) -> Option<String> {
    let said = [it.choice("dose"), it.choice("rate")];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() {
        return None;
    }
    let said = said.join(", ");
    Some(match it.concept("type").and_then(|it| it.text) {
        Some(kind) => format!("{kind}: {said}"),
        None => said,
    })
}
