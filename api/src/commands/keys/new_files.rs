//! `keys new`, `keys index` and `keys checkpoint`: key files, made with the operating system's randomness and readable by their owner
//! alone.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use vault::{blind_index::IndexKey, keyring::Keyring, random, token::TokenKeys};

use super::master_keys::new_id;
use crate::{
    commands::output::{Failure, ResultForm},
    config::Pkcs11Config,
};

/// What `keys new` makes.
const KEY_FILES: [&str; 5] = [
    "master-keys.json",
    "token-key.pem",
    "registrar.key",
    "checkpoint.key",
    "index.key",
];

/// Settings of `keys index` and `keys checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct NewKeys {
    /// Where to put them
    #[arg(long)]
    dir: PathBuf,

    /// Make nothing; say which files would be made
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `keys new`.
#[derive(Debug, Args)]
pub(crate) struct NewKeyFiles {
    #[command(flatten)]
    files: NewKeys,

    #[command(flatten)]
    pkcs11: Pkcs11Config,

    /// The label that the master key has in the PKCS#11 token, where one is named; its id, if left out
    #[arg(long, requires = "pkcs11_module")]
    label: Option<String>,
}

impl NewKeyFiles {
    pub(super) fn make(&self) -> Result<(), Failure> {
        let dir = &self.files.dir;
        if self.files.dry_run {
            return self
                .files
                .try_out(&KEY_FILES, self.pkcs11.settings().is_some());
        }
        // Before a key is made in a token.
        require_none(dir, &KEY_FILES)?;
        let id = new_id();
        let master = match self.pkcs11.settings() {
            None => Keyring::generate(&id),
            Some(token) => Keyring::generate_in(&token, &id, self.label.as_deref().unwrap_or(&id))?,
        };
        let texts = [
            master,
            TokenKeys::generate(),
            random::hex::<32>().into(),
            random::hex::<32>().into(),
            IndexKey::generate(),
        ];
        let made: Vec<_> = KEY_FILES.into_iter().zip(texts).collect();
        let files = self.files.make(&made)?;
        let registrar = chain::address_of_key_file(&dir.join("registrar.key"))?;
        let form = self.files.form;
        form.say_words(&format!(
            "the registrar is {registrar}: deploy with REGISTRAR_ADDRESS={registrar}, or grant it the \
             registrar's role"
        ))?;
        let checkpointer = self.files.say_checkpointer()?;
        form.say_json(&json!({
            "files": files, "registrar": registrar.to_string(), "checkpointer": checkpointer,
        }))
    }
}

impl NewKeys {
    /// Makes index.key.
    pub(super) fn make_index(&self) -> Result<(), Failure> {
        if self.dry_run {
            return self.try_out(&["index.key"], false);
        }
        let files = self.make(&[("index.key", IndexKey::generate())])?;
        self.form.say_json(&json!({ "files": files }))
    }

    /// Makes checkpoint.key.
    pub(super) fn make_checkpoint(&self) -> Result<(), Failure> {
        if self.dry_run {
            return self.try_out(&["checkpoint.key"], false);
        }
        let files = self.make(&[("checkpoint.key", random::hex::<32>())])?;
        let checkpointer = self.say_checkpointer()?;
        let told = json!({ "files": files, "checkpointer": checkpointer });
        self.form.say_json(&told)
    }

    /// Makes these files, and says which; gives their paths.
    fn make<T: AsRef<str>>(&self, made: &[(&str, T)]) -> Result<Vec<String>, Failure> {
        let dir = &self.dir;
        fs::create_dir_all(dir)?;
        let names: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
        require_none(dir, &names)?;
        let mut files = Vec::with_capacity(made.len());
        for (name, text) in made {
            let path = dir.join(name);
            write_private(&path, text.as_ref())?;
            let file = path.display().to_string();
            self.form.say_words(&file)?;
            files.push(file);
        }
        Ok(files)
    }

    /// Says which files would be made, and whether the master key would be inside a token.
    fn try_out(&self, names: &[&str], is_in_token: bool) -> Result<(), Failure> {
        require_none(&self.dir, names)?;
        let files = names.iter().map(|name| self.dir.join(name));
        let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
        if is_in_token {
            self.form
                .say_words("the master key would be made inside the token")?;
        }
        self.form.say(
            &format!("{} would be made; nothing was", files.join(", ")),
            &json!({ "dryRun": true, "files": files, "inToken": is_in_token }),
        )
    }

    /// Says whom the registry must let pin checkpoints; gives the account.
    fn say_checkpointer(&self) -> Result<String, Failure> {
        let account = chain::address_of_key_file(&self.dir.join("checkpoint.key"))?;
        self.form.say_words(&format!(
            "checkpoints are pinned by {account}: deploy with CHECKPOINT_ADDRESS={account}, or grant it the checkpoint role"
        ))?;
        Ok(account.to_string())
    }
}

/// Refuses a directory in which one of these is.
fn require_none(dir: &Path, names: &[&str]) -> Result<(), Failure> {
    let mut files = names.iter().map(|name| dir.join(name));
    match files.find(|file| file.exists()) {
        None => Ok(()),
        Some(there) => Err(format!(
            "{} is there already and is not overwritten",
            there.display()
        )
        .into()),
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
