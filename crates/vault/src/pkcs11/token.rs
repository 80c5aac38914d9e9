//! The token itself: one for each library of a process, with its sessions.
//!
//! A library keeps what it knows for the whole process, and is closed for the whole process: so it is loaded once, and stays. Calls
//! go on side by side, each in a session of its own; while it is begun anew with the library nobody else calls it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as CallError, RvError},
    mechanism::{Mechanism, MechanismType},
    object::Attribute,
    session::{Session, UserType},
    slot::Slot,
    types::{AuthPin, Ulong},
};
use zeroize::Zeroizing;

use super::{FORMAT, Pkcs11Error, Pkcs11Settings, WantedToken, session::TokenSession};
use crate::{
    envelope::NONCE_LEN,
    keyfile::{self, KeyFileError},
    random,
};

/// How long nobody begins anew with a library after somebody did.
const ANEW_AFTER: Duration = Duration::from_secs(5);
/// Unit: bytes.
const KEY_LEN: Ulong = Ulong::new(32);

/// The tokens of this process. None is ever given up: a library that is unloaded while it works takes the process with it.
static TOKENS: Mutex<Vec<Arc<Pkcs11Token>>> = Mutex::new(Vec::new());

/// A token that lets us in.
pub(crate) struct Pkcs11Token {
    settings: Pkcs11Settings,
    pin: AuthPin,
    pin_is_refused: AtomicBool,
    library: Pkcs11,
    /// Read by whoever calls the library, written by whoever begins anew with it.
    place: RwLock<TokenPlace>,
    idle: Mutex<Vec<TokenSession>>,
}

struct TokenPlace {
    slot: Slot,
    begun_at: Instant,
}

