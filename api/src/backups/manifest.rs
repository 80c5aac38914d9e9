//! What a backup says of itself, in a file beside the dump. It is in its place before the dump gets its name, so that every
//! dump of ours has one; a manifest without its dump counts as none.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::tenant::Tenant;

use super::{BackupPart, Tier, files};

/// The layout of the manifest.
const VERSION: u32 = 1;
/// The longest manifest that is read. Unit: bytes.
const MAX_BYTES: u64 = 1 << 20;
/// The file that says why the newest attempt came to nothing.
const LAST_FAILURE: &str = "last-failure.json";

/// The manifest of a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupManifest {
    /// The layout: 1.
    pub(crate) version: u32,
    /// The same for the dump of records and the dump of keys of one snapshot.
    pub(crate) id: String,
    /// What is in it.
    pub(crate) part: BackupPart,
    /// How often it is made.
    pub(crate) tier: Tier,
    /// The dump's name; it lies in the same directory.
    pub(crate) file: String,
    /// How long the dump is. Unit: bytes.
    pub(crate) bytes: u64,
    /// The SHA-256 of the dump as it lies there.
    pub(crate) sha256: String,
    /// The public keys that it is encrypted to; none where it is not.
    pub(crate) encrypted_to: Vec<String>,
    /// The database's clock when the snapshot was taken.
    pub(crate) taken_at: DateTime<Utc>,
    /// The database's name.
    pub(crate) database: String,
    /// The schema that is dumped: a tenant's own, or the one that every database has.
    #[serde(default = "usual_schema")]
    pub(crate) schema: String,
    /// How the names of the roles begin that it names; in manifests from before there was such a line none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) role_prefix: Option<String>,
    /// The server's major version.
    pub(crate) server_major: u32,
    /// The version of this program.
    pub(crate) program: String,
    /// The migrations that were applied, oldest first.
    pub(crate) migrations: Vec<i64>,
    /// The chain that its records are anchored on, where an indexer has followed one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) chain_id: Option<i64>,
    /// The registry on it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) registry: Option<String>,
    /// The ids of the master keys that wrap what is in it: of keys alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) master_keys: Vec<String>,
    /// How many rows each table has in the dump.
    pub(crate) rows: BTreeMap<String, i64>,
    /// Schemas of the database that are not in it, as statements name them: other tenants'.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) left_out: Vec<String>,
}

fn usual_schema() -> String {
    Tenant::usual().schema().to_owned()
}

impl BackupManifest {
    /// The layout that this program writes.
    pub(crate) const VERSION: u32 = VERSION;

    /// How many rows all tables have.
    pub(crate) fn all_rows(&self) -> i64 {
        self.rows.values().sum()
    }

    /// Writes it: whole or not at all.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        files::write_whole(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// Why a dump cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// There is none.
    #[error(
        "{0} has no manifest beside it: it is no backup that `meditrustal backup run` has finished"
    )]
    Missing(String),
    /// It is none.
    #[error("{0} is no manifest that this version can read")]
    Unreadable(String),
    /// It is another dump's.
    #[error("the manifest {manifest} is about {about}, not about {dump}")]
    OfAnother {
        /// The manifest.
        manifest: String,
        /// The dump that it names.
        about: String,
        /// The dump that it was to be about.
        dump: String,
    },
    /// The file system's.
    #[error("{0} cannot be read")]
    File(String, #[source] io::Error),
}

/// Where the manifest of a dump lies.
pub(crate) fn beside(dump: &Path) -> PathBuf {
    let name = dump.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".age").unwrap_or(&name);
    let stem = stem.strip_suffix(".dump").unwrap_or(stem);
    dump.with_file_name(format!("{stem}.json"))
}

/// Reads the manifest of a dump.
///
/// # Errors
/// [`ManifestError`].
pub(crate) fn of_dump(dump: &Path) -> Result<BackupManifest, ManifestError> {
    let path = beside(dump);
    let shown = path.display().to_string();
    let manifest = match read(&path) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Err(ManifestError::Unreadable(shown)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ManifestError::Missing(dump.display().to_string()));
        }
        Err(error) => return Err(ManifestError::File(shown, error)),
    };
    let name = dump.file_name().unwrap_or_default().to_string_lossy();
    if manifest.file != name {
        return Err(ManifestError::OfAnother {
            manifest: shown,
            about: manifest.file,
            dump: name.into_owned(),
        });
    }
    Ok(manifest)
}

