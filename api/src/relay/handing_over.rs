//! Hands transactions to the node, and sees what becomes of them: taken, too cheap, refused, or with a nonce that is used up.

use std::time::Duration;

use chain::{ChainAddress, Fees, Sent, ToldFact, TxHash};
use domain::integrity::FeedKind;
use store::{
    StoreError, anchors,
    feed::{self, FeedEntry},
    outbox::{self, DueTransaction, OutboxKind, RelayedAnchor, again as failed_anchors, attempts},
    receipts::relaying as receipts,
    restores,
    signers::{self, SignerAccount},
};

use super::{
    AGAIN_IN, RETRY_IN, Relay, TOGETHER,
    agreed::SecondOpinion,
    closings, consents,
    raising::{AgreedFee, Raise},
    stuck::{self, StuckReason},
};
use crate::instruments::instruments;

/// How far an account goes by itself behind nonces that somebody else has used: what a node says beyond that an operator has to
/// believe first.
const PASSED_OVER_AT_MOST: i64 = 1_000;

/// How long what is in a block waits at most until the node is asked about it again, while no indexer tells of it. Longer than the
/// depth of a reorganisation lasts, and short enough for what was undone before anybody followed it.
const MINED_AGAIN_AT_MOST: Duration = Duration::from_mins(10);

/// After how long a transaction is a finding that a node has, and no block takes, or that no node takes.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// After how long a transaction is a finding of which two nodes say different things.
const DIFFERS_AFTER: Duration = Duration::from_secs(60);

/// What came of transactions that were handed over.
pub(super) struct HandedOver {
    /// Whether the node can be reached.
    pub(super) is_reachable: bool,
    /// Whether any was signed again with a higher fee, and is to be sent at once.
    pub(super) raised: bool,
}

/// What became of a nonce that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsedNonce {
    /// The transaction came to nothing, and was given up.
    GivenUp,
    /// One of ours is in a block: the indexer tells of it.
    Mined,
    /// It is to be looked again: the node does not say.
    LookAgain,
    /// Two nodes say different things of it.
    NodesDiffer,
}

impl UsedNonce {
    /// Where it is not given up, by what a second node makes of it.
    const fn doubted(opinion: SecondOpinion) -> Option<Self> {
        match opinion {
            SecondOpinion::Same => None,
            SecondOpinion::Other => Some(Self::NodesDiffer),
            SecondOpinion::Unknown => Some(Self::LookAgain),
        }
    }
}

/// What is to be noted of transactions that were handed over.
#[derive(Default)]
struct SendOutcome<'a> {
    taken: Vec<i64>,
    /// What is in a block already, and not followed yet.
    mined: Vec<i64>,
    put_off: Vec<i64>,
    /// How long the node wants to be left alone, where it says so.
    rest: Option<Duration>,
    raised: bool,
    /// What may be offered.
    agreed: AgreedFee,
    /// Whether two nodes say different things of a nonce. Then nothing is asked about those that follow.
    differs: bool,
    /// The first anchor of the line, where that gets nowhere, and why.
    stuck: Option<(&'a DueTransaction, StuckReason)>,
}

impl<'a> SendOutcome<'a> {
    /// Notes that one gets nowhere. What comes after it waits for it, and is not named as well.
    fn hinder(&mut self, transaction: &'a DueTransaction, reason: StuckReason) {
        if transaction.is_first {
            self.stuck.get_or_insert((transaction, reason));
        }
    }

    /// Notes that two nodes say different things of one.
    fn doubt(&mut self, transaction: &'a DueTransaction) {
        if is_older(transaction, DIFFERS_AFTER) {
            self.hinder(transaction, StuckReason::NodesDiffer);
        }
    }
}

