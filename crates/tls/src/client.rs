//! Whom we believe as a client.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{FITS, TlsError, provider};

pub use rustls::ClientConfig;

/// The authorities that this process believes, once it is known which they are.
static TRUSTED: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Believes the authorities of a file in PEM, besides those of the system. For the whole process, and before anything is
/// asked; what is said later changes nothing.
///
/// # Errors
/// [`TlsError`].
pub fn trust(file: Option<&Path>) -> Result<(), TlsError> {
    let Some(path) = file else {
        return Ok(());
    };
    let no_certificate = || TlsError::NoCertificate {
        path: path.to_owned(),
    };
    let text = fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut roots = of_the_system();
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| no_certificate())?;
        roots.add(certificate).map_err(|_| no_certificate())?;
        added += 1;
    }
    if added == 0 {
        return Err(no_certificate());
    }
    TRUSTED.set(Arc::new(roots)).ok();
    Ok(())
}

/// A client that believes the authorities of [`trust`], and takes a server's certificate only where it names the server, is
/// of one of them, and is in force.
pub fn client() -> ClientConfig {
    let roots = TRUSTED.get_or_init(|| Arc::new(of_the_system()));
    believing(Arc::clone(roots))
}

/// A client that believes nobody: for addresses that begin with `http://`, where reading the system's authorities would cost
/// time for nothing.
pub fn believing_nobody() -> ClientConfig {
    believing(Arc::new(RootCertStore::empty()))
}

/// A connection to a server on which the handshake is done.
pub type ClientStream = TlsStream<TcpStream>;

/// Speaks TLS on a connection to the server of this name, or this address, as [`client`] does.
///
/// # Errors
/// Where the server cannot be believed, or speaks no TLS. The caller limits how long it may take.
pub async fn connect(server: &str, stream: TcpStream) -> io::Result<ClientStream> {
    let name = ServerName::try_from(server.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let connector = TlsConnector::from(Arc::new(client()));
    connector.connect(name, stream).await
}

fn believing(roots: Arc<RootCertStore>) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect(FITS)
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The system's authorities: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or where the operating system has them. One that
/// cannot be read is left out: what it signed is then not believed.
fn of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
