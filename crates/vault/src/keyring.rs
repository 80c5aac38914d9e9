//! The keyring: the master keys, which wrap one key per patient and the secrets of second factors
//! ([`crate::second_factor`]), and nothing else.
//!
//! They lie in a file, or in a PKCS#11 token that a file names ([`crate::pkcs11`]), and whoever holds a [`Keyring`] cannot tell: it
//! wraps and unwraps 32 bytes by the id of a master key, many at once, and is awaited. A token that gives no answer is
//! [`KeysUnavailable`], which says nothing of what was asked about; so is a key that the file may name, while the file cannot be used.
//! A rotation puts a key in front ([`Keyring::add`]) and re-wraps patients' keys ([`Keyring::rewrap`]), never records:
//! so keys move from a file into a token, and back.
//!
//! The file may change while programs run: before something is wrapped, and when a master key is met
//! that is not known, it is looked at again. So a new key in front needs no restart. It wraps as soon as
//! its check value is in the database ([`Keyring::accept`]); until then the one behind it does. A file
//! that names another key by an id that is known is not taken.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use domain::{
    ids::{PatientKeyId, UserId},
    stored::StoredKey,
};
use tokio::{sync::Semaphore, task::spawn_blocking};
use zeroize::Zeroizing;

use crate::{
    envelope::PatientKey,
    key_check::KeyCheck,
    keyfile::{self, KeyFileDraft, KeyFileError, Stamp},
    masters::{self, Masters},
    pkcs11::{BoundedWait, Pkcs11Error, Pkcs11Settings, Pkcs11Token},
    random,
    seal::SealKey,
};

/// How many threads wait for a token at once.
static TOKEN_CALLS: Semaphore = Semaphore::const_new(8);
/// How long is waited for a token where nothing can be awaited, when a key of it is met for the first time.
const NEW_KEY_WITHIN: Duration = Duration::from_secs(2);

/// Why nothing can be said of a wrapped key: it is neither right nor wrong.
#[derive(Debug, thiserror::Error)]
pub enum KeysUnavailable {
    /// The token that holds a master key gives no answer.
    #[error("the token that holds the master keys gives no answer")]
    Token(#[source] Pkcs11Error),
    /// A master key is not known, and the file that may name it cannot be used now.
    #[error("a master key is needed that is not known, and the file of them cannot be used")]
    File(#[source] Box<KeyringError>),
}

/// Why the keyring cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not what [`Keyring::generate`] writes.
    #[error(
        "the master key file is not {{\"keys\":[{{\"id\":…,\"key\":<64 hex digits>}}]}} with an id for each; one inside a PKCS#11 \
         token has \"label\" and \"secret\" instead of \"key\""
    )]
    Malformed,
    /// A key or a secret is wrapped by a master key that is not in the file.
    #[error("master key {0:?} is not in the key file")]
    UnknownMaster(String),
    /// The first key wraps: it cannot be taken away.
    #[error("master key {0:?} is the first one and wraps new keys: add another before it")]
    InUse(String),
    /// A wrapped key or secret was changed or moved.
    #[error("a key or a secret does not unwrap under master key {0:?}")]
    Forged(String),
    /// An id that is known names another key now.
    #[error(
        "master key {0:?} is not the key that was used under this id before: put the right key file back"
    )]
    OtherKey(String),
    /// A key that the database does not know yet wraps nothing.
    #[error("master key {0:?} has not been compared with the database yet")]
    Unchecked(String),
    /// The key was destroyed, and with it what it had sealed.
    #[error("the patient key was destroyed")]
    Destroyed,
    /// A token cannot be used.
    #[error(transparent)]
    Token(#[from] Pkcs11Error),
    /// A key is inside a token, and nothing says where that is.
    #[error(
        "master key {0:?} is inside a PKCS#11 token: say where that is (MEDITRUSTAL_PKCS11_MODULE, MEDITRUSTAL_PKCS11_TOKEN, \
         MEDITRUSTAL_PKCS11_PIN_FILE)"
    )]
    NoTokenSettings(String),
    /// The token has not the key that the file names, or another one under its label.
    #[error(
        "master key {id:?} is not the key {label:?} of this PKCS#11 token: is it the right token, and the right key file?"
    )]
    NotOfToken {
        /// The master key.
        id: String,
        /// Its label in the token.
        label: String,
        /// What the token said.
        #[source]
        source: Box<Pkcs11Error>,
    },
    /// Somebody else changed the file meanwhile.
    #[error(
        "the master key file was changed meanwhile, and is left so: run the command again; where a token was asked, with the same label"
    )]
    FileChanged,
    /// Another master key of the file has this label in the token.
    #[error("the key {0:?} of the token is a master key already: give the new one another label")]
    LabelTaken(String),
    /// Nothing can be said of what was asked about.
    #[error(transparent)]
    Unavailable(#[from] KeysUnavailable),
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

impl KeyName {
    pub(crate) const fn of(stored: &StoredKey) -> Self {
        Self {
            id: stored.id,
            patient: stored.patient,
            created_at: stored.created_at,
        }
    }
}

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The wrapped bytes.
    pub bytes: Vec<u8>,
    /// The master key that wraps them.
    pub master_key_id: String,
}

