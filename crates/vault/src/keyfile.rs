//! Key files: only their owner may read them, and they change in one step.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

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
    /// It cannot be replaced; it is as it was.
    #[error(
        "the key file {path} cannot be replaced; if {path}.new is there, another command is at it or was cut off: look, and remove it"
    )]
    Fixed {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// By what one sees that a file is another one than before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

/// What the file is now.
///
/// # Errors
/// [`KeyFileError::Unreadable`].
pub(crate) fn stamp(path: &Path) -> Result<Stamp, KeyFileError> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    Ok(Stamp {
        inode: metadata.ino(),
        len: metadata.len(),
        changed: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// Reads a key file. The text is wiped when dropped.
///
/// # Errors
/// [`KeyFileError`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.display().to_string(),
        });
    }
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(unreadable(path))
}

/// Replaces a key file: whoever reads it sees the old text or the new one, also after a crash. It
/// keeps its owner. Two that replace it at once do not overwrite each other: the second fails.
///
/// # Errors
/// [`KeyFileError::Fixed`]; then it is as it was.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let fixed = |source| KeyFileError::Fixed {
        path: path.display().to_string(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(fixed)?;
    fill(file, path, &new, text).map_err(|source| {
        // What is left over would keep the next one from trying.
        fs::remove_file(&new).ok();
        fixed(source)
    })
}

fn fill(mut file: File, path: &Path, new: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path)?;
    let ours = file.metadata()?;
    if (old.uid(), old.gid()) != (ours.uid(), ours.gid()) {
        chown(new, Some(old.uid()), Some(old.gid()))?;
    }
    writeln!(file, "{}", text.trim_end())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync_directory_of(path)
}

/// Brings to the disk which file has this name: that it was made, renamed or removed.
///
/// # Errors
/// The directory's.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.display().to_string();
    move |source| KeyFileError::Unreadable {
        path: path.clone(),
        source,
    }
}
