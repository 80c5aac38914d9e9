//! Pins what the trail's tree is in the registry: signs a checkpoint when one is due, sends it until the registry has it,
//! and signs none where the registry holds what this trail never was. Where several nodes are named, none is signed, called a
//! contradiction or given up on the word of one of them.
//!
//! That it is there, the indexer says. Two processes with one key follow one another by a lock; both may send, which is
//! harmless.

use std::{sync::Arc, time::Duration};

use chain::{
    ChainAddress, Client, ClientError, Fees, NextCheckpoint, PinnedCheckpoint, Sent, Signer,
    SignerError, ToldFact, TxHash,
};
use domain::records::DataHash;
use store::{
    Pool, StoreError, Tx,
    checkpoints::{self, CheckpointDue, SignedCheckpoint, WaitingCheckpoint},
    cursor::Registry,
    trail as tree_of,
};
use tokio::sync::watch;
use trail::{
    Hash,
    checkpoint::Checkpoint,
    tree::{self, Frontier},
};

use super::finding;
use crate::{
    health::{CheckpointState, Health},
    relay::agreed::require_agreed,
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// When one is handed over again that is in no block: nodes forget.
const AGAIN_IN: Duration = Duration::from_secs(15);

/// What it takes to pin checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// The tree.
    pub(crate) pool: Pool,
    /// The node.
    pub(crate) client: Client,
    /// The registry.
    pub(crate) registry: Registry,
    /// The account that pins.
    pub(crate) signer: Arc<Signer>,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
    /// When one is due.
    pub(crate) due: CheckpointDue,
    /// Where it is told how it goes.
    pub(crate) health: Health,
}

/// Why a round came to nothing. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Node(#[from] ClientError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("a node of the audit tree is missing")]
    NoNode,
    #[error("the registry is paused")]
    Paused,
    #[error("the registry holds a checkpoint of {size} rows that this trail never had")]
    Contradiction { size: u64 },
    #[error("the registry does not let this account pin checkpoints")]
    NotAllowed,
    #[error("the checkpoint of {size} rows is in no block: {why}")]
    NotTaken { size: i64, why: String },
}

impl Hindrance {
    const fn state(&self) -> CheckpointState {
        match self {
            Self::Store(_) => CheckpointState::Database,
            Self::Node(ClientError::NodesDiffer { .. }) => CheckpointState::NodesDiffer,
            Self::Node(_) | Self::Signer(_) => CheckpointState::Node,
            Self::Paused => CheckpointState::Paused,
            Self::NotAllowed => CheckpointState::NotAllowed,
            Self::NotTaken { .. } => CheckpointState::NotTaken,
            Self::NoNode | Self::Contradiction { .. } => CheckpointState::Contradiction,
        }
    }
}

