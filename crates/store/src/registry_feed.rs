//! The log of what happened to the events of a registry: each was applied, and some were undone. Triggers of
//! `chain_events` write it, and nobody else; it says nothing that the chain does not say.
//!
//! Whoever moves events of a registry holds the row of its cursor until the commit, so positions of one registry are in
//! commit order: a reader that remembers the last position it saw misses nothing.

use chrono::{DateTime, Utc};
use domain::{integrity::RegistryEventKind, records::DataHash};
use sqlx::PgConnection;

use crate::{StoreError, cursor::Registry, rows};

/// That an event of the registry was applied, or undone.
#[derive(Debug, Clone)]
pub struct RegistryFeedRow {
    /// Where it stands in the log.
    pub position: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Whether the event's block was undone; else it was applied.
    pub is_undone: bool,
    /// What the event says.
    pub kind: RegistryEventKind,
    /// The record hash or root that it is about.
    pub subject: Option<DataHash>,
    /// The account that caused it, as EIP-55 writes it.
    pub actor: String,
    /// Its number in the registry's gapless sequence.
    pub sequence: i64,
    /// The rolling head after it.
    pub head: String,
    /// The transaction, `0x` and 64 digits.
    pub tx_hash: String,
    /// The block's number.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
    /// Where in the block.
    pub log_index: i64,
}

struct RegistryFeedColumns {
    position: i64,
    at: DateTime<Utc>,
    is_undone: bool,
    kind: String,
    subject_hash: Option<String>,
    actor: String,
    sequence: i64,
    head: String,
    tx_hash: String,
    block_number: i64,
    block_hash: String,
    log_index: i64,
}

impl TryFrom<RegistryFeedColumns> for RegistryFeedRow {
    type Error = StoreError;

    fn try_from(row: RegistryFeedColumns) -> Result<Self, StoreError> {
        Ok(Self {
            position: row.position,
            at: row.at,
            is_undone: row.is_undone,
            kind: rows::text(&row.kind, "kind of a registry's event")?,
            subject: row.subject_hash.map(|it| rows::hash(&it)).transpose()?,
            actor: row.actor,
            sequence: row.sequence,
            head: row.head,
            tx_hash: row.tx_hash,
            block_number: row.block_number,
            block_hash: row.block_hash,
            log_index: row.log_index,
        })
    }
}

/// What was read of the log.
#[derive(Debug)]
pub struct RegistryFeedPage {
    /// Its entries, without those that cannot be read.
    pub rows: Vec<RegistryFeedRow>,
    /// The last position that was read; `None` where there is nothing more.
    pub last: Option<i64>,
    /// Whether it ends where the log ends: there were fewer than were asked for.
    pub is_end: bool,
}

/// What happened to the events of this registry after `position`, oldest first. An entry that cannot be read is logged
/// and passed over. Served by the primary keys of both tables.
///
/// # Errors
/// [`StoreError`].
pub async fn after(
    conn: &mut PgConnection,
    registry: &Registry,
    position: i64,
    limit: i64,
) -> Result<RegistryFeedPage, StoreError> {
    let found = sqlx::query_as!(
        RegistryFeedColumns,
        "SELECT
            feed.position, feed.at, feed.is_undone, event.kind, event.subject_hash, event.actor, event.sequence,
            event.head, event.tx_hash, event.block_number, event.block_hash, event.log_index
         FROM registry_feed AS feed
         JOIN chain_events AS event ON event.id = feed.event_id
         WHERE feed.position > $1
           AND feed.chain_id = $2
           AND feed.registry = $3
         ORDER BY feed.position
         LIMIT $4",
        position,
        registry.chain_id,
        registry.address,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let last = found.last().map(|row| row.position);
    let is_end = i64::try_from(found.len()).is_ok_and(|read| read < limit);
    let read = |row: RegistryFeedColumns| {
        let position = row.position;
        RegistryFeedRow::try_from(row)
            .inspect_err(|error| {
                tracing::error!(position, %error, "The registry feed's entry {position} cannot be read; it is passed over");
            })
            .ok()
    };
    let rows = found.into_iter().filter_map(read).collect();
    Ok(RegistryFeedPage { rows, last, is_end })
}

/// The last position there is of this registry; 0 where nothing was applied. Served by the primary key, from its end.
///
/// # Errors
/// [`StoreError`].
pub async fn last_position(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!(
        "SELECT position
         FROM registry_feed
         WHERE chain_id = $1
           AND registry = $2
         ORDER BY position DESC
         LIMIT 1",
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?;
    Ok(last.unwrap_or(0))
}

/// Whether the entry at this position is of this registry and was written at this time. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(
    conn: &mut PgConnection,
    registry: &Registry,
    position: i64,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let holds = sqlx::query_scalar!(
        r#"SELECT EXISTS(
             SELECT
             FROM registry_feed
             WHERE position = $1
               AND at = $2
               AND chain_id = $3
               AND registry = $4
         ) AS "holds!""#,
        position,
        at,
        registry.chain_id,
        registry.address,
    )
    .fetch_one(conn)
    .await?;
    Ok(holds)
}
