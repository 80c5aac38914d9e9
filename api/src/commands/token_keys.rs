//! A new token key in front of the others.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};
use vault::token::TokenKeys;

use super::output::{Failure, ResultForm, say};

/// Settings of `keys add-token-key`.
#[derive(Debug, Args)]
pub(crate) struct AddTokenKey {
    /// The file of the token keys
    #[arg(long, env = "MEDITRUSTAL_TOKEN_KEY_FILE")]
    file: PathBuf,

    /// How many older keys to keep; an access token is good for ten minutes after its key has gone behind
    #[arg(long, default_value = "1")]
    keep: usize,

    /// Change nothing; say which keys would be left
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl AddTokenKey {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Refused here where it could not be used: never is a good file replaced by a bad one.
        let before = TokenKeys::load(&self.file)?;
        if self.dry_run {
            return self.try_out(&before);
        }
        let text = TokenKeys::add(&fs::read_to_string(&self.file)?, self.keep);
        let keys = TokenKeys::parse(&text)?;
        // Whole or not at all: an api may read it at any moment.
        let next = self.file.with_extension("next");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &self.file)?;
        if self.form.json {
            let each = keys.ids().enumerate();
            let each = each.map(|(nth, id)| json!({ "id": id, "signs": nth == 0 }));
            return say(&json!({ "tokenKeys": each.collect::<Vec<Value>>() }).to_string());
        }
        for (nth, id) in keys.ids().enumerate() {
            say(&format!(
                "{id} {}",
                if nth == 0 { "signs" } else { "verifies" }
            ))?;
        }
        Ok(())
    }

    /// Says what would be in the file.
    fn try_out(&self, before: &TokenKeys) -> Result<(), Failure> {
        let (kept, removed): (Vec<_>, Vec<_>) = before
            .ids()
            .enumerate()
            .partition(|(nth, _)| *nth < self.keep);
        let ids = |all: Vec<(usize, &str)>| -> Vec<String> {
            all.into_iter().map(|(_, id)| id.to_owned()).collect()
        };
        let (kept, removed) = (ids(kept), ids(removed));
        self.form.say(
            &format!(
                "a new key would sign, {} would verify, and {} would go; nothing was changed",
                listed(&kept),
                listed(&removed)
            ),
            &json!({ "dryRun": true, "kept": kept, "removed": removed }),
        )
    }
}

fn listed(ids: &[String]) -> String {
    if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.join(", ")
    }
}
