//! `importRecords` in the schema: a few entries at once, for frontends. Files go to `POST /import`
//! ([`crate::bulk`]), by the same way.

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use domain::ids::UserId;
use futures::{StreamExt as _, stream};
use uuid::Uuid;

use super::{Entry, Import, interrupts, report::Totals, store};
use crate::{
    error::Error,
    graphql::{
        document::Document,
        enums::{PurposeOfUse, RecordType},
        request,
    },
    records::{graphql::MedicalRecord, writer::Stored},
};

/// How many entries one mutation takes.
const MAX_ENTRIES: usize = 100;
/// How many are with the writer at once.
const AT_ONCE: usize = 64;

/// Records to be stored, each by itself.
#[derive(Debug, InputObject)]
pub(crate) struct ImportRecordsInput {
    /// Whose.
    patient_id: Uuid,
    /// The documents, at most 100. Send them as a variable.
    entries: Vec<ImportEntryInput>,
    /// Why; by default PATRQT for your own, TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// Tells this import from others: with the same key, or none, an entry that was stored before is not
    /// stored again.
    key: Option<String>,
}

/// One document.
#[derive(Debug, InputObject)]
pub(crate) struct ImportEntryInput {
    /// A FHIR R4 resource fit for a record type.
    document: Document,
    /// The kind of document; by default as its resource and its category say.
    record_type: Option<RecordType>,
    /// What may be searched in clear: listed keys only, no free text.
    metadata: Option<Document>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum ImportOutcome {
    /// It was stored.
    Created,
    /// It had been stored before.
    AlreadyThere,
    /// It was not stored; the others were not touched by that.
    Refused,
}

/// One thing that is wrong with a document, as in the `issues` of an error.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct DocumentIssue {
    /// `fatal`, `error` or `warning`.
    severity: String,
    /// FHIR's issue type.
    code: String,
    /// Where: a `FHIRPath`.
    path: String,
    /// Which rule.
    rule: String,
    /// A sentence for a person. Never repeats what the document says.
    message: String,
}

/// What became of one entry.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct ImportResult {
    /// Its place in the list, from 1.
    entry: i32,
    /// What became of it.
    outcome: ImportOutcome,
    /// The record; null where it was refused.
    record: Option<MedicalRecord>,
    /// Why it was refused: a code, as in an error's extensions.
    code: Option<String>,
    /// The same for a person.
    message: Option<String>,
    /// What is wrong with the document, where the code is `INVALID_DOCUMENT`.
    issues: Vec<DocumentIssue>,
}

/// What became of all of them.
#[derive(Debug, SimpleObject)]
pub(crate) struct ImportRecordsPayload {
    /// How many were stored.
    created: i32,
    /// How many had been stored before.
    already_there: i32,
    /// How many were refused.
    refused: i32,
    /// One for each entry, in their order.
    results: Vec<ImportResult>,
}

#[derive(Default)]
pub(crate) struct ImportMutation;

#[Object]
impl ImportMutation {
    /// Stores several records, each by itself: what is wrong with one stops no other, and sent again
    /// nothing is stored twice. For files there is `POST /import`.
    async fn import_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The records.")] input: ImportRecordsInput,
    ) -> Result<ImportRecordsPayload> {
        let (app, caller) = request(ctx)?;
        if input.entries.len() > MAX_ENTRIES {
            let message =
                format!("at most {MAX_ENTRIES} entries at once; files go to POST /import");
            return Err(Error::bad("entries", message).into());
        }
        crate::consents::give::check_key(input.key.as_deref())?;
        let import = Import {
            patient: UserId(input.patient_id),
            purpose: input.purpose.map(Into::into),
            prefers: None,
            key: input.key,
            restores: false,
        };
        let stored = input.entries.into_iter().map(|entry| {
            let entry = Entry::new(
                entry.document.into_json(),
                entry.record_type.map(Into::into),
                entry.metadata.map(Into::into),
            );
            let draft = import.draft(app, &caller, entry);
            async move { store(app, draft?).await }
        });
        let stored: Vec<Result<Stored, Error>> =
            stream::iter(stored).buffered(AT_ONCE).collect().await;
        payload(ctx, stored).await
    }
}

/// Tells each entry's fate, unless something ended all of them: what was stored by then is found again by
/// sending the same.
async fn payload(
    ctx: &Context<'_>,
    stored: Vec<Result<Stored, Error>>,
) -> Result<ImportRecordsPayload> {
    let mut totals = Totals::default();
    let mut results = Vec::with_capacity(stored.len());
    for (number, one) in (1..).zip(stored) {
        match one {
            Err(error) if interrupts(&error) => return Err(error.into()),
            one => {
                totals.count(&one);
                results.push(result(ctx, number, one).await?);
            }
        }
    }
    let number = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(ImportRecordsPayload {
        created: number(totals.created),
        already_there: number(totals.already_there),
        refused: number(totals.refused),
        results,
    })
}

async fn result(ctx: &Context<'_>, entry: i32, one: Result<Stored, Error>) -> Result<ImportResult> {
    Ok(match one {
        Ok(written) => ImportResult {
            entry,
            outcome: if written.is_new() {
                ImportOutcome::Created
            } else {
                ImportOutcome::AlreadyThere
            },
            record: Some(MedicalRecord::stored(ctx, written).await?),
            code: None,
            message: None,
            issues: Vec::new(),
        },
        Err(error) => ImportResult {
            entry,
            outcome: ImportOutcome::Refused,
            record: None,
            code: Some(error.told().to_owned()),
            message: Some(error.to_string()),
            issues: if let Error::Document(issues) = error {
                issues.into_iter().map(Into::into).collect()
            } else {
                Vec::new()
            },
        },
    })
}

impl From<fhir::Issue> for DocumentIssue {
    fn from(issue: fhir::Issue) -> Self {
        Self {
            severity: issue.severity.as_str().to_owned(),
            code: issue.code.as_str().to_owned(),
            path: issue.path,
            rule: issue.rule,
            message: issue.message,
        }
    }
}
