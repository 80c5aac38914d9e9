//! Signs anchors again whose transaction came to nothing, with the next nonce, as soon as the registry would take them: the
//! versions of a record in their order. What is on the chain already is not signed again: the registry would refuse it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chain::{
    AnchoringCall, ChainAddress, ClientError, OnChainAnchor, OnChainStatus, RegistryRoom,
    SignedAnchor, ToldFact,
};
use domain::{
    ids::RecordId,
    integrity::{AnchorState, FeedKind},
    records::DataHash,
};
use store::{
    StoreError,
    feed::{self, FeedEntry, OnChainLocation},
    outbox::{
        EndsUnderWay, SignedTransaction,
        again::{self, FailedAnchor, SignedAgain},
    },
    signers::{self, SignerAccount},
};

use super::{RETRY_IN, Relay, again_after, ends::EndDecision};

/// When one is looked at again whose version before is not there yet.
const LATER: Duration = Duration::from_secs(5);
/// When one is looked at again that the registry knows already, of which the indexer tells; or that nobody of ours has signed.
const MUCH_LATER: Duration = Duration::from_secs(600);

/// What came of it.
pub(super) struct AgainOutcome {
    /// Whether anything was signed.
    pub(super) any: bool,
    /// Whether the registry has room for all that could be signed.
    pub(super) all: bool,
    /// How many of those that were signed supersede another version.
    pub(super) ends: i64,
}

/// How an anchor is signed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HowAgain {
    /// By itself.
    Alone,
    /// As the successor of the version before.
    Superseding,
    /// Not now: the version before comes first, or two nodes differ.
    Later,
    /// Not at all: it is on the chain.
    There,
}

/// An anchor that is signed again.
struct PlannedAnchor<'a> {
    failed: &'a FailedAnchor,
    /// The hash that it names as superseded.
    superseded: Option<DataHash>,
}

/// What is done with which.
#[derive(Default)]
struct Plan<'a> {
    now: Vec<PlannedAnchor<'a>>,
    later: Vec<i64>,
    much_later: Vec<i64>,
    /// Whether one waits for room.
    is_short: bool,
}

impl Relay {
    /// Signs again what the registry would take, and puts it into the outbox.
    pub(super) async fn sign_again(
        &self,
        signer: SignerAccount<'_>,
        failed: &[FailedAnchor],
        room: RegistryRoom,
        (under_way, decision): (EndsUnderWay, &EndDecision),
    ) -> Result<AgainOutcome, StoreError> {
        let nothing = |all| AgainOutcome {
            any: false,
            all,
            ends: 0,
        };
        if failed.is_empty() {
            return Ok(nothing(true));
        }
        if room.paused || !room.may_anchor {
            self.put_off_failed(failed, RETRY_IN).await?;
            return Ok(nothing(false));
        }
        let left = i64::from(room.left) - under_way.sent - under_way.queued;
        let left = decision.claim_up_to(left, failed.len());
        let plan = match self.plan_again(signer, failed, left).await {
            Ok(plan) => plan,
            Err(error) => {
                tracing::warn!(%error, waiting = failed.len(), "The node cannot be reached; anchors that failed wait");
                self.put_off_failed(failed, again_after(&error)).await?;
                return Ok(nothing(true));
            }
        };
        let mut conn = self.pool.acquire().await?;
        for (rows, again_in) in [(&plan.later, LATER), (&plan.much_later, MUCH_LATER)] {
            if !rows.is_empty() {
                again::put_off(&mut conn, rows, again_in).await?;
            }
        }
        drop(conn);
        let submitted = self.sign_planned(signer, &plan.now).await?;
        let ends = submitted.iter().filter(|it| it.supersedes).count();
        Ok(AgainOutcome {
            any: !submitted.is_empty(),
            all: !plan.is_short,
            ends: i64::try_from(ends).unwrap_or(i64::MAX),
        })
    }

