//! What orders decisions about a person and changes to what decides them.
//!
//! Whoever decides takes the shared lock of each person concerned: the patients, and the accounts that ask.
//! Whoever changes what decides (consents, accounts, log-ins) takes it exclusively. Both read the clock
//! after they have it ([`crate::users::present`], [`crate::users::now`]), so that the trail is in the order in which
//! things happened (`docs/decisions/0031-a-withdrawal-is-a-barrier.md`).
//!
//! A lock ends with its transaction. Take all of a transaction in one call, **first**: they are taken in one
//! order, so that nobody waits in a circle. Who needs one exclusively takes it so at once; a shared lock on
//! top of it costs nothing.

use std::{collections::BTreeSet, fmt::Write as _};

use domain::ids::{RecordId, UserId};
use uuid::Uuid;

use crate::{StoreError, Tx};

/// The first key of these advisory locks: `pers` in ASCII. The second, the last four bytes of the person's id,
/// which are random in a `UUIDv7`, tells people apart. Two share it once in four thousand million pairs; then one
/// waits for the other.
const NAMESPACE: i32 = 0x7065_7273;

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

/// The statements that take the locks of [`lock_shared`], one after the other, in the same order: for a transaction that
/// begins with them ([`crate::Pool::begin_locked`]). They hold numbers of our own alone.
pub(crate) fn shared_locks(people: impl IntoIterator<Item = UserId>) -> String {
    let keys: BTreeSet<i32> = people.into_iter().map(key).collect();
    let mut statements = String::new();
    for key in keys {
        // Writing to a String does not fail.
        write!(
            statements,
            "; SELECT pg_advisory_xact_lock_shared({NAMESPACE} # (schema_key() & 2147483647)::int, '{key}'::int)"
        )
        .ok();
    }
    statements
}

/// The second key of a person's lock, as the statements here compute it.
const fn key(person: UserId) -> i32 {
    let [.., a, b, c, d] = person.0.into_bytes();
    i32::from_be_bytes([a, b, c, d])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_once_each_in_the_order_of_their_keys() {
        let person = |low: u128| UserId(Uuid::from_u128(low));
        let two = person(0x0190_0000_0000_7000_8000_0000_8000_0000);
        let one = person(0x0190_0000_0000_7000_8000_0000_0000_0007);
        let same = person(0x0191_0000_0000_7000_8000_0000_0000_0007);
        let lock = |key: &str| {
            format!(
                "; SELECT pg_advisory_xact_lock_shared(1885696627 # (schema_key() & 2147483647)::int, '{key}'::int)"
            )
        };
        assert_eq!(NAMESPACE, 1_885_696_627);
        assert_eq!(
            shared_locks([one, two, same]),
            [lock("-2147483648"), lock("7")].concat()
        );
        assert_eq!(shared_locks([]), "");
    }
}