impl Relay {
    /// Hands transactions of an account over.
    pub(super) async fn send(
        &self,
        account: ChainAddress,
        due: &[DueTransaction],
    ) -> Result<HandedOver, StoreError> {
        let mut outcome = SendOutcome::default();
        let mut to_send = Vec::with_capacity(due.len());
        let usual = *self.fees.borrow();
        if let Some(first) = due.first() {
            self.fill_gap(account, first).await?;
        }
        for transaction in due {
            let is_cheap = is_outbid(transaction, usual, self.raise_after);
            if !is_cheap || !self.offer_more(transaction, &mut outcome).await? {
                to_send.push(transaction);
            }
        }
        let mut is_reachable = true;
        let mut waiting = to_send.as_slice();
        while !waiting.is_empty() {
            let (next, rest) = waiting.split_at(waiting.len().min(TOGETHER));
            let raws: Vec<&[u8]> = next
                .iter()
                .map(|it| it.raw_transaction.as_slice())
                .collect();
            match self.client.send_all(&raws).await {
                Ok(sent) => {
                    for (&transaction, sent) in next.iter().zip(sent) {
                        self.note(account, transaction, sent, &mut outcome).await?;
                    }
                }
                Err(error) => {
                    instruments().handed_over("unreachable");
                    tracing::warn!(%error, waiting = waiting.len(), "The node cannot be reached; the outbox waits");
                    outcome.put_off.extend(waiting.iter().map(|it| it.outbox));
                    outcome.rest = error.retry_after();
                    is_reachable = false;
                    break;
                }
            }
            waiting = rest;
        }
        let raised = outcome.raised;
        self.settle(outcome).await?;
        Ok(HandedOver {
            is_reachable,
            raised,
        })
    }

    /// Has what was given up sent after all where the chain says that its nonce is free, and something with a later one waits:
    /// a node was wrong about it, a block was undone that the indexer never saw, or the account has its role again.
    async fn fill_gap(
        &self,
        account: ChainAddress,
        first: &DueTransaction,
    ) -> Result<(), StoreError> {
        if !is_older(first, self.raise_after) {
            return Ok(());
        }
        let Ok(unused) = self.client.next_nonce(account).await else {
            return Ok(());
        };
        let unused = i64::try_from(unused).unwrap_or(i64::MAX);
        if unused >= first.nonce {
            return Ok(());
        }
        let address = account.to_string();
        let signer = SignerAccount {
            chain_id: self.chain_id,
            address: &address,
        };
        let mut conn = self.pool.acquire().await?;
        let queued = failed_anchors::queue_unused(&mut conn, signer, unused, first.nonce).await?;
        if queued > 0 {
            tracing::warn!(
                %account,
                queued,
                "Nonces of {account} from {unused} on are free, although what has them was given up: it is sent again"
            );
        }
        Ok(())
    }

    /// Writes down what came of transactions.
    async fn settle(&self, outcome: SendOutcome<'_>) -> Result<(), StoreError> {
        if !outcome.put_off.is_empty() {
            let mut conn = self.pool.acquire().await?;
            let again_in = outcome.rest.unwrap_or_default().max(RETRY_IN);
            outbox::put_off(&mut conn, &outcome.put_off, again_in).await?;
        }
        if !outcome.mined.is_empty() {
            let mut conn = self.pool.acquire().await?;
            let bounds = (RETRY_IN, MINED_AGAIN_AT_MOST);
            outbox::put_off_by_age(&mut conn, &outcome.mined, bounds).await?;
        }
        if !outcome.taken.is_empty() {
            let again_in = AGAIN_IN.min(self.raise_after);
            let mut tx = self.pool.begin().await?;
            let moved = outbox::mark_sent(&mut tx, &outcome.taken, again_in).await?;
            let events: Vec<FeedEntry> = moved
                .into_iter()
                .map(|anchor| event(FeedKind::AnchorSubmitted, anchor))
                .collect();
            feed::append(&mut tx, &events).await?;
            tx.commit().await?;
        }
        if let Some((transaction, reason)) = outcome.stuck {
            stuck::open(&self.pool, transaction, reason).await?;
        }
        Ok(())
    }

