//! Backups: a dump of the records and a dump of the keys, each in a directory of its own, encrypted, checksummed and counted; and
//! how long each is kept. What is made of them again is `restores`.
//!
//! ```text
//! <directory>/daily/meditrustal_20261201.dump.age       the dump; nothing that is not whole ever has this name
//! <directory>/daily/meditrustal_20261201.json           its manifest: what is in it; there before the dump gets its name
//! <directory>/daily/meditrustal_20261202.dump.age.part  one that is being written, or was cut off
//! <directory>/daily/last-failure.json                   why the newest attempt came to nothing
//! <directory>/tenants/north/daily/…                     the same of a tenant whose tables are in the schema "north"
//! ```

pub(crate) mod files;
pub(crate) mod manifest;
pub(crate) mod pipes;
pub(crate) mod programs;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod verify;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use store::tenant::Tenant;

/// Where the backups of tenants are who have a schema of their own.
const TENANTS: &str = "tenants";

/// Where the backups of a tenant are in a directory of backups: tenants lock, list and prune each their own.
pub(crate) fn home(directory: &Path, tenant: &Tenant) -> PathBuf {
    if tenant.is_in_usual_schema() {
        directory.to_owned()
    } else {
        directory.join(TENANTS).join(tenant.schema())
    }
}

/// Where the backups of all tenants are that have any in a directory of backups; the first is the directory itself.
///
/// # Errors
/// The directory's.
pub(crate) fn homes(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![directory.to_owned()];
    let tenants = files::in_directory(&directory.join(TENANTS))?.into_iter();
    all.extend(tenants.filter(|it| it.is_dir()));
    Ok(all)
}

/// How often a backup is made, and with that how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Each day.
    Daily,
    /// Each week.
    Weekly,
    /// Each month.
    Monthly,
    /// Before the schema is moved.
    Migration,
}

impl Tier {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Daily, Self::Weekly, Self::Monthly, Self::Migration];

    /// The name of its directory.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Migration => "migration",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "daily" => Ok(Self::Daily),
            "weekly" => Ok(Self::Weekly),
            "monthly" => Ok(Self::Monthly),
            _ => Err("a tier is daily, weekly or monthly"),
        }
    }
}

/// Which part of the database a dump holds: no backup holds both, and no role of a backup reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackupPart {
    /// Everything but patients' keys.
    Records,
    /// Patients' keys.
    Keys,
}

impl BackupPart {
    /// How its files begin.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Records => "meditrustal_",
            Self::Keys => "meditrustal_keys_",
        }
    }
}

impl fmt::Display for BackupPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "records",
            Self::Keys => "keys",
        })
    }
}
