//! The keys by which a client may ask twice for the same thing (`idempotencyKey`).

use crate::error::Error;

/// The longest key by which a client may ask twice. Unit: bytes; the column's.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 128;

/// Refuses a key that does not fit its column.
///
/// # Errors
/// [`Error::BadInput`].
pub(crate) fn check_key(key: Option<&str>) -> Result<(), Error> {
    match key {
        Some(key) if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY => Err(Error::bad(
            "idempotencyKey",
            format!("an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} bytes"),
        )),
        _ => Ok(()),
    }
}

/// What a key that was used for another request is answered with.
pub(crate) fn used_before() -> Error {
    Error::Conflict {
        field: "idempotencyKey",
        message: "this idempotency key was used for another request".to_owned(),
    }
}
