//! Global IDs: one text that says which object of which type, for `node` and for caches of clients (Relay's object
//! identification). They name what the UUIDs name, and open nothing: who may see the object is decided where it is found.

use async_graphql::ID;
use uuid::Uuid;
use vault::digest::{from_base64url, to_base64url};

/// The first byte, so that layouts can be told from one another.
const LAYOUT: u8 = 1;
/// The longest text that is looked at. Unit: bytes.
const MAX_LEN: usize = 64;

/// The types that have global IDs. A number is never given to another type: clients keep IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum NodeKind {
    /// An account.
    User = 1,
    /// A version of a record.
    MedicalRecord = 2,
    /// A consent.
    Consent = 3,
    /// An organisation.
    Organization = 4,
    /// A request to erase or restrict.
    DataDeletionRequest = 5,
    /// A notification.
    Notification = 6,
    /// A row of the audit trail.
    AuditLog = 7,
    /// A link of a wallet.
    Wallet = 8,
    /// A log-in.
    Session = 9,
}

impl NodeKind {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::User,
        Self::MedicalRecord,
        Self::Consent,
        Self::Organization,
        Self::DataDeletionRequest,
        Self::Notification,
        Self::AuditLog,
        Self::Wallet,
        Self::Session,
    ];
}

/// An object of the schema, of which type and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GlobalId {
    /// Of which type.
    pub(crate) kind: NodeKind,
    /// Its id among those of the type.
    pub(crate) id: Uuid,
}

impl GlobalId {
    /// That of the object of this type with this id.
    pub(crate) const fn of(kind: NodeKind, id: Uuid) -> Self {
        Self { kind, id }
    }

    /// Reads what a client hands back; `None` for what was never given out.
    pub(crate) fn read(id: &ID) -> Option<Self> {
        let text = id.as_str();
        if text.len() > MAX_LEN {
            return None;
        }
        let bytes = from_base64url(text)?;
        let [layout, kind, id @ ..] = bytes.as_slice() else {
            return None;
        };
        let mut kinds = NodeKind::ALL.into_iter();
        let kind = kinds.find(|known| *known as u8 == *kind)?;
        let id = Uuid::from_slice(id).ok()?;
        (*layout == LAYOUT).then_some(Self { kind, id })
    }
}

impl From<GlobalId> for ID {
    fn from(id: GlobalId) -> Self {
        let bytes = [[LAYOUT, id.kind as u8].as_slice(), id.id.as_bytes()].concat();
        Self(to_base64url(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_one() {
        for kind in NodeKind::ALL {
            let id = GlobalId::of(kind, Uuid::from_u128(u128::from(kind as u8) << 77));
            assert_eq!(GlobalId::read(&id.into()), Some(id));
        }
        // Given out once, it stays so.
        let given = ID::from(GlobalId::of(NodeKind::Consent, Uuid::from_u128(7)));
        assert_eq!(given.as_str(), "AQMAAAAAAAAAAAAAAAAAAAAH");
        for wrong in [
            "",
            "AQ",
            "AQMAAAAAAAAAAAAAAAAAAAA",
            "AQMAAAAAAAAAAAAAAAAAAAAHAA",
            "AgMAAAAAAAAAAAAAAAAAAAAH",
            "AQAAAAAAAAAAAAAAAAAAAAAH",
            "AQMAAAAAAAAAAAAAAAAAAAAH=",
            "00000000-0000-0000-0000-000000000007",
        ] {
            assert_eq!(GlobalId::read(&ID::from(wrong)), None, "{wrong}");
        }
        let long = ID::from("A".repeat(1 << 20));
        assert_eq!(GlobalId::read(&long), None);
    }
}
