//! What mutations answer: payloads whose fields are all nullable, and in which `userErrors` tells what a form can mend.
//!
//! Which errors are told there is a property of their codes ([`ErrorCode::is_mendable`]). A client that does not select
//! `userErrors` is told the same as errors of GraphQL.

use std::borrow::Cow;

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, PathSegment, Positioned,
    ServerError, ServerResult, SimpleObject, Value,
    indexmap::IndexMap,
    parser::types::Field,
    registry::{MetaField, MetaInputValue, MetaType, MetaTypeName, Registry},
    resolver_utils::resolve_container,
};

use super::issue::{DocumentIssue, document_issues};
use crate::{codes::ErrorCode, error::Error, instruments::instruments};

/// The field of every payload that tells what is to be mended.
const USER_ERRORS: &str = "userErrors";
/// What the schema says of it.
const USER_ERRORS_DESCRIPTION: &str = "What the user has to correct, and then every other field is null; empty where \
    the mutation was carried out.\nWhere this field is not selected, the same is an error with `extensions`.";

/// How deep arguments are looked into for the one that an error names: inputs within inputs.
const INPUT_LEVELS: usize = 4;

/// One thing that whoever filled in a form can mend.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct UserError {
    /// The kind of the error, as an error has it in `extensions.code`.
    code: ErrorCode,
    /// The argument, or the field of an input, that the user has to correct, as a path from the arguments of the mutation:
    /// `["input", "expiresAt"]`. Null where the error concerns no single one.
    field: Option<Vec<String>>,
    /// What is wrong, as a sentence for a person.
    message: String,
    /// The faults of the document, where the code is `INVALID_DOCUMENT`; null otherwise.
    issues: Option<Vec<DocumentIssue>>,
}

/// The payload of a mutation that was carried out. In the schema it is the payload itself, with `userErrors` besides and
/// with every other field nullable: a field that fails is null beside its error, and the others stand.
#[derive(Debug)]
pub(crate) struct Payload<T>(pub(crate) T);

impl<T: ObjectType> ContainerType for Payload<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        if ctx.item.node.name.node == USER_ERRORS {
            return Ok(Some(Value::List(Vec::new())));
        }
        let resolved = self.0.resolve_field(ctx).await;
        Ok(resolved.unwrap_or_else(|error| {
            ctx.add_error(error);
            Some(Value::Null)
        }))
    }
}

impl<T: ObjectType> OutputType for Payload<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let qualified = T::create_type_info(registry);
        let of_errors = <Vec<UserError> as OutputType>::create_type_info(registry);
        if let Some(MetaType::Object { fields, .. }) = registry.types.get_mut(&*T::type_name()) {
            make_nullable(fields);
            let mut errors = MetaField::new(USER_ERRORS, of_errors);
            errors.description = Some(USER_ERRORS_DESCRIPTION.to_owned());
            fields.insert(USER_ERRORS.to_owned(), errors);
        }
        qualified
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

impl<T: ObjectType> ObjectType for Payload<T> {}

/// Lets each of these fields be null.
pub(super) fn make_nullable(fields: &mut IndexMap<String, MetaField>) {
    for field in fields.values_mut() {
        if let Some(nullable) = field.ty.strip_suffix('!') {
            field.ty = nullable.to_owned();
        }
    }
}

/// The payload of a mutation that was refused, with the errors that a form can mend, where `userErrors` is selected; `None`
/// where what made it fail is to be told as an error.
pub(super) async fn refused(ctx: &Context<'_>, root: &str, error: &ServerError) -> Option<Value> {
    if !ctx.look_ahead().field(USER_ERRORS).exists() {
        return None;
    }
    // What failed within an answer is not the mutation's own: that was carried out.
    let [PathSegment::Field(_)] = error.path.as_slice() else {
        return None;
    };
    let ours = error.source.as_ref()?.downcast_ref::<Error>()?;
    let registry = &ctx.schema_env.registry;
    let name = ctx.item.node.name.node.as_str();
    let field = registry.types.get(root)?.field_by_name(name)?;
    let payload = RefusedPayload {
        type_name: MetaTypeName::concrete_typename(&field.ty).to_owned(),
        errors: user_errors(ours, |name| path_of(registry, &field.args, name))?,
    };
    instruments().erred(ours.code().as_str());
    let selected = ctx.with_selection_set(&ctx.item.node.selection_set);
    let resolved = OutputType::resolve(&payload, &selected, ctx.item).await;
    Some(resolved.unwrap_or_else(|error| {
        ctx.add_error(error);
        Value::Null
    }))
}

/// The payload of a mutation that was refused: `userErrors`, and null in every other field. It is of the type that the
/// payload of this mutation has, which is known when it is resolved.
struct RefusedPayload {
    type_name: String,
    errors: Vec<UserError>,
}

