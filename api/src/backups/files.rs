//! The files of backups: private, written aside and renamed when they are whole, and one writer at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use vault::sync_directory_of;

/// What the name of a file ends with that is being written.
pub(crate) const PART: &str = ".part";
/// The file by which writers of a directory follow one another.
const LOCK: &str = ".lock";

/// The right to write in a directory of backups, as long as it is held; it ends with the process.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes it; `None` where another process has it. Makes the directory where it is missing.
    ///
    /// # Errors
    /// The directory's.
    pub(crate) fn try_take(directory: &Path) -> io::Result<Option<Self>> {
        make_private(directory)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes a directory that its owner alone may enter, where it is missing.
///
/// # Errors
/// The directory's.
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// The files of a directory, by name; none where there is no such directory.
///
/// # Errors
/// The directory's.
pub(crate) fn in_directory(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

/// Where a file is written until it is whole.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART);
    PathBuf::from(name)
}

/// Begins a file aside, which its owner alone may read.
///
/// # Errors
/// The file's.
pub(crate) fn begin(path: &Path) -> io::Result<File> {
    let part = aside(path);
    // Of a run that was cut off: we alone write here.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
}

/// Gives a file that is whole, and on the disk, its own name.
///
/// # Errors
/// The file's.
pub(crate) fn finish(path: &Path) -> io::Result<()> {
    fs::rename(aside(path), path)?;
    sync_directory_of(path)
}

/// Writes a small file whole or not at all.
///
/// # Errors
/// The file's.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = begin(path)?;
    file.write_all(content)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    finish(path)
}

/// Removes a file, and brings that to the disk; one that is not there is no error.
///
/// # Errors
/// The file's.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
