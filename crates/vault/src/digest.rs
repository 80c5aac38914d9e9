//! SHA-256.

use domain::records::DataHash;
use sha2::{Digest, Sha256};

/// The SHA-256 of a document's canonical bytes: what `sha256sum` of them prints.
pub fn of_document(canonical: &[u8]) -> DataHash {
    DataHash(sha256(canonical))
}

/// The SHA-256 of a secret or a request, as 64 lower-case hexadecimal digits.
pub fn hex_of(bytes: &[u8]) -> String {
    to_hex(&sha256(bytes))
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_vector_holds() {
        // FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex_of(b"abc"), wanted);
        assert_eq!(of_document(b"abc").to_string(), wanted);
    }
}
