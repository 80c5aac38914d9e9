//! Access codes: what a patient says to a doctor, who becomes the grantee of a prepared consent by it.
//!
//! ```text
//! hash = HMAC-SHA-256(index key, "meditrustal access code 1" ‖ code)
//! ```
//!
//! A code is 10 characters of [`ALPHABET`], which has no two that look alike: 47 bits. Whoever reads the table and
//! has no key learns none of it by trying them all.

use hkdf::hmac::Mac;
use zeroize::Zeroizing;

use crate::{blind_index::IndexKey, random};

/// How many characters a code has.
pub const CODE_LEN: usize = 10;

/// The characters of codes: of those that look alike (0 O, 1 I L, 2 Z, 5 S, 8 B, U V) one at most.
pub const ALPHABET: &[u8; 27] = b"23456789ACDEFGHJKMNPQRTVWXY";

/// A code. Wiped when dropped, never printed.
pub struct AccessCode(Zeroizing<String>);

impl std::fmt::Debug for AccessCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessCode(…)")
    }
}

impl AccessCode {
    /// A code that nobody can foresee: each as likely as any other.
    pub fn generate() -> Self {
        let mut code = Zeroizing::new(String::with_capacity(CODE_LEN));
        while code.len() < CODE_LEN {
            let [byte] = random::bytes::<1>();
            // 243 = 9 · 27: of the other bytes some characters would have more.
            if byte < 243 {
                code.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            }
        }
        Self(code)
    }

    /// A code as somebody typed it: in capitals or not, with spaces and hyphens or without. `None` for what no code
    /// is.
    pub fn parse(text: &str) -> Option<Self> {
        let mut code = Zeroizing::new(String::with_capacity(CODE_LEN));
        for letter in text.chars() {
            let letter = letter.to_ascii_uppercase();
            if letter == ' ' || letter == '-' {
                continue;
            }
            let is_known = u8::try_from(letter).is_ok_and(|byte| ALPHABET.contains(&byte));
            if !is_known || code.len() == CODE_LEN {
                return None;
            }
            code.push(letter);
        }
        (code.len() == CODE_LEN).then_some(Self(code))
    }

    /// The characters, to be shown once.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IndexKey {
    /// What a code is stored and looked up as.
    pub fn access_code_hash(&self, code: &AccessCode) -> [u8; 32] {
        let mut mac = self.mac();
        mac.update(b"meditrustal access code 1");
        mac.update(code.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed_and_nothing_else_is_one() {
        let code = AccessCode::parse("23456789AC").unwrap();
        for same in ["23456789ac", " 2345 6789 AC ", "23456-789ac"] {
            assert_eq!(AccessCode::parse(same).unwrap().as_str(), code.as_str());
        }
        for none in [
            "",
            "23456789A",
            "23456789ACD",
            "O3456789AC",
            "13456789AC",
            "2345678９AC",
            "23456789A\u{0}",
        ] {
            assert!(AccessCode::parse(none).is_none(), "{none:?}");
        }
        assert_eq!(format!("{code:?}"), "AccessCode(…)");
    }

    #[test]
    fn codes_are_made_of_all_characters_that_look_like_no_other() {
        let codes: BTreeSet<String> = (0..1000)
            .map(|_| AccessCode::generate().as_str().to_owned())
            .collect();
        assert_eq!(codes.len(), 1000);
        let used: BTreeSet<u8> = codes.iter().flat_map(|code| code.bytes()).collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
        assert!(codes.iter().all(|code| code.len() == CODE_LEN));
        for alike in ["0O", "1IL", "2Z", "5S", "8B", "UV"] {
            let both = alike.bytes().filter(|byte| ALPHABET.contains(byte));
            assert!(both.count() <= 1, "{alike}");
        }
    }

    #[test]
    fn a_hash_is_what_another_implementation_computes() {
        // Python 3: hmac.new(bytes([0x2a] * 32), b"meditrustal access code 1" + b"23456789AC", "sha256").hexdigest()
        let key = IndexKey::parse(&"2a".repeat(32)).unwrap();
        let code = AccessCode::parse("23456789ac").unwrap();
        assert_eq!(crate::digest::to_hex(&key.access_code_hash(&code)), VECTOR);
    }

    const VECTOR: &str = "896b575064023ff4b24cda99883020de4bfbac1df6ca296a333e4879ac72131b";
}
