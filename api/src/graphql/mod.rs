//! What the seven nouns share at the edge: scalars, enums, the two lines every resolver begins with, and the payloads of
//! mutations.

pub(crate) mod document;
pub(crate) mod enums;
pub(crate) mod event;
pub(crate) mod global_id;
pub(crate) mod issue;
pub(crate) mod payload;
pub(crate) mod root;
pub(crate) mod scalars;

use std::sync::Arc;

use async_graphql::Context;
use domain::ids::UserId;
use uuid::Uuid;

use crate::{
    answer_budget::AnswerBudget,
    app::App,
    caller::{Caller, RequestContext},
    error::Error,
    loaders::Loaders,
};

/// The process and the caller.
///
/// # Errors
/// [`Error::Unauthenticated`] without a valid token.
pub(crate) fn request<'a>(ctx: &Context<'a>) -> Result<(&'a App, Caller), Error> {
    Ok((app(ctx)?, context(ctx)?.caller()?))
}

/// The same, where the operation may be for a patient for whom the caller acts.
///
/// # Errors
/// As of [`request`]; [`Error::BadInput`] for oneself.
pub(crate) fn request_for<'a>(
    ctx: &Context<'a>,
    patient: Option<Uuid>,
) -> Result<(&'a App, Caller), Error> {
    let (app, caller) = request(ctx)?;
    Ok((app, caller.acting_for(patient.map(UserId))?))
}

/// The process.
///
/// # Errors
/// [`Error::Internal`] where the schema was built without one.
pub(crate) fn app<'a>(ctx: &Context<'a>) -> Result<&'a App, Error> {
    ctx.data::<App>().map_err(|_| Error::Internal)
}

/// Where the request came from.
///
/// # Errors
/// [`Error::Internal`] where the transport gave none.
pub(crate) fn context<'a>(ctx: &Context<'a>) -> Result<&'a RequestContext, Error> {
    let context = ctx.data::<Arc<RequestContext>>();
    context.map(Arc::as_ref).map_err(|_| Error::Internal)
}

/// The request's loaders.
///
/// # Errors
/// [`Error::Internal`] where the transport gave none.
pub(crate) fn loaders<'a>(ctx: &Context<'a>) -> Result<&'a Loaders, Error> {
    ctx.data::<Loaders>().map_err(|_| Error::Internal)
}

/// What the answer may still hold.
///
/// # Errors
/// [`Error::Internal`] where the transport gave none.
pub(crate) fn budget<'a>(ctx: &Context<'a>) -> Result<&'a AnswerBudget, Error> {
    ctx.data::<AnswerBudget>().map_err(|_| Error::Internal)
}

/// What a request weighs with this process's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestWeight(pub(crate) u64);

/// Charges an answer of a stream that shows more than its event: as much as was charged when the stream began, which was once for
/// however many answers there are.
///
/// # Errors
/// [`Error::OverBudget`], and when to try again; [`Error::Internal`] where the transport gave none.
pub(crate) async fn charge_answer(ctx: &Context<'_>) -> Result<(), Error> {
    let weight = ctx.data::<RequestWeight>().map_err(|_| Error::Internal)?;
    let party = context(ctx)?.party();
    app(ctx)?.costs.charge(party, weight.0).await
}

/// Whether the query asks one of these fields of the nodes of the connection that is being resolved.
pub(crate) fn asks_nodes_for(ctx: &Context<'_>, names: &[&str]) -> bool {
    let look = ctx.look_ahead();
    let (nodes, edges) = (look.field("nodes"), look.field("edges").field("node"));
    names
        .iter()
        .any(|name| nodes.field(name).exists() || edges.field(name).exists())
}
