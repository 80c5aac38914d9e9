//! By which certificate we are believed as a server. It is read again when its files change.

use std::{
    fmt, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{FITS, TlsError, provider};

/// A connection on which the handshake is done.
pub type ServerStream<S> = TlsStream<S>;

/// What a client may speak inside: HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// A certificate with its key, from two files.
pub struct Certificate {
    files: Files,
    current: RwLock<Current>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Current {
    acceptor: TlsAcceptor,
    stamps: Stamps,
}

/// By what one sees that a file is another one than before: its inode, its length, when it was written.
type Stamp = (u64, u64, i64, i64);
type Stamps = [Stamp; 2];

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.files.certificate)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads a certificate, with those that lead to its authority behind it, and its key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let current = files.read()?;
        Ok(Self {
            files,
            current: RwLock::new(current),
        })
    }

    /// Reads the files again where they have changed; whether they had. Connections that are there keep what they have.
    ///
    /// # Errors
    /// [`TlsError`]; then what was read before is used on, and the next call looks again. Between the replacement of one
    /// file and that of the other this is what happens.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let stamps = self.files.stamps()?;
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if known.stamps == stamps {
            return Ok(false);
        }
        drop(known);
        let read = self.files.read()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(true)
    }

    /// Shows the certificate on a connection.
    ///
    /// # Errors
    /// Where the other side speaks no TLS, or has left. The caller limits how long it may take.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<ServerStream<S>> {
        self.acceptor().accept(stream).await
    }

    fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.acceptor.clone()
    }
}

impl Files {
    fn stamps(&self) -> Result<Stamps, TlsError> {
        Ok([stamp(&self.certificate)?, stamp(&self.key)?])
    }

    fn read(&self) -> Result<Current, TlsError> {
        // Before the files: what changes in between is read again.
        let stamps = self.stamps()?;
        let no_certificate = || TlsError::NoCertificate {
            path: self.certificate.clone(),
        };
        let text = fs::read(&self.certificate).map_err(unreadable(&self.certificate))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let key = self.key()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect(FITS)
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Unfit {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source: Box::new(source),
            })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Current {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            stamps,
        })
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = &self.key;
        let metadata = fs::metadata(path).map_err(unreadable(path))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(TlsError::Exposed { path: path.clone() });
        }
        let text = fs::read(path).map_err(unreadable(path))?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey { path: path.clone() })
    }
}

fn stamp(path: &Path) -> Result<Stamp, TlsError> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    Ok((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    move |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("tls-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("made");
            Self(path)
        }

        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            // Another file under the same name, as whoever renews certificates puts it there.
            let fresh = self.0.join(format!("{name}.new"));
            fs::write(&fresh, text).expect("written");
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&fresh, mode).expect("set");
            fs::rename(&fresh, &path).expect("renamed");
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    /// A certificate that signed itself, and its key.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_read_again_when_both_of_its_files_fit() {
        let scratch = Scratch::new("refresh");
        let (first, second) = (pair(), pair());
        let certificate = scratch.file("cert.pem", &first.0, 0o644);
        let key = scratch.file("key.pem", &first.1, 0o600);
        let loaded = Certificate::load(&certificate, &key).expect("they fit");
        assert!(!loaded.refresh().expect("nothing changed"));

        scratch.file("cert.pem", &second.0, 0o644);
        let refused = loaded.refresh().expect_err("another key's certificate");
        assert!(matches!(refused, TlsError::Unfit { .. }), "{refused}");
        scratch.file("key.pem", &second.1, 0o600);

        assert!(loaded.refresh().expect("they fit again"));
        assert!(!loaded.refresh().expect("nothing changed"));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_the_key() {
        let scratch = Scratch::new("refused");
        let (text, secret) = pair();
        let certificate = scratch.file("cert.pem", &text, 0o644);
        let key = scratch.file("key.pem", &secret, 0o600);
        let exposed = scratch.file("exposed.pem", &secret, 0o640);
        let empty = scratch.file("empty.pem", "", 0o600);
        let nowhere = scratch.0.join("nowhere.pem");
        let refused = |certificate: &Path, key: &Path| {
            let error = Certificate::load(certificate, key).expect_err("refused");
            error.to_string()
        };

        for (told, wanted) in [
            (refused(&certificate, &exposed), "can be read by others"),
            (refused(&certificate, &empty), "holds no private key"),
            (refused(&empty, &key), "holds no certificate"),
            (refused(&nowhere, &key), "cannot be read"),
            (refused(&certificate, &nowhere), "cannot be read"),
        ] {
            assert!(told.contains(wanted), "{told}");
            assert!(!told.contains("PRIVATE KEY-----"), "{told}");
        }
        assert!(crate::trust(Some(&empty)).is_err());
    }
}
