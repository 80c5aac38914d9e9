//! Whether a wallet signed: by its key, which costs nothing, or by its contract, which costs a few
//! questions to the node. Those are bounded, so that strangers cannot keep it busy.

use std::time::Duration;

use chain::{ChainAddress, Client, MessageHash, signed_by_key};
use domain::wallets::ProvenBy;
use tokio::sync::Semaphore;

use crate::{codes::ServiceLimit, error::Error};

/// How many contracts are asked at once.
const CONTRACT_CALLS: usize = 8;
/// How long a contract may take, three questions to the node in all. Shorter than a request may.
const WITHIN: Duration = Duration::from_secs(5);

/// Tries wallets' signatures.
#[derive(Debug)]
pub(crate) struct Prover {
    chain: Client,
    contract_calls: Semaphore,
}

impl Prover {
    /// Asks this node for contracts.
    pub(crate) fn new(chain: Client) -> Self {
        Self {
            chain,
            contract_calls: Semaphore::new(CONTRACT_CALLS),
        }
    }

    /// How the wallet at `address` proves that it signed `message`; `None` where it does not. The key is
    /// tried first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the key does not match and the node does not say whether a
    /// contract would: then nothing is known. [`Error::Busy`] where too many are asked already.
    pub(crate) async fn of(
        &self,
        address: ChainAddress,
        message: MessageHash,
        signature: &str,
    ) -> Result<Option<ProvenBy>, Error> {
        if signed_by_key(address, message, signature) {
            return Ok(Some(ProvenBy::Key));
        }
        let _permit = self.contract_calls.try_acquire().map_err(|_| Error::Busy {
            retry_after_seconds: 5,
            limit: Some(ServiceLimit::ContractCalls),
        })?;
        let asked = self.chain.contract_accepts(address, message, signature);
        match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(accepted)) => Ok(accepted.then_some(ProvenBy::Contract)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "The node does not say whether a contract accepts a signature");
                Err(Error::Unavailable)
            }
            Err(_) => {
                tracing::warn!(
                    "The node does not say in time whether a contract accepts a signature"
                );
                Err(Error::Unavailable)
            }
        }
    }
}
