//! Tells the registry of consents what patients' wallets have signed, where the operator has switched it on: gives each
//! signature its nonce once that registry would take it. Until then it waits, and holds up nothing.

use std::time::Duration;

use chain::{ChainAddress, ClientError, ConsentDomain, ConsentStatement, OnChainConsent, ToldFact};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::ReceiptId,
    receipts::{ConsentReceipt, ReceiptFailure, ReceiptKind, ReceiptSignature},
};
use store::{
    StoreError,
    outbox::SignedTransaction,
    receipts::{StoredReceipt, relaying as receipts},
    signers::{self, SignerAccount},
    users,
};

use super::Relay;

/// How many are told in one go: the node is asked about each, and anchors wait meanwhile.
pub(super) const AT_ONCE: i64 = 16;
/// When one is looked at again that the registry would refuse now, or holds already.
pub(super) const AGAIN_IN: Duration = Duration::from_secs(30);
/// When one is looked at again that is not as it was sealed.
const MENDED_IN: Duration = Duration::from_secs(600);

/// How long before its deadline a signature is not sent any more: it would be mined too late, and paid for.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// What is to be done with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relaying {
    /// Tell the registry.
    Now,
    /// Look again: the registry is paused, or holds it already and the indexer will say so.
    Later,
    /// The registry will never take it.
    Never(ReceiptFailure),
}

/// What the registry would do with a signature.
fn judge(
    (kind, registry_end, deadline): (ReceiptKind, i64, DateTime<Utc>),
    on_chain: Option<OnChainConsent>,
    is_paused: bool,
    now: DateTime<Utc>,
) -> Relaying {
    let is_there = match (kind, on_chain) {
        (ReceiptKind::Grant, Some(OnChainConsent::Withdrawn)) => {
            return Relaying::Never(ReceiptFailure::WithdrawnBefore);
        }
        (ReceiptKind::Grant, Some(OnChainConsent::Granted))
        | (ReceiptKind::Withdrawal, Some(OnChainConsent::Withdrawn)) => true,
        (ReceiptKind::Withdrawal, Some(OnChainConsent::Granted)) | (_, None) => false,
    };
    let is_grant = kind == ReceiptKind::Grant;
    if is_there {
        Relaying::Later
    } else if now + MARGIN > deadline {
        Relaying::Never(ReceiptFailure::DeadlinePassed)
    } else if is_grant && registry_end != 0 && now.timestamp() >= registry_end {
        Relaying::Never(ReceiptFailure::ConsentExpired)
    } else if is_grant && is_paused {
        Relaying::Later
    } else {
        Relaying::Now
    }
}

/// A signature that can be told now.
struct Tellable {
    receipt: ReceiptId,
    statement: ConsentStatement,
    signature: Vec<u8>,
}

impl Tellable {
    /// Of a receipt; `None` where the signature is not of what it says.
    fn of(receipt: &ConsentReceipt, signed: &ReceiptSignature) -> Option<Self> {
        let statement = ConsentStatement {
            kind: receipt.kind,
            wallet: signed.wallet.parse().ok()?,
            details: receipt.details()?,
            expires_at: u64::try_from(receipt.registry_end).ok()?,
            deadline: u64::try_from(signed.deadline.timestamp()).ok()?,
        };
        Some(Self {
            receipt: receipt.id,
            statement,
            signature: signed.signature.clone(),
        })
    }
}

/// Whether a signature may be used in this registry.
fn is_for(signed: &ReceiptSignature, domain: ConsentDomain) -> bool {
    u64::try_from(signed.chain_id).ok() == Some(domain.chain_id)
        && signed.contract == domain.contract.to_string()
}

/// The registry of consents, as it is at the beginning of a round.
#[derive(Debug, Clone, Copy)]
struct ConsentRegistryNow {
    domain: ConsentDomain,
    is_paused: bool,
    now: DateTime<Utc>,
}

/// Says that the node cannot be reached.
fn note_unreachable(error: &ClientError, waiting: usize) {
    tracing::warn!(%error, waiting, "The node cannot be reached; signatures of consents wait");
}