    /// What the node said to one transaction.
    async fn note<'a>(
        &self,
        account: ChainAddress,
        transaction: &'a DueTransaction,
        sent: Sent,
        outcome: &mut SendOutcome<'a>,
    ) -> Result<(), StoreError> {
        let nonce = transaction.nonce;
        instruments().handed_over(measured(&sent));
        match sent {
            Sent::Accepted | Sent::AlreadyKnown => {
                self.doubts.lock().await.remove(&transaction.outbox);
                if transaction.is_sent && is_older(transaction, STUCK_AFTER) {
                    outcome.hinder(transaction, StuckReason::NotMined);
                }
                outcome.taken.push(transaction.outbox);
            }
            Sent::NonceTooLow if outcome.differs => outcome.put_off.push(transaction.outbox),
            Sent::NonceTooLow => match self.look_for(account, transaction).await? {
                UsedNonce::GivenUp => {}
                UsedNonce::Mined => outcome.mined.push(transaction.outbox),
                UsedNonce::LookAgain => outcome.put_off.push(transaction.outbox),
                UsedNonce::NodesDiffer => {
                    outcome.differs = true;
                    outcome.doubt(transaction);
                    outcome.put_off.push(transaction.outbox);
                }
            },
            // What was signed a moment ago waits a moment: the usual fee may not be known yet.
            Sent::Underpriced if is_older(transaction, RETRY_IN) => {
                if !self.offer_more(transaction, outcome).await? {
                    tracing::warn!(nonce, "The node wants a higher fee than was signed");
                    outcome.put_off.push(transaction.outbox);
                }
            }
            Sent::Underpriced => outcome.put_off.push(transaction.outbox),
            Sent::NoFunds => {
                tracing::warn!(nonce, %account, "The account {account} cannot pay for a transaction");
                outcome.hinder(transaction, StuckReason::NoFunds);
                outcome.put_off.push(transaction.outbox);
            }
            Sent::Refused(reason) => {
                tracing::warn!(nonce, reason, "The node refused a transaction");
                if is_older(transaction, STUCK_AFTER) {
                    outcome.hinder(transaction, StuckReason::Refused);
                }
                outcome.put_off.push(transaction.outbox);
            }
        }
        Ok(())
    }

    /// Has a transaction offer more, and notes what came of it. False where it stays as it is.
    async fn offer_more<'a>(
        &self,
        transaction: &'a DueTransaction,
        outcome: &mut SendOutcome<'a>,
    ) -> Result<bool, StoreError> {
        match self.raise(transaction, &mut outcome.agreed).await? {
            Raise::Kept => outcome.raised = true,
            Raise::ByAnother => outcome.put_off.push(transaction.outbox),
            Raise::Impossible => {
                outcome.hinder(transaction, StuckReason::FeeTooLow);
                return Ok(false);
            }
            Raise::NodesDiffer => {
                // It was asked about no earlier than that.
                if is_older(transaction, self.raise_after + DIFFERS_AFTER) {
                    outcome.hinder(transaction, StuckReason::NodesDiffer);
                }
                return Ok(false);
            }
            Raise::Unknown => return Ok(false),
        }
        Ok(true)
    }

    /// The nonce is used up: looks by which transaction. Gives up what came to nothing, where a second node says so, too.
    async fn look_for(
        &self,
        account: ChainAddress,
        transaction: &DueTransaction,
    ) -> Result<UsedNonce, StoreError> {
        let mut conn = self.pool.acquire().await?;
        let hashes = attempts::hashes(&mut conn, transaction.outbox).await?;
        drop(conn);
        let hashes: Vec<TxHash> = hashes.iter().filter_map(|hash| hash.parse().ok()).collect();
        for &hash in &hashes {
            match self.client.receipt(hash).await {
                Ok(Some(receipt)) if receipt.succeeded => return Ok(UsedNonce::Mined),
                Ok(Some(_)) => {
                    let opinion = self.second_opinion(ToldFact::Reverted(hash)).await;
                    if let Some(doubted) = UsedNonce::doubted(opinion) {
                        return Ok(doubted);
                    }
                    self.give_up(transaction, StuckReason::Reverted).await?;
                    return Ok(UsedNonce::GivenUp);
                }
                Ok(None) => {}
                Err(_) => return Ok(UsedNonce::LookAgain),
            }
        }
        let Ok(next) = self.client.next_nonce(account).await else {
            return Ok(UsedNonce::LookAgain);
        };
        let on_chain = i64::try_from(next).unwrap_or(i64::MAX);
        let nonce = transaction.nonce;
        let mut doubts = self.doubts.lock().await;
        if on_chain <= nonce {
            doubts.remove(&transaction.outbox);
            return Ok(UsedNonce::LookAgain);
        }
        if doubts.insert(transaction.outbox) {
            return Ok(UsedNonce::LookAgain);
        }
        doubts.remove(&transaction.outbox);
        drop(doubts);
        let used = ToldFact::NonceUsed {
            account,
            next,
            by_none_of: &hashes,
        };
        if let Some(doubted) = UsedNonce::doubted(self.second_opinion(used).await) {
            return Ok(doubted);
        }
        instruments().handed_over("nonce-elsewhere");
        tracing::error!(
            nonce,
            %account,
            "Nonce {nonce} was used by a transaction that is not ours: somebody else has the key of {account}"
        );
        if !self.pass_over(account, on_chain).await? {
            return Ok(UsedNonce::LookAgain);
        }
        self.give_up(transaction, StuckReason::NonceUsed).await?;
        Ok(UsedNonce::GivenUp)
    }

    /// Has an account go on behind the nonces that somebody else has used. False where these are more than can be: then nothing
    /// is signed again either, until an operator says so.
    async fn pass_over(&self, account: ChainAddress, on_chain: i64) -> Result<bool, StoreError> {
        let address = account.to_string();
        let signer = SignerAccount {
            chain_id: self.chain_id,
            address: &address,
        };
        let mut conn = self.pool.acquire().await?;
        let known = signers::known_nonce(&mut conn, signer).await?;
        if known.is_some_and(|known| on_chain.saturating_sub(known) > PASSED_OVER_AT_MOST) {
            tracing::error!(
                nonce = on_chain,
                "The node says that {address} has nonce {on_chain}, far beyond what this database knows: see `meditrustal signer status`"
            );
            return Ok(false);
        }
        if restores::raise_nonce(&mut conn, signer, on_chain).await? {
            tracing::error!(
                nonce = on_chain,
                "The chain knows transactions of {address} that this database does not: it goes on from nonce {on_chain}"
            );
        }
        Ok(true)
    }

    /// Notes that a transaction came to nothing: what it was for is signed again.
    pub(super) async fn give_up(
        &self,
        transaction: &DueTransaction,
        reason: StuckReason,
    ) -> Result<(), StoreError> {
        let of = transaction.of;
        instruments().handed_over("without-effect");
        let is_there = self.is_on_chain(transaction).await?;
        let mut tx = self.pool.begin().await?;
        match transaction.kind {
            OutboxKind::Close => {
                tracing::warn!(
                    "The transaction that closes {of} came to nothing; it is tried again"
                );
                store::closings::fail(&mut tx, transaction, closings::AGAIN_IN).await?;
            }
            OutboxKind::Consent => {
                tracing::warn!(
                    "The transaction that tells of {of} came to nothing; it is looked at again"
                );
                receipts::fail(&mut tx, transaction, consents::AGAIN_IN).await?;
            }
            OutboxKind::Anchor => {
                if let Some(failed) = anchors::fail(&mut tx, transaction).await? {
                    let subject = failed.subject;
                    let record = subject.record;
                    tracing::error!(record.id = %record, "The registry refused the anchor of record {record}");
                    // Who anchored it instead is the indexer's to tell.
                    let opened = if is_there {
                        None
                    } else {
                        stuck::write_down(&mut tx, subject, transaction, reason).await?
                    };
                    let mut events = vec![event(FeedKind::AnchorFailed, failed)];
                    events.extend(opened);
                    feed::append(&mut tx, &events).await?;
                }
            }
        }
        tx.commit().await
    }

    /// Whether the registry knows the hash that a transaction is to anchor; not, where the node does not say.
    async fn is_on_chain(&self, transaction: &DueTransaction) -> Result<bool, StoreError> {
        let Some(record) = transaction.of.as_record() else {
            return Ok(false);
        };
        let mut conn = self.pool.acquire().await?;
        let subject = failed_anchors::subject(&mut conn, record).await?;
        drop(conn);
        let Some(hash) = subject.and_then(|subject| subject.record_hash) else {
            return Ok(false);
        };
        Ok(matches!(self.client.anchor_of(&hash).await, Ok(Some(_))))
    }
}

/// Whether a transaction was signed at least so long ago.
fn is_older(transaction: &DueTransaction, age: Duration) -> bool {
    transaction.signed_seconds >= age.as_secs_f64()
}

/// Whether a transaction that a node has waits for a while, and more than it offers is usual by now.
fn is_outbid(transaction: &DueTransaction, usual: Fees, raise_after: Duration) -> bool {
    transaction.is_sent
        && is_older(transaction, raise_after)
        && usual.max_fee_per_gas > transaction.max_fee_per_gas
}

/// What a node's answer is measured as.
const fn measured(sent: &Sent) -> &'static str {
    match sent {
        Sent::Accepted | Sent::AlreadyKnown => "taken",
        Sent::NonceTooLow => "nonce-used",
        Sent::Underpriced => "underpriced",
        Sent::NoFunds => "no-funds",
        Sent::Refused(_) => "refused",
    }
}

fn event(kind: FeedKind, anchor: RelayedAnchor) -> FeedEntry {
    FeedEntry::of_anchor(kind, anchor.subject, anchor.place)
}
