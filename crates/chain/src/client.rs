//! What a node is asked. One call, one deadline for each node that is asked; retrying is the caller's.

use std::time::Duration;

use alloy::{
    primitives::{FixedBytes, keccak256},
    sol_types::{SolCall, SolEvent},
};
use domain::records::DataHash;
use serde_json::{Value, json};

use crate::{
    bindings::MedicalRecordRegistry::{
        PREDECESSORCall, REGISTRAR_ROLECall, RoleGranted, VERSIONCall, anchorOfCall,
        endingLimitOfCall, hasRoleCall, headCall, successorOfCall,
    },
    deployment::Deployment,
    error::{CheckError, ClientError, InvalidUrl, Line},
    event::{self, RawLog},
    failover::EndpointHealth,
    hash::{BlockHash, ChainAddress, CodeHash, Head, TxHash},
    rpc::{NodeIdentity, Rpc},
    send::{self, Sent},
    wire::{self, Bytes, Quantity, Quantity64},
};

/// One node or several, and the registry on their chain. Cheap to clone; clones share connections, and what is known of the
/// nodes.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) rpc: Rpc,
    deployment: Deployment,
}

/// What a transaction offers. Unit: wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// The most it pays in all.
    pub max_fee_per_gas: u128,
    /// The most of it that goes to whoever makes the block.
    pub max_priority_fee_per_gas: u128,
}

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it had an effect.
    pub succeeded: bool,
    /// Its block's number.
    pub block_number: u64,
    /// Its block's hash.
    pub block_hash: BlockHash,
}

/// What became of a record, says the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChainStatus {
    /// It stands.
    Active,
    /// A newer one took its place.
    Superseded,
    /// It was declared wrong.
    Revoked,
    /// Its document, key and salt were destroyed.
    Erased,
}

/// What the registry knows of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnChainAnchor {
    /// What became of it.
    pub status: OnChainStatus,
    /// Who anchored it.
    pub registrar: ChainAddress,
    /// In which block.
    pub block_number: u64,
    /// When that block was made. Unit: seconds since 1970.
    pub timestamp: u64,
    /// The number of the event that anchored it.
    pub sequence: u64,
    /// How it was superseded or closed; `None` while it stands.
    pub ending: Option<OnChainEnding>,
}

/// How a record was superseded or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnChainEnding {
    /// Who did it.
    pub by: ChainAddress,
    /// Whether they did it as a registrar, within a limit, and not as a steward.
    pub by_registrar: bool,
    /// When. Unit: seconds since 1970.
    pub timestamp: u64,
    /// Why it was closed: a code of the operator's list; zero for a superseded one.
    pub reason: u8,
}

/// A block's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// The hash of the one before.
    pub parent_hash: BlockHash,
    /// When it was made. Unit: seconds since 1970.
    pub timestamp: u64,
}

/// Where the registry's chain of events stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryHead {
    /// The rolling hash after the last event.
    pub head: Head,
    /// How many events there have been.
    pub sequence: u64,
    /// Whether new entries are refused.
    pub paused: bool,
}

/// What the registry would take from an account now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryRoom {
    /// Whether it takes nothing at all.
    pub paused: bool,
    /// Whether it takes anything from this account.
    pub may_anchor: bool,
    /// How many records the account may supersede and close in an hour.
    pub limit: u16,
    /// How many of them are left in this hour; what all registrars end counts.
    pub left: u16,
}

/// What a status of the registry means; `None` for a hash that it does not know.
pub(crate) fn status(status: u8) -> Result<Option<OnChainStatus>, ClientError> {
    match status {
        0 => Ok(None),
        1 => Ok(Some(OnChainStatus::Active)),
        2 => Ok(Some(OnChainStatus::Superseded)),
        3 => Ok(Some(OnChainStatus::Revoked)),
        4 => Ok(Some(OnChainStatus::Erased)),
        other => Err(ClientError::Unreadable {
            method: "eth_call",
            what: format!("status {other}"),
        }),
    }
}

fn addresses(contracts: &[ChainAddress]) -> Vec<String> {
    contracts.iter().map(ToString::to_string).collect()
}

fn transaction(raw: &[u8]) -> Value {
    json!([alloy::hex::encode_prefixed(raw)])
}

