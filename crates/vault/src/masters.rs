//! The master keys themselves, in memory, and the text of the file they come from.
//!
//! The file is JSON: `{"keys":[{"id":"2026-11","key":"<64 hex digits>"}, …]}`. The first key wraps, all
//! of them unwrap.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use domain::{records::DataHash, stored::StoredKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    envelope::{self, PatientKey},
    key_check::{CheckValue, KeyCheck},
    keyring::{KeyName, KeyringError, WrappedKey},
    random,
    seal::SealKey,
};

/// The longest name of a master key: `patient_keys.master_key_id` takes no more. Unit: bytes.
const MAX_ID: usize = 64;

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

struct Master {
    id: String,
    key: Zeroizing<[u8; 32]>,
    check: CheckValue,
    seal_key: SealKey,
    /// Whether the database knows this key by this id. It wraps nothing before.
    is_checked: AtomicBool,
}

impl Master {
    fn new(id: String, key: Zeroizing<[u8; 32]>) -> Self {
        Self {
            check: CheckValue(*derived(&id, &key, b"meditrustal master key check 1")),
            seal_key: SealKey::new(derived(&id, &key, b"meditrustal row seal 1")),
            id,
            key,
            is_checked: AtomicBool::new(false),
        }
    }
}

/// ```text
/// HKDF-SHA-256(master key, no salt, label ‖ master key id), 32 bytes
/// ```
fn derived(id: &str, key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut value = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, key)
        .expand_multi_info(&[label, id.as_bytes()], value.as_mut_slice())
        .expect("32 bytes are no more than HKDF gives");
    value
}

/// The master keys. Wiped when dropped; prints their ids alone.
pub(crate) struct Masters {
    first: Master,
    older: Vec<Master>,
}

