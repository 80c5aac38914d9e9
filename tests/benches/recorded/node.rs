//! The node: JSON-RPC from memory, on threads of its own, whose processor time can be told from that of the rest.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::chain::{CODE, DEPLOYED_IN, Hash, RecordedChain, keccak, shown, word};

/// The name of its threads.
pub(crate) const THREADS: &str = "recorded-node";
/// How many blocks are on top of one that it calls final.
const FINALITY: u64 = 64;

/// It answers until it is dropped.
pub(crate) struct RecordedNode {
    url: String,
    known: Arc<Known>,
    runtime: Option<Runtime>,
}

/// What it knows.
struct Known {
    chain: RecordedChain,
    /// The newest block that it tells of.
    head: AtomicU64,
    /// When somebody was told of the last one first.
    told: OnceLock<Instant>,
}

impl RecordedNode {
    /// Knows no more at first than that the registry was deployed.
    pub(crate) fn start(chain: RecordedChain) -> Self {
        let known = Arc::new(Known {
            chain,
            head: AtomicU64::new(DEPLOYED_IN),
            told: OnceLock::new(),
        });
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(THREADS)
            .enable_all()
            .build()
            .expect("there are threads");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("it is a socket");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::clone(&known);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it listens");
            let answer = async move |asked: String| answers.answer(&asked);
            let app = axum::Router::new().fallback(answer);
            axum::serve(listener, app).await
        });
        Self {
            url: format!("http://{address}"),
            known,
            runtime: Some(runtime),
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it knows of.
    pub(crate) fn chain(&self) -> &RecordedChain {
        &self.known.chain
    }

    /// Tells of the whole chain from now on.
    pub(crate) fn reveals_everything(&self) {
        let last = self.known.chain.last;
        self.known.head.store(last, Ordering::Relaxed);
    }

    /// When somebody was told of the newest block first; `None` while nobody was.
    pub(crate) fn told(&self) -> Option<Instant> {
        self.known.told.get().copied()
    }
}

impl Drop for RecordedNode {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // What blocks may not be waited for where others run.
            runtime.shutdown_background();
        }
    }
}

/// A number as the node takes it.
fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// A hash as the node takes it.
fn hash(value: &Value) -> Option<Hash> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let mut hash = [0; 32];
    for (nth, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * nth..2 * nth + 2)?, 16).ok()?;
    }
    Some(hash)
}

fn quoted(text: &str) -> String {
    format!(r#""{text}""#)
}

impl Known {
    fn answer(&self, asked: &str) -> String {
        let questions: Value = serde_json::from_str(asked).unwrap_or_default();
        match &questions {
            Value::Array(questions) => {
                let answers = questions.iter().map(|question| self.answer_one(question));
                format!("[{}]", answers.collect::<Vec<_>>().join(","))
            }
            question => self.answer_one(question),
        }
    }

    fn answer_one(&self, question: &Value) -> String {
        let method = question["method"].as_str().unwrap_or_default();
        let id = &question["id"];
        if let Some(result) = self.result(method, &question["params"]) {
            return format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        }
        let message = format!("this node does not answer {method}");
        let error = json!({ "code": -32601, "message": message });
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    }

    /// The result as JSON; `None` for what it does not know how to answer.
    fn result(&self, method: &str, params: &Value) -> Option<String> {
        let chain = &self.chain;
        match method {
            "eth_chainId" => Some(quoted(&format!("{:#x}", chain.chain_id))),
            "eth_blockNumber" => Some(quoted(&format!("{:#x}", self.head()))),
            "eth_getBlockByNumber" => {
                let number = self.block_at(&params[0])?;
                let is_there = number <= self.head();
                Some(if is_there {
                    chain.block(number)
                } else {
                    "null".to_owned()
                })
            }
            "eth_getLogs" => {
                let (from, to) = self.range(&params[0])?;
                let logs = chain.logs(chain.events_in(from, to.min(self.head())));
                Some(format!("[{logs}]"))
            }
            "eth_getTransactionReceipt" => {
                let event = chain.event_of(&hash(&params[0])?);
                Some(event.map_or("null".to_owned(), |event| chain.receipt(event)))
            }
            "eth_getBlockReceipts" => {
                let number = self.block_at(&params[0])?;
                let events = chain.events_in(number, number);
                let receipts: Vec<String> = events.map(|event| chain.receipt(event)).collect();
                Some(format!("[{}]", receipts.join(",")))
            }
            "eth_getCode" => {
                let is_there = self.block_at(&params[1])? >= DEPLOYED_IN;
                let code: &[u8] = if is_there { &CODE } else { &[] };
                Some(quoted(&shown(code)))
            }
            "eth_call" => self.call(&params[0], self.block_at(&params[1])?),
            _ => None,
        }
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// The block that a tag, a number or a hash names.
    fn block_at(&self, place: &Value) -> Option<u64> {
        let head = self.head();
        match place.as_str() {
            Some("latest" | "pending") => {
                if head == self.chain.last {
                    self.told.get_or_init(Instant::now);
                }
                Some(head)
            }
            Some("finalized" | "safe") => Some(head.saturating_sub(FINALITY)),
            Some("earliest") => Some(0),
            Some(_) => number(place),
            None => self.chain.number_of(&hash(&place["blockHash"])?),
        }
    }

    fn range(&self, filter: &Value) -> Option<(u64, u64)> {
        if filter["blockHash"].is_string() {
            let number = self.chain.number_of(&hash(&filter["blockHash"])?)?;
            return Some((number, number));
        }
        let from = self.block_at(&filter["fromBlock"])?;
        Some((from, self.block_at(&filter["toBlock"])?))
    }

    /// What the registry answers to those that the indexer calls.
    fn call(&self, call: &Value, block: u64) -> Option<String> {
        let data = call["data"].as_str().or_else(|| call["input"].as_str())?;
        let is = |signature: &str| data.starts_with(&shown(&keccak(signature.as_bytes())[..4]));
        let answer = if is("head()") {
            self.chain.registry_after(block)
        } else if is("VERSION()") {
            shown(&word(2))
        } else if is("PREDECESSOR()") {
            shown(&word(0))
        } else {
            return None;
        };
        Some(quoted(&answer))
    }
}
