//! Cursors: where a page or a stream goes on. Opaque to clients, and good for nothing but the list that they
//! were given out for (`docs/decisions/0036-cursors-carry-a-mac.md`).

use std::sync::Arc;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, Utc};
use domain::{
    clock::is_storable,
    ids::{RecordId, UserId},
};
use serde_json::json;
use uuid::Uuid;
use vault::{blind_index::IndexKey, cursor::TAG_LEN, digest};

use crate::error::Error;

/// An opaque position in a list. Take it from `pageInfo` or from an edge, and pass it as `after` to the same list with the
/// same arguments to read on, or as `before`, where the list takes it, to read back; the size may change. It is good for that
/// list alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(String);

/// An opaque position in a list. Take it from `pageInfo` or from an edge, and pass it as `after` to the same list with the
/// same arguments to read on, or as `before`, where the list takes it, to read back; the size may change. It is good for that
/// list alone.
#[Scalar(
    name = "Cursor",
    specified_by_url = "https://relay.dev/graphql/connections.htm#sec-Cursor"
)]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::custom(
                "a cursor is a text taken from a page",
            )),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl Cursor {
    /// A cursor as somebody hands it back, whatever it is.
    pub(crate) const fn of_text(text: String) -> Self {
        Self(text)
    }

    /// The text to hand back.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first byte of a cursor, so that layouts can be told from one another.
const LAYOUT: u8 = 3;

/// What a list is ordered by, of a fixed length: where a page goes on.
pub(crate) trait CursorKey: Sized {
    /// The bytes of it.
    fn to_bytes(&self) -> Vec<u8>;
    /// The key that these are the bytes of.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl CursorKey for i64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl CursorKey for DateTime<Utc> {
    fn to_bytes(&self) -> Vec<u8> {
        self.timestamp_micros().to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let at = Self::from_timestamp_micros(i64::from_bytes(bytes)?)?;
        is_storable(at).then_some(at)
    }
}

/// A position of a log, and when that entry was written.
impl CursorKey for (i64, DateTime<Utc>) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_bytes(), self.1.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (position, at) = bytes.split_at_checked(8)?;
        Some((CursorKey::from_bytes(position)?, CursorKey::from_bytes(at)?))
    }
}

/// Two places of the audit tree, and the number of a row between them.
impl CursorKey for [i64; 3] {
    fn to_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(CursorKey::to_bytes).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let [after, to, id] = numbers else {
            return None;
        };
        let read = [after, to, id].map(|number| i64::from_be_bytes(*number));
        rest.is_empty().then_some(read)
    }
}

/// A time, and an id that tells those of the same time apart.
impl CursorKey for (DateTime<Utc>, Uuid) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_bytes(), self.1.as_bytes().to_vec()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, id) = bytes.split_at_checked(8)?;
        Some((CursorKey::from_bytes(at)?, Uuid::from_slice(id).ok()?))
    }
}

/// An id alone.
impl CursorKey for Uuid {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl CursorKey for (DateTime<Utc>, RecordId) {
    fn to_bytes(&self) -> Vec<u8> {
        (self.0, self.1.0).to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, id) = <(DateTime<Utc>, Uuid)>::from_bytes(bytes)?;
        Some((at, RecordId(id)))
    }
}

/// The cursors of one list: written for it, and read for it alone.
#[derive(Debug, Clone)]
pub(crate) struct ListCursors {
    key: Arc<IndexKey>,
    /// A digest of what the list is: its name, whose it is, its filter and order.
    list: [u8; 32],
}

impl ListCursors {
    /// Those of a list as this account asked for it. `arguments` are all that changes what is in it or in
    /// which order.
    pub(crate) fn of(
        key: &Arc<IndexKey>,
        name: &'static str,
        reader: UserId,
        arguments: &serde_json::Value,
    ) -> Self {
        Self::new(key, &json!([name, reader, arguments]))
    }

    /// Those of a log, the same for everybody who may read it.
    pub(crate) fn of_log(key: &Arc<IndexKey>, name: &'static str) -> Self {
        Self::new(key, &json!([name]))
    }

    fn new(key: &Arc<IndexKey>, list: &serde_json::Value) -> Self {
        Self {
            key: Arc::clone(key),
            list: digest::of_json(list),
        }
    }

    /// The cursor that goes on after this key.
    pub(crate) fn at(&self, key: &impl CursorKey) -> Cursor {
        let key = key.to_bytes();
        let tag = self.key.cursor_tag(&self.list, &key);
        let bytes = [[LAYOUT].as_slice(), &key, &tag].concat();
        Cursor(digest::to_hex(&bytes))
    }

