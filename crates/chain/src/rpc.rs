//! JSON-RPC over HTTP. Written out because the libraries for it put the URL, and with it a password
//! or an access key, into their traces and errors.

use std::{fmt, time::Duration};

use reqwest::{
    Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument as _;

use crate::error::{ClientError, InvalidUrl};

/// The longest answer that is read where logs or receipts are asked for. Unit: bytes. A hundred thousand logs of the
/// registry.
const MAX_LOG_BYTES: usize = 96 << 20;

/// The longest other answer that is read. Unit: bytes. A block of sixty thousand transactions, by their hashes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// The longest time that a node may tell us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The longest message of a node that is kept. Unit: characters.
const MAX_MESSAGE_CHARS: usize = 300;

#[derive(Clone)]
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
    timeout: Duration,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("host", &self.url.host_str())
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
struct RpcRequest {
    jsonrpc: &'static str,
    id: usize,
    method: &'static str,
    params: Value,
}

impl RpcRequest {
    const fn new(id: usize, method: &'static str, params: Value) -> Self {
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

/// How long an answer may be. Unit: bytes.
fn longest(method: &str) -> usize {
    match method {
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

/// Refuses what is no address of a node that this build can speak to. Nobody is asked.
///
/// # Errors
/// [`InvalidUrl`].
pub fn check_url(url: &str) -> Result<(), InvalidUrl> {
    read_url(url).map(|_| ())
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

    /// Asks, and reads an answer that may be `null`.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<T>, ClientError> {
        let body = self
            .post(method, &RpcRequest::new(0, method, params))
            .await?;
        let answer: RpcResponse<T> = read(method, &body)?;
        answer.into_result(method)
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
        let requests = params.into_iter().enumerate();
        let requests: Vec<RpcRequest> = requests
            .map(|(id, params)| RpcRequest::new(id, method, params))
            .collect();
        let body = self.post(method, &requests).await?;
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

    /// Asks for something that cannot be `null`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method, params).await?;
        answer.ok_or_else(|| ClientError::Unreadable {
            method,
            what: "null".to_owned(),
        })
    }

    async fn post(
        &self,
        method: &'static str,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, ClientError> {
        let span = tracing::debug_span!("node call", method);
        let exchange = self.exchange(method, request).instrument(span);
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        answered.map_err(|_| ClientError::TimedOut { method })?
    }

    async fn exchange(
        &self,
        method: &'static str,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, ClientError> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                ClientError::TimedOut { method }
            } else {
                ClientError::Unreachable(error.without_url())
            }
        };
        let limit = longest(method);
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
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_ours_shows_the_url() {
        let rpc = Rpc::new(
            "http://user:hunter2@node.example/v3/key",
            Duration::from_secs(1),
        );
        let shown = format!("{rpc:?}");
        assert!(shown.contains("node.example"));
        assert!(
            !shown.contains("hunter2") && !shown.contains("key"),
            "{shown}"
        );
        assert_eq!(
            Rpc::new("wss://x", Duration::ZERO).err(),
            Some(InvalidUrl::NotHttp)
        );
        assert_eq!(Rpc::new("https://x", Duration::ZERO).err(), None);
        assert_eq!(
            Rpc::new("x", Duration::ZERO).err(),
            Some(InvalidUrl::Unreadable)
        );
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
        let rpc = Rpc::new(
            "http://user:hunter2@127.0.0.1:9/key",
            Duration::from_secs(5),
        )
        .expect("a url");
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