struct Held {
    masters: Arc<Masters>,
    stamp: Stamp,
}

/// The master keys. Wiped when dropped; prints their ids alone.
pub struct Keyring {
    source: Arc<KeySource>,
    bounded_wait: BoundedWait,
}

/// The file and the token, and what was read of them.
struct KeySource {
    path: PathBuf,
    token: Option<Arc<Pkcs11Token>>,
    held: Mutex<Held>,
    /// Held by whoever reads the file, and asks the token, which may take its time: what is held can be used meanwhile.
    reading: Mutex<()>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held().masters.fmt(f)
    }
}

impl Keyring {
    /// Reads the key file. It names no key inside a token.
    ///
    /// # Errors
    /// [`KeyringError`] where it is missing, malformed or readable by others.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        Self::load_with(path, None)
    }

    /// Reads the key file, and finds in the token the keys that are inside it. Blocks while the token is asked.
    ///
    /// # Errors
    /// As [`Keyring::load`]; and where the token, or a key inside it, cannot be used.
    pub fn load_with(path: &Path, token: Option<&Pkcs11Settings>) -> Result<Self, KeyringError> {
        let token = token.map(Pkcs11Token::open).transpose()?;
        let held = read(path, token.as_ref(), None)?;
        Ok(Self::of(path.to_owned(), token, held))
    }

    /// The text of a new key file with one fresh key.
    pub fn generate(id: &str) -> Zeroizing<String> {
        masters::generate(id)
    }

    /// The text of a new key file with one key inside a token: the one with this label, which is made where there is none.
    ///
    /// # Errors
    /// [`KeyringError::Token`].
    pub fn generate_in(
        token: &Pkcs11Settings,
        id: &str,
        label: &str,
    ) -> Result<Zeroizing<String>, KeyringError> {
        masters::generate_in(&Pkcs11Token::open(token)?, id, label)
    }

    /// Puts a fresh key in front of a key file, in one step: whoever reads it sees the old file or the
    /// new one.
    ///
    /// # Errors
    /// [`KeyringError`]; then the file is as it was.
    pub fn add(path: &Path, id: &str) -> Result<(), KeyringError> {
        let before = keyfile::read(path)?;
        let text = masters::with_new_first(&before, id, None)?;
        Ok(draft(path, &before, &text)?.place()?)
    }

    /// The same with a key inside a token: the one with this label, which is made where there is none.
    ///
    /// # Errors
    /// [`KeyringError`]; then the file is as it was.
    pub fn add_in(
        path: &Path,
        token: &Pkcs11Settings,
        id: &str,
        label: &str,
    ) -> Result<(), KeyringError> {
        let before = keyfile::read(path)?;
        let token = Pkcs11Token::open(token)?;
        let text = masters::with_new_first(&before, id, Some((&token, label)))?;
        Ok(draft(path, &before, &text)?.place()?)
    }

    /// Refuses what [`Keyring::add`] and [`Keyring::add_in`] would refuse of the file, and changes nothing; no token is asked.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn try_add(path: &Path, id: &str, label: Option<&str>) -> Result<(), KeyringError> {
        masters::require_new(&keyfile::read(path)?, id, label)
    }

    /// Begins to take an older key out of a key file; [`KeyRemoval::finish`] does it, in one step. What it wraps is lost then.
    /// Nobody else replaces the file meanwhile.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn remove(path: &Path, id: &str) -> Result<KeyRemoval, KeyringError> {
        let before = keyfile::read(path)?;
        let text = masters::without(&before, id)?;
        Ok(KeyRemoval(draft(path, &before, &text)?))
    }

    /// By what the keys of the file, as it is now, are recognised; `None` where all of them are compared
    /// with the database already.
    ///
    /// # Errors
    /// [`KeyringError`] where the file changed and cannot be used.
    pub fn unchecked(&self) -> Result<Option<Vec<KeyCheck>>, KeyringError> {
        let masters = self.newest_soon()?;
        Ok((!masters.are_checked()).then(|| masters.checks()))
    }

    /// Lets keys be used that the database knows by these values.
    pub fn accept(&self, known: &[KeyCheck]) {
        let masters = Arc::clone(&self.held().masters);
        for check in known {
            masters.accept(check);
        }
    }

    /// The ids of the master keys, the one that wraps first.
    pub fn ids(&self) -> Vec<String> {
        self.held().masters.ids().map(str::to_owned).collect()
    }

    /// Asks the tokens that hold master keys whether they work. Nothing is asked where there are none.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub async fn require_answer(&self) -> Result<(), KeysUnavailable> {
        let masters = Arc::clone(&self.held().masters);
        if !masters.have_token() {
            return Ok(());
        }
        wait_for_token(move || masters.require_answer()).await?
    }

    /// Fresh keys for patients, wrapped under the newest master key.
    ///
    /// # Errors
    /// [`KeyringError`] where the file changed and cannot be used.
    pub async fn new_patient_keys(
        &self,
        names: &[KeyName],
    ) -> Result<Vec<StoredKey>, KeyringError> {
        let masters = self.newest().await?;
        let waits = masters.wraps_in_token();
        let names = names.to_vec();
        let make = move || -> Result<Vec<StoredKey>, KeyringError> {
            let wrap = |name: &KeyName| {
                let key = PatientKey::from_bytes(Zeroizing::new(random::bytes()));
                masters.wrap(*name, &key)
            };
            names.iter().map(wrap).collect()
        };
        if waits {
            wait_for_token(make).await?
        } else {
            make()
        }
    }

    /// Unwraps patients' keys, each by the master key that it names.
    ///
    /// # Errors
    /// [`KeysUnavailable`]; and in each place [`KeyringError`], where the master key is missing or the row was changed.
    pub async fn unwrap(
        &self,
        stored: &[&StoredKey],
    ) -> Result<Vec<Result<PatientKey, KeyringError>>, KeysUnavailable> {
        let mut masters = Arc::clone(&self.held().masters);
        if stored
            .iter()
            .any(|key| key.wrapped_key.is_some() && !masters.knows(&key.master_key_id))
        {
            // A row that names nonsense costs a look at the file, and no reading of it.
            let newest = self.newest().await;
            masters = newest.map_err(|error| KeysUnavailable::File(Box::new(error)))?;
        }
        if !masters.must_be_asked(stored.iter().copied()) {
            return answered(stored.iter().map(|key| masters.unwrap(key)));
        }
        let stored: Vec<StoredKey> = stored.iter().copied().cloned().collect();
        wait_for_token(move || answered(stored.iter().map(|key| masters.unwrap(key)))).await?
    }

    /// Wraps keys anew, under the newest master key.
    ///
    /// # Errors
    /// [`KeyringError`]; and in each place, where it does not unwrap.
    pub async fn rewrap(
        &self,
        stored: &[StoredKey],
    ) -> Result<Vec<Result<StoredKey, KeyringError>>, KeyringError> {
        let masters = self.newest().await?;
        let waits = masters.wraps_in_token() || masters.must_be_asked(stored);
        let stored = stored.to_vec();
        let rewrap = move || {
            answered(stored.iter().map(|key| {
                masters
                    .unwrap(key)
                    .and_then(|plain| masters.wrap(KeyName::of(key), &plain))
            }))
        };
        let rewrapped = if waits {
            wait_for_token(rewrap).await?
        } else {
            rewrap()
        };
        Ok(rewrapped?)
    }

    /// Seals a secret under the newest master key; `aad` makes the associated data of that key's id.
    ///
    /// # Errors
    /// [`KeyringError::Unchecked`] where no key was compared with the database.
    pub(crate) fn seal(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        secret: &[u8],
    ) -> Result<WrappedKey, KeyringError> {
        // A file that cannot be used just now leaves us with what we have.
        let newest = self.newest_soon();
        let masters = newest.unwrap_or_else(|_| Arc::clone(&self.held().masters));
        masters.seal(aad, secret)
    }

    /// Opens what [`Keyring::seal`] sealed.
    ///
    /// # Errors
    /// [`KeyringError`] where its master key is missing or it was changed or moved.
    pub(crate) fn open(
        &self,
        aad: impl Fn(&str) -> Vec<u8>,
        sealed: &WrappedKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let mut masters = Arc::clone(&self.held().masters);
        if !masters.knows(&sealed.master_key_id) {
            masters = self.newest_soon().unwrap_or(masters);
        }
        masters.open(aad, sealed)
    }

    /// Works with the key that seals rows now, and its id.
    ///
    /// # Errors
    /// [`KeyringError::Unchecked`] where no key was compared with the database.
    pub(crate) fn with_seal_key<R>(
        &self,
        work: impl FnOnce(&str, &SealKey) -> R,
    ) -> Result<R, KeyringError> {
        let newest = self.newest_soon();
        let masters = newest.unwrap_or_else(|_| Arc::clone(&self.held().masters));
        let (id, key) = masters.sealing()?;
        Ok(work(id, key))
    }

    /// Works with the key that rows were sealed by under this id, if the file has it.
    pub(crate) fn seal_key_of<R>(&self, id: &str, work: impl FnOnce(&SealKey) -> R) -> Option<R> {
        let mut masters = Arc::clone(&self.held().masters);
        if !masters.knows(id) {
            masters = self.newest_soon().unwrap_or(masters);
        }
        masters.seal_key(id).map(work)
    }

    /// A keyring without a file.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Self, KeyringError> {
        let masters = Masters::read(text, None, None)?;
        let held = Held {
            masters: Arc::new(masters),
            stamp: Stamp::default(),
        };
        let keyring = Self::of(PathBuf::new(), None, held);
        keyring.accept_all();
        Ok(keyring)
    }

    /// As if the database knew every key.
    #[cfg(test)]
    pub(crate) fn accept_all(&self) {
        let checks = self.held().masters.checks();
        self.accept(&checks);
    }

    fn of(path: PathBuf, token: Option<Arc<Pkcs11Token>>, held: Held) -> Self {
        let source = KeySource {
            path,
            token,
            held: Mutex::new(held),
            reading: Mutex::default(),
        };
        Self {
            source: Arc::new(source),
            bounded_wait: BoundedWait::default(),
        }
    }

    /// The keys of the file as it is now; it is read where it is another one than before.
    async fn newest(&self) -> Result<Arc<Masters>, KeyringError> {
        if !self.source.may_ask_token()? {
            return self.source.newest();
        }
        let source = Arc::clone(&self.source);
        wait_for_token(move || source.newest()).await?
    }

    /// The same where nothing can be awaited: this thread may have others to serve, and a transaction may be open.
    fn newest_soon(&self) -> Result<Arc<Masters>, KeyringError> {
        if !self.source.may_ask_token()? {
            return self.source.newest();
        }
        let source = Arc::clone(&self.source);
        let newest = self
            .bounded_wait
            .wait(NEW_KEY_WITHIN, move || source.newest());
        newest.unwrap_or_else(|| Err(KeysUnavailable::Token(Pkcs11Error::Late).into()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.source.held()
    }
}

/// A master key that is about to be taken out of its file: the file without it is on the disk. It stays in where this is dropped.
#[derive(Debug)]
#[must_use]
pub struct KeyRemoval(KeyFileDraft);

impl KeyRemoval {
    /// Takes it out.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn finish(self) -> Result<(), KeyringError> {
        Ok(self.0.place()?)
    }
}

