//! Which browser frontends may call: those the operator names, and the process's own pages.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::schema::Schema;

/// Whether this origin may open a stream or read an answer. A request without one is no browser's.
pub(crate) fn is_allowed(schema: &Schema, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    is_own(origin, headers) || schema.app().allowed_origins.contains(origin)
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, authority)), Some(host)) if authority == host)
}

/// Lets the frontends that are named read answers.
pub(crate) async fn answer(State(schema): State<Schema>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    // A cookie is read nowhere else.
    let takes_cookies = request.uri().path() == "/graphql";
    let named = origin.filter(|origin| schema.app().allowed_origins.contains(origin));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Of who asks, in what they want to be answered, and how that may be compressed.
    let vary = HeaderValue::from_static("Origin, Accept, Accept-Encoding");
    headers.append(header::VARY, vary);
    if let Some(origin) = named {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if takes_cookies {
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "x-request-id, retry-after, content-disposition, content-range, etag, x-audit-promise",
            ),
        );
    }
    response
}

/// Answers a browser that asks first.
pub(crate) async fn preflight() -> Response {
    (
        StatusCode::NO_CONTENT,
        [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, if-range, last-event-id, range, x-meditrustal-csrf, x-patients, x-purpose-of-use, x-audit-promise",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ],
    )
        .into_response()
}
