//! `importRecords` in the schema: a few entries at once, for frontends. Files go to `POST /import`
//! ([`crate::bulk`]), by the same way.

use std::collections::HashMap;

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use domain::ids::{RecordId, UserId};
use uuid::Uuid;

use super::{
    Entry, Import, check_source, interrupts,
    report::{Imported, Totals},
    together::{self, ImportedEntry},
};
use crate::{
    codes::ErrorCode,
    error::Error,
    graphql::{
        document::Document,
        enums::{PurposeOfUse, RecordType},
        issue::{DocumentIssue, document_issues},
        payload::Payload,
        request_for,
    },
    records::{draft::SourceAnswer, graphql::MedicalRecord, patients::PatientAccounts},
};

/// How many entries one mutation takes.
const MAX_ENTRIES: usize = 100;

/// Several documents of one patient, each of which is stored as a record.
#[derive(Debug, InputObject)]
pub(crate) struct ImportRecordsInput {
    /// The ID of the patient whose records they are. Where the documents name a patient of a hospital,
    /// the first who is named is this account, and documents about a second are refused.
    patient_id: Uuid,
    /// Which accounts the patients are whom the documents name. Given, nobody else is known:
    /// `patientId` is the patient of documents that name nobody.
    patients: Option<Vec<ImportPatientInput>>,
    /// The documents, at most 100. Send them as a variable.
    entries: Vec<ImportEntryInput>,
    /// The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`,
    /// else PATRQT for one's own records and TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// A name for this import, 1 to 128 bytes. An entry that was stored before with the same name, or
    /// likewise without one, is not stored again.
    key: Option<String>,
    /// A name for the system that the documents come from, such as its base address, without blanks, at most 255 bytes. A
    /// document with the same `id` of the same source is then the next version of the record that it became before. Null where
    /// the documents say themselves where they come from (`meta.source`).
    source: Option<String>,
}

/// Which account a patient of the source is.
#[derive(Debug, InputObject)]
pub(crate) struct ImportPatientInput {
    /// What documents call the patient: a reference such as `Patient/7`, an URL or `urn:uuid:…`, or an
    /// identifier as `system|value`.
    reference: String,
    /// The ID of the account that the patient has here.
    patient_id: Uuid,
}

/// One document of an import and what is stored beside it.
#[derive(Debug, InputObject)]
pub(crate) struct ImportEntryInput {
    /// A FHIR R4 resource that fits a record type, at most 1 MiB without its files; or a file, as a `Binary`, that another document
    /// of the list promises by its SHA-256, or names by its address (`Attachment.url`).
    document: Document,
    /// The kind of document; by default it is derived from the resource and its category.
    record_type: Option<RecordType>,
    /// Metadata to be stored unencrypted for searching: an object with the keys that the record type
    /// permits, and no free text. Null for none.
    metadata: Option<Document>,
}

/// What became of one entry of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum ImportOutcome {
    /// The document was stored as a new record.
    Created,
    /// The same entry had been stored before.
    AlreadyThere,
    /// The document was not stored: see `code`. Other entries are not affected.
    Refused,
    /// The document is of a kind that no record is made of, such as an `Encounter`.
    Skipped,
    /// The source of the document has changed it, or what it refers to was stored after it: it was stored as the next version of its
    /// record.
    Amended,
    /// The record holds a newer version of the document than this one, which was not stored.
    Outdated,
    /// The file, a `Binary`, was stored beside each record of this import that promises or names it.
    Attached,
}

