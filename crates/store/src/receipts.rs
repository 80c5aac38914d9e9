//! Receipts of consents, the signatures of wallets on them, and how far those have come on their way to the registry of
//! consents. Written with the consent, signed once, never taken away.

pub mod following;
pub mod relaying;

use chrono::{DateTime, Utc};
use domain::{
    ids::{ConsentId, ReceiptId, UserId},
    receipts::{ConsentReceipt, ReceiptFailure, ReceiptKind, ReceiptSignature, ReceiptState},
    seals::{Seal, Sealed},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, rows, seals::Walk};

/// Asks for receipts, as [`ReceiptRow`] holds them; `$which` says for which.
macro_rules! receipt_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::receipts::ReceiptRow,
            "SELECT id, consent_id, user_id, kind, text, details_hash, registry_end, made_at, chain_id, contract,
                    wallet, deadline, signature, signed_at, seal, seal_key, chain_state, failure, tx_hash, block_number
             FROM consent_receipts " + $which,
            $($argument),+
        )
    };
}
pub(crate) use receipt_rows;

pub(crate) struct ReceiptRow {
    pub(crate) id: Uuid,
    pub(crate) consent_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) details_hash: String,
    pub(crate) registry_end: i64,
    pub(crate) made_at: DateTime<Utc>,
    pub(crate) chain_id: Option<i64>,
    pub(crate) contract: Option<String>,
    pub(crate) wallet: Option<String>,
    pub(crate) deadline: Option<DateTime<Utc>>,
    pub(crate) signature: Option<Vec<u8>>,
    pub(crate) signed_at: Option<DateTime<Utc>>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
    pub(crate) chain_state: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) tx_hash: Option<String>,
    pub(crate) block_number: Option<i64>,
}

impl ReceiptRow {
    fn signature(&mut self) -> Option<ReceiptSignature> {
        Some(ReceiptSignature {
            chain_id: self.chain_id?,
            contract: self.contract.take()?,
            wallet: self.wallet.take()?,
            deadline: self.deadline?,
            signature: self.signature.take()?,
            signed_at: self.signed_at?,
        })
    }

    fn progress(&mut self) -> Result<ReceiptProgress, StoreError> {
        let state = self.chain_state.take();
        let failure = self.failure.take();
        Ok(ReceiptProgress {
            state: state
                .map(|it| rows::text(&it, "state of a receipt"))
                .transpose()?,
            failure: failure
                .map(|it| rows::text(&it, "failure of a receipt"))
                .transpose()?,
            tx_hash: self.tx_hash.take(),
            block_number: self.block_number,
        })
    }
}

/// How far a receipt has come on its way to the registry of consents. Nobody seals that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptProgress {
    /// How far; `None` where nobody sends it, and the registry has not heard of it.
    pub state: Option<ReceiptState>,
    /// Why it went no further.
    pub failure: Option<ReceiptFailure>,
    /// The transaction that was signed for it last, or that did it.
    pub tx_hash: Option<String>,
    /// The block that it is in.
    pub block_number: Option<i64>,
}

/// A receipt with its seal, and how far it has come.
#[derive(Debug, Clone)]
pub struct StoredReceipt {
    /// Which.
    pub id: ReceiptId,
    /// Of which consent.
    pub consent: ConsentId,
    /// Of which act.
    pub kind: ReceiptKind,
    /// The receipt.
    pub sealed: Sealed<ConsentReceipt>,
    /// How far it has come.
    pub progress: ReceiptProgress,
}

impl TryFrom<ReceiptRow> for StoredReceipt {
    type Error = StoreError;
    fn try_from(mut row: ReceiptRow) -> Result<Self, StoreError> {
        let progress = row.progress()?;
        let receipt = ConsentReceipt {
            signature: row.signature(),
            id: ReceiptId(row.id),
            consent: ConsentId(row.consent_id),
            patient: UserId(row.user_id),
            kind: rows::text(&row.kind, "kind of a receipt")?,
            text: row.text,
            details_hash: rows::hash(&row.details_hash)?,
            registry_end: row.registry_end,
            made_at: row.made_at,
        };
        Ok(Self {
            id: receipt.id,
            consent: receipt.consent,
            kind: receipt.kind,
            sealed: Sealed::new(receipt, Seal::of(row.seal, row.seal_key)),
            progress,
        })
    }
}

