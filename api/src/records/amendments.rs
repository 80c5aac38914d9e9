//! Amendments and withdrawals in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::ids::RecordId;
use uuid::Uuid;

use super::{
    amend::{self, Change},
    graphql::MedicalRecord,
};
use crate::graphql::{
    document::Document,
    enums::PurposeOfUse,
    issue::{DocumentIssue, document_issues},
    payload::Payload,
    request,
};

/// A new version of a record.
#[derive(Debug, InputObject)]
pub(crate) struct AmendMedicalRecordInput {
    /// The ID of the current version, which the new one supersedes.
    id: Uuid,
    /// The number of the current version. Where another version has superseded it meanwhile, the error
    /// is `CONFLICT`.
    expected_version: i32,
    /// The whole new document, a FHIR R4 resource that fits the record type, at most 1 MiB. Send it as
    /// a variable. It may name its patient as that of `createMedicalRecord` may.
    document: Document,
    /// Why the record is amended, in 10 to 500 characters. It is encrypted with the document.
    reason: String,
    /// Metadata to be stored unencrypted for searching: an object with the keys that the record type
    /// permits, and no free text. The metadata of the version before is not carried over. Null for
    /// none.
    metadata: Option<Document>,
    /// The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`,
    /// else PATRQT for one's own record and TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// A key of the client's choice, 1 to 128 bytes: repeating the request with the same key gives the
    /// same version and stores no second one.
    idempotency_key: Option<String>,
}

/// The result of `amendMedicalRecord`: the new version.
#[derive(Debug, SimpleObject)]
pub(crate) struct AmendMedicalRecordPayload {
    /// The new version. Its anchor begins as PENDING and may have advanced already.
    record: MedicalRecord,
    /// What is to be said of the profiles that the document declares, as in `createMedicalRecord`.
    notes: Vec<DocumentIssue>,
}

/// The record that should not have been stored, and why.
#[derive(Debug, InputObject)]
pub(crate) struct WithdrawMedicalRecordInput {
    /// The ID of the current version of the record.
    id: Uuid,
    /// The number of the current version. Where another version has superseded it meanwhile, the error
    /// is `CONFLICT`.
    expected_version: i32,
    /// Why the record is withdrawn, in 10 to 500 characters. It is encrypted with the document.
    reason: String,
    /// The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`,
    /// else PATRQT for one's own record and TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// A key of the client's choice, 1 to 128 bytes: repeating the request with the same key gives the
    /// same version and stores no second one.
    idempotency_key: Option<String>,
}

/// The result of `withdrawMedicalRecord`: the last version of the record.
#[derive(Debug, SimpleObject)]
pub(crate) struct WithdrawMedicalRecordPayload {
    /// The last version: the document of the one before, marked as entered in error. Its anchor begins
    /// as PENDING and may have advanced already.
    record: MedicalRecord,
}

#[derive(Default)]
pub(crate) struct AmendmentMutation;

#[Object]
impl AmendmentMutation {
    /// Stores a new version of a record, which supersedes the current one, here and on the chain. The
    /// superseded version stays readable and verifiable. A patient amends records that they stored
    /// themselves, a doctor those whose patients consented to AMEND.
    ///
    /// Error codes: `NOT_FOUND` where the record does not exist or the caller may not amend it,
    /// `CONFLICT` (`expectedVersion`: another version is current; `idempotencyKey`: used for another
    /// request; `patientId`: the account is being erased), `INVALID_DOCUMENT`, `BAD_USER_INPUT` (`document`, `metadata`, `reason`,
    /// `idempotencyKey`).
    async fn amend_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new version of the record.")] input: AmendMedicalRecordInput,
    ) -> Result<Payload<AmendMedicalRecordPayload>> {
        let (app, caller) = request(ctx)?;
        let change = Change {
            record: RecordId(input.id),
            expected_version: input.expected_version,
            reason: input.reason,
            purpose: input.purpose.map(Into::into),
            idempotency_key: input.idempotency_key,
        };
        let document = input.document.into_json();
        let metadata = input.metadata.map(Into::into);
        let amended = amend::amend(app.amending(), &caller, change, document, metadata).await?;
        let (stored, notes) = amended;
        Ok(Payload(AmendMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
            notes: document_issues(notes),
        }))
    }

    /// Withdraws a record that should not have been stored: a last version, marked *entered in error*
    /// as FHIR defines it, supersedes the current one. Needs the same permission as amending.
    ///
    /// Error codes: `NOT_FOUND` where the record does not exist or the caller may not amend it,
    /// `CONFLICT` (`expectedVersion`: another version is current; `idempotencyKey`: used for another
    /// request; `patientId`: the account is being erased), `BAD_USER_INPUT` (`reason`, `idempotencyKey`), `INTEGRITY_VIOLATION` where the stored
    /// document is not what was anchored.
    async fn withdraw_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The record to withdraw, and why.")] input: WithdrawMedicalRecordInput,
    ) -> Result<Payload<WithdrawMedicalRecordPayload>> {
        let (app, caller) = request(ctx)?;
        let change = Change {
            record: RecordId(input.id),
            expected_version: input.expected_version,
            reason: input.reason,
            purpose: input.purpose.map(Into::into),
            idempotency_key: input.idempotency_key,
        };
        let stored = amend::withdraw(app.amending(), &caller, change).await?;
        Ok(Payload(WithdrawMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
        }))
    }
}
