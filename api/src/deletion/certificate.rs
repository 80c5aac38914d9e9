//! What was erased, in bytes that can be shown: their SHA-256 stands in the audit trail, which is pinned on the chain.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    deletion::{DeletionRequest, DeletionRequestType, ErasureStep},
    ids::DeletionRequestId,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx, audit,
    deletion::{
        self,
        execution::{self, StoredCertificate},
    },
};
use vault::digest;

use super::entries::entry;
use crate::{
    caller::{Caller, refuse_unknown},
    erasure_ledger::{self, LedgerEntry},
    error::Error,
};

/// Writes what was erased since the request began to be carried out: the certificate, and the entry of the ledger that names all of it
/// once more.
///
/// # Errors
/// The database's.
pub(super) async fn issue(
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
    now: DateTime<Utc>,
) -> Result<(StoredCertificate, LedgerEntry), Error> {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let done = execution::done(tx, request.id).await?;
    let begun = done.iter().find(|(step, _)| *step == ErasureStep::Begin);
    let begun = begun.map_or(now, |(_, at)| *at);
    let records = execution::erased_since(tx, request.id, begun).await?;
    let keys = execution::destroyed_since(tx, request.user, begun).await?;
    let approvals = [request.first_approval, request.second_approval];
    let approvals: Vec<_> = approvals
        .into_iter()
        .flatten()
        .map(|it| json!({ "by": it.by, "at": text(it.at) }))
        .collect();
    let steps: Vec<_> = done
        .iter()
        .map(|(step, at)| json!({ "step": step, "doneAt": text(*at) }))
        .collect();
    let erased: Vec<_> = records
        .iter()
        .map(|it| json!({ "id": it.id, "recordType": it.record_type, "dataHash": it.data_hash }))
        .collect();
    let last = store::erasure_ledger::head(tx).await?;
    let document = json!({
        "certificate": 1,
        "request": request.id,
        "subject": request.user,
        "requestType": request.request_type,
        "requestedAt": text(request.requested_at),
        "verifiedAt": request.verified_at.map(text),
        "approvals": approvals,
        "overridesRetention": request.overrides_retention,
        "begunAt": text(begun),
        "completedAt": text(now),
        "steps": steps,
        "records": erased,
        "recordCount": records.len(),
        "destroyedKeys": keys,
        "ledger": last.as_ref().map(erasure_ledger::named),
    });
    let document = document.to_string().into_bytes();
    let certificate = StoredCertificate {
        sha256: digest::hex_of(&document),
        document,
        issued_at: now,
    };
    let account = request.request_type == DeletionRequestType::AccountErasure;
    let entry = LedgerEntry {
        records: erasure_ledger::ids(records.iter().map(|it| it.id)),
        // Any other request destroys none.
        keys: if account {
            erasure_ledger::key_ids(&keys)
        } else {
            Vec::new()
        },
        account,
        certificate: Some(certificate.sha256.clone()),
        ..LedgerEntry::of_request(request.id, request.user)
    };
    Ok((certificate, entry))
}

/// The certificate of a request, for its subject and for administrators. Written down before it is shown.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where there is none, or the caller may not see it.
pub(super) async fn read(
    pool: &Pool,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<StoredCertificate, Error> {
    const WANTED: AuditAction = AuditAction::DeletionRead;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let subject = deletion::subject(&mut tx, id).await?;
    let subject = subject.filter(|it| *it == actor.id || actor.role == Role::Admin);
    let found = match subject {
        Some(_) => execution::certificate(&mut tx, id).await?,
        None => None,
    };
    let (Some(subject), Some(found)) = (subject, found) else {
        let about = entry(caller, WANTED, id, actor.id);
        return refuse_unknown(tx, about, "certificate").await;
    };
    let read = AuditEntry {
        new_value: Some(json!({ "certificate": found.sha256 })),
        ..entry(caller, WANTED, id, subject)
    };
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    Ok(found)
}
