//! What an account that is erased leaves in rows beside its own: who acts for it, for whom it acts, to what it belongs, and
//! receipts of its consents.

use domain::{
    ids::{MembershipId, ReceiptId, RepresentationId, UserId},
    organizations::Membership,
    receipts::ConsentReceipt,
    representatives::Representation,
    seals::Seal,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    receipts::{StoredReceipt, receipt_rows},
};

/// The representations of an account, and those by which it acts for others, that nobody ended, in the order of ids.
///
/// # Errors
/// [`StoreError`].
pub async fn open_representations(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Vec<RepresentationId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM representatives
         WHERE (patient_id = $1 OR representative_id = $1)
           AND ended_at IS NULL
         ORDER BY id",
        user.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(RepresentationId).collect())
}

/// Ends a representation that is not as it was sealed; lock it first. It gets no seal for that: it stays a finding.
///
/// # Errors
/// [`StoreError`].
pub async fn end_unsealed_representation(
    tx: &mut Tx<'_>,
    ended: &Representation,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE representatives SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL",
        ended.id.0,
        ended.ended_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The memberships of an account that nobody ended, in the order of ids. Served by `idx_memberships_user_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_memberships(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Vec<MembershipId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM memberships WHERE user_id = $1 AND ended_at IS NULL ORDER BY id",
        user.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(MembershipId).collect())
}

/// Ends a membership that is not as it was sealed; lock it first. It gets no seal for that: it stays a finding.
///
/// # Errors
/// [`StoreError`].
pub async fn end_unsealed_membership(
    tx: &mut Tx<'_>,
    ended: &Membership,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE memberships SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL",
        ended.id.0,
        ended.ended_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The receipts of an account that were emptied and have no seal yet; nobody changes them until the transaction ends. One that
/// cannot be read stays without, and is a finding.
///
/// # Errors
/// [`StoreError`].
pub async fn emptied_receipts(
    tx: &mut Tx<'_>,
    user: UserId,
) -> Result<Vec<ConsentReceipt>, StoreError> {
    let found = receipt_rows!(
        "WHERE user_id = $1
           AND text = ''
           AND seal IS NULL
         ORDER BY id
         FOR NO KEY UPDATE",
        user.0,
    )
    .fetch_all(&mut **tx)
    .await?;
    let read = found
        .into_iter()
        .filter_map(|row| StoredReceipt::try_from(row).ok());
    Ok(read.map(|stored| stored.sealed.into_parts().0).collect())
}

/// Seals receipts that were emptied.
///
/// # Errors
/// [`StoreError`].
pub async fn seal_receipts(
    tx: &mut Tx<'_>,
    sealed: Vec<(ReceiptId, Seal)>,
) -> Result<(), StoreError> {
    let mut receipts: Vec<Uuid> = Vec::new();
    let mut macs: Vec<Vec<u8>> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    for (receipt, seal) in sealed {
        receipts.push(receipt.0);
        macs.push(seal.mac);
        keys.push(seal.key_id);
    }
    sqlx::query!(
        "UPDATE consent_receipts AS receipt
         SET seal = e.seal, seal_key = e.seal_key
         FROM UNNEST($1::uuid[], $2::bytea[], $3::text[]) AS e(id, seal, seal_key)
         WHERE receipt.id = e.id",
        &receipts,
        &macs,
        &keys,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
