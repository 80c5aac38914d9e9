//! What a block's state holds of the registry, proven: from the hash of the block down to single slots of storage.
//!
//! A node can answer `eth_call` with anything. Here it has to show the block's header, whose hash is the block's, and
//! the paths from its state root to the slots (EIP-1186). Who knows the right hash of the block cannot be told a
//! false state.

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256},
    sol_types::SolValue,
    trie::{Nibbles, TrieAccount, proof::verify_proof},
};
use domain::records::DataHash;
use serde::Deserialize;
use serde_json::json;

use crate::{
    client::{Block, Client, OnChainAnchor, OnChainStatus, RegistryHead},
    error::ClientError,
    evidence::{NoEvidence, contradiction},
    hash::{CodeHash, Head},
};

/// Where the contract keeps what (`docs/contracts.md`, Storage; a test of the contracts holds it).
const HEAD: u64 = 3;
const RECORDS: u64 = 4;
const SUCCESSORS: u64 = 5;
const ACCOUNTS: u64 = 9;

/// The answer to `eth_getProof`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProofAnswer {
    #[serde(flatten)]
    account: Account,
    account_proof: Vec<Bytes>,
    storage_proof: Vec<SlotProof>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    nonce: U256,
    balance: U256,
    storage_hash: B256,
    code_hash: B256,
}

#[derive(Debug, Deserialize)]
struct SlotProof {
    value: U256,
    proof: Vec<Bytes>,
}

/// What a record's slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RecordWord(U256);

impl RecordWord {
    fn bits(self, shift: usize, width: usize) -> u64 {
        let mask = (U256::from(1) << width) - U256::from(1);
        ((self.0 >> shift) & mask).to::<u64>()
    }

    /// The number that the contract gave the account that anchored.
    fn registrar(self) -> u64 {
        self.bits(176, 24)
    }

    /// Whether it is what the contract answered.
    fn says(self, answered: &OnChainAnchor) -> bool {
        let status = match answered.status {
            OnChainStatus::Active => 1,
            OnChainStatus::Superseded => 2,
            OnChainStatus::Revoked => 3,
            OnChainStatus::Erased => 4,
        };
        let ending = answered.ending;
        let ended = ending.map_or((0, 0, 0), |it| {
            (
                u64::from(it.reason),
                it.timestamp,
                u64::from(it.by_registrar),
            )
        });
        (
            self.bits(0, 8),
            self.bits(88, 40),
            self.bits(128, 48),
            self.bits(200, 40),
        ) == (
            status,
            answered.timestamp,
            answered.block_number,
            answered.sequence,
        ) && (self.bits(8, 8), self.bits(16, 40), self.bits(80, 8)) == ended
    }
}

/// What the state after a block is proven to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProvenState {
    pub(crate) head: RegistryHead,
    pub(crate) code_hash: CodeHash,
}

/// The slot of an entry of a mapping.
fn entry(key: B256, mapping: u64) -> B256 {
    keccak256((key, U256::from(mapping)).abi_encode())
}

fn unpack(word: U256) -> RegistryHead {
    let bytes = word.to_be_bytes::<32>();
    let mut head = [0; 25];
    head.copy_from_slice(&bytes[..25]);
    let mut sequence = [0; 8];
    sequence[3..].copy_from_slice(&bytes[25..30]);
    RegistryHead {
        head: Head(head),
        sequence: u64::from_be_bytes(sequence),
        paused: word.bit(0),
    }
}

impl Client {
    /// Proves what the contract answered of a hash, and gives where its chain of events stood.
    ///
    /// # Errors
    /// [`NoEvidence::Contradiction`] where the proof shows something else than the answer;
    /// [`NoEvidence::Client`] with a refusal where the node gives no proofs.
    pub(crate) async fn prove(
        &self,
        block: &Block,
        hash: &DataHash,
        answered: Option<&OnChainAnchor>,
        successor: Option<&DataHash>,
    ) -> Result<ProvenState, NoEvidence> {
        let record = FixedBytes(hash.0);
        let slots = [
            B256::from(U256::from(HEAD)),
            entry(record, RECORDS),
            entry(record, SUCCESSORS),
        ];
        let root = self.state_root(block).await?;
        let (account, words) = self.slots(block, root, &slots).await?;
        let [head, record, next] = words[..] else {
            return Err(contradiction("a proof of other slots than were asked for"));
        };
        let record = RecordWord(record);
        let as_answered = answered.map_or(record.0.is_zero(), |answered| record.says(answered));
        let follows = successor.map_or(U256::ZERO, |hash| U256::from_be_bytes(hash.0));
        if !as_answered || next != follows {
            return Err(contradiction(
                "what became of the record, by its answer and by the proof of its storage",
            ));
        }
        if let Some(answered) = answered {
            let number = B256::from(U256::from(record.registrar()));
            let (_, words) = self.slots(block, root, &[entry(number, ACCOUNTS)]).await?;
            let registrar = words
                .first()
                .map(|word| Address::from_word(B256::from(*word)));
            if registrar != Some(answered.registrar.to_alloy()) {
                return Err(contradiction(
                    "who anchored it, by its answer and by the proof of its storage",
                ));
            }
        }
        let head = unpack(head);
        if self.registry_head(block.hash).await? != head {
            return Err(contradiction(
                "its head, by its answer and by the proof of its storage",
            ));
        }
        Ok(ProvenState {
            head,
            code_hash: CodeHash(account.code_hash.0),
        })
    }