impl KeySource {
    /// Whether the file is another one than before.
    fn has_changed(&self) -> Result<bool, KeyringError> {
        Ok(keyfile::stamp(&self.path)? != self.held().stamp)
    }

    /// Whether a token may have to be asked for the keys of the file as it is now.
    fn may_ask_token(&self) -> Result<bool, KeyringError> {
        Ok(self.token.is_some() && self.has_changed()?)
    }

    /// The keys of the file as it is now. Blocks while a token is asked for those that are new.
    fn newest(&self) -> Result<Arc<Masters>, KeyringError> {
        if !self.has_changed()? {
            return Ok(Arc::clone(&self.held().masters));
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_changed()? {
            return Ok(Arc::clone(&self.held().masters));
        }
        let before = Arc::clone(&self.held().masters);
        let newest = read(&self.path, self.token.as_ref(), Some(&*before))?;
        let mut held = self.held();
        newest.masters.take_over(&held.masters)?;
        *held = newest;
        Ok(Arc::clone(&held.masters))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What is held is replaced as a whole, so a panic elsewhere leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is of each, unless a token gave no answer.
fn answered<T>(
    all: impl Iterator<Item = Result<T, KeyringError>>,
) -> Result<Vec<Result<T, KeyringError>>, KeysUnavailable> {
    all.map(|one| match one {
        Err(KeyringError::Unavailable(why)) => Err(why),
        other => Ok(other),
    })
    .collect()
}

/// Does what asks a token on a thread that may wait.
async fn wait_for_token<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, KeysUnavailable> {
    let interrupted = || KeysUnavailable::Token(Pkcs11Error::Interrupted);
    let permit = TOKEN_CALLS.acquire().await.map_err(|_| interrupted())?;
    let asked = spawn_blocking(move || {
        let done = work();
        // Until then, also where nobody waits for it any more.
        drop(permit);
        done
    });
    asked.await.map_err(|_| interrupted())
}

/// What the file is to say instead of what was read. A key that somebody else put there since may wrap something already.
fn draft(path: &Path, before: &str, text: &str) -> Result<KeyFileDraft, KeyringError> {
    let draft = KeyFileDraft::write(path, text)?;
    if keyfile::read(path)?.as_str() != before {
        return Err(KeyringError::FileChanged);
    }
    Ok(draft)
}

/// The file as it is, with its keys: of the token those alone that are not held already.
fn read(
    path: &Path,
    token: Option<&Arc<Pkcs11Token>>,
    held: Option<&Masters>,
) -> Result<Held, KeyringError> {
    // The stamp first: a file that is replaced in between is read once more, not once too few.
    let stamp = keyfile::stamp(path)?;
    let text = keyfile::read(path)?;
    Ok(Held {
        masters: Arc::new(Masters::read(&text, token, held)?),
        stamp,
    })
}

#[cfg(test)]
mod tests;
