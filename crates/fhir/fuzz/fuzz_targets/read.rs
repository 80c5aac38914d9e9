//! Whatever bytes come in: no panic, and the canonical form reads back to itself.
#![no_main]

use fhir::{canonical, reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = reader::read(bytes) else { return };
    let once = canonical::to_bytes(&json);
    let again = reader::read(&once).expect("canonical bytes are JSON");
    assert_eq!(canonical::to_bytes(&again), once);
});
