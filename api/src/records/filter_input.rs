//! What records are looked for by, and in which order, as the schema says it.

use async_graphql::{Enum, InputObject};
use chrono::{DateTime, Utc};
use domain::{
    ids::UserId,
    records::{self, Metadata},
};
use serde_json::{Value, json};
use store::records::search::{Filter, Order};
use uuid::Uuid;

use super::filter::Criteria;
use crate::{
    error::{Error, all, both, check_time},
    graphql::{
        document::Document,
        enums::{Completeness, RecordType},
    },
};

/// The longest system or code that is looked for. Unit: bytes.
const MAX_CODE: usize = 512;

/// Conditions on records. A field that is left out matches every record; those that are given must all
/// be met.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct RecordFilterInput {
    /// Only records of one of these types.
    record_types: Option<Vec<RecordType>>,
    /// Only records that were stored at this time or later.
    created_from: Option<DateTime<Utc>>,
    /// Only records that were stored before this time.
    created_to: Option<DateTime<Utc>>,
    /// Only records about a time that ends after this one: what a document dates by a year, a month or a day
    /// counts to the end of that, and what it dates by a period to the end of the period. Where `effectiveAt` is null, the time of
    /// storing counts.
    effective_from: Option<DateTime<Utc>>,
    /// Only records whose `effectiveAt` is before this time. Where it is null, the time of storing
    /// counts.
    effective_to: Option<DateTime<Utc>>,
    /// Only records that the account with this ID stored.
    author_id: Option<Uuid>,
    /// Only records whose document has this FHIR status, such as `final`, `active` or `completed`.
    status: Option<String>,
    /// Only records that have everything their record type asks for, or only those that do not.
    completeness: Option<Completeness>,
    /// Only records that have each of these keys and values in `metadata`, such as `{"modality":
    /// "CT"}`.
    metadata: Option<Document>,
    /// Only records that have this code: of a diagnosis, a medication, a laboratory test or a vaccine.
    /// Codes are stored as keyed hashes that differ from patient to patient. A caller whom more than
    /// 200 consents permit to search has to give a `patientId`, too.
    code: Option<CodeInput>,
    /// True to list superseded versions, too; by default only current ones are listed.
    include_superseded: Option<bool>,
}

/// A code together with the code system it is from.
#[derive(Debug, Clone, InputObject)]
pub(crate) struct CodeInput {
    /// The URL of the code system, such as `http://loinc.org` or `http://hl7.org/fhir/sid/icd-10`; at
    /// most 512 bytes.
    system: String,
    /// The code, exactly as the document writes it, such as `4548-4`; at most 512 bytes.
    code: String,
}

/// The order of a list of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum RecordOrder {
    /// By the time of storing, the latest first.
    CreatedDesc,
    /// By the time of storing, the earliest first.
    CreatedAsc,
    /// By `effectiveAt`, which is the beginning of a year, a month or a day, or the time of storing where that is null, the
    /// latest first.
    EffectiveDesc,
    /// By `effectiveAt`, which is the beginning of a year, a month or a day, or the time of storing where that is null, the
    /// earliest first.
    EffectiveAsc,
}

impl From<RecordOrder> for Order {
    fn from(order: RecordOrder) -> Self {
        match order {
            RecordOrder::CreatedDesc => Self::CreatedDescending,
            RecordOrder::CreatedAsc => Self::CreatedAscending,
            RecordOrder::EffectiveDesc => Self::EffectiveDescending,
            RecordOrder::EffectiveAsc => Self::EffectiveAscending,
        }
    }
}

/// Reads what was asked: the filter, and the two arguments that are older than it.
///
/// # Errors
/// [`Error::BadInput`] for metadata that no such record has, and for a code without a system.
pub(crate) fn read(
    patient: Option<Uuid>,
    record_type: Option<RecordType>,
    input: RecordFilterInput,
) -> Result<Criteria, Error> {
    let types = types_of(record_type, input.record_types);
    let of_types = types.as_ref().map_or(&[][..], Vec::as_slice);
    let metadata = criteria(input.metadata, input.status, of_types);
    let code = input.code.map(CodeInput::checked).transpose();
    let times = all([
        check_time("createdFrom", input.created_from),
        check_time("createdTo", input.created_to),
        check_time("effectiveFrom", input.effective_from),
        check_time("effectiveTo", input.effective_to),
    ]);
    let (((), (types, metadata)), code) = both(both(times, both(types, metadata)), code)?;
    Ok(Criteria {
        patient: patient.map(UserId),
        filter: Filter {
            record_types: types,
            created_from: input.created_from,
            created_to: input.created_to,
            effective_from: input.effective_from,
            effective_to: input.effective_to,
            author: input.author_id.map(UserId),
            complete: input.completeness.map(|it| it == Completeness::Complete),
            metadata,
            tokens: None,
            with_superseded: input.include_superseded.unwrap_or_default(),
        },
        code,
    })
}

/// The types that are meant, each once; none where any is.
fn types_of(
    one: Option<RecordType>,
    many: Option<Vec<RecordType>>,
) -> Result<Vec<records::RecordType>, Error> {
    let one = one.map(records::RecordType::from);
    let Some(many) = many else {
        return Ok(one.into_iter().collect());
    };
    let many = many.into_iter().map(records::RecordType::from);
    let mut types: Vec<_> = many.filter(|it| one.is_none_or(|one| one == *it)).collect();
    if types.is_empty() {
        let message = "no record is of none of the types";
        return Err(Error::bad("recordTypes", message));
    }
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

impl CodeInput {
    fn checked(self) -> Result<(String, String), Error> {
        let Self { system, code } = self;
        if system.is_empty() || code.is_empty() || system.len().max(code.len()) > MAX_CODE {
            let wanted =
                format!("a code has a system and a code, of at most {MAX_CODE} bytes each");
            return Err(Error::bad("code", wanted));
        }
        Ok((system, code))
    }
}

fn criteria(
    metadata: Option<Document>,
    status: Option<String>,
    types: &[records::RecordType],
) -> Result<Option<Value>, Error> {
    let mut metadata: Option<Value> = metadata.map(Into::into);
    if let Some(status) = status {
        let all = metadata.get_or_insert_with(|| json!({}));
        if all
            .get("status")
            .is_some_and(|other| *other != status.as_str())
        {
            return Err(Error::bad("status", "no record is in two states"));
        }
        if let Some(all) = all.as_object_mut() {
            all.insert("status".to_owned(), status.into());
        }
    }
    let Some(metadata) = metadata else {
        return Ok(None);
    };
    let types = if types.is_empty() {
        records::RecordType::ALL
    } else {
        types
    };
    Ok(Some(Metadata::criteria(&metadata, types)?.into_json()))
}
