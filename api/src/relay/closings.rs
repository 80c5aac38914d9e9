//! Signs what closes a record, when the registry would take it: the record's anchor is in a block, stands there by our
//! account, the registry is not paused and registrars may end another record in this hour. Until then the closing has no
//! nonce, so that one which has to wait holds up no anchor.

use std::{collections::HashMap, time::Duration};

use chain::{ClientError, OnChainStatus, RegistryRoom};
use domain::ids::RecordId;
use store::{
    StoreError,
    closings::{self, DueClosing},
    outbox::{EndsUnderWay, SignedTransaction},
    signers::{self, SignerAccount},
};

use super::{Relay, ends::EndDecision};

/// How many records are closed in one go.
pub(super) const AT_ONCE: i64 = 64;
/// When a closing is looked at again that the registry would refuse now.
pub(super) const AGAIN_IN: Duration = Duration::from_secs(30);
/// When one is looked at again that only a steward can do.
const STEWARD_IN: Duration = Duration::from_secs(600);

/// What came of it.
pub(super) struct ClosingOutcome {
    /// Whether anything was signed.
    pub(super) any: bool,
    /// Whether the registry has room for all that could be closed.
    pub(super) all: bool,
}

impl Relay {
    /// Signs the closings that the registry would take, and puts them into the outbox.
    pub(super) async fn close(
        &self,
        signer: SignerAccount<'_>,
        due: &[DueClosing],
        room: RegistryRoom,
        (under_way, decision): (EndsUnderWay, &EndDecision),
    ) -> Result<ClosingOutcome, StoreError> {
        let fits = if room.paused || !room.may_anchor {
            0
        } else {
            let left = i64::from(room.left) - under_way.sent - under_way.queued;
            usize::try_from(decision.claim_up_to(left, due.len())).unwrap_or(0)
        };
        let (now, later) = due.split_at(fits);
        let mut closed = ClosingOutcome {
            any: false,
            all: later.is_empty(),
        };
        let later: Vec<RecordId> = later.iter().map(|it| it.record).collect();
        self.put_off(&later, super::RETRY_IN).await?;
        let ready = match self.ready(now).await? {
            Ok(ready) => ready,
            Err(error) => {
                tracing::warn!(%error, waiting = now.len(), "The node cannot be reached; closings wait");
                return Ok(closed);
            }
        };
        if !ready.is_empty() {
            closed.any = self.sign(signer, ready).await?;
        }
        Ok(closed)
    }

    /// Those that stand on the chain by our account; puts the others off.
    async fn ready<'a>(
        &self,
        due: &'a [DueClosing],
    ) -> Result<Result<Vec<&'a DueClosing>, ClientError>, StoreError> {
        let (mut ready, mut refused, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for closing in due {
            let anchor = match self.client.anchor_of(&closing.record_hash).await {
                Ok(anchor) => anchor,
                Err(error) => return Ok(Err(error)),
            };
            match anchor {
                Some(anchor) if anchor.status != OnChainStatus::Active => {
                    refused.push(closing.record);
                }
                Some(anchor) if anchor.registrar == self.signer.address() => ready.push(closing),
                // The rows say otherwise than the chain, which the indexer tells.
                Some(anchor) if self.signers.has(anchor.registrar) => refused.push(closing.record),
                Some(anchor) => {
                    tracing::warn!(
                        record.id = %closing.record,
                        registrar = %anchor.registrar,
                        reason = closing.reason.code(),
                        "Only a steward can close record {}: another account has anchored it",
                        closing.record
                    );
                    foreign.push(closing.record);
                }
                // Undone in this moment; or ended by somebody, which the indexer tells.
                None => refused.push(closing.record),
            }
        }
        self.put_off(&refused, AGAIN_IN).await?;
        self.put_off(&foreign, STEWARD_IN).await?;
        Ok(Ok(ready))
    }

    /// Gives each its nonce and its transaction, in one transaction with the signer's row.
    async fn sign(
        &self,
        signer: SignerAccount<'_>,
        ready: Vec<&DueClosing>,
    ) -> Result<bool, StoreError> {
        let by_record: HashMap<RecordId, &DueClosing> =
            ready.into_iter().map(|it| (it.record, it)).collect();
        let records: Vec<RecordId> = by_record.keys().copied().collect();
        let fees = *self.fees.borrow();
        let mut tx = self.pool.begin().await?;
        let first_nonce = signers::lock(&mut tx, signer).await?;
        let locked = closings::lock(&mut tx, &records).await?;
        let mut closed = Vec::with_capacity(locked.len());
        for (nonce, record) in (first_nonce..).zip(locked) {
            let Some(closing) = by_record.get(&record) else {
                continue;
            };
            let transaction = u64::try_from(nonce).ok().and_then(|nonce| {
                self.signer
                    .sign_close(nonce, &closing.record_hash, closing.reason, fees)
                    .ok()
            });
            let Some(transaction) = transaction else {
                // A gap in the nonces must not arise: give all of them up.
                tracing::error!("A closing could not be signed");
                return Ok(false);
            };
            closed.push(SignedTransaction {
                of: record,
                nonce,
                tx_hash: transaction.tx_hash.to_string(),
                raw_transaction: transaction.raw,
                max_fee_per_gas: transaction.max_fee_per_gas,
            });
        }
        if closed.is_empty() {
            return Ok(false);
        }
        closings::submit(&mut tx, signer, &closed).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn put_off(&self, records: &[RecordId], again_in: Duration) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut conn = self.pool.acquire().await?;
        closings::put_off(&mut conn, records, again_in).await
    }
}
