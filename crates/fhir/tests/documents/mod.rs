//! The example documents, and how tests change them.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;

use fhir::{Json, RecordType, reader};
use serde_json::Value;

/// Every record type with the text of its example document.
pub(crate) fn all() -> Vec<(RecordType, String)> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    let load = |record_type: RecordType| {
        let name = record_type.as_str().to_ascii_lowercase().replace('_', "-");
        let path = documents.join(name).with_extension("json");
        (record_type, std::fs::read_to_string(path).unwrap())
    };
    RecordType::ALL.into_iter().map(load).collect()
}

/// The example document of a record type, to be changed.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test changes documents"
)]
pub(crate) fn example(record_type: RecordType) -> Value {
    let (_, text) = all()
        .into_iter()
        .find(|(of, _)| *of == record_type)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The tree of a changed document.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test changes documents"
)]
pub(crate) fn tree(value: &Value) -> Json {
    reader::read(value.to_string().as_bytes()).unwrap()
}
