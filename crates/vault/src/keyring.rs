//! The master keys, which wrap one key per patient and the secrets of second factors
//! ([`crate::second_factor`]), and nothing else.
//!
//! The file is JSON: `{"keys":[{"id":"2026-11","key":"<64 hex digits>"}, …]}`. The first key wraps,
//! all of them unwrap, so a rotation adds a key in front and re-wraps patient keys, never records.
//! A KMS would stand behind the same two functions.

use std::{fmt, path::Path};

use chrono::{DateTime, Utc};
use domain::ids::{PatientKeyId, UserId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    envelope::{self, PatientKey},
    keyfile::{self, KeyFileError},
    random,
};

/// Why the keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not what [`Keyring::generate`] writes.
    #[error("the master key file is not {{\"keys\":[{{\"id\":…,\"key\":<64 hex digits>}}]}}")]
    Malformed,
    /// A key or a secret is wrapped by a master key that is not in the file.
    #[error("master key {0:?} is not in the key file")]
    UnknownMaster(String),
    /// A wrapped key or secret was changed or moved.
    #[error("a key or a secret does not unwrap under master key {0:?}")]
    Forged(String),
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    keys: Vec<KeyLine>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct KeyLine {
    #[zeroize(skip)]
    id: String,
    key: String,
}

struct MasterKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

/// The master keys, in memory. Wiped when dropped.
pub struct Keyring {
    first: MasterKey,
    older: Vec<MasterKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.masters().map(|master| &master.id))
            .finish()
    }
}

/// Which patient key it is: what its wrapping binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyName {
    /// Its id.
    pub id: PatientKeyId,
    /// Whose.
    pub patient: UserId,
    /// When it was made. Counts to the microsecond, as the database does.
    pub created_at: DateTime<Utc>,
}

/// A patient's key, or another secret, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The wrapped bytes.
    pub bytes: Vec<u8>,
    /// The master key that wraps them.
    pub master_key_id: String,
}