    /// Asks the registry about each, earlier versions first.
    async fn plan_again<'a>(
        &self,
        signer: SignerAccount<'_>,
        failed: &'a [FailedAnchor],
        mut left: i64,
    ) -> Result<Plan<'a>, ClientError> {
        let mut plan = Plan::default();
        let mut planned = HashSet::new();
        let mut accounts = HashMap::new();
        for anchor in failed {
            match self.is_as_signed(anchor, &mut accounts).await {
                Some(true) => {}
                Some(false) => {
                    let record = anchor.record;
                    tracing::error!(record.id = %record, "The anchor of record {record} is not as one of our accounts signed it: it is not signed again");
                    plan.much_later.push(anchor.outbox);
                    continue;
                }
                None => {
                    plan.later.push(anchor.outbox);
                    continue;
                }
            }
            match self.look(signer, anchor, &planned).await? {
                HowAgain::There => plan.much_later.push(anchor.outbox),
                HowAgain::Later => plan.later.push(anchor.outbox),
                HowAgain::Superseding if left <= 0 => {
                    plan.is_short = true;
                    plan.later.push(anchor.outbox);
                }
                HowAgain::Superseding => {
                    left -= 1;
                    planned.insert(anchor.record_hash);
                    let superseded = anchor.supersedes.as_ref().map(|it| it.record_hash);
                    plan.now.push(PlannedAnchor {
                        failed: anchor,
                        superseded,
                    });
                }
                HowAgain::Alone => {
                    planned.insert(anchor.record_hash);
                    plan.now.push(PlannedAnchor {
                        failed: anchor,
                        superseded: None,
                    });
                }
            }
        }
        Ok(plan)
    }

    /// Whether the rows say what the transaction says that came to nothing, and one of our accounts signed it: whoever writes to
    /// the database has us sign nothing new. `None` where the node does not say whose the account is.
    async fn is_as_signed(
        &self,
        anchor: &FailedAnchor,
        accounts: &mut HashMap<ChainAddress, Option<bool>>,
    ) -> Option<bool> {
        let deployment = self.client.deployment();
        let call = AnchoringCall::read(&anchor.raw_transaction, deployment).filter(|call| {
            call.record == anchor.record_hash
                && call.by.to_string() == anchor.signer
                && anchor
                    .supersedes
                    .as_ref()
                    .is_none_or(|it| call.superseded == Some(it.record_hash))
        });
        let Some(call) = call else {
            return Some(false);
        };
        if let Some(&is_ours) = accounts.get(&call.by) {
            return is_ours;
        }
        let is_ours = self.is_ours(call.by).await;
        accounts.insert(call.by, is_ours);
        is_ours
    }

    /// Whether an account is one of those that sign, or one that the registry has let anchor: what the database says of it counts
    /// for nothing here. `None` where the node does not say.
    async fn is_ours(&self, account: ChainAddress) -> Option<bool> {
        if self.signers.has(account) {
            return Some(true);
        }
        match self.client.was_registrar(account).await {
            Ok(false) => Some(false),
            Ok(true) => {
                let is_agreed = self.is_agreed(ToldFact::WasRegistrar(account)).await;
                is_agreed.then_some(true)
            }
            Err(error) => {
                tracing::warn!(%error, %account, "The node does not say whether {account} was a registrar; its anchors wait");
                None
            }
        }
    }

    async fn look(
        &self,
        signer: SignerAccount<'_>,
        anchor: &FailedAnchor,
        planned: &HashSet<DataHash>,
    ) -> Result<HowAgain, ClientError> {
        if self.client.anchor_of(&anchor.record_hash).await?.is_some() {
            return Ok(HowAgain::There);
        }
        let is_unknown = ToldFact::NotAnchored(anchor.record_hash);
        if !self.is_agreed(is_unknown).await {
            return Ok(HowAgain::Later);
        }
        let Some(before) = &anchor.supersedes else {
            return Ok(HowAgain::Alone);
        };
        if planned.contains(&before.record_hash) {
            return Ok(HowAgain::Superseding);
        }
        let on_chain = self.client.anchor_of(&before.record_hash).await?;
        let stands = on_chain.map(|it| self.stands_by_us(&it));
        let is_by_us = before.signer.as_deref() == Some(signer.address);
        Ok(follow(stands, before.state, is_by_us))
    }

    /// Whether the registry lets this account supersede a version.
    fn stands_by_us(&self, anchor: &OnChainAnchor) -> bool {
        anchor.status == OnChainStatus::Active && anchor.registrar == self.signer.address()
    }

    /// Gives each its nonce and its transaction, in one transaction with the signer's row.
    async fn sign_planned(
        &self,
        signer: SignerAccount<'_>,
        planned: &[PlannedAnchor<'_>],
    ) -> Result<Vec<SignedAgain>, StoreError> {
        if planned.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<i64> = planned.iter().map(|it| it.failed.outbox).collect();
        let mut tx = self.pool.begin().await?;
        let first_nonce = signers::lock(&mut tx, signer).await?;
        let locked = again::lock(&mut tx, &rows).await?;
        let locked: HashSet<RecordId> = locked.into_iter().collect();
        let still = planned
            .iter()
            .filter(|it| locked.contains(&it.failed.record));
        let (mut transactions, mut events) = (Vec::new(), Vec::new());
        for (nonce, planned) in (first_nonce..).zip(still) {
            let Some(transaction) = self.sign_one(nonce, planned) else {
                // A gap in the nonces must not arise: give all of them up.
                tracing::error!("An anchor could not be signed again");
                return Ok(Vec::new());
            };
            let place = OnChainLocation::of_transaction(transaction.tx_hash.to_string());
            let subject = planned.failed.subject();
            events.push(FeedEntry::of_anchor(
                FeedKind::AnchorPending,
                subject,
                place,
            ));
            transactions.push(SignedAgain {
                replaces: planned.failed.outbox,
                supersedes: planned.superseded.is_some(),
                transaction: SignedTransaction {
                    of: planned.failed.record,
                    nonce,
                    tx_hash: transaction.tx_hash.to_string(),
                    raw_transaction: transaction.raw,
                    max_fee_per_gas: transaction.max_fee_per_gas,
                },
            });
        }
        if transactions.is_empty() {
            return Ok(transactions);
        }
        again::submit(&mut tx, signer, &transactions).await?;
        feed::append(&mut tx, &events).await?;
        tx.commit().await?;
        tracing::info!(
            anchors = transactions.len(),
            "Anchors that came to nothing are signed again"
        );
        Ok(transactions)
    }

    fn sign_one(&self, nonce: i64, planned: &PlannedAnchor<'_>) -> Option<SignedAnchor> {
        let nonce = u64::try_from(nonce).ok()?;
        let fees = *self.fees.borrow();
        let hash = &planned.failed.record_hash;
        let signed = match &planned.superseded {
            Some(old) => self.signer.sign_supersede(nonce, old, hash, fees),
            None => self.signer.sign_anchor(nonce, hash, fees),
        };
        signed.ok()
    }

    /// Puts all of them off.
    pub(super) async fn put_off_failed(
        &self,
        failed: &[FailedAnchor],
        again_in: Duration,
    ) -> Result<(), StoreError> {
        if failed.is_empty() {
            return Ok(());
        }
        let rows: Vec<i64> = failed.iter().map(|it| it.outbox).collect();
        let mut conn = self.pool.acquire().await?;
        again::put_off(&mut conn, &rows, again_in).await
    }
}

