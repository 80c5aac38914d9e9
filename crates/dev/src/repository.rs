//! Where the clone lies, and where what belongs to it may be kept.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The root of the clone: the nearest directory, from the working directory upward, that holds
/// this crate and the tools' lock file.
///
/// # Errors
///
/// When there is none, neither there nor where this crate was compiled.
pub fn root() -> Result<PathBuf> {
    let here = env::current_dir().map_err(Error::file("could not find", Path::new(".")))?;
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .chain(compiled.ancestors())
        .find(|dir| {
            dir.join("crates/dev/Cargo.toml").is_file() && dir.join("package-lock.json").is_file()
        })
        .map(Path::to_owned)
        .ok_or(Error::NoRepository(here))
}

/// Makes a directory and those above it that are missing, open to be entered by everybody whatever
/// the umask; what is private lies in one below that is closed.
pub(crate) fn make_open_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_open_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::file("could not make", dir)(error));
        }
        _ => {}
    }
    fs::set_permissions(dir, PermissionsExt::from_mode(0o755))
        .map_err(Error::file("could not open", dir))
}

/// A short name that tells one clone from another: FNV-1a of its path, in 16 hexadecimal digits.
///
/// It has to stay the same from one build to the next, which the standard library's hasher does
/// not promise; nothing secret depends on it.
pub(crate) fn fingerprint(text: &[u8]) -> String {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn a_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), "cbf29ce484222325");
        assert_eq!(fingerprint(b"foobar"), "85944171f73967e8");
    }
}
