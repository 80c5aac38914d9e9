//! Reasons that stand in clear, from before they were sealed: found, and replaced.

use domain::{
    ids::{PatientKeyId, UserId},
    seals::SealedTable,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// A reason that stands in clear.
#[derive(Clone)]
pub struct ClearReason {
    /// In a row of which table.
    pub table: SealedTable,
    /// Which.
    pub row: Uuid,
    /// About whom.
    pub patient: UserId,
    /// What it says.
    pub clear: String,
}

struct ClearRow {
    id: Uuid,
    patient_id: Uuid,
    reason: String,
}

impl std::fmt::Debug for ClearReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClearReason({} {})", self.table.as_str(), self.row)
    }
}

/// Some reasons that stand in clear in the rows of a table, in the order of ids: of legal holds, or else of deletion requests. Served by
/// `idx_data_deletion_requests_clear_reason` and `idx_legal_holds_clear_reason`.
///
/// # Errors
/// [`StoreError`].
pub async fn in_clear(
    conn: &mut PgConnection,
    table: SealedTable,
    after: Uuid,
    limit: i64,
) -> Result<Vec<ClearReason>, StoreError> {
    let found = if table == SealedTable::LegalHolds {
        sqlx::query_as!(
            ClearRow,
            "SELECT id, patient_id, reason
             FROM legal_holds
             WHERE reason <> ''
               AND id > $1
             ORDER BY id
             LIMIT $2",
            after,
            limit,
        )
        .fetch_all(conn)
        .await?
    } else {
        sqlx::query_as!(
            ClearRow,
            r#"SELECT id, user_id AS patient_id, reason AS "reason!"
               FROM data_deletion_requests
               WHERE reason IS NOT NULL
                 AND id > $1
               ORDER BY id
               LIMIT $2"#,
            after,
            limit,
        )
        .fetch_all(conn)
        .await?
    };
    let found = found.into_iter();
    Ok(found
        .map(|row| ClearReason {
            table,
            row: row.id,
            patient: UserId(row.patient_id),
            clear: row.reason,
        })
        .collect())
}

/// Puts sealed bytes in the place of a reason in clear. False where it is another one meanwhile.
///
/// # Errors
/// [`StoreError`].
pub async fn replace(
    tx: &mut Tx<'_>,
    reason: &ClearReason,
    sealed: &[u8],
    key: PatientKeyId,
) -> Result<bool, StoreError> {
    if reason.table == SealedTable::LegalHolds {
        let replaced = sqlx::query_scalar!(
            r#"SELECT seal_hold_reason($1, $2, $3, $4) AS "replaced!""#,
            reason.row,
            reason.clear,
            sealed,
            key.0,
        )
        .fetch_one(&mut **tx)
        .await?;
        return Ok(replaced);
    }
    let replaced = sqlx::query!(
        "UPDATE data_deletion_requests
         SET reason = NULL, sealed_reason = $3, reason_key_id = $4
         WHERE id = $1
           AND reason = $2",
        reason.row,
        reason.clear,
        sealed,
        key.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(replaced.rows_affected() == 1)
}