/// How a version is signed again that supersedes another one: whether the registry lets us supersede that, where it knows it;
/// where its anchor stands here; whether this account signed for it last.
const fn follow(stands: Option<bool>, state: Option<AnchorState>, is_by_us: bool) -> HowAgain {
    match (stands, state) {
        (Some(true), _) => HowAgain::Superseding,
        // Another account's, or ended; or nobody knows it.
        (Some(false), _) | (None, None) => HowAgain::Alone,
        (
            None,
            Some(
                AnchorState::Pending
                | AnchorState::Submitted
                | AnchorState::Replaced
                | AnchorState::Reorged,
            ),
        ) => {
            // Its nonce is lower than the next one.
            if is_by_us {
                HowAgain::Superseding
            } else {
                HowAgain::Later
            }
        }
        // To be signed again itself; or the node is behind.
        (None, Some(AnchorState::Failed | AnchorState::Confirmed | AnchorState::Finalized)) => {
            HowAgain::Later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_follows_the_one_before_where_that_is_there_or_comes_first() {
        use AnchorState::{Confirmed, Failed, Finalized, Pending, Reorged, Replaced, Submitted};
        let cases = [
            // the registry lets us, where it stands here, signed by us → how it is signed
            (Some(true), Some(Confirmed), true, HowAgain::Superseding),
            (Some(true), Some(Failed), false, HowAgain::Superseding),
            (Some(true), None, false, HowAgain::Superseding),
            (Some(false), Some(Finalized), true, HowAgain::Alone),
            (Some(false), Some(Failed), true, HowAgain::Alone),
            (None, None, false, HowAgain::Alone),
            (None, Some(Pending), true, HowAgain::Superseding),
            (None, Some(Submitted), true, HowAgain::Superseding),
            (None, Some(Replaced), true, HowAgain::Superseding),
            (None, Some(Reorged), true, HowAgain::Superseding),
            (None, Some(Pending), false, HowAgain::Later),
            (None, Some(Reorged), false, HowAgain::Later),
            (None, Some(Failed), true, HowAgain::Later),
            (None, Some(Confirmed), true, HowAgain::Later),
            (None, Some(Finalized), true, HowAgain::Later),
        ];
        for (stands, state, is_by_us, wanted) in cases {
            let how = follow(stands, state, is_by_us);
            assert_eq!(how, wanted, "{stands:?} {state:?} {is_by_us}");
        }
    }
}
