//! Answers as they are sent: their media type, their status and their text.

use async_graphql::Response as Answer;
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    caller::RequestContext,
    graphql::document::write,
    rejected::Rejected,
    schema::{Schema, has_run},
};

/// Keeps proxies from holding back what is sent bit by bit: nginx, and those that took it over.
pub(crate) const UNBUFFERED: [(HeaderName, HeaderValue); 1] = [(
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
)];

/// The answer of something that was not run.
pub(crate) fn refuse(
    schema: &Schema,
    refusal: &Rejected,
    context: &RequestContext,
    status: StatusCode,
    media: MediaType,
) -> Response {
    answer(
        &schema.finish_errors(refusal.response(), context),
        status,
        media,
    )
}

/// What the client asked to be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`: well-formed requests are answered 200, whatever came of them.
    Json,
    /// `application/graphql-response+json`: what was not run is answered 400.
    GraphQl,
    /// `text/event-stream`: a stream of answers. What is refused before is JSON.
    Events,
}

impl MediaType {
    /// What the header `Accept` names first of these.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let accepts = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let first = accepts
            .split(',')
            .map(|part| part.split(';').next().unwrap_or_default().trim())
            .find(|part| {
                [
                    "application/json",
                    "application/graphql-response+json",
                    "text/event-stream",
                ]
                .contains(part)
            });
        match first {
            Some("text/event-stream") => Self::Events,
            Some("application/graphql-response+json") => Self::GraphQl,
            _ => Self::Json,
        }
    }

    /// The status of a well-formed request that was not run.
    pub(crate) const fn refused(self) -> StatusCode {
        match self {
            Self::Json => StatusCode::OK,
            Self::GraphQl | Self::Events => StatusCode::BAD_REQUEST,
        }
    }

    /// As the header `Content-Type` says it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json | Self::Events => "application/json; charset=utf-8",
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
        }
    }
}

fn answer(response: &Answer, status: StatusCode, media: MediaType) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, media.as_str())],
        to_json(response),
    )
        .into_response()
}

/// An answer as JSON text, its numbers as they were stored.
pub(crate) fn to_json(response: &Answer) -> String {
    let mut out = String::with_capacity(1024);
    out.push('{');
    if !response.errors.is_empty() {
        // Errors hold no numbers but places in the document.
        out.push_str("\"errors\":");
        let errors = serde_json::to_value(&response.errors).unwrap_or_default();
        out.push_str(&errors.to_string());
    }
    if has_run(response) {
        if !response.errors.is_empty() {
            out.push(',');
        }
        out.push_str("\"data\":");
        write(&response.data, &mut out);
    }
    if !response.extensions.is_empty() {
        // After errors or data: one of them is always there.
        out.push_str(",\"extensions\":");
        let extensions = serde_json::to_value(&response.extensions).unwrap_or_default();
        out.push_str(&extensions.to_string());
    }
    out.push('}');
    out
}

/// What the body says it is; `None` where it says nothing, or is not in UTF-8.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = given.split(';').map(str::trim);
    let kind = parts.next()?;
    let is_utf8 = parts
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    is_utf8.then_some(kind)
}
