//! TLS, and nothing else: whom we believe as a client, and by which certificate we are believed as a server.
//!
//! One stack, rustls with ring, versions 1.2 and 1.3 and the suites that rustls takes for safe; nothing of that can be
//! set. The line to PostgreSQL is sqlx's, by the same two crates.

mod certificate;
mod client;
mod expiry;

use std::{io, path::PathBuf, sync::Arc};

use rustls::crypto::{CryptoProvider, ring};

pub use crate::{
    certificate::{Certificate, ServerStream},
    client::{ClientConfig, ClientStream, believing_nobody, client, connect, trust},
    expiry::in_force_until,
};

/// Why a file with a certificate or its key is not used. Shows nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("the file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read a key.
    #[error("the key file {path} can be read by others: run chmod 600 on it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It is no certificate.
    #[error("the file {path} holds no certificate in PEM, or one that cannot be read")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// It is no key.
    #[error("the file {path} holds no private key in PEM (PKCS#8, SEC1 or PKCS#1)")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Each may be right, and they are not of one another.
    #[error("the certificate in {certificate} cannot be used with the key in {key}")]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
}

/// Ring's ciphers, whatever another crate of the process has chosen for itself.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Holds for the versions of ring and rustls that are built in: a test builds both kinds of configuration.
const FITS: &str = "ring has suites for the versions that rustls takes for safe";
