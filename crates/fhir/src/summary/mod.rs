//! What a document says, as its record type asks for it: the specification's bullets, read out.
//!
//! [`summarise`] takes any tree and never fails: what a document does not state is absent from the
//! summary, and nothing is invented or computed. A summary never reads as the opposite of its document: what
//! R4 marks as a modifier has a field, or is named among the unsupported ones (`modifiers`). Numbers keep the digits they were written with.
//! Whoever shows a summary shows the document: it is health data, so its `Debug` says no more than
//! its type's name.

mod care_team;
mod diagnosis;
mod document;
mod elements;
mod imaging;
mod lab_result;
mod measurement;
mod medical_history;
mod medication;
mod modifiers;
mod parts;
mod prescription;
mod report;
mod silent;
mod text;
mod title;
mod treatment_plan;
mod vaccination;
mod vital_signs;

pub use care_team::{CareTeam, CareTeamMember};
pub use diagnosis::{Diagnosis, DiagnosisSummary};
pub use document::{DocumentContent, DocumentRelation, ReferredDocument};
pub use elements::{Coding, Concept, Party, Period, Quantity, Range};
pub use imaging::{ImagingSeries, ImagingState, ImagingSummary};
pub use lab_result::LabResultSummary;
pub use measurement::{Measurement, ReferenceRange};
pub use medical_history::{
    Allergy, EmptyList, FamilyCondition, MedicalHistorySummary, PastCondition, PastProcedure,
    Relative,
};
pub use medication::{MedicationGiven, MedicationTaken};
pub use prescription::{Dosage, PrescribedMedication, PrescriptionSummary};
pub use report::Report;
pub use treatment_plan::{Activity, Goal, GoalTarget, PlanState, TreatmentPlanSummary};
pub use vaccination::{NextDose, Vaccination, VaccinationProtocol, VaccinationSummary};
pub use vital_signs::VitalSignsSummary;

use self::parts::{Part, Parts, ReferenceTargets};
use crate::json::Json;
use crate::record_types::RecordType;
use crate::searchable;

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Summary {
    /// Of a `DIAGNOSIS`.
    Diagnosis(DiagnosisSummary),
    /// Of a `LAB_RESULT`.
    LabResult(LabResultSummary),
    /// Of a `PRESCRIPTION`.
    Prescription(PrescriptionSummary),
    /// Of a `TREATMENT_PLAN`.
    TreatmentPlan(TreatmentPlanSummary),
    /// Of a `MEDICAL_HISTORY`.
    MedicalHistory(MedicalHistorySummary),
    /// Of `VITAL_SIGNS`.
    VitalSigns(VitalSignsSummary),
    /// Of `IMAGING`.
    Imaging(ImagingSummary),
    /// Of a `VACCINATION`.
    Vaccination(VaccinationSummary),
}

/// Does the same with a summary of whichever type.
macro_rules! with {
    ($summary:expr, $it:ident => $done:expr) => {
        match $summary {
            Summary::Diagnosis($it) => $done,
            Summary::LabResult($it) => $done,
            Summary::Prescription($it) => $done,
            Summary::TreatmentPlan($it) => $done,
            Summary::MedicalHistory($it) => $done,
            Summary::VitalSigns($it) => $done,
            Summary::Imaging($it) => $done,
            Summary::Vaccination($it) => $done,
        }
    };
}

impl Summary {
    /// Whether nothing at all was found. A title is made of anything.
    pub fn is_empty(&self) -> bool {
        let mut bare = self.clone();
        with!(&mut bare, it => {
            it.title = None;
            it.date = None;
            it.date_period = None;
        });
        match bare {
            Self::Diagnosis(it) => it == DiagnosisSummary::default(),
            Self::LabResult(it) => it == LabResultSummary::default(),
            Self::Prescription(it) => it == PrescriptionSummary::default(),
            Self::TreatmentPlan(it) => it == TreatmentPlanSummary::default(),
            Self::MedicalHistory(it) => it == MedicalHistorySummary::default(),
            Self::VitalSigns(it) => it == VitalSignsSummary::default(),
            Self::Imaging(it) => it == ImagingSummary::default(),
            Self::Vaccination(it) => it == VaccinationSummary::default(),
        }
    }

    /// What it is about, in words, with each state that is not the usual one.
    pub fn title(&self) -> Option<&str> {
        with!(self, it => it.title.as_deref())
    }

    /// The latest date that it is about, as the document gives it.
    pub fn date(&self) -> Option<&str> {
        with!(self, it => it.date.as_deref())
    }

    /// The period that this date belongs to, as the document gives it.
    pub fn date_period(&self) -> Option<&Period> {
        with!(self, it => it.date_period.as_ref())
    }

    /// What can turn the rest into its opposite and has no field of its own.
    pub fn unsupported_modifiers(&self) -> &[String] {
        with!(self, it => &it.unsupported_modifiers)
    }
}

/// What a resource is called that is no record: by its name, or by what it codes.
pub(crate) fn name_of(resource: &Json) -> Option<String> {
    let targets = ReferenceTargets::of(resource);
    let parts = Parts::of(&targets);
    let resource = parts.roots().first().copied();
    resource.and_then(|part| elements::name(part).or_else(|| type_of(part)))
}

/// What a visit, a specimen or the like is, in words.
fn type_of(part: Part<'_>) -> Option<String> {
    let coded = |key: &str| part.json.get(key).and_then(Concept::of_coding);
    let concept = part
        .concepts("type")
        .next()
        .or_else(|| part.concept("type"));
    concept.or_else(|| coded("class"))?.text
}

/// What `document` says of what its record type is about: its own elements, those of its `Bundle`'s
/// entries, and those of what they contain.
pub fn summarise(document: &Json, record_type: RecordType) -> Summary {
    let targets = ReferenceTargets::of(document);
    let parts = Parts::of(&targets);
    let mut summary = match record_type {
        RecordType::Diagnosis => Summary::Diagnosis(DiagnosisSummary::of(&parts)),
        RecordType::LabResult => Summary::LabResult(LabResultSummary::of(&parts)),
        RecordType::Prescription => Summary::Prescription(PrescriptionSummary::of(&parts)),
        RecordType::TreatmentPlan => Summary::TreatmentPlan(TreatmentPlanSummary::of(&parts)),
        RecordType::MedicalHistory => Summary::MedicalHistory(MedicalHistorySummary::of(&parts)),
        RecordType::VitalSigns => Summary::VitalSigns(VitalSignsSummary::of(&parts)),
        RecordType::Imaging => Summary::Imaging(ImagingSummary::of(&parts)),
        RecordType::Vaccination => Summary::Vaccination(VaccinationSummary::of(&parts)),
    };
    let unsupported = modifiers::unsupported(document, record_type);
    let heading = title::title(&parts, record_type, !unsupported.is_empty());
    let date = searchable::date(document).map(str::to_owned);
    let period = searchable::period(document).map(|(start, end)| Period {
        start: start.map(str::to_owned),
        end: end.map(str::to_owned),
    });
    with!(&mut summary, it => {
        it.unsupported_modifiers = unsupported;
        it.title = heading;
        it.date = date;
        it.date_period = period;
    });
    summary
}
