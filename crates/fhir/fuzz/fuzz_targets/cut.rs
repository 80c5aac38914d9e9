//! Whatever an upload holds, and however it is cut into pieces: no panic, no entry beyond the limit, and
//! the pieces make no difference.
#![no_main]

use fhir::upload::{Cut, Cutter};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 256;

fn cuts(mut cutter: Cutter, upload: &[u8], piece: usize) -> (Vec<Cut>, bool) {
    let mut cuts = Vec::new();
    for mut piece in upload.chunks(piece) {
        while !piece.is_empty() {
            match cutter.next(&mut piece) {
                Ok(found) => cuts.extend(found),
                Err(_) => return (cuts, false),
            }
        }
    }
    match cutter.end() {
        Ok(last) => {
            cuts.extend(last);
            (cuts, true)
        }
        Err(_) => (cuts, false),
    }
}

fuzz_target!(|bytes: &[u8]| {
    for cutter in [Cutter::lines, Cutter::bundle] {
        let whole = cuts(cutter(LIMIT), bytes, bytes.len().max(1));
        assert_eq!(cuts(cutter(LIMIT), bytes, 1), whole);
        assert_eq!(cuts(cutter(LIMIT), bytes, 7), whole);
        assert!(whole.0.iter().all(|cut| match cut {
            Cut::Entry(bytes) => bytes.len() <= LIMIT,
            Cut::TooLong => true,
        }));
    }
});
