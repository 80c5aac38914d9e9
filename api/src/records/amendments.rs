//! Amendments and withdrawals in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::ids::RecordId;
use uuid::Uuid;

use super::{
    amend::{self, Change},
    graphql::MedicalRecord,
};
use crate::graphql::{document::Document, enums::PurposeOfUse, request};

/// A new version of a record.
#[derive(Debug, InputObject)]
pub(crate) struct AmendMedicalRecordInput {
    /// The current version, by its id.
    id: Uuid,
    /// Its number. If another version has taken its place meanwhile, the answer is CONFLICT.
    expected_version: i32,
    /// The whole new document. Send it as a variable.
    document: Document,
    /// Why, in 10 to 500 characters. It is sealed with the document.
    reason: String,
    /// What may be searched in clear: listed keys only, no free text, beside what is read off the
    /// document. What was given for the version before is not carried over.
    metadata: Option<Document>,
    /// What for; by default PATRQT for your own, TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// The same key gives the same version: send one, and a retry is harmless.
    idempotency_key: Option<String>,
}

/// The new version.
#[derive(Debug, SimpleObject)]
pub(crate) struct AmendMedicalRecordPayload {
    /// The version. Its anchor begins as PENDING and may have moved on already.
    record: MedicalRecord,
}

/// A record that should not have been written.
#[derive(Debug, InputObject)]
pub(crate) struct WithdrawMedicalRecordInput {
    /// The current version, by its id.
    id: Uuid,
    /// Its number. If another version has taken its place meanwhile, the answer is CONFLICT.
    expected_version: i32,
    /// Why, in 10 to 500 characters. It is sealed with the document.
    reason: String,
    /// What for; by default PATRQT for your own, TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// The same key gives the same version: send one, and a retry is harmless.
    idempotency_key: Option<String>,
}

/// The last version.
#[derive(Debug, SimpleObject)]
pub(crate) struct WithdrawMedicalRecordPayload {
    /// The version: the document before, marked as entered in error. Its anchor begins as PENDING and
    /// may have moved on already.
    record: MedicalRecord,
}

#[derive(Default)]
pub(crate) struct AmendmentMutation;

#[Object]
impl AmendmentMutation {
    /// Stores a new version of a record, which takes the place of the current one, here and on the
    /// chain. The old one stays, and is still there to be read and verified. A doctor needs a consent
    /// to AMEND; a patient amends what they wrote themselves.
    async fn amend_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new version.")] input: AmendMedicalRecordInput,
    ) -> Result<AmendMedicalRecordPayload> {
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
        let stored = amend::amend(app, &caller, change, document, metadata).await?;
        Ok(AmendMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
        })
    }

    /// Withdraws a record that should not have been written: a last version says so, *entered in
    /// error* as FHIR has it, and takes the place of the current one. Needs what amending needs.
    async fn withdraw_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and why.")] input: WithdrawMedicalRecordInput,
    ) -> Result<WithdrawMedicalRecordPayload> {
        let (app, caller) = request(ctx)?;
        let change = Change {
            record: RecordId(input.id),
            expected_version: input.expected_version,
            reason: input.reason,
            purpose: input.purpose.map(Into::into),
            idempotency_key: input.idempotency_key,
        };
        let stored = amend::withdraw(app, &caller, change).await?;
        Ok(WithdrawMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
        })
    }
}
