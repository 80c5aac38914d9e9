//! Master keys inside a PKCS#11 token: an HSM, or what stands for one, such as the library of a cloud's key service.
//!
//! A key that was made in the token never leaves it. 32 bytes go in and come out wrapped, by AES-256-GCM:
//!
//! ```text
//!  0        1                          13                                  n
//! ┌────────┬──────────────────────────┬───────────────────────┬───────────┐
//! │ format │ nonce, 12 bytes          │ ciphertext            │ tag, 16   │
//! │ 0x03   │                          │ as long as the text   │           │
//! └────────┴──────────────────────────┴───────────────────────┴───────────┘
//! ```
//!
//! The layout is an envelope's ([`crate::envelope`]), with another format: it says that a token wrapped this. Which key of it is
//! said by the id of the master key beside it. The library is loaded while the program runs; nothing is linked. It is foreign
//! code inside this process, and may wait for a network: whoever is async calls it from a thread that may wait.

mod bounded_wait;
mod session;
mod token;

use std::{fmt, io, path::PathBuf, sync::Arc};

use cryptoki::error::Error as CallError;
use zeroize::Zeroizing;

use crate::envelope::split_as;
pub(crate) use bounded_wait::BoundedWait;
pub(crate) use token::Pkcs11Token;

/// What a token wrapped. 2 is what is wrapped here ([`crate::envelope`]).
const FORMAT: u8 = 3;
/// The longest label of a key. Unit: bytes.
const MAX_LABEL: usize = 128;

/// Where the token is, and how it lets us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// The library that speaks to it.
    pub module: PathBuf,
    /// Which of the library's tokens.
    pub token: WantedToken,
    /// A file with the PIN of its user, which its owner alone may read.
    pub pin_file: PathBuf,
}

/// Which token of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedToken {
    /// The only one that there is.
    Only,
    /// The one with this label.
    Label(String),
    /// The one in this slot.
    Slot(u64),
}

impl fmt::Display for WantedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("a token"),
            Self::Label(label) => write!(f, "a token with the label {label:?}"),
            Self::Slot(slot) => write!(f, "a token in slot {slot}"),
        }
    }
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The library cannot be loaded.
    #[error(
        "the PKCS#11 library {path} cannot be used: name the one of your HSM (MEDITRUSTAL_PKCS11_MODULE), built for this machine"
    )]
    NoModule {
        /// The library.
        path: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// There is no such token, or there are several.
    #[error(
        "there is not exactly one PKCS#11 token to be used: wanted is {wanted}, there {found} (MEDITRUSTAL_PKCS11_TOKEN, \
         MEDITRUSTAL_PKCS11_SLOT)"
    )]
    NoToken {
        /// Which was wanted.
        wanted: WantedToken,
        /// Which there are.
        found: String,
    },
    /// The token cannot do what is needed.
    #[error(
        "the PKCS#11 token has no mechanism CKM_AES_GCM, by which master keys wrap: use one that has it, or keep master keys in the file"
    )]
    NoMechanism,
    /// The file of the PIN cannot be read.
    #[error(
        "the PIN file {path} cannot be read: it has the PIN of the token's user (MEDITRUSTAL_PKCS11_PIN_FILE)"
    )]
    NoPin {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read it.
    #[error("the PIN file {path} can be read by others: run chmod 600 on it")]
    ExposedPin {
        /// The file.
        path: String,
    },
    /// It has no PIN: a token may count that as a wrong one.
    #[error("the PIN file {path} is empty: put the PIN of the token's user into it")]
    EmptyPin {
        /// The file.
        path: String,
    },
    /// The token does not take the PIN.
    #[error(
        "the PKCS#11 token does not take the PIN: put the right one into the file (MEDITRUSTAL_PKCS11_PIN_FILE) before starting \
         again, for a token locks itself after some wrong ones"
    )]
    WrongPin(#[source] CallError),
    /// One more wrong PIN locks it, or it is locked.
    #[error(
        "the PKCS#11 token is locked, or one wrong PIN more locks it: log in with the right one by the token's own tools, put that \
         into the file (MEDITRUSTAL_PKCS11_PIN_FILE), and start again"
    )]
    LastTry,
    /// It was refused before, and is not shown again.
    #[error(
        "the PKCS#11 token refused the PIN, and this process does not show it again: start it anew with the right one"
    )]
    PinRefused,
    /// The token has no such key.
    #[error(
        "the PKCS#11 token has no AES key with the label {0:?} for this user: is this the right token (MEDITRUSTAL_PKCS11_TOKEN)?"
    )]
    NoKey(String),
    /// It has one that does not stay in it.
    #[error(
        "the key {0:?} of the PKCS#11 token can be taken out of it (CKA_EXTRACTABLE, or not CKA_SENSITIVE): give a label that no key \
         has, and one is made that cannot"
    )]
    ExposedKey(String),
    /// It has several.
    #[error("the PKCS#11 token has several AES keys with the label {0:?}: give each another label")]
    ManyKeys(String),
    /// A label that no key can have.
    #[error("a label of a key has 1 to {} bytes", MAX_LABEL)]
    BadLabel,
    /// The token was to choose a nonce, and did not.
    #[error("the PKCS#11 token neither takes a nonce nor makes one: it cannot be used")]
    NoNonce,
    /// A process has one token of a library.
    #[error("this process uses another token of the same PKCS#11 library already")]
    OtherToken,
    /// It gave no answer, or refused what it was asked.
    #[error("the PKCS#11 token does not do what it is asked")]
    Failed(#[source] CallError),
    /// It takes longer than anybody waits for it.
    #[error("the PKCS#11 token takes too long")]
    Late,
    /// What asked it ended before its time.
    #[error("the PKCS#11 token was asked, and whoever asked was interrupted")]
    Interrupted,
}