impl ContainerType for RefusedPayload {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        if ctx.item.node.name.node != USER_ERRORS {
            return Ok(Some(Value::Null));
        }
        let selected = ctx.with_selection_set(&ctx.item.node.selection_set);
        let resolved = OutputType::resolve(&self.errors, &selected, ctx.item).await;
        resolved.map(Some)
    }
}

impl OutputType for RefusedPayload {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("RefusedPayload")
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        Cow::Owned(self.type_name.clone())
    }

    /// It is never registered: the type that it has is.
    fn create_type_info(_: &mut Registry) -> String {
        Self::qualified_type_name()
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

/// The error as a form is told it, one for each field that is to be mended; `None` where no form can.
fn user_errors(
    error: &Error,
    path_of: impl Fn(&str) -> Option<Vec<String>>,
) -> Option<Vec<UserError>> {
    let code = error.code();
    if !code.is_mendable() {
        return None;
    }
    let told = |field: Option<Vec<String>>, message: String| UserError {
        code,
        field,
        message,
        issues: None,
    };
    Some(match error {
        Error::BadInput { .. } => {
            if error.bad_fields().any(|(name, _)| is_header(name)) {
                return None;
            }
            let fields = error.bad_fields();
            fields
                .map(|(name, message)| told(path_of(name), message.to_owned()))
                .collect()
        }
        Error::Conflict { field, message } | Error::LimitReached { field, message } => {
            vec![told(path_of(field), message.clone())]
        }
        Error::Document(issues) => vec![UserError {
            issues: Some(document_issues(issues.clone())),
            ..told(
                path_of("document"),
                format!("the document has {} issue(s)", issues.len()),
            )
        }],
        Error::Unauthenticated
        | Error::TokenExpired
        | Error::SessionEnded
        | Error::WrongCredentials
        | Error::SecondFactorRequired
        | Error::SecondFactorMissing
        | Error::Forbidden(_)
        | Error::CsrfProofMissing
        | Error::NotFound(_)
        | Error::Integrity(_)
        | Error::Busy { .. }
        | Error::Throttled { .. }
        | Error::OverBudget { .. }
        | Error::OverUploads { .. }
        | Error::AnswerTooLarge { .. }
        | Error::Unavailable
        | Error::Internal => vec![told(None, error.to_string())],
    })
}

/// Whether the name is a header's, which no form has: it is the client's to mend.
fn is_header(name: &str) -> bool {
    name.starts_with("X-")
}

/// Where the value of this name stands: an argument, a field of one, or of an input within. A place in a list is not
/// told, as errors do not have it.
fn path_of(
    registry: &Registry,
    arguments: &IndexMap<String, MetaInputValue>,
    name: &str,
) -> Option<Vec<String>> {
    let mut level: Vec<(Vec<String>, _)> = vec![(Vec::new(), arguments)];
    for _ in 0..INPUT_LEVELS {
        if let Some((parents, _)) = level.iter().find(|(_, values)| values.contains_key(name)) {
            return Some(below(parents, name));
        }
        let mut next = Vec::new();
        for (parents, values) in level {
            for value in values.values() {
                let of = registry
                    .types
                    .get(MetaTypeName::concrete_typename(&value.ty));
                if let Some(MetaType::InputObject { input_fields, .. }) = of {
                    next.push((below(&parents, &value.name), input_fields));
                }
            }
        }
        level = next;
    }
    None
}

fn below(parents: &[String], name: &str) -> Vec<String> {
    [parents, &[name.to_owned()]].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn told(error: &Error) -> Option<Vec<(ErrorCode, Option<Vec<String>>)>> {
        let of_input = |name: &str| Some(vec!["input".to_owned(), name.to_owned()]);
        let errors = user_errors(error, of_input)?.into_iter();
        Some(errors.map(|error| (error.code, error.field)).collect())
    }

    #[test]
    fn what_a_form_can_mend_is_told_field_by_field() {
        let path = |name: &str| Some(vec!["input".to_owned(), name.to_owned()]);
        let two = crate::error::all([
            Err::<(), _>(Error::bad("email", "none")),
            Err(Error::bad("password", "short")),
        ]);
        let told_of_two = told(&two.unwrap_err()).unwrap();
        let bad = ErrorCode::BadUserInput;
        assert_eq!(told_of_two, [(bad, path("email")), (bad, path("password"))]);
        let wrong = (ErrorCode::WrongCredentials, None);
        assert_eq!(told(&Error::WrongCredentials), Some(vec![wrong]));
        let invalid = (ErrorCode::InvalidDocument, path("document"));
        assert_eq!(told(&Error::Document(Vec::new())), Some(vec![invalid]));
    }

    #[test]
    fn what_no_form_can_mend_is_no_user_error() {
        for error in [
            Error::Unauthenticated,
            Error::SecondFactorRequired,
            Error::NotFound("record"),
            Error::Internal,
            Error::bad("X-Purpose-Of-Use", "no purpose"),
        ] {
            assert_eq!(told(&error), None, "{error}");
        }
    }
}
