//! Refresh tokens: 256 random bits that mean nothing. The database keeps their SHA-256 alone.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use zeroize::Zeroizing;

use crate::{digest, random};

/// A refresh token. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Zeroizing<[u8; 32]>);

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

impl RefreshToken {
    /// A new one.
    pub fn fresh() -> Self {
        Self::from_bytes(Zeroizing::new(random::bytes()))
    }

    pub(crate) const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Reads what a client sends. `None` for what was never a refresh token of ours.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// What a client is given: 43 letters of base64url.
    pub fn reveal(&self) -> String {
        BASE64.encode(self.0.as_slice())
    }

    /// What the database keeps: the SHA-256 of the text, as 64 hexadecimal digits. The token is random, so
    /// no salt and no slow hash is needed.
    pub fn hash(&self) -> String {
        digest::hex_of(self.reveal().as_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let token = RefreshToken::fresh();
        let text = token.reveal();
        assert_eq!(RefreshToken::parse(&text).unwrap(), token);
        assert_ne!(RefreshToken::fresh(), token);
        for wrong in [
            "",
            &text[..42],
            &format!("{text}A"),
            &format!(" {}", &text[..42]),
            &"+".repeat(43),
            // The last letter carries four bits too many: one token has one text.
            &format!("{}B", "A".repeat(42)),
        ] {
            assert_eq!(RefreshToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_that_of_the_text_and_nothing_prints_the_token() {
        let token = RefreshToken::from_bytes(Zeroizing::new([0; 32]));
        assert_eq!(token.reveal(), "A".repeat(43));
        assert_eq!(token.hash(), digest::hex_of("A".repeat(43).as_bytes()));
        assert_eq!(format!("{token:?}"), "RefreshToken(…)");
    }
}
