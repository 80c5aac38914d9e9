//! `meditrustal signer`: the accounts that sign for us on the chain, their nonces, and what waits of them; going on behind nonces
//! that somebody else has used; another key in the place of the one before; and which accounts the apis are to sign with.

mod in_use;

use std::{path::PathBuf, time::Duration};

use chain::{ChainAddress, Client, Deployment, ToldFact, address_of_key_file, transactions_left};
use clap::{Args, Subcommand};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::RequestId,
    purpose::Purpose,
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    Pool, PoolSettings, StoreError, Tx, audit, migrate,
    outbox::attempts::{self, WaitingTransaction},
    restores::{self, KnownSigner},
    signers::{self, SignerAccount},
};

use self::in_use::ChangeUse;
use super::output::{Failure, ResultForm, say};
use crate::{
    config::{NodesConfig, database_url},
    dependencies::registry_of,
};

/// How long the node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many transactions of an account are listed at most.
const LISTED: i64 = 1_000;

/// What can be done about the accounts that sign.
#[derive(Debug, Subcommand)]
pub(crate) enum SignerCommand {
    /// Show for each account how many transactions it can pay, its nonces on the chain and in the database, and what waits
    Status(SignerStatus),
    /// Continue after nonces that transactions unknown to the database have used; find out first who used them
    AdoptNonce(AdoptNonce),
    /// Replace the key of an account by another one; what the old key has signed is still sent
    Rotate(RotateSigner),
    /// Have every api begin records with an account too, once each of them has its key
    Use(ChangeUse),
    /// Have no api begin records with an account any more; then its key can be taken out of each
    Retire(ChangeUse),
}

/// Where the accounts are looked at.
#[derive(Debug, Args)]
pub(crate) struct SignerPlaces {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    nodes: NodesConfig,

    /// What `contracts/script/Deploy.s.sol` wrote
    #[arg(long, env = "MEDITRUSTAL_DEPLOYMENT_FILE")]
    deployment_file: PathBuf,
}

/// Which of the accounts.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WhichSigner {
    /// Only the account with this address; by default all that have signed
    #[arg(long = "signer", value_name = "ADDRESS")]
    address: Option<ChainAddress>,
}

/// Settings of `signer status`.
#[derive(Debug, Args)]
pub(crate) struct SignerStatus {
    #[command(flatten)]
    places: SignerPlaces,

    #[command(flatten)]
    which: WhichSigner,

    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Settings of `signer adopt-nonce`.
#[derive(Debug, Args)]
pub(crate) struct AdoptNonce {
    #[command(flatten)]
    places: SignerPlaces,

    #[command(flatten)]
    which: WhichSigner,

    /// Change nothing; say what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it. First make sure that nobody else has the key, or signs with it any more
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    form: ResultForm,
}

/// Settings of `signer rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateSigner {
    #[command(flatten)]
    places: SignerPlaces,

    /// The next key: a secp256k1 key in hexadecimal digits, readable by us alone
    #[arg(long = "to", value_name = "FILE")]
    next: PathBuf,

    /// The account to replace, where several anchor records
    #[arg(long = "signer", value_name = "ADDRESS")]
    before: Option<ChainAddress>,

    /// Change nothing; say what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl SignerCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(settings) => settings.run().await,
            Self::AdoptNonce(settings) => settings.run().await,
            Self::Rotate(settings) => settings.run().await,
            Self::Use(settings) => settings.run(true).await,
            Self::Retire(settings) => settings.run(false).await,
        }
    }
}

/// The database and the node, found to fit together.
struct OpenedPlaces {
    pool: Pool,
    client: Client,
    chain_id: i64,
}

impl SignerPlaces {
    async fn open(&self) -> Result<OpenedPlaces, Failure> {
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal signer", one)?;
        migrate::require_current(&pool).await?;
        let deployment = Deployment::load(&self.deployment_file)?;
        let client = self.nodes.client(NODE_TIMEOUT, &deployment)?;
        client.check().await?;
        Ok(OpenedPlaces {
            pool,
            client,
            chain_id: registry_of(&deployment)?.chain_id,
        })
    }
}

impl WhichSigner {
    /// Those that are meant, as the database knows them.
    async fn known(self, opened: &OpenedPlaces) -> Result<Vec<KnownSigner>, Failure> {
        let mut conn = opened.pool.acquire().await?;
        let known = restores::signers(&mut conn, opened.chain_id).await?;
        let Some(wanted) = self.address else {
            return Ok(known);
        };
        let address = wanted.to_string();
        let mut named = known.into_iter().filter(|it| it.address == address);
        let named = named.next().ok_or_else(|| never_signed(wanted))?;
        Ok(vec![named])
    }
}

