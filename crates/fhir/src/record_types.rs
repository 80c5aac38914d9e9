//! The eight record types, the resources each takes, and who a resource is about.

use crate::json::Json;

/// What a medical record is about (`medical_records.record_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// A diagnosis: `Condition`.
    Diagnosis,
    /// A laboratory result: `Observation`, `DiagnosticReport`, `DocumentReference`.
    LabResult,
    /// A prescription: `MedicationRequest`, `MedicationStatement`, `MedicationAdministration`.
    Prescription,
    /// A treatment plan or a part of one: `CarePlan`, `Goal`, `ServiceRequest`, `CareTeam`.
    TreatmentPlan,
    /// A medical history: `Condition`, `Procedure`, `FamilyMemberHistory`, `AllergyIntolerance`,
    /// `MedicationStatement`, `MedicationAdministration`, `Observation`, `DiagnosticReport`, `DocumentReference`.
    MedicalHistory,
    /// Vital signs: `Observation`.
    VitalSigns,
    /// Imaging: `ImagingStudy`, `DiagnosticReport`, `Media`, `Observation`, `DocumentReference`.
    Imaging,
    /// A vaccination: `Immunization`, `ImmunizationRecommendation`.
    Vaccination,
}

impl RecordType {
    /// All of them, in the specification's order.
    pub const ALL: [Self; 8] = [
        Self::Diagnosis,
        Self::LabResult,
        Self::Prescription,
        Self::TreatmentPlan,
        Self::MedicalHistory,
        Self::VitalSigns,
        Self::Imaging,
        Self::Vaccination,
    ];

    /// The type of this name, such as `LAB_RESULT`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|record_type| record_type.as_str() == name)
    }

    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Diagnosis => "DIAGNOSIS",
            Self::LabResult => "LAB_RESULT",
            Self::Prescription => "PRESCRIPTION",
            Self::TreatmentPlan => "TREATMENT_PLAN",
            Self::MedicalHistory => "MEDICAL_HISTORY",
            Self::VitalSigns => "VITAL_SIGNS",
            Self::Imaging => "IMAGING",
            Self::Vaccination => "VACCINATION",
        }
    }

    /// The name under which issues cite this type's rules.
    pub(crate) fn rule(self) -> String {
        format!("record-type:{}", self.as_str())
    }

    /// The resources a document of this type may be, or a `Bundle` of it may hold.
    pub fn roots(self) -> &'static [&'static str] {
        match self {
            Self::Diagnosis => &["Condition"],
            Self::LabResult => &["Observation", "DiagnosticReport", "DocumentReference"],
            Self::Prescription => &[
                "MedicationRequest",
                "MedicationStatement",
                "MedicationAdministration",
            ],
            Self::TreatmentPlan => &["CarePlan", "Goal", "ServiceRequest", "CareTeam"],
            Self::MedicalHistory => &[
                "Condition",
                "Procedure",
                "FamilyMemberHistory",
                "AllergyIntolerance",
                "MedicationStatement",
                "MedicationAdministration",
                "Observation",
                "DiagnosticReport",
                "DocumentReference",
                "List",
                "Composition",
            ],
            Self::VitalSigns => &["Observation"],
            Self::Imaging => &[
                "ImagingStudy",
                "DiagnosticReport",
                "Media",
                "Observation",
                "DocumentReference",
            ],
            Self::Vaccination => &["Immunization", "ImmunizationRecommendation"],
        }
    }

    /// Whether a document of this type may be a `Bundle` of its roots.
    pub fn may_be_bundle(self) -> bool {
        self != Self::Prescription
    }
}

/// The element that says whom a resource is about, for the kinds that may be roots.
pub(crate) fn patient_element(resource_type: &str) -> Option<&'static str> {
    match resource_type {
        "Condition"
        | "Observation"
        | "DiagnosticReport"
        | "MedicationRequest"
        | "MedicationStatement"
        | "MedicationAdministration"
        | "CarePlan"
        | "Goal"
        | "ServiceRequest"
        | "CareTeam"
        | "Procedure"
        | "List"
        | "Composition"
        | "DocumentReference"
        | "ImagingStudy"
        | "Media" => Some("subject"),
        "FamilyMemberHistory"
        | "AllergyIntolerance"
        | "Immunization"
        | "ImmunizationRecommendation" => Some("patient"),
        _ => None,
    }
}

/// The type of the resource that `json` is.
pub(crate) fn resource_type(json: &Json) -> Option<&str> {
    json.get("resourceType").and_then(Json::as_str)
}
