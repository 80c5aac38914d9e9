//! Documents that are marked as entered in error are still R4.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;

use std::path::Path;

use fhir::{RecordType, check, entered_in_error, reader, validate};

#[test]
fn every_example_is_still_of_its_kind_once_it_is_withdrawn() {
    for (record_type, text) in documents::all() {
        let document = reader::read(text.as_bytes()).unwrap();

        let withdrawn = entered_in_error(document.clone());

        assert_ne!(withdrawn, document);
        let checked = check(&withdrawn, record_type);
        assert!(checked.is_ok(), "{record_type:?}: {checked:?}");
    }
}

/// HL7's examples of the kinds that records hold.
#[test]
fn every_official_example_is_still_r4_once_it_is_withdrawn() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules");
    let files = std::fs::read_dir(package.join("hl7.fhir.r4.examples"));
    let files = files.expect("hl7.fhir.r4.examples is installed by `cargo dev tools --test`");
    let kinds: Vec<String> = RecordType::ALL
        .iter()
        .flat_map(|record_type| record_type.roots())
        .map(|kind| format!("{kind}-"))
        .collect();
    let mut seen = 0;
    for file in files.map(|file| file.unwrap()) {
        let name = file.file_name().into_string().unwrap();
        if !kinds.iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        let Ok(document) = reader::read(&std::fs::read(file.path()).unwrap()) else {
            continue;
        };
        if !validate::base(&document).is_empty() {
            continue;
        }
        assert_eq!(validate::base(&entered_in_error(document)), [], "{name}");
        seen += 1;
    }
    assert!(seen > 100, "{seen} are too few");
}
