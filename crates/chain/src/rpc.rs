//! JSON-RPC over HTTP. Written out because the libraries for it put the URL, and with it a password
//! or an access key, into their traces and errors.
//!
//! Where there are several nodes, each call goes to the one that is asked now, and to the next where that one fails ([`Failover`]).
//! A node is asked only once it has shown that it is of the chain, and has the registry.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::keccak256;

use reqwest::{
    Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::{
    error::{ClientError, InvalidUrl},
    failover::{EndpointHealth, Failover},
    hash::{ChainAddress, CodeHash},
    send,
    wire::{Bytes, Quantity64},
};

/// The longest answer that is read where logs or receipts are asked for. Unit: bytes. A hundred thousand logs of the
/// registry.
const MAX_LOG_BYTES: usize = 96 << 20;

/// The longest answer that is read where the logs of several blocks are asked for: who reads ranges asks for less then. Unit:
/// bytes. Some thousand logs of the registry.
const MAX_RANGE_BYTES: usize = 4 << 20;

/// The longest other answer that is read. Unit: bytes. A block of sixty thousand transactions, by their hashes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// The longest time that a node may tell us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The longest message of a node that is kept. Unit: characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// What JSON-RPC calls a failure of the node itself.
const INTERNAL_ERROR: i64 = -32_603;

/// How long a node rests that has failed once.
const FIRST_REST: Duration = Duration::from_millis(500);

/// How many blocks a node may be behind what was seen of the chain before. One that is further behind would say of what is
/// there that it is not. Unit: blocks.
const MOST_BEHIND: u64 = 32;

/// The nodes that can be asked. Clones share what is known of them.
#[derive(Clone)]
pub(crate) struct Rpc {
    nodes: Arc<Nodes>,
}

struct Nodes {
    all: Vec<RpcNode>,
    /// Whether each has shown that it is of the chain.
    known: Vec<AtomicBool>,
    failover: Mutex<Failover>,
    /// The newest block that was seen last, of the node that was asked then. Not the highest ever: a chain may be undone.
    seen: AtomicU64,
    /// What each has to be, where there are several.
    identity: NodeIdentity,
}

/// By what a node is known to be of our chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeIdentity {
    pub(crate) chain_id: u64,
    pub(crate) registry: ChainAddress,
    pub(crate) code_hash: CodeHash,
}

/// One node.
#[derive(Clone)]
pub(crate) struct RpcNode {
    http: reqwest::Client,
    url: Url,
    timeout: Duration,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.nodes.all.iter().map(|node| node.url.host_str());
        f.debug_struct("Rpc")
            .field("hosts", &hosts.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct RpcResponse<T> {
    #[serde(default)]
    id: Option<usize>,
    #[serde(default = "Option::default")]
    result: Option<T>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

impl<T> RpcResponse<T> {
    fn into_result(self, method: &'static str) -> Result<Option<T>, ClientError> {
        match self.error {
            Some(error) => Err(error.of(method)),
            None => Ok(self.result),
        }
    }
}

impl RpcError {
    fn of(self, method: &'static str) -> ClientError {
        ClientError::Refused {
            method,
            code: self.code,
            message: self.message.chars().take(MAX_MESSAGE_CHARS).collect(),
        }
    }
}

#[derive(Serialize)]
struct RpcRequest<'a> {
    jsonrpc: &'static str,
    id: usize,
    method: &'static str,
    params: &'a Value,
}

impl<'a> RpcRequest<'a> {
    const fn new(id: usize, method: &'static str, params: &'a Value) -> Self {
        Self {
            jsonrpc: "2.0",
            id,
            method,
            params,
        }
    }
}

fn read<T: DeserializeOwned>(method: &'static str, body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Unreadable {
        method,
        what: error.to_string(),
    })
}