impl Relay {
    /// Signs what the registry of consents would take, and puts it into the outbox. True where anything was signed.
    pub(super) async fn tell(
        &self,
        signer: SignerAccount<'_>,
        contract: ChainAddress,
        due: Vec<StoredReceipt>,
    ) -> Result<bool, StoreError> {
        if due.is_empty() {
            return Ok(false);
        }
        let is_paused = match self.client.consents_are_paused(contract).await {
            Ok(is_paused) => is_paused,
            Err(error) => {
                note_unreachable(&error, due.len());
                return Ok(false);
            }
        };
        let registry = ConsentRegistryNow {
            domain: ConsentDomain {
                chain_id: self.client.deployment().chain_id,
                contract,
            },
            is_paused,
            now: users::now(&mut *self.pool.acquire().await?).await?,
        };
        let mut ready = Vec::new();
        for stored in due {
            match self.tellable(stored, registry).await? {
                Ok(tellable) => ready.extend(tellable),
                Err(error) => {
                    note_unreachable(&error, 1);
                    return Ok(false);
                }
            }
        }
        if ready.is_empty() {
            return Ok(false);
        }
        self.sign_told(signer, contract, &ready).await
    }

    /// What can be told of a receipt now; notes why nothing can.
    async fn tellable(
        &self,
        stored: StoredReceipt,
        registry: ConsentRegistryNow,
    ) -> Result<Result<Option<Tellable>, ClientError>, StoreError> {
        let id = stored.id;
        if self.is_taken_back(&stored).await? {
            self.give_up_receipt(id, ReceiptFailure::WithdrawnHere)
                .await?;
            return Ok(Ok(None));
        }
        let receipt = self.keyring.open_row(stored.sealed).ok();
        let signed = receipt.as_ref().and_then(|it| it.signature.as_ref());
        let tellable = receipt
            .as_ref()
            .zip(signed)
            .and_then(|(receipt, signed)| Tellable::of(receipt, signed));
        let (Some(receipt), Some(signed), Some(tellable)) = (&receipt, signed, tellable) else {
            tracing::warn!(receipt.id = %id, "The receipt {id} is not as it was sealed; it waits");
            self.put_off_receipt(id, MENDED_IN).await?;
            return Ok(Ok(None));
        };
        if !is_for(signed, registry.domain) {
            self.give_up_receipt(id, ReceiptFailure::OtherRegistry)
                .await?;
            return Ok(Ok(None));
        }
        if self.is_granted_by_another(receipt, signed).await? {
            self.give_up_receipt(id, ReceiptFailure::OtherWallet)
                .await?;
            return Ok(Ok(None));
        }
        let wallet = tellable.statement.wallet;
        let contract = registry.domain.contract;
        let on_chain = self
            .client
            .consent_of(contract, wallet, &receipt.details_hash);
        let on_chain = match on_chain.await {
            Ok(on_chain) => on_chain,
            Err(error) => return Ok(Err(error)),
        };
        let facts = (receipt.kind, receipt.registry_end, signed.deadline);
        match judge(facts, on_chain, registry.is_paused, registry.now) {
            Relaying::Now => return Ok(Ok(Some(tellable))),
            Relaying::Later => self.put_off_receipt(id, AGAIN_IN).await?,
            Relaying::Never(why) => {
                let withdrawn = ToldFact::ConsentWithdrawn {
                    contract,
                    wallet,
                    details: receipt.details_hash,
                };
                // Everything else is ours to know.
                if why == ReceiptFailure::WithdrawnBefore && !self.is_agreed(withdrawn).await {
                    self.put_off_receipt(id, AGAIN_IN).await?;
                } else {
                    self.give_up_receipt(id, why).await?;
                }
            }
        }
        Ok(Ok(None))
    }

    /// Whether it is the grant of a consent that was withdrawn here meanwhile: whatever led to its waiting again.
    async fn is_taken_back(&self, stored: &StoredReceipt) -> Result<bool, StoreError> {
        if stored.kind != ReceiptKind::Grant {
            return Ok(false);
        }
        let mut conn = self.pool.acquire().await?;
        receipts::is_withdrawn(&mut conn, stored.consent).await
    }

    /// Whether it is a withdrawal, and another wallet has signed the grant, which would stand in the registry.
    async fn is_granted_by_another(
        &self,
        receipt: &ConsentReceipt,
        signed: &ReceiptSignature,
    ) -> Result<bool, StoreError> {
        if receipt.kind != ReceiptKind::Withdrawal {
            return Ok(false);
        }
        let mut conn = self.pool.acquire().await?;
        let of_consent = store::receipts::of_consents(&mut conn, &[receipt.consent]).await?;
        let mut grants = of_consent
            .into_iter()
            .filter(|it| it.kind == ReceiptKind::Grant)
            .filter_map(|it| self.keyring.open_row(it.sealed).ok())
            .filter_map(|it| it.signature);
        Ok(grants.any(|it| it.wallet != signed.wallet))
    }

