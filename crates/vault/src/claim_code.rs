//! Claim codes: what the certificate of an erased account is had by, when nobody can log in any more.
//!
//! A code is written and stored as a refresh token is: 256 random bits, of which the database keeps the SHA-256 alone. No key
//! goes into it, so that a code is good for as long as its certificate is kept.

use crate::refresh::RefreshToken;

/// A code. Wiped when dropped, never printed.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimCode(RefreshToken);

impl ClaimCode {
    /// A new one.
    pub fn fresh() -> Self {
        Self(RefreshToken::fresh())
    }

    /// Reads what somebody typed or pasted. `None` for what was never a code of ours.
    pub fn parse(text: &str) -> Option<Self> {
        RefreshToken::parse(text.trim()).map(Self)
    }

    /// What is shown once: 43 letters of base64url.
    pub fn reveal(&self) -> String {
        self.0.reveal()
    }

    /// What the database keeps: 64 hexadecimal digits.
    pub fn hash(&self) -> String {
        self.0.hash()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_code_reads_back_however_it_was_pasted_and_prints_nothing() {
        let code = ClaimCode::fresh();
        let text = code.reveal();
        assert_eq!(ClaimCode::parse(&format!(" {text}\n")).unwrap(), code);
        assert!(ClaimCode::parse(&text[..42]).is_none());
        assert_ne!(ClaimCode::fresh().hash(), code.hash());
        assert!(!format!("{code:?}").contains(&text));
    }

    #[test]
    fn a_hash_is_what_another_implementation_computes() {
        // printf '%s' AAAA… (43 letters) | sha256sum
        let code = ClaimCode::parse(&"A".repeat(43)).unwrap();
        assert_eq!(code.hash(), VECTOR);
    }

    const VECTOR: &str = "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a";
}
