//! Answers as they are sent: their media type, their status and their text.

pub(crate) mod pieces;

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

/// A part of a header that says what is wanted, such as `Accept`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range<'a> {
    /// What it names.
    pub(crate) kind: &'a str,
    /// From 0, which means never, to 1.
    pub(crate) weight: f64,
}

/// The parts of such a header, of all its lines.
pub(crate) fn ranges(headers: &HeaderMap, name: HeaderName) -> Vec<Range<'_>> {
    let lines = headers.get_all(name).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let parts = lines.flat_map(|line| line.split(',')).map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(Range::read)
        .collect()
}

impl<'a> Range<'a> {
    fn read(part: &'a str) -> Self {
        let mut parts = part.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .and_then(|(_, weight)| weight.trim().parse::<f64>().ok())
            .filter(|weight| (0.0..=1.0).contains(weight));
        Self {
            kind,
            weight: weight.unwrap_or(1.0),
        }
    }
}

impl MediaType {
    /// What the header `Accept` wants most of these: by its weights (`q`), and of what it wants alike what it names first.
    /// `None` where it takes none of them.
    pub(crate) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let ranges = ranges(headers, header::ACCEPT);
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let mut best: Option<(f64, usize, Self)> = None;
        for media in [Self::Json, Self::GraphQl, Self::Events] {
            let Some((nth, range)) = media.range(&ranges) else {
                continue;
            };
            let is_better = best.is_none_or(|(weight, before, _)| {
                range.weight > weight || (range.weight >= weight && nth < before)
            });
            if range.weight > 0.0 && is_better {
                best = Some((range.weight, nth, media));
            }
        }
        best.map(|(_, _, media)| media)
    }

    /// The range that decides on this type, the one that names it most closely, and its place. A stream is what nobody
    /// wants who does not name it.
    fn range<'a>(self, ranges: &'a [Range<'a>]) -> Option<(usize, &'a Range<'a>)> {
        let kinds: &[&str] = match self {
            Self::Json => &["application/json", "application/*", "*/*"],
            Self::GraphQl => &["application/graphql-response+json", "application/*", "*/*"],
            Self::Events => &["text/event-stream"],
        };
        kinds.iter().find_map(|kind| {
            let mut ranges = ranges.iter().enumerate();
            ranges.find(|(_, range)| range.kind.eq_ignore_ascii_case(kind))
        })
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
    begin(response, &mut out);
    if has_run(response) {
        write(&response.data, &mut out);
    }
    end(response, &mut out);
    out
}

/// What stands before the data.
fn begin(response: &Answer, out: &mut String) {
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
    }
}

/// What stands behind the data.
fn end(response: &Answer, out: &mut String) {
    if !response.extensions.is_empty() {
        // After errors or data: one of them is always there.
        out.push_str(",\"extensions\":");
        let extensions = serde_json::to_value(&response.extensions).unwrap_or_default();
        out.push_str(&extensions.to_string());
    }
    out.push('}');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_answered_in_what_it_wants_most() {
        use MediaType::{Events, GraphQl, Json};
        let table: [(&str, Option<MediaType>); 18] = [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json; charset=utf-8", Some(Json)),
            ("Application/JSON", Some(Json)),
            (
                "application/json, application/graphql-response+json",
                Some(Json),
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphQl),
            ),
            (
                "application/json;q=0.4, application/graphql-response+json; q=0.5",
                Some(GraphQl),
            ),
            ("application/json;q=0, */*", Some(GraphQl)),
            ("text/event-stream", Some(Events)),
            ("application/json;q=0.2, text/event-stream", Some(Events)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Json)),
            ("*/*;q=0", None),
            ("application/json, multipart/mixed", Some(Json)),
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                Some(GraphQl),
            ),
            ("text/html", None),
            ("text/*", None),
            ("application/json;q=0", None),
        ];
        for (accept, wanted) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(MediaType::wanted(&headers), wanted, "{accept}");
        }
        assert_eq!(MediaType::wanted(&HeaderMap::new()), Some(Json));
    }
}
