//! Raises fees: signs again what offers too little, with the same nonce. Where several nodes are named, a second one has to say that
//! so much is not too much: what one makes up would be paid. Where two differ for long, an eighth more is offered all the same.

use std::time::Duration;

use chain::{Fees, SignedAnchor, ToldFact};
use store::{
    StoreError,
    outbox::{
        DueTransaction,
        attempts::{self, RaisedTransaction},
    },
};

use super::{Relay, agreed::SecondOpinion};
use crate::instruments::instruments;

/// After how long a transaction offers more although two nodes differ: by the least that takes its place, and the next time after as
/// long. So a second node that stands still holds nothing up for ever, and one that makes a fee up has it doubled in an hour.
const DIFFERING_AT_MOST: Duration = Duration::from_mins(10);

/// What has the least offered that takes the place of another transaction. Unit: wei per gas.
const LEAST: Fees = Fees {
    max_fee_per_gas: 0,
    max_priority_fee_per_gas: 0,
};

/// What came of raising a fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raise {
    /// There is another transaction, to be sent at once.
    Kept,
    /// There was one already, or nothing waits any more.
    ByAnother,
    /// It would have to offer more than it may, or another key signed it.
    Impossible,
    /// Two nodes say different things of what it has to offer.
    NodesDiffer,
    /// The node does not say again what it has to offer.
    Unknown,
}

/// What two nodes have said in one round of what transactions may offer: many of them are too cheap at a time.
#[derive(Debug, Default)]
pub(super) struct AgreedFee {
    /// So much is not too much. Unit: wei per gas.
    up_to: u128,
    /// Why more than that is not offered in this round, where it was asked for.
    withheld: Option<Raise>,
}

impl Relay {
    /// Signs a transaction again with a higher fee, where that is agreed, and keeps that before it is sent.
    pub(super) async fn raise(
        &self,
        transaction: &DueTransaction,
        agreed: &mut AgreedFee,
    ) -> Result<Raise, StoreError> {
        let nonce = transaction.nonce;
        let usual = *self.fees.borrow();
        let Some(mut raised) = self.sign_raised(transaction, usual) else {
            return Ok(Raise::Impossible);
        };
        let raw = &transaction.raw_transaction;
        match self.withheld(raw, raised.max_fee_per_gas, agreed).await {
            None => {}
            Some(Raise::NodesDiffer) if has_waited(transaction) => {
                let Some(least) = self.sign_raised(transaction, LEAST) else {
                    return Ok(Raise::Impossible);
                };
                tracing::warn!(
                    nonce,
                    fee = least.max_fee_per_gas,
                    "Two of the chain's nodes have differed for long about what a transaction has to offer: it offers an eighth more"
                );
                raised = least;
            }
            Some(withheld) => return Ok(withheld),
        }
        let fee = raised.max_fee_per_gas;
        let raised = RaisedTransaction {
            outbox: transaction.outbox,
            replaces: transaction.tx_hash.clone(),
            tx_hash: raised.tx_hash.to_string(),
            raw_transaction: raised.raw,
            max_fee_per_gas: fee,
        };
        let mut tx = self.pool.begin().await?;
        let kept = attempts::raise(&mut tx, &raised).await?;
        tx.commit().await?;
        if !kept {
            return Ok(Raise::ByAnother);
        }
        instruments().handed_over("raised");
        tracing::info!(
            nonce,
            fee,
            "A transaction is replaced by one that offers more"
        );
        Ok(Raise::Kept)
    }

    /// The transaction with a higher fee, where it may have one.
    fn sign_raised(&self, transaction: &DueTransaction, now: Fees) -> Option<SignedAnchor> {
        let (nonce, most) = (transaction.nonce, self.most_fee);
        match self.signer.raise(&transaction.raw_transaction, now, most) {
            Ok(Some(raised)) => Some(raised),
            Ok(None) => {
                tracing::warn!(
                    nonce,
                    most,
                    "A transaction offers too little, and may not offer more"
                );
                None
            }
            Err(error) => {
                tracing::warn!(nonce, %error, "The fee of a transaction cannot be raised");
                None
            }
        }
    }

    /// Why a transaction does not offer so much, where a second node does not say that it may. Who differs or is silent about one is
    /// not asked about the next of a round.
    async fn withheld(&self, raw: &[u8], fee: u128, agreed: &mut AgreedFee) -> Option<Raise> {
        if fee <= agreed.up_to {
            return None;
        }
        if agreed.withheld.is_none() {
            let told = ToldFact::TooCheap { raw, raised: fee };
            agreed.withheld = match self.second_opinion(told).await {
                SecondOpinion::Same => {
                    agreed.up_to = fee;
                    None
                }
                SecondOpinion::Other => Some(Raise::NodesDiffer),
                SecondOpinion::Unknown => Some(Raise::Unknown),
            };
        }
        agreed.withheld
    }
}

/// Whether a transaction was signed so long ago that it offers more although two nodes differ.
fn has_waited(transaction: &DueTransaction) -> bool {
    transaction.signed_seconds >= DIFFERING_AT_MOST.as_secs_f64()
}