fn never_signed(account: ChainAddress) -> String {
    format!("{account} has never signed here: `meditrustal signer status` names those that have")
}

/// What the node says of an account.
#[derive(Debug, Clone, Copy)]
struct OnNode {
    account: ChainAddress,
    /// How many of its transactions are in blocks.
    latest: i64,
    /// The same, with those that wait at the node.
    pending: i64,
}

impl OnNode {
    async fn ask(client: &Client, address: &str) -> Result<Self, Failure> {
        let account: ChainAddress = address.parse()?;
        Ok(Self {
            account,
            latest: i64::try_from(client.next_nonce(account).await?)?,
            pending: i64::try_from(client.pending_nonce(account).await?)?,
        })
    }

    /// How many of its transactions the chain has, and the database does not know.
    fn foreign(self, known: i64) -> i64 {
        self.latest.saturating_sub(known).max(0)
    }

    /// How many more of them wait at the node.
    fn foreign_waiting(self, known: i64) -> i64 {
        self.pending.saturating_sub(self.latest.max(known)).max(0)
    }
}

impl SignerStatus {
    async fn run(&self) -> Result<(), Failure> {
        let opened = self.places.open().await?;
        let fee = opened.client.fees().await?.max_fee_per_gas;
        let known = self.which.known(&opened).await?;
        let mut conn = opened.pool.acquire().await?;
        let mut told = Vec::new();
        for signer in known {
            let on_node = OnNode::ask(&opened.client, &signer.address).await?;
            let account = SignerAccount {
                chain_id: opened.chain_id,
                address: &signer.address,
            };
            let waiting = attempts::waiting(&mut conn, account, LISTED).await?;
            let balance = opened.client.balance(on_node.account).await?;
            let may_anchor = opened.client.is_registrar(on_node.account).await?;
            let left = transactions_left(balance, fee);
            if self.json {
                let foreign = on_node.foreign(signer.next_nonce);
                let waiting: Vec<Value> = waiting.iter().map(described).collect();
                told.push(json!({
                    "address": signer.address,
                    "mayAnchor": may_anchor,
                    "inUse": signer.in_use,
                    "balanceWei": balance.to_string(),
                    "transactionsLeft": left,
                    "nonces": {
                        "database": signer.next_nonce,
                        "latest": on_node.latest,
                        "pending": on_node.pending,
                    },
                    "foreignTransactions": foreign,
                    "waiting": waiting,
                }));
            } else {
                let role = if may_anchor {
                    "may anchor"
                } else {
                    "may not anchor"
                };
                let address = &signer.address;
                let in_use = if signer.in_use {
                    "in use"
                } else {
                    "not in use"
                };
                say(&format!(
                    "{address} is {in_use}, {role}, and has {balance} wei, for {left} transactions"
                ))?;
                tell_nonces(&signer, on_node)?;
                tell_waiting(&waiting)?;
            }
        }
        if self.json {
            return say(&json!({ "signers": told }).to_string());
        }
        Ok(())
    }
}

fn tell_nonces(signer: &KnownSigner, on_node: OnNode) -> Result<(), Failure> {
    let known = signer.next_nonce;
    let OnNode {
        latest, pending, ..
    } = on_node;
    say(&format!(
        "  next nonce: {known} in the database, {latest} in the newest block, {pending} with what waits at the node"
    ))?;
    let foreign = on_node.foreign(known);
    if foreign > 0 {
        say(&format!(
            "  {foreign} transaction(s) of it are not ours: see `meditrustal signer adopt-nonce --dry-run`"
        ))?;
    }
    Ok(())
}

fn tell_waiting(waiting: &[WaitingTransaction]) -> Result<(), Failure> {
    for it in waiting {
        let WaitingTransaction {
            nonce,
            kind,
            state,
            tx_hash,
            attempts,
            max_fee_per_gas,
            seconds,
        } = it;
        say(&format!(
            "  waiting for {seconds:.0} s: nonce {nonce}, {kind}, {state}, {tx_hash}, attempt {attempts} at {max_fee_per_gas} wei"
        ))?;
    }
    say(&format!("  {} transaction(s) wait", waiting.len()))
}

fn described(waiting: &WaitingTransaction) -> Value {
    json!({
        "nonce": waiting.nonce,
        "kind": waiting.kind,
        "state": waiting.state,
        "txHash": waiting.tx_hash,
        "attempts": waiting.attempts,
        "maxFeeWei": waiting.max_fee_per_gas,
        "seconds": waiting.seconds,
    })
}

