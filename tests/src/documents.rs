//! The FHIR documents that come with the source, as they are written there: a decimal keeps its
//! digits only as long as nobody reads it into a JSON value.

use std::fs;

/// Every record type with its document's file.
pub const ALL: [(&str, &str); 8] = [
    ("DIAGNOSIS", "diagnosis.json"),
    ("LAB_RESULT", "lab-result.json"),
    ("PRESCRIPTION", "prescription.json"),
    ("TREATMENT_PLAN", "treatment-plan.json"),
    ("MEDICAL_HISTORY", "medical-history.json"),
    ("VITAL_SIGNS", "vital-signs.json"),
    ("IMAGING", "imaging.json"),
    ("VACCINATION", "vaccination.json"),
];

/// The document of one record type.
pub fn of(record_type: &str) -> String {
    let found = ALL.iter().find(|(kind, _)| *kind == record_type);
    let (_, file) = found.unwrap_or_else(|| panic!("there is no record type {record_type}"));
    let root = dev::repository::root().expect("the tests run inside a clone");
    let path = root.join("crates/fhir/examples/documents").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A laboratory report, fit for `LAB_RESULT`.
pub fn lab_result() -> String {
    of("LAB_RESULT")
}

/// A heart rate and the like, fit for `VITAL_SIGNS`.
pub fn vital_signs() -> String {
    of("VITAL_SIGNS")
}
