//! What orders decisions about a person and changes to what decides them.
//!
//! Whoever decides takes the shared lock of each person concerned: the patients, and the accounts that ask.
//! Whoever changes what decides (consents, accounts, log-ins) takes it exclusively. Both read the clock
//! after they have it ([`crate::facts::of_person`], [`crate::users::present`], [`crate::users::now`]), so that the trail is in the order in which
//! things happened (`docs/decisions/0031-a-withdrawal-is-a-barrier.md`).
//!
//! A lock ends with its transaction. Take all of a transaction in one call, **first**: they are taken in one
//! order, so that nobody waits in a circle. Who needs one exclusively takes it so at once; a shared lock on
//! top of it costs nothing.

pub(crate) mod statements;

use domain::ids::{RecordId, UserId};
use uuid::Uuid;

use self::statements::NAMESPACE;
use crate::{StoreError, Tx};

/// Decides about these people: no change to what decides them is under way from here to the end.
///
/// # Errors
/// [`StoreError`], above all where a change takes too long.
pub async fn lock_shared(
    tx: &mut Tx<'_>,
    people: impl IntoIterator<Item = UserId>,
) -> Result<(), StoreError> {
    lock_shared_with_records(tx, people, &[]).await?;
    Ok(())
}

/// The same for the patients of these records besides, who are answered.
///
/// # Errors
/// As of [`lock_shared`].
pub async fn lock_shared_with_records(
    tx: &mut Tx<'_>,
    people: impl IntoIterator<Item = UserId>,
    records: &[RecordId],
) -> Result<Vec<UserId>, StoreError> {
    let people: Vec<Uuid> = people.into_iter().map(|id| id.0).collect();
    let records: Vec<Uuid> = records.iter().map(|id| id.0).collect();
    // A time that was read before the locks is not the decision's: it is forgotten.
    let locked = sqlx::query!(
        r#"SELECT
            person.id AS "id!",
            person.is_patient AS "is_patient!",
            pg_advisory_xact_lock_shared($1 # (schema_key() & 2147483647)::int, person.key)::text AS locked,
            set_config('meditrustal.decision_time', '', TRUE) AS forgotten
         FROM (
             SELECT id, bool_or(is_patient) AS is_patient, ('x' || right(id::text, 8))::bit(32)::int AS key
             FROM (
                 SELECT UNNEST($2::uuid[]) AS id, FALSE AS is_patient
                 UNION ALL
                 SELECT patient_id, TRUE FROM medical_records WHERE id = ANY($3)
             ) AS concerned
             GROUP BY id
             ORDER BY key
         ) AS person"#,
        NAMESPACE,
        &people,
        &records,
    )
    .fetch_all(&mut **tx)
    .await?;
    let patients = locked.into_iter().filter(|person| person.is_patient);
    Ok(patients.map(|person| UserId(person.id)).collect())
}

/// Changes what decides about these people: no decision about them is under way from here to the end.
///
/// # Errors
/// [`StoreError`], above all where a decision takes too long.
pub async fn lock_exclusive(
    tx: &mut Tx<'_>,
    people: impl IntoIterator<Item = UserId>,
) -> Result<(), StoreError> {
    let people: Vec<Uuid> = people.into_iter().map(|id| id.0).collect();
    sqlx::query!(
        "SELECT
            pg_advisory_xact_lock($1 # (schema_key() & 2147483647)::int, person.key)::text AS locked,
            set_config('meditrustal.decision_time', '', TRUE) AS forgotten
         FROM (
             SELECT DISTINCT ('x' || right(id::text, 8))::bit(32)::int AS key
             FROM UNNEST($2::uuid[]) AS concerned(id)
             ORDER BY key
         ) AS person",
        NAMESPACE,
        &people,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(())
}
