//! Hands signed transactions to the node, again and again until they are mined. Sending the same bytes
//! twice is harmless, so nothing here has to be remembered and two relays at once do no harm.
//!
//! What the registry would refuse now is not sent: it would be mined without effect. While the registry is paused
//! everything waits; where registrars have ended as many records as they may in this hour, what supersedes another
//! version waits, and what has a later nonce with it. Closings get their nonce here (`closings`), once they can be done,
//! and so does what patients' wallets have signed of consents (`consents`).

mod closings;
mod consents;

use std::{sync::Arc, time::Duration};

use chain::{ChainAddress, Client, Fees, RegistryRoom, Sent, Signer, TxHash};
use domain::integrity::FeedKind;
use store::{
    Pool, StoreError, Tx, anchors,
    feed::{self, FeedEntry},
    outbox::{self, DueTransaction, EndsUnderWay, OutboxKind, RelayedAnchor},
    receipts::{StoredReceipt, relaying as receipts},
    signers::SignerAccount,
};
use tokio::sync::{Notify, watch};
use vault::keyring::Keyring;

use crate::instruments::instruments;

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
    pub(crate) signer: Arc<Signer>,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
    /// Notified when there is something to send.
    pub(crate) wake: Arc<Notify>,
    /// The registry of consents, where it is told what patients' wallets have signed.
    pub(crate) consents: Option<ChainAddress>,
    /// By what a receipt of a consent is believed.
    pub(crate) keyring: Arc<Keyring>,
}

/// Why something waits that could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The registry takes nothing.
    Paused,
    /// Registrars have ended as many records in this hour as this one may.
    LimitReached,
}

impl Relay {
    /// Sends until the process ends.
    pub(crate) async fn run(self) {
        let mut waiting = None;
        loop {
            let again = match self.round(&mut waiting).await {
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

    /// One look at the outbox. True where there may be more to do at once.
    async fn round(&self, waiting: &mut Option<Waiting>) -> Result<bool, StoreError> {
        let address = self.signer.address().to_string();
        let signer = SignerAccount {
            chain_id: self.chain_id,
            address: &address,
        };
        let mut conn = self.pool.acquire().await?;
        let mut due = outbox::due(&mut conn, signer, BATCH).await?;
        let to_close = store::closings::due(&mut conn, self.chain_id, closings::AT_ONCE).await?;
        let to_tell = match self.consents {
            Some(_) => receipts::due(&mut conn, self.chain_id, consents::AT_ONCE).await?,
            None => Vec::new(),
        };
        if due.is_empty() && to_close.is_empty() && to_tell.is_empty() {
            return Ok(false);
        }
        let under_way = outbox::under_way(&mut conn, signer).await?;
        drop(conn);
        let room = match self.client.room(self.signer.address()).await {
            Ok(room) => room,
            Err(error) => {
                self.put_off_all(&due, &error).await?;
                return Ok(false);
            }
        };
        let is_full = i64::try_from(due.len()).is_ok_and(|rows| rows >= BATCH);
        let held = due.split_off(sendable(&due, room, under_way));
        let closed = self.close(signer, &to_close, room, under_way).await?;
        note_waiting(waiting, room, !held.is_empty() || !closed.all);
        if !held.is_empty() {
            let held: Vec<i64> = held.iter().map(|it| it.outbox).collect();
            let mut conn = self.pool.acquire().await?;
            outbox::put_off(&mut conn, &held, RETRY_IN).await?;
        }
        // Anchors first: telling asks the node about each consent.
        let is_reachable = self.send(&due).await?;
        let told = is_reachable && self.tell_consents(signer, to_tell).await;
        Ok(is_reachable && (closed.any || told || (is_full && held.is_empty())))
    }

    /// Signs what the registry of consents is to be told, where it is told anything. True where anything was signed. What
    /// fails is tried again, and holds up nothing else.
    async fn tell_consents(&self, signer: SignerAccount<'_>, due: Vec<StoredReceipt>) -> bool {
        let Some(contract) = self.consents else {
            return false;
        };
        self.tell(signer, contract, due)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    sql_state = error.sql_state(),
                    "The registry of consents cannot be told now; trying again"
                );
                false
            })
    }

    /// Notes that the node cannot be reached.
    async fn put_off_all(
        &self,
        due: &[DueTransaction],
        error: &chain::ClientError,
    ) -> Result<(), StoreError> {
        tracing::warn!(%error, waiting = due.len(), "The node cannot be reached; the outbox waits");
        let due: Vec<i64> = due.iter().map(|it| it.outbox).collect();
        let mut conn = self.pool.acquire().await?;
        outbox::put_off(&mut conn, &due, RETRY_IN).await
    }

