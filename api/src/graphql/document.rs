//! JSON that keeps its numbers as they were written. FHIR decimals carry their precision (`1.10` is
//! not `1.1`), and floating point would lose it on the way in and out.
//!
//! async-graphql's value has no place for a number's text, but it has `Binary`, which JSON never
//! uses: a number that floating point would rewrite travels as its text in there, and a stored document
//! as its bytes.

use std::sync::Arc;

use async_graphql::{InputValueResult, Name, Response, Scalar, ScalarType, Value};
use axum::body::Bytes;
use fhir::Json;
use serde_json::Number;
use vault::row::Content;

/// A FHIR R4 resource as JSON. Numbers keep their digits: `1.10` stays `1.10`. Send it as a variable,
/// not written into the query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Document {
    /// As it was read.
    Read(Json),
    /// As it is stored: canonical bytes, which are JSON text and go out as they are. Whoever makes one
    /// has compared them with the hash that they were stored under.
    Stored(Arc<Content>),
}

/// A stored document on its way out: sent from where it was opened, and wiped when it was sent.
struct ShownContent(Arc<Content>);

impl AsRef<[u8]> for ShownContent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Document {
    /// The document to be worked with.
    pub(crate) fn into_json(self) -> Json {
        match self {
            Self::Read(json) => json,
            Self::Stored(bytes) => fhir::reader::read(&bytes).unwrap_or(Json::Null),
        }
    }
}

/// Any JSON value, such as a FHIR R4 resource. Numbers keep their digits: `1.10` stays `1.10`. Send it as a variable,
/// not written into the query.
#[Scalar(
    name = "JSON",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259"
)]
impl ScalarType for Document {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self::Read(from_value(value)))
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Read(json) => to_value(json),
            Self::Stored(bytes) => {
                Value::Binary(Bytes::from_owner(ShownContent(Arc::clone(bytes))))
            }
        }
    }
}

impl From<serde_json::Value> for Document {
    fn from(value: serde_json::Value) -> Self {
        Self::Read(from_serde(value))
    }
}

impl From<Document> for serde_json::Value {
    fn from(document: Document) -> Self {
        to_serde(document.into_json())
    }
}

fn from_serde(value: serde_json::Value) -> Json {
    use serde_json::Value;
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(value),
        Value::Number(number) => Json::Number(number.to_string()),
        Value::String(text) => Json::String(text),
        Value::Array(items) => Json::Array(items.into_iter().map(from_serde).collect()),
        Value::Object(members) => {
            let members = members.into_iter();
            Json::Object(members.map(|(k, v)| (k, from_serde(v))).collect())
        }
    }
}

fn to_serde(json: Json) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(lexeme) => lexeme.parse().map_or(Value::Null, Value::Number),
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(to_serde).collect()),
        Json::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(k, v)| (k, to_serde(v))).collect())
        }
    }
}

fn from_value(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Number(number) => Json::Number(number.to_string()),
        Value::Binary(lexeme) => Json::Number(String::from_utf8_lossy(&lexeme).into_owned()),
        Value::String(text) => Json::String(text),
        Value::Enum(name) => Json::String(name.to_string()),
        Value::Boolean(value) => Json::Bool(value),
        Value::List(items) => Json::Array(items.into_iter().map(from_value).collect()),
        Value::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(key, value)| (key.to_string(), from_value(value)))
                .collect(),
        ),
    }
}

/// A JSON value as async-graphql holds it.
pub(crate) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(lexeme) => match lexeme.parse::<Number>() {
            Ok(number) if number.to_string() == *lexeme => Value::Number(number),
            _ => Value::Binary(lexeme.clone().into_bytes().into()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(to_value).collect()),
        Json::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (Name::new(key), to_value(value)))
                .collect(),
        ),
    }
}

/// About how long an answer is as JSON text: exact but for what has to be escaped. Unit: bytes.
pub(crate) fn length(response: &Response) -> usize {
    let errors = response.errors.iter().map(|error| {
        let extensions = error.extensions.iter();
        // Places, paths and the names of members.
        let around = 100 + 40 * error.path.len();
        around + error.message.len() + extensions.map(|_| 200).sum::<usize>()
    });
    errors.sum::<usize>() + length_of(&response.data)
}

fn length_of(value: &Value) -> usize {
    // Quotes, commas, colons and brackets.
    match value {
        Value::Null | Value::Boolean(_) => 5,
        Value::Number(_) => 12,
        Value::Binary(text) => text.len() + 1,
        Value::String(text) => text.len() + 3,
        Value::Enum(name) => name.len() + 3,
        Value::List(items) => 3 + items.iter().map(length_of).sum::<usize>(),
        Value::Object(members) => {
            let members = members.iter();
            3 + members
                .map(|(name, member)| name.len() + 3 + length_of(member))
                .sum::<usize>()
        }
    }
}

/// Appends a value as JSON text.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Binary(lexeme) => out.push_str(&String::from_utf8_lossy(lexeme)),
        Value::String(text) => write_text(text, out),
        Value::Enum(name) => write_text(name, out),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::List(items) => {
            out.push('[');
            for (nth, item) in items.iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (nth, (key, member)) in members.iter().enumerate() {
                write_member(nth, key, member, out);
            }
            out.push('}');
        }
    }
}

fn write_member(nth: usize, key: &str, member: &Value, out: &mut String) {
    if nth > 0 {
        out.push(',');
    }
    write_text(key, out);
    out.push(':');
    write(member, out);
}

/// Appends a text as JSON text.
pub(crate) fn write_text(text: &str, out: &mut String) {
    // RFC 8259, section 7, says what must be escaped; hardly any text holds it.
    let is_plain = |byte| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_text_is_written_as_every_reader_of_json_reads_it() {
        for text in [
            "",
            "plain",
            "q\"q",
            "b\\b",
            "line\nline",
            "\u{1f}\u{7f}é\u{2028}𝄞",
            "\0",
        ] {
            let mut out = String::new();
            write_text(text, &mut out);
            assert_eq!(out, serde_json::Value::from(text).to_string());
        }
    }

    #[test]
    fn numbers_keep_their_digits_on_the_way_in_and_out() {
        let text = r#"{"a":1.10,"b":6.0,"c":[1e3,-0.00,12345678901234567890123],"d":"x\n","e":null,"f":true}"#;
        let json = fhir::reader::read(text.as_bytes()).unwrap();
        let value = to_value(&json);
        assert_eq!(Document::parse(value.clone()).unwrap().into_json(), json);
        let mut out = String::new();
        write(&value, &mut out);
        assert_eq!(out, text);
    }

    #[test]
    fn what_is_stored_goes_out_byte_for_byte() {
        let text = r#"{"a":1.10,"b":["x\n",null]}"#;
        let stored = Document::Stored(Arc::new(text.as_bytes().to_vec().into()));
        let mut out = String::new();
        write(&stored.to_value(), &mut out);
        assert_eq!(out, text);
    }
}