/// Stores a receipt that nobody has signed yet, with its seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    receipt: &ConsentReceipt,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO consent_receipts (
             id, consent_id, user_id, kind, text, details_hash, registry_end, made_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        receipt.id.0,
        receipt.consent.0,
        receipt.patient.0,
        receipt.kind.as_str(),
        receipt.text,
        receipt.details_hash.to_string(),
        receipt.registry_end,
        receipt.made_at,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The receipt of an act on one of this patient's consents; nobody changes it until the transaction ends. `None` of
/// consents from before there were receipts, and of an act that was not done. Served by `consent_receipts_act_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    consent: ConsentId,
    kind: ReceiptKind,
    patient: UserId,
) -> Result<Option<StoredReceipt>, StoreError> {
    let found = receipt_rows!(
        "WHERE consent_id = $1
           AND kind = $2
           AND user_id = $3
         FOR NO KEY UPDATE",
        consent.0,
        kind.as_str(),
        patient.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// The receipts of these consents, in the order of consents and kinds. Served by `consent_receipts_act_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_consents(
    conn: &mut PgConnection,
    consents: &[ConsentId],
) -> Result<Vec<StoredReceipt>, StoreError> {
    let ids: Vec<Uuid> = consents.iter().map(|id| id.0).collect();
    let found = receipt_rows!(
        "WHERE consent_id = ANY($1)
         ORDER BY consent_id, kind",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// How many signatures of a patient's consents were taken since then to be relayed, by the trail: signing again counts
/// again. Served by `idx_audit_logs_patient_time`.
///
/// # Errors
/// [`StoreError`].
pub async fn relayed_since(
    conn: &mut PgConnection,
    patient: UserId,
    since: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let signatures = sqlx::query_scalar!(
        r#"SELECT count(*) AS "signatures!"
           FROM audit_logs
           WHERE patient_id = $1
             AND event_time > $2
             AND action_type = 'CONSENT_SIGN'
             AND new_value ->> 'relayed' = 'true'"#,
        patient.0,
        since,
    )
    .fetch_one(conn)
    .await?;
    Ok(signatures)
}

/// The receipts of these patients whose signature is not the last one that the trail says was stored: taken away, or an
/// earlier one put back. What an erasure emptied is passed over. Served by `idx_consent_receipts_user_id` and `idx_audit_logs_consent_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn contradicted(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<Vec<(Uuid, UserId)>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT receipt.id AS "id!", receipt.user_id AS "user_id!"
           FROM consent_receipts AS receipt
           JOIN LATERAL (
               SELECT trail.new_value ->> 'signature' AS signature
               FROM audit_logs AS trail
               WHERE trail.consent_reference = receipt.consent_id
                 AND trail.action_type = 'CONSENT_SIGN'
                 AND trail.new_value ->> 'kind' = receipt.kind
               ORDER BY trail.id DESC
               LIMIT 1
           ) AS signed ON TRUE
           WHERE receipt.user_id = ANY($1)
             AND receipt.text <> ''
             AND signed.signature IS DISTINCT FROM encode(sha256(receipt.signature), 'hex')
           ORDER BY receipt.id"#,
        &patients,
    )
    .fetch_all(conn)
    .await?;
    let contradicted = found.into_iter().map(|row| (row.id, UserId(row.user_id)));
    Ok(contradicted.collect())
}

/// Stores the signature of a receipt, with its new seal; lock it first. Where it is to be relayed, it is due at once.
///
/// # Errors
/// [`StoreError`].
pub async fn sign(
    conn: &mut PgConnection,
    receipt: ReceiptId,
    signed: &ReceiptSignature,
    seal: &Seal,
    is_relayed: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE consent_receipts
         SET chain_id = $2,
             contract = $3,
             wallet = $4,
             deadline = $5,
             signature = $6,
             signed_at = $7,
             seal = $8,
             seal_key = $9,
             chain_state = CASE WHEN $10 THEN 'PENDING' END,
             due_at = CASE WHEN $10 THEN CURRENT_TIMESTAMP END,
             failure = NULL,
             refusals = 0,
             tx_hash = NULL
         WHERE id = $1",
        receipt.0,
        signed.chain_id,
        signed.contract,
        signed.wallet,
        signed.deadline,
        signed.signature,
        signed.signed_at,
        seal.mac,
        seal.key_id,
        is_relayed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Receipts, in the order of ids; `None` of one that cannot be read.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, UserId, Option<Sealed<ConsentReceipt>>)>, StoreError> {
    let found = receipt_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    let read = |row: ReceiptRow| {
        let (id, of) = (row.id, UserId(row.user_id));
        (
            id,
            of,
            StoredReceipt::try_from(row).ok().map(|it| it.sealed),
        )
    };
    Ok(found.into_iter().map(read).collect())
}
