//! The shared locks of people as statements, and their keys.

use std::{collections::BTreeSet, fmt::Write as _};

use domain::ids::UserId;

/// The first key of these advisory locks: `pers` in ASCII. The second, the last four bytes of the person's id,
/// which are random in a `UUIDv7`, tells people apart. Two share it once in four thousand million pairs; then one
/// waits for the other.
pub(super) const NAMESPACE: i32 = 0x7065_7273;

/// The statement that takes the locks of [`crate::barrier::lock_shared`], one after the other, in the same order: for a transaction
/// that begins with it ([`crate::Pool::begin_locked`]). It reads nothing, so that what is read by later ones is read after
/// all of them, and holds numbers of our own alone. Empty without people.
pub(crate) fn shared_locks(people: impl IntoIterator<Item = UserId>) -> String {
    let keys: BTreeSet<i32> = people.into_iter().map(key).collect();
    let mut statement = String::new();
    for key in keys {
        let before = if statement.is_empty() {
            "; SELECT"
        } else {
            ","
        };
        // Writing to a String does not fail.
        write!(
            statement,
            "{before} pg_advisory_xact_lock_shared({NAMESPACE} # (schema_key() & 2147483647)::int, '{key}'::int)"
        )
        .ok();
    }
    statement
}

/// The second key of a person's lock, as the statements here compute it.
const fn key(person: UserId) -> i32 {
    let [.., a, b, c, d] = person.0.into_bytes();
    i32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn locks_are_taken_once_each_in_the_order_of_their_keys() {
        let person = |low: u128| UserId(Uuid::from_u128(low));
        let two = person(0x0190_0000_0000_7000_8000_0000_8000_0000);
        let one = person(0x0190_0000_0000_7000_8000_0000_0000_0007);
        let same = person(0x0191_0000_0000_7000_8000_0000_0000_0007);
        let lock = |key: &str| {
            format!(
                "pg_advisory_xact_lock_shared(1885696627 # (schema_key() & 2147483647)::int, '{key}'::int)"
            )
        };
        assert_eq!(NAMESPACE, 1_885_696_627);
        assert_eq!(
            shared_locks([one, two, same]),
            format!("; SELECT {}, {}", lock("-2147483648"), lock("7"))
        );
        assert_eq!(shared_locks([]), "");
    }
}
