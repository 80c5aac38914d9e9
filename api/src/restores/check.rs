//! Whether something may be restored: the dumps are whole, of one backup, of this registry, can be opened and are of a schema that
//! this program knows; the database is empty and used by nobody. All of it before anything is changed.

use std::path::{Path, PathBuf};

use store::{backups::RestoreTarget, migrate, tenant::Tenant};
use vault::backup::BackupIdentities;

use crate::backups::{
    BackupPart,
    manifest::BackupManifest,
    programs::{ProgramError, Programs},
    verify::{self, VerifyError},
};

/// A dump, and what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct CheckedDump {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its manifest.
    pub(crate) manifest: BackupManifest,
}

/// The two dumps of a restore.
#[derive(Debug, Clone)]
pub(crate) struct CheckedDumps {
    /// Everything but patients' keys.
    pub(crate) records: CheckedDump,
    /// Patients' keys.
    pub(crate) keys: CheckedDump,
    /// Whether the schema of the dumps lacks migrations of this program.
    pub(crate) is_older: bool,
}

/// Why nothing is restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedRestore {
    /// A dump is not what it should be.
    #[error(transparent)]
    Dump(#[from] VerifyError),
    /// A dump of the other part.
    #[error("{path} is a dump of the {found}, and the {wanted} are wanted here")]
    OtherPart {
        /// The dump.
        path: String,
        /// What it holds.
        found: BackupPart,
        /// What was wanted.
        wanted: BackupPart,
    },
    /// The dumps are of different times.
    #[error(
        "the keys were dumped before the records: patients who came in between would have no key; take the keys of the same \
         backup, or later ones"
    )]
    OlderKeys,
    /// The dumps are of different databases.
    #[error(
        "the records are of the database {records}, the keys of {keys}: they are not of one installation"
    )]
    OtherDatabase {
        /// The database of the records.
        records: String,
        /// The database of the keys.
        keys: String,
    },
    /// The dumps are of another tenant than the database's role.
    #[error(
        "{path} is of the schema {found}, and the role of the database leads to {wanted}: it is another tenant's dump. It is restored \
         as the migrator of a tenant of that schema and of those roles' names; `meditrustal database create --schema … --role-prefix …` \
         makes both"
    )]
    OtherTenant {
        /// The dump.
        path: String,
        /// Whose it is.
        found: String,
        /// Into whose tables it would be restored.
        wanted: String,
    },
    /// The records are anchored elsewhere.
    #[error(
        "the records are anchored in the registry {found}, and the deployment file names {wanted}: this is a dump of another installation"
    )]
    OtherRegistry {
        /// Where they are anchored.
        found: String,
        /// What the deployment file names.
        wanted: String,
    },
    /// The file of master keys lacks one.
    #[error(
        "the keys are wrapped by master key {0}, which the file of master keys lacks: put the file back that belongs to this backup"
    )]
    NoMasterKey(String),
    /// A later version made the dumps.
    #[error(
        "the dumps have the migration {0}, which this program does not know: restore them by the version that made them, or a later one"
    )]
    NewerSchema(i64),
    /// An earlier version made the dumps.
    #[error(
        "the dumps lack {0} migration(s) of this program: --older-schema restores them and applies what is missing"
    )]
    OlderSchema(usize),
    /// The dumps are from before and after a migration.
    #[error(
        "a migration came between the dump of the records and the dump of the keys: take the keys of the same backup"
    )]
    OtherSchema,
    /// The database, or the tenant's schema in it, has something in it.
    #[error(
        "the database is not empty ({0} tables, functions and the like): make a new one by `meditrustal database create`; a restore \
         that was cut off after it had loaded the dumps goes on with --continue"
    )]
    NotEmpty(i64),
    /// Programs use the database.
    #[error("programs use the database: {0}; stop them first")]
    Used(String),
    /// Roles are missing.
    #[error("the server has no role {0}: `meditrustal database create` makes them")]
    NoRoles(String),
    /// The role may not do it.
    #[error("this role does not own the database, or its schema in it: restore as {0}")]
    NotOwner(String),
    /// There is nothing to go on with.
    #[error("no restore of this backup waits to be continued in this database")]
    NothingToContinue,
    /// A program's that is missing.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// The registry of the deployment file.
#[derive(Debug, Clone)]
pub(crate) struct WantedRegistry {
    /// The chain.
    pub(crate) chain_id: i64,
    /// The registry, as EIP-55 writes it.
    pub(crate) address: String,
}

