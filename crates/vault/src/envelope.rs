//! The sealed form of a record, which binds the whole row it stands in.
//!
//! ```text
//!  0        1                          13                                  n
//! ┌────────┬──────────────────────────┬───────────────────────┬───────────┐
//! │ format │ nonce, 12 random bytes   │ ciphertext            │ tag, 16   │
//! │ 0x02   │                          │ as long as the text   │           │
//! └────────┴──────────────────────────┴───────────────────────┴───────────┘
//! key  = HKDF-SHA256(patient key, no salt, "meditrustal record key 2" ‖ record ‖ version)
//! AAD  = "meditrustal record 2"
//!        ‖ record 16 ‖ patient 16 ‖ patient key 16 ‖ version 4 ‖ author 16 ‖ predecessor 16
//!        ‖ created_at 8 ‖ effective_at 8 ‖ metadata 32 ‖ missing elements 32 ‖ code tokens 32
//!        ‖ type, its text ‖ " withdrawn", if it is
//! ```
//!
//! Identifiers are their 16 bytes, 16 zero bytes where there is none; the version is big-endian;
//! times are microseconds since 1970, signed and big-endian, the least number where there is none; JSON
//! is the SHA-256 of its canonical bytes ([`crate::digest::of_json`]), tokens are that of their number
//! and each token with its length before it, in 4 bytes big-endian; 32 zero bytes where the column is
//! null. Every field but the type has one width and no type ends as the mark does, so no two rows share
//! associated data. An envelope opens in its own row, as it was written, and nowhere else.
//! `docs/envelope.md` says which column is checked by what.
//!
//! Every version is sealed under a key of its own, so the bound on random 96-bit nonces (2³² messages
//! a key, NIST SP 800-38D, section 8.3) is never approached.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, AeadInOut, Payload},
};
use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, RecordId, UserId},
    records::RecordType,
};
use hkdf::Hkdf;
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{digest, random};

/// The format this version writes.
const FORMAT: u8 = 2;
/// Unit: bytes.
pub(crate) const NONCE_LEN: usize = 12;
/// Unit: bytes.
const TAG_LEN: usize = 16;

/// What an envelope belongs to: the row, as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Which record.
    pub record: RecordId,
    /// Whose.
    pub patient: UserId,
    /// Who wrote it.
    pub author: Option<UserId>,
    /// Of which type.
    pub record_type: RecordType,
    /// Which version.
    pub version: u32,
    /// The version before it.
    pub predecessor: Option<RecordId>,
    /// Whether it withdraws the record.
    pub is_withdrawn: bool,
    /// Under which key.
    pub key: PatientKeyId,
    /// When it was stored. Counts to the microsecond, as the database does.
    pub created_at: DateTime<Utc>,
    /// When what the document says was so.
    pub effective_at: Option<DateTime<Utc>>,
    /// What is searchable in clear.
    pub metadata: Option<&'a Value>,
    /// What the document lacks.
    pub missing: Option<&'a Value>,
    /// The document's codes in the blind index.
    pub code_tokens: Option<&'a [Vec<u8>]>,
}

impl Binding<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let or_zero = |id: Option<Uuid>| id.unwrap_or(Uuid::nil()).into_bytes();
        let json = |value: Option<&Value>| value.map_or([0; 32], digest::of_json);
        [
            b"meditrustal record 2".as_slice(),
            self.record.0.as_bytes(),
            self.patient.0.as_bytes(),
            self.key.0.as_bytes(),
            &self.version.to_be_bytes(),
            &or_zero(self.author.map(|id| id.0)),
            &or_zero(self.predecessor.map(|id| id.0)),
            &self.created_at.timestamp_micros().to_be_bytes(),
            &self
                .effective_at
                .map_or(i64::MIN, |at| at.timestamp_micros())
                .to_be_bytes(),
            &json(self.metadata),
            &json(self.missing),
            &self.code_tokens.map_or([0; 32], digest_of_tokens),
            self.record_type.as_str().as_bytes(),
            if self.is_withdrawn {
                b" withdrawn"
            } else {
                b""
            },
        ]
        .concat()
    }
}

