//! The certificate, and the token that holds master keys.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tls::{Certificate, TlsError};
use vault::{
    keyring::{Keyring, KeyringError},
    pkcs11::{Pkcs11Settings, WantedToken},
};

/// By which certificate this process is believed, where it speaks TLS itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsConfig {
    /// The certificate of this api, with those that lead to its authority behind it, in PEM; without it requests come in clear
    /// text. It is read again when it changes
    #[arg(
        long,
        env = "MEDITRUSTAL_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// The certificate's private key, in PEM, readable by us alone
    #[arg(
        long,
        env = "MEDITRUSTAL_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether requests come by TLS.
    pub(crate) const fn is_on(&self) -> bool {
        self.tls_cert_file.is_some()
    }

    /// How addresses of this api begin.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.is_on() { "https" } else { "http" }
    }

    /// The certificate; `None` where requests come in clear text.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn certificate(&self) -> Result<Option<Arc<Certificate>>, TlsError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert_file, &self.tls_key_file) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Certificate::load(certificate, key)?)))
    }
}

/// The PKCS#11 token that holds master keys, where one does.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pkcs11Config {
    /// The library of the PKCS#11 token that holds master keys: of an HSM, or of a cloud's key service. Without it they are in the
    /// file of the master keys
    #[arg(
        id = "pkcs11_module",
        long = "pkcs11-module",
        env = "MEDITRUSTAL_PKCS11_MODULE",
        value_name = "FILE",
        requires = "pkcs11_pin_file"
    )]
    module: Option<PathBuf>,

    /// The label of the token; the only one that the library has, if neither this nor its slot is given
    #[arg(
        id = "pkcs11_token",
        long = "pkcs11-token",
        env = "MEDITRUSTAL_PKCS11_TOKEN",
        value_name = "LABEL",
        requires = "pkcs11_module",
        conflicts_with = "pkcs11_slot"
    )]
    token: Option<String>,

    /// The slot that the token is in
    #[arg(
        id = "pkcs11_slot",
        long = "pkcs11-slot",
        env = "MEDITRUSTAL_PKCS11_SLOT",
        value_name = "NUMBER",
        requires = "pkcs11_module"
    )]
    slot: Option<u64>,

    /// The PIN of the token's user, in a file readable by us alone
    #[arg(
        id = "pkcs11_pin_file",
        long = "pkcs11-pin-file",
        env = "MEDITRUSTAL_PKCS11_PIN_FILE",
        value_name = "FILE",
        requires = "pkcs11_module"
    )]
    pin_file: Option<PathBuf>,
}

impl Pkcs11Config {
    /// The token; `None` where the keys are in the file.
    pub(crate) fn settings(&self) -> Option<Pkcs11Settings> {
        let (module, pin_file) = (self.module.clone()?, self.pin_file.clone()?);
        let token = match (&self.token, self.slot) {
            (Some(label), _) => WantedToken::Label(label.clone()),
            (None, Some(slot)) => WantedToken::Slot(slot),
            (None, None) => WantedToken::Only,
        };
        Some(Pkcs11Settings {
            module,
            token,
            pin_file,
        })
    }

    /// The master keys of this file. Blocks while the token is asked for those that are inside it.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub(crate) fn keyring(&self, file: &Path) -> Result<Keyring, KeyringError> {
        Keyring::load_with(file, self.settings().as_ref())
    }
}
