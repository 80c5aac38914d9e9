//! What a chain alone shows of one hash: for whoever has a document and a node, and trusts nobody else.
//!
//! Everything is read from one state, after one block, and proven from the block's hash where the node gives
//! proofs. What the registry's storage says is compared with the log of its event; a node whose answers differ is
//! not believed.

use std::time::Duration;

use alloy::primitives::{FixedBytes, U256, keccak256};
use domain::records::DataHash;
use serde_json::json;

use crate::{
    bindings::MedicalRecordRegistry::{currentOfCall, successorOfCall},
    client::{self, Block, Client, OnChainAnchor, OnChainEnding, OnChainStatus, RegistryHead},
    deployment::Deployment,
    error::{CheckError, ClientError, InvalidUrl},
    event::{self, RegistryEvent},
    hash::{ChainAddress, CodeHash, TxHash},
    rpc::RpcNode,
    wire::{Bytes, Quantity64},
};

/// How many successors are followed to the one that stands. Each is a read of the contract's storage, in
/// one call.
const MAX_HOPS: u64 = 1_000;

/// How many blocks are asked for at once, until a node asks for less.
const FIRST_RANGE: u64 = 10_000;

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
    /// Where the registry's chain of events stood, proven by the block's hash as the anchor is; `None` where the
    /// node gives no proofs.
    pub proven: Option<RegistryHead>,
    /// How many events were read, none of them missing, where that was asked for.
    pub events: Option<u64>,
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
    /// What became of that one.
    pub current_status: Option<OnChainStatus>,
    /// How it was superseded or closed; `None` while it stands.
    pub ending: Option<OnChainEnding>,
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
        let node = RpcNode::new(url, timeout)?;
        let chain_id = node.get::<Quantity64>("eth_chainId", &json!([])).await?.0;
        let params = json!([registry.to_string(), "latest"]);
        let code = node.get::<Bytes>("eth_getCode", &params).await?.0;
        if code.is_empty() {
            return Err(CheckError::NoCode { registry }.into());
        }
        let as_found = Deployment {
            chain_id,
            registry,
            block: 0,
            code_hash: CodeHash(keccak256(code).0),
            registrar: ChainAddress([0; 20]),
            version: event::VERSION,
            predecessor: None,
            consent_registry: None,
            consent_version: None,
            consent_predecessor: None,
            earlier_checkpointers: Vec::new(),
        };
        Ok(Self::new(url, timeout, &as_found)?)
    }

    /// What the chain shows of a hash after a block, from one state, storage and log compared.
    ///
    /// # Errors
    /// [`NoEvidence`].
    pub async fn evidence_of(
        &self,
        hash: &DataHash,
        read_at: Block,
    ) -> Result<Evidence, NoEvidence> {
        let finalized = self.finalized().await?.map(|block| block.number);
        let state = json!({ "blockHash": read_at.hash.to_string() });
        let stored = self.anchor_at(hash, state.clone()).await?;
        let anchor = match stored {
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
                let (block, anchored) = self.log_of(hash, &stored, &read_at).await?;
                let (predecessor, registrar) = match anchored.event {
                    RegistryEvent::RecordAnchored {
                        record,
                        predecessor,
                        registrar,
                    } if record == *hash => (predecessor, registrar),
                    // One of a batch, as the registry checked when it gave it a slot.
                    RegistryEvent::BatchAnchored { registrar, .. } => (None, registrar),
                    _ => return Err(contradiction("the log of the anchor")),
                };
                let logged = (registrar, block.timestamp, anchored.sequence);
                if logged != (stored.registrar, stored.timestamp, stored.sequence) {
                    return Err(contradiction(
                        "who anchored it, when or with which number, in the contract and in its log",
                    ));
                }
                let newest = some(current.head.0).filter(|head| head != hash && current.complete);
                let current_status = match newest {
                    Some(_) => client::status(current.status)?,
                    None => None,
                };
                Some(ProvenAnchor {
                    status: stored.status,
                    registrar,
                    block,
                    tx_hash: anchored.tx_hash,
                    log_index: anchored.log_index,
                    sequence: anchored.sequence,
                    predecessor,
                    successor,
                    current: newest,
                    current_status,
                    ending: stored.ending,
                })
            }
        };
        let successor = anchor.as_ref().and_then(|anchor| anchor.successor);
        let proven = self.prove(&read_at, hash, stored.as_ref(), successor.as_ref());
        let proven = match proven.await {
            Ok(state) if state.code_hash != self.deployment().code_hash => {
                return Err(contradiction(
                    "the registry's code, by its answer and by proof",
                ));
            }
            Ok(state) => Some(state.head),
            // Not every node keeps what proofs are made of.
            Err(NoEvidence::Client(ClientError::Refused { .. })) => None,
            Err(error) => return Err(error),
        };
        Ok(Evidence {
            read_at,
            finalized,
            anchor,
            proven,
            events: None,
        })
    }

    /// Reads every event up to a block and holds them against the registry's head there. Gives how many there are.
    ///
    /// # Errors
    /// [`NoEvidence::Contradiction`] where an event is missing, doubled, moved or changed.
    pub async fn all_events(
        &self,
        read_at: &Block,
        registry: &RegistryHead,
    ) -> Result<u64, NoEvidence> {
        let deployment = self.deployment();
        let (mut head, mut sequence) = (event::first_head(deployment), 0);
        let (mut from, mut range) = (deployment.block, FIRST_RANGE);
        while from <= read_at.number {
            let to = read_at.number.min(from.saturating_add(range - 1));
            let logs = match self.logs_in(from, to).await {
                Ok(logs) => logs,
                Err(error) if error.asks_for_less() && range > 1 => {
                    range = (range / 2).max(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for raw in logs {
                let log = event::decode(&raw).map_err(|error| contradiction(&error.to_string()))?;
                let Some(log) = log else { continue };
                sequence += 1;
                head = event::next_head(deployment.chain_id, &head, &log.body);
                if (log.sequence, log.head) != (sequence, head) {
                    return Err(contradiction(&format!(
                        "event {sequence} of the registry and those before it: one is missing or was changed"
                    )));
                }
            }
            from = to + 1;
        }
        if (head, sequence) != (registry.head, registry.sequence) {
            return Err(contradiction(&format!(
                "the registry has had {} events, and the logs hold {sequence}",
                registry.sequence
            )));
        }
        Ok(sequence)
    }

    /// The one log that anchored a hash, and its block. The registry names the block; on a chain whose `block.number` is
    /// another chain's, the log is looked for by its hash.
    async fn log_of(
        &self,
        hash: &DataHash,
        stored: &OnChainAnchor,
        read_at: &Block,
    ) -> Result<(Block, event::RegistryLog), NoEvidence> {
        let named = self.block_by_number(stored.block_number).await?;
        if let Some(block) = named.filter(|block| block.number <= read_at.number)
            && let Some(log) = Self::numbered(&self.logs_of(&block).await?, stored)?
        {
            return Ok((block, log));
        }
        let logs = self.logs_about(hash, read_at.number).await?;
        let log = match Self::numbered(&logs, stored)? {
            None => self.batch_of(&logs, stored, read_at).await?,
            found => found,
        };
        let log = log.ok_or_else(|| {
            contradiction("the registry says that it was anchored, and no log holds that")
        })?;
        let block = self.block_by_number(log.block_number).await?;
        let block = block.filter(|block| block.hash == log.block_hash);
        let block = block.ok_or_else(|| contradiction("the block of the anchor's log"))?;
        Ok((block, log))
    }

    /// The log of the batch that a record is of, whose root the log of its extraction names.
    async fn batch_of(
        &self,
        about: &[event::RawLog],
        stored: &OnChainAnchor,
        read_at: &Block,
    ) -> Result<Option<event::RegistryLog>, NoEvidence> {
        for raw in about {
            let log = event::decode(raw).map_err(|error| contradiction(&error.to_string()))?;
            if let Some(RegistryEvent::RecordExtracted { root, .. }) = log.map(|log| log.event) {
                let logs = self.logs_about(&root, read_at.number).await?;
                return Self::numbered(&logs, stored);
            }
        }
        Ok(None)
    }

    /// The log with the number that the registry keeps with the record.
    fn numbered(
        logs: &[event::RawLog],
        stored: &OnChainAnchor,
    ) -> Result<Option<event::RegistryLog>, NoEvidence> {
        for raw in logs {
            let log = event::decode(raw).map_err(|error| contradiction(&error.to_string()))?;
            if let Some(log) = log.filter(|log| log.sequence == stored.sequence) {
                return Ok(Some(log));
            }
        }
        Ok(None)
    }
}

fn some(hash: [u8; 32]) -> Option<DataHash> {
    Some(DataHash(hash)).filter(|hash| hash.0 != [0; 32])
}

pub(crate) fn contradiction(what: &str) -> NoEvidence {
    NoEvidence::Contradiction {
        what: what.to_owned(),
    }
}
