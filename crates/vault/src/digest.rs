//! SHA-256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use domain::records::DataHash;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The SHA-256 of a document's canonical bytes: what `sha256sum` of them prints.
pub fn of_document(canonical: &[u8]) -> DataHash {
    DataHash(sha256(canonical))
}

/// The SHA-256 of a secret or a request, as 64 lower-case hexadecimal digits.
pub fn hex_of(bytes: &[u8]) -> String {
    to_hex(&sha256(bytes))
}

/// The SHA-256 of a JSON value, however it was written: keys sorted by their bytes, no white space,
/// strings and numbers as `serde_json` prints them.
pub fn of_json(value: &Value) -> [u8; 32] {
    sha256(canonical(value).as_bytes())
}

/// A JSON value as it is hashed by [`of_json`]: keys sorted by their bytes, no white space.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
        Value::Array(items) => {
            text.push('[');
            for (nth, item) in items.iter().enumerate() {
                text.push_str(if nth == 0 { "" } else { "," });
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (nth, (key, item)) in entries.into_iter().enumerate() {
                text.push_str(if nth == 0 { "" } else { "," });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(item, text);
            }
            text.push('}');
        }
    }
}

/// The SHA-256 of anything, as it is.
pub(crate) fn of(bytes: &[u8]) -> [u8; 32] {
    sha256(bytes)
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Letters, digits, `-` and `_`, without padding: base64url (RFC 4648, section 5).
pub fn to_base64url(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes that a text in base64url says; `None` for any other text.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The bytes that pairs of hexadecimal digits say; `None` for any other text.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    });
    bytes.collect()
}

fn digit(text: u8) -> Option<u8> {
    let value = char::from(text).to_digit(16)?;
    u8::try_from(value).ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_vector_holds() {
        // FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex_of(b"abc"), wanted);
        assert_eq!(of_document(b"abc").to_string(), wanted);
    }

    #[test]
    fn a_json_value_has_one_hash_however_it_was_written() {
        let read = |text: &str| {
            serde_json::from_str::<Value>(text)
                .map(|value| of_json(&value))
                .ok()
        };
        let canonical = r#"{"a":[1,"\"",true,null],"b":{"c":-2}}"#;
        let written = r#" { "b" : {"c": -2}, "a": [1, "\u0022", true, null] } "#;
        assert_eq!(read(canonical), Some(sha256(canonical.as_bytes())));
        assert_eq!(read(written), read(canonical));
        for other in [
            r#"{"a":[1,"\"",true],"b":{"c":-2}}"#,
            r#"{"a":[1,"\"",true,null],"b":{"c":-2.0}}"#,
            r#"{"a":[1,"\"",true,null,{"b":{"c":-2}}]}"#,
            "[]",
        ] {
            assert_ne!(read(other), read(canonical), "{other}");
        }
    }
}
