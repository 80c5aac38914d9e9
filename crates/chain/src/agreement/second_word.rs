//! Whether a second node says what one has told, before something is done that cannot be taken back or costs money. The node that
//! is asked now has to say it again: another one may have told it. Another one that has just failed is asked all the same, so that
//! the one that took its place is not believed alone.

use std::{fmt, time::Duration};

use domain::records::DataHash;
use serde_json::json;
use tokio::time;

use super::{OtherNode, each_within, is_foreign};
use crate::{
    checkpoint::PinnedCheckpoint,
    client::Client,
    consents::OnChainConsent,
    error::ClientError,
    failover::EndpointRest,
    hash::{ChainAddress, TxHash},
    send::Sent,
};

/// How long all other nodes together may take for one fact. Nobody waits for an answer meanwhile, and who is late is not heard: longer
/// than for a comparison.
const WITHIN: Duration = Duration::from_secs(5);
/// How many receipts are asked for in one request. Unit: questions.
const AT_ONCE: usize = 100;
/// How many times what a node calls usual is not too much for it. Blocks become dearer by an eighth each, so that what was usual
/// six blocks ago is half of it at worst, and nodes guess tips by rules of their own. Unit: times.
const TIMES_USUAL: u128 = 2;
/// A tip that is fair where a node calls less usual: where blocks cost next to nothing, what nodes call usual is little but their
/// tips. Unit: wei, one gwei.
const FAIR_TIP: u128 = 1_000_000_000;

/// What a node has told.
#[derive(Debug, Clone, Copy)]
pub enum ToldFact<'a> {
    /// A transaction is in a block, without effect.
    Reverted(TxHash),
    /// The next nonce of an account, which none of these transactions has used up.
    NonceUsed {
        /// The account.
        account: ChainAddress,
        /// Its next nonce.
        next: u64,
        /// Our own transactions for the nonce in question.
        by_none_of: &'a [TxHash],
    },
    /// The next nonce of an account, with which it is to sign.
    NextNonce {
        /// The account.
        account: ChainAddress,
        /// Its next nonce.
        next: u64,
    },
    /// A transaction offers too little, and so much in its place is not too much.
    TooCheap {
        /// The transaction.
        raw: &'a [u8],
        /// What another one is to offer. Unit: wei per gas.
        raised: u128,
    },
    /// The registry lets an account anchor.
    IsRegistrar(ChainAddress),
    /// The registry takes nothing from an account.
    NoRegistrar(ChainAddress),
    /// The registry takes something from an account, or did once.
    WasRegistrar(ChainAddress),
    /// The registry does not know a hash.
    NotAnchored(DataHash),
    /// The registry takes checkpoints of an account now.
    MayPin(ChainAddress),
    /// The last checkpoint that the registry holds.
    LastCheckpoint(PinnedCheckpoint),
    /// In the registry of consents, a consent is withdrawn.
    ConsentWithdrawn {
        /// That registry.
        contract: ChainAddress,
        /// Whose consent it is.
        wallet: ChainAddress,
        /// What it is known by.
        details: DataHash,
    },
}

/// Without any hash of a record or of a consent.
impl fmt::Display for ToldFact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reverted(tx) => write!(f, "the transaction {tx} was mined without effect"),
            Self::NonceUsed { account, next, .. } => write!(
                f,
                "the nonces of {account} before {next} were used, one of them by no transaction of ours"
            ),
            Self::NextNonce { account, next } => write!(f, "the next nonce of {account} is {next}"),
            Self::TooCheap { raised, .. } => write!(
                f,
                "a transaction offers too little, and {raised} wei for a unit of gas is not too much"
            ),
            Self::IsRegistrar(account) => write!(f, "the registry lets {account} anchor"),
            Self::NoRegistrar(account) => write!(f, "the registry takes nothing from {account}"),
            Self::WasRegistrar(account) => write!(f, "{account} was a registrar"),
            Self::NotAnchored(_) => f.write_str("the registry does not know a hash that failed"),
            Self::MayPin(account) => write!(f, "the registry takes checkpoints of {account}"),
            Self::LastCheckpoint(pinned) => write!(
                f,
                "the registry's last checkpoint is of {} rows, in epoch {}",
                pinned.size, pinned.epoch
            ),
            Self::ConsentWithdrawn { .. } => {
                f.write_str("a consent is withdrawn in its registry that was not withdrawn here")
            }
        }
    }
}

