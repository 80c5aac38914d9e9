//! A chain that has lost its last blocks. anvil writes its state every 15 seconds, and what was mined since is
//! gone when it is killed; the database remembers it, and the indexer halts rather than undo what was final.

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};

use super::Foundation;
use crate::chain::{quantity, rpc};
use crate::{Error, Result};

impl Foundation {
    /// The block to go back to, where the chain has not got the one that the indexer applied last: the newest
    /// with an event of the registry that both know, or the one before the registry was deployed. The chain is
    /// made as long as it was, so that this shows at once. `None` where nothing is lost.
    ///
    /// # Errors
    ///
    /// When the database or the node does not answer.
    pub async fn lost_after(&self) -> Result<Option<u64>> {
        let mut conn = PgConnection::connect(&self.database.superuser_url()).await?;
        let applied = "SELECT block_number, block_hash FROM chain_cursors";
        let Some((last, hash)) = blocks(&mut conn, applied).await?.pop() else {
            return Ok(None);
        };
        if self.chain_has(last, &hash).await? {
            return Ok(None);
        }
        let known = "SELECT DISTINCT block_number, block_hash FROM chain_events
                     WHERE undone_at IS NULL ORDER BY block_number DESC";
        let mut back_to = self.deployment.block.saturating_sub(1);
        for (number, hash) in blocks(&mut conn, known).await? {
            if number < last && self.chain_has(number, &hash).await? {
                back_to = number;
                break;
            }
        }
        let url = self.chain_rpc_url();
        let head = rpc(url, "eth_blockNumber", serde_json::json!([])).await?;
        let missing = (last + 1).saturating_sub(quantity(&head).unwrap_or(last));
        if missing > 0 {
            rpc(
                url,
                "anvil_mine",
                serde_json::json!([format!("{missing:#x}")]),
            )
            .await?;
        }
        Ok(Some(back_to))
    }

    async fn chain_has(&self, number: u64, hash: &str) -> Result<bool> {
        let block = serde_json::json!([format!("{number:#x}"), false]);
        let block = rpc(self.chain_rpc_url(), "eth_getBlockByNumber", block).await?;
        let found = block["hash"].as_str();
        Ok(found.is_some_and(|found| found.eq_ignore_ascii_case(hash)))
    }
}

/// Numbers and hashes of blocks.
async fn blocks(conn: &mut PgConnection, query: &'static str) -> Result<Vec<(u64, String)>> {
    let read = |row: PgRow| -> Result<(u64, String)> {
        let number: i64 = row.try_get(0)?;
        let number = u64::try_from(number);
        let number = number.map_err(|_| Error::Needs("a block has a number below 0".to_owned()))?;
        Ok((number, row.try_get(1)?))
    };
    let rows = sqlx::raw_sql(query).fetch_all(conn).await?;
    rows.into_iter().map(read).collect()
}
