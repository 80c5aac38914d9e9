//! What a chain alone shows of one hash: for whoever has a document and a node, and trusts nobody else.
//!
//! Everything is read from one state, after one block. What the registry's storage says is compared with
//! the log that its block holds; a node whose two answers differ is not believed.

use std::time::Duration;

use alloy::primitives::{FixedBytes, U256, keccak256};
use domain::records::DataHash;
use serde_json::json;

use crate::{
    bindings::MedicalRecordRegistry::{currentOfCall, successorOfCall},
    client::{Block, Client, OnChainStatus},
    deployment::Deployment,
    error::{CheckError, ClientError, InvalidUrl},
    event::{self, RegistryEvent},
    hash::{ChainAddress, CodeHash, TxHash},
    rpc::Rpc,
    wire::{Bytes, Quantity64},
};

/// How many successors are followed to the one that stands. Each is a read of the contract's storage, in
/// one call.
const MAX_HOPS: u64 = 1_000;

/// Why there is no client of the contract at an address.
#[derive(Debug, thiserror::Error)]
pub enum NoRegistry {
    /// The node's address cannot be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The node gives no answer, or there is no contract.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl From<ClientError> for NoRegistry {
    fn from(error: ClientError) -> Self {
        Self::Check(error.into())
    }
}

/// What the chain shows of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The block after which all of it was read.
    pub read_at: Block,
    /// The newest block that cannot be undone. `None` on a chain that knows no such thing.
    pub finalized: Option<u64>,
    /// Its anchor; `None` if it was never anchored.
    pub anchor: Option<ProvenAnchor>,
}

/// An anchor, as the registry's storage and the log of its block both say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenAnchor {
    /// What became of the record.
    pub status: OnChainStatus,
    /// Who anchored it.
    pub registrar: ChainAddress,
    /// In which block.
    pub block: Block,
    /// In which transaction.
    pub tx_hash: TxHash,
    /// Where in the block.
    pub log_index: u64,
    /// The number of the event among all of the registry's.
    pub sequence: u64,
    /// The record that it replaced.
    pub predecessor: Option<DataHash>,
    /// The record that replaced it.
    pub successor: Option<DataHash>,
    /// The last of its successors; `None` where none replaced it or there are too many to follow.
    pub current: Option<DataHash>,
}

/// Why the evidence is not believed.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidence {
    /// The node gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Two answers of the node differ.
    #[error("the node contradicts itself: {what}; ask again, or ask another node")]
    Contradiction {
        /// In what.
        what: String,
    },
}

impl Client {
    /// A client of whatever contract is at this address: for whoever has no deployment file. Nothing is
    /// known of its code but what the node says.
    ///
    /// # Errors
    /// [`NoRegistry`]: no such node, or nothing at that address.
    pub async fn of_contract_at(
        url: &str,
        timeout: Duration,
        registry: ChainAddress,
    ) -> Result<Self, NoRegistry> {
        let rpc = Rpc::new(url, timeout)?;
        let chain_id = rpc.get::<Quantity64>("eth_chainId", json!([])).await?.0;
        let params = json!([registry.to_string(), "latest"]);
        let code = rpc.get::<Bytes>("eth_getCode", params).await?.0;
        if code.is_empty() {
            return Err(CheckError::NoCode { registry }.into());
        }
        let as_found = Deployment {
            chain_id,
            registry,
            block: 0,
            code_hash: CodeHash(keccak256(code).0),
            registrar: ChainAddress([0; 20]),
            consent_registry: None,
        };
        Ok(Self::new(url, timeout, &as_found)?)
    }

    /// What the chain shows of a hash, from one state, storage and log compared.
    ///
    /// # Errors
    /// [`NoEvidence`].
    pub async fn evidence_of(&self, hash: &DataHash) -> Result<Evidence, NoEvidence> {
        let read_at = self.head().await?;
        let finalized = self.finalized().await?.map(|block| block.number);
        let state = json!({ "blockHash": read_at.hash.to_string() });
        let anchor = match self.anchor_at(hash, state.clone()).await? {
            None => None,
            Some(stored) => {
                let record_hash = FixedBytes(hash.0);
                let call = successorOfCall {
                    recordHash: record_hash,
                };
                let successor = some(self.call(&call, state.clone()).await?.0);
                let call = currentOfCall {
                    recordHash: record_hash,
                    maxHops: U256::from(MAX_HOPS),
                };
                let current = self.call(&call, state).await?;
                let is_superseded = stored.status == OnChainStatus::Superseded;
                if is_superseded != successor.is_some() {
                    return Err(contradiction("a superseded record and its successor"));
                }
                let log = self.log_of(hash, stored.block_number).await?;
                let (block, anchored) = log;
                let RegistryEvent::RecordAnchored {
                    predecessor,
                    registrar,
                    ..
                } = anchored.event
                else {
                    return Err(contradiction("the log of the anchor"));
                };
                let logged = (registrar, block.timestamp, anchored.sequence);
                if logged != (stored.registrar, stored.timestamp, stored.sequence) {
                    return Err(contradiction(
                        "who anchored it, when or with which number, in the contract and in its log",
                    ));
                }
                Some(ProvenAnchor {
                    status: stored.status,
                    registrar,
                    block,
                    tx_hash: anchored.tx_hash,
                    log_index: anchored.log_index,
                    sequence: anchored.sequence,
                    predecessor,
                    successor,
                    current: some(current.head.0).filter(|head| head != hash && current.complete),
                })
            }
        };
        Ok(Evidence {
            read_at,
            finalized,
            anchor,
        })
    }

    /// The one log that anchored a hash, from the block that the registry names.
    async fn log_of(
        &self,
        hash: &DataHash,
        number: u64,
    ) -> Result<(Block, event::RegistryLog), NoEvidence> {
        let block = self.block_by_number(number).await?;
        let block = block.ok_or_else(|| contradiction("the block of the anchor does not exist"))?;
        for raw in self.logs_of(&block).await? {
            let log = event::decode(&raw).map_err(|error| contradiction(&error.to_string()))?;
            if let Some(log) = log
                && matches!(log.event, RegistryEvent::RecordAnchored { record, .. } if record == *hash)
            {
                return Ok((block, log));
            }
        }
        Err(contradiction(
            "the registry says which block anchored it, and that block's logs do not hold it",
        ))
    }
}

fn some(hash: [u8; 32]) -> Option<DataHash> {
    Some(DataHash(hash)).filter(|hash| hash.0 != [0; 32])
}

fn contradiction(what: &str) -> NoEvidence {
    NoEvidence::Contradiction {
        what: what.to_owned(),
    }
}
