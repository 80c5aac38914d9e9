//! What has to follow when the dumps are loaded, and what was lost since they were made. Each step is harmless to repeat.
//!
//! The chain knows what the database does not: transactions of our accounts, and records of ours that have no row any more. The
//! accounts go on from the chain's nonces. Rows whose anchors are in no block yet are sent by the api, as before; what is lost is
//! told here, and found by the indexer, which goes on from where the dump was.

use std::{collections::BTreeSet, time::Duration};

use chain::{
    ChainAddress, Client, ClientError, PinnedCheckpoint, RegistryEvent, RegistryLog, ToldFact,
    event::{self, Undecodable},
};
use domain::{integrity::ClosedAs, records::DataHash};
use serde::Serialize;
use store::{
    Pool, StoreError,
    cursor::Registry,
    index_status,
    restores::{self, OpenAnchor},
    signers::SignerAccount,
    trail,
};
use tokio::time::{Instant, sleep};

/// How many blocks are asked for at a time, unless the node wants fewer.
const BLOCKS: u64 = 2_000;
/// How many anchors are looked at together.
const ANCHORS: i64 = 500;
/// How long transactions of ours are waited for that wait at the node and are not in the database.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked.
const LOOKED_EVERY: Duration = Duration::from_secs(2);

/// Why the steps after a restore did not come to their end. Run it again with `--continue`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node's.
    #[error("the chain cannot be read, and without it nobody knows which nonces were used: {0}")]
    Node(#[from] ClientError),
    /// A log that the registry cannot have written.
    #[error(transparent)]
    Log(#[from] Undecodable),
    /// Transactions wait that the database does not know.
    #[error(
        "{count} transaction(s) of {address} that this database does not know wait at the node: run this again with --continue when \
         they are in a block"
    )]
    Unsettled {
        /// How many.
        count: u64,
        /// Of which account.
        address: String,
    },
    /// The chain is shorter than what was read of it before.
    #[error(
        "the node is at block {head}, and the dump has followed the chain to block {block}: wait until it has caught up"
    )]
    Behind {
        /// The node's newest block.
        head: u64,
        /// The last block that the dump knows.
        block: u64,
    },
}

/// Where an account goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RaisedNonce {
    /// The account.
    pub(crate) address: String,
    /// Its next nonce by the dump.
    pub(crate) dumped: i64,
    /// Its next nonce from now on.
    pub(crate) next: i64,
    /// How many of its transactions the chain has, and the database lost.
    pub(crate) lost_transactions: i64,
}

/// A record that is on the chain, by an account of ours, and has no row any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LostRecord {
    /// Its hash.
    pub(crate) record_hash: String,
    /// The version that it replaced.
    pub(crate) predecessor_hash: Option<String>,
    /// The transaction.
    pub(crate) tx_hash: String,
    /// The block.
    pub(crate) block: u64,
}

/// A closing on the chain that the database does not know: the record's life had ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LostClosing {
    /// The record, which is there again.
    pub(crate) record_id: String,
    /// Its hash.
    pub(crate) record_hash: String,
    /// `REVOKED` or `ERASED`.
    pub(crate) closed_as: &'static str,
    /// The transaction.
    pub(crate) tx_hash: String,
}

/// A record whose anchor is in no block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnanchoredRecord {
    /// Which.
    pub(crate) record_id: String,
    /// Its hash.
    pub(crate) record_hash: String,
    /// Where its anchor stands, by the dump. The api sends it again where it was not given up.
    pub(crate) state: String,
}

/// What the registry pinned of the audit trail, and what of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LostTrail {
    /// How many rows the last checkpoint in the registry has.
    pub(crate) pinned_rows: u64,
    /// How many rows the trail has.
    pub(crate) rows: u64,
}

/// What the chain says of the dump.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChainReport {
    /// The first block that the dump does not know.
    pub(crate) from_block: u64,
    /// The newest block that was read.
    pub(crate) to_block: u64,
    /// Records on the chain that have no row.
    pub(crate) lost_records: Vec<LostRecord>,
    /// Closings on the chain of records that are open here.
    pub(crate) lost_closings: Vec<LostClosing>,
    /// Signed consents that were told the registry of consents since the dump.
    pub(crate) consents_since: u64,
    /// Records whose anchor is in no block.
    pub(crate) unanchored: Vec<UnanchoredRecord>,
    /// What of the pinned trail is not there; `None` where nothing is missing.
    pub(crate) lost_trail: Option<LostTrail>,
}

