//! What HL7 publishes as examples of R4, against the walk, the canonical form and the table.
//!
//! The package is a development dependency (`npm ci`); without it these tests say
//! so and prove nothing.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::print_stderr, reason = "a test that could not run says so")]

#[path = "../examples/generate-table/generator.rs"]
mod generator;

use std::path::{Path, PathBuf};

use fhir::reader::{Limits, read_within};
use fhir::{canonical, validate};

/// The examples that break R4, each explained in `docs/fhir.md`.
const REJECTED: &[&str] = &[
    "ActivityDefinition-blood-tubes-supply.json",
    "ActivityDefinition-heart-valve-replacement.json",
    "Bundle-dataelements.json",
    "DeviceMetric-example.json",
    "DeviceUseStatement-example.json",
    "EventDefinition-example.json",
    "ImplementationGuide-fhir.json",
    "Library-zika-virus-intervention-logic.json",
    "MedicationRequest-medrx0301.json",
    "Observation-clinical-gender.json",
    "Questionnaire-qs1.json",
    "Questionnaire-zika-virus-exposure-assessment.json",
    "SearchParameter-codesystem-extensions-CodeSystem-author.json",
    "SearchParameter-codesystem-extensions-CodeSystem-effective.json",
    "SearchParameter-codesystem-extensions-CodeSystem-end.json",
    "SearchParameter-codesystem-extensions-CodeSystem-keyword.json",
    "SearchParameter-codesystem-extensions-CodeSystem-workflow.json",
    "SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json",
    "SearchParameter-valueset-extensions-ValueSet-author.json",
    "SearchParameter-valueset-extensions-ValueSet-effective.json",
    "SearchParameter-valueset-extensions-ValueSet-end.json",
    "SearchParameter-valueset-extensions-ValueSet-keyword.json",
    "SearchParameter-valueset-extensions-ValueSet-workflow.json",
    "ig-r4.json",
];

/// The catalogues among the examples are larger than a record may be.
const NO_SIZE_LIMIT: Limits = Limits {
    max_bytes: usize::MAX,
    max_depth: fhir::reader::MAX_DEPTH,
};

fn package(test: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = root.join("../../node_modules/hl7.fhir.r4.examples");
    if !package.is_dir() {
        eprintln!("{test}: skipped, the npm package hl7.fhir.r4.examples is not installed");
        return None;
    }
    Some(package)
}

fn examples(package: &Path) -> Vec<(String, Vec<u8>)> {
    let mut examples: Vec<(String, Vec<u8>)> = std::fs::read_dir(package)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name != "package.json")
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    examples.sort();
    examples
}

#[test]
fn every_official_example_is_accepted_but_for_those_that_break_r4() {
    let Some(package) = package("official examples") else {
        return;
    };
    let examples = examples(&package);

    let rejected: Vec<&str> = examples
        .iter()
        .filter(|(_, bytes)| {
            !validate::base(&read_within(bytes, NO_SIZE_LIMIT).unwrap()).is_empty()
        })
        .map(|(name, _)| name.as_str())
        .collect();

    assert_eq!(examples.len(), 5_306);
    assert_eq!(rejected, REJECTED);
}

#[test]
fn canonical_bytes_of_every_official_example_read_back_to_themselves() {
    let Some(package) = package("canonical round trip") else {
        return;
    };

    for (name, bytes) in examples(&package) {
        let once = canonical::to_bytes(&read_within(&bytes, NO_SIZE_LIMIT).unwrap());
        let twice = canonical::to_bytes(&read_within(&once, NO_SIZE_LIMIT).unwrap());
        assert!(once == twice, "{name}");
    }
}

#[test]
fn the_committed_table_is_what_the_generator_makes() {
    let Some(package) = package("committed table") else {
        return;
    };

    let made = generator::table(&package).unwrap();

    assert!(
        made == include_str!("../src/r4.table"),
        "run the generate-table example"
    );
}
