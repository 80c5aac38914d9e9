//! A GraphQL request as it arrives: in a body, in an address, in a message of a WebSocket.

use async_graphql::{Name, Request, Value, Variables};
use fhir::Json;

use crate::{
    codes::ErrorCode, documents::DocumentHash, graphql::document::to_value, limits::MAX_BODY,
    rejected::Rejected,
};

/// Reads the body of a POST.
///
/// # Errors
/// [`Rejected`] where it is no request.
pub(crate) fn from_body(body: Vec<u8>) -> Result<Request, Rejected> {
    let bad = |message: &str| Rejected::new(ErrorCode::BadRequest, message);
    let limits = fhir::reader::Limits {
        max_bytes: MAX_BODY,
        ..fhir::reader::Limits::default()
    };
    let text = body
        .strip_prefix(fhir::BYTE_ORDER_MARK)
        .unwrap_or(body.as_slice());
    let json = fhir::reader::read_within(text, limits)
        .map_err(|error| bad(&format!("the body cannot be read: {error}")))?;
    drop(body);
    from_owned(json).ok_or_else(|| {
        bad("the body is an object with a text `query` or a hash `extensions.persistedQuery`, and maybe `variables`, `operationName` and `extensions`, all of it without NUL characters")
    })
}

/// A GraphQL request as JSON. `None` where it is none.
pub(crate) fn from_json(json: &Json) -> Option<Request> {
    let mut request = without_query(json)?;
    if let Some(Json::String(query)) = json.get("query") {
        request.query.clone_from(query);
    }
    Some(request)
}

/// The same of JSON that is needed no longer: its document is not copied.
fn from_owned(json: Json) -> Option<Request> {
    let mut request = without_query(&json)?;
    if let Json::Object(members) = json
        && let Some((_, Json::String(query))) =
            members.into_iter().find(|(name, _)| name == "query")
    {
        request.query = query;
    }
    Some(request)
}

/// A request without its document.
fn without_query(json: &Json) -> Option<Request> {
    json.as_object().filter(|_| !holds_nul(json))?;
    let extensions = match json.get("extensions") {
        None | Some(Json::Null) => None,
        Some(extensions @ Json::Object(_)) => Some(extensions),
        Some(_) => return None,
    };
    let named = match extensions.and_then(|it| it.get("persistedQuery")) {
        None | Some(Json::Null) => None,
        Some(named) => Some(document_hash(named)?),
    };
    match json.get("query") {
        Some(Json::String(_)) => {}
        // The hash of a document stands for it.
        None | Some(Json::Null) if named.is_some() => {}
        None | Some(_) => return None,
    }
    let mut request = Request::new("");
    if let Some(named) = named {
        request = request.data(named);
    }
    match json.get("operationName") {
        None | Some(Json::Null) => {}
        Some(Json::String(name)) => request = request.operation_name(name),
        Some(_) => return None,
    }
    match json.get("variables") {
        None | Some(Json::Null) => {}
        Some(variables @ Json::Object(_)) => request = request.variables(variables_of(variables)),
        Some(_) => return None,
    }
    Some(request)
}

/// What names a document: `{ "version": 1, "sha256Hash": "…" }`, as Apollo Client writes it.
fn document_hash(named: &Json) -> Option<DocumentHash> {
    let is_known = *named.get("version")? == Json::Number("1".to_owned());
    let hash = DocumentHash::parse(named.get("sha256Hash")?.as_str()?)?;
    is_known.then_some(hash)
}

/// Whether a text holds the one character that PostgreSQL cannot store.
fn holds_nul(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains('\0') || text.contains("\\u0000"),
        Json::Array(items) => items.iter().any(holds_nul),
        Json::Object(members) => members
            .iter()
            .any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn variables_of(json: &Json) -> Variables {
    let mut variables = Variables::default();
    if let Value::Object(members) = to_value(json) {
        for (name, value) in members {
            variables.insert(Name::new(name), value);
        }
    }
    variables
}

/// Reads the query of a GET.
///
/// # Errors
/// [`Rejected`] where it is no request.
pub(crate) fn from_query(query: &str) -> Result<Request, Rejected> {
    const NAMES: [&str; 4] = ["query", "operationName", "variables", "extensions"];
    let bad = |message: &str| Rejected::new(ErrorCode::BadRequest, message);
    let mut members: Vec<(String, Json)> = Vec::new();
    for (name, value) in pairs(query)? {
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            continue;
        };
        // A proxy may go by the one, and we by the other.
        if members.iter().any(|(given, _)| given == name) {
            return Err(bad(&format!("`{name}` is given twice")));
        }
        let json = match name {
            "variables" | "extensions" => fhir::reader::read(value.as_bytes())
                .map_err(|error| bad(&format!("`{name}` cannot be read: {error}")))?,
            // In an address the empty name stands for none (GraphQL over HTTP).
            "operationName" if value.is_empty() => Json::Null,
            _ => Json::String(value),
        };
        members.push((name.to_owned(), json));
    }
    from_owned(Json::Object(members)).ok_or_else(|| bad("say `?query=…` or send a POST"))
}

/// The names and values of an address, in their order.
///
/// # Errors
/// [`Rejected`] where a value cannot be read.
pub(crate) fn pairs(query: &str) -> Result<Vec<(&str, String)>, Rejected> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let read = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((name, percent_decode(value)?))
    });
    let all: Option<Vec<_>> = read.collect();
    all.ok_or_else(|| Rejected::new(ErrorCode::BadRequest, "the address cannot be read"))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                // `from_str_radix` takes a sign, too: `%+1` is no byte.
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<(String, Option<String>), ErrorCode> {
        let read = from_query(address);
        read.map(|request| (request.query, request.operation_name))
            .map_err(|refused| refused.code)
    }

    #[test]
    fn what_is_read_of_an_address_stands_there_once() {
        let of = |query: &str, name: Option<&str>| Ok((query.to_owned(), name.map(str::to_owned)));
        for (address, wanted) in [
            ("query=%7Ba%7D", of("{a}", None)),
            ("query={a}&operationName=A", of("{a}", Some("A"))),
            ("operationName=&query={a}", of("{a}", None)),
            ("query={a}&variables={}&other=1&other=2", of("{a}", None)),
            ("query={a}&query={b}", Err(ErrorCode::BadRequest)),
            ("query={a}&query={a}", Err(ErrorCode::BadRequest)),
            (
                "query={a}&operationName=A&operationName=",
                Err(ErrorCode::BadRequest),
            ),
            (
                "query={a}&variables={}&variables={}",
                Err(ErrorCode::BadRequest),
            ),
            ("query={a}&variables=", Err(ErrorCode::BadRequest)),
            ("", Err(ErrorCode::BadRequest)),
        ] {
            assert_eq!(read(address), wanted, "{address}");
        }
    }
}
