//! Key files, and the rotation of the master keys, step by step: `add`, `rotate`, `status`, `retire`.

mod add;
mod master_keys;
mod new_files;
mod reseal;
mod retire;
mod rewrap;
mod rotate;
mod status;

use clap::Subcommand;

use self::{
    add::AddKey,
    new_files::{NewKeyFiles, NewKeys},
    retire::RetireKey,
    rotate::RotateKeys,
    status::KeysStatus,
};
use super::{output::Failure, token_keys::AddTokenKey};

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make master-keys.json, index.key, token-key.pem, registrar.key and checkpoint.key; refuses to overwrite. Where a PKCS#11 token
    /// is named, the master key is made inside it
    New(NewKeyFiles),
    /// Make index.key alone, where the others are from before there was one; refuses to overwrite
    Index(NewKeys),
    /// Make checkpoint.key alone, where the others are from before there was one; refuses to overwrite
    Checkpoint(NewKeys),
    /// Put a new token key in front of the others; every api reads the file again by itself
    AddTokenKey(AddTokenKey),
    /// Put a fresh master key in front of the file; programs that run see it by themselves. Where a PKCS#11 token is named, it is inside
    /// that
    Add(AddKey),
    /// Wrap every patient's key, and every second factor, anew under the first master key; may be stopped and run again
    Rotate(RotateKeys),
    /// Say how many patients' keys each master key wraps, and which may be retired
    Status(KeysStatus),
    /// Take a master key out of the file that wraps nothing any more
    Retire(RetireKey),
}

impl KeysCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(settings) => settings.make(),
            Self::Index(settings) => settings.make_index(),
            Self::Checkpoint(settings) => settings.make_checkpoint(),
            Self::AddTokenKey(settings) => settings.run(),
            Self::Add(settings) => settings.run(),
            Self::Rotate(settings) => settings.run().await,
            Self::Status(settings) => settings.run().await,
            Self::Retire(settings) => settings.run().await,
        }
    }
}
