//! Uploads, whole and damaged: the cutter finds in a `Bundle` what the reader finds in it, and nothing
//! that comes in makes it panic or keep more than it may.
//!
//! The same inputs every time; the fuzz target `cut` looks further (`docs/fhir.md`).
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;
mod numbers;

use fhir::upload::{Cut, Cutter, resource_of};
use fhir::{Json, canonical, reader};
use numbers::Numbers;

/// A Bundle of every example document.
fn bundle() -> String {
    let entries: Vec<_> = documents::all()
        .into_iter()
        .map(|(_, text)| format!(r#"{{"fullUrl":"urn:x","resource":{text}}}"#))
        .collect();
    let entries = entries.join(" ,\n");
    format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entries}],"id":"b"}}"#)
}

/// Feeds an upload in pieces of any size; `None` where the cutter gives up.
fn cut(upload: &[u8], limit: usize, numbers: &mut Numbers) -> (Vec<Cut>, bool) {
    let mut cutter = Cutter::bundle(limit);
    let mut cuts = Vec::new();
    let mut rest = upload;
    while !rest.is_empty() {
        let (mut piece, later) = rest.split_at(1 + numbers.below(rest.len().min(700)));
        while !piece.is_empty() {
            match cutter.next(&mut piece) {
                Ok(found) => cuts.extend(found),
                Err(_) => return (cuts, false),
            }
        }
        rest = later;
    }
    (cuts, cutter.end().is_ok())
}

#[test]
fn the_cutter_finds_in_a_bundle_what_the_reader_finds_in_it() {
    let bundle = bundle();
    let whole = reader::read(bundle.as_bytes()).unwrap();
    let entries = whole.get("entry").and_then(Json::as_array).unwrap();
    let mut numbers = Numbers(1);

    for _ in 0..50 {
        let (cuts, is_whole) = cut(bundle.as_bytes(), reader::MAX_BYTES, &mut numbers);

        assert!(is_whole);
        assert_eq!(cuts.len(), entries.len());
        for (cut, entry) in cuts.iter().zip(entries) {
            let Cut::Entry(bytes) = cut else {
                unreachable!("none is that long")
            };
            let read = reader::read(bytes).unwrap();
            assert!(read == *entry);
            assert!(Some(&resource_of(read).unwrap()) == entry.get("resource"));
        }
    }
}

#[test]
fn a_damaged_bundle_never_panics_and_no_entry_is_longer_than_allowed() {
    const LIMIT: usize = 3_000;
    let whole = bundle().into_bytes();
    let mut numbers = Numbers(7);
    let (mut read, mut agreed) = (0, 0);

    for _ in 0..5_000 {
        let mut bytes = whole.clone();
        for _ in 0..=numbers.below(2) {
            let at = numbers.below(bytes.len());
            match numbers.below(4) {
                0 => bytes[at] = b"\"\\{}[],: x0"[numbers.below(11)],
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"\"\\{}[],: x0"[numbers.below(11)]),
                _ => drop(bytes.drain(at..(at + numbers.below(300)).min(bytes.len()))),
            }
        }
        let (cuts, is_whole) = cut(&bytes, LIMIT, &mut numbers);
        let within = |cut: &Cut| match cut {
            Cut::Entry(bytes) => bytes.len() <= LIMIT,
            Cut::TooLong => true,
        };
        assert!(cuts.iter().all(within));
        // What the reader takes for a Bundle, the cutter does, and finds the same entries in it.
        let Ok(json) = reader::read(&bytes) else {
            continue;
        };
        read += 1;
        let text = |name| json.get(name).and_then(Json::as_str);
        if (text("resourceType"), text("type")) != (Some("Bundle"), Some("collection")) {
            continue;
        }
        let Some(entries) = json.get("entry").and_then(Json::as_array) else {
            continue;
        };
        if !is_whole {
            continue;
        }
        agreed += 1;
        assert_eq!(cuts.len(), entries.len());
        for (cut, entry) in cuts.iter().zip(entries) {
            if let Cut::Entry(bytes) = cut {
                let found = canonical::to_bytes(&reader::read(bytes).unwrap());
                assert!(found == canonical::to_bytes(entry));
            }
        }
    }

    assert!(read > 500 && agreed > 300, "{read} read, {agreed} agreed");
}
