//! Key files: only their owner may read them.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use zeroize::Zeroizing;

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file {path} cannot be read; `meditrustal keys new` makes one")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read it.
    #[error("the key file {path} can be read by others: run chmod 600 on it")]
    Exposed {
        /// The file.
        path: String,
    },
}

/// Reads a key file. The text is wiped when dropped.
///
/// # Errors
/// [`KeyFileError`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let name = || path.display().to_string();
    let unreadable = |source| KeyFileError::Unreadable {
        path: name(),
        source,
    };
    if fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: name() });
    }
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(unreadable)
}
