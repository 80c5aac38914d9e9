//! Who sends a request: its address, its token, the purpose that it states.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, header};
use domain::{audit::Origin, ids::RequestId};

use crate::{caller::RequestContext, schema::Schema};

/// Why the caller acts, for every operation of the request that does not say so itself.
pub(crate) const PURPOSE_OF_USE: HeaderName = HeaderName::from_static("x-purpose-of-use");

/// Whether the answer says which rows of the audit trail were written: `true`.
pub(crate) const AUDIT_PROMISE: HeaderName = HeaderName::from_static("x-audit-promise");

/// Who sent this, from where.
pub(crate) fn context(
    schema: &Schema,
    id: RequestId,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> RequestContext {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let address = schema.app().proxies.origin(peer.ip(), headers);
    let token = headers.get(header::AUTHORIZATION).map(|value| {
        let text = value.to_str().unwrap_or_default();
        check_bearer(schema, text)
    });
    let purpose = headers
        .get(PURPOSE_OF_USE)
        .map(|value| value.to_str().unwrap_or_default().parse());
    RequestContext {
        origin: Origin::new(id, address, agent),
        token,
        purpose,
        second_factor: schema.app().second_factor,
        wants_promises: headers
            .get(AUDIT_PROMISE)
            .is_some_and(|value| value.as_bytes() == b"true"),
        seals: schema.app().seals.clone(),
    }
}

/// Reads `Bearer <token>`.
pub(crate) fn check_bearer(
    schema: &Schema,
    text: &str,
) -> Result<vault::token::Bearer, vault::token::TokenError> {
    match text.split_once(' ') {
        Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => {
            let app = schema.app();
            app.tokens.check(token.trim(), app.clock.now())
        }
        _ => Err(vault::token::TokenError::Invalid),
    }
}