impl ToldFact<'_> {
    /// What a node is asked first.
    const fn method(self) -> &'static str {
        match self {
            Self::Reverted(_) => "eth_getTransactionReceipt",
            Self::NonceUsed { .. } | Self::NextNonce { .. } => "eth_getTransactionCount",
            Self::TooCheap { .. } => "eth_getBlockByNumber",
            Self::IsRegistrar(_)
            | Self::NoRegistrar(_)
            | Self::WasRegistrar(_)
            | Self::NotAnchored(_)
            | Self::MayPin(_)
            | Self::LastCheckpoint(_)
            | Self::ConsentWithdrawn { .. } => "eth_call",
        }
    }

    /// Whether a node says so.
    async fn is_said_by(self, node: &Client) -> Result<bool, ClientError> {
        match self {
            Self::Reverted(tx) => {
                let receipt = node.receipt(tx).await?;
                Ok(receipt.is_some_and(|receipt| !receipt.succeeded))
            }
            Self::NonceUsed {
                account,
                next,
                by_none_of,
            } => {
                if node.next_nonce(account).await? < next {
                    return Ok(false);
                }
                for some in by_none_of.chunks(AT_ONCE) {
                    let params = some.iter().map(|tx| json!([tx.to_string()])).collect();
                    let receipts = node.receipts(params).await?;
                    if receipts.iter().any(Option::is_some) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::NextNonce { account, next } => Ok(node.next_nonce(account).await? == next),
            Self::TooCheap { raw, raised } => {
                let fees = node.fees().await?;
                let short = FAIR_TIP.saturating_sub(fees.max_priority_fee_per_gas);
                let usual = fees.max_fee_per_gas.saturating_add(short);
                if raised <= usual.saturating_mul(TIMES_USUAL) {
                    return Ok(true);
                }
                // It may demand more than is usual. Handing the transaction over as it is does no harm.
                Ok(node.send(raw).await? == Sent::Underpriced)
            }
            Self::IsRegistrar(account) => node.is_registrar(account).await,
            Self::NoRegistrar(account) => Ok(!node.is_registrar(account).await?),
            Self::WasRegistrar(account) => node.was_registrar(account).await,
            Self::NotAnchored(hash) => Ok(node.anchor_of(&hash).await?.is_none()),
            Self::MayPin(account) => Ok(!node.is_paused().await? && node.may_pin(account).await?),
            Self::LastCheckpoint(pinned) => Ok(node.latest_checkpoint().await? == pinned),
            Self::ConsentWithdrawn {
                contract,
                wallet,
                details,
            } => {
                let stands = node.consent_of(contract, wallet, &details).await?;
                Ok(stands == Some(OnChainConsent::Withdrawn))
            }
        }
    }
}

impl Client {
    /// Refuses where the node that is asked does not say it again, or another one says otherwise. One other node that says it is
    /// enough; one that is behind is asked later, where no other one says it. Where there is no other node, or none of them says anything,
    /// the one is believed.
    ///
    /// # Errors
    /// [`ClientError::NodesDiffer`], and those of the node that is asked.
    pub async fn require_second_word(&self, told: ToldFact<'_>) -> Result<(), ClientError> {
        let Some((asked, others)) = self.asked_and_others() else {
            return Ok(());
        };
        let number = asked.head().await?.number;
        if !told.is_said_by(&asked).await? {
            return Err(ClientError::NodesDiffer { number });
        }
        let within = each_within(WITHIN, others.len());
        let mut is_to_wait = false;
        for other in &others {
            let OtherNode {
                place,
                client,
                health,
            } = other;
            if health.rest == EndpointRest::Long
                || (!health.is_well && !self.is_back(*place, client, within).await)
            {
                continue;
            }
            let is_said = match time::timeout(within, told.is_said_by(client)).await {
                Ok(Ok(is_said)) => is_said,
                // Many questions follow one another: each would wait for it as long.
                Ok(Err(error)) => {
                    self.failed(*place, &error);
                    continue;
                }
                Err(_) => {
                    let method = told.method();
                    self.failed(*place, &ClientError::TimedOut { method });
                    continue;
                }
            };
            if is_said {
                return Ok(());
            }
            if is_foreign(client, within).await {
                continue;
            }
            match time::timeout(within, client.head()).await {
                Ok(Ok(theirs)) if theirs.number >= number => {
                    return Err(ClientError::NodesDiffer { number });
                }
                Ok(_) | Err(_) => is_to_wait = true,
            }
        }
        if is_to_wait {
            return Err(ClientError::NodesDiffer { number });
        }
        Ok(())
    }
}
