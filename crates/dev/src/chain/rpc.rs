//! Asking a node by JSON-RPC.

use std::time::Duration;

use crate::{Error, Result};

/// How long an answer may take: on a busy machine a node takes seconds to make many blocks.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Asks a node; `params` is a JSON array.
///
/// # Errors
///
/// When the node does not answer within half a minute, or answers with an error.
pub async fn rpc(url: &str, method: &str, params: serde_json::Value) -> Result<serde_json::Value> {
    let failed = |why: String| Error::Chain {
        method: method.to_owned(),
        why,
    };
    let request = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": method, "params": params,
    });
    let answer = crate::http::client()
        .post(url)
        .timeout(ANSWER_WITHIN)
        .json(&request)
        .send()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut answer: serde_json::Value = answer
        .json()
        .await
        .map_err(|error| failed(error.to_string()))?;
    match answer.get("error") {
        Some(error) => Err(failed(error.to_string())),
        None => Ok(answer["result"].take()),
    }
}

/// The number in a node's `"0x2a"`.
pub fn quantity(value: &serde_json::Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
