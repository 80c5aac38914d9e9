//! Key files, made with the operating system's randomness and readable by their owner alone.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use vault::{blind_index::IndexKey, keyring::Keyring, random, token::TokenKeys};

use super::{Failure, say, token_keys::AddTokenKey};

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make master-keys.json, index.key, token-key.pem and registrar.key; refuses to overwrite
    New(NewKeys),
    /// Make index.key alone, where the others are from before there was one; refuses to overwrite
    Index(NewKeys),
    /// Put a new token key in front of the others; every api reads the file again by itself
    AddTokenKey(AddTokenKey),
}

/// Settings of `keys new` and `keys index`.
#[derive(Debug, Args)]
pub(crate) struct NewKeys {
    /// Where to put them
    #[arg(long)]
    dir: PathBuf,
}

impl KeysCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let index_key = ("index.key", IndexKey::generate());
        let (dir, made) = match self {
            Self::AddTokenKey(settings) => return settings.run(),
            Self::Index(NewKeys { dir }) => (dir, vec![index_key]),
            Self::New(NewKeys { dir }) => {
                let master = Keyring::generate(&format!("master-{}", random::hex::<4>()));
                let registrar = random::hex::<32>().into();
                let others = [
                    ("master-keys.json", master),
                    ("token-key.pem", TokenKeys::generate()),
                    ("registrar.key", registrar),
                ];
                (dir, others.into_iter().chain([index_key]).collect())
            }
        };
        fs::create_dir_all(&dir)?;
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
