//! The chain: blocks, transactions, receipts and events of a registry that fit together. Each block names its parent, each log its
//! block, its transaction and its receipt; the events are numbered without a gap, and their heads follow as the contract's do
//! (`contracts/src/IChainedEvents.sol`).
//!
//! A block's hash is no hash of its header: the indexer compares what a node says of a block with what it says elsewhere, and
//! computes none.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use sha3::{Digest as _, Keccak256};

/// 32 bytes of Keccak-256.
pub(crate) type Hash = [u8; 32];
/// The rolling head of a registry.
type Head = [u8; 25];
/// Which events may be in a block, or in a receipt.
type Bloom = [u8; 256];

/// The registry of this version.
const VERSION: u64 = 2;
/// The registry's code: the deployment file names its hash, and nobody runs it.
pub(super) const CODE: [u8; 2] = [0x60, 0x02];
/// The block in which the registry was deployed.
pub(super) const DEPLOYED_IN: u64 = 1;
/// The first block that may hold events.
const FIRST: u64 = DEPLOYED_IN + 1;
/// How many blocks without events follow the last one: all events are final where 64 blocks have to be on top.
const ON_TOP: u64 = 100;
const EVENT: &str = "RecordAnchored(bytes32,bytes32,address,uint40,bytes25)";

/// How events lie in blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// How many events there are.
    pub(crate) events: u64,
    /// How many of them are in a block that has any.
    pub(crate) in_a_block: u64,
    /// How many blocks there are from one that has events to the next one that has.
    pub(crate) every: u64,
}

impl Layout {
    /// The block that an event is in, counted from 0.
    fn block_of(&self, event: u64) -> u64 {
        FIRST + event / self.in_a_block * self.every
    }

    /// The newest block.
    fn last(&self) -> u64 {
        self.block_of(self.events.saturating_sub(1)) + ON_TOP
    }

    /// How many events there are up to a block, with it.
    fn up_to(&self, block: u64) -> u64 {
        let Some(after) = block.checked_sub(FIRST) else {
            return 0;
        };
        let events = (after / self.every + 1) * self.in_a_block;
        events.min(self.events)
    }
}

/// The whole of it.
pub(crate) struct RecordedChain {
    pub(crate) chain_id: u64,
    /// The registry's address: digits alone, which EIP-55 writes as they are.
    pub(crate) registry: String,
    /// Who anchored everything, in the same way.
    pub(crate) registrar: String,
    /// The newest block.
    pub(crate) last: u64,
    /// The hash of each record, in the order of the events.
    pub(crate) records: Vec<Hash>,
    /// The transaction of each.
    pub(crate) transactions: Vec<Hash>,
    layout: Layout,
    /// The registry's head before the first event, and after each.
    heads: Vec<Head>,
    /// The hash of each block, by its number.
    blocks: Vec<Hash>,
    block_numbers: HashMap<Hash, u64>,
    /// The event of each transaction.
    events: HashMap<Hash, u64>,
    /// Every log as JSON, each with a comma behind it.
    logs: String,
    /// Where each begins in that, and where the last ends.
    log_begins: Vec<usize>,
    /// When the newest block was made. Unit: seconds since 1970.
    made_at: u64,
    /// What the events have in common.
    common: Bloom,
}

/// Bytes as the node writes them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

pub(super) fn keccak(bytes: &[u8]) -> Hash {
    Keccak256::digest(bytes).into()
}