/// How long an answer may be. Unit: bytes. Logs of a single block, or of a topic, cannot be asked for in parts.
fn longest(method: &str, params: &Value) -> usize {
    let filter = &params[0];
    let is_range = filter["fromBlock"] != filter["toBlock"] && filter["topics"].is_null();
    match method {
        "eth_getLogs" if is_range => MAX_RANGE_BYTES,
        "eth_getLogs" | "eth_getBlockReceipts" | "eth_getTransactionReceipt" => MAX_LOG_BYTES,
        _ => MAX_ANSWER_BYTES,
    }
}

/// How long a node wants to be left alone. Those that name a date are not understood: then our own waits are long enough.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Refuses what is no address of a node that can be asked. Nobody is asked.
///
/// # Errors
/// [`InvalidUrl`].
pub fn check_url(url: &str) -> Result<(), InvalidUrl> {
    read_url(url).map(|_| ())
}

/// Refuses what is no address of a node in a list of them: one that can be asked, or one that tells of new blocks
/// ([`is_head_source`](crate::is_head_source)). Nobody is asked.
///
/// # Errors
/// [`InvalidUrl`].
pub fn check_listed_url(url: &str) -> Result<(), InvalidUrl> {
    match read_url(url) {
        Ok(_) => Ok(()),
        Err(InvalidUrl::NotHttp) => crate::heads::HeadSource::new(url).map(|_| ()),
        Err(invalid) => Err(invalid),
    }
}

fn read_url(url: &str) -> Result<Url, InvalidUrl> {
    let url = Url::parse(url).map_err(|_| InvalidUrl::Unreadable)?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        "http" | "https" => Err(InvalidUrl::Unreadable),
        _ => Err(InvalidUrl::NotHttp),
    }
}