    /// The root of the state after a block, from the header whose hash is the block's.
    async fn state_root(&self, block: &Block) -> Result<B256, NoEvidence> {
        let params = json!([block.hash.to_string(), false]);
        let header: Header = self.rpc.get("eth_getBlockByHash", params).await?;
        if header.hash_slow().0 != block.hash.0 || header.number != block.number {
            return Err(contradiction("the header of the block and its hash"));
        }
        Ok(header.state_root)
    }

    /// The registry's account and the words of these slots, each proven below the root.
    async fn slots(
        &self,
        block: &Block,
        root: B256,
        slots: &[B256],
    ) -> Result<(Account, Vec<U256>), NoEvidence> {
        const METHOD: &str = "eth_getProof";
        let registry = self.deployment().registry.to_alloy();
        let asked: Vec<String> = slots.iter().map(ToString::to_string).collect();
        let at = json!({ "blockHash": block.hash.to_string() });
        let params = json!([registry.to_string(), asked, at]);
        let answer: ProofAnswer = self.rpc.get(METHOD, params).await?;
        let nonce = u64::try_from(answer.account.nonce).map_err(|_| ClientError::Unreadable {
            method: METHOD,
            what: "a nonce beyond 64 bits".to_owned(),
        })?;
        let account = TrieAccount {
            nonce,
            balance: answer.account.balance,
            storage_root: answer.account.storage_hash,
            code_hash: answer.account.code_hash,
        };
        let wrong = || contradiction("the proof of its storage and the root of its state");
        let key = Nibbles::unpack(keccak256(registry));
        verify_proof(
            root,
            key,
            Some(alloy::rlp::encode(account)),
            &answer.account_proof,
        )
        .map_err(|_| wrong())?;
        if answer.storage_proof.len() != slots.len() {
            return Err(wrong());
        }
        for (slot, proof) in slots.iter().zip(&answer.storage_proof) {
            let value = (!proof.value.is_zero()).then(|| alloy::rlp::encode(proof.value));
            let key = Nibbles::unpack(keccak256(slot));
            verify_proof(account.storage_root, key, value, &proof.proof).map_err(|_| wrong())?;
        }
        let words = answer.storage_proof.iter().map(|proof| proof.value);
        Ok((answer.account, words.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::OnChainEnding, hash::ChainAddress};

    #[test]
    fn a_word_is_read_as_the_contract_packs_it() {
        // seq 7 | registrar 3 | block 20 | anchored at 1000 | by a registrar | number 3 | ended at 2000 | reason 5 | revoked
        let word = (U256::from(7) << 200_usize)
            | (U256::from(3) << 176_usize)
            | (U256::from(20) << 128_usize)
            | (U256::from(1_000) << 88_usize)
            | (U256::from(1) << 80_usize)
            | (U256::from(3) << 56_usize)
            | (U256::from(2_000) << 16_usize)
            | (U256::from(5) << 8_usize)
            | U256::from(3);
        let by = ChainAddress([1; 20]);
        let answered = OnChainAnchor {
            status: OnChainStatus::Revoked,
            registrar: by,
            block_number: 20,
            timestamp: 1_000,
            sequence: 7,
            ending: Some(OnChainEnding {
                by,
                by_registrar: true,
                timestamp: 2_000,
                reason: 5,
            }),
        };
        assert_eq!(RecordWord(word).registrar(), 3);
        assert!(RecordWord(word).says(&answered));
        for shift in [0_usize, 8, 16, 80, 88, 128, 200] {
            let other = RecordWord(word ^ (U256::from(1) << shift));
            assert!(!other.says(&answered), "bit {shift}");
        }
        let standing = OnChainAnchor {
            status: OnChainStatus::Active,
            ending: None,
            ..answered
        };
        assert!(!RecordWord(word).says(&standing));

        let head = (U256::from(0xab) << 56_usize) | (U256::from(9) << 16_usize) | U256::from(0x23);
        let unpacked = unpack(head);
        assert_eq!((unpacked.sequence, unpacked.paused), (9, true));
        assert_eq!(unpacked.head.0[24], 0xab);
    }
}
