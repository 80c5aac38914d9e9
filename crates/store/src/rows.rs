//! Turning columns into domain types.

use std::{str::FromStr, time::Duration};

use domain::records::DataHash;
use uuid::Uuid;

use crate::StoreError;

/// When a row that cannot be read, and was put off, is looked at again.
pub(crate) const UNREADABLE_AGAIN_IN: Duration = Duration::from_secs(600);

/// Reads an enum column.
pub(crate) fn text<T: FromStr>(value: &str, what: &'static str) -> Result<T, StoreError> {
    value.parse().map_err(|_| StoreError::Unreadable { what })
}

/// Reads a `data_hash` column.
pub(crate) fn hash(value: &str) -> Result<DataHash, StoreError> {
    DataHash::parse(value).map_err(|_| StoreError::Unreadable { what: "data hash" })
}

/// What was read of a record, or nothing: what cannot be read is logged by the record's id and passed over, so that
/// whoever wrote it stops nobody else.
pub(crate) fn readable<T>(read: Result<T, StoreError>, what: &str, record: Uuid) -> Option<T> {
    read.inspect_err(|error| {
        tracing::error!(record.id = %record, %error, "The {what} of record {record} cannot be read; it is passed over");
    })
    .ok()
}

/// What was read of records, each with its key and its record's id; and the keys of what cannot be read, which is logged as
/// [`readable`] does.
pub(crate) fn readable_and_not<K, T>(
    read: impl Iterator<Item = (K, Uuid, Result<T, StoreError>)>,
    what: &str,
) -> (Vec<T>, Vec<K>) {
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for (key, record, row) in read {
        match readable(row, what, record) {
            Some(row) => rows.push(row),
            None => unreadable.push(key),
        }
    }
    (rows, unreadable)
}

/// What every row of its kind has, out of a statement whose rows are of several kinds.
pub(crate) fn whole<T>(read: Option<T>, what: &'static str) -> Result<T, StoreError> {
    read.ok_or(StoreError::Unreadable { what })
}

/// Reads a JSONB column.
pub(crate) fn json<T: for<'de> serde::Deserialize<'de>>(
    value: serde_json::Value,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|_| StoreError::Unreadable { what })
}
