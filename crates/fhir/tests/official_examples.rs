//! What HL7 publishes as examples of R4, against the walk, the canonical form and the table.
//!
//! The package is a development dependency (`cargo dev tools --test`); without it these tests fail.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../examples/generate-table/generator.rs"]
mod generator;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fhir::reader::{Limits, read_within};
use fhir::{canonical, validate};

/// The examples that break R4, or have a comment in their narrative, each explained in `docs/fhir.md`.
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
    "PlanDefinition-KDN5.json",
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

fn package() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = root.join("../../node_modules/hl7.fhir.r4.examples");
    assert!(
        package.is_dir(),
        "the npm package hl7.fhir.r4.examples is not installed: run `cargo dev tools --test`"
    );
    package
}

/// What became of an example.
struct Outcome {
    name: String,
    accepted: bool,
    round_trips: bool,
}

/// Every example read once for both tests: there are 190 MB of them.
static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
    let mut outcomes: Vec<Outcome> = std::fs::read_dir(package())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .filter(|path| !path.ends_with("package.json"))
        .map(|path| {
            let json = read_within(&std::fs::read(&path).unwrap(), NO_SIZE_LIMIT).unwrap();
            let once = canonical::to_bytes(&json);
            let twice = canonical::to_bytes(&read_within(&once, NO_SIZE_LIMIT).unwrap());
            Outcome {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                accepted: validate::base(&json).is_empty(),
                round_trips: once == twice,
            }
        })
        .collect();
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    outcomes
});

#[test]
fn every_official_example_is_accepted_but_for_those_that_break_r4() {
    let outcomes = &*OUTCOMES;

    let rejected = outcomes.iter().filter(|outcome| !outcome.accepted);
    let rejected: Vec<&str> = rejected.map(|outcome| outcome.name.as_str()).collect();

    assert_eq!(outcomes.len(), 5_306);
    assert_eq!(rejected, REJECTED);
}

#[test]
fn canonical_bytes_of_every_official_example_read_back_to_themselves() {
    let changed = OUTCOMES.iter().filter(|outcome| !outcome.round_trips);
    let changed: Vec<&str> = changed.map(|outcome| outcome.name.as_str()).collect();

    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn the_committed_table_is_what_the_generator_makes() {
    let made = generator::table(&package()).unwrap();

    assert!(
        made == include_str!("../src/r4.table"),
        "run the generate-table example"
    );
}
