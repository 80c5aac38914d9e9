//! Pages: opaque, versioned cursors and Relay's connections.

use async_graphql::{
    InputValueError, InputValueResult, OutputType, Scalar, ScalarType, SimpleObject, Value,
};
use chrono::{DateTime, Utc};
use domain::{clock::is_storable, ids::RecordId, records::DataHash};
use uuid::Uuid;

use crate::{
    audit::graphql::{AccessLogEntry, AuditLog},
    consents::graphql::Consent,
    deletion::graphql::DataDeletionRequest,
    error::Error,
    records::graphql::MedicalRecord,
    sessions::graphql::Session,
    users::graphql::{RoleProposal, User},
    wallets::graphql::Wallet,
};

/// How many nodes a page has when nobody says.
pub(crate) const DEFAULT_SIZE: i32 = 20;
/// How many nodes a page has at most.
pub(crate) const MAX_SIZE: i32 = 100;

/// An opaque position in a list. Take it from `pageInfo.endCursor` or from an edge, and pass it as
/// `after` to the same list to read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(String);

/// An opaque position in a list. Take it from `pageInfo.endCursor` or from an edge, and pass it as
/// `after` to the same list to read on.
#[Scalar(
    name = "Cursor",
    specified_by_url = "https://relay.dev/graphql/connections.htm#sec-Cursor"
)]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) if text.len() <= 80 => Ok(Self(text)),
            _ => Err(InputValueError::custom(
                "a cursor is a short text taken from a page",
            )),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// The first byte of a cursor, so that layouts can be told from one another: a time and an id.
const MOMENT: u8 = 1;
/// A time and an id in a list of one filter and order.
const PLACE: u8 = 2;

/// Tells a list of one filter and order from all others.
pub(crate) type Mark = [u8; 4];

impl Cursor {
    /// A cursor as somebody hands it back, whatever it is.
    pub(crate) const fn of_text(text: String) -> Self {
        Self(text)
    }

    /// The text to hand back.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A place in a list ordered by a time and an id.
    pub(crate) fn of_moment(at: DateTime<Utc>, id: Uuid) -> Self {
        let bytes = [
            [MOMENT].as_slice(),
            &at.timestamp_micros().to_be_bytes(),
            id.as_bytes(),
        ];
        Self(vault::digest::to_hex(&bytes.concat()))
    }

    /// A place in a list ordered by a number.
    pub(crate) fn of_number(number: i64) -> Self {
        Self::of_moment(
            DateTime::UNIX_EPOCH,
            Uuid::from_u64_pair(0, number.cast_unsigned()),
        )
    }

    /// The time and the id it stands for.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is no cursor of ours.
    pub(crate) fn moment(&self) -> Result<(DateTime<Utc>, Uuid), Error> {
        let bytes = self.bytes(MOMENT, 25)?;
        moment_in(&bytes[1..25])
    }

    /// A place in the list that `mark` tells from others.
    pub(crate) fn of_place(mark: Mark, (at, id): (DateTime<Utc>, RecordId)) -> Self {
        let bytes = [
            [PLACE].as_slice(),
            &mark,
            &at.timestamp_micros().to_be_bytes(),
            id.0.as_bytes(),
        ];
        Self(vault::digest::to_hex(&bytes.concat()))
    }

    /// The place it stands for in the list that `mark` tells from others.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is no cursor of ours, or one of a list with another filter or order.
    pub(crate) fn place(&self, mark: Mark) -> Result<(DateTime<Utc>, RecordId), Error> {
        let bytes = self.bytes(PLACE, 29)?;
        if bytes[1..5] != mark {
            let told = "this cursor is from a list with another filter or order: begin without it";
            return Err(Error::bad("after", told));
        }
        let (at, id) = moment_in(&bytes[5..29])?;
        Ok((at, RecordId(id)))
    }

    /// The bytes of a cursor of this layout.
    fn bytes(&self, layout: u8, length: usize) -> Result<[u8; 32], Error> {
        // Read through the 32-byte hexadecimal reader that the domain has.
        let padded = format!("{:0<64}", self.0);
        DataHash::parse(&padded)
            .ok()
            .map(|bytes| bytes.0)
            .filter(|bytes| self.0.len() == 2 * length && bytes[0] == layout)
            .ok_or_else(bad_cursor)
    }

    /// The number it stands for.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is no cursor of ours.
    pub(crate) fn number(&self) -> Result<i64, Error> {
        Ok(self.moment()?.1.as_u64_pair().1.cast_signed())
    }
}

fn bad_cursor() -> Error {
    Error::bad("after", "this is no cursor of this list")
}

/// A time and an id in 24 bytes.
fn moment_in(bytes: &[u8]) -> Result<(DateTime<Utc>, Uuid), Error> {
    let micros = bytes[..8]
        .try_into()
        .map(i64::from_be_bytes)
        .map_err(|_| bad_cursor())?;
    let id = Uuid::from_slice(&bytes[8..]).map_err(|_| bad_cursor())?;
    let at = DateTime::from_timestamp_micros(micros)
        .filter(|at| is_storable(*at))
        .ok_or_else(bad_cursor)?;
    Ok((at, id))
}

