//! `keys retire`: a master key that wraps and seals nothing any more is taken out of the file.

use std::time::Duration;

use clap::Args;
use domain::{audit::Origin, ids::RequestId};
use serde_json::json;
use store::{audit, keys};
use vault::keyring::Keyring;

use super::master_keys::{Rotation, count, entry};
use crate::commands::output::{Failure, ResultForm};

/// Settings of `keys retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireKey {
    #[command(flatten)]
    rotation: Rotation,

    /// Which one
    id: String,

    /// How long to wait before looking a second time, in seconds: until every transaction has ended
    /// that may have begun before the key in front was there
    #[arg(long, default_value = "20")]
    wait: u64,

    /// Change nothing; look once, and say whether it would be taken out
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl RetireKey {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let (pool, keyring) = self.rotation.open(self.dry_run).await?;
        let id = &self.id;
        let ids = keyring.ids();
        if !ids.contains(id) || ids.first() == Some(id) {
            return Err(format!("{id} is not one of the older keys of the file").into());
        }
        let waits = if self.dry_run {
            vec![0]
        } else {
            vec![self.wait, 0]
        };
        for wait in waits {
            let mut conn = pool.acquire().await?;
            let wrapped = keys::count_by_master(&mut conn).await?;
            if let Some((_, keys)) = wrapped.iter().find(|(of, _)| of == id) {
                return Err(format!(
                    "{id} still wraps {keys} key(s): run `meditrustal keys rotate` first"
                )
                .into());
            }
            let rows = count(&keys::count_seals_by_master(&mut conn).await?, id);
            if rows > 0 {
                return Err(format!(
                    "{id} still seals {rows} row(s): run `meditrustal keys rotate` first"
                )
                .into());
            }
            drop(conn);
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
        if self.dry_run {
            return self.form.say(
                &format!("{id} would be taken out of the file; nothing was changed"),
                &json!({ "dryRun": true, "retired": id }),
            );
        }
        let removal = Keyring::remove(&self.rotation.file.path, id)?;
        let mut tx = pool.begin().await?;
        let origin = Origin::job(RequestId::fresh());
        audit::insert(&mut tx, &[entry(&origin, json!({ "retired": id }))]).await?;
        tx.commit().await?;
        // The trail first: whoever is killed in between says it twice, and never takes a key out without a row.
        removal.finish()?;
        self.form.say(
            &format!(
                "{id} is out of the file; backups that are older than the rotation still need it"
            ),
            &json!({ "retired": id }),
        )
    }
}
