//! What is written down of an emergency in words: why a doctor opened a window, and what a reviewer noted. Both may
//! say something of somebody's health, so they are sealed under the patient's key: whoever destroys the key of a
//! patient who is erased destroys them, too, and a rotation of the master keys leaves them as they are.
//!
//! ```text
//! key  = HKDF-SHA256(patient key, no salt, "meditrustal break-glass key 1" ‖ window)
//! AAD  = "meditrustal break-glass 1" ‖ window 16 ‖ patient 16 ‖ patient key 16 ‖ "reason" or "note"
//! ```
//!
//! The bytes are laid out as an envelope's are ([`crate::envelope`]).

use domain::{
    break_glass::BreakGlassWindow,
    ids::{BreakGlassWindowId, PatientKeyId, UserId},
};
use zeroize::Zeroizing;

use crate::envelope::{OpenError, PatientKey};

/// Which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordsKind {
    /// The doctor's reason.
    Reason,
    /// The reviewer's note.
    Note,
}

/// What words belong to.
#[derive(Debug, Clone, Copy)]
pub struct WordsBinding {
    /// Which window.
    pub window: BreakGlassWindowId,
    /// On whose records.
    pub patient: UserId,
    /// Under which key of the patient.
    pub key: PatientKeyId,
    /// Which of the two.
    pub kind: WordsKind,
}

impl WordsBinding {
    /// The words of this window.
    pub const fn of(window: &BreakGlassWindow, kind: WordsKind) -> Self {
        Self {
            window: window.id,
            patient: window.patient,
            key: window.patient_key,
            kind,
        }
    }

    fn key_info(&self) -> [&[u8]; 2] {
        [b"meditrustal break-glass key 1", self.window.0.as_bytes()]
    }

    fn associated_data(&self) -> Vec<u8> {
        [
            b"meditrustal break-glass 1".as_slice(),
            self.window.0.as_bytes(),
            self.patient.0.as_bytes(),
            self.key.0.as_bytes(),
            match self.kind {
                WordsKind::Reason => b"reason",
                WordsKind::Note => b"note",
            },
        ]
        .concat()
    }
}

impl PatientKey {
    /// Seals words for this window.
    pub fn seal_words(&self, binding: &WordsBinding, words: &str) -> Vec<u8> {
        self.seal_text(&binding.key_info(), &binding.associated_data(), words)
    }

    /// Opens words that were sealed for this window.
    ///
    /// # Errors
    /// [`OpenError`] where they were sealed for another, or under another key.
    pub fn open_words(
        &self,
        binding: &WordsBinding,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        self.open_text(&binding.key_info(), &binding.associated_data(), sealed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use uuid::Uuid;

    use super::*;

    const REASON: &str = "unconscious, allergies unknown";

    fn key(byte: u8) -> PatientKey {
        PatientKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn binding() -> WordsBinding {
        WordsBinding {
            window: BreakGlassWindowId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            key: PatientKeyId(Uuid::from_u128(3)),
            kind: WordsKind::Reason,
        }
    }

    #[test]
    fn words_open_that_another_implementation_sealed() {
        // Python's `cryptography`: HKDF(SHA256, 32, salt=None, info=…).derive(b"\x07"*32), then AESGCM with
        // the nonce 09 twelve times.
        let digits = VECTOR.as_bytes().chunks_exact(2);
        let sealed: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let opened = key(7).open_words(&binding(), &sealed).unwrap();
        assert_eq!(opened.as_str(), REASON);
    }

    #[test]
    fn words_open_for_their_own_window_alone() {
        let sealed = key(7).seal_words(&binding(), REASON);
        assert_eq!(
            key(7).open_words(&binding(), &sealed).unwrap().as_str(),
            REASON
        );
        assert_ne!(sealed, key(7).seal_words(&binding(), REASON));
        let nine = Uuid::from_u128(9);
        let moved = [
            WordsBinding {
                window: BreakGlassWindowId(nine),
                ..binding()
            },
            WordsBinding {
                patient: UserId(nine),
                ..binding()
            },
            WordsBinding {
                key: PatientKeyId(nine),
                ..binding()
            },
            WordsBinding {
                kind: WordsKind::Note,
                ..binding()
            },
        ];
        for other in moved {
            assert!(key(7).open_words(&other, &sealed).is_err(), "{other:?}");
        }
        assert!(key(8).open_words(&binding(), &sealed).is_err());
        for byte in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[byte] ^= 1;
            assert!(
                key(7).open_words(&binding(), &forged).is_err(),
                "byte {byte}"
            );
        }
    }

    const VECTOR: &str = "02090909090909090909090909f6ab5b8bb66198f2d1230fc001feff3ad377d7869894bd999f34949088a8f3e88abd57d30e72cb88d6cd80dc69d7";
}
