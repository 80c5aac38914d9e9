//! Medicines that were taken or given: of a prescription, of a history.

use super::elements::{Concept, Party, Quantity};
use super::parts::Part;
use super::prescription::{Dosage, dosage, medication, reasons};
use super::silent::silent;

/// A `MedicationStatement`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MedicationTaken {
    /// `medication[x]`, or the `code` of the contained `Medication` it refers to.
    pub medication: Option<Concept>,
    /// `status`: active, completed, not-taken, entered-in-error, …
    pub status: Option<String>,
    /// `statusReason`: why it is in that state.
    pub status_reasons: Vec<Concept>,
    /// `category`: inpatient, patient specified, …
    pub category: Option<Concept>,
    /// `effective[x]`, in words: when it is or was taken.
    pub effective: Option<String>,
    /// `dateAsserted`.
    pub asserted: Option<String>,
    /// `informationSource`: who says so.
    pub information_source: Option<Party>,
    /// `reasonCode`, then `reasonReference` in words: what it is taken for.
    pub reasons: Vec<Concept>,
    /// `dosage`.
    pub dosages: Vec<Dosage>,
    /// `note`.
    pub notes: Vec<String>,
}

/// A `MedicationAdministration`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MedicationGiven {
    /// `medication[x]`, or the `code` of the contained `Medication` it refers to.
    pub medication: Option<Concept>,
    /// `status`: completed, not-done, stopped, entered-in-error, …
    pub status: Option<String>,
    /// `statusReason`: why it is in that state, or was not given.
    pub status_reasons: Vec<Concept>,
    /// `category`: inpatient, outpatient, community.
    pub category: Option<Concept>,
    /// `effective[x]`, in words: when it was given.
    pub effective: Option<String>,
    /// `performer.actor`: who gave it.
    pub performers: Vec<Party>,
    /// `request`: the order.
    pub request: Option<Party>,
    /// `reasonCode`, then `reasonReference` in words: what it was given for.
    pub reasons: Vec<Concept>,
    /// `dosage`.
    pub dosage: Option<Dosage>,
    /// `note`.
    pub notes: Vec<String>,
}

silent!(MedicationTaken, MedicationGiven);

pub(super) fn taken(statement: Part<'_>) -> MedicationTaken {
    MedicationTaken {
        medication: medication(statement),
        status: statement.written("status"),
        status_reasons: statement.concepts("statusReason").collect(),
        category: statement.concept("category"),
        effective: statement.choice("effective"),
        asserted: statement.written("dateAsserted"),
        information_source: statement.party("informationSource"),
        reasons: reasons(statement),
        dosages: statement.items("dosage").map(dosage).collect(),
        notes: statement.notes(),
    }
}

pub(super) fn given(administration: Part<'_>) -> MedicationGiven {
    let performers = administration.items("performer");
    MedicationGiven {
        medication: medication(administration),
        status: administration.written("status"),
        status_reasons: administration.concepts("statusReason").collect(),
        category: administration.concept("category"),
        effective: administration.choice("effective"),
        performers: performers.filter_map(|it| it.party("actor")).collect(),
        request: administration.party("request"),
        reasons: reasons(administration),
        dosage: administration.get("dosage").map(dose),
        notes: administration.notes(),
    }
}

/// A `MedicationAdministration` has the dose itself, and no timing.
fn dose(dosage: Part<'_>) -> Dosage {
    Dosage {
        instructions: dosage.written("text"),
        dose: dosage.json.get("dose").and_then(Quantity::of),
        route: dosage.concept("route").and_then(|it| it.text),
        route_codings: dosage.codings("route"),
        site: dosage.concept("site"),
        method: dosage.concept("method"),
        rate: dosage.choice("rate"),
        ..Dosage::default()
    }
}
