//! Representatives: who acts for which patient, and what waits for a second administrator.

mod proposals;

use chrono::{DateTime, Utc};
use domain::{
    ids::{RepresentationId, UserId},
    representatives::{Appointment, Representation, RepresentedActivities, RepresentedActivity},
    seals::{Seal, Sealed},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::proposals::{
    ProposalPageKey, close, insert as propose, lock as lock_proposal, page as proposal_page,
    patient_of, waiting_of, walk as walk_proposals,
};
use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    rows,
    seals::Walk,
};

/// Asks for representations, as [`RepresentationRow`] holds them; `$which` says for which.
macro_rules! representation_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RepresentationRow,
            "SELECT id, patient_id, representative_id, relationship, activities, valid_from, valid_until,
                    appointed_at, proposed_by, approved_by, reason, ended_at, seal, seal_key
             FROM representatives " + $which
            $(, $argument)*
        )
    };
}

struct RepresentationRow {
    id: Uuid,
    patient_id: Uuid,
    representative_id: Uuid,
    relationship: String,
    activities: Value,
    valid_from: DateTime<Utc>,
    valid_until: DateTime<Utc>,
    appointed_at: DateTime<Utc>,
    proposed_by: Option<Uuid>,
    approved_by: Option<Uuid>,
    reason: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

impl TryFrom<RepresentationRow> for StoredRepresentation {
    type Error = StoreError;
    fn try_from(row: RepresentationRow) -> Result<Self, StoreError> {
        let appointment = row
            .proposed_by
            .zip(row.approved_by)
            .map(|(proposed_by, approved_by)| Appointment {
                proposed_by: UserId(proposed_by),
                approved_by: UserId(approved_by),
            });
        let representation = Representation {
            id: RepresentationId(row.id),
            patient: UserId(row.patient_id),
            representative: UserId(row.representative_id),
            relationship: rows::text(&row.relationship, "relationship")?,
            activities: activities(row.activities)?,
            from: row.valid_from,
            until: row.valid_until,
            appointed_at: row.appointed_at,
            appointment,
            ended_at: row.ended_at,
        };
        Ok(Self {
            representation: Sealed::new(representation, Seal::of(row.seal, row.seal_key)),
            reason: row.reason,
        })
    }
}

fn activities(stored: Value) -> Result<RepresentedActivities, StoreError> {
    let activities: Vec<RepresentedActivity> = rows::json(stored, "activity")?;
    Ok(RepresentedActivities::of(activities))
}

fn stored(activities: RepresentedActivities) -> Value {
    json!(activities.iter().collect::<Vec<_>>())
}

/// A representation, and why administrators made it.
#[derive(Debug, Clone)]
pub struct StoredRepresentation {
    /// The representation.
    pub representation: Sealed<Representation>,
    /// The administrators' reason; `None` where the patient named the representative.
    pub reason: Option<String>,
}

/// What cannot be read lets nobody act, keeps nothing else from being shown, and is found by the deep check.
fn readable(found: Vec<RepresentationRow>) -> Vec<StoredRepresentation> {
    let rows = found.into_iter();
    rows.filter_map(|row| row.try_into().ok()).collect()
}

fn sealed(found: Vec<RepresentationRow>) -> Vec<Sealed<Representation>> {
    let rows = readable(found).into_iter();
    rows.map(|row| row.representation).collect()
}

/// What these people may do for these patients now, as far as rows and the trail say: an old row that is put back after
/// its end lets nobody act. Each pair of the two lists may be among them. Served by `idx_representatives_pair`.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force(
    conn: &mut PgConnection,
    representatives: &[UserId],
    patients: &[UserId],
    now: DateTime<Utc>,
) -> Result<Vec<Sealed<Representation>>, StoreError> {
    let representatives: Vec<Uuid> = representatives.iter().map(|id| id.0).collect();
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = representation_rows!(
        "WHERE representative_id = ANY($1)
           AND patient_id = ANY($2)
           AND ended_at IS NULL
           AND valid_from <= $3
           AND valid_until > $3
           AND NOT EXISTS (
               SELECT
               FROM audit_logs
               WHERE resource_id = representatives.id
                 AND action_type = 'REPRESENTATIVE_END'
           )
         ORDER BY id
         LIMIT 10000",
        &representatives,
        &patients,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(sealed(found))
}

/// A patient's representations that are not over, those of later among them. Served by
/// `idx_representatives_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn not_over(
    conn: &mut PgConnection,
    patient: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Sealed<Representation>>, StoreError> {
    let found = representation_rows!(
        "WHERE patient_id = $1
           AND ended_at IS NULL
           AND valid_until > $2
           AND NOT EXISTS (
               SELECT
               FROM audit_logs
               WHERE resource_id = representatives.id
                 AND action_type = 'REPRESENTATIVE_END'
           )
         ORDER BY id
         LIMIT 10000",
        patient.0,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(sealed(found))
}

/// Stores a representation, with its seal, and with the reason of the administrators who made it.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    made: &Representation,
    reason: Option<&str>,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO representatives (
             id, patient_id, representative_id, relationship, activities, valid_from, valid_until, appointed_at,
             proposed_by, approved_by, reason, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        made.id.0,
        made.patient.0,
        made.representative.0,
        made.relationship.as_str(),
        stored(made.activities),
        made.from,
        made.until,
        made.appointed_at,
        made.appointment.map(|by| by.proposed_by.0),
        made.appointment.map(|by| by.approved_by.0),
        reason,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Between whom a representation is: the patient and the representative. That never changes.
///
/// # Errors
/// [`StoreError`].
pub async fn pair(
    conn: &mut PgConnection,
    id: RepresentationId,
) -> Result<Option<(UserId, UserId)>, StoreError> {
    let found = sqlx::query!(
        "SELECT patient_id, representative_id FROM representatives WHERE id = $1",
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| (UserId(row.patient_id), UserId(row.representative_id))))
}

/// A representation; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: RepresentationId,
) -> Result<Option<StoredRepresentation>, StoreError> {
    let found = representation_rows!(
        "WHERE id = $1
         FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Ends a representation, with its new seal; lock it first.
///
/// # Errors
/// [`StoreError`].
pub async fn end(tx: &mut Tx<'_>, ended: &Representation, seal: &Seal) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE representatives
         SET ended_at = $2, seal = $3, seal_key = $4
         WHERE id = $1
           AND ended_at IS NULL",
        ended.id.0,
        ended.ended_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where a page goes on: after the one made then, with that id.
pub type RepresentationPageKey = (DateTime<Utc>, Uuid);

/// A patient's representations that can be read, newest first. Served by `idx_representatives_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_patient(
    conn: &mut PgConnection,
    patient: UserId,
    asked: KeysetPage<RepresentationPageKey>,
) -> Result<Vec<StoredRepresentation>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        representation_rows!(
            "WHERE patient_id = $1
               AND ($2::timestamptz IS NULL OR (appointed_at, id) < ($2, $3::uuid))
             ORDER BY appointed_at DESC, id DESC
             LIMIT $4",
            "WHERE patient_id = $1
               AND ($2::timestamptz IS NULL OR (appointed_at, id) > ($2, $3::uuid))
             ORDER BY appointed_at, id
             LIMIT $4",
            patient.0,
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id),
            asked.limit,
        )
    );
    Ok(readable(found))
}

/// The representations that can be read by which somebody acts for others, newest first. Served by
/// `idx_representatives_representative_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_representative(
    conn: &mut PgConnection,
    representative: UserId,
    asked: KeysetPage<RepresentationPageKey>,
) -> Result<Vec<StoredRepresentation>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        representation_rows!(
            "WHERE representative_id = $1
               AND ($2::timestamptz IS NULL OR (appointed_at, id) < ($2, $3::uuid))
             ORDER BY appointed_at DESC, id DESC
             LIMIT $4",
            "WHERE representative_id = $1
               AND ($2::timestamptz IS NULL OR (appointed_at, id) > ($2, $3::uuid))
             ORDER BY appointed_at, id
             LIMIT $4",
            representative.0,
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id),
            asked.limit,
        )
    );
    Ok(readable(found))
}

/// Representations, over or not; `None` of one that cannot be read.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, UserId, Option<Sealed<Representation>>)>, StoreError> {
    let found = representation_rows!(
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
    let rows = found.into_iter().map(|row| {
        let (id, of) = (row.id, UserId(row.patient_id));
        let read = StoredRepresentation::try_from(row).ok();
        (id, of, read.map(|it| it.representation))
    });
    Ok(rows.collect())
}