impl Pkcs11Token {
    /// Loads the library, finds the token, and logs in; once for each library.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(crate) fn open(settings: &Pkcs11Settings) -> Result<Arc<Self>, Pkcs11Error> {
        let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_the_library = |it: &&Arc<Self>| it.settings.module == settings.module;
        if let Some(token) = tokens.iter().find(is_of_the_library) {
            return if token.settings == *settings {
                Ok(Arc::clone(token))
            } else {
                Err(Pkcs11Error::OtherToken)
            };
        }
        let pin = read_pin(&settings.pin_file)?;
        let no_module = |source| Pkcs11Error::NoModule {
            path: settings.module.display().to_string(),
            source,
        };
        let library = Pkcs11::new(&settings.module).map_err(no_module)?;
        initialize(&library).map_err(no_module)?;
        let token = Self::begin(settings, &library, pin).inspect_err(|_| {
            // It is not used: it need not be told whether that succeeded.
            library.clone().finalize().ok();
        })?;
        let token = Arc::new(token);
        tokens.push(Arc::clone(&token));
        Ok(token)
    }

    fn begin(
        settings: &Pkcs11Settings,
        library: &Pkcs11,
        pin: AuthPin,
    ) -> Result<Self, Pkcs11Error> {
        let slot = find_slot(library, &settings.token)?;
        let info = library.get_token_info(slot);
        let info = info.map_err(Pkcs11Error::Failed)?;
        // Whoever starts a program again and again must not lock the token.
        if info.user_pin_locked() || info.user_pin_final_try() {
            return Err(Pkcs11Error::LastTry);
        }
        let mechanisms = library.get_mechanism_list(slot);
        let mechanisms = mechanisms.map_err(Pkcs11Error::Failed)?;
        if !mechanisms.contains(&MechanismType::AES_GCM) {
            return Err(Pkcs11Error::NoMechanism);
        }
        let token = Self {
            settings: settings.clone(),
            pin,
            pin_is_refused: AtomicBool::new(false),
            library: library.clone(),
            place: RwLock::new(TokenPlace {
                slot,
                begun_at: Instant::now(),
            }),
            idle: Mutex::default(),
        };
        token.with_session(|_| Ok(()))?;
        Ok(token)
    }

    /// Refuses a label that not exactly one AES key has.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(super) fn require_key(&self, label: &str) -> Result<(), Pkcs11Error> {
        self.with_session(|session| session.key(label).map(drop))
    }

    /// Refuses the key with this label where it can be taken out of the token.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(super) fn require_guarded(&self, label: &str) -> Result<(), Pkcs11Error> {
        if self.with_session(|session| session.is_guarded(label))? {
            Ok(())
        } else {
            Err(Pkcs11Error::ExposedKey(label.to_owned()))
        }
    }

    /// Makes an AES key of 256 bits that never leaves the token.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(super) fn make_key(&self, label: &str) -> Result<(), Pkcs11Error> {
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            // Who may wrap and decrypt with one key takes others out of the token by it.
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::ValueLen(KEY_LEN),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(label.as_bytes().to_vec()),
        ];
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        let session = self.library.open_rw_session(place.slot);
        let session = session.map_err(Pkcs11Error::Failed)?;
        self.log_in(&session)?;
        session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map(drop)
            .map_err(Pkcs11Error::Failed)
    }

    /// Wraps by the key with this label.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(super) fn wrap(
        &self,
        label: &str,
        associated_data: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        self.with_session(|session| {
            let key = session.key(label)?;
            let wrap = |nonce| session.wrap(key, nonce, associated_data, secret);
            match wrap(random::bytes()) {
                // There are tokens that make nonces themselves, and want twelve zeros in their place.
                Err(CallError::Pkcs11(
                    RvError::MechanismParamInvalid | RvError::ArgumentsBad,
                    _,
                )) => {
                    let (nonce, sealed) = wrap([0; NONCE_LEN]).map_err(Pkcs11Error::Failed)?;
                    if nonce == [0; NONCE_LEN] {
                        return Err(Pkcs11Error::NoNonce);
                    }
                    Ok((nonce, sealed))
                }
                other => other.map_err(Pkcs11Error::Failed),
            }
        })
        .map(|(nonce, sealed)| [[FORMAT].as_slice(), &nonce, &sealed].concat())
    }

    /// Unwraps by the key with this label.
    ///
    /// # Errors
    /// [`Pkcs11Error`]; for bytes that were changed, too.
    pub(super) fn unwrap(
        &self,
        label: &str,
        associated_data: &[u8],
        nonce: [u8; NONCE_LEN],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
        self.with_session(|session| {
            let key = session.key(label)?;
            let secret = session.unwrap(key, nonce, associated_data, sealed);
            secret.map_err(Pkcs11Error::Failed)
        })
    }

    /// Closes the library, opens it again and looks for the token; nothing of that where somebody did so a moment ago.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(super) fn begin_anew(&self) -> Result<(), Pkcs11Error> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if place.begun_at.elapsed() < ANEW_AFTER {
            return Ok(());
        }
        place.begun_at = Instant::now();
        self.idle().clear();
        // What does not close is opened all the same.
        self.library.clone().finalize().ok();
        initialize(&self.library).map_err(Pkcs11Error::Failed)?;
        place.slot = find_slot(&self.library, &self.settings.token)?;
        Ok(())
    }

    /// Works in a session of its own. One in which something failed is closed: what it was at may not have ended.
    fn with_session<R>(
        &self,
        work: impl FnOnce(&mut TokenSession) -> Result<R, Pkcs11Error>,
    ) -> Result<R, Pkcs11Error> {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle().pop();
        let mut session = match idle {
            Some(session) => session,
            None => self.new_session(place.slot)?,
        };
        let done = work(&mut session)?;
        self.idle().push(session);
        Ok(done)
    }

    fn new_session(&self, slot: Slot) -> Result<TokenSession, Pkcs11Error> {
        let session = self.library.open_ro_session(slot);
        let session = session.map_err(Pkcs11Error::Failed)?;
        self.log_in(&session)?;
        Ok(TokenSession::new(session))
    }

    /// Logs in, where no other session did. A PIN that was refused is not shown again: the token would lock itself.
    fn log_in(&self, session: &Session) -> Result<(), Pkcs11Error> {
        if self.pin_is_refused.load(Ordering::Acquire) {
            return Err(Pkcs11Error::PinRefused);
        }
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(CallError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(
                error @ CallError::Pkcs11(
                    RvError::PinIncorrect
                    | RvError::PinInvalid
                    | RvError::PinLenRange
                    | RvError::PinExpired
                    | RvError::PinLocked,
                    _,
                ),
            ) => {
                self.pin_is_refused.store(true, Ordering::Release);
                Err(Pkcs11Error::WrongPin(error))
            }
            Err(error) => Err(Pkcs11Error::Failed(error)),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TokenSession>> {
        // Sessions are put in and taken out as a whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn initialize(library: &Pkcs11) -> Result<(), CallError> {
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    match library.initialize(arguments) {
        Ok(()) | Err(CallError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The only slot with a token as it is wanted.
fn find_slot(library: &Pkcs11, wanted: &WantedToken) -> Result<Slot, Pkcs11Error> {
    let slots = library.get_slots_with_token();
    let slots = slots.map_err(Pkcs11Error::Failed)?.into_iter();
    let there: Vec<(Slot, String)> = slots
        .filter_map(|slot| {
            let info = library.get_token_info(slot).ok()?;
            let label = info.label().trim_end_matches([' ', '\0']).to_owned();
            info.token_initialized().then_some((slot, label))
        })
        .collect();
    let is_wanted = |(slot, label): &&(Slot, String)| match wanted {
        WantedToken::Only => true,
        WantedToken::Label(wanted) => wanted == label,
        WantedToken::Slot(wanted) => *wanted == slot.id(),
    };
    let fitting: Vec<&(Slot, String)> = there.iter().filter(is_wanted).collect();
    if let [(slot, _)] = fitting.as_slice() {
        return Ok(*slot);
    }
    let found: Vec<String> = there
        .iter()
        .map(|(slot, label)| format!("{label:?} in slot {slot}"))
        .collect();
    Err(Pkcs11Error::NoToken {
        wanted: wanted.clone(),
        found: if found.is_empty() {
            "is none".to_owned()
        } else {
            format!("are {}", found.join(", "))
        },
    })
}

fn read_pin(path: &Path) -> Result<AuthPin, Pkcs11Error> {
    let text = keyfile::read(path).map_err(|error| match error {
        KeyFileError::Exposed { path } => Pkcs11Error::ExposedPin { path },
        KeyFileError::Unreadable { path, source } | KeyFileError::Fixed { path, source } => {
            Pkcs11Error::NoPin { path, source }
        }
    })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Pkcs11Error::EmptyPin {
            path: path.display().to_string(),
        }),
        pin => Ok(AuthPin::from(pin)),
    }
}
