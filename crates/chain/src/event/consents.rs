//! The events of the registry of consents. They make a chain of their own, by the same rule.

use alloy::{primitives::IntoLogData, sol_types::SolEventInterface};
use domain::{receipts::ReceiptKind, records::DataHash};

use super::{
    AdminStep, RawLog, RegistryEvent, RegistryLog, Undecodable,
    administrative::administrative_events, numbered,
};
use crate::bindings::consents::ConsentRegistry::{self as bound, ConsentRegistryEvents as Bound};

impl TryFrom<bound::ConsentChanged> for RegistryEvent {
    type Error = String;

    fn try_from(e: bound::ConsentChanged) -> Result<Self, String> {
        let kind = match e.status {
            1 => ReceiptKind::Grant,
            2 => ReceiptKind::Withdrawal,
            other => return Err(format!("a consent of status {other}")),
        };
        Ok(Self::ConsentChanged {
            wallet: e.patient.into(),
            details: DataHash(e.detailsHash.0),
            kind,
            expires_at: e.expiresAt.to(),
        })
    }
}

administrative_events!(bound);

/// Reads a log of the registry of consents. `None` for an event that is not numbered, as in [`super::decode`].
///
/// # Errors
/// [`Undecodable`]: nothing may be applied past such a log.
pub fn decode_consents(log: &RawLog) -> Result<Option<RegistryLog>, Undecodable> {
    let bound = Bound::decode_raw_log(&log.topics, &log.data)
        .map_err(|error| log.undecodable(&error.to_string()))?;
    log.require_bytes(&bound.to_log_data())?;
    let undecodable = |what: String| log.undecodable(&what);
    let (sequence, head, event) = match bound {
        Bound::ConsentChanged(e) => (e.seq, e.head, e.try_into().map_err(undecodable)?),
        Bound::PausedSet(e) => (e.seq, e.head, e.into()),
        Bound::RoleChanged(e) => (e.seq, e.head, e.into()),
        Bound::AdminStepTaken(e) => (e.seq, e.head, e.try_into().map_err(undecodable)?),
        Bound::RoleGranted(_)
        | Bound::RoleRevoked(_)
        | Bound::RoleAdminChanged(_)
        | Bound::EIP712DomainChanged(_)
        | Bound::DefaultAdminTransferScheduled(_)
        | Bound::DefaultAdminTransferCanceled(_)
        | Bound::DefaultAdminDelayChangeScheduled(_)
        | Bound::DefaultAdminDelayChangeCanceled(_) => return Ok(None),
    };
    Ok(Some(numbered(log, sequence.to(), head, event)))
}
