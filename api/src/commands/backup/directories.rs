//! Where the backups of a tenant are, as it is told on the command line, and their locks.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use store::tenant::{InvalidTenantName, Tenant};

use crate::{
    backups::{files::DirectoryLock, home, homes},
    commands::output::Failure,
};

/// Where backups are.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackupDirectories {
    /// The directory of the backups of records
    #[arg(
        long,
        env = "MEDITRUSTAL_BACKUP_DIR",
        default_value = "/backups",
        value_name = "DIR"
    )]
    pub(super) dir: PathBuf,

    /// The directory of the backups of keys: on another disk, copied to another place
    #[arg(long, env = "MEDITRUSTAL_KEYS_BACKUP_DIR", value_name = "DIR")]
    pub(super) keys_dir: Option<PathBuf>,

    /// The schema of the tenant whose backups they are: those of each are in `tenants` and the schema's name. By default `run` goes
    /// by the role of the database, `list` and `verify` look at all, and `prune` at those of the schema that every database has
    #[arg(long, env = "MEDITRUSTAL_SCHEMA", value_name = "SCHEMA", value_parser = of_schema)]
    pub(super) schema: Option<Tenant>,
}

/// The tenant of a schema, as it is told on the command line.
///
/// # Errors
/// [`InvalidTenantName`].
pub(crate) fn of_schema(schema: &str) -> Result<Tenant, InvalidTenantName> {
    Tenant::new(schema, Tenant::usual().prefix())
}

impl BackupDirectories {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.dir), self.keys_dir.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Where the backups of one tenant are: of the one that was named, or the usual one.
    pub(super) fn of_one(&self) -> Vec<PathBuf> {
        let usual = Tenant::usual();
        let tenant = self.schema.as_ref().unwrap_or(&usual);
        self.all().map(|it| home(it, tenant)).collect()
    }

    /// Where the backups of the tenant are that was named, or of all.
    pub(super) fn of_all(&self) -> io::Result<Vec<PathBuf>> {
        if self.schema.is_some() {
            return Ok(self.of_one());
        }
        let mut found = Vec::new();
        for directory in self.all() {
            found.extend(homes(directory)?);
        }
        Ok(found)
    }

    /// The locks of these; `None` where another process has one of them.
    pub(super) fn lock<'a>(
        directories: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Option<Vec<DirectoryLock>>, Failure> {
        let mut locks = Vec::new();
        for directory in directories {
            match DirectoryLock::try_take(directory) {
                Ok(Some(lock)) => locks.push(lock),
                Ok(None) => return Ok(None),
                Err(error) => {
                    return Err(
                        format!("{} cannot be written: {error}", directory.display()).into(),
                    );
                }
            }
        }
        Ok(Some(locks))
    }
}
