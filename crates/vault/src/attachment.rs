//! Files beside a record, sealed in chunks under the key of the record's patient.
//!
//! ```text
//! chunk = the next 256 KiB of the file, the last one what is left; sealed in the layout of `envelope`
//! key   = HKDF-SHA256(patient key, no salt, "meditrustal attachment key 1" ‖ record 16 ‖ place 4)
//! AAD   = "meditrustal attachment 1" ‖ record 16 ‖ place 4 ‖ length of the file 8 ‖ SHA-256 of the file 32
//!         ‖ number of the chunk 4
//! ```
//!
//! Numbers are big-endian; chunks count from 0, places from 1. The document of the record says length and SHA-256, and is
//! anchored: a chunk opens in its place, of that file, and nowhere else. What is cut off, doubled or in another order does not
//! open. A key seals at most 64 chunks of each upload, each with a nonce of its own.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::ids::RecordId;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::envelope::{self, OpenError, PatientKey};

/// How much of a file is sealed at once. Unit: bytes.
pub const CHUNK: usize = 256 << 10;

/// How much base64 is decoded at once in its own place. Unit: bytes, a multiple of four.
const DIGITS: usize = 4 << 10;

/// A file, as the document of its record promises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFile {
    /// Of which record.
    pub record: RecordId,
    /// Which of the document's attachments it is, from 1.
    pub place: u32,
    /// Its length. Unit: bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl SealedFile {
    fn associated_data(&self, number: u32) -> Vec<u8> {
        [
            b"meditrustal attachment 1".as_slice(),
            self.record.0.as_bytes(),
            &self.place.to_be_bytes(),
            &self.size.to_be_bytes(),
            &self.sha256,
            &number.to_be_bytes(),
        ]
        .concat()
    }

    fn key(&self, key: &PatientKey) -> Zeroizing<[u8; 32]> {
        key.derived(&[
            b"meditrustal attachment key 1".as_slice(),
            self.record.0.as_bytes(),
            &self.place.to_be_bytes(),
        ])
    }

    /// Seals the chunk of this number.
    pub fn seal(&self, key: &PatientKey, number: u32, chunk: &[u8]) -> Vec<u8> {
        envelope::wrap(&self.key(key), &self.associated_data(number), chunk)
    }

    /// Opens the chunk of this number.
    ///
    /// # Errors
    /// [`OpenError`] where it is another chunk, or of another file, or was changed.
    pub fn open(
        &self,
        key: &PatientKey,
        number: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        envelope::unwrap(&self.key(key), &self.associated_data(number), sealed)
    }
}

/// Hashes a file as it comes.
#[derive(Debug, Clone, Default)]
pub struct FileHash {
    sha256: Sha256,
    sha1: Sha1,
}

impl FileHash {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha1.update(piece);
    }

    /// The SHA-256 of all of it, and its SHA-1 in base64, as R4 writes it.
    pub fn finish(self) -> ([u8; 32], String) {
        let sha1 = STANDARD.encode(self.sha1.finalize());
        (self.sha256.finalize().into(), sha1)
    }
}

/// Writes a file in base64 as it comes, in pieces of any length.
#[derive(Default)]
pub struct FileEncoder {
    /// What does not fill three bytes yet.
    left: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for FileEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileEncoder(…)")
    }
}

impl FileEncoder {
    /// What there is to write once the next piece is there.
    pub fn update(&mut self, piece: &[u8]) -> String {
        self.left.extend_from_slice(piece);
        let whole = self.left.len() / 3 * 3;
        let text = STANDARD.encode(self.left.get(..whole).unwrap_or_default());
        self.left.drain(..whole);
        text
    }

    /// The end of it.
    pub fn finish(self) -> String {
        STANDARD.encode(self.left.as_slice())
    }
}

/// What `base64Binary` of R4 says, which may have white space; `None` where it is not base64.
pub fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD.decode(digits).ok().map(Zeroizing::new)
}

