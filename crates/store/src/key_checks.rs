//! By what keys are recognised: one value under each key id, written once.

use sqlx::PgConnection;

use crate::StoreError;

/// Which keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Those that wrap patients' keys and seal rows.
    Master,
    /// That of the blind index.
    Index,
}

impl KeyKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Index => "INDEX",
        }
    }
}

/// The values that are stored for keys of this kind, by their ids.
///
/// # Errors
/// [`StoreError`].
pub async fn known(
    conn: &mut PgConnection,
    kind: KeyKind,
    ids: &[String],
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let found = sqlx::query!(
        "SELECT key_id, check_value
         FROM key_checks
         WHERE kind = $1
           AND key_id = ANY($2)
         ORDER BY key_id",
        kind.as_str(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.key_id, row.check_value))
        .collect())
}

/// Stores a value under an id that has none. One that is there stays: read it again afterwards.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    kind: KeyKind,
    id: &str,
    value: &[u8],
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO key_checks (kind, key_id, check_value)
         VALUES ($1, $2, $3)
         ON CONFLICT (kind, key_id) DO NOTHING",
        kind.as_str(),
        id,
        value,
    )
    .execute(conn)
    .await?;
    Ok(())
}
