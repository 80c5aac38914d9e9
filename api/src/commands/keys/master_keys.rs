//! The master keys as the commands find them: their file, the database with what they wrap, and what is written down of a change.

use std::path::PathBuf;

use clap::Args;
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::Value;
use store::{Pool, PoolSettings, migrate};
use vault::{keyring::Keyring, random};

use crate::{
    commands::output::Failure,
    config::{Pkcs11Config, database_url},
    key_checks::{check_master_keys, compare_master_keys},
};

/// Which file.
#[derive(Debug, Args)]
pub(super) struct MasterKeysFile {
    /// The master keys that wrap patients' keys
    #[arg(long = "file", env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    pub(super) path: PathBuf,

    #[command(flatten)]
    pub(super) pkcs11: Pkcs11Config,
}

/// Where the keys are, and what they wrap.
#[derive(Debug, Args)]
pub(super) struct Rotation {
    #[command(flatten)]
    pub(super) file: MasterKeysFile,

    /// Where the database is, under the role meditrustal_keys
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,
}

impl Rotation {
    /// With `to_try` the database is not told of keys that it does not know yet.
    pub(super) async fn open(&self, to_try: bool) -> Result<(Pool, Keyring), Failure> {
        let keyring = self.file.pkcs11.keyring(&self.file.path)?;
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal keys", one)?;
        migrate::require_current(&pool).await?;
        if to_try {
            compare_master_keys(&pool, &keyring).await?;
        } else {
            check_master_keys(&pool, &keyring).await?;
        }
        Ok((pool, keyring))
    }
}

/// An id for a new master key.
pub(super) fn new_id() -> String {
    format!("master-{}", random::hex::<4>())
}

/// How many of these a master key has.
pub(super) fn count(all: &[(String, i64)], id: &str) -> i64 {
    all.iter().find(|(of, _)| of == id).map_or(0, |it| it.1)
}

/// The row of the audit trail of a change.
pub(super) fn entry(origin: &Origin, details: Value) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::PatientKey,
        resource_id: origin.request.0,
        new_value: Some(details),
        classification: Classification::Security,
        encryption: EncryptionStatus::EncryptedAtRest,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::KeyRotate,
            Purpose::SystemAdministration,
            origin,
        )
    }
}