/// The same of a text that is given up for it: the file takes its place, and no second copy is made.
pub fn decode_in_place(text: String) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(text.into_bytes());
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    let mut digits = Zeroizing::new([0_u8; DIGITS]);
    let (mut read, mut written) = (0, 0);
    while read < bytes.len() {
        let end = bytes.len().min(read + DIGITS);
        let digits = digits.get_mut(..end - read)?;
        digits.copy_from_slice(bytes.get(read..end)?);
        // Three bytes of a file are four digits: what is written ends before what was not read yet.
        let decoded = STANDARD.decode_slice(&*digits, bytes.get_mut(written..)?);
        let decoded = decoded.ok()?;
        if end < bytes.len() && decoded < DIGITS / 4 * 3 {
            // It is padded before its end.
            return None;
        }
        (read, written) = (end, written + decoded);
    }
    bytes.truncate(written);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use uuid::Uuid;

    use super::*;
    use crate::digest::to_hex;

    fn file() -> SealedFile {
        SealedFile {
            record: RecordId(Uuid::from_u128(1)),
            place: 1,
            size: 600_000,
            sha256: [3; 32],
        }
    }

    #[test]
    fn a_chunk_opens_in_its_place_of_its_file_alone() {
        let key = PatientKey::from_bytes(Zeroizing::new([7; 32]));
        let file = file();
        let sealed = file.seal(&key, 1, b"a chunk");
        assert_eq!(file.open(&key, 1, &sealed).unwrap().as_slice(), b"a chunk");
        let others = [
            SealedFile {
                record: RecordId(Uuid::from_u128(2)),
                ..file
            },
            SealedFile { place: 2, ..file },
            // What was cut off would be shorter.
            SealedFile {
                size: 599_999,
                ..file
            },
            SealedFile {
                sha256: [4; 32],
                ..file
            },
        ];
        for other in others {
            let opened = other.open(&key, 1, &sealed);
            assert_eq!(opened, Err(OpenError::Forged), "{other:?}");
        }
        assert_eq!(file.open(&key, 0, &sealed), Err(OpenError::Forged));
        let stranger = PatientKey::from_bytes(Zeroizing::new([8; 32]));
        assert_eq!(file.open(&stranger, 1, &sealed), Err(OpenError::Forged));
    }

    #[test]
    fn a_file_in_pieces_of_any_length_is_written_as_one() {
        let file: Vec<u8> = (0..=255).collect();
        for length in [1, 2, 3, 4, 100, 256] {
            let mut encoder = FileEncoder::default();
            let pieces = file.chunks(length).map(|piece| encoder.update(piece));
            let text: String = pieces.collect();
            let text = text + &encoder.finish();
            assert_eq!(text, STANDARD.encode(&file), "{length}");
        }
    }

    #[test]
    fn a_file_is_decoded_in_place_as_it_is_elsewhere() {
        let file: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for length in [0, 1, 2, 3, 3071, 3072, 3073, 6144, 10_000] {
            let text = STANDARD.encode(&file[..length]);
            let wrapped = text.as_bytes().chunks(76).map(str::from_utf8);
            let wrapped: Vec<&str> = wrapped.map(Result::unwrap).collect();
            let decoded = decode_in_place(wrapped.join("\r\n")).unwrap();
            assert_eq!(decoded.as_slice(), &file[..length], "{length}");
        }
        let padded = format!("{}YQ==", "A".repeat(DIGITS - 4));
        let twice = format!("{padded}{padded}");
        assert!(decode_in_place(padded).is_some());
        for wrong in [
            twice,
            "YWJ".to_owned(),
            "YW=J".to_owned(),
            "Y-J=".to_owned(),
        ] {
            assert_eq!(decode(&wrong), None, "{wrong}");
            assert_eq!(decode_in_place(wrong), None);
        }
    }

    #[test]
    fn a_file_has_the_hashes_of_its_bytes_however_they_come() {
        // FIPS 180-2, appendices A.1 and B.1.
        let mut hash = FileHash::default();
        hash.update(b"a");
        hash.update(b"bc");
        let (sha256, sha1) = hash.finish();
        assert_eq!(
            to_hex(&sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let sha1 = decode(&sha1).unwrap();
        assert_eq!(to_hex(&sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(decode("YW\r\nJj").unwrap().as_slice(), b"abc");
        assert!(decode("YWJ").is_none());
    }
}
