//! `VACCINATION`: which, when, of which lot, and when the next is due.

use super::elements::{Concept, Party, Period, Quantity};
use super::parts::{Part, Parts};
use super::silent::silent;

/// How many dates of a recommendation are told, each with all that it says besides.
const MAX_DATES: usize = 64;
/// How many concepts and codes are told with the dates of a recommendation, which are the same for each; more only with
/// the first date.
const MAX_REPEATED: usize = 4096;

/// What a `VACCINATION` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VaccinationSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// Each `Immunization`.
    pub vaccinations: Vec<Vaccination>,
    /// Each date of each recommendation.
    pub next_doses: Vec<NextDose>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// An `Immunization`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Vaccination {
    /// `vaccineCode`.
    pub vaccine: Option<Concept>,
    /// `occurrence[x]`, in words.
    pub administered: Option<String>,
    /// `lotNumber`.
    pub lot_number: Option<String>,
    /// `status`: completed, not-done, …
    pub status: Option<String>,
    /// `statusReason`: why it was not given.
    pub status_reason: Option<Concept>,
    /// `site`: where it was given.
    pub site: Option<Concept>,
    /// `route`.
    pub route: Option<Concept>,
    /// `doseQuantity`.
    pub dose: Option<Quantity>,
    /// `isSubpotent`: the dose does not count as a full one.
    pub is_subpotent: bool,
    /// `protocolApplied.doseNumber[x]` of the first of its series.
    pub dose_number: Option<String>,
    /// `protocolApplied.seriesDoses[x]` of the same: of how many.
    pub series_doses: Option<String>,
    /// `protocolApplied`: each series that it counts for.
    pub protocols: Vec<VaccinationProtocol>,
    /// `manufacturer`.
    pub manufacturer: Option<Party>,
    /// `note`.
    pub notes: Vec<String>,
}

/// A series that an `Immunization` counts for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VaccinationProtocol {
    /// `series`: what it is called.
    pub series: Option<String>,
    /// `targetDisease`: what is to be prevented.
    pub target_diseases: Vec<Concept>,
    /// `doseNumber[x]`.
    pub dose_number: Option<String>,
    /// `seriesDoses[x]`: of how many.
    pub series_doses: Option<String>,
}

/// A `dateCriterion` of an `ImmunizationRecommendation`, or a recommendation without one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NextDose {
    /// `vaccineCode`, the first.
    pub vaccine: Option<Concept>,
    /// `vaccineCode`, all of them: any one does.
    pub vaccines: Vec<Concept>,
    /// `contraindicatedVaccineCode`: what is **not** to be given.
    pub contraindicated: Vec<Concept>,
    /// `targetDisease`: what is to be prevented.
    pub target_disease: Option<Concept>,
    /// `forecastStatus`: due, overdue, immune, contraindicated, complete, …
    pub forecast_status: Option<Concept>,
    /// `forecastReason`.
    pub reasons: Vec<Concept>,
    /// `dateCriterion.code`: what the date means: due, earliest, overdue, …
    pub meaning: Option<Concept>,
    /// `dateCriterion.value`.
    pub date: Option<String>,
    /// `doseNumber[x]`.
    pub dose_number: Option<String>,
    /// `description`.
    pub description: Option<String>,
}

silent!(
    VaccinationSummary,
    Vaccination,
    VaccinationProtocol,
    NextDose
);

impl VaccinationSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            unsupported_modifiers: Vec::new(),
            vaccinations: parts.all("Immunization").map(vaccination).collect(),
            next_doses: parts
                .all("ImmunizationRecommendation")
                .flat_map(|it| it.items("recommendation"))
                .flat_map(next_doses)
                .collect(),
        }
    }
}

fn vaccination(immunization: Part<'_>) -> Vaccination {
    let protocols = immunization.items("protocolApplied").map(protocol);
    let protocols: Vec<VaccinationProtocol> = protocols.collect();
    // The number of one series, and the length of another, would be of neither.
    let first = protocols.first().cloned().unwrap_or_default();
    Vaccination {
        vaccine: immunization.concept("vaccineCode"),
        administered: immunization.choice("occurrence"),
        lot_number: immunization.written("lotNumber"),
        status: immunization.written("status"),
        status_reason: immunization.concept("statusReason"),
        site: immunization.concept("site"),
        route: immunization.concept("route"),
        dose: immunization.json.get("doseQuantity").and_then(Quantity::of),
        is_subpotent: immunization.says("isSubpotent"),
        dose_number: first.dose_number,
        series_doses: first.series_doses,
        protocols,
        manufacturer: immunization.party("manufacturer"),
        notes: immunization.notes(),
    }
}

fn protocol(protocol: Part<'_>) -> VaccinationProtocol {
    VaccinationProtocol {
        series: protocol.written("series"),
        target_diseases: protocol.concepts("targetDisease").collect(),
        dose_number: protocol.choice("doseNumber"),
        series_doses: protocol.choice("seriesDoses"),
    }
}

fn next_doses(recommendation: Part<'_>) -> Vec<NextDose> {
    let vaccines: Vec<Concept> = recommendation.concepts("vaccineCode").collect();
    let dose_number = recommendation.choice("doseNumber");
    let target_disease = recommendation.concept("targetDisease");
    let forecast_status = recommendation.concept("forecastStatus");
    let contraindicated: Vec<Concept> = recommendation
        .concepts("contraindicatedVaccineCode")
        .collect();
    let reasons: Vec<Concept> = recommendation.concepts("forecastReason").collect();
    let repeated = [&vaccines, &contraindicated, &reasons]
        .into_iter()
        .flatten();
    let repeated = repeated.chain(&target_disease).chain(&forecast_status);
    let repeated: usize = repeated.map(|it| 1 + it.codings.len()).sum();
    let dates = (MAX_REPEATED / repeated.max(1)).clamp(1, MAX_DATES);
    let next_dose = |criterion: Option<Part<'_>>| NextDose {
        vaccine: vaccines.first().cloned(),
        vaccines: vaccines.clone(),
        contraindicated: contraindicated.clone(),
        target_disease: target_disease.clone(),
        forecast_status: forecast_status.clone(),
        reasons: reasons.clone(),
        meaning: criterion.and_then(|it| it.concept("code")),
        date: criterion.and_then(|it| it.written("value")),
        dose_number: dose_number.clone(),
        description: recommendation.written("description"),
    };
    let doses: Vec<NextDose> = recommendation
        .items("dateCriterion")
        .take(dates)
        .map(|criterion| next_dose(Some(criterion)))
        .collect();
    if doses.is_empty() {
        vec![next_dose(None)]
    } else {
        doses
    }
}