impl AdoptNonce {
    async fn run(&self) -> Result<(), Failure> {
        let opened = self.places.open().await?;
        let known = self.which.known(&opened).await?;
        let mut behind = Vec::new();
        for signer in known {
            let on_node = OnNode::ask(&opened.client, &signer.address).await?;
            if on_node.foreign(signer.next_nonce) > 0 {
                behind.push((signer, on_node));
            }
        }
        if behind.is_empty() {
            return self.form.say(
                "the database knows every transaction of its accounts: nothing is to be adopted",
                &json!({ "dryRun": self.dry_run, "signers": [] }),
            );
        }
        let mut told = Vec::new();
        for (signer, on_node) in &behind {
            self.form.say_words(&explained(signer, *on_node))?;
            told.push(json!({
                "address": signer.address,
                "before": signer.next_nonce,
                "nextNonce": on_node.latest,
                "foreignTransactions": on_node.foreign(signer.next_nonce),
            }));
        }
        let told = json!({ "dryRun": self.dry_run, "signers": told });
        if self.dry_run {
            return self.form.say("nothing was changed", &told);
        }
        if !self.yes {
            return Err(
                "nothing was changed: run it with --yes once you know who has used the key".into(),
            );
        }
        for (signer, on_node) in &behind {
            adopt(&opened, signer, *on_node).await?;
            let (address, next) = (&signer.address, on_node.latest);
            self.form
                .say_words(&format!("{address} goes on from nonce {next}"))?;
        }
        self.form.say_json(&told)
    }
}

/// What adopting the nonces of an account means.
fn explained(signer: &KnownSigner, on_node: OnNode) -> String {
    let (address, known) = (&signer.address, signer.next_nonce);
    let (foreign, last) = (on_node.foreign(known), on_node.latest - 1);
    format!(
        "{address}: the chain has {foreign} transaction(s) that this database does not know, with the nonces {known} to {last}. \
         Either somebody else has the key (then it is stolen: follow `Registrar stolen` in docs/operations.md first), or the database \
         is an older one (then `meditrustal restore` does this, and more). From now on it would sign with nonce {}; records whose \
         nonce was used meanwhile are signed again by the api",
        on_node.latest
    )
}

async fn adopt(
    opened: &OpenedPlaces,
    signer: &KnownSigner,
    on_node: OnNode,
) -> Result<(), Failure> {
    let address = &signer.address;
    let waiting = on_node.foreign_waiting(signer.next_nonce);
    if waiting > 0 {
        return Err(format!(
            "{waiting} more transaction(s) of {address} wait at the node: run this again when they are in a block"
        )
        .into());
    }
    let account = SignerAccount {
        chain_id: opened.chain_id,
        address,
    };
    let next = on_node.latest;
    // A nonce that one node makes up would leave a gap, behind which nothing is ever mined.
    let told = ToldFact::NonceUsed {
        account: on_node.account,
        next: u64::try_from(next)?,
        by_none_of: &[],
    };
    Box::pin(opened.client.require_second_word(told)).await?;
    let mut tx = opened.pool.begin().await?;
    if restores::raise_nonce(&mut tx, account, next).await? {
        let details = json!({
            "signer": address, "nextNonce": next, "before": signer.next_nonce, "adopted": true,
        });
        write_down(&mut tx, details).await?;
    }
    tx.commit().await?;
    Ok(())
}