/// A number as a word of the EVM.
pub(super) fn word(number: u64) -> Hash {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

fn cut(hash: &Hash) -> Head {
    let mut head = [0; 25];
    head.copy_from_slice(&hash[..25]);
    head
}

/// An address of one digit, again and again, as a word.
fn address_word(digit: u8) -> Hash {
    let mut word = [0; 32];
    word[12..].fill(digit * 0x11);
    word
}

/// The yellow paper, 4.4.3: three bits of a hash.
fn mark(bloom: &mut Bloom, bytes: &[u8]) {
    let hash = keccak(bytes);
    for place in [0, 2, 4] {
        let bit = usize::from(u16::from_be_bytes([hash[place], hash[place + 1]])) & 0x7ff;
        bloom[255 - bit / 8] |= 1 << (bit % 8);
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("it is all in memory")
}

impl RecordedChain {
    /// Makes it up. Two chains of different ids have no hash in common.
    pub(crate) fn of(chain_id: u64, layout: Layout) -> Self {
        let (registry, registrar) = (address_word(1), address_word(2));
        let of = |what: &str, nth: u64| keccak(format!("{what} {nth} of {chain_id}").as_bytes());
        let count = 0..layout.events;
        let records: Vec<Hash> = count.clone().map(|nth| of("record", nth)).collect();
        let transactions: Vec<Hash> = count.map(|nth| of("transaction", nth)).collect();
        let last = layout.last();
        let blocks: Vec<Hash> = (0..=last).map(|nth| of("block", nth)).collect();
        let topic = keccak(EVENT.as_bytes());
        let mut common = [0; 256];
        mark(&mut common, &registry[12..]);
        for topic in [topic, [0; 32], registrar] {
            mark(&mut common, &topic);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let numbered =
            |hashes: &[Hash]| -> HashMap<Hash, u64> { hashes.iter().copied().zip(0..).collect() };
        let mut chain = Self {
            chain_id,
            registry: shown(&registry[12..]),
            registrar: shown(&registrar[12..]),
            last,
            layout,
            heads: heads(chain_id, &records, [topic, registry, registrar]),
            block_numbers: numbered(&blocks),
            events: numbered(&transactions),
            records,
            transactions,
            blocks,
            logs: String::new(),
            log_begins: Vec::new(),
            made_at: now.map_or(0, |since| since.as_secs()),
            common,
        };
        chain.write_logs(&shown(&topic), &shown(&registrar));
        chain
    }

    fn write_logs(&mut self, topic: &str, registrar: &str) {
        let nobody = shown(&[0; 32]);
        let mut logs = String::new();
        self.log_begins.push(0);
        for nth in 0..self.layout.events {
            let block = self.layout.block_of(nth);
            let (made, place) = (self.made_at(block), nth % self.layout.in_a_block);
            let mut data = shown(&word(nth + 1));
            data.push_str(&shown(&self.heads[index(nth + 1)])[2..]);
            data.push_str("00000000000000");
            write!(
                logs,
                r#"{{"address":"{}","topics":["{topic}","{}","{nobody}","{registrar}"],"data":"{data}","blockHash":"{}","blockNumber":"{block:#x}","blockTimestamp":"{made:#x}","transactionHash":"{}","transactionIndex":"{place:#x}","logIndex":"{place:#x}","removed":false}},"#,
                self.registry,
                shown(&self.records[index(nth)]),
                shown(&self.blocks[index(block)]),
                shown(&self.transactions[index(nth)]),
            )
            .expect("a text takes it");
            self.log_begins.push(logs.len());
        }
        self.logs = logs;
    }

    /// What `contracts/script/Deploy.s.sol` would have written.
    pub(crate) fn deployment(&self) -> String {
        format!(
            r#"{{"chainId":{},"registry":"{}","version":{VERSION},"predecessor":null,"block":{DEPLOYED_IN},"codeHash":"{}","registrar":"{}","consentRegistry":null,"consentVersion":null,"consentPredecessor":null}}"#,
            self.chain_id,
            self.registry,
            shown(&keccak(&CODE)),
            self.registrar,
        )
    }

    fn made_at(&self, block: u64) -> u64 {
        self.made_at.saturating_sub(self.last - block)
    }

    /// The number of a block.
    pub(super) fn number_of(&self, block: &Hash) -> Option<u64> {
        self.block_numbers.get(block).copied()
    }

    /// The event of a transaction.
    pub(super) fn event_of(&self, transaction: &Hash) -> Option<u64> {
        self.events.get(transaction).copied()
    }

    /// The events of these blocks.
    pub(super) fn events_in(&self, from: u64, to: u64) -> std::ops::Range<u64> {
        self.layout.up_to(from.saturating_sub(1))..self.layout.up_to(to)
    }

    /// The logs of these events, without brackets.
    pub(super) fn logs(&self, events: std::ops::Range<u64>) -> &str {
        if events.is_empty() {
            return "";
        }
        let [from, to] = [events.start, events.end].map(|nth| self.log_begins[index(nth)]);
        // Without the last comma.
        &self.logs[from..to - 1]
    }

    fn mark_event(&self, bloom: &mut Bloom, event: u64) {
        mark(bloom, &self.records[index(event)]);
        for (byte, common) in bloom.iter_mut().zip(&self.common) {
            *byte |= common;
        }
    }

    /// A block without its transactions, but for their hashes.
    pub(super) fn block(&self, number: u64) -> String {
        let parent = number.checked_sub(1).map(|it| self.blocks[index(it)]);
        let events = self.events_in(number, number);
        let mut bloom = [0; 256];
        let mut transactions = String::new();
        for event in events {
            self.mark_event(&mut bloom, event);
            let comma = if transactions.is_empty() { "" } else { "," };
            let transaction = shown(&self.transactions[index(event)]);
            write!(transactions, r#"{comma}"{transaction}""#).expect("a text takes it");
        }
        format!(
            r#"{{"number":"{number:#x}","hash":"{}","parentHash":"{}","timestamp":"{:#x}","baseFeePerGas":"0x7","gasLimit":"0x1c9c380","gasUsed":"0x0","logsBloom":"{}","transactions":[{transactions}],"uncles":[],"withdrawals":[]}}"#,
            shown(&self.blocks[index(number)]),
            shown(&parent.unwrap_or_default()),
            self.made_at(number),
            shown(&bloom),
        )
    }

    /// The receipt of an event's transaction.
    pub(super) fn receipt(&self, event: u64) -> String {
        let block = self.layout.block_of(event);
        let place = event % self.layout.in_a_block;
        let mut bloom = [0; 256];
        self.mark_event(&mut bloom, event);
        format!(
            r#"{{"type":"0x2","status":"0x1","cumulativeGasUsed":"{:#x}","gasUsed":"0xbbe6","effectiveGasPrice":"0x3b9aca07","logs":[{}],"logsBloom":"{}","transactionHash":"{}","transactionIndex":"{place:#x}","blockHash":"{}","blockNumber":"{block:#x}","from":"{}","to":"{}","contractAddress":null}}"#,
            0xbbe6 * (place + 1),
            self.logs(event..event + 1),
            shown(&bloom),
            shown(&self.transactions[index(event)]),
            shown(&self.blocks[index(block)]),
            self.registrar,
            self.registry,
        )
    }

    /// What the registry says of itself after a block, as three words: its head, how many events there have been, whether it
    /// is paused.
    pub(super) fn registry_after(&self, block: u64) -> String {
        let events = self.layout.up_to(block);
        let mut words = [0; 96];
        words[..25].copy_from_slice(&self.heads[index(events)]);
        words[32..64].copy_from_slice(&word(events));
        shown(&words)
    }
}

/// The heads of a registry that has anchored these: before the first, and after each.
fn heads(chain_id: u64, records: &[Hash], [topic, registry, registrar]: [Hash; 3]) -> Vec<Head> {
    let seed = [word(chain_id), registry, word(VERSION)].concat();
    let mut head = cut(&keccak(&seed));
    let mut heads = Vec::with_capacity(records.len() + 1);
    heads.push(head);
    for record in records {
        // No record is superseded, and there is nothing in the data but the number and the head.
        let body = keccak(&[topic, *record, [0; 32], registrar].concat());
        let mut words = [0; 64];
        words[..25].copy_from_slice(&head);
        words[25..32].copy_from_slice(&chain_id.to_be_bytes()[1..]);
        words[32..].copy_from_slice(&body);
        head = cut(&keccak(&words));
        heads.push(head);
    }
    heads
}
