//! `keys status`: what each master key wraps and seals.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;
use store::keys;

use super::master_keys::{Rotation, count};
use crate::commands::output::{Failure, say};

/// Settings of `keys status`.
#[derive(Debug, Args)]
pub(crate) struct KeysStatus {
    #[command(flatten)]
    rotation: Rotation,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

impl KeysStatus {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let (pool, keyring) = self.rotation.open(true).await?;
        let mut conn = pool.acquire().await?;
        let wrapped = keys::count_by_master(&mut conn).await?;
        let sealed = keys::count_seals_by_master(&mut conn).await?;
        let ids = keyring.ids();
        let all = wrapped.iter().chain(&sealed).map(|(id, _)| id);
        let lost: BTreeSet<&String> = all.filter(|id| !ids.contains(id)).collect();
        let mut told = Vec::new();
        for (nth, id) in ids.iter().chain(lost.iter().copied()).enumerate() {
            let [keys, rows] = [&wrapped, &sealed].map(|all| count(all, id));
            let what = match (nth, keys + rows) {
                _ if lost.contains(id) => "IS NOT IN THE FILE",
                (0, _) => "wraps new keys",
                (_, 0) => "may be retired",
                (_, _) => "to be rotated",
            };
            if self.json {
                told.push(json!({
                    "id": id, "patientKeys": keys, "seals": rows, "isInFile": ids.contains(id), "isFirst": ids.first() == Some(id),
                }));
            } else {
                say(&format!("{id}  {keys} key(s)  {rows} seal(s)  {what}"))?;
            }
        }
        if self.json {
            say(&json!({ "masterKeys": told }).to_string())?;
        }
        if lost.is_empty() {
            return Ok(());
        }
        let refusal =
            "records of these patients do not open: find the file that has these master keys";
        Err(refusal.into())
    }
}