/// How many nodes are asked for.
///
/// # Errors
/// [`Error::BadInput`] outside 1 to 100.
pub(crate) fn size(first: Option<i32>) -> Result<i64, Error> {
    // async-graphql takes a variable that is left out for a null, where the argument's default should
    // stand: a list takes either for "nobody said".
    let first = first.unwrap_or(DEFAULT_SIZE);
    if (1..=MAX_SIZE).contains(&first) {
        Ok(first.into())
    } else {
        Err(Error::bad("first", format!("first is 1 to {MAX_SIZE}")))
    }
}

/// Tells whether a list goes on, and how to read its next page.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether the list has more nodes after this page.
    has_next_page: bool,
    /// Whether this page was asked for with `after`, so that nodes come before it.
    has_previous_page: bool,
    /// The cursor of the first node on this page; null where the page is empty.
    start_cursor: Option<Cursor>,
    /// The cursor of the last node on this page: pass it as `after` to read the next page. Null where
    /// the page is empty.
    end_cursor: Option<Cursor>,
}

/// One node of a page together with its cursor.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(concrete(name = "UserEdge", params(User)))]
#[graphql(concrete(name = "RoleProposalEdge", params(RoleProposal)))]
#[graphql(concrete(name = "SessionEdge", params(Session)))]
#[graphql(concrete(name = "MedicalRecordEdge", params(MedicalRecord)))]
#[graphql(concrete(name = "ConsentEdge", params(Consent)))]
#[graphql(concrete(name = "AuditLogEdge", params(AuditLog)))]
#[graphql(concrete(name = "AccessLogEdge", params(AccessLogEntry)))]
#[graphql(concrete(name = "DataDeletionRequestEdge", params(DataDeletionRequest)))]
#[graphql(concrete(name = "WalletEdge", params(Wallet)))]
pub(crate) struct Edge<T: OutputType> {
    /// The position of the node in the list: pass it as `after` to read what follows the node.
    cursor: Cursor,
    /// The item of the list at this position.
    node: T,
}

/// One page of a list.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(concrete(name = "UserConnection", params(User)))]
#[graphql(concrete(name = "RoleProposalConnection", params(RoleProposal)))]
#[graphql(concrete(name = "SessionConnection", params(Session)))]
#[graphql(concrete(name = "MedicalRecordVersionConnection", params(MedicalRecord)))]
#[graphql(concrete(name = "ConsentConnection", params(Consent)))]
#[graphql(concrete(name = "AuditLogConnection", params(AuditLog)))]
#[graphql(concrete(name = "AccessLogConnection", params(AccessLogEntry)))]
#[graphql(concrete(name = "DataDeletionRequestConnection", params(DataDeletionRequest)))]
#[graphql(concrete(name = "WalletConnection", params(Wallet)))]
pub(crate) struct Connection<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The nodes of this page in the order of the list, each with its cursor.
    pub(crate) edges: Vec<Edge<T>>,
    /// The nodes of this page in the order of the list, without cursors.
    pub(crate) nodes: Vec<T>,
    /// Whether the list goes on after this page, and the cursor to go on with.
    pub(crate) page_info: PageInfo,
}

impl<T: OutputType + Clone> Connection<T>
where
    Edge<T>: OutputType,
{
    /// A page of at most `size` nodes, made of up to one more that tells whether the list goes on.
    pub(crate) fn new(
        mut nodes: Vec<T>,
        size: i64,
        continued: bool,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_next_page = nodes.len() > size;
        nodes.truncate(size);
        Self::whole(nodes, has_next_page, continued, cursor)
    }

    /// A page of these nodes, where it is known whether the list goes on.
    pub(crate) fn whole(
        nodes: Vec<T>,
        has_next_page: bool,
        continued: bool,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let edges: Vec<_> = nodes
            .iter()
            .map(|node| Edge {
                cursor: cursor(node),
                node: node.clone(),
            })
            .collect();
        let page_info = PageInfo {
            has_next_page,
            has_previous_page: continued,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self {
            edges,
            nodes,
            page_info,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let at = DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap();
        let id = Uuid::from_u128(7);
        let cursor = Cursor::of_moment(at, id);
        assert_eq!(cursor.moment().unwrap(), (at, id));
        assert_eq!(Cursor::of_number(42).number().unwrap(), 42);
        for wrong in [
            "",
            "01",
            &"0".repeat(50),
            &"g".repeat(50),
            &cursor.0[1..],
            &format!("{}0", cursor.0),
        ] {
            assert!(Cursor(wrong.to_owned()).moment().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_of_one_list_is_none_of_another() {
        let at = DateTime::from_timestamp_micros(-5).unwrap();
        let place = (at, RecordId(Uuid::from_u128(7)));
        let cursor = Cursor::of_place([1, 2, 3, 4], place);
        assert_eq!(cursor.place([1, 2, 3, 4]).unwrap(), place);
        assert!(cursor.place([1, 2, 3, 5]).is_err());
        assert!(cursor.moment().is_err());
        assert!(
            Cursor::of_moment(at, place.1.0)
                .place([1, 2, 3, 4])
                .is_err()
        );
    }

    #[test]
    fn a_page_is_one_to_a_hundred() {
        for (first, ok) in [
            (0, false),
            (1, true),
            (100, true),
            (101, false),
            (-1, false),
        ] {
            assert_eq!(size(Some(first)).is_ok(), ok, "{first}");
        }
    }
}