/// Why something that was wrapped does not unwrap.
#[derive(Debug)]
pub(crate) enum UnwrapError {
    /// The token works, and this was not wrapped by the key, or not for this.
    Forged,
    /// The token does not work.
    Unavailable(Pkcs11Error),
}

/// A master key inside a token, and something that it is known to have wrapped.
pub(crate) struct KeyInToken {
    token: Arc<Pkcs11Token>,
    label: String,
    known: KnownWrapping,
}

struct KnownWrapping {
    associated_data: Vec<u8>,
    wrapped: Vec<u8>,
}

impl KeyInToken {
    /// Takes the key with this label, or makes one, and wraps something under it, which is given back.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub(crate) fn establish(
        token: &Arc<Pkcs11Token>,
        label: &str,
        associated_data: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(Pkcs11Error::BadLabel);
        }
        match token.require_key(label) {
            Err(Pkcs11Error::NoKey(_)) => token.make_key(label)?,
            other => {
                other?;
                token.require_guarded(label)?;
            }
        }
        let wrapped = token.wrap(label, associated_data, secret)?;
        // What cannot be unwrapped again must never be written down.
        Self::open(token, label, associated_data, &wrapped)?;
        Ok(wrapped)
    }

    /// The key with this label, and what it had wrapped.
    ///
    /// # Errors
    /// [`Pkcs11Error`]; also where it did not wrap this.
    pub(crate) fn open(
        token: &Arc<Pkcs11Token>,
        label: &str,
        associated_data: &[u8],
        wrapped: &[u8],
    ) -> Result<(Self, Zeroizing<Vec<u8>>), Pkcs11Error> {
        token.require_key(label).or_else(|why| match why {
            // So answers a token that was away and is back. Where no key of it is held yet, nobody else begins anew with it.
            Pkcs11Error::NoKey(_) | Pkcs11Error::Failed(_) => {
                token.begin_anew()?;
                token.require_key(label)
            }
            why => Err(why),
        })?;
        let (nonce, sealed) =
            split_as(FORMAT, wrapped).map_err(|_| Pkcs11Error::Failed(CallError::InvalidValue))?;
        let secret = token.unwrap(label, associated_data, nonce, sealed)?;
        let key = Self {
            token: Arc::clone(token),
            label: label.to_owned(),
            known: KnownWrapping {
                associated_data: associated_data.to_vec(),
                wrapped: wrapped.to_vec(),
            },
        };
        Ok((key, secret))
    }

    /// Whether it is this key, by what it wrapped.
    pub(crate) fn is(&self, label: &str, wrapped: &[u8]) -> bool {
        self.label == label && self.known.wrapped == wrapped
    }

    /// Wraps a secret.
    ///
    /// # Errors
    /// [`Pkcs11Error`] where the token does not work.
    pub(crate) fn wrap(
        &self,
        associated_data: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let wrap = || self.token.wrap(&self.label, associated_data, secret);
        wrap().or_else(|_| {
            self.require_answer()?;
            wrap()
        })
    }

    /// Unwraps what it wrapped.
    ///
    /// # Errors
    /// [`UnwrapError`]. Tokens have no common word for bytes that were changed, and some have none but that of any failure. So
    /// bytes are forged where they do not unwrap between two times that what is known does.
    pub(crate) fn unwrap(
        &self,
        associated_data: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let (nonce, sealed) = split_as(FORMAT, wrapped).map_err(|_| UnwrapError::Forged)?;
        let unwrap = || {
            self.token
                .unwrap(&self.label, associated_data, nonce, sealed)
        };
        if let Ok(secret) = unwrap() {
            return Ok(secret);
        }
        self.require_answer().map_err(UnwrapError::Unavailable)?;
        if let Ok(secret) = unwrap() {
            return Ok(secret);
        }
        self.unwrap_known().map_err(UnwrapError::Unavailable)?;
        Err(UnwrapError::Forged)
    }

    /// Asks the token for what it is known to unwrap; where it does not, begins anew with it and asks once more.
    ///
    /// # Errors
    /// [`Pkcs11Error`] where it does not work.
    pub(crate) fn require_answer(&self) -> Result<(), Pkcs11Error> {
        self.unwrap_known().or_else(|_| {
            self.token.begin_anew()?;
            self.unwrap_known()
        })
    }

    fn unwrap_known(&self) -> Result<(), Pkcs11Error> {
        let KnownWrapping {
            associated_data,
            wrapped,
        } = &self.known;
        let (nonce, sealed) =
            split_as(FORMAT, wrapped).map_err(|_| Pkcs11Error::Failed(CallError::InvalidValue))?;
        self.token
            .unwrap(&self.label, associated_data, nonce, sealed)
            .map(drop)
    }
}
