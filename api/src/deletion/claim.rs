//! The certificate of an erased account, for whoever has its claim code: nobody can log in to the account any more.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    purpose::Purpose,
};
use serde_json::json;
use store::{
    Pool, audit,
    deletion::{
        claims,
        execution::{self, StoredCertificate},
    },
};
use vault::claim_code::ClaimCode;

use crate::{
    caller::{RequestContext, anonymous_entry, write_refusal},
    error::Error,
    throttle::{self, Attempt, Throttle},
};

const WANTED: AuditAction = AuditAction::DeletionRead;

/// The certificate that a code is good for, as often as it is asked for. Written down before it is shown: by nobody in
/// particular, about the account that was erased.
///
/// # Errors
/// [`Error::BadInput`] (`code`) for what is no code, and, with its audit row, for one that belongs to nothing;
/// [`Error::Conflict`] where the request is not carried out; [`Error::Throttled`] for a network that tries too often.
pub(super) async fn claim(
    pool: &Pool,
    throttle: &Throttle,
    context: &RequestContext,
    code: &str,
) -> Result<StoredCertificate, Error> {
    let Some(code) = ClaimCode::parse(code) else {
        let told = "a claim code is 43 letters, digits, `-` and `_`";
        return Err(Error::bad("code", told));
    };
    let pass = throttle::pass(throttle, &context.origin, Attempt::CertificateClaim).await?;
    let mut tx = pool.begin().await?;
    let about = AuditEntry {
        resource_type: ResourceType::DeletionRequest,
        classification: Classification::SensitivePersonal,
        purpose: Purpose::Compliance,
        ..anonymous_entry(WANTED, context)
    };
    let Some((request, subject)) = claims::request_of(&mut tx, &code.hash()).await? else {
        write_refusal(&mut tx, about, ("CLAIM_CODE", WANTED)).await?;
        pass.failed(throttle, &mut tx).await?;
        tx.commit().await?;
        return Err(Error::bad("code", "this claim code is not known"));
    };
    let about = AuditEntry {
        resource_id: request.0,
        patient: Some(subject),
        ..about
    };
    let found = execution::certificate(&mut tx, request).await?;
    if let Some(found) = &found {
        let read = AuditEntry {
            new_value: Some(json!({ "certificate": found.sha256, "by": "CLAIM_CODE" })),
            ..about
        };
        audit::insert(&mut tx, &[read]).await?;
    } else {
        write_refusal(&mut tx, about, ("STATE", WANTED)).await?;
    }
    pass.given_back(throttle, &mut tx).await?;
    tx.commit().await?;
    found.ok_or_else(|| Error::Conflict {
        field: "code",
        message: "the request of this code is not carried out: there is no certificate".to_owned(),
    })
}
