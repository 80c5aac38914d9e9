//! The eight record types: which resources each may hold and what makes a
//! document of it complete.
//!
//! Two kinds of rule, kept apart. *Roots* are hard: a document of the wrong kind
//! is refused. *Bullets* are the points of the specification (Record Types
//! Documentation): a document that leaves one open is taken and called
//! incomplete. A bold bullet is one a doctor's record must have; the caller
//! decides what to do when it is open.

use crate::issue::{Issue, IssueCode, Path, Severity};
use crate::reader::Json;

/// What a medical record is about (`medical_records.record_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// A diagnosis: `Condition`.
    Diagnosis,
    /// A laboratory result: `Observation`, `DiagnosticReport`.
    LabResult,
    /// A prescription: `MedicationRequest`.
    Prescription,
    /// A treatment plan: `CarePlan`, `Goal`, `ServiceRequest`, `CareTeam`.
    TreatmentPlan,
    /// A medical history: `Condition`, `Procedure`, `FamilyMemberHistory`, `AllergyIntolerance`.
    MedicalHistory,
    /// Vital signs: `Observation`.
    VitalSigns,
    /// Imaging: `ImagingStudy`, `DiagnosticReport`, `Media`.
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
            Self::LabResult => &["Observation", "DiagnosticReport"],
            Self::Prescription => &["MedicationRequest"],
            Self::TreatmentPlan => &["CarePlan", "Goal", "ServiceRequest", "CareTeam"],
            Self::MedicalHistory => &[
                "Condition",
                "Procedure",
                "FamilyMemberHistory",
                "AllergyIntolerance",
                "List",
                "Composition",
            ],
            Self::VitalSigns => &["Observation"],
            Self::Imaging => &["ImagingStudy", "DiagnosticReport", "Media"],
            Self::Vaccination => &["Immunization", "ImmunizationRecommendation"],
        }
    }

    /// Whether a document of this type may be a `Bundle` of its roots.
    pub fn may_be_bundle(self) -> bool {
        self != Self::Prescription
    }

    /// Whether a resource of this kind may stand alone and not only in a `Bundle`.
    fn may_stand_alone(self, resource_type: &str) -> bool {
        match self {
            Self::TreatmentPlan => resource_type == "CarePlan",
            Self::Vaccination => resource_type == "Immunization",
            _ => true,
        }
    }
}

/// The element that says whom a resource is about, for the kinds that may be roots.
pub(crate) fn patient_element(resource_type: &str) -> Option<&'static str> {
    match resource_type {
        "Condition" | "Observation" | "DiagnosticReport" | "MedicationRequest" | "CarePlan"
        | "Goal" | "ServiceRequest" | "CareTeam" | "Procedure" | "List" | "Composition"
        | "ImagingStudy" | "Media" => Some("subject"),
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

/// A document that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it says everything that its record type asks for.
    pub completeness: Completeness,
}

/// Whether a document says everything that its record type asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Every bullet holds.
    Complete,
    /// Some bullets are open.
    Incomplete {
        /// The open bullets by name, in the specification's order.
        missing: Vec<&'static str>,
        /// Whether one of them is bold: required in a doctor's record.
        required_missing: bool,
    },
}

/// The roots of a document of this type: itself, or what its `Bundle` holds.
///
/// # Errors
///
/// The document is of a kind that its record type does not take.
pub(crate) fn roots(document: &Json, record_type: RecordType) -> Result<Vec<&Json>, Vec<Issue>> {
    let refuse = |path: String, message: String| {
        Issue::error(IssueCode::BusinessRule, path, record_type.rule(), message)
    };
    let expected = record_type.roots();
    let Some(kind) = resource_type(document) else {
        return Err(vec![Issue::error(
            IssueCode::Structure,
            "",
            "resource-type",
            "a document is an object with a resourceType",
        )]);
    };
    if kind != "Bundle" || !record_type.may_be_bundle() {
        if expected.contains(&kind) && record_type.may_stand_alone(kind) {
            return Ok(vec![document]);
        }
        let alone: Vec<&str> = expected
            .iter()
            .copied()
            .filter(|kind| record_type.may_stand_alone(kind))
            .collect();
        let bundle = if record_type.may_be_bundle() {
            format!(" or a Bundle of {}", expected.join(", "))
        } else {
            String::new()
        };
        let message = format!(
            "{} takes {}{bundle}",
            record_type.as_str(),
            alone.join(", ")
        );
        return Err(vec![refuse("resourceType".to_owned(), message)]);
    }

    let mut issues = Vec::new();
    if document.get("type").and_then(Json::as_str) != Some("collection") {
        let message = "the Bundle of a record has the type collection".to_owned();
        issues.push(refuse("Bundle.type".to_owned(), message));
    }
    let entries = document
        .get("entry")
        .and_then(Json::as_array)
        .unwrap_or_default();
    if entries.is_empty() {
        issues.push(refuse(
            "Bundle.entry".to_owned(),
            "a record is not empty".to_owned(),
        ));
    }
    let bundle = Path::root("Bundle");
    let mut found = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let resource = entry.get("resource");
        match resource.filter(|r| resource_type(r).is_some_and(|kind| expected.contains(&kind))) {
            Some(resource) => found.push(resource),
            None => issues.push(refuse(
                bundle
                    .element("entry")
                    .at(index)
                    .element("resource")
                    .render(),
                format!(
                    "an entry of {} is {}",
                    record_type.as_str(),
                    expected.join(" or ")
                ),
            )),
        }
    }
    if issues.is_empty() {
        Ok(found)
    } else {
        Err(issues)
    }
}

impl Completeness {
    /// The open bullets as issues: an error if a bold one is among them, for a
    /// caller who demands completeness, else warnings.
    pub fn issues(&self, record_type: RecordType) -> Vec<Issue> {
        let Self::Incomplete {
            missing,
            required_missing,
        } = self
        else {
            return Vec::new();
        };
        let severity = if *required_missing {
            Severity::Error
        } else {
            Severity::Warning
        };
        let issue = |bullet: &&str| Issue {
            severity,
            code: IssueCode::BusinessRule,
            path: String::new(),
            rule: record_type.rule(),
            message: format!("the document does not state: {bullet}"),
        };
        missing.iter().map(issue).collect()
    }
}
