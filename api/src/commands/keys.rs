//! Key files, made with the operating system's randomness and readable by their owner alone.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use vault::{keyring::Keyring, random, token::TokenKey};

use super::{Failure, say};

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make master-keys.json, token-key.pem and registrar.key; refuses to overwrite
    New(NewKeys),
}

/// Settings of `keys new`.
#[derive(Debug, Args)]
pub(crate) struct NewKeys {
    /// Where to put them
    #[arg(long)]
    dir: PathBuf,
}

impl KeysCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::New(NewKeys { dir }) = self;
        fs::create_dir_all(&dir)?;
        let made = [
            (
                "master-keys.json",
                Keyring::generate(&format!("master-{}", random::hex::<4>())),
            ),
            ("token-key.pem", TokenKey::generate()),
            ("registrar.key", random::hex::<32>().into()),
        ];
        if let Some((name, _)) = made.iter().find(|(name, _)| dir.join(name).exists()) {
            let there = dir.join(name);
            return Err(format!(
                "{} is there already and is not overwritten",
                there.display()
            )
            .into());
        }
        for (name, text) in &made {
            write_private(&dir.join(name), text)?;
            say(&format!("{}", dir.join(name).display()))?;
        }
        Ok(())
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", text.trim_end())?;
    file.sync_all()
}