impl fmt::Debug for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Masters {
    /// Reads the text of a key file.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyringError> {
        let file = read(text)?;
        let mut masters = file.keys.iter().map(|line| {
            let key = DataHash::parse(&line.key)
                .map(|bytes| Zeroizing::new(bytes.0))
                .map_err(|_| KeyringError::Malformed)?;
            Ok(Master::new(line.id.clone(), key))
        });
        let first = masters.next().ok_or(KeyringError::Malformed)??;
        let older = masters.collect::<Result<Vec<_>, KeyringError>>()?;
        let masters = Self { first, older };
        let mut ids: Vec<&str> = masters.ids().collect();
        ids.sort_unstable();
        ids.dedup();
        let named = ids.iter().all(|id| !id.is_empty() && id.len() <= MAX_ID);
        if !named || ids.len() != 1 + masters.older.len() {
            return Err(KeyringError::Malformed);
        }
        Ok(masters)
    }

    /// Their ids, the one that wraps first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|master| master.id.as_str())
    }

    /// By what each is recognised.
    pub(crate) fn checks(&self) -> Vec<KeyCheck> {
        let check = |master: &Master| KeyCheck {
            id: master.id.clone(),
            value: master.check,
        };
        self.all().map(check).collect()
    }

    /// Whether the database knows each of them.
    pub(crate) fn are_checked(&self) -> bool {
        self.all()
            .all(|master| master.is_checked.load(Ordering::Acquire))
    }

    /// Lets a key be used that the database knows by this value.
    pub(crate) fn accept(&self, known: &KeyCheck) {
        let same = |master: &&Master| master.id == known.id && master.check == known.value;
        if let Some(master) = self.all().find(same) {
            master.is_checked.store(true, Ordering::Release);
        }
    }

    /// Takes over what was checked of an older set.
    ///
    /// # Errors
    /// [`KeyringError::OtherKey`] where an id that was checked names other bytes now.
    pub(crate) fn take_over(&self, older: &Self) -> Result<(), KeyringError> {
        for known in older.checked() {
            match self.all().find(|master| master.id == known.id) {
                Some(same) if same.check == known.check => {
                    same.is_checked.store(true, Ordering::Release);
                }
                Some(other) => return Err(KeyringError::OtherKey(other.id.clone())),
                None => {}
            }
        }
        Ok(())
    }

    fn checked(&self) -> impl Iterator<Item = &Master> {
        self.all()
            .filter(|master| master.is_checked.load(Ordering::Acquire))
    }

    /// The one that wraps: the first that is checked.
    fn wrapping(&self) -> Result<&Master, KeyringError> {
        let checked = self.checked().next();
        checked.ok_or_else(|| KeyringError::Unchecked(self.first.id.clone()))
    }

    /// The key that seals rows now, with its id.
    pub(crate) fn sealing(&self) -> Result<(&str, &SealKey), KeyringError> {
        let master = self.wrapping()?;
        Ok((&master.id, &master.seal_key))
    }

    /// The key that rows were sealed by under this id.
    pub(crate) fn seal_key(&self, id: &str) -> Option<&SealKey> {
        let master = self.all().find(|master| master.id == id)?;
        Some(&master.seal_key)
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.ids().any(|known| known == id)
    }

    /// Wraps a key under the first master key that is checked.
    pub(crate) fn wrap(&self, name: KeyName, key: &PatientKey) -> Result<StoredKey, KeyringError> {
        let wrapped = self.seal(|master| associated_data(name, master), key.as_bytes())?;
        Ok(StoredKey {
            id: name.id,
            patient: name.patient,
            wrapped_key: Some(wrapped.bytes),
            master_key_id: wrapped.master_key_id,
            created_at: name.created_at,
            destroyed_at: None,
        })
    }

    /// Unwraps a key.
    pub(crate) fn unwrap(&self, stored: &StoredKey) -> Result<PatientKey, KeyringError> {
        let wrapped = WrappedKey {
            bytes: stored.wrapped_key.clone().ok_or(KeyringError::Destroyed)?,
            master_key_id: stored.master_key_id.clone(),
        };
        let name = KeyName::of(stored);
        let bytes = self.open(|master| associated_data(name, master), &wrapped)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| KeyringError::Forged(wrapped.master_key_id))?;
        Ok(PatientKey::from_bytes(Zeroizing::new(bytes)))
    }

    /// Seals a secret under the first master key that is checked.
    pub(crate) fn seal(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        secret: &[u8],
    ) -> Result<WrappedKey, KeyringError> {
        let Master { id, key, .. } = self.wrapping()?;
        Ok(WrappedKey {
            bytes: envelope::wrap(key, &aad(id), secret),
            master_key_id: id.clone(),
        })
    }

    /// Opens a secret by the master key that it names.
    pub(crate) fn open(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        sealed: &WrappedKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let id = &sealed.master_key_id;
        let master = self
            .all()
            .find(|master| master.id == *id)
            .ok_or_else(|| KeyringError::UnknownMaster(id.clone()))?;
        envelope::unwrap(&master.key, &aad(id), &sealed.bytes)
            .map_err(|_| KeyringError::Forged(id.clone()))
    }

    fn all(&self) -> impl Iterator<Item = &Master> {
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

fn read(text: &str) -> Result<KeyFile, KeyringError> {
    serde_json::from_str(text).map_err(|_| KeyringError::Malformed)
}

fn write(file: &KeyFile) -> Zeroizing<String> {
    let text = serde_json::to_string_pretty(file);
    Zeroizing::new(text.expect("strings always serialise"))
}

fn fresh(id: &str) -> KeyLine {
    KeyLine {
        id: id.to_owned(),
        key: random::hex::<32>(),
    }
}

/// The text of a key file with one fresh key.
pub(crate) fn generate(id: &str) -> Zeroizing<String> {
    let keys = vec![fresh(id)];
    write(&KeyFile { keys })
}

/// The text of a key file with a fresh key in front.
pub(crate) fn with_new_first(text: &str, id: &str) -> Result<Zeroizing<String>, KeyringError> {
    let mut file = read(text)?;
    file.keys.insert(0, fresh(id));
    let text = write(&file);
    Masters::parse(&text)?;
    Ok(text)
}

/// The text of a key file without one of its older keys.
pub(crate) fn without(text: &str, id: &str) -> Result<Zeroizing<String>, KeyringError> {
    let mut file = read(text)?;
    let place = file.keys.iter().position(|line| line.id == id);
    match place {
        None => Err(KeyringError::UnknownMaster(id.to_owned())),
        Some(0) => Err(KeyringError::InUse(id.to_owned())),
        Some(place) => {
            file.keys.remove(place);
            Ok(write(&file))
        }
    }
}