impl Checkpointer {
    /// Looks again and again.
    pub(crate) async fn run(self) {
        loop {
            let done = self.round().await;
            let state = match &done {
                Ok(()) => CheckpointState::On,
                Err(error) => error.state(),
            };
            // Once for each reason: it stays as it is until somebody does something.
            let before = self.health.set_checkpoints(state);
            if let Err(error) = done
                && state != before
            {
                tracing::warn!(%error, "No checkpoint of the audit trail can be pinned; trying again");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn round(&self) -> Result<(), Hindrance> {
        let mut conn = self.pool.acquire().await?;
        let waiting = checkpoints::waiting(&mut conn, &self.registry).await?;
        let is_due =
            waiting.is_empty() && checkpoints::is_due(&mut conn, &self.registry, self.due).await?;
        drop(conn);
        if is_due {
            self.sign().await?;
        }
        for checkpoint in waiting.iter().filter(|it| it.is_due) {
            self.send(checkpoint).await?;
        }
        match waiting.first() {
            Some(checkpoint) if checkpoint.is_stuck => Err(Hindrance::NotTaken {
                size: checkpoint.tree_size,
                why: "the node has it, or said nothing against it, for minutes".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Signs a checkpoint of all that is in the tree now.
    async fn sign(&self) -> Result<(), Hindrance> {
        if !self.fees.has_changed().unwrap_or(true) {
            // Before the node has said what is usual, too little might be offered.
            return Ok(());
        }
        if self.client.is_paused().await? {
            return Err(Hindrance::Paused);
        }
        let account = self.signer.address();
        if !self.client.may_pin(account).await? {
            return Err(Hindrance::NotAllowed);
        }
        let pinned = self.client.latest_checkpoint().await?;
        let nonce = self.client.next_nonce(account).await?;
        // By what one node makes up it would be mined without effect, or never; or the trail would seem to be another one.
        for told in [
            ToldFact::MayPin(account),
            ToldFact::LastCheckpoint(pinned),
            ToldFact::NextNonce {
                account,
                next: nonce,
            },
        ] {
            require_agreed(&self.client, told).await?;
        }
        let mut tx = self.pool.begin().await?;
        // Another process may have signed one, and had it confirmed, while nodes were asked.
        if !checkpoints::may_sign(&mut tx, &self.registry).await?
            || !checkpoints::is_due(&mut tx, &self.registry, self.due).await?
        {
            return Ok(());
        }
        let size = tree_of::size(&mut tx).await?;
        let grown = grown(&mut tx, pinned, size).await?;
        let Some((root, consistency)) = grown else {
            finding::pinned_elsewhere(&mut tx, &self.registry, pinned).await?;
            tx.commit().await?;
            return Err(Hindrance::Contradiction { size: pinned.size });
        };
        if size == pinned.size {
            return Ok(());
        }
        let next = NextCheckpoint {
            size,
            root,
            consistency: &consistency,
        };
        let signed = self.signed(nonce, pinned.epoch, &next)?;
        checkpoints::insert(&mut tx, &self.registry, &signed).await?;
        tx.commit().await?;
        tracing::info!(
            size,
            "Signed a checkpoint of {size} rows of the audit trail"
        );
        Ok(())
    }

    fn signed(
        &self,
        nonce: u64,
        epoch: u64,
        next: &NextCheckpoint<'_>,
    ) -> Result<SignedCheckpoint, Hindrance> {
        let address = self.signer.address();
        let chain_id = self.client.deployment().chain_id;
        let checkpoint = Checkpoint::new(chain_id, &self.registry.address, next.size, next.root);
        let signature = self.signer.sign_text(&checkpoint.text())?;
        let transaction = self
            .signer
            .sign_checkpoint(nonce, next, *self.fees.borrow())?;
        let column = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(SignedCheckpoint {
            epoch: column(epoch),
            tree_size: column(next.size),
            root: DataHash(next.root),
            note: checkpoint.note(&address.0, &signature),
            signer: address.to_string(),
            nonce: column(nonce),
            tx_hash: transaction.tx_hash.to_string(),
            raw_transaction: transaction.raw,
        })
    }

    /// Hands one to the node, and notes when to do so again.
    async fn send(&self, waiting: &WaitingCheckpoint) -> Result<(), Hindrance> {
        let mut conn = self.pool.acquire().await?;
        checkpoints::put_off(&mut conn, waiting.id, AGAIN_IN).await?;
        drop(conn);
        let size = waiting.tree_size;
        match self.client.send(&waiting.raw_transaction).await? {
            Sent::Accepted | Sent::AlreadyKnown => {}
            Sent::NonceTooLow => self.look_for(waiting).await?,
            Sent::Underpriced => {
                let why = "the node wants a higher fee than was signed".to_owned();
                return Err(Hindrance::NotTaken { size, why });
            }
            Sent::NoFunds => {
                let why = "the account cannot pay for it".to_owned();
                return Err(Hindrance::NotTaken { size, why });
            }
            Sent::Refused(why) => return Err(Hindrance::NotTaken { size, why }),
        }
        Ok(())
    }

    /// The nonce is used up: looks by which transaction. Gives up what came to nothing, where a second node says so, too.
    async fn look_for(&self, waiting: &WaitingCheckpoint) -> Result<(), Hindrance> {
        let (Ok(hash), Ok(account)) = (
            waiting.tx_hash.parse::<TxHash>(),
            waiting.signer.parse::<ChainAddress>(),
        ) else {
            // Not written by us.
            return self.give_up(waiting).await;
        };
        let (hashes, next) = ([hash], waiting.nonce.saturating_add(1));
        let told = match self.client.receipt(hash).await? {
            // Mined, and the indexer will say so.
            Some(receipt) if receipt.succeeded => return Ok(()),
            Some(_) => ToldFact::Reverted(hash),
            None => ToldFact::NonceUsed {
                account,
                next: u64::try_from(next).unwrap_or_default(),
                by_none_of: &hashes,
            },
        };
        require_agreed(&self.client, told).await?;
        self.give_up(waiting).await
    }

    /// Notes that one came to nothing.
    async fn give_up(&self, waiting: &WaitingCheckpoint) -> Result<(), Hindrance> {
        let size = waiting.tree_size;
        tracing::error!(
            size,
            "The checkpoint of {size} rows came to nothing; another is signed"
        );
        let mut conn = self.pool.acquire().await?;
        checkpoints::fail(&mut conn, waiting.id).await?;
        Ok(())
    }
}

/// The root of the tree, and the proof that it extends what is pinned. `None` where it does not.
async fn grown(
    tx: &mut Tx<'_>,
    pinned: PinnedCheckpoint,
    size: u64,
) -> Result<Option<(Hash, Vec<Hash>)>, Hindrance> {
    let Some(spans) = tree::consistency(pinned.size, size) else {
        return Ok(None);
    };
    let all = [&[0..pinned.size, 0..size], &spans[..]].concat();
    let stored = tree_of::stored(tx, &tree::stored_under(&all)).await?;
    let root = |size| Frontier::restore(size, &stored).map(|frontier| frontier.root());
    let (before, now) = root(pinned.size).zip(root(size)).ok_or(Hindrance::NoNode)?;
    if pinned.size > 0 && before != pinned.root {
        return Ok(None);
    }
    let proof = tree::hashes_of(&spans, &stored).ok_or(Hindrance::NoNode)?;
    Ok(Some((now, proof)))
}
