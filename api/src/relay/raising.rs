//! Raises fees: signs again what offers too little, with the same nonce. Where several nodes are named, a second one has to say that
//! so much is not too much: what one makes up would be paid.

use chain::ToldFact;
use store::{
    StoreError,
    outbox::{
        DueTransaction,
        attempts::{self, RaisedTransaction},
    },
};

use super::{Relay, agreed::SecondOpinion};
use crate::instruments::instruments;

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
        let raw = &transaction.raw_transaction;
        let raised = match self.signer.raise(raw, usual, self.most_fee) {
            Ok(Some(raised)) => raised,
            Ok(None) => {
                let most = self.most_fee;
                tracing::warn!(
                    nonce,
                    most,
                    "A transaction offers too little, and may not offer more"
                );
                return Ok(Raise::Impossible);
            }
            Err(error) => {
                tracing::warn!(nonce, %error, "The fee of a transaction cannot be raised");
                return Ok(Raise::Impossible);
            }
        };
        let fee = raised.max_fee_per_gas;
        if let Some(withheld) = self.withheld(raw, fee, agreed).await {
            return Ok(withheld);
        }
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