impl Keyring {
    /// Reads the key file.
    ///
    /// # Errors
    /// [`KeyringError`] where it is missing or malformed.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let text = keyfile::read(path)?;
        Self::parse(&text)
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let file: KeyFile = serde_json::from_str(text).map_err(|_| KeyringError::Malformed)?;
        let mut masters = file.keys.iter().map(|line| {
            let key = domain::records::DataHash::parse(&line.key)
                .map(|bytes| Zeroizing::new(bytes.0))
                .map_err(|_| KeyringError::Malformed)?;
            Ok(MasterKey {
                id: line.id.clone(),
                key,
            })
        });
        let first = masters.next().ok_or(KeyringError::Malformed)??;
        let older = masters.collect::<Result<_, KeyringError>>()?;
        Ok(Self { first, older })
    }

    /// The text of a new key file with one fresh key.
    pub fn generate(id: &str) -> Zeroizing<String> {
        let keys = vec![KeyLine {
            id: id.to_owned(),
            key: random::hex::<32>(),
        }];
        let text = serde_json::to_string_pretty(&KeyFile { keys });
        Zeroizing::new(text.expect("strings always serialise"))
    }

    /// A fresh key for a patient, and its wrapped form.
    pub fn new_patient_key(&self, name: KeyName) -> (PatientKey, WrappedKey) {
        let key = PatientKey::from_bytes(Zeroizing::new(random::bytes()));
        let aad = associated_data(name, &self.first.id);
        let bytes = envelope::wrap(&self.first.key, &aad, key.as_bytes());
        (
            key,
            WrappedKey {
                bytes,
                master_key_id: self.first.id.clone(),
            },
        )
    }

    /// Unwraps a patient's key.
    ///
    /// # Errors
    /// [`KeyringError`] where its master key is missing or the bytes were changed.
    pub fn unwrap_patient_key(
        &self,
        name: KeyName,
        wrapped: &WrappedKey,
    ) -> Result<PatientKey, KeyringError> {
        let master_id = &wrapped.master_key_id;
        let aad = associated_data(name, master_id);
        let key = envelope::unwrap(self.opening(master_id)?, &aad, &wrapped.bytes)
            .map_err(|_| KeyringError::Forged(master_id.clone()))?;
        let bytes = <[u8; 32]>::try_from(key.as_slice())
            .map_err(|_| KeyringError::Forged(master_id.clone()))?;
        Ok(PatientKey::from_bytes(Zeroizing::new(bytes)))
    }

    /// The key that seals, and its id.
    pub(crate) fn sealing(&self) -> (&[u8; 32], &str) {
        (&self.first.key, &self.first.id)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`KeyringError::UnknownMaster`].
    pub(crate) fn opening(&self, id: &str) -> Result<&[u8; 32], KeyringError> {
        let found = self.masters().find(|master| master.id == id);
        found
            .map(|master| &*master.key)
            .ok_or_else(|| KeyringError::UnknownMaster(id.to_owned()))
    }

    fn masters(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

/// ```text
/// "meditrustal patient key 2" ‖ id 16 ‖ patient 16 ‖ created_at 8 ‖ master key id, its text
/// ```
fn associated_data(name: KeyName, master: &str) -> Vec<u8> {
    [
        b"meditrustal patient key 2".as_slice(),
        name.id.0.as_bytes(),
        name.patient.0.as_bytes(),
        &name.created_at.timestamp_micros().to_be_bytes(),
        master.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use uuid::Uuid;

    use super::*;

    const NAME: KeyName = KeyName {
        id: PatientKeyId(Uuid::from_u128(1)),
        patient: UserId(Uuid::from_u128(2)),
        created_at: DateTime::UNIX_EPOCH,
    };

    #[test]
    fn a_patient_key_survives_a_new_master_key_in_front() {
        let old = Keyring::generate("old");
        let (key, wrapped) = Keyring::parse(&old).unwrap().new_patient_key(NAME);

        let line =
            |text: &str| text[text.find('[').unwrap() + 1..text.rfind(']').unwrap()].to_owned();
        let both = format!(
            "{{\"keys\":[{},{}]}}",
            line(&Keyring::generate("new")),
            line(&old)
        );
        let keyring = Keyring::parse(&both).unwrap();

        let again = keyring.unwrap_patient_key(NAME, &wrapped).unwrap();
        assert_eq!(again.as_bytes(), key.as_bytes());
        assert_eq!(keyring.new_patient_key(NAME).1.master_key_id, "new");
    }

    #[test]
    fn a_wrapped_key_moved_to_another_row_does_not_unwrap() {
        let keyring = Keyring::parse(&Keyring::generate("m")).unwrap();
        let (_, wrapped) = keyring.new_patient_key(NAME);
        for other in [
            KeyName {
                id: PatientKeyId(Uuid::from_u128(3)),
                ..NAME
            },
            KeyName {
                patient: UserId(Uuid::from_u128(3)),
                ..NAME
            },
            KeyName {
                created_at: NAME.created_at + chrono::TimeDelta::microseconds(1),
                ..NAME
            },
        ] {
            assert!(
                matches!(
                    keyring.unwrap_patient_key(other, &wrapped),
                    Err(KeyringError::Forged(_))
                ),
                "{other:?}"
            );
        }
        let lost = WrappedKey {
            master_key_id: "gone".into(),
            ..wrapped
        };
        assert!(matches!(
            keyring.unwrap_patient_key(NAME, &lost),
            Err(KeyringError::UnknownMaster(_))
        ));
    }

    #[test]
    fn a_malformed_file_is_refused_and_never_printed() {
        for wrong in [
            "",
            "{}",
            "{\"keys\":[]}",
            "{\"keys\":[{\"id\":\"a\",\"key\":\"12\"}]}",
        ] {
            assert!(
                matches!(Keyring::parse(wrong), Err(KeyringError::Malformed)),
                "{wrong}"
            );
        }
        let keyring = Keyring::parse(&Keyring::generate("m")).unwrap();
        assert_eq!(format!("{keyring:?}"), "[\"m\"]");
    }
}
