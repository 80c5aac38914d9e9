//! What each of these requests begins with: who sends it, and what its address and its headers say.

use std::net::SocketAddr;

use axum::{
    Extension,
    extract::{ConnectInfo, FromRequestParts, RawQuery},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::{IntoResponse as _, Response},
};
use domain::ids::RequestId;

use super::TransferRefused;
use crate::{
    audit::promise,
    authenticate::{AUDIT_PROMISE, context},
    caller::RequestContext,
    schema::Schema,
};

/// A request for a transfer, but for its body.
#[derive(Clone)]
pub(crate) struct TransferRequest {
    pub(super) schema: Schema,
    pub(super) context: RequestContext,
    pub(super) headers: HeaderMap,
    /// What stands behind the `?`.
    pub(super) query: Option<String>,
    /// Whether a proxy of ours sends it.
    pub(super) is_by_proxy: bool,
}

impl FromRequestParts<Schema> for TransferRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, schema: &Schema) -> Result<Self, Response> {
        type Extracted = (ConnectInfo<SocketAddr>, Extension<RequestId>, RawQuery);
        let extracted = Extracted::from_request_parts(parts, schema).await?;
        let (ConnectInfo(peer), Extension(id), RawQuery(query)) = extracted;
        Ok(Self {
            schema: schema.clone(),
            context: context(schema, id, peer, &parts.headers),
            headers: parts.headers.clone(),
            query,
            is_by_proxy: schema.app().proxies.trusts(peer.ip()),
        })
    }
}

impl TransferRequest {
    /// Does what a transfer begins or ends with, to its end, whoever waits for it.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, TransferRefused>> + Send + 'static,
    ) -> Result<T, TransferRefused> {
        let detached = &self.schema.app().detached;
        detached.run_to_completion(work).await?
    }

    /// The answer that nothing was begun.
    pub(super) async fn refuse(&self, refused: &TransferRefused) -> Response {
        let answer = refused.answer(&self.schema, &self.context);
        (self.promised(false).await, answer).into_response()
    }

    /// The header that promises the rows of the audit trail that were written so far, where the caller wants to know; `more`
    /// where others are written while the answer is sent.
    pub(super) async fn promised(&self, more: bool) -> Option<[(HeaderName, HeaderValue); 1]> {
        if !self.context.wants_promises {
            return None;
        }
        let request = self.context.origin.request;
        let app = self.schema.app();
        let sealing = app.promise_sealing();
        let promised = promise::in_header(&app.pool, sealing, request, more).await;
        let promised = HeaderValue::try_from(promised.to_string()).ok()?;
        Some([(AUDIT_PROMISE, promised)])
    }
}
