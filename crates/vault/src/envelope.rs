//! The sealed form of a record.
//!
//! ```text
//!  0        1                          13                                  n
//! ┌────────┬──────────────────────────┬───────────────────────┬───────────┐
//! │ format │ nonce, 12 random bytes   │ ciphertext            │ tag, 16   │
//! │ 0x01   │                          │ as long as the text   │           │
//! └────────┴──────────────────────────┴───────────────────────┴───────────┘
//! key  = HKDF-SHA256(patient key, no salt, "meditrustal record key 1" ‖ record ‖ version)
//! AAD  = "meditrustal record 1" ‖ record ‖ patient ‖ patient key ‖ version ‖ type
//! ```
//!
//! Identifiers are their 16 bytes, the version 4 bytes big-endian, the type its text, last. The
//! associated data binds an envelope to its row: moved to another one, it does not open. Every
//! version is sealed under a key of its own, so the bound on random 96-bit nonces (2³² messages a
//! key, NIST SP 800-38D, section 8.3) is never approached.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use domain::{
    ids::{PatientKeyId, RecordId, UserId},
    records::RecordType,
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::random;

/// The format this version writes.
const FORMAT: u8 = 1;
/// Unit: bytes.
const NONCE_LEN: usize = 12;
/// Unit: bytes.
const TAG_LEN: usize = 16;

/// What an envelope belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Of which type.
    pub record_type: RecordType,
    /// Which version.
    pub version: u32,
    /// Under which key.
    pub key: PatientKeyId,
}

impl Binding {
    fn associated_data(&self) -> Vec<u8> {
        [
            b"meditrustal record 1".as_slice(),
            self.record.0.as_bytes(),
            self.patient.0.as_bytes(),
            self.key.0.as_bytes(),
            &self.version.to_be_bytes(),
            self.record_type.as_str().as_bytes(),
        ]
        .concat()
    }
}

/// Why an envelope did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short to be an envelope, or of a format this version does not know.
    #[error("this is no envelope of a known format")]
    Format,
    /// Changed, moved from another row, or sealed under another key.
    #[error("the envelope was not sealed for this record under this key")]
    Forged,
}

/// A patient's key, unwrapped. Wiped when dropped.
pub struct PatientKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for PatientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientKey(…)")
    }
}

impl PatientKey {
    pub(crate) const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self, binding: &Binding) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        let info = [
            b"meditrustal record key 1".as_slice(),
            binding.record.0.as_bytes(),
            &binding.version.to_be_bytes(),
        ];
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand_multi_info(&info, key.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8160 bytes and 32 are asked for");
        Aes256Gcm::new((&*key).into())
    }

    /// Seals a document for the row it will stand in.
    pub fn seal(&self, binding: &Binding, document: &[u8]) -> Vec<u8> {
        self.seal_with(binding, document, random::bytes())
    }

    fn seal_with(&self, binding: &Binding, document: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let payload = Payload {
            msg: document,
            aad: &binding.associated_data(),
        };
        let sealed = self
            .cipher(binding)
            .encrypt(&nonce.into(), payload)
            .expect("a document is far shorter than AES-GCM's 64 GiB");
        [[FORMAT].as_slice(), &nonce, &sealed].concat()
    }

    /// Opens an envelope that was sealed for this row.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing of the content is known.
    pub fn open(
        &self,
        binding: &Binding,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, sealed) = split(envelope)?;
        let payload = Payload {
            msg: sealed,
            aad: &binding.associated_data(),
        };
        let document = self
            .cipher(binding)
            .decrypt(&nonce.into(), payload)
            .map_err(|_| OpenError::Forged)?;
        Ok(Zeroizing::new(document))
    }
}

/// The nonce and what was sealed with it.
pub(crate) fn split(envelope: &[u8]) -> Result<([u8; NONCE_LEN], &[u8]), OpenError> {
    let (head, sealed) = envelope
        .split_at_checked(1 + NONCE_LEN)
        .ok_or(OpenError::Format)?;
    let nonce = head[1..].try_into().map_err(|_| OpenError::Format)?;
    if head[0] != FORMAT || sealed.len() < TAG_LEN {
        return Err(OpenError::Format);
    }
    Ok((nonce, sealed))
}

/// Seals `text` under a bare key, in the same layout.
pub(crate) fn wrap(key: &[u8; 32], aad: &[u8], text: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = random::bytes();
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&nonce.into(), Payload { msg: text, aad })
        .expect("a key is far shorter than AES-GCM's 64 GiB");
    [[FORMAT].as_slice(), &nonce, &sealed].concat()
}

/// Opens what [`wrap`] sealed.
pub(crate) fn unwrap(
    key: &[u8; 32],
    aad: &[u8],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, msg) = split(wrapped)?;
    Aes256Gcm::new(key.into())
        .decrypt(&nonce.into(), Payload { msg, aad })
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Forged)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use uuid::Uuid;

    use super::*;
    use crate::digest::to_hex;

    fn key() -> PatientKey {
        PatientKey::from_bytes(Zeroizing::new([7; 32]))
    }

    fn binding() -> Binding {
        Binding {
            record: RecordId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            record_type: RecordType::Diagnosis,
            version: 1,
            key: PatientKeyId(Uuid::from_u128(3)),
        }
    }

    #[test]
    fn the_layout_is_pinned_by_a_vector_made_with_another_implementation() {
        // Python's `cryptography`: HKDF(SHA256, 32, salt=None, info=…).derive(b"\x07"*32), then AESGCM.
        let envelope = key().seal_with(&binding(), b"{\"a\":6.0}", [9; 12]);
        assert_eq!(
            to_hex(&envelope),
            include_str!("../vectors/envelope-1.hex").trim()
        );
        assert_eq!(
            key().open(&binding(), &envelope).unwrap().as_slice(),
            b"{\"a\":6.0}"
        );
    }

    #[test]
    fn two_seals_of_one_document_differ() {
        assert_ne!(key().seal(&binding(), b"x"), key().seal(&binding(), b"x"));
    }

    #[test]
    fn an_envelope_opens_only_in_its_own_row() {
        let envelope = key().seal(&binding(), b"secret");
        let moved = [
            Binding {
                record: RecordId(Uuid::from_u128(9)),
                ..binding()
            },
            Binding {
                patient: UserId(Uuid::from_u128(9)),
                ..binding()
            },
            Binding {
                record_type: RecordType::LabResult,
                ..binding()
            },
            Binding {
                version: 2,
                ..binding()
            },
            Binding {
                key: PatientKeyId(Uuid::from_u128(9)),
                ..binding()
            },
        ];
        for elsewhere in moved {
            assert_eq!(
                key().open(&elsewhere, &envelope),
                Err(OpenError::Forged),
                "{elsewhere:?}"
            );
        }
        let stranger = PatientKey::from_bytes(Zeroizing::new([8; 32]));
        assert_eq!(stranger.open(&binding(), &envelope), Err(OpenError::Forged));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let envelope = key().seal(&binding(), b"a short document");
        for bit in 0..envelope.len() * 8 {
            let mut forged = envelope.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(key().open(&binding(), &forged).is_err(), "bit {bit}");
        }
        for len in 0..envelope.len() {
            assert!(
                key().open(&binding(), &envelope[..len]).is_err(),
                "cut to {len}"
            );
        }
    }

    #[test]
    fn a_key_never_prints_itself() {
        assert_eq!(format!("{:?}", key()), "PatientKey(…)");
    }
}