impl RotateSigner {
    async fn run(&self) -> Result<(), Failure> {
        let opened = self.places.open().await?;
        let account = address_of_key_file(&self.next)?;
        let address = account.to_string();
        let nonce = require_ready(&opened, account).await?;
        let before = WhichSigner {
            address: self.before,
        };
        let mut known = before.known(&opened).await?;
        if known.iter().any(|it| it.in_use) {
            known.retain(|it| it.in_use);
        }
        known.retain(|it| it.address != address);
        let file = self.next.display();
        // Whoever has one account need not name it.
        let (old, how) = match (self.before, known.as_slice()) {
            (Some(old), _) => (
                old.to_string(),
                format!(
                    "{file} in the place of the key of {old} in MEDITRUSTAL_REGISTRAR_KEY_FILES, or MEDITRUSTAL_REGISTRAR_KEY_FILE,"
                ),
            ),
            (None, [old]) => (
                old.address.clone(),
                format!("MEDITRUSTAL_REGISTRAR_KEY_FILE={file}"),
            ),
            (None, _) => {
                return Err(
                    "name the account to replace by --signer: it is not the only one that is known"
                        .into(),
                );
            }
        };
        if old == address {
            return Err(format!("{file} is the key of {old} itself").into());
        }
        self.form.say_words(&format!(
            "1. {address} is made known, so that its anchors are ours, and is in use in the place of {old}\n\
             2. then stop each api, and start them with {how}: they sign with the new key, and send what {old} has signed to its end\n\
             3. when `meditrustal signer status` says that nothing of {old} waits, let the registry's administrator call \
             revokeRole(REGISTRAR_ROLE, {old}), and destroy its key"
        ))?;
        if self.dry_run {
            let told = json!({ "dryRun": true, "address": address, "nextNonce": nonce });
            return self.form.say("nothing was changed", &told);
        }
        if !self.yes {
            return Err("nothing was changed: run it with --yes".into());
        }
        let signer = SignerAccount {
            chain_id: opened.chain_id,
            address: &address,
        };
        let mut tx = opened.pool.begin().await?;
        // Before the account's row, as an api does that begins.
        signers::lock_set(&mut tx).await?;
        let next = signers::register(&mut tx, signer, nonce).await?;
        signers::set_in_use(&mut tx, signer, true).await?;
        let replaced = SignerAccount {
            address: &old,
            ..signer
        };
        signers::set_in_use(&mut tx, replaced, false).await?;
        let details = json!({ "signer": address, "nextNonce": next, "rotated": true });
        write_down(&mut tx, details).await?;
        tx.commit().await?;
        self.form.say(
            &format!(
                "{address} is known, and begins with nonce {next}; now stop each api, and start them"
            ),
            &json!({ "dryRun": false, "address": address, "nextNonce": next }),
        )
    }
}

/// Refuses an account with which nothing could be anchored, and where a second node says otherwise; gives its next nonce.
async fn require_ready(opened: &OpenedPlaces, account: ChainAddress) -> Result<i64, Failure> {
    let OpenedPlaces {
        pool,
        client,
        chain_id,
    } = opened;
    if !client.is_registrar(account).await? {
        return Err(format!(
            "the registry does not let {account} anchor: let its administrator call grantRole(REGISTRAR_ROLE, {account}) first; \
             the one before keeps the role until its transactions are in blocks"
        )
        .into());
    }
    let fee = client.fees().await?.max_fee_per_gas;
    if transactions_left(client.balance(account).await?, fee) == 0 {
        return Err(
            format!("{account} cannot pay for a transaction: send funds to it first").into(),
        );
    }
    let next = client.next_nonce(account).await?;
    // By what one node makes up nothing that the account signs would ever be mined, or all of it without effect.
    for told in [
        ToldFact::IsRegistrar(account),
        ToldFact::NextNonce { account, next },
    ] {
        Box::pin(client.require_second_word(told)).await?;
    }
    let nonce = i64::try_from(next)?;
    let signer = SignerAccount {
        chain_id: *chain_id,
        address: &account.to_string(),
    };
    let mut conn = pool.acquire().await?;
    let known = signers::known_nonce(&mut conn, signer).await?;
    if known.is_some_and(|known| known < nonce) {
        return Err(format!(
            "the chain knows transactions of {account} that this database does not: see `meditrustal signer adopt-nonce --dry-run`"
        )
        .into());
    }
    Ok(nonce)
}

/// Writes down what the operator did.
async fn write_down(tx: &mut Tx<'_>, details: Value) -> Result<(), StoreError> {
    let origin = Origin::job(RequestId::fresh());
    let entry = AuditEntry {
        resource_type: ResourceType::Signer,
        resource_id: origin.request.0,
        new_value: Some(details),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::KeyRotate,
            Purpose::SystemAdministration,
            &origin,
        )
    };
    audit::insert(tx, &[entry]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_does_not_know_is_counted_in_blocks_and_at_the_node() {
        let account = ChainAddress([1; 20]);
        let cases = [
            // in blocks, at the node, in the database → of others in blocks, of others at the node
            (5, 5, 5, 0, 0),
            (5, 7, 7, 0, 0),
            (5, 5, 9, 0, 0),
            (7, 7, 5, 2, 0),
            (7, 9, 5, 2, 2),
            (5, 9, 7, 0, 2),
        ];
        for (latest, pending, known, foreign, waiting) in cases {
            let on_node = OnNode {
                account,
                latest,
                pending,
            };
            let found = (on_node.foreign(known), on_node.foreign_waiting(known));
            assert_eq!(found, (foreign, waiting), "{latest} {pending} {known}");
        }
    }
}
