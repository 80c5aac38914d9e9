//! Key files: only their owner may read them, and they change in one step.

use std::{
    fs::{self, File, OpenOptions, Permissions},
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
        "the key file {path} cannot be replaced; where another command is at it, run this again when that has ended"
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
#[cfg(test)]
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), KeyFileError> {
    KeyFileDraft::write(path, text)?.place()
}

/// What a key file is to say, on the disk beside it. Nobody else replaces the file until the draft is in its place, or dropped, or
/// the process has ended.
#[derive(Debug)]
pub(crate) struct KeyFileDraft {
    path: PathBuf,
    new: PathBuf,
    /// Locked.
    file: File,
    is_placed: bool,
}

impl KeyFileDraft {
    /// Writes it. The file gets it by [`KeyFileDraft::place`].
    ///
    /// # Errors
    /// [`KeyFileError::Fixed`], also where somebody else has one.
    pub(crate) fn write(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        let mut new = path.to_owned().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = take(&new).map_err(fixed(path))?;
        let draft = Self {
            path: path.to_owned(),
            new,
            file,
            is_placed: false,
        };
        draft.fill(text).map_err(fixed(path))?;
        Ok(draft)
    }

    fn fill(&self, text: &str) -> io::Result<()> {
        let (old, ours) = (fs::metadata(&self.path)?, self.file.metadata()?);
        if (old.uid(), old.gid()) != (ours.uid(), ours.gid()) {
            chown(&self.new, Some(old.uid()), Some(old.gid()))?;
        }
        writeln!(&self.file, "{}", text.trim_end())?;
        self.file.sync_all()
    }

    /// Gives the file its new text, in one step.
    ///
    /// # Errors
    /// [`KeyFileError::Fixed`].
    pub(crate) fn place(mut self) -> Result<(), KeyFileError> {
        let renamed = fs::rename(&self.new, &self.path);
        self.is_placed = renamed.is_ok();
        renamed
            .and_then(|()| sync_directory_of(&self.path))
            .map_err(fixed(&self.path))
    }
}

impl Drop for KeyFileDraft {
    fn drop(&mut self) {
        // What stays all the same is written over by the next one.
        if !self.is_placed {
            fs::remove_file(&self.new).ok();
        }
    }
}

/// Opens the file of a draft for us alone, and empties it: a command that was killed leaves one.
fn take(new: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(new)?;
    file.try_lock()?;
    let (named, ours) = (fs::symlink_metadata(new)?, file.metadata()?);
    if (named.dev(), named.ino()) != (ours.dev(), ours.ino()) {
        // It became the key file between our opening and our locking it, or leads elsewhere.
        return Err(io::ErrorKind::WouldBlock.into());
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.set_len(0)?;
    Ok(file)
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

fn fixed(path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.display().to_string();
    move |source| KeyFileError::Fixed {
        path: path.clone(),
        source,
    }
}