    /// Hands transactions over; false where the node cannot be reached.
    async fn send(&self, due: &[DueTransaction]) -> Result<bool, StoreError> {
        let mut taken = Vec::new();
        let mut put_off = Vec::new();
        let mut is_reachable = true;
        let mut waiting = due;
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
                    instruments().handed_over("unreachable");
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
            outbox::put_off(&mut conn, &put_off, RETRY_IN).await?;
        }
        if !taken.is_empty() {
            let mut tx = self.pool.begin().await?;
            let moved = outbox::mark_sent(&mut tx, &taken, AGAIN_IN).await?;
            let events: Vec<FeedEntry> = moved
                .into_iter()
                .map(|anchor| event(FeedKind::AnchorSubmitted, anchor))
                .collect();
            feed::append(&mut tx, &events).await?;
            tx.commit().await?;
        }
        Ok(is_reachable)
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
        instruments().handed_over(outcome(&sent));
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

    /// Notes that a transaction was mined without effect.
    async fn give_up(
        &self,
        tx: &mut Tx<'_>,
        transaction: &DueTransaction,
    ) -> Result<(), StoreError> {
        let of = transaction.of;
        instruments().handed_over("without-effect");
        match transaction.kind {
            OutboxKind::Close => {
                tracing::warn!("The registry refused to close {of}; it is tried again");
                store::closings::fail(tx, transaction, closings::AGAIN_IN).await
            }
            OutboxKind::Consent => {
                tracing::warn!("The registry of consents refused {of}; it is looked at again");
                receipts::fail(tx, transaction, consents::AGAIN_IN).await
            }
            OutboxKind::Anchor => {
                let Some(failed) = anchors::fail(tx, transaction).await? else {
                    return Ok(());
                };
                let record = failed.subject.record;
                tracing::error!(record.id = %record, "The registry refused the anchor of record {record}");
                feed::append(tx, &[event(FeedKind::AnchorFailed, failed)]).await?;
                Ok(())
            }
        }
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
                self.give_up(&mut tx, transaction).await?;
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

/// How many of these, in the order of nonces, the registry would take now: all that were handed over before, and as
/// many that end a record as are left in this hour. What is under way may be counted twice for a moment, by the node
/// and by us, which makes the room smaller and never larger.
fn sendable(due: &[DueTransaction], room: RegistryRoom, under_way: EndsUnderWay) -> usize {
    if room.paused {
        return 0;
    }
    let mut left = i64::from(room.left) - under_way.sent;
    due.iter()
        .position(|it| {
            let is_new_end = it.ends && !it.is_sent;
            left -= i64::from(is_new_end);
            is_new_end && left < 0
        })
        .unwrap_or(due.len())
}

/// Says once that something waits for the registry, and once that nothing does any more.
fn note_waiting(before: &mut Option<Waiting>, room: RegistryRoom, waits: bool) {
    let now = match (waits, room.paused) {
        (false, _) => None,
        (true, true) => Some(Waiting::Paused),
        (true, false) => Some(Waiting::LimitReached),
    };
    if *before == now {
        return;
    }
    match now {
        Some(Waiting::Paused) => {
            tracing::warn!(
                "The registry is paused: nothing is sent until its administrator releases it"
            );
        }
        Some(Waiting::LimitReached) => tracing::warn!(
            limit = room.limit,
            "Registrars have ended as many records in this hour as the registry lets this account: what ends another waits, and so does what was signed after it"
        ),
        None => tracing::info!("Nothing waits for the registry any more"),
    }
    *before = now;
}

/// What a node's answer is measured as.
const fn outcome(sent: &Sent) -> &'static str {
    match sent {
        Sent::Accepted | Sent::AlreadyKnown => "taken",
        Sent::NonceTooLow => "nonce-used",
        Sent::Underpriced => "underpriced",
        Sent::Refused(_) => "refused",
    }
}

fn event(kind: FeedKind, anchor: RelayedAnchor) -> FeedEntry {
    FeedEntry::of_anchor(kind, anchor.subject, anchor.place)
}

#[cfg(test)]
mod tests {
    use domain::ids::RecordId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_the_registry_would_refuse_is_held_and_what_comes_after_it() {
        let room = |paused, left| RegistryRoom {
            paused,
            limit: 100,
            left,
        };
        let cases = [
            // the outbox: a is an anchor, e ends a record, E was sent before; what the registry says; sent → how many go
            ("aeae", room(true, 100), 0, 0),
            ("", room(false, 100), 0, 0),
            ("aeae", room(false, 100), 0, 4),
            ("aeae", room(false, 1), 0, 3),
            ("aeae", room(false, 0), 0, 1),
            ("aaa", room(false, 0), 9, 3),
            ("aEae", room(false, 2), 1, 4),
            ("aEae", room(false, 1), 1, 3),
            // What was mined and is not known here yet counts twice: never too little.
            ("EEe", room(false, 1), 2, 2),
        ];
        for (outbox, room, sent, wanted) in cases {
            let due: Vec<DueTransaction> = outbox
                .chars()
                .map(|it| DueTransaction {
                    outbox: 1,
                    of: RecordId(Uuid::nil()).into(),
                    nonce: 1,
                    tx_hash: String::new(),
                    raw_transaction: Vec::new(),
                    kind: OutboxKind::Anchor,
                    ends: it != 'a',
                    is_sent: it == 'E',
                })
                .collect();
            let under_way = EndsUnderWay { sent, queued: 0 };
            assert_eq!(
                sendable(&due, room, under_way),
                wanted,
                "{outbox} {room:?} {sent}"
            );
        }
    }
}
