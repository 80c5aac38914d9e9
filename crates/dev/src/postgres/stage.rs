//! Brings the npm package's PostgreSQL to where another user can run it.
//!
//! Needed when the clone lies where that user may not go (root's home directory), was installed
//! with a strict umask, or cannot be written to, so that its links cannot be made. Hard links
//! where they serve (35 ms), copies where not (0.4 s for 60 MB).

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::repository::{fingerprint, make_open_dir};
use crate::{Error, Result, secret, tools};

/// The staged copy of `native`; made when it is not there, and never changed after.
///
/// Its name tells the files' sizes and times, so that another version gets another one.
pub(super) fn stage(native: &Path) -> Result<PathBuf> {
    let place = place()?;
    let mut seen = String::new();
    list(native, &mut seen).map_err(Error::file("could not read", native))?;
    let staged = place.join(format!("postgresql-{}", fingerprint(seen.as_bytes())));
    if staged.is_dir() {
        return Ok(staged);
    }
    let part = place.join(format!(".part-{}", secret::fresh()?));
    bring(native, &part).map_err(Error::file("could not stage PostgreSQL in", &part))?;
    for (source, target) in tools::links(native)? {
        let link = part.join(&target);
        if fs::symlink_metadata(&link).is_err() {
            symlink(&source, &link).map_err(Error::file("could not link", &link))?;
        }
    }
    // Another run may have finished first; its copy is as good as ours.
    if fs::rename(&part, &staged).is_err() {
        fs::remove_dir_all(&part).map_err(Error::file("could not remove", &part))?;
    }
    Ok(staged)
}

/// A directory of our own that everybody can enter; another user's is never used.
fn place() -> Result<PathBuf> {
    let me = geteuid();
    let candidates = if me.is_root() {
        vec![
            super::home::ROOTS_PLACE.into(),
            PathBuf::from(super::home::ROOTS_OTHER_PLACE),
        ]
    } else {
        vec![std::env::temp_dir().join(format!("meditrustal-dev-{}", me.as_raw()))]
    };
    for place in &candidates {
        let made = make_open_dir(place);
        let ours = fs::symlink_metadata(place).is_ok_and(|dir| dir.uid() == me.as_raw());
        if made.is_ok() && ours {
            return Ok(place.clone());
        }
    }
    Err(Error::Needs(format!(
        "no place to stage PostgreSQL in: tried {candidates:?}"
    )))
}

fn list(dir: &Path, seen: &mut String) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let meta = entry.metadata()?;
        if meta.is_dir() {
            list(&entry.path(), seen)?;
        } else if meta.is_file() {
            let (name, len) = (entry.path(), meta.len());
            // Writing to a string cannot fail.
            writeln!(
                seen,
                "{} {len} {} {}",
                name.display(),
                meta.mtime(),
                meta.mode()
            )
            .ok();
        }
    }
    Ok(())
}

fn bring(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, PermissionsExt::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata()?;
        if meta.is_dir() {
            bring(&source, &target)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            let mode = meta.mode() & 0o777;
            let open = mode | 0o444 | if mode & 0o100 == 0 { 0 } else { 0o111 };
            if mode != open || fs::hard_link(&source, &target).is_err() {
                fs::copy(&source, &target)?;
                fs::set_permissions(&target, PermissionsExt::from_mode(open))?;
            }
        }
    }
    Ok(())
}