impl Rpc {
    /// The nodes at these addresses; the first is asked first.
    ///
    /// # Errors
    /// [`InvalidUrl`], also where there is none.
    pub(crate) fn new(
        urls: &[&str],
        timeout: Duration,
        identity: NodeIdentity,
    ) -> Result<Self, InvalidUrl> {
        let all = urls.iter().map(|url| RpcNode::new(url, timeout));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(InvalidUrl::Unreadable);
        }
        Ok(Self::of(all, identity))
    }

    fn of(all: Vec<RpcNode>, identity: NodeIdentity) -> Self {
        let nodes = Nodes {
            known: all.iter().map(|_| AtomicBool::new(false)).collect(),
            failover: Mutex::new(Failover::new(all.len(), FIRST_REST)),
            seen: AtomicU64::new(0),
            all,
            identity,
        };
        Self {
            nodes: Arc::new(nodes),
        }
    }

    /// Each node by itself.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        let all = self.nodes.all.iter();
        all.map(|node| Self::of(vec![node.clone()], self.nodes.identity))
    }

    /// How each does, in the order in which they were named.
    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        self.failover().health()
    }

    /// Notes the newest block of the node that is asked: one that takes its place may not be far behind.
    pub(crate) fn saw(&self, newest: u64) {
        self.nodes.seen.store(newest, Ordering::Relaxed);
    }

    /// What is counted is whole even if a writer panicked.
    fn failover(&self) -> MutexGuard<'_, Failover> {
        let failover = self.nodes.failover.lock();
        failover.unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that is asked now, and its place.
    ///
    /// # Errors
    /// [`ClientError::Resting`] where all have asked to be left alone; and why the last one cannot be asked, where none can.
    async fn choose(&self, method: &'static str) -> Result<(usize, &RpcNode), ClientError> {
        let nodes = &*self.nodes;
        let is_alone = nodes.all.len() == 1;
        let mut tried = 0;
        loop {
            let (place, rest) = {
                let failover = self.failover();
                (failover.used(), failover.asked_to_wait(failover.used()))
            };
            if let Some(rest) = rest {
                return Err(ClientError::Resting { method, rest });
            }
            let node = &nodes.all[place];
            if is_alone || nodes.known[place].load(Ordering::Relaxed) {
                return Ok((place, node));
            }
            tried += 1;
            let seen = nodes.seen.load(Ordering::Relaxed);
            match node.is_of(nodes.identity, seen).await {
                Ok(()) => {
                    nodes.known[place].store(true, Ordering::Relaxed);
                    return Ok((place, node));
                }
                Err(error) => {
                    self.failed(place, &error);
                    if tried >= nodes.all.len() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Notes that a node did not do what it should. Calls that fail while it rests already say nothing new.
    pub(crate) fn failed(&self, place: usize, error: &ClientError) {
        let mut failover = self.failover();
        let asked_for = error.retry_after();
        if !failover.is_resting(place) || asked_for > failover.asked_to_wait(place) {
            let text = error.to_string();
            tracing::debug!("Node {} does not do what it should: {text}", place + 1);
            failover.failed(place, text, asked_for);
        } else {
            failover.pass_on(place);
        }
        self.nodes.known[place].store(false, Ordering::Relaxed);
    }

    /// What an answer comes to; `None` where the next node is to be asked.
    fn settle<T>(
        &self,
        place: usize,
        tried: &mut usize,
        answer: Result<T, ClientError>,
        is_unreadable_failure: bool,
    ) -> Option<Result<T, ClientError>> {
        *tried += 1;
        match answer {
            Err(error) if is_of_the_node(&error, is_unreadable_failure) => {
                self.failed(place, &error);
                (*tried >= self.nodes.all.len()).then_some(Err(error))
            }
            answer => {
                self.failover().succeeded(place);
                Some(answer)
            }
        }
    }

    /// Asks, and reads an answer that may be `null`.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<T>, ClientError> {
        let mut tried = 0;
        loop {
            let (place, node) = self.choose(method).await?;
            let answer = node.ask(method, &params).await;
            if let Some(settled) = self.settle(place, &mut tried, answer, true) {
                return settled;
            }
        }
    }

    /// Asks the same of many things in one request. The answers come in the order of the questions.
    ///
    /// # Errors
    /// [`ClientError::Refused`] and [`ClientError::Unreadable`] also of a node that takes no batches.
    pub(crate) async fn ask_all<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Result<Option<T>, ClientError>>, ClientError> {
        let mut tried = 0;
        loop {
            let (place, node) = self.choose(method).await?;
            let answer = node.ask_all(method, &params).await;
            if let Some(settled) = self.settle(place, &mut tried, answer, false) {
                return settled;
            }
        }
    }

    /// Asks for something that cannot be `null`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method, params).await?;
        present(method, answer)
    }
}

/// Whether another node may do better: this one cannot be reached, is too slow, was asked too often, fails by its own account, or
/// says more than there is to say. Whether an answer that cannot be read is a failure of the node, the caller knows.
fn is_of_the_node(error: &ClientError, is_unreadable_failure: bool) -> bool {
    match error {
        ClientError::Unreachable(_) | ClientError::TimedOut { .. } => true,
        // Who asks for less asks any node for less.
        ClientError::Http { status, .. } => *status != 413,
        ClientError::TooLong { limit, .. } => *limit == MAX_ANSWER_BYTES,
        // What is said to a transaction is an answer, whatever its code.
        ClientError::Refused { method, code, .. } => {
            error.asks_for_patience() || (*code == INTERNAL_ERROR && *method != send::METHOD)
        }
        ClientError::Unreadable { .. } => is_unreadable_failure,
        ClientError::Resting { .. } | ClientError::NodesDiffer { .. } => false,
    }
}

/// What cannot be `null`.
fn present<T>(method: &'static str, answer: Option<T>) -> Result<T, ClientError> {
    answer.ok_or_else(|| ClientError::Unreadable {
        method,
        what: "null".to_owned(),
    })
}

impl RpcNode {
    /// The node at this address, whatever it is.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Self, InvalidUrl> {
        let url = read_url(url)?;
        let tls = if url.scheme() == "https" {
            tls::client()
        } else {
            tls::believing_nobody()
        };
        // Without system proxies and cookies there is nothing in it that can fail to be set up.
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| InvalidUrl::Unreadable)?;
        Ok(Self { http, url, timeout })
    }

    /// Refuses a node of another chain, one that has anything but our registry at its address, and one that is far behind the
    /// newest block that was seen.
    async fn is_of(&self, identity: NodeIdentity, seen: u64) -> Result<(), ClientError> {
        let method = "eth_chainId";
        let chain = self.get::<Quantity64>(method, &json!([])).await?.0;
        if chain != identity.chain_id {
            let what = format!("chain {chain} instead of {}", identity.chain_id);
            return Err(ClientError::Unreadable { method, what });
        }
        let method = "eth_getCode";
        let params = json!([identity.registry.to_string(), "latest"]);
        let code = self.get::<Bytes>(method, &params).await?.0;
        if CodeHash(keccak256(code).0) != identity.code_hash {
            let what = format!("other code at {} than the registry's", identity.registry);
            return Err(ClientError::Unreadable { method, what });
        }
        let method = "eth_blockNumber";
        let newest = self.get::<Quantity64>(method, &json!([])).await?.0;
        if newest.saturating_add(MOST_BEHIND) < seen {
            let what = format!("block {newest} is its newest, and block {seen} was seen before");
            return Err(ClientError::Unreadable { method, what });
        }
        Ok(())
    }

    /// Asks for something that cannot be `null`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method, params).await?;
        present(method, answer)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<Option<T>, ClientError> {
        let body = self
            .post(
                method,
                longest(method, params),
                &RpcRequest::new(0, method, params),
            )
            .await?;
        let answer: RpcResponse<T> = read(method, &body)?;
        answer.into_result(method)
    }

    async fn ask_all<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[Value],
    ) -> Result<Vec<Result<Option<T>, ClientError>>, ClientError> {
        let requests = params.iter().enumerate();
        let requests: Vec<RpcRequest<'_>> = requests
            .map(|(id, params)| RpcRequest::new(id, method, params))
            .collect();
        let limit = longest(method, &Value::Null);
        let body = self.post(method, limit, &requests).await?;
        if let Ok(RpcResponse::<Value> {
            error: Some(error), ..
        }) = serde_json::from_slice(&body)
        {
            return Err(error.of(method));
        }
        let mut answers: Vec<RpcResponse<T>> = read(method, &body)?;
        // A node may answer them in any order.
        answers.sort_unstable_by_key(|answer| answer.id);
        let ids = answers.iter().map(|answer| answer.id);
        if !ids.eq((0..requests.len()).map(Some)) {
            let what = format!("{} answers to {}", answers.len(), requests.len());
            return Err(ClientError::Unreadable { method, what });
        }
        let results = answers.into_iter().map(|answer| answer.into_result(method));
        Ok(results.collect())
    }

    async fn post(
        &self,
        method: &'static str,
        limit: usize,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, ClientError> {
        let span = tracing::debug_span!("node call", method);
        let exchange = self.exchange(method, limit, request).instrument(span);
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        answered.map_err(|_| ClientError::TimedOut { method })?
    }

    async fn exchange(
        &self,
        method: &'static str,
        limit: usize,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, ClientError> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                ClientError::TimedOut { method }
            } else {
                ClientError::Unreachable(error.without_url())
            }
        };
        let mut response = self
            .http
            .post(self.url.clone())
            .json(request)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLong { method, limit });
            }
            body.extend_from_slice(&chunk);
        }
        // Some nodes send a proper refusal with an improper status.
        if !status.is_success() && serde_json::from_slice::<RpcResponse<Value>>(&body).is_err() {
            return Err(ClientError::Http {
                method,
                status: status.as_u16(),
                retry_after,
            });
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What every node has to be here: one whose registry has no code.
    fn identity() -> NodeIdentity {
        NodeIdentity {
            chain_id: 31337,
            registry: ChainAddress([1; 20]),
            code_hash: CodeHash(keccak256([]).0),
        }
    }

    fn over(urls: &[&str]) -> Result<Rpc, InvalidUrl> {
        Rpc::new(urls, Duration::from_secs(5), identity())
    }

    /// A node that answers each request with this status, these headers and this result.
    async fn node(
        status: &'static str,
        headers: &'static str,
        result: fn(&str) -> Value,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; 64 * 1024];
                let mut length = 0;
                // The head and a body come in one or two pieces.
                while !asked[..length].ends_with(b"}") && !asked[..length].ends_with(b"]") {
                    match stream.read(&mut asked[length..]).await {
                        Ok(0) | Err(_) => break,
                        Ok(more) => length += more,
                    }
                }
                let text = String::from_utf8_lossy(&asked[..length]).into_owned();
                let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
                let question: Value = serde_json::from_str(body).unwrap_or_default();
                let method = question["method"].as_str().unwrap_or_default();
                let answer = json!({ "jsonrpc": "2.0", "id": 0, "result": result(method) });
                let answer = if status.starts_with("200") {
                    answer.to_string()
                } else {
                    String::new()
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{answer}",
                    answer.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        format!("http://{at}")
    }

    fn of_our_chain(method: &str) -> Value {
        match method {
            "eth_chainId" => json!("0x7a69"),
            "eth_getCode" => json!("0x"),
            _ => json!("0x2a"),
        }
    }

    fn of_another_chain(method: &str) -> Value {
        match method {
            "eth_chainId" => json!("0x1"),
            "eth_getCode" => json!("0x"),
            _ => json!("0x66"),
        }
    }

    async fn asks(rpc: &Rpc) -> Result<String, ClientError> {
        rpc.get("eth_gasPrice", json!([])).await
    }

    #[tokio::test]
    async fn the_next_node_is_asked_where_one_is_gone_and_stays_the_one_that_is_asked() {
        let there = node("200 OK", "", of_our_chain).await;
        let rpc = over(&["http://127.0.0.1:9", &there]).expect("urls");

        assert_eq!(asks(&rpc).await.expect("an answer"), "0x2a");

        let health = rpc.health();
        assert!(!health[0].is_used && !health[0].is_well && health[0].failures == 1);
        assert!(health[1].is_used && health[1].is_well);
        assert_eq!(asks(&rpc).await.expect("an answer"), "0x2a");
        assert_eq!(rpc.health()[0].failures, 1, "it was not asked again");
    }

    #[tokio::test]
    async fn a_node_of_another_chain_is_not_asked() {
        let (other, ours) = (
            node("200 OK", "", of_another_chain).await,
            node("200 OK", "", of_our_chain).await,
        );
        let rpc = over(&[&other, &ours]).expect("urls");

        assert_eq!(asks(&rpc).await.expect("an answer"), "0x2a");

        let told = rpc.health()[0].last_error.clone().unwrap_or_default();
        assert!(told.contains("chain 1 instead of 31337"), "{told}");
    }

    #[tokio::test]
    async fn a_node_that_is_far_behind_takes_nobodys_place() {
        // Its newest block is number 42.
        let behind = node("200 OK", "", of_our_chain).await;
        let rpc = over(&["http://127.0.0.1:9", &behind]).expect("urls");

        rpc.saw(42 + MOST_BEHIND + 1);
        let error = asks(&rpc).await.expect_err("none can be asked");
        let told = rpc.health()[1].last_error.clone().unwrap_or_default();
        assert!(told.contains("block 42 is its newest"), "{told}; {error}");

        // Both rest now, and one of them is as far again.
        rpc.saw(42 + MOST_BEHIND);
        assert_eq!(asks(&rpc).await.expect("an answer"), "0x2a");
    }

    #[tokio::test]
    async fn nodes_that_want_to_be_left_alone_are_not_asked_until_then() {
        let asked_too_often = node("429 Too Many Requests", "retry-after: 30\r\n", of_our_chain);
        let asked_too_often = asked_too_often.await;
        let rpc = over(&[&asked_too_often]).expect("a url");
        let first = asks(&rpc).await.expect_err("it is refused");
        assert!(
            matches!(first, ClientError::Http { status: 429, .. }),
            "{first}"
        );

        let began = Instant::now();
        let second = asks(&rpc).await.expect_err("nobody is asked");

        assert!(matches!(second, ClientError::Resting { .. }), "{second}");
        assert!(second.retry_after() > Some(Duration::from_secs(20)));
        assert!(began.elapsed() < Duration::from_secs(1));
        let there = node("200 OK", "", of_our_chain).await;
        let two = over(&[&asked_too_often, &there]).expect("urls");
        assert_eq!(asks(&two).await.expect("the other answers"), "0x2a");
    }

    #[test]
    fn another_node_is_asked_where_one_fails_and_not_where_it_refuses() {
        let refused = |method, code| ClientError::Refused {
            method,
            code,
            message: "no".to_owned(),
        };
        let too_long = |limit| ClientError::TooLong {
            method: "eth_call",
            limit,
        };
        for (error, wanted) in [
            (refused("eth_call", INTERNAL_ERROR), true),
            (refused("eth_call", -32_000), false),
            (refused(send::METHOD, INTERNAL_ERROR), false),
            (too_long(MAX_ANSWER_BYTES), true),
            (too_long(MAX_LOG_BYTES), false),
            (too_long(MAX_RANGE_BYTES), false),
        ] {
            assert_eq!(is_of_the_node(&error, true), wanted, "{error}");
        }
    }

    #[test]
    fn only_logs_of_several_blocks_are_asked_for_in_parts() {
        let logs = |filter: Value| longest("eth_getLogs", &json!([filter]));
        let (first, second) = ("0x1", "0x2");
        let of_two = json!({ "fromBlock": first, "toBlock": second });
        assert_eq!(logs(of_two), MAX_RANGE_BYTES);
        for whole in [
            json!({ "fromBlock": first, "toBlock": first }),
            json!({ "blockHash": "0x07" }),
            json!({ "fromBlock": first, "toBlock": second, "topics": [null, "0x07"] }),
        ] {
            assert_eq!(logs(whole), MAX_LOG_BYTES);
        }
        let receipts = longest("eth_getTransactionReceipt", &Value::Null);
        assert_eq!(receipts, MAX_LOG_BYTES);
        assert_eq!(longest("eth_call", &json!([])), MAX_ANSWER_BYTES);
    }

    #[test]
    fn no_text_of_ours_shows_the_url() {
        let rpc = over(&["http://user:hunter2@node.example/v3/key"]);
        let shown = format!("{rpc:?}");
        assert!(shown.contains("node.example"));
        assert!(
            !shown.contains("hunter2") && !shown.contains("key"),
            "{shown}"
        );
        assert_eq!(over(&["wss://x"]).err(), Some(InvalidUrl::NotHttp));
        assert_eq!(over(&["https://x"]).err(), None);
        assert_eq!(over(&["x"]).err(), Some(InvalidUrl::Unreadable));
        assert_eq!(over(&[]).err(), Some(InvalidUrl::Unreadable));
    }

    #[test]
    fn a_list_takes_nodes_that_are_asked_and_nodes_that_tell_of_new_blocks() {
        for url in ["http://x", "https://x/key", "ws://x:8546", "wss://x/v2/key"] {
            assert_eq!(check_listed_url(url), Ok(()), "{url}");
        }
        for (url, why) in [
            ("x", InvalidUrl::Unreadable),
            ("ftp://x", InvalidUrl::NotANode),
            ("wss://ada:hunter2@x", InvalidUrl::Credentials),
        ] {
            assert_eq!(check_listed_url(url), Err(why), "{url}");
        }
    }

    #[test]
    fn a_node_that_says_when_to_come_back_is_understood_within_bounds() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(said("3"), Some(Duration::from_secs(3)));
        assert_eq!(said("86400"), Some(MAX_RETRY_AFTER));
        assert_eq!(said("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn an_unreachable_node_is_named_without_its_credentials() {
        // Port 9 on loopback: nobody answers there.
        let rpc = over(&["http://user:hunter2@127.0.0.1:9/key"]).expect("a url");
        let error = rpc
            .get::<Value>("eth_chainId", json!([]))
            .await
            .expect_err("nobody is there");
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, ClientError::Unreachable(_)), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("/key"),
            "{shown}"
        );
    }
}