    async fn give_up_receipt(&self, id: ReceiptId, why: ReceiptFailure) -> Result<(), StoreError> {
        tracing::warn!(receipt.id = %id, %why, "The registry of consents will never take the receipt {id}");
        let mut conn = self.pool.acquire().await?;
        receipts::give_up(&mut conn, id, why).await
    }

    async fn put_off_receipt(&self, id: ReceiptId, again_in: Duration) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        receipts::put_off(&mut conn, id, again_in).await
    }

    /// Gives each its nonce and its transaction, in one transaction with the signer's row.
    async fn sign_told(
        &self,
        signer: SignerAccount<'_>,
        contract: ChainAddress,
        ready: &[Tellable],
    ) -> Result<bool, StoreError> {
        let fees = *self.fees.borrow();
        let ids: Vec<ReceiptId> = ready.iter().map(|it| it.receipt).collect();
        let mut tx = self.pool.begin().await?;
        let first_nonce = signers::lock(&mut tx, signer).await?;
        let locked = receipts::lock_pending(&mut tx, &ids).await?;
        // What was signed anew since it was read is told in the next round.
        let is_still = |it: &&Tellable| {
            let mut locked = locked.iter();
            locked.any(|(id, signature)| *id == it.receipt && *signature == it.signature)
        };
        let still = ready.iter().filter(is_still);
        let mut told = Vec::with_capacity(locked.len());
        for (nonce, tellable) in (first_nonce..).zip(still) {
            let transaction = u64::try_from(nonce).ok().and_then(|nonce| {
                let Tellable {
                    statement,
                    signature,
                    ..
                } = tellable;
                self.signer
                    .sign_consent(nonce, contract, statement, signature, fees)
                    .ok()
            });
            let Some(transaction) = transaction else {
                // A gap in the nonces must not arise: give all of them up.
                tracing::error!("What a patient signed could not be put into a transaction");
                return Ok(false);
            };
            told.push(SignedTransaction {
                of: tellable.receipt,
                nonce,
                tx_hash: transaction.tx_hash.to_string(),
                raw_transaction: transaction.raw,
                max_fee_per_gas: transaction.max_fee_per_gas,
            });
        }
        if told.is_empty() {
            return Ok(false);
        }
        receipts::submit(&mut tx, signer, &told).await?;
        tx.commit().await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_that_the_registry_of_consents_would_refuse() {
        use OnChainConsent::{Granted, Withdrawn};
        use ReceiptKind::{Grant, Withdrawal};
        let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(100);
        let never = Relaying::Never;
        let cases = [
            // kind, end, deadline, on chain, paused → what is done
            (Grant, 0, 160, None, false, Relaying::Now),
            (Grant, 101, 200, None, false, Relaying::Now),
            (
                Grant,
                100,
                200,
                None,
                false,
                never(ReceiptFailure::ConsentExpired),
            ),
            (
                Grant,
                0,
                159,
                None,
                false,
                never(ReceiptFailure::DeadlinePassed),
            ),
            (Grant, 0, 200, None, true, Relaying::Later),
            (Grant, 0, 200, Some(Granted), false, Relaying::Later),
            // It is there: whether it could still be sent is no matter.
            (Grant, 0, 99, Some(Granted), false, Relaying::Later),
            (
                Grant,
                0,
                200,
                Some(Withdrawn),
                false,
                never(ReceiptFailure::WithdrawnBefore),
            ),
            (Withdrawal, 0, 200, None, false, Relaying::Now),
            (Withdrawal, 50, 200, Some(Granted), true, Relaying::Now),
            (
                Withdrawal,
                0,
                99,
                Some(Granted),
                false,
                never(ReceiptFailure::DeadlinePassed),
            ),
            (Withdrawal, 0, 99, Some(Withdrawn), false, Relaying::Later),
        ];
        for (kind, end, deadline, on_chain, is_paused, wanted) in cases {
            let deadline = DateTime::UNIX_EPOCH + TimeDelta::seconds(deadline);
            let done = judge((kind, end, deadline), on_chain, is_paused, now);
            assert_eq!(
                done, wanted,
                "{kind} {end} {deadline} {on_chain:?} {is_paused}"
            );
        }
    }
}
