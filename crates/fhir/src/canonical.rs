//! The one spelling of a document that is hashed, encrypted and returned.
//!
//! RFC 8785 (JSON Canonicalization Scheme) for the order of keys (section
//! 3.2.3), the escaping of strings (3.2.2.2) and the absence of white space;
//! numbers alone keep their lexeme, because RFC 8785 would rewrite the decimal
//! `6.0` to `6` and lose its precision.

use std::cmp::Ordering;

use crate::json::Json;

/// The canonical bytes of `json`: UTF-8, no white space, keys sorted.
pub fn to_bytes(json: &Json) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write(json, &mut bytes);
    bytes
}

/// How long the canonical bytes of `json` are, without making them.
pub fn length(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(true) => 4,
        Json::Bool(false) => 5,
        Json::Number(lexeme) => lexeme.len(),
        Json::String(text) => length_of_string(text),
        Json::Array(items) => {
            let commas = items.len().saturating_sub(1);
            2 + commas + items.iter().map(length).sum::<usize>()
        }
        Json::Object(members) => {
            let commas = members.len().saturating_sub(1);
            let of = |(key, value): &(String, Json)| length_of_string(key) + 1 + length(value);
            2 + commas + members.iter().map(of).sum::<usize>()
        }
    }
}

fn length_of_string(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0A | 0x0C | 0x0D => 2,
        0x00..=0x1F => 6,
        _ => 1,
    };
    2 + text.bytes().map(of).sum::<usize>()
}

fn write(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::Null => out.extend(b"null"),
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Number(lexeme) => out.extend(lexeme.as_bytes()),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => write_members(members, out),
    }
}

fn write_members(members: &[(String, Json)], out: &mut Vec<u8>) {
    let mut sorted: Vec<&(String, Json)> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| by_utf16(a, b));
    out.push(b'{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// RFC 8785 sorts by UTF-16 code units, which is not the order of UTF-8 bytes
/// once a character lies beyond U+FFFF.
fn by_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.cmp(b);
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            0x00..=0x1F => b'u',
            _ => continue,
        };
        out.extend(&bytes[written..at]);
        out.extend([b'\\', short]);
        if short == b'u' {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
            out.extend([b'0', b'0', high, low]);
        }
        written = at + 1;
    }
    out.extend(&bytes[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;

    fn canonical(text: &str) -> String {
        String::from_utf8(to_bytes(&read(text.as_bytes()).unwrap())).unwrap()
    }

    #[test]
    fn keys_are_sorted_by_utf16_code_units_as_in_rfc_8785() {
        let shuffled =
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;

        let sorted = canonical(shuffled);

        let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
        assert_eq!(sorted, expected);
    }

    #[test]
    fn strings_are_escaped_as_in_rfc_8785() {
        let text = r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\f\t\u007f""#;

        assert_eq!(
            canonical(text),
            "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\\t\u{7f}\""
        );
    }

    #[test]
    fn the_length_is_that_of_the_bytes() {
        for text in [
            "[]",
            "{}",
            "[null,true,false,6.0]",
            r#"{"b":[{}, {"\u0001\n":"\"\\\u007f"}],"a":"€😀\b\f\r\t\u001f"}"#,
        ] {
            let json = read(text.as_bytes()).unwrap();
            assert_eq!(length(&json), to_bytes(&json).len(), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_lexeme() {
        let text = "[6.0,1E+2,-0.0,333333333.33333329,1e30]";

        assert_eq!(canonical(text), text);
    }

    #[test]
    fn white_space_goes_and_nothing_else_changes() {
        assert_eq!(
            canonical(" { \"b\" : [ true , null ] ,\n\"a\":{} } "),
            r#"{"a":{},"b":[true,null]}"#
        );
    }
}