fn digest_of_tokens(tokens: &[Vec<u8>]) -> [u8; 32] {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = length(tokens.len()).to_vec();
    for token in tokens {
        bytes.extend(length(token.len()));
        bytes.extend(token);
    }
    digest::of_document(&bytes).0
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

    /// The key for what these parts name.
    pub(crate) fn derived(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand_multi_info(info, key.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8160 bytes and 32 are asked for");
        key
    }

    fn cipher(&self, binding: &Binding<'_>) -> Aes256Gcm {
        let key = self.derived(&[
            b"meditrustal record key 2".as_slice(),
            binding.record.0.as_bytes(),
            &binding.version.to_be_bytes(),
        ]);
        Aes256Gcm::new((&*key).into())
    }

    /// Seals a text under the key for what these parts name.
    pub(crate) fn seal_text(&self, info: &[&[u8]], associated_data: &[u8], text: &str) -> Vec<u8> {
        wrap(&self.derived(info), associated_data, text.as_bytes())
    }

    /// Opens a text that was sealed so.
    ///
    /// # Errors
    /// [`OpenError`] where it was sealed for something else, or under another key.
    pub(crate) fn open_text(
        &self,
        info: &[&[u8]],
        associated_data: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        let text = unwrap(&self.derived(info), associated_data, sealed)?;
        let text = std::str::from_utf8(&text).map_err(|_| OpenError::Format)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Seals a document for the row it will stand in.
    pub fn seal(&self, binding: &Binding<'_>, document: &[u8]) -> Vec<u8> {
        self.seal_with(binding, document, random::bytes())
    }

    fn seal_with(&self, binding: &Binding<'_>, document: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
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
        binding: &Binding<'_>,
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

    /// The same in the envelope's own place: no second copy is made.
    ///
    /// # Errors
    /// As [`PatientKey::open`].
    pub fn open_in_place(
        &self,
        binding: &Binding<'_>,
        envelope: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        decrypt_in_place(&self.cipher(binding), &binding.associated_data(), envelope)
    }
}

/// The nonce and what was sealed with it.
pub(crate) fn split(envelope: &[u8]) -> Result<([u8; NONCE_LEN], &[u8]), OpenError> {
    split_as(FORMAT, envelope)
}

/// The same of another format with this layout.
pub(crate) fn split_as(format: u8, envelope: &[u8]) -> Result<([u8; NONCE_LEN], &[u8]), OpenError> {
    let (head, sealed) = envelope
        .split_at_checked(1 + NONCE_LEN)
        .ok_or(OpenError::Format)?;
    let nonce = head[1..].try_into().map_err(|_| OpenError::Format)?;
    if head[0] != format || sealed.len() < TAG_LEN {
        return Err(OpenError::Format);
    }
    Ok((nonce, sealed))
}

/// Seals `text` under a bare key, in the same layout.
pub(crate) fn wrap(key: &[u8; 32], aad: &[u8], text: &[u8]) -> Vec<u8> {
    wrap_parts(key, aad, &[text])
}

/// Seals parts as one text. What comes is the only copy that is made of them.
pub(crate) fn wrap_parts(key: &[u8; 32], aad: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = random::bytes();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + length + TAG_LEN);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    for part in parts {
        sealed.extend_from_slice(part);
    }
    let (_, text) = sealed.split_at_mut(1 + NONCE_LEN);
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&nonce.into(), aad, text.into())
        .expect("what is sealed is far shorter than AES-GCM's 64 GiB");
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`wrap`] sealed in its own place: no second copy is made.
pub(crate) fn unwrap_in_place(
    key: &[u8; 32],
    aad: &[u8],
    wrapped: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    decrypt_in_place(&Aes256Gcm::new(key.into()), aad, wrapped)
}

fn decrypt_in_place(
    cipher: &Aes256Gcm,
    aad: &[u8],
    sealed: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, _) = split(&sealed)?;
    let mut text = Zeroizing::new(sealed);
    text.drain(..=NONCE_LEN);
    cipher
        .decrypt_in_place(&nonce.into(), aad, &mut *text)
        .map_err(|_| OpenError::Forged)?;
    Ok(text)
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
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::digest::to_hex;

    fn key() -> PatientKey {
        PatientKey::from_bytes(Zeroizing::new([7; 32]))
    }

    fn binding(metadata: &Value) -> Binding<'_> {
        Binding {
            record: RecordId(Uuid::from_u128(1)),
            patient: UserId(Uuid::from_u128(2)),
            author: Some(UserId(Uuid::from_u128(4))),
            record_type: RecordType::Diagnosis,
            version: 1,
            predecessor: None,
            is_withdrawn: false,
            key: PatientKeyId(Uuid::from_u128(3)),
            created_at: DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap(),
            effective_at: DateTime::from_timestamp_micros(1_700_000_000_000_000),
            metadata: Some(metadata),
            missing: None,
            code_tokens: None,
        }
    }

    #[test]
    fn the_layout_is_pinned_by_a_vector_made_with_another_implementation() {
        // Python's `cryptography`: HKDF(SHA256, 32, salt=None, info=…).derive(b"\x07"*32), then AESGCM.
        let metadata = json!({ "status": "final", "date": "2026-11-26" });
        let tokens = [vec![0x11; 16], vec![0x22; 16]];
        let binding = Binding {
            code_tokens: Some(&tokens),
            ..binding(&metadata)
        };
        let envelope = key().seal_with(&binding, b"{\"a\":6.0}", [9; 12]);
        assert_eq!(
            to_hex(&envelope),
            include_str!("../vectors/envelope-2.hex").trim()
        );
        assert_eq!(
            key().open(&binding, &envelope).unwrap().as_slice(),
            b"{\"a\":6.0}"
        );
    }

    #[test]
    fn an_envelope_opens_in_its_own_place_as_beside_it() {
        let metadata = json!({ "status": "final" });
        let binding = binding(&metadata);
        let envelope = key().seal(&binding, b"secret");

        let opened = key().open_in_place(&binding, envelope.clone()).unwrap();
        assert_eq!(opened, key().open(&binding, &envelope).unwrap());
        for len in 0..envelope.len() {
            assert!(
                key()
                    .open_in_place(&binding, envelope[..len].to_vec())
                    .is_err(),
                "cut to {len}"
            );
        }
        let elsewhere = Binding {
            version: 2,
            ..binding
        };
        assert_eq!(
            key().open_in_place(&elsewhere, envelope),
            Err(OpenError::Forged)
        );
    }

    #[test]
    fn two_seals_of_one_document_differ() {
        let binding = binding(&Value::Null);
        assert_ne!(key().seal(&binding, b"x"), key().seal(&binding, b"x"));
    }

    #[test]
    fn an_envelope_opens_only_in_its_own_row() {
        let metadata = json!({ "status": "final" });
        let binding = binding(&metadata);
        let envelope = key().seal(&binding, b"secret");
        let (other, null) = (json!({ "status": "draft" }), Value::Null);
        let nine = Uuid::from_u128(9);
        let token = [vec![5; 16]];
        let moved = [
            Binding {
                record: RecordId(nine),
                ..binding
            },
            Binding {
                is_withdrawn: true,
                ..binding
            },
            Binding {
                patient: UserId(nine),
                ..binding
            },
            Binding {
                author: Some(UserId(nine)),
                ..binding
            },
            Binding {
                author: None,
                ..binding
            },
            Binding {
                record_type: RecordType::LabResult,
                ..binding
            },
            Binding {
                version: 2,
                ..binding
            },
            Binding {
                predecessor: Some(RecordId(nine)),
                ..binding
            },
            Binding {
                key: PatientKeyId(nine),
                ..binding
            },
            Binding {
                created_at: binding.created_at + TimeDelta::microseconds(1),
                ..binding
            },
            Binding {
                metadata: Some(&other),
                ..binding
            },
            Binding {
                metadata: Some(&null),
                ..binding
            },
            Binding {
                metadata: None,
                ..binding
            },
            Binding {
                missing: Some(&null),
                ..binding
            },
            Binding {
                effective_at: None,
                ..binding
            },
            Binding {
                code_tokens: Some(&[]),
                ..binding
            },
            Binding {
                code_tokens: Some(&token),
                ..binding
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
        assert_eq!(stranger.open(&binding, &envelope), Err(OpenError::Forged));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let binding = binding(&Value::Null);
        let envelope = key().seal(&binding, b"a short document");
        for bit in 0..envelope.len() * 8 {
            let mut forged = envelope.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(key().open(&binding, &forged).is_err(), "bit {bit}");
        }
        for len in 0..envelope.len() {
            assert!(
                key().open(&binding, &envelope[..len]).is_err(),
                "cut to {len}"
            );
        }
    }

    #[test]
    fn a_key_never_prints_itself() {
        assert_eq!(format!("{:?}", key()), "PatientKey(…)");
    }
}
