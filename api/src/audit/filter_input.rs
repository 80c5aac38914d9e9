//! Which rows of the trail are asked for, as the schema says it.

use async_graphql::InputObject;
use chrono::{DateTime, Utc};
use domain::{
    audit,
    ids::{ConsentId, RequestId, UserId},
};
use store::audit::AuditFilter;
use uuid::Uuid;

use super::words::{AuditAction, DataClassification, ResourceType};
use crate::{
    error::{Error, both, check_period},
    graphql::enums::PurposeOfUse,
};

/// Conditions on rows of the audit trail. A field that is left out matches every row; those that are given must all be met.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct AuditLogFilterInput {
    /// Only rows with one of these actions, such as `RECORD_READ`.
    action_types: Option<Vec<AuditAction>>,
    /// Only rows about things of this kind, such as `MEDICAL_RECORD`.
    resource_type: Option<ResourceType>,
    /// Only rows about data of the patient with this ID.
    patient_id: Option<Uuid>,
    /// True for what was permitted only, false for what was refused only.
    allowed: Option<bool>,
    /// Only rows with this purpose of use.
    purpose: Option<PurposeOfUse>,
    /// Only rows that the consent with this ID decided, or that gave or withdrew it.
    consent_reference: Option<Uuid>,
    /// Only rows about data so sensitive, such as `MEDICAL`.
    data_classification: Option<DataClassification>,
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
/// [`Error::BadInput`] for `UNKNOWN`, times that cannot be stored, and `to` before `from`.
pub(super) fn read(
    user: Option<Uuid>,
    resource: Option<Uuid>,
    action: Option<AuditAction>,
    input: AuditLogFilterInput,
) -> Result<AuditFilter, Error> {
    let action = action.map(|one| known("actionType", one.word()));
    let types = input.action_types.map(|wanted| {
        let words = wanted.into_iter().map(AuditAction::word);
        let words = words.map(|word| known("actionTypes", word));
        words.collect::<Result<Vec<_>, _>>()
    });
    let resource_type = input
        .resource_type
        .map(|one| known("resourceType", one.word()));
    let words = both(
        both(action.transpose(), types.transpose()),
        resource_type.transpose(),
    );
    let times = check_period(input.from, input.to);
    let (((action, types), resource_type), ()) = both(words, times)?;
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
        classification: input.data_classification.map(Into::into),
        is_cross_border: input.is_cross_border,
        request: input.request_id.map(RequestId),
        from: input.from,
        to: input.to,
        grouped: false,
    })
}

/// The one action, if it is among the others, too. What is among neither matches nothing.
fn narrowed(
    action: Option<audit::AuditAction>,
    types: Option<Vec<audit::AuditAction>>,
) -> Vec<String> {
    let action = action.map(|action| action.to_string());
    let types = types.map(|types| types.iter().map(ToString::to_string).collect::<Vec<_>>());
    match (action, types) {
        (None, None) => Vec::new(),
        (Some(action), Some(types)) if !types.contains(&action) => vec![String::new()],
        (Some(action), _) => vec![action],
        (None, Some(types)) if types.is_empty() => vec![String::new()],
        (None, Some(types)) => types,
    }
}

/// The word that rows have.
///
/// # Errors
/// [`Error::BadInput`] for `UNKNOWN`, which stands for whatever words are not known.
pub(super) fn known<T>(field: &'static str, word: Option<T>) -> Result<T, Error> {
    word.ok_or_else(|| {
        Error::bad(
            field,
            "UNKNOWN cannot be searched for: name one that is known",
        )
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn what_is_unknown_is_refused_and_every_other_word_is_searched_for() {
        use AuditAction::{ConsentGrant, RecordRead, Unknown};
        let asked = |action, types: Option<Vec<_>>, resource_type| {
            let input = AuditLogFilterInput {
                action_types: types,
                resource_type,
                ..AuditLogFilterInput::default()
            };
            read(None, None, action, input).map(|filter| filter.actions)
        };
        let consent = Some(ResourceType::Consent);
        for (action, types, resource_type, actions) in [
            (None, None, consent, vec![]),
            (Some(RecordRead), None, None, vec!["RECORD_READ"]),
            (
                None,
                Some(vec![RecordRead, ConsentGrant]),
                None,
                vec!["RECORD_READ", "CONSENT_GRANT"],
            ),
            (Some(RecordRead), Some(vec![ConsentGrant]), None, vec![""]),
            (None, Some(vec![]), None, vec![""]),
        ] {
            assert_eq!(asked(action, types, resource_type).unwrap(), actions);
        }
        for (action, types, resource_type) in [
            (Some(Unknown), None, None),
            (None, Some(vec![RecordRead, Unknown]), None),
            (None, None, Some(ResourceType::Unknown)),
        ] {
            assert!(asked(action, types, resource_type).is_err());
        }
    }
}
