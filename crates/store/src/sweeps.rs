//! Where the indexer's comparison of records, events and receipts stands, and how much there is to compare.

use domain::ids::{ReceiptId, RecordId};
use sqlx::PgConnection;

use crate::{StoreError, cursor::Registry};

/// The last of each that were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPlace {
    /// The last record.
    pub after_record: RecordId,
    /// The last event, by its id.
    pub after_event: i64,
    /// The last receipt of a consent.
    pub after_receipt: ReceiptId,
    /// The last event that was held against the one before it, by its number in the sequence.
    pub after_sequence: i64,
    /// The same of the registry of consents.
    pub after_consent_sequence: i64,
    /// The last event whose place the chain was asked for, by its number in the sequence.
    pub after_place: i64,
    /// The same of the registry of consents.
    pub after_consent_place: i64,
    /// The newest record that was compared because it was new.
    pub newest_record: RecordId,
}

/// Where it stands; `None` before the first time.
///
/// # Errors
/// [`StoreError`].
pub async fn place(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<SweepPlace>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT after_record, after_event, after_receipt, after_sequence, after_consent_sequence,
               after_place, after_consent_place,
               -- Unknown where a version before this one kept the place: what is there was compared in its turn.
               COALESCE(newest_record, (SELECT id FROM medical_records ORDER BY id DESC LIMIT 1), after_record)
                   AS "newest_record!"
         FROM indexer_sweeps
         WHERE chain_id = $1 AND registry = $2"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| SweepPlace {
        after_record: RecordId(row.after_record),
        after_event: row.after_event,
        after_receipt: ReceiptId(row.after_receipt),
        after_sequence: row.after_sequence,
        after_consent_sequence: row.after_consent_sequence,
        after_place: row.after_place,
        after_consent_place: row.after_consent_place,
        newest_record: RecordId(row.newest_record),
    }))
}

/// Keeps where it stands.
///
/// # Errors
/// [`StoreError`].
pub async fn keep(
    conn: &mut PgConnection,
    registry: &Registry,
    place: SweepPlace,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO indexer_sweeps (
             chain_id, registry, after_record, after_event, after_receipt, newest_record, after_sequence,
             after_consent_sequence, after_place, after_consent_place, updated_at
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CURRENT_TIMESTAMP)
         ON CONFLICT (chain_id, registry) DO UPDATE
         SET after_record = EXCLUDED.after_record,
             after_event = EXCLUDED.after_event,
             after_receipt = EXCLUDED.after_receipt,
             newest_record = EXCLUDED.newest_record,
             after_sequence = EXCLUDED.after_sequence,
             after_consent_sequence = EXCLUDED.after_consent_sequence,
             after_place = EXCLUDED.after_place,
             after_consent_place = EXCLUDED.after_consent_place,
             updated_at = EXCLUDED.updated_at",
        registry.chain_id,
        registry.address,
        place.after_record.0,
        place.after_event,
        place.after_receipt.0,
        place.newest_record.0,
        place.after_sequence,
        place.after_consent_sequence,
        place.after_place,
        place.after_consent_place,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many rows there are to compare, as PostgreSQL estimates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowEstimates {
    /// Records.
    pub records: i64,
    /// Events, of every kind and registry.
    pub events: i64,
    /// Receipts of consents.
    pub receipts: i64,
}

/// How many there are: nothing is counted. A table that nobody has analysed yet has none, or fewer than none. By the primary key
/// of `pg_class`.
///
/// # Errors
/// [`StoreError`].
pub async fn estimates(conn: &mut PgConnection) -> Result<RowEstimates, StoreError> {
    let found = sqlx::query_as!(
        RowEstimates,
        r#"SELECT
            COALESCE(
                (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('medical_records')),
                0
            ) AS "records!",
            COALESCE(
                (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('chain_events')),
                0
            ) AS "events!",
            COALESCE(
                (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('consent_receipts')),
                0
            ) AS "receipts!""#,
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}
