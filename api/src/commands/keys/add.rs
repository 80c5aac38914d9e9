//! `keys add`: a fresh master key in front of the file.

use clap::Args;
use serde_json::json;
use vault::keyring::Keyring;

use super::master_keys::{MasterKeysFile, new_id};
use crate::commands::output::{Failure, ResultForm};

/// Settings of `keys add`.
#[derive(Debug, Args)]
pub(crate) struct AddKey {
    #[command(flatten)]
    file: MasterKeysFile,

    /// Its name, at most 64 bytes, not used before; made up if left out
    #[arg(long)]
    id: Option<String>,

    /// Its label in the PKCS#11 token, where one is named; its id, if left out. A key that has this label there is taken, and one is
    /// made where there is none
    #[arg(long, requires = "pkcs11_module")]
    label: Option<String>,

    /// Change nothing; say what would be put in front. No token is asked
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl AddKey {
    pub(super) fn run(self) -> Result<(), Failure> {
        let id = self.id.unwrap_or_else(new_id);
        let path = &self.file.path;
        if self.dry_run {
            let is_in_token = self.file.pkcs11.settings().is_some();
            let label = is_in_token.then(|| self.label.as_deref().unwrap_or(&id));
            Keyring::try_add(path, &id, label)?;
            let file = path.display().to_string();
            return self.form.say(
                &format!("{id} would be put in front of {file}; nothing was changed"),
                &json!({ "dryRun": true, "id": id, "file": file, "label": label }),
            );
        }
        match self.file.pkcs11.settings() {
            None => Keyring::add(path, &id)?,
            Some(token) => {
                let label = self.label.as_deref().unwrap_or(&id);
                Keyring::add_in(path, &token, &id, label)?;
            }
        }
        self.form.say(
            &format!(
                "{id} wraps from now on; `meditrustal keys rotate` brings the older keys under it. \
                 Back the file up"
            ),
            &json!({ "id": id, "file": path.display().to_string() }),
        )
    }
}
