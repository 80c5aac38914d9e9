//! Whether logs are where they say they are. The rolling head of the registry commits to what an event says and to its
//! order, and not to its block, its transaction and its place there: those are held against the blocks that the node has
//! under their numbers, and against the receipts of their transactions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    client::{Block, Client},
    error::ClientError,
    event::RawLog,
    hash::{BlockHash, ChainAddress, TxHash},
    wire,
};

/// How many blocks or receipts are asked for in one request. Unit: questions.
const AT_ONCE: usize = 100;

/// A log that another answer of the same node contradicts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log {log_index} of block {block_number} ({block_hash}), which names the transaction {tx_hash}, is not proven: {what}"
)]
pub struct UnprovenLog {
    /// The block that it names.
    pub block_number: u64,
    /// The hash of that.
    pub block_hash: BlockHash,
    /// Where it says it stands in its block.
    pub log_index: u64,
    /// The transaction that it names.
    pub tx_hash: TxHash,
    /// What contradicts it.
    pub what: String,
}

impl UnprovenLog {
    fn new(log: &RawLog, what: String) -> Self {
        Self {
            block_number: log.block_number,
            block_hash: log.block_hash,
            log_index: log.log_index,
            tx_hash: log.tx_hash,
            what,
        }
    }
}

impl Client {
    /// The first of these logs whose block is not the one that the node has under its number. `None` where all of them are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn misplaced(&self, logs: &[RawLog]) -> Result<Option<UnprovenLog>, ClientError> {
        let numbers: BTreeSet<u64> = logs.iter().map(|log| log.block_number).collect();
        let numbers: Vec<u64> = numbers.into_iter().collect();
        let blocks = self.blocks_by_number(&numbers).await?;
        let hashes: BTreeMap<u64, Option<BlockHash>> = numbers
            .into_iter()
            .zip(blocks.into_iter().map(|block| block.map(|it| it.hash)))
            .collect();
        let misplaced = logs.iter().find_map(|log| {
            let found = hashes.get(&log.block_number).copied().flatten();
            let what = match found {
                Some(hash) if hash == log.block_hash => return None,
                Some(hash) => format!("the node's block of this number is {hash}"),
                None => "the node has no block of this number".to_owned(),
            };
            Some(UnprovenLog::new(log, what))
        });
        Ok(misplaced)
    }

    /// One of these logs that is not in the receipt of its transaction, word for word and at its place. `None` where all of
    /// them are. Each transaction is asked for once, many in one request; each block at most once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn without_receipt(
        &self,
        logs: &[RawLog],
    ) -> Result<Option<UnprovenLog>, ClientError> {
        let mut by_transaction: BTreeMap<TxHash, Vec<&RawLog>> = BTreeMap::new();
        for log in logs {
            by_transaction.entry(log.tx_hash).or_default().push(log);
        }
        let by_transaction: Vec<(TxHash, Vec<&RawLog>)> = by_transaction.into_iter().collect();
        let mut without_index: BTreeMap<u64, Vec<&RawLog>> = BTreeMap::new();
        for some in by_transaction.chunks(AT_ONCE) {
            let params = some.iter().map(|(tx, _)| json!([tx.to_string()]));
            let params: Vec<Value> = params.collect();
            let found = self.receipts(params).await?;
            for ((_, logs), receipt) in some.iter().zip(found) {
                let Some(receipt) = receipt else {
                    for &log in logs {
                        let of_block = without_index.entry(log.block_number);
                        of_block.or_default().push(log);
                    }
                    continue;
                };
                if let Some(log) = logs.iter().find(|log| !holds(&receipt, log)) {
                    let what = "the receipt of the transaction does not have it";
                    return Ok(Some(UnprovenLog::new(log, what.to_owned())));
                }
            }
        }
        for (block, logs) in without_index {
            let receipts = self.receipts_of_block(block).await?;
            let is_there = |log: &RawLog| receipts.iter().any(|receipt| holds(receipt, log));
            if let Some(log) = logs.into_iter().find(|log| !is_there(log)) {
                let what = "the transaction has no receipt in that block";
                return Ok(Some(UnprovenLog::new(log, what.to_owned())));
            }
        }
        Ok(None)
    }

    /// The receipts of transactions, in their order; `None` for one that the node does not find.
    pub(crate) async fn receipts(
        &self,
        params: Vec<Value>,
    ) -> Result<Vec<Option<wire::RawReceipt>>, ClientError> {
        let count = params.len();
        let asked = self.ask_each("eth_getTransactionReceipt", params).await;
        match asked {
            // Those that have no index of transactions, or none yet, say so by a refusal.
            Err(error @ ClientError::Refused { .. }) if !error.asks_for_patience() => {
                Ok((0..count).map(|_| None).collect())
            }
            answered => answered,
        }
    }

    /// Nodes that keep no index of old transactions have the receipts of a block all the same.
    async fn receipts_of_block(&self, block: u64) -> Result<Vec<wire::RawReceipt>, ClientError> {
        let params = json!([format!("{block:#x}")]);
        let asked = self
            .rpc
            .ask::<Vec<wire::RawReceipt>>("eth_getBlockReceipts", params)
            .await;
        match asked {
            Ok(receipts) => Ok(receipts.unwrap_or_default()),
            Err(error @ ClientError::Refused { .. }) if !error.asks_for_patience() => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The blocks with these numbers, in their order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn blocks_by_number(
        &self,
        numbers: &[u64],
    ) -> Result<Vec<Option<Block>>, ClientError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let mut blocks = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(AT_ONCE) {
            let params = some.iter().map(|it| json!([format!("{it:#x}"), false]));
            let found = self
                .ask_each::<wire::Header>(METHOD, params.collect())
                .await?;
            for (number, header) in some.iter().zip(found) {
                let block = header.map(Block::from);
                if let Some(block) = block.filter(|block| block.number != *number) {
                    return Err(ClientError::Unreadable {
                        method: METHOD,
                        what: format!("block {} instead of {number}", block.number),
                    });
                }
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    /// Whether a contract is there after a block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn has_code(
        &self,
        contract: ChainAddress,
        at: BlockHash,
    ) -> Result<bool, ClientError> {
        let params = json!([contract.to_string(), { "blockHash": at.to_string() }]);
        let code: wire::Bytes = self.rpc.get("eth_getCode", params).await?;
        Ok(!code.0.is_empty())
    }

    /// Asks the same of many things: in one request, or one by one where the node takes no batches.
    async fn ask_each<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Option<T>>, ClientError> {
        // What is asked for singly needs no batch.
        if params.len() > 1 {
            match self.rpc.ask_all::<T>(method, params.clone()).await {
                Ok(answers) => return answers.into_iter().collect(),
                // It takes none, or none so large.
                Err(error) if error.asks_for_less() => {}
                Err(error) => return Err(error),
            }
        }
        let mut answers = Vec::with_capacity(params.len());
        for params in params {
            answers.push(self.rpc.ask(method, params).await?);
        }
        Ok(answers)
    }
}

/// Whether a receipt has a log, word for word and at its place.
fn holds(receipt: &wire::RawReceipt, log: &RawLog) -> bool {
    let is_of_block =
        (receipt.block_number.0, receipt.block_hash) == (log.block_number, log.block_hash);
    is_of_block && receipt.logs.iter().any(|it| log.is(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(log_index: &str, tx: &str, data: &str) -> wire::RawReceipt {
        let receipt = json!({
            "status": "0x1", "blockNumber": "0x7", "blockHash": format!("0x{}", "07".repeat(32)),
            "logs": [{
                "address": format!("0x{}", "11".repeat(20)),
                "topics": [format!("0x{}", "22".repeat(32))],
                "data": data,
                "blockNumber": "0x7",
                "blockHash": format!("0x{}", "07".repeat(32)),
                "transactionHash": format!("0x{}", tx.repeat(32)),
                "logIndex": log_index,
            }],
        });
        serde_json::from_value(receipt).expect("a receipt")
    }

    #[test]
    fn a_receipt_has_a_log_only_word_for_word_and_at_its_place() {
        let of = |receipt: wire::RawReceipt| -> RawLog {
            let log = receipt.logs.into_iter().next();
            log.expect("it has one").into()
        };
        let log = of(receipt("0x3", "09", "0xaa"));
        assert!(holds(&receipt("0x3", "09", "0xaa"), &log));
        for (index, tx, data) in [
            ("0x4", "09", "0xaa"),
            ("0x3", "08", "0xaa"),
            ("0x3", "09", "0xab"),
        ] {
            assert!(
                !holds(&receipt(index, tx, data), &log),
                "{index} {tx} {data}"
            );
        }
        let elsewhere = RawLog {
            block_hash: BlockHash([8; 32]),
            ..log
        };
        assert!(!holds(&receipt("0x3", "09", "0xaa"), &elsewhere));
    }
}
