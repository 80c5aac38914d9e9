//! Which accounts the apis are to sign with: one more, or one less, while they run.

use chain::ChainAddress;
use clap::Args;
use serde_json::json;
use store::signers::{self, SignerAccount};

use super::{SignerPlaces, WhichSigner, require_ready, write_down};
use crate::commands::output::{Failure, ResultForm};

/// Settings of `signer use` and `signer retire`.
#[derive(Debug, Args)]
pub(crate) struct ChangeUse {
    #[command(flatten)]
    places: SignerPlaces,

    /// The account
    #[arg(long = "signer", value_name = "ADDRESS")]
    account: ChainAddress,

    /// Change nothing; say what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl ChangeUse {
    pub(super) async fn run(&self, is_in_use: bool) -> Result<(), Failure> {
        let opened = self.places.open().await?;
        let address = self.account.to_string();
        let which = WhichSigner {
            address: Some(self.account),
        };
        let known = which.known(&opened).await?;
        if is_in_use {
            require_ready(&opened, self.account).await?;
        }
        if known.iter().all(|it| it.in_use == is_in_use) {
            let told = json!({ "dryRun": self.dry_run, "address": address, "changed": false });
            return self.form.say("nothing is to be changed", &told);
        }
        self.form.say_words(&if is_in_use {
            format!(
                "each api begins records with {address}, too: every one has to have its key by now. One that lacks it is not ready, and \
                 refuses new versions of what {address} has anchored"
            )
        } else {
            format!(
                "no api begins records with {address} any more. Those with its key go on with what it has begun; take the key out of one \
                 after the other, which anchor the next versions by another account: only a steward can end the ones before"
            )
        })?;
        let told = |changed: bool| json!({ "dryRun": self.dry_run, "address": address, "changed": changed });
        if self.dry_run {
            return self.form.say("nothing was changed", &told(false));
        }
        if !self.yes {
            return Err("nothing was changed: run it with --yes".into());
        }
        let signer = SignerAccount {
            chain_id: opened.chain_id,
            address: &address,
        };
        let mut tx = opened.pool.begin().await?;
        let left = signers::set_in_use(&mut tx, signer, is_in_use).await?;
        if left.is_empty() {
            return Err(format!(
                "nothing was changed: {address} is the only account in use; `meditrustal signer use`, or `rotate`, comes first"
            )
            .into());
        }
        let details = json!({ "signer": address, "inUse": is_in_use });
        write_down(&mut tx, details).await?;
        tx.commit().await?;
        let now = format!("in use are now {}", left.join(", "));
        self.form.say(&now, &told(true))
    }
}
