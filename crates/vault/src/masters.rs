//! The master keys themselves, or the way to them, and the text of the file that names them.
//!
//! The file is JSON: `{"keys":[{"id":"2026-11","key":"<64 hex digits>"}, …]}`. The first key wraps, all
//! of them unwrap. A key that is inside a PKCS#11 token ([`crate::pkcs11`]) has a line of another kind:
//! `{"id":"2026-12","label":"<the key's label in the token>","secret":"<hex digits>"}`. Its secret is 32 random bytes,
//! wrapped by the key, and kept in memory once they are unwrapped: what seals rows, by which the key is recognised, and
//! what seals secrets of second factors are derived from it. Patients' keys are wrapped by the key itself, inside the token.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{records::DataHash, stored::StoredKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    digest,
    envelope::{self, PatientKey},
    key_check::{CheckValue, KeyCheck},
    keyring::{KeyName, KeyringError, KeysUnavailable, WrappedKey},
    pkcs11::{KeyInToken, Pkcs11Token, UnwrapError},
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[zeroize(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[zeroize(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What a line says.
enum ReadLine {
    /// The key itself.
    Key(Zeroizing<[u8; 32]>),
    /// Where it is, and what it wrapped.
    InToken { label: String, wrapped: Vec<u8> },
}

impl KeyLine {
    fn read(&self) -> Result<ReadLine, KeyringError> {
        match (&self.key, &self.label, &self.secret) {
            (Some(key), None, None) => DataHash::parse(key)
                .map(|bytes| ReadLine::Key(Zeroizing::new(bytes.0)))
                .map_err(|_| KeyringError::Malformed),
            (None, Some(label), Some(secret)) => Ok(ReadLine::InToken {
                label: label.clone(),
                wrapped: digest::from_hex(secret).ok_or(KeyringError::Malformed)?,
            }),
            _ => Err(KeyringError::Malformed),
        }
    }
}

struct Master {
    id: String,
    /// What seals secrets here; and patients' keys, where no token does.
    key: Zeroizing<[u8; 32]>,
    in_token: Option<KeyInToken>,
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
            in_token: None,
            id,
            key,
            is_checked: AtomicBool::new(false),
        }
    }

    /// One inside a token, by what it wrapped.
    fn of_token(id: String, secret: &Zeroizing<[u8; 32]>, in_token: KeyInToken) -> Self {
        Self {
            check: CheckValue(*derived(&id, secret, b"meditrustal master key check 1")),
            seal_key: SealKey::new(derived(&id, secret, b"meditrustal row seal 1")),
            key: derived(&id, secret, b"meditrustal secrets key 1"),
            in_token: Some(in_token),
            id,
            is_checked: AtomicBool::new(false),
        }
    }

    /// Reads a line. A key that is held already, and is the same, is not asked for again.
    fn open(
        line: &KeyLine,
        token: Option<&Arc<Pkcs11Token>>,
        held: Option<&Masters>,
    ) -> Result<Arc<Self>, KeyringError> {
        let (label, wrapped) = match line.read()? {
            ReadLine::Key(key) => return Ok(Arc::new(Self::new(line.id.clone(), key))),
            ReadLine::InToken { label, wrapped } => (label, wrapped),
        };
        let is_same = |master: &&Arc<Self>| {
            let key = master.in_token.as_ref();
            master.id == line.id && key.is_some_and(|key| key.is(&label, &wrapped))
        };
        if let Some(same) = held.and_then(|held| held.all().find(is_same)) {
            return Ok(Arc::clone(same));
        }
        let token = token.ok_or_else(|| KeyringError::NoTokenSettings(line.id.clone()))?;
        let opened = KeyInToken::open(token, &label, &secret_data(&line.id), &wrapped);
        let (key, secret) = opened.map_err(|source| KeyringError::NotOfToken {
            id: line.id.clone(),
            label: label.clone(),
            source: Box::new(source),
        })?;
        let secret = <[u8; 32]>::try_from(secret.as_slice());
        let secret = Zeroizing::new(secret.map_err(|_| KeyringError::Malformed)?);
        Ok(Arc::new(Self::of_token(line.id.clone(), &secret, key)))
    }

    fn wrap(&self, aad: &[u8], key: &PatientKey) -> Result<Vec<u8>, KeyringError> {
        match &self.in_token {
            None => Ok(envelope::wrap(&self.key, aad, key.as_bytes())),
            Some(token) => token
                .wrap(aad, key.as_bytes())
                .map_err(|why| KeysUnavailable::Token(why).into()),
        }
    }

    fn unwrap(&self, aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let forged = || KeyringError::Forged(self.id.clone());
        match &self.in_token {
            None => envelope::unwrap(&self.key, aad, wrapped).map_err(|_| forged()),
            Some(token) => token.unwrap(aad, wrapped).map_err(|why| match why {
                UnwrapError::Forged => forged(),
                UnwrapError::Unavailable(why) => KeysUnavailable::Token(why).into(),
            }),
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
    first: Arc<Master>,
    older: Vec<Arc<Master>>,
}

impl fmt::Debug for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Masters {
    /// Reads the text of a key file. Keys inside a token are found in this one, but for those that are held already.
    pub(crate) fn read(
        text: &str,
        token: Option<&Arc<Pkcs11Token>>,
        held: Option<&Self>,
    ) -> Result<Self, KeyringError> {
        let file = read(text)?;
        let mut masters = file.keys.iter().map(|line| Master::open(line, token, held));
        let first = masters.next().ok_or(KeyringError::Malformed)??;
        let older = masters.collect::<Result<Vec<_>, KeyringError>>()?;
        Ok(Self { first, older })
    }

    /// Their ids, the one that wraps first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|master| master.id.as_str())
    }

    /// By what each is recognised.
    pub(crate) fn checks(&self) -> Vec<KeyCheck> {
        let check = |master: &Arc<Master>| KeyCheck {
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
        let same = |master: &&Arc<Master>| master.id == known.id && master.check == known.value;
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

    fn checked(&self) -> impl Iterator<Item = &Arc<Master>> {
        self.all()
            .filter(|master| master.is_checked.load(Ordering::Acquire))
    }

    /// The one that wraps: the first that is checked.
    fn wrapping(&self) -> Result<&Arc<Master>, KeyringError> {
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
        Some(&self.find(id)?.seal_key)
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.ids().any(|known| known == id)
    }

    /// Whether the key that wraps now is inside a token: then it has to be waited for.
    pub(crate) fn wraps_in_token(&self) -> bool {
        self.wrapping().is_ok_and(|it| it.in_token.is_some())
    }

    /// Whether a token unwraps any of these: then it has to be waited for.
    pub(crate) fn must_be_asked<'a>(
        &self,
        stored: impl IntoIterator<Item = &'a StoredKey>,
    ) -> bool {
        let is_in_token = |id: &str| self.find(id).is_some_and(|it| it.in_token.is_some());
        stored
            .into_iter()
            .any(|key| key.wrapped_key.is_some() && is_in_token(&key.master_key_id))
    }

    /// Asks each token for something that its key has wrapped.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(crate) fn require_answer(&self) -> Result<(), KeysUnavailable> {
        let mut keys = self.all().filter_map(|master| master.in_token.as_ref());
        keys.try_for_each(|key| key.require_answer().map_err(KeysUnavailable::Token))
    }

    /// Whether any key is inside a token.
    pub(crate) fn have_token(&self) -> bool {
        self.all().any(|master| master.in_token.is_some())
    }

    /// Wraps a key under the first master key that is checked.
    pub(crate) fn wrap(&self, name: KeyName, key: &PatientKey) -> Result<StoredKey, KeyringError> {
        let master = self.wrapping()?;
        let wrapped = master.wrap(&associated_data(name, &master.id), key)?;
        Ok(StoredKey {
            id: name.id,
            patient: name.patient,
            wrapped_key: Some(wrapped),
            master_key_id: master.id.clone(),
            created_at: name.created_at,
            destroyed_at: None,
        })
    }

    /// Unwraps a key.
    pub(crate) fn unwrap(&self, stored: &StoredKey) -> Result<PatientKey, KeyringError> {
        let wrapped = stored.wrapped_key.as_ref();
        let wrapped = wrapped.ok_or(KeyringError::Destroyed)?;
        let master = self.require(&stored.master_key_id)?;
        let name = KeyName::of(stored);
        let bytes = master.unwrap(&associated_data(name, &master.id), wrapped)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| KeyringError::Forged(master.id.clone()))?;
        Ok(PatientKey::from_bytes(Zeroizing::new(bytes)))
    }

    /// Seals a secret under the first master key that is checked.
    pub(crate) fn seal(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        secret: &[u8],
    ) -> Result<WrappedKey, KeyringError> {
        let master = self.wrapping()?;
        Ok(WrappedKey {
            bytes: envelope::wrap(&master.key, &aad(&master.id), secret),
            master_key_id: master.id.clone(),
        })
    }

    /// Opens a secret by the master key that it names.
    pub(crate) fn open(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        sealed: &WrappedKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let master = self.require(&sealed.master_key_id)?;
        envelope::unwrap(&master.key, &aad(&master.id), &sealed.bytes)
            .map_err(|_| KeyringError::Forged(master.id.clone()))
    }

    fn find(&self, id: &str) -> Option<&Arc<Master>> {
        self.all().find(|master| master.id == id)
    }

    fn require(&self, id: &str) -> Result<&Arc<Master>, KeyringError> {
        self.find(id)
            .ok_or_else(|| KeyringError::UnknownMaster(id.to_owned()))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Master>> {
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

/// ```text
/// "meditrustal master secret 1" ‖ master key id, its text
/// ```
fn secret_data(master: &str) -> Vec<u8> {
    [b"meditrustal master secret 1".as_slice(), master.as_bytes()].concat()
}

/// The file, if its text is one. No token is asked.
fn read(text: &str) -> Result<KeyFile, KeyringError> {
    let file: KeyFile = serde_json::from_str(text).map_err(|_| KeyringError::Malformed)?;
    let mut ids: Vec<&str> = file.keys.iter().map(|line| line.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let named = ids.iter().all(|id| !id.is_empty() && id.len() <= MAX_ID);
    if !named || ids.is_empty() || ids.len() != file.keys.len() {
        return Err(KeyringError::Malformed);
    }
    for line in &file.keys {
        line.read()?;
    }
    Ok(file)
}

fn write(file: &KeyFile) -> Zeroizing<String> {
    let text = serde_json::to_string_pretty(file);
    Zeroizing::new(text.expect("strings always serialise"))
}

fn fresh(id: &str) -> KeyLine {
    KeyLine {
        id: id.to_owned(),
        key: Some(random::hex::<32>()),
        label: None,
        secret: None,
    }
}

/// A line of a key inside a token; which is made, where it has none with this label.
fn fresh_in(token: &Arc<Pkcs11Token>, id: &str, label: &str) -> Result<KeyLine, KeyringError> {
    let secret = Zeroizing::new(random::bytes::<32>());
    let wrapped = KeyInToken::establish(token, label, &secret_data(id), secret.as_slice())?;
    Ok(KeyLine {
        id: id.to_owned(),
        key: None,
        label: Some(label.to_owned()),
        secret: Some(digest::to_hex(&wrapped)),
    })
}

/// The text of a key file with one fresh key.
pub(crate) fn generate(id: &str) -> Zeroizing<String> {
    let keys = vec![fresh(id)];
    write(&KeyFile { keys })
}

/// The text of a key file with one key inside a token.
pub(crate) fn generate_in(
    token: &Arc<Pkcs11Token>,
    id: &str,
    label: &str,
) -> Result<Zeroizing<String>, KeyringError> {
    let keys = vec![fresh_in(token, id, label)?];
    Ok(write(&KeyFile { keys }))
}

/// The text of a key file with a fresh key in front; inside this token, under this label, where one is given.
pub(crate) fn with_new_first(
    text: &str,
    id: &str,
    place: Option<(&Arc<Pkcs11Token>, &str)>,
) -> Result<Zeroizing<String>, KeyringError> {
    let mut file = read(text)?;
    file.keys.insert(0, fresh(id));
    // Before a key is made in a token.
    read(&write(&file))?;
    if let Some((token, label)) = place {
        let is_taken = |line: &KeyLine| line.label.as_deref() == Some(label);
        if file.keys.iter().any(is_taken) {
            return Err(KeyringError::LabelTaken(label.to_owned()));
        }
        file.keys[0] = fresh_in(token, id, label)?;
    }
    Ok(write(&file))
}

/// Refuses an id and a label that cannot be those of a new key of this file.
pub(crate) fn require_new(text: &str, id: &str, label: Option<&str>) -> Result<(), KeyringError> {
    let mut file = read(text)?;
    let is_taken = |line: &KeyLine| label.is_some() && line.label.as_deref() == label;
    if file.keys.iter().any(is_taken) {
        return Err(KeyringError::LabelTaken(
            label.unwrap_or_default().to_owned(),
        ));
    }
    file.keys.insert(0, fresh(id));
    read(&write(&file))?;
    Ok(())
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
