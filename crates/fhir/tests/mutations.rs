//! Damaged documents: whatever they hold, nothing panics, and what is accepted
//! stays accepted once it is stamped.
//!
//! The same inputs every time; the fuzz targets look further (`docs/fhir.md`).
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;
mod numbers;

use fhir::{Identity, RecordType, canonical, check, operation_outcome, reader, stamp, validate};
use numbers::Numbers;

const MUTATIONS: usize = 20_000;

const IDENTITY: Identity<'_> = Identity {
    record_id: "0198c9f2-6d0e-7a51-b2c4-3f5a9d1e7b60",
    patient_id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35",
    version: 1,
    last_updated: "2026-03-04T10:00:00.000Z",
    salt_hex: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    reason: None,
};

/// What often breaks a reader, a format or a rule.
const SPLICES: &[&str] = &[
    "",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-",
    "0",
    "1e999999999999999999999",
    "-0.0",
    "\"\\ud800\"",
    "\\u0000",
    "é",
    "\u{1F600}",
    "2024-02-30",
    "9999-12-31T23:59:60+14:00",
    "\"id\":\"a\",",
    "\"contained\":[],",
    "\"_status\":{\"id\":\"a\"},",
    "\"extension\":[{}],",
    "{\"reference\":\"#\"}",
    "\"resourceType\":\"Bundle\",",
    "\"subject\":{\"reference\":\"Patient/1\"},",
    "<div>",
    "&#x",
    "valueQuantity",
    "valueString",
    "\"meta\":{},",
    "http://loinc.org",
];

fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        let start = numbers.below(bytes.len());
        let end = (start + numbers.below(40)).min(bytes.len());
        let splice = SPLICES[numbers.below(SPLICES.len())].bytes();
        match numbers.below(8) {
            0 => bytes[start] = u8::try_from(numbers.below(256)).unwrap(),
            1 => drop(bytes.drain(start..end)),
            2 => drop(bytes.splice(start..start, splice)),
            3 => {
                let copy = bytes[start..end].to_vec();
                let at = numbers.below(bytes.len());
                bytes.splice(at..at, copy);
            }
            // At the start of an object or a list, where JSON often survives it.
            4 => {
                let bracket = bytes[start..].iter().position(|b| matches!(b, b'{' | b'['));
                let at = start + bracket.map_or(0, |offset| offset + 1);
                bytes.splice(at..at, splice);
            }
            // A line is mostly a member.
            5 => drop(bytes.drain(line(bytes, start))),
            // Another letter or digit leaves JSON as it is.
            _ if bytes[start].is_ascii_alphanumeric() => {
                bytes[start] = b"aAzZ0195"[numbers.below(8)];
            }
            _ => {}
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
}

/// The line around a place, with its end.
fn line(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = bytes[..at]
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |newline| newline + 1);
    let end = bytes[at..]
        .iter()
        .position(|&b| b == b'\n')
        .map_or(bytes.len(), |n| at + n + 1);
    start..end
}

#[test]
fn no_mutation_panics_and_what_passes_still_passes_when_stamped() {
    let documents = documents::all();
    let mut numbers = Numbers(4_000_001);
    let (mut read, mut accepted) = (0, 0);

    for round in 0..MUTATIONS {
        let (record_type, text) = &documents[round % documents.len()];
        let mut bytes = text.clone().into_bytes();
        mutate(&mut bytes, &mut numbers);
        let Ok(document) = reader::read(&bytes) else {
            continue;
        };
        read += 1;
        let again = canonical::to_bytes(&document);
        assert_eq!(canonical::to_bytes(&reader::read(&again).unwrap()), again);
        operation_outcome(&validate::base(&document));
        let Ok(before) = check(&document, *record_type) else {
            stamp(document, *record_type, &IDENTITY).ok();
            continue;
        };
        accepted += 1;
        // Refused only if a mutation names somebody else.
        let Ok(stamped) = stamp(document, *record_type, &IDENTITY) else {
            continue;
        };
        assert_eq!(check(&stamped, *record_type), Ok(before), "round {round}");
        assert_eq!(validate::base(&stamped), [], "round {round}");
    }

    assert!(
        read > MUTATIONS / 10 && accepted > MUTATIONS / 20,
        "{read} read, {accepted} accepted"
    );
}

#[test]
fn a_truncated_document_is_an_error_with_a_position() {
    for (_, text) in documents::all() {
        let text = text.trim_end();
        for end in (0..text.len()).step_by(13) {
            let error = reader::read(&text.as_bytes()[..end]).unwrap_err();
            assert!(error.offset <= end);
        }
    }
}

#[test]
fn official_documents_survive_stamping_storing_and_stamping_again() {
    let package = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../node_modules/hl7.fhir.r4.examples"
    );
    let listing = std::fs::read_dir(package);
    let listing = listing.expect("hl7.fhir.r4.examples is installed by `cargo dev tools --test`");
    let mut stamped_documents = 0;

    for entry in listing {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        let Ok(document) = reader::read(&bytes) else {
            continue;
        };
        for record_type in RecordType::ALL {
            let Ok(before) = check(&document, record_type) else {
                continue;
            };
            let Ok(stamped) = stamp(document.clone(), record_type, &IDENTITY) else {
                continue;
            };
            assert_eq!(check(&stamped, record_type), Ok(before));
            let stored = canonical::to_bytes(&stamped);
            let exported = reader::read(&stored).unwrap();
            let again = stamp(exported, record_type, &IDENTITY).unwrap();
            assert!(canonical::to_bytes(&again) == stored);
            stamped_documents += 1;
        }
    }
    assert!(
        stamped_documents > 0,
        "no official document fits a record type"
    );
}
