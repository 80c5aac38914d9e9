//! Legal holds: what they cover is not erased while they are in force.

use chrono::{DateTime, Utc};
use domain::{
    deletion::{Approval, Coverage, LegalHold},
    ids::{LegalHoldId, UserId},
    seals::{Seal, Sealed},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    deletion::{approval, columns_of, record_ids, stored_reason},
    keyset::{KeysetPage, either_way},
    rows,
    seals::Walk,
};

/// Asks for holds, as [`HoldRow`] holds them; `$which` says for which.
macro_rules! hold_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            HoldRow,
            "SELECT id, patient_id, data_categories, record_ids, reason, sealed_reason, reason_key_id, placed_by, placed_at,
                    release_proposed_by, release_proposed_at, released_by, released_at, seal, seal_key
             FROM legal_holds " + $which
            $(, $argument)*
        )
    };
}

struct HoldRow {
    id: Uuid,
    patient_id: Uuid,
    data_categories: Value,
    record_ids: Vec<Uuid>,
    reason: String,
    sealed_reason: Option<Vec<u8>>,
    reason_key_id: Option<Uuid>,
    placed_by: Uuid,
    placed_at: DateTime<Utc>,
    release_proposed_by: Option<Uuid>,
    release_proposed_at: Option<DateTime<Utc>>,
    released_by: Option<Uuid>,
    released_at: Option<DateTime<Utc>>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

impl TryFrom<HoldRow> for Sealed<LegalHold> {
    type Error = StoreError;
    fn try_from(row: HoldRow) -> Result<Self, StoreError> {
        let clear = Some(row.reason).filter(|clear| !clear.is_empty());
        let hold = LegalHold {
            id: LegalHoldId(row.id),
            patient: UserId(row.patient_id),
            covers: Coverage {
                categories: rows::json(row.data_categories, "data category")?,
                records: record_ids(row.record_ids),
            },
            reason: stored_reason(clear, row.sealed_reason, row.reason_key_id),
            placed: Approval {
                by: UserId(row.placed_by),
                at: row.placed_at,
            },
            release_proposed: approval(row.release_proposed_by, row.release_proposed_at),
            released: approval(row.released_by, row.released_at),
        };
        Ok(Self::new(hold, Seal::of(row.seal, row.seal_key)))
    }
}

fn all(found: Vec<HoldRow>) -> Result<Vec<Sealed<LegalHold>>, StoreError> {
    found.into_iter().map(TryInto::try_into).collect()
}

/// Stores a hold.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(tx: &mut Tx<'_>, hold: &LegalHold, seal: &Seal) -> Result<(), StoreError> {
    let records: Vec<Uuid> = hold.covers.records.iter().map(|id| id.0).collect();
    let (clear, sealed, reason_key) = columns_of(hold.reason.as_ref());
    sqlx::query!(
        "INSERT INTO legal_holds (
             id, patient_id, data_categories, record_ids, reason, placed_by, placed_at, seal, seal_key, sealed_reason,
             reason_key_id
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        hold.id.0,
        hold.patient.0,
        json!(hold.covers.categories),
        &records,
        clear.unwrap_or_default(),
        hold.placed.by.0,
        hold.placed.at,
        seal.mac,
        seal.key_id,
        sealed,
        reason_key,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes who releases a hold; lock it first. One that is released carries no seal.
///
/// # Errors
/// [`StoreError`].
pub async fn save(
    tx: &mut Tx<'_>,
    hold: &LegalHold,
    seal: Option<&Seal>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE legal_holds
         SET release_proposed_by = $2, release_proposed_at = $3, released_by = $4, released_at = $5,
             seal = $6, seal_key = $7
         WHERE id = $1",
        hold.id.0,
        hold.release_proposed.map(|it| it.by.0),
        hold.release_proposed.map(|it| it.at),
        hold.released.map(|it| it.by.0),
        hold.released.map(|it| it.at),
        seal.map(|it| it.mac.as_slice()),
        seal.map(|it| it.key_id.as_str()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whose data a hold is about. That never changes.
///
/// # Errors
/// [`StoreError`].
pub async fn patient(
    conn: &mut PgConnection,
    id: LegalHoldId,
) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!("SELECT patient_id FROM legal_holds WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    Ok(found.map(UserId))
}

/// One hold; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: LegalHoldId,
) -> Result<Option<Sealed<LegalHold>>, StoreError> {
    let found = hold_rows!(
        "WHERE id = $1
         FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// The holds of a patient that are in force, oldest first. Served by `idx_legal_holds_in_force`.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force(
    conn: &mut PgConnection,
    patient: UserId,
) -> Result<Vec<Sealed<LegalHold>>, StoreError> {
    let found = hold_rows!(
        "WHERE patient_id = $1
           AND released_at IS NULL
         ORDER BY placed_at, id
         LIMIT 1000",
        patient.0,
    )
    .fetch_all(conn)
    .await?;
    all(found)
}

/// Whether the audit trail knows a hold of this patient that was never released, and whose row is gone or says that it was.
///
/// # Errors
/// [`StoreError`].
pub async fn is_contradicted(conn: &mut PgConnection, patient: UserId) -> Result<bool, StoreError> {
    let is_contradicted = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM audit_logs AS placed
               WHERE placed.patient_id = $1
                 AND placed.action_type = 'HOLD_PLACE'
                 AND NOT EXISTS (
                     SELECT FROM audit_logs AS released
                     WHERE released.resource_id = placed.resource_id
                       AND released.action_type = 'HOLD_RELEASE'
                       AND released.new_value ->> 'released' = 'true'
                 )
                 AND NOT EXISTS (
                     SELECT FROM legal_holds
                     WHERE legal_holds.id = placed.resource_id
                       AND legal_holds.patient_id = $1
                       AND legal_holds.released_at IS NULL
                 )
           ) AS "is_contradicted!""#,
        patient.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(is_contradicted)
}

/// Where a page of holds goes on.
pub type HoldCursor = (DateTime<Utc>, LegalHoldId);

/// Every hold, newest first. Served by `idx_legal_holds_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    asked: KeysetPage<HoldCursor>,
) -> Result<Vec<Sealed<LegalHold>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        hold_rows!(
            "WHERE ($1::timestamptz IS NULL OR (placed_at, id) < ($1, $2::uuid))
             ORDER BY placed_at DESC, id DESC
             LIMIT $3",
            "WHERE ($1::timestamptz IS NULL OR (placed_at, id) > ($1, $2::uuid))
             ORDER BY placed_at, id
             LIMIT $3",
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    all(found)
}

/// Holds in force, for the walks over sealed rows.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<LegalHold>)>, StoreError> {
    let found = hold_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND released_at IS NULL
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}
