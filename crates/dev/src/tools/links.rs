//! The symbolic links that npm packages cannot carry.
//!
//! PostgreSQL's package lists them in a file and makes them in a script after the installation,
//! which we do not let run; without them `postgres` and `initdb` do not find their libraries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Result};

#[derive(Deserialize)]
struct Link {
    source: String,
    target: String,
}

/// Makes the missing links of an installed package.
///
/// # Errors
///
/// When one is missing and cannot be made: the package lies where we may not write.
pub(crate) fn heal(package: &Path) -> Result<()> {
    let native = package.join("native");
    for (source, target) in links(&native)? {
        let link = native.join(target);
        if fs::metadata(&link).is_err() {
            fs::remove_file(&link).ok();
            match symlink(source, &link) {
                // Another run made it meanwhile.
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("could not link", &link)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What each link says, relative to itself, and where it is, relative to `native`.
///
/// # Errors
///
/// When the list is missing, unreadable, or links to another directory.
pub(crate) fn links(native: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let list = native.join("pg-symlinks.json");
    let text = fs::read(&list).map_err(Error::file("could not read", &list))?;
    let wrong = || {
        Error::Needs(format!(
            "{} is not the list of links it was",
            list.display()
        ))
    };
    let links: Vec<Link> = serde_json::from_slice(&text).map_err(|_| wrong())?;
    let pair = |link: &Link| {
        let source = Path::new(link.source.strip_prefix("native/")?);
        let target = Path::new(link.target.strip_prefix("native/")?);
        (source.parent() == target.parent())
            .then(|| Some((source.file_name()?.into(), target.to_owned())))?
    };
    links
        .iter()
        .map(|link| pair(link).ok_or_else(wrong))
        .collect()
}