/// Looks at the files alone.
///
/// # Errors
/// [`RefusedRestore`].
pub(crate) fn check_files(
    records: &Path,
    keys: &Path,
    registry: &WantedRegistry,
    masters: &[String],
) -> Result<CheckedDumps, RefusedRestore> {
    let records = of_part(records, BackupPart::Records)?;
    let keys = of_part(keys, BackupPart::Keys)?;
    if records.manifest.database != keys.manifest.database {
        return Err(RefusedRestore::OtherDatabase {
            records: records.manifest.database,
            keys: keys.manifest.database,
        });
    }
    if keys.manifest.taken_at < records.manifest.taken_at {
        return Err(RefusedRestore::OlderKeys);
    }
    let dumped = &records.manifest;
    if let (Some(chain_id), Some(found)) = (dumped.chain_id, &dumped.registry)
        && (chain_id, found) != (registry.chain_id, &registry.address)
    {
        return Err(RefusedRestore::OtherRegistry {
            found: format!("{found} of chain {chain_id}"),
            wanted: format!("{} of chain {}", registry.address, registry.chain_id),
        });
    }
    if let Some(missing) = keys
        .manifest
        .master_keys
        .iter()
        .find(|id| !masters.contains(id))
    {
        return Err(RefusedRestore::NoMasterKey(missing.clone()));
    }
    let ours = migrate::versions();
    let newer = dumped.migrations.iter().find(|it| !ours.contains(it));
    if let Some(version) = newer {
        return Err(RefusedRestore::NewerSchema(*version));
    }
    let is_older = dumped.migrations.len() < ours.len();
    Ok(CheckedDumps {
        records,
        keys,
        is_older,
    })
}

fn of_part(path: &Path, wanted: BackupPart) -> Result<CheckedDump, RefusedRestore> {
    let manifest = verify::verify_file(path)?;
    if manifest.part != wanted {
        return Err(RefusedRestore::OtherPart {
            path: path.display().to_string(),
            found: manifest.part,
            wanted,
        });
    }
    Ok(CheckedDump {
        path: path.to_owned(),
        manifest,
    })
}

/// Refuses an older schema, unless it was said that there is one, and dumps of two schemas.
///
/// # Errors
/// [`RefusedRestore::OlderSchema`], [`RefusedRestore::OtherSchema`].
pub(crate) fn check_schema(dumps: &CheckedDumps, may_be_older: bool) -> Result<(), RefusedRestore> {
    if dumps.is_older && !may_be_older {
        let missing = migrate::versions().len() - dumps.records.manifest.migrations.len();
        return Err(RefusedRestore::OlderSchema(missing));
    }
    if dumps.keys.manifest.migrations != dumps.records.manifest.migrations {
        return Err(RefusedRestore::OtherSchema);
    }
    Ok(())
}

/// Refuses dumps of another tenant than the one whose schema is filled, and of two tenants.
///
/// # Errors
/// [`RefusedRestore::OtherTenant`].
pub(crate) fn check_tenant(dumps: &CheckedDumps, target: &Tenant) -> Result<(), RefusedRestore> {
    let named = |schema: &str, prefix: &str| format!("{schema:?} (roles {prefix}_…)");
    for dump in [&dumps.records, &dumps.keys] {
        let prefix = dump.manifest.role_prefix.as_deref();
        // Manifests of before do not name it.
        let prefix = prefix.unwrap_or(target.prefix());
        if (dump.manifest.schema.as_str(), prefix) != (target.schema(), target.prefix()) {
            return Err(RefusedRestore::OtherTenant {
                path: dump.path.display().to_string(),
                found: named(&dump.manifest.schema, prefix),
                wanted: named(target.schema(), target.prefix()),
            });
        }
    }
    Ok(())
}

/// Refuses a database that something is in, that is used, or that is not ours to fill.
///
/// # Errors
/// [`RefusedRestore`].
pub(crate) fn check_target(target: &RestoreTarget) -> Result<(), RefusedRestore> {
    if !target.missing_roles.is_empty() {
        return Err(RefusedRestore::NoRoles(target.missing_roles.join(", ")));
    }
    if !target.used_by.is_empty() {
        return Err(RefusedRestore::Used(target.used_by.join(", ")));
    }
    if target.objects > 0 {
        return Err(RefusedRestore::NotEmpty(target.objects));
    }
    if !target.is_owner {
        let migrator = target.tenant.role("migrator");
        return Err(RefusedRestore::NotOwner(migrator));
    }
    Ok(())
}

/// Refuses to go on where this backup was not restored, where it came to its end, or where programs run already.
///
/// # Errors
/// [`RefusedRestore`].
pub(crate) fn check_unfinished(
    target: &RestoreTarget,
    dumps: &CheckedDumps,
) -> Result<(), RefusedRestore> {
    if target.unfinished.as_deref() != Some(dumps.records.manifest.id.as_str()) {
        return Err(RefusedRestore::NothingToContinue);
    }
    if !target.used_by.is_empty() {
        return Err(RefusedRestore::Used(target.used_by.join(", ")));
    }
    Ok(())
}

/// Opens both dumps and reads every row of them: what cannot be read is told before anything is changed.
///
/// # Errors
/// [`RefusedRestore::Dump`].
pub(crate) fn read_all(
    dumps: &CheckedDumps,
    identities: &BackupIdentities,
    programs: &Programs,
) -> Result<(), RefusedRestore> {
    for dump in [&dumps.records, &dumps.keys] {
        verify::verify_rows(&dump.path, &dump.manifest, identities, programs)?;
    }
    Ok(())
}