    /// The key that a cursor goes on after.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what was not given out for this list.
    pub(crate) fn read<K: CursorKey>(&self, cursor: Option<&Cursor>) -> Result<Option<K>, Error> {
        self.read_as("after", cursor)
    }

    /// The same of the cursor that stands in this argument.
    ///
    /// # Errors
    /// As of [`ListCursors::read`].
    pub(crate) fn read_as<K: CursorKey>(
        &self,
        argument: &'static str,
        cursor: Option<&Cursor>,
    ) -> Result<Option<K>, Error> {
        let refused = || Error::bad(argument, FOREIGN);
        let key = cursor.map(|cursor| self.key_of(cursor).ok_or_else(refused));
        key.transpose()
    }

    fn key_of<K: CursorKey>(&self, cursor: &Cursor) -> Option<K> {
        let bytes = from_hex(&cursor.0)?;
        let (layout, rest) = bytes.split_first()?;
        let (key, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let is_ours = *layout == LAYOUT && self.key.is_cursor_tag(&self.list, key, tag);
        K::from_bytes(key).filter(|_| is_ours)
    }
}

/// Where a stream of a log begins. `K` is what its cursors hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamStart<K> {
    /// With the first entry.
    Earliest,
    /// With the next one that is written.
    Latest,
    /// After this one.
    After(K),
}

impl<K: CursorKey> StreamStart<K> {
    /// Reads what a client hands back.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is no cursor of this log.
    pub(crate) fn read(cursors: &ListCursors, after: Option<&Cursor>) -> Result<Self, Error> {
        match after.map(Cursor::as_str) {
            None | Some("latest") => Ok(Self::Latest),
            Some("earliest") => Ok(Self::Earliest),
            Some(_) => Ok(cursors.read(after)?.map_or(Self::Latest, Self::After)),
        }
    }
}

/// What is told of a cursor that cannot be used.
const FOREIGN: &str =
    "this cursor was not given out for this list with these arguments: begin without it";

/// What is told of a cursor that a stream cannot begin after.
pub(crate) fn bad_cursor() -> Error {
    Error::bad("after", FOREIGN)
}

/// The bytes of lower-case hexadecimal digits, of a cursor's length at most.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    const MAX_LEN: usize = 80;
    let digit = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if text.len() > MAX_LEN || !rest.is_empty() {
        return None;
    }
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    bytes.collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::fmt::Debug;

    use super::*;

    fn list(name: &str) -> ListCursors {
        let key = IndexKey::parse(&"2a".repeat(32)).unwrap();
        ListCursors::new(&Arc::new(key), &json!([name]))
    }

    fn reads_back<K: CursorKey + PartialEq + Debug>(key: K) {
        let cursor = list("a").at(&key);
        assert_eq!(list("a").read(Some(&cursor)).unwrap(), Some(key));
        assert!(list("b").read::<K>(Some(&cursor)).is_err());
    }

    #[test]
    fn a_cursor_is_good_for_its_list_alone() {
        let at = DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap();
        reads_back(42_i64);
        reads_back((42_i64, at));
        reads_back([-1_i64, 42, i64::MAX]);
        reads_back((at, Uuid::from_u128(7)));
        reads_back(Uuid::from_u128(7));
        reads_back((at, RecordId(Uuid::from_u128(7))));
        assert_eq!(list("a").read::<i64>(None).unwrap(), None);
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        let good = list("a").at(&42_i64).0;
        let mut wrong: Vec<String> = (0..good.len())
            .map(|nth| {
                let other = if good.as_bytes()[nth] == b'0' {
                    "1"
                } else {
                    "0"
                };
                let mut text = good.clone();
                text.replace_range(nth..=nth, other);
                text
            })
            .collect();
        wrong.extend(["", "03", "+1", "earliest", "ü"].map(str::to_owned));
        wrong.extend([
            good[1..].to_owned(),
            format!("{good}00"),
            good.to_uppercase(),
        ]);
        wrong.push("0".repeat(1 << 20));
        for text in wrong {
            let cursor = Cursor(text);
            assert!(list("a").read::<i64>(Some(&cursor)).is_err(), "{cursor:?}");
        }
    }

    #[test]
    fn a_time_that_the_database_cannot_hold_is_no_key() {
        for (year, ok) in [(-4713, false), (-4712, true), (1970, true), (9999, true)] {
            let date = chrono::NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
            let at = date.and_hms_opt(0, 0, 0).unwrap().and_utc();
            assert_eq!(
                DateTime::<Utc>::from_bytes(&at.to_bytes()).is_some(),
                ok,
                "{year}"
            );
        }
        assert_eq!(DateTime::<Utc>::from_bytes(&i64::MAX.to_bytes()), None);
        assert_eq!(DateTime::<Utc>::from_bytes(&i64::MIN.to_bytes()), None);
    }
}
