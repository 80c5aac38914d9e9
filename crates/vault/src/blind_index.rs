//! The blind index: a record is found by a code without the code being stored.
//!
//! ```text
//! token = first 16 bytes of HMAC-SHA-256(index key,
//!         "meditrustal code token 1" ‖ patient ‖ length of system ‖ system ‖ code)
//! ```
//!
//! The patient is its 16 bytes, the length 4 bytes big-endian, the rest UTF-8. Because the patient is
//! in it, the same code gives another token for each patient: whoever reads the table learns neither
//! which codes there are nor how frequent one is among patients. The index key is a secret of its own,
//! apart from the master keys, so that rotating those changes no token.

use std::{fmt, path::Path};

use domain::ids::UserId;
use hkdf::{
    Hkdf,
    hmac::{Hmac, KeyInit, Mac},
};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    key_check::{CheckValue, KeyCheck},
    keyfile::{self, KeyFileError},
    random,
};

/// How long a token is. Unit: bytes.
///
/// Two of a patient's codes share one by chance once in 2¹²⁸; a search shows nothing that its caller
/// could not list anyway.
pub const TOKEN_LEN: usize = 16;

/// What a code is stored and looked up as.
pub type IndexToken = [u8; TOKEN_LEN];

/// Why the index key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexKeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not what [`IndexKey::generate`] writes.
    #[error("the index key file holds 64 hexadecimal digits, and this one does not")]
    Malformed,
}

/// The key of the blind index. Wiped when dropped, never printed.
pub struct IndexKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(…)")
    }
}

impl IndexKey {
    /// Reads the key file.
    ///
    /// # Errors
    /// [`IndexKeyError`] where it is missing or malformed.
    pub fn load(path: &Path) -> Result<Self, IndexKeyError> {
        Self::parse(&keyfile::read(path)?)
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`IndexKeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, IndexKeyError> {
        domain::records::DataHash::parse(text.trim())
            .map(|bytes| Self(Zeroizing::new(bytes.0)))
            .map_err(|_| IndexKeyError::Malformed)
    }

    /// The text of a new key file.
    pub fn generate() -> Zeroizing<String> {
        random::hex::<32>().into()
    }

    /// By what this key is recognised. There is one index key, and its id is `index`.
    ///
    /// ```text
    /// HKDF-SHA-256(index key, no salt, "meditrustal index key check 1"), 32 bytes
    /// ```
    pub fn check(&self) -> KeyCheck {
        let mut value = [0; 32];
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand(b"meditrustal index key check 1", &mut value)
            .expect("32 bytes are no more than HKDF gives");
        KeyCheck {
            id: "index".to_owned(),
            value: CheckValue(value),
        }
    }

    /// An HMAC under this key. Whoever uses it begins with words of its own, so that nothing made for one
    /// purpose can pass for another.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.0.as_slice()).expect("HMAC takes a key of any length")
    }

    /// What a code of this patient is stored and looked up as.
    pub fn token(&self, patient: UserId, system: &str, code: &str) -> IndexToken {
        let length = u32::try_from(system.len()).unwrap_or(u32::MAX);
        let mut mac = self.mac();
        for part in [
            b"meditrustal code token 1".as_slice(),
            patient.0.as_bytes(),
            &length.to_be_bytes(),
            system.as_bytes(),
            code.as_bytes(),
        ] {
            mac.update(part);
        }
        let mut token = [0; TOKEN_LEN];
        token.copy_from_slice(&mac.finalize().into_bytes()[..TOKEN_LEN]);
        token
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use uuid::Uuid;

    use super::*;

    const ANA: UserId = UserId(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
    const EVE: UserId = UserId(Uuid::from_u128(2));
    const ICD_10: &str = "http://hl7.org/fhir/sid/icd-10";

    fn key(digits: &str) -> IndexKey {
        IndexKey::parse(&digits.repeat(32)).unwrap()
    }

    #[test]
    fn a_token_is_what_another_implementation_computes() {
        // Python 3: hmac.new(bytes([0x2a] * 32), b"meditrustal code token 1" + bytes(range(1, 17))
        //   + len(system).to_bytes(4, "big") + system + b"E11.9", "sha256").hexdigest()[:32]
        let token = key("2a").token(ANA, ICD_10, "E11.9");
        assert_eq!(crate::digest::to_hex(&token), VECTOR);
    }

    #[test]
    fn the_check_value_is_what_another_implementation_computes() {
        // Python 3: HKDF-SHA-256 by hmac, of bytes([0x2a] * 32) and 32 zero bytes of salt.
        let check = key("2a").check();
        assert_eq!(check.id, "index");
        assert_eq!(crate::digest::to_hex(&check.value.0), CHECK_VECTOR);
    }

    #[test]
    fn a_token_depends_on_key_patient_system_and_code_and_where_one_ends() {
        let token = key("2a").token(ANA, ICD_10, "E11.9");
        for other in [
            key("2b").token(ANA, ICD_10, "E11.9"),
            key("2a").token(EVE, ICD_10, "E11.9"),
            key("2a").token(ANA, "http://snomed.info/sct", "E11.9"),
            key("2a").token(ANA, ICD_10, "E11.8"),
            key("2a").token(ANA, "http://hl7.org/fhir/sid/icd-10E", "11.9"),
        ] {
            assert_ne!(other, token);
        }
        assert_eq!(key("2a").token(ANA, ICD_10, "E11.9"), token);
    }

    #[test]
    fn a_key_file_reads_back_and_is_never_printed() {
        let text = IndexKey::generate();
        let key = IndexKey::parse(&format!("{}\n", text.as_str())).unwrap();
        assert_eq!(format!("{key:?}"), "IndexKey(…)");
        for wrong in ["", "2a", &"g".repeat(64), &"2a".repeat(33)] {
            assert!(matches!(
                IndexKey::parse(wrong),
                Err(IndexKeyError::Malformed)
            ));
        }
    }

    const CHECK_VECTOR: &str = "e523cabc907d28cce61b09eb13862728738345e78060a50f397f1b9becc3816d";
    const VECTOR: &str = "c4068d8c08bdaa05712d10bc73e34413";
}
