//! Hands signed transactions to the node, again and again until they are mined. Sending the same bytes
//! twice is harmless, so nothing here has to be remembered and two relays at once do no harm.

use std::{sync::Arc, time::Duration};

use chain::{Client, Sent, TxHash};
use domain::integrity::{AnchorState, FeedKind};
use store::{
    Pool, StoreError,
    anchors::{self, AnchorUpdate, DueTransaction, SignerAccount},
    feed::{self, FeedEntry},
};
use tokio::sync::Notify;

/// How often the outbox is looked at without a notification.
const POLL: Duration = Duration::from_millis(500);
/// How many transactions are handed over before the outbox is looked at again.
const BATCH: i64 = 256;
/// How many travel in one request. Public nodes take a hundred and more.
const TOGETHER: usize = 64;
/// When a transaction that was taken and not mined is handed over again: nodes forget.
const AGAIN_IN: Duration = Duration::from_secs(15);
/// When a transaction that was not taken is tried again.
const RETRY_IN: Duration = Duration::from_secs(2);

/// What the relay works with.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The database.
    pub(crate) pool: Pool,
    /// The node.
    pub(crate) client: Client,
    /// The chain.
    pub(crate) chain_id: i64,
    /// The account whose transactions are sent.
    pub(crate) signer: String,
    /// Notified when there is something to send.
    pub(crate) wake: Arc<Notify>,
}

impl Relay {
    /// Sends until the process ends.
    pub(crate) async fn run(self) {
        loop {
            let again = match self.round().await {
                Ok(sent_all) => sent_all,
                Err(error) => {
                    tracing::warn!(
                        sql_state = error.sql_state(),
                        "The outbox cannot be read; trying again"
                    );
                    false
                }
            };
            if !again {
                // A notification that comes while we work is taken at once afterwards.
                tokio::time::timeout(POLL, self.wake.notified()).await.ok();
            }
        }
    }

    /// One look at the outbox. True where a full batch was sent: there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let signer = SignerAccount {
            chain_id: self.chain_id,
            address: &self.signer,
        };
        let mut conn = self.pool.acquire().await?;
        let due = anchors::due(&mut conn, signer, BATCH).await?;
        drop(conn);
        let mut taken = Vec::new();
        let mut put_off = Vec::new();
        let mut is_reachable = true;
        let mut waiting = due.as_slice();
        while !waiting.is_empty() {
            let (next, rest) = waiting.split_at(waiting.len().min(TOGETHER));
            let raws: Vec<&[u8]> = next
                .iter()
                .map(|it| it.raw_transaction.as_slice())
                .collect();
            match self.client.send_all(&raws).await {
                Ok(sent) => {
                    for (transaction, sent) in next.iter().zip(sent) {
                        self.note(transaction, sent, &mut taken, &mut put_off)
                            .await?;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, waiting = waiting.len(), "The node cannot be reached; the outbox waits");
                    put_off.extend(waiting.iter().map(|it| it.outbox));
                    is_reachable = false;
                    break;
                }
            }
            waiting = rest;
        }
        if !put_off.is_empty() {
            let mut conn = self.pool.acquire().await?;
            anchors::put_off(&mut conn, &put_off, RETRY_IN).await?;
        }
        if !taken.is_empty() {
            let mut tx = self.pool.begin().await?;
            let moved = anchors::mark_sent(&mut tx, &taken, AGAIN_IN).await?;
            let events: Vec<FeedEntry> = moved
                .iter()
                .map(|a| event(a, FeedKind::AnchorSubmitted, AnchorState::Submitted))
                .collect();
            feed::append(&mut tx, &events).await?;
            tx.commit().await?;
        }
        Ok(is_reachable && due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX))
    }

    /// What the node said to one transaction.
    async fn note(
        &self,
        transaction: &DueTransaction,
        sent: Sent,
        taken: &mut Vec<i64>,
        put_off: &mut Vec<i64>,
    ) -> Result<(), StoreError> {
        let nonce = transaction.nonce;
        match sent {
            Sent::Accepted | Sent::AlreadyKnown => taken.push(transaction.outbox),
            Sent::NonceTooLow => self.check_receipt(transaction, put_off).await?,
            Sent::Underpriced => {
                tracing::warn!(nonce, "The node wants a higher fee than was signed");
                put_off.push(transaction.outbox);
            }
            Sent::Refused(reason) => {
                tracing::warn!(nonce, reason, "The node refused a transaction");
                put_off.push(transaction.outbox);
            }
        }
        Ok(())
    }

    /// The nonce is used up: by this transaction, whose event the indexer will see, or without effect.
    async fn check_receipt(
        &self,
        transaction: &DueTransaction,
        put_off: &mut Vec<i64>,
    ) -> Result<(), StoreError> {
        let receipt = match transaction.tx_hash.parse::<TxHash>() {
            Ok(hash) => self.client.receipt(hash).await,
            Err(_) => Ok(None),
        };
        match receipt {
            Ok(Some(receipt)) if !receipt.succeeded => {
                let mut tx = self.pool.begin().await?;
                if let Some(failed) = anchors::fail(&mut tx, transaction.outbox).await? {
                    tracing::error!(record.id = %failed.record, "The registry refused the anchor of record {}", failed.record);
                    let entry = event(&failed, FeedKind::AnchorFailed, AnchorState::Failed);
                    feed::append(&mut tx, &[entry]).await?;
                }
                tx.commit().await?;
            }
            Ok(None) => {
                tracing::error!(
                    nonce = transaction.nonce,
                    "Nonce {} was used by a transaction that is not ours",
                    transaction.nonce
                );
                put_off.push(transaction.outbox);
            }
            Ok(Some(_)) | Err(_) => put_off.push(transaction.outbox),
        }
        Ok(())
    }
}

fn event(anchor: &AnchorUpdate, kind: FeedKind, state: AnchorState) -> FeedEntry {
    FeedEntry {
        record: Some(anchor.record),
        patient: Some(anchor.patient),
        record_type: Some(anchor.record_type),
        record_hash: Some(anchor.record_hash),
        tx_hash: Some(anchor.tx_hash.clone()),
        state: Some(state),
        ..FeedEntry::new(kind)
    }
}