impl Client {
    /// A client of the node at `url`. Does not connect.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn new(url: &str, timeout: Duration, deployment: &Deployment) -> Result<Self, InvalidUrl> {
        Self::over(&[url], timeout, deployment)
    }

    /// A client of several nodes of one chain. The first is asked, until it fails: then the next one is, in the same call, once
    /// it has shown that it is of the chain and has the registry. Does not connect.
    ///
    /// # Errors
    /// [`InvalidUrl`], also where there is none.
    pub fn over(
        urls: &[&str],
        timeout: Duration,
        deployment: &Deployment,
    ) -> Result<Self, InvalidUrl> {
        let identity = NodeIdentity {
            chain_id: deployment.chain_id,
            registry: deployment.registry,
            code_hash: deployment.code_hash,
        };
        Ok(Self {
            rpc: Rpc::new(urls, timeout, identity)?,
            deployment: deployment.clone(),
        })
    }

    /// A client of each node by itself, in the order in which they were named.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.rpc.each().map(|rpc| Self {
            rpc,
            deployment: self.deployment.clone(),
        })
    }

    /// How each node does, in the order in which they were named.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        self.rpc.health()
    }

    /// Notes that the node at this place of [`Client::each`] did not do what it should.
    pub(crate) fn failed(&self, place: usize, error: &ClientError) {
        self.rpc.failed(place, error);
    }

    /// The registry it speaks of.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Refuses a node of another chain, and anything but our registry at its address.
    ///
    /// # Errors
    /// [`CheckError`]: each says what to do.
    pub async fn check(&self) -> Result<(), CheckError> {
        let Deployment {
            chain_id: wanted,
            registry,
            code_hash,
            ..
        } = self.deployment;
        let none = json!([]);
        let found = self.rpc.get::<Quantity64>("eth_chainId", none).await?.0;
        if found != wanted {
            return Err(CheckError::WrongChain { wanted, found });
        }
        let params = json!([registry.to_string(), "latest"]);
        let code = self.rpc.get::<Bytes>("eth_getCode", params).await?.0;
        if code.is_empty() {
            return Err(CheckError::NoCode { registry });
        }
        let found = CodeHash(keccak256(code).0);
        if found != code_hash {
            return Err(CheckError::WrongCode {
                registry,
                wanted: code_hash,
                found,
            });
        }
        self.check_lines().await?;
        self.check_block().await
    }

    /// Refuses a version that this program does not follow, and contracts that say otherwise than the deployment file
    /// which version they are and what they continue.
    async fn check_lines(&self) -> Result<(), CheckError> {
        let Deployment {
            registry,
            version,
            predecessor,
            consent_registry,
            consent_version,
            consent_predecessor,
            ..
        } = self.deployment;
        if version != event::VERSION {
            return Err(CheckError::WrongVersion {
                wanted: event::VERSION,
                found: version,
            });
        }
        let consents = consent_registry.map(|consents| {
            let filed = Line {
                version: consent_version.unwrap_or(1),
                predecessor: consent_predecessor,
            };
            (consents, filed)
        });
        let filed = Line {
            version,
            predecessor,
        };
        for (contract, filed) in [(registry, filed)].into_iter().chain(consents) {
            let found = self.line_of(contract).await?;
            if found != filed {
                return Err(CheckError::OtherLine {
                    contract,
                    filed,
                    found,
                });
            }
        }
        Ok(())
    }

    /// What a contract of ours says of itself.
    async fn line_of(&self, contract: ChainAddress) -> Result<Line, CheckError> {
        let version = self.call_of(contract, &VERSIONCall {}, json!("latest"));
        let version = version.await?;
        let before = self.call_of(contract, &PREDECESSORCall {}, json!("latest"));
        let before = before.await?;
        Ok(Line {
            version: version.saturating_to(),
            predecessor: (!before.is_zero()).then(|| before.into()),
        })
    }

    /// Refuses a deployment whose first block is not on the chain, or came after the registry. A node that has
    /// forgotten the state of old blocks cannot tell: then the indexer finds the events that are missing.
    async fn check_block(&self) -> Result<(), CheckError> {
        let Deployment {
            registry, block, ..
        } = self.deployment;
        let head = self.head().await?.number;
        if block > head {
            return Err(CheckError::NoBlock { block, head });
        }
        let Some(before) = block.checked_sub(1) else {
            return Ok(());
        };
        let params = json!([registry.to_string(), format!("{before:#x}")]);
        match self.rpc.get::<Bytes>("eth_getCode", params).await {
            Ok(code) if !code.0.is_empty() => Err(CheckError::LateBlock { registry, block }),
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Fees for a transaction that should be in one of the next blocks: twice the base fee, which
    /// carries six full blocks, and what the node calls a fair tip.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fees(&self) -> Result<Fees, ClientError> {
        let latest: wire::Header = self
            .rpc
            .get("eth_getBlockByNumber", json!(["latest", false]))
            .await?;
        self.rpc.saw(latest.number.0);
        let tip: Quantity = self.rpc.get("eth_maxPriorityFeePerGas", json!([])).await?;
        let base = latest.base_fee_per_gas.map_or(0, |fee| fee.0);
        Ok(Fees {
            max_fee_per_gas: base.saturating_mul(2).saturating_add(tip.0).max(1),
            max_priority_fee_per_gas: tip.0,
        })
    }

    /// How many transactions of this account are in blocks. Those still waiting do not count: the
    /// database knows them better than any node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn next_nonce(&self, account: ChainAddress) -> Result<u64, ClientError> {
        self.nonce_at(account, "latest").await
    }

    /// What an account has. Unit: wei.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn balance(&self, account: ChainAddress) -> Result<u128, ClientError> {
        let params = json!([account.to_string(), "latest"]);
        let balance: Quantity = self.rpc.get("eth_getBalance", params).await?;
        Ok(balance.0)
    }

    /// The next nonce of an account, with the transactions that wait at the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pending_nonce(&self, account: ChainAddress) -> Result<u64, ClientError> {
        self.nonce_at(account, "pending").await
    }

    async fn nonce_at(&self, account: ChainAddress, block: &str) -> Result<u64, ClientError> {
        let params = json!([account.to_string(), block]);
        let nonce: Quantity64 = self.rpc.get("eth_getTransactionCount", params).await?;
        Ok(nonce.0)
    }

    /// Hands a signed transaction to the node. Sending it again is harmless.
    ///
    /// # Errors
    /// [`ClientError`] where it is not known whether the node took it: send the same bytes again.
    pub async fn send(&self, raw: &[u8]) -> Result<Sent, ClientError> {
        let answer = self.rpc.ask::<TxHash>(send::METHOD, transaction(raw)).await;
        send::outcome(answer.map(|_| ()))
    }

    /// Hands signed transactions to the node, in one request where it takes batches. What became of
    /// each, in their order.
    ///
    /// # Errors
    /// [`ClientError`] where it is not known which of them the node took: send the same bytes again.
    pub async fn send_all(&self, raws: &[&[u8]]) -> Result<Vec<Sent>, ClientError> {
        let params = raws.iter().map(|raw| transaction(raw)).collect();
        match self.rpc.ask_all::<TxHash>(send::METHOD, params).await {
            Ok(answers) => {
                let answers = answers.into_iter();
                answers
                    .map(|answer| send::outcome(answer.map(|_| ())))
                    .collect()
            }
            Err(ClientError::Refused { .. } | ClientError::Unreadable { .. }) => {
                let mut sent = Vec::with_capacity(raws.len());
                for raw in raws {
                    sent.push(self.send(raw).await?);
                }
                Ok(sent)
            }
            Err(other) => Err(other),
        }
    }

    /// What became of a transaction. `None` while it is in no block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receipt(&self, tx: TxHash) -> Result<Option<Receipt>, ClientError> {
        let params = json!([tx.to_string()]);
        let found: Option<wire::RawReceipt> =
            self.rpc.ask("eth_getTransactionReceipt", params).await?;
        Ok(found.map(|receipt| Receipt {
            succeeded: receipt.status.is_some_and(|status| status.0 == 1),
            block_number: receipt.block_number.0,
            block_hash: receipt.block_hash,
        }))
    }

    /// What the registry knows of a hash, now. `None` if it was never anchored.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn anchor_of(&self, hash: &DataHash) -> Result<Option<OnChainAnchor>, ClientError> {
        self.anchor_at(hash, json!("latest")).await
    }

    /// The same in the state that `at` names.
    pub(crate) async fn anchor_at(
        &self,
        hash: &DataHash,
        at: Value,
    ) -> Result<Option<OnChainAnchor>, ClientError> {
        let call = anchorOfCall {
            recordHash: FixedBytes(hash.0),
        };
        let answer = self.call(&call, at).await?;
        let Some(status) = status(answer.status)? else {
            return Ok(None);
        };
        Ok(Some(OnChainAnchor {
            status,
            registrar: answer.registrar.into(),
            block_number: answer.blockNumber.to(),
            timestamp: answer.anchoredAt.to(),
            sequence: answer.seq.to(),
            ending: (answer.endedAt.to::<u64>() != 0).then(|| OnChainEnding {
                by: answer.endedBy.into(),
                by_registrar: answer.endedByRegistrar,
                timestamp: answer.endedAt.to(),
                reason: answer.reason,
            }),
        }))
    }

    /// The hash that superseded this one, says the registry, now. `None` if none did.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn successor_of(&self, hash: &DataHash) -> Result<Option<DataHash>, ClientError> {
        let call = successorOfCall {
            recordHash: FixedBytes(hash.0),
        };
        let successor = self.call(&call, json!("latest")).await?;
        Ok((!successor.is_zero()).then_some(DataHash(successor.0)))
    }

    /// Whether the registry lets this account anchor.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn is_registrar(&self, account: ChainAddress) -> Result<bool, ClientError> {
        let role = self.call(&REGISTRAR_ROLECall {}, json!("latest")).await?;
        let call = hasRoleCall {
            role,
            account: account.to_alloy(),
        };
        self.call(&call, json!("latest")).await
    }

    /// Whether the registry lets this account anchor, or ever did, as its logs say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn was_registrar(&self, account: ChainAddress) -> Result<bool, ClientError> {
        if self.is_registrar(account).await? {
            return Ok(true);
        }
        let role = self.call(&REGISTRAR_ROLECall {}, json!("latest")).await?;
        let topics = [
            RoleGranted::SIGNATURE_HASH,
            role,
            account.to_alloy().into_word(),
        ];
        let wanted = topics.map(alloy::hex::encode_prefixed);
        let filter = json!([{
            "address": self.deployment.registry.to_string(),
            "topics": wanted,
            "fromBlock": format!("{:#x}", self.deployment.block),
            "toBlock": "latest",
        }]);
        let registry = [self.deployment.registry];
        let asked_for = |log: &RawLog| log.topics.starts_with(&topics);
        let granted = self.logs(&registry, filter, asked_for).await?;
        Ok(!granted.is_empty())
    }

    /// What the registry would take from this account now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn room(&self, account: ChainAddress) -> Result<RegistryRoom, ClientError> {
        let head = self.call(&headCall {}, json!("latest")).await?;
        let call = endingLimitOfCall {
            registrar: account.to_alloy(),
        };
        let ends = self.call(&call, json!("latest")).await?;
        Ok(RegistryRoom {
            paused: head._2,
            may_anchor: self.is_registrar(account).await?,
            limit: ends.limit,
            left: ends.left,
        })
    }

    /// Where the registry's chain of events stood after one block. Nodes that keep no old state
    /// refuse this for old blocks.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn registry_head(&self, at: BlockHash) -> Result<RegistryHead, ClientError> {
        self.head_of(self.deployment.registry, at).await
    }

    /// The same of any contract of ours.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn head_of(
        &self,
        contract: ChainAddress,
        at: BlockHash,
    ) -> Result<RegistryHead, ClientError> {
        let at = json!({ "blockHash": at.to_string() });
        let answer = self.call_of(contract, &headCall {}, at).await?;
        Ok(RegistryHead {
            head: Head(answer._0.0),
            sequence: answer._1.to(),
            paused: answer._2,
        })
    }

    /// The newest block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn head(&self) -> Result<Block, ClientError> {
        let header: wire::Header = self
            .rpc
            .get("eth_getBlockByNumber", json!(["latest", false]))
            .await?;
        self.rpc.saw(header.number.0);
        Ok(header.into())
    }

    /// The newest block that cannot be undone. `None` on a chain that knows no such thing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn finalized(&self) -> Result<Option<Block>, ClientError> {
        let asked = self
            .rpc
            .ask::<wire::Header>("eth_getBlockByNumber", json!(["finalized", false]))
            .await;
        match asked {
            Ok(header) => Ok(header.map(Into::into)),
            // Some say so by a refusal.
            Err(error @ ClientError::Refused { .. }) if !error.asks_for_patience() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The block with this number on the node's chain. `None` beyond its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_by_number(&self, number: u64) -> Result<Option<Block>, ClientError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let params = json!([format!("{number:#x}"), false]);
        let header: Option<wire::Header> = self.rpc.ask(METHOD, params).await?;
        let block = header.map(Block::from);
        match block {
            Some(block) if block.number != number => Err(ClientError::Unreadable {
                method: METHOD,
                what: format!("block {} instead of {number}", block.number),
            }),
            found => Ok(found),
        }
    }

    /// The registry's logs in blocks `from..=to`, in order, each once.
    ///
    /// # Errors
    /// [`ClientError`]; see [`ClientError::asks_for_less`].
    pub async fn logs_in(&self, from: u64, to: u64) -> Result<Vec<RawLog>, ClientError> {
        self.logs_of_contracts_in(&[self.deployment.registry], from, to)
            .await
    }

    /// The same of several contracts of ours.
    ///
    /// # Errors
    /// [`ClientError`]; see [`ClientError::asks_for_less`].
    pub async fn logs_of_contracts_in(
        &self,
        contracts: &[ChainAddress],
        from: u64,
        to: u64,
    ) -> Result<Vec<RawLog>, ClientError> {
        let filter = json!([{
            "address": addresses(contracts),
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
        }]);
        let asked_for = |log: &RawLog| (from..=to).contains(&log.block_number);
        self.logs(contracts, filter, asked_for).await
    }

    /// The registry's logs in exactly this block, in order, each once.
    ///
    /// # Errors
    /// [`ClientError`]; a node that does not know the block refuses.
    pub async fn logs_of(&self, block: &Block) -> Result<Vec<RawLog>, ClientError> {
        self.logs_of_contracts(&[self.deployment.registry], block)
            .await
    }

    /// The same of several contracts of ours.
    ///
    /// # Errors
    /// [`ClientError`]; a node that does not know the block refuses.
    pub async fn logs_of_contracts(
        &self,
        contracts: &[ChainAddress],
        block: &Block,
    ) -> Result<Vec<RawLog>, ClientError> {
        let filter = json!([{
            "address": addresses(contracts),
            "blockHash": block.hash.to_string(),
        }]);
        let asked_for =
            |log: &RawLog| (log.block_hash, log.block_number) == (block.hash, block.number);
        self.logs(contracts, filter, asked_for).await
    }

    /// The registry's logs up to a block whose first topic is this hash, in order, each once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn logs_about(
        &self,
        hash: &DataHash,
        to: u64,
    ) -> Result<Vec<RawLog>, ClientError> {
        let filter = json!([{
            "address": self.deployment.registry.to_string(),
            "topics": [Value::Null, format!("0x{hash}")],
            "fromBlock": format!("{:#x}", self.deployment.block),
            "toBlock": format!("{to:#x}"),
        }]);
        let registry = [self.deployment.registry];
        self.logs(&registry, filter, |log| log.block_number <= to)
            .await
    }

    async fn logs(
        &self,
        contracts: &[ChainAddress],
        filter: Value,
        asked_for: impl Fn(&RawLog) -> bool,
    ) -> Result<Vec<RawLog>, ClientError> {
        const METHOD: &str = "eth_getLogs";
        let answer: Vec<wire::Logged> = self.rpc.get(METHOD, filter).await?;
        let mut logs: Vec<RawLog> = answer.into_iter().map(RawLog::from).collect();
        let foreign = logs
            .iter()
            .find(|log| !contracts.contains(&log.address) || !asked_for(log));
        if let Some(log) = foreign {
            let what = format!("a log of {} in block {}", log.address, log.block_number);
            return Err(ClientError::Unreadable {
                method: METHOD,
                what,
            });
        }
        logs.sort_unstable_by_key(RawLog::place);
        logs.dedup_by_key(|log| log.place());
        Ok(logs)
    }

    pub(crate) async fn call<C: SolCall>(
        &self,
        call: &C,
        at: Value,
    ) -> Result<C::Return, ClientError> {
        self.call_of(self.deployment.registry, call, at).await
    }

    pub(crate) async fn call_of<C: SolCall>(
        &self,
        contract: ChainAddress,
        call: &C,
        at: Value,
    ) -> Result<C::Return, ClientError> {
        const METHOD: &str = "eth_call";
        let params = json!([{
            "to": contract.to_string(),
            "data": alloy::hex::encode_prefixed(call.abi_encode()),
        }, at]);
        let answer: Bytes = self.rpc.get(METHOD, params).await?;
        C::abi_decode_returns_validate(&answer.0).map_err(|error| ClientError::Unreadable {
            method: METHOD,
            what: error.to_string(),
        })
    }
}

impl From<wire::Header> for Block {
    fn from(header: wire::Header) -> Self {
        Self {
            number: header.number.0,
            hash: header.hash,
            parent_hash: header.parent_hash,
            timestamp: header.timestamp.0,
        }
    }
}