/// Has each account of ours go on from the chain's nonce. Waits for what waits at the node and is not in the database: its nonce
/// would be used twice.
///
/// # Errors
/// [`FollowError`].
pub(crate) async fn raise_nonces(
    pool: &Pool,
    client: &Client,
    chain_id: i64,
) -> Result<Vec<RaisedNonce>, FollowError> {
    let mut conn = pool.acquire().await?;
    let mut raised = Vec::new();
    for known in restores::signers(&mut conn, chain_id).await? {
        let Ok(address) = known.address.parse::<ChainAddress>() else {
            // Not written by us: it signs nothing.
            continue;
        };
        let next = settled(client, address, known.next_nonce).await?;
        if next > known.next_nonce {
            // A nonce that one node makes up would leave a gap, behind which nothing is ever mined.
            let told = ToldFact::NonceUsed {
                account: address,
                next: u64::try_from(next).unwrap_or_default(),
                by_none_of: &[],
            };
            Box::pin(client.require_second_word(told)).await?;
        }
        let account = SignerAccount {
            chain_id,
            address: &known.address,
        };
        if restores::raise_nonce(&mut conn, account, next).await? {
            raised.push(RaisedNonce {
                dumped: known.next_nonce,
                next,
                lost_transactions: next - known.next_nonce,
                address: known.address,
            });
        }
    }
    Ok(raised)
}

/// The nonce of the chain, once nothing waits at the node that the database does not know.
async fn settled(client: &Client, address: ChainAddress, ours: i64) -> Result<i64, FollowError> {
    let until = Instant::now() + SETTLED_WITHIN;
    let ours = u64::try_from(ours).unwrap_or_default();
    loop {
        let mined = client.next_nonce(address).await?;
        let pending = client.pending_nonce(address).await?;
        let known = mined.max(ours);
        if pending <= known {
            return Ok(i64::try_from(mined).unwrap_or(i64::MAX));
        }
        if Instant::now() >= until {
            return Err(FollowError::Unsettled {
                count: pending - known,
                address: address.to_string(),
            });
        }
        sleep(LOOKED_EVERY).await;
    }
}

/// Reads the chain from where the dump was to its newest block, and compares it with the rows.
///
/// # Errors
/// [`FollowError`].
pub(crate) async fn compare(
    pool: &Pool,
    client: &Client,
    registry: &Registry,
) -> Result<ChainReport, FollowError> {
    let mut conn = pool.acquire().await?;
    let deployment = client.deployment().clone();
    let followed = index_status::progress(&mut conn, registry).await?;
    let followed = followed.map(|it| u64::try_from(it.finalized_block).unwrap_or_default());
    // What was not final may have been undone since.
    let from_block = followed.map_or(deployment.block, |block| block + 1);
    let head = client.head().await?.number;
    if head + 1 < from_block {
        return Err(FollowError::Behind {
            head,
            block: from_block - 1,
        });
    }
    let ours = our_accounts(
        &restores::signers(&mut conn, registry.chain_id).await?,
        deployment.registrar,
    );
    drop(conn);
    let mut report = ChainReport {
        from_block,
        to_block: head,
        ..ChainReport::default()
    };
    let (mut from, mut size) = (from_block, BLOCKS);
    while from <= head {
        let to = head.min(from + size - 1);
        match events(client, from, to).await {
            Ok(logs) => {
                note_events(pool, &logs, &ours, &mut report).await?;
                from = to + 1;
            }
            // A node that wants to be asked for less.
            Err(FollowError::Node(error)) if size > 1 && error.asks_for_less() => size /= 2,
            Err(error) => return Err(error),
        }
    }
    report.unanchored = unanchored(pool, client).await?;
    let mut conn = pool.acquire().await?;
    let rows = trail::size(&mut conn).await?;
    let PinnedCheckpoint { size, .. } = client.latest_checkpoint().await?;
    report.lost_trail = (size > rows).then_some(LostTrail {
        pinned_rows: size,
        rows,
    });
    Ok(report)
}

