//! Which rows of the trail are asked for, as the schema says it.

use std::str::FromStr;

use async_graphql::InputObject;
use chrono::{DateTime, Utc};
use domain::{
    UnknownText,
    audit::AuditAction,
    ids::{ConsentId, RequestId, UserId},
};
use store::audit::AuditFilter;
use uuid::Uuid;

use crate::{
    error::{Error, all, both, check_time},
    graphql::enums::PurposeOfUse,
};

/// Conditions on rows of the audit trail. A field that is left out matches every row; those that are given must all be met.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct AuditLogFilterInput {
    /// Only rows with one of these actions, such as `RECORD_READ`.
    action_types: Option<Vec<String>>,
    /// Only rows about things of this kind, such as `MEDICAL_RECORD`.
    resource_type: Option<String>,
    /// Only rows about data of the patient with this ID.
    patient_id: Option<Uuid>,
    /// True for what was permitted only, false for what was refused only.
    allowed: Option<bool>,
    /// Only rows with this purpose of use.
    purpose: Option<PurposeOfUse>,
    /// Only rows that the consent with this ID decided, or that gave or withdrew it.
    consent_reference: Option<Uuid>,
    /// Only rows about data so sensitive, such as `MEDICAL`.
    data_classification: Option<String>,
    /// True for what went to another country only, false for what stayed only.
    is_cross_border: Option<bool>,
    /// Only rows of the request with this ID: the `X-Request-Id` of its answer.
    request_id: Option<Uuid>,
    /// Only what happened at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only what happened before this time.
    to: Option<DateTime<Utc>>,
}

/// Reads what was asked: the filter, and the arguments that are older than it.
///
/// # Errors
/// [`Error::BadInput`] for words that the trail does not know, and times that cannot be stored.
pub(super) fn read(
    user: Option<Uuid>,
    resource: Option<Uuid>,
    action: Option<String>,
    input: AuditLogFilterInput,
) -> Result<AuditFilter, Error> {
    let wanted = input.action_types;
    if wanted
        .as_ref()
        .is_some_and(|wanted| wanted.len() > AuditAction::ALL.len())
    {
        return Err(Error::bad(
            "actionTypes",
            "the list names more actions than there are",
        ));
    }
    let types = wanted.as_ref().map(|wanted| {
        let known = wanted
            .iter()
            .map(|one| known::<AuditAction>("actionTypes", one));
        known.collect::<Result<Vec<_>, _>>()
    });
    let classification = input.data_classification.as_deref();
    let resource_type = input.resource_type.as_deref();
    let words = both(
        types.transpose(),
        both(
            resource_type
                .map(|word| known("resourceType", word))
                .transpose(),
            classification
                .map(|word| known("dataClassification", word))
                .transpose(),
        ),
    );
    let times = all([check_time("from", input.from), check_time("to", input.to)]);
    let ((types, (resource_type, classification)), ()) = both(words, times)?;
    let types = types.map(|types| types.iter().map(ToString::to_string).collect::<Vec<_>>());
    Ok(AuditFilter {
        rows: Vec::new(),
        user: user.map(UserId),
        resource,
        resource_type,
        actions: narrowed(action, types),
        patient: input.patient_id.map(UserId),
        allowed: input.allowed,
        emergency: None,
        purpose: input.purpose.map(Into::into),
        consent: input.consent_reference.map(ConsentId),
        classification,
        is_cross_border: input.is_cross_border,
        request: input.request_id.map(RequestId),
        from: input.from,
        to: input.to,
        grouped: false,
    })
}

/// The one action, if it is among the others, too. What is among neither matches nothing.
fn narrowed(action: Option<String>, types: Option<Vec<String>>) -> Vec<String> {
    match (action, types) {
        (None, None) => Vec::new(),
        (Some(action), Some(types)) if !types.contains(&action) => vec![String::new()],
        (Some(action), _) => vec![action],
        (None, Some(types)) if types.is_empty() => vec![String::new()],
        (None, Some(types)) => types,
    }
}

fn known<T: FromStr<Err = UnknownText>>(field: &'static str, word: &str) -> Result<T, Error> {
    word.parse()
        .map_err(|unknown: UnknownText| Error::bad(field, unknown.to_string()))
}
