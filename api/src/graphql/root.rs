//! The root of an operation, each of whose fields stands or fails alone.

use std::{borrow::Cow, sync::PoisonError, time::Instant};

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, PathSegment, Positioned,
    ServerError, ServerResult, Value,
    parser::types::Field,
    registry::{MetaType, Registry},
    resolver_utils::resolve_container,
};
use tracing::Instrument as _;

use super::payload::{self, make_nullable};
use crate::{codes::ErrorCode, cost_limit::RootFieldLimit, error::Error, instruments::instruments};

/// A root object whose fields are all nullable, whatever its resolvers return, and as many of which are
/// resolved at a time as the [`RootFieldLimit`] of the request's party allows.
///
/// A field that fails is null beside its error, and the other fields keep what they have. A mutation that was refused
/// for what a form can mend tells so in its payload, where that is asked for ([`payload::refused`]). Without this
/// one refused field would erase the whole answer, also that of mutations that were carried out before.
/// It holds for arguments that cannot be read, too, which async-graphql refuses before a resolver runs.
#[derive(Debug, Default)]
pub(crate) struct NullableFields<T>(T);

impl<T: ObjectType> ContainerType for NullableFields<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let limit = ctx.data::<RootFieldLimit>().ok();
        let _permit = match limit {
            Some(limit) => limit.acquire().await,
            None => None,
        };
        let began = Instant::now();
        let field = ctx.item.node.name.node.as_str();
        let span = tracing::debug_span!("operation", field);
        let resolved = self.0.resolve_field(ctx).instrument(span).await;
        instruments().resolved(field, began.elapsed(), failure(ctx, &resolved));
        let error = match resolved {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Which mutation failed, and of what, was counted above: here it is only told.
        if let Some(payload) = payload::refused(ctx, &T::type_name(), &error).await {
            return Ok(Some(payload));
        }
        ctx.add_error(error);
        Ok(Some(Value::Null))
    }
}

/// The code of the error that made a root field fail: what it returned or, where it may be null, what stands beside it.
fn failure(ctx: &Context<'_>, resolved: &ServerResult<Option<Value>>) -> Option<ErrorCode> {
    let key = ctx.item.node.response_key().node.as_str();
    let is_ours = |error: &&ServerError| matches!(error.path.as_slice(), [PathSegment::Field(name)] if name == key);
    match resolved {
        Err(error) => Some(code_of(error)),
        Ok(Some(Value::Null)) => {
            let errors = ctx
                .query_env
                .errors
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            errors.iter().find(is_ours).map(code_of)
        }
        Ok(_) => None,
    }
}

/// The code that an error will be answered with.
fn code_of(error: &ServerError) -> ErrorCode {
    let source = error.source.as_ref();
    let ours = source.and_then(|source| source.downcast_ref::<Error>());
    ours.map_or(ErrorCode::GraphqlValidationFailed, Error::code)
}

impl<T: ObjectType> OutputType for NullableFields<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let qualified = T::create_type_info(registry);
        if let Some(MetaType::Object { fields, .. }) = registry.types.get_mut(&*T::type_name()) {
            make_nullable(fields);
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

impl<T: ObjectType> ObjectType for NullableFields<T> {}
