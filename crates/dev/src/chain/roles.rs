//! More registrars than the one that the registry was deployed with, on a development chain: its administrator lets them anchor.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{registry::Deployment, rpc::rpc};
use crate::{Error, Result};

/// anvil's account 0, known to everybody: administers. The node signs for it.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// anvil's account 8, known to everybody: the registrar that shares the load with the first. For development chains only.
pub const SECOND_REGISTRAR: &str = "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f";
/// Its key.
pub const SECOND_REGISTRAR_KEY: &str =
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";

/// keccak256 of `REGISTRAR_ROLE`.
const REGISTRAR_ROLE: &str = "edcc084d3dcd65a1f7f23c65c46722faca6953d28e43150a467cf43e5c309238";
/// How many records a registrar may end in an hour: as many as the registry allows, as the first one may.
const ENDING_LIMIT: u16 = 2047;
/// How long a call may take until it is in a block.
const MINED_WITHIN: Duration = Duration::from_secs(60);

/// Lets the second registrar anchor, unless it may already.
///
/// # Errors
///
/// When the node does not answer, or the call is not in a block in time.
pub async fn let_second_registrar_anchor(url: &str, deployment: &Deployment) -> Result<()> {
    let account = format!("{:0>64}", SECOND_REGISTRAR[2..].to_lowercase());
    let registry = &deployment.registry;
    let has_role = json!([{
        "to": registry, "data": format!("0x91d14854{REGISTRAR_ROLE}{account}"),
    }, "latest"]);
    let may = rpc(url, "eth_call", has_role).await?;
    if may.as_str().is_some_and(|word| word.ends_with('1')) {
        return Ok(());
    }
    let grant = format!("0x2f2ff15d{REGISTRAR_ROLE}{account}");
    let limit = format!("0x6c1336de{account}{ENDING_LIMIT:064x}");
    for data in [grant, limit] {
        let call = json!([{ "from": ADMINISTRATOR, "to": registry, "data": data }]);
        let transaction = rpc(url, "eth_sendTransaction", call).await?;
        is_mined(url, &transaction).await?;
    }
    Ok(())
}

/// Waits until a transaction is in a block.
async fn is_mined(url: &str, transaction: &Value) -> Result<()> {
    let deadline = Instant::now() + MINED_WITHIN;
    loop {
        let receipt = rpc(url, "eth_getTransactionReceipt", json!([transaction])).await?;
        if receipt["status"] == "0x1" {
            return Ok(());
        }
        if !receipt.is_null() || Instant::now() > deadline {
            return Err(Error::Needs(format!(
                "the second registrar could not be let anchor: {receipt}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