/// The result of one entry of an import.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct ImportResult {
    /// The number of the entry in the list, from 1.
    entry: i32,
    /// What became of the entry.
    outcome: ImportOutcome,
    /// The record that was stored now or before, or the first one that the file is beside; null where the entry was refused or
    /// skipped.
    record: Option<MedicalRecord>,
    /// Why the entry was refused: `INVALID_DOCUMENT`, `BAD_USER_INPUT`, `NOT_FOUND` or `CONFLICT`, as
    /// in an error's `extensions.code`. Null where it was not.
    code: Option<ErrorCode>,
    /// Why the entry was refused, as a sentence for a person; null where it was not.
    message: Option<String>,
    /// What is wrong with the document, where the code is `INVALID_DOCUMENT`. Of a document that was stored, what is to be said
    /// of the profiles that it declares, such as what of them was not checked, and of files that are not waited for. Empty otherwise.
    issues: Vec<DocumentIssue>,
    /// The number of references that mean nothing that is stored: they say by an identifier what they mean, or lead to another server.
    unresolved_references: i32,
    /// The number of files that were stored beside records: those that were taken out of a document that is too long with them,
    /// or the places of one that came as a `Binary`.
    attachments: i32,
    /// The number of such files that the caller may not store, though the records are there.
    attachments_refused: i32,
}

/// The result of `importRecords`: the totals, and the result of each entry.
#[derive(Debug, SimpleObject)]
pub(crate) struct ImportRecordsPayload {
    /// The number of entries that were stored as new records.
    created: i32,
    /// The number of entries that had been stored before.
    already_there: i32,
    /// The number of entries that were refused.
    refused: i32,
    /// The number of entries of kinds that no record is made of.
    skipped: i32,
    /// The number of entries that were stored as next versions of their records.
    amended: i32,
    /// The number of entries of which a newer version was stored before.
    outdated: i32,
    /// The number of files, each a `Binary`, that were stored beside records.
    attached: i32,
    /// The number of places in which files were stored beside records, over all entries.
    attachments: i32,
    /// The number of places in which the caller may not store a file, over all entries.
    attachments_refused: i32,
    /// The number of references that name records now, or a `Medication` that the document contains.
    resolved_references: i32,
    /// The number of references that mean nothing that is stored.
    unresolved_references: i32,
    /// One result for each entry, in the order of the entries.
    results: Vec<ImportResult>,
}

#[derive(Default)]
pub(crate) struct ImportMutation;

#[Object]
impl ImportMutation {
    /// Stores several records, each independently: one that is refused does not affect
    /// the others, and repeating the request stores nothing twice. For files there is `POST /import`.
    /// Each entry needs the same permission as `createMedicalRecord`. Documents that name several patients need `patients`.
    /// Files are stored beside records as `POST /import` stores them, and count towards what an account may send in a day.
    ///
    /// Error codes: `BAD_USER_INPUT` (`entries`, `patients`, `idempotencyKey`, `source`, `onBehalfOf`), `THROTTLED` (files beyond what an
    /// account may send in a day: what was stored by then is found again by the same request). Those of an entry are in its `code`.
    async fn import_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The documents and whose they are.")] input: ImportRecordsInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<ImportRecordsPayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        if input.entries.len() > MAX_ENTRIES {
            let message =
                format!("at most {MAX_ENTRIES} entries at once; files go to POST /import");
            return Err(Error::bad("entries", message).into());
        }
        crate::idempotency::check_key(input.key.as_deref())?;
        check_source(input.source.as_deref())?;
        let map = input.patients.unwrap_or_default().into_iter();
        let map = map.map(|it| (it.reference, UserId(it.patient_id)));
        let import = Import {
            patients: PatientAccounts::new(Some(UserId(input.patient_id)), map)?,
            purpose: input.purpose.map(Into::into),
            prefers: None,
            key: input.key,
            restores: false,
            source: input.source,
        };
        let entries = input.entries.into_iter().map(|entry| {
            Entry::new(
                entry.document.into_json(),
                entry.record_type.map(Into::into),
                entry.metadata.map(Into::into),
            )
        });
        let entries: Vec<Entry> = entries.collect();
        if import.name_several(&entries) {
            let message = "the documents name several patients: say here which accounts they are, or import them apart";
            return Err(Error::bad("patients", message).into());
        }
        let (stored, lost) = together::store(
            (&app.writer, app.file_writing()),
            app.drafting(),
            &caller,
            import,
            entries,
        )
        .await?;
        Ok(Payload(payload(ctx, stored, lost).await?))
    }
}

