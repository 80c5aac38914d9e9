//! Organisations: administrators make them and say which doctors belong to them; everybody finds them, to name one in a
//! consent.

pub(crate) mod graphql;
mod list;
pub(crate) mod members;
pub(crate) mod shown;
mod write;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    ids::{MembershipId, OrganizationId},
    purpose::Purpose,
};
use serde_json::json;
use store::{Tx, audit};
use uuid::Uuid;

pub(crate) use self::members::evidence as evidence_of_member;
use crate::{caller::Caller, error::Error};

/// The longest text that organisations are looked for by, and how many letters and digits it has at least.
const SEARCH_LENGTHS: (usize, usize) = (2, 50);

fn entry(caller: &Caller, organization: OrganizationId, action: AuditAction) -> AuditEntry {
    about(caller, ResourceType::Organization, organization.0, action)
}

fn entry_of_member(caller: &Caller, membership: MembershipId, action: AuditAction) -> AuditEntry {
    about(caller, ResourceType::Membership, membership.0, action)
}

fn about(caller: &Caller, of: ResourceType, id: Uuid, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: of,
        resource_id: id,
        classification: Classification::Security,
        ..caller.entry(action, Purpose::SystemAdministration)
    }
}

/// Writes down why something was not done to what an administrator named, and gives the error to answer with.
///
/// # Errors
/// The database's, where the refusal could not be written.
async fn refuse(
    mut tx: Tx<'_>,
    about: AuditEntry,
    wanted: AuditAction,
    reason: &str,
    error: Error,
) -> Result<Error, Error> {
    let denied = AuditEntry {
        action: AuditAction::AccessDenied,
        new_value: Some(json!({ "reason": reason, "wanted": wanted })),
        ..about
    };
    audit::insert(&mut tx, &[denied]).await?;
    tx.commit().await?;
    Ok(error)
}