fn our_accounts(known: &[restores::KnownSigner], deployed: ChainAddress) -> BTreeSet<ChainAddress> {
    let known = known.iter().filter_map(|it| it.address.parse().ok());
    known.chain([deployed]).collect()
}

/// The numbered events of both registries in these blocks.
async fn events(client: &Client, from: u64, to: u64) -> Result<Vec<RegistryLog>, FollowError> {
    let deployment = client.deployment();
    let contracts: Vec<ChainAddress> = [Some(deployment.registry), deployment.consent_registry]
        .into_iter()
        .flatten()
        .collect();
    let mut decoded = Vec::new();
    for log in client.logs_of_contracts_in(&contracts, from, to).await? {
        let found = if log.is_of(deployment.registry) {
            event::decode(&log)?
        } else {
            event::decode_consents(&log)?
        };
        decoded.extend(found);
    }
    Ok(decoded)
}

async fn note_events(
    pool: &Pool,
    logs: &[RegistryLog],
    ours: &BTreeSet<ChainAddress>,
    report: &mut ChainReport,
) -> Result<(), FollowError> {
    let by_us = logs.iter().filter(|log| ours.contains(&log.event.actor()));
    let by_us: Vec<&RegistryLog> = by_us.collect();
    let anchored: Vec<_> = by_us.iter().copied().filter_map(anchored).collect();
    let closed: Vec<_> = by_us.iter().copied().filter_map(closed).collect();
    let hashes: Vec<DataHash> = anchored.iter().map(|(hash, _, _)| *hash).collect();
    let mut conn = pool.acquire().await?;
    let unknown = restores::unknown_hashes(&mut conn, &hashes).await?;
    for (hash, predecessor, log) in anchored {
        if unknown.contains(&hash) {
            report.lost_records.push(LostRecord {
                record_hash: hash.to_string(),
                predecessor_hash: predecessor.map(|it| it.to_string()),
                tx_hash: log.tx_hash.to_string(),
                block: log.block_number,
            });
        }
    }
    let hashes: Vec<DataHash> = closed.iter().map(|(hash, _, _)| *hash).collect();
    for (hash, record) in restores::open_hashes(&mut conn, &hashes).await? {
        let Some((_, closed_as, log)) = closed.iter().find(|(it, _, _)| *it == hash) else {
            continue;
        };
        report.lost_closings.push(LostClosing {
            record_id: record.to_string(),
            record_hash: hash.to_string(),
            closed_as: match closed_as {
                ClosedAs::Revoked => "REVOKED",
                ClosedAs::Erased => "ERASED",
            },
            tx_hash: log.tx_hash.to_string(),
        });
    }
    let consents = logs
        .iter()
        .filter(|log| matches!(log.event, RegistryEvent::ConsentChanged { .. }));
    report.consents_since += u64::try_from(consents.count()).unwrap_or_default();
    Ok(())
}

fn anchored(log: &RegistryLog) -> Option<(DataHash, Option<DataHash>, &RegistryLog)> {
    if let RegistryEvent::RecordAnchored {
        record,
        predecessor,
        ..
    } = &log.event
    {
        return Some((*record, *predecessor, log));
    }
    None
}

fn closed(log: &RegistryLog) -> Option<(DataHash, ClosedAs, &RegistryLog)> {
    if let RegistryEvent::RecordClosed {
        record, closing, ..
    } = &log.event
    {
        return Some((*record, *closing, log));
    }
    None
}

/// The records whose anchor was in no final block by the dump, and is in none now.
async fn unanchored(pool: &Pool, client: &Client) -> Result<Vec<UnanchoredRecord>, FollowError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let mut conn = pool.acquire().await?;
        let open = restores::open_anchors(&mut conn, after, ANCHORS).await?;
        drop(conn);
        for anchor in &open {
            if client.anchor_of(&anchor.record_hash).await?.is_none() {
                found.push(told(anchor));
            }
        }
        match open.last() {
            Some(last) => after = Some(last.record),
            None => return Ok(found),
        }
    }
}

fn told(anchor: &OpenAnchor) -> UnanchoredRecord {
    UnanchoredRecord {
        record_id: anchor.record.to_string(),
        record_hash: anchor.record_hash.to_string(),
        state: anchor.state.clone(),
    }
}