/// Tells each entry's fate, unless something ended all of them: what was stored by then is found again by
/// sending the same.
async fn payload(
    ctx: &Context<'_>,
    stored: Vec<ImportedEntry>,
    lost: u64,
) -> Result<ImportRecordsPayload> {
    let mut totals = Totals::default();
    let mut results = Vec::with_capacity(stored.len());
    for (number, one) in (1..).zip(stored) {
        let one = match one {
            ImportedEntry {
                result: Err(error), ..
            } if interrupts(&error) => return Err(error.into()),
            one => one,
        };
        totals.count(one.kind, &one.result);
        if one.result.is_ok() {
            totals.resolved += one.resolved;
            totals.unresolved += one.unresolved;
            totals.files.stored += one.files.stored;
            totals.files.refused += one.files.refused;
        }
        let beside = match one.result {
            Ok(Imported::Attached(record)) => record,
            Ok(_) | Err(_) => None,
        };
        results.push((beside, result(ctx, number, one).await?));
    }
    totals.lose(lost);
    let results = with_records_of_files(results);
    let number = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(ImportRecordsPayload {
        created: number(totals.of("CREATED")),
        already_there: number(totals.of("ALREADY_THERE")),
        refused: number(totals.of("REFUSED")),
        skipped: number(totals.of("SKIPPED")),
        amended: number(totals.of("AMENDED")),
        outdated: number(totals.of("OUTDATED")),
        attached: number(totals.of("ATTACHED")),
        attachments: number(totals.files.stored),
        attachments_refused: number(totals.files.refused),
        resolved_references: number(totals.resolved),
        unresolved_references: number(totals.unresolved),
        results,
    })
}

/// The results, those of files with the records that they are beside, which are among the others.
fn with_records_of_files(results: Vec<(Option<RecordId>, ImportResult)>) -> Vec<ImportResult> {
    let stored = results.iter().filter_map(|(_, it)| it.record.clone());
    let stored: HashMap<RecordId, MedicalRecord> = stored.map(|it| (it.record_id(), it)).collect();
    let with_record = |(beside, mut result): (Option<RecordId>, ImportResult)| {
        if let Some(beside) = beside {
            result.record = stored.get(&beside).cloned();
        }
        result
    };
    results.into_iter().map(with_record).collect()
}

async fn result(ctx: &Context<'_>, entry: i32, one: ImportedEntry) -> Result<ImportResult> {
    let notes = document_issues(one.notes);
    let number = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    let unresolved = number(one.unresolved);
    let files = one.files;
    let told = |outcome: ImportOutcome, record: Option<MedicalRecord>| ImportResult {
        entry,
        outcome,
        record,
        code: None,
        message: None,
        issues: notes.clone(),
        unresolved_references: unresolved,
        attachments: number(files.stored),
        attachments_refused: number(files.refused),
    };
    Ok(match one.result {
        Ok(
            Imported::Kept
            | Imported::Skipped
            | Imported::Unclaimed
            | Imported::Deletion
            | Imported::Checked(_),
        ) => told(ImportOutcome::Skipped, None),
        Ok(Imported::Attached(_) | Imported::WithDocument) => told(ImportOutcome::Attached, None),
        Ok(Imported::Stored(written)) => {
            let outcome = match written.source {
                _ if written.is_new() => ImportOutcome::Created,
                Some(SourceAnswer::Outdated) => ImportOutcome::Outdated,
                Some(SourceAnswer::Same | SourceAnswer::Changed | SourceAnswer::Mended) | None => {
                    ImportOutcome::AlreadyThere
                }
            };
            told(outcome, Some(MedicalRecord::stored(ctx, *written).await?))
        }
        Ok(Imported::Amended(written)) => {
            let record = MedicalRecord::stored(ctx, *written).await?;
            told(ImportOutcome::Amended, Some(record))
        }
        Err(error) => ImportResult {
            code: Some(error.public_code()),
            message: Some(error.to_string()),
            issues: if let Error::Document(issues) = error {
                document_issues(issues)
            } else {
                Vec::new()
            },
            unresolved_references: 0,
            attachments: 0,
            attachments_refused: 0,
            ..told(ImportOutcome::Refused, None)
        },
    })
}