/// `None` for a file that is no manifest of this layout.
fn read(path: &Path) -> io::Result<Option<BackupManifest>> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Ok(None);
    }
    let text = fs::read(path)?;
    let manifest: Option<BackupManifest> = serde_json::from_slice(&text).ok();
    // A name that leads to another directory is nobody's of ours.
    Ok(manifest.filter(|it| it.version == VERSION && !it.file.contains('/')))
}

/// The finished backups of a tier, newest first. A manifest whose dump is gone counts as none.
///
/// # Errors
/// The directory's, where it is there.
pub(crate) fn finished(directory: &Path, tier: Tier) -> io::Result<Vec<BackupManifest>> {
    of_tier(directory, tier, true)
}

/// The manifests of a tier whose dumps are not there, newest first: the backup was cut off before it was finished, or while it was
/// removed, or somebody took the dump elsewhere. A copy under another name is none of them.
///
/// # Errors
/// The directory's, where it is there.
pub(crate) fn without_dump(directory: &Path, tier: Tier) -> io::Result<Vec<BackupManifest>> {
    of_tier(directory, tier, false)
}

fn of_tier(directory: &Path, tier: Tier, has_dump: bool) -> io::Result<Vec<BackupManifest>> {
    let here = directory.join(tier.as_str());
    let mut found = Vec::new();
    for path in files::in_directory(&here)? {
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let manifest = match read(&path) {
            // Pruned since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        if let Some(manifest) = manifest
            && manifest.tier == tier
            && here.join(&manifest.file).is_file() == has_dump
            && (has_dump || path == beside(&here.join(&manifest.file)))
        {
            found.push(manifest);
        }
    }
    found.sort_by(|one, other| (other.taken_at, &other.file).cmp(&(one.taken_at, &one.file)));
    Ok(found)
}

/// An attempt that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupFailure {
    /// When, by this machine's clock.
    pub(crate) at: DateTime<Utc>,
    /// Why: no value of a row, no address, no password.
    pub(crate) error: String,
}

/// What became of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastBackup {
    /// Which.
    pub(crate) tier: Tier,
    /// The newest finished backup; `None` where there is none.
    pub(crate) newest: Option<BackupManifest>,
    /// Why the newest attempt came to nothing; `None` where it did not.
    pub(crate) failure: Option<BackupFailure>,
}

/// What became of each tier in a directory of backups, the one of records or the one of keys. It reads small files alone.
///
/// # Errors
/// The directory's: it is not there, or may not be read.
pub(crate) fn last_backups(directory: &Path) -> io::Result<Vec<LastBackup>> {
    fs::metadata(directory)?;
    let each = Tier::ALL.into_iter();
    each.map(|tier| last_backup(directory, tier)).collect()
}

/// What became of one tier.
///
/// # Errors
/// The directory's: it may not be read.
pub(crate) fn last_backup(directory: &Path, tier: Tier) -> io::Result<LastBackup> {
    Ok(LastBackup {
        tier,
        newest: finished(directory, tier)?.into_iter().next(),
        failure: read_failure(directory, tier)?,
    })
}

fn read_failure(directory: &Path, tier: Tier) -> io::Result<Option<BackupFailure>> {
    match fs::read(directory.join(tier.as_str()).join(LAST_FAILURE)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Notes that an attempt came to nothing.
///
/// # Errors
/// The file's.
pub(crate) fn note_failure(
    directory: &Path,
    tier: Tier,
    failure: &BackupFailure,
) -> io::Result<()> {
    let here = directory.join(tier.as_str());
    files::make_private(&here)?;
    files::write_whole(
        &here.join(LAST_FAILURE),
        &serde_json::to_vec_pretty(failure)?,
    )
}

/// Forgets the attempts before, because one succeeded.
///
/// # Errors
/// The file's.
pub(crate) fn forget_failure(directory: &Path, tier: Tier) -> io::Result<()> {
    match fs::remove_file(directory.join(tier.as_str()).join(LAST_FAILURE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_lies_beside_its_dump() {
        for (dump, wanted) in [
            (
                "/backups/daily/meditrustal_20261201.dump",
                "/backups/daily/meditrustal_20261201.json",
            ),
            (
                "keys/meditrustal_keys_20261201.dump.age",
                "keys/meditrustal_keys_20261201.json",
            ),
            ("other", "other.json"),
        ] {
            assert_eq!(beside(Path::new(dump)), Path::new(wanted));
        }
    }
}
