//! Whatever a document says: no panic, and what passes still passes when stamped.
#![no_main]

use fhir::{Identity, RecordType, check, operation_outcome, reader, stamp, validate};
use libfuzzer_sys::fuzz_target;

const IDENTITY: Identity<'_> = Identity {
    record_id: "0198c9f2-6d0e-7a51-b2c4-3f5a9d1e7b60",
    patient_id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35",
    version: 1,
    last_updated: "2026-03-04T10:00:00.000Z",
    salt_hex: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = reader::read(bytes) else { return };
    operation_outcome(&validate::base(&document));
    for record_type in RecordType::ALL {
        let before = check(&document, record_type);
        let stamped = stamp(document.clone(), record_type, &IDENTITY);
        if let (Ok(before), Ok(stamped)) = (before, stamped) {
            assert_eq!(check(&stamped, record_type), Ok(before));
        }
    }
});
