//! The formats of FHIR's primitive types (R4, section 2.24.0.1).

use crate::json::Json;
use crate::temporal::{Moment, Precision, is_time};

/// A primitive type of FHIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

impl Primitive {
    /// The primitive of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "canonical" => Self::Canonical,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "markdown" => Self::Markdown,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" => Self::String,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" => Self::Uri,
            "url" => Self::Url,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }

    /// FHIR's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base64Binary => "base64Binary",
            Self::Boolean => "boolean",
            Self::Canonical => "canonical",
            Self::Code => "code",
            Self::Date => "date",
            Self::DateTime => "dateTime",
            Self::Decimal => "decimal",
            Self::Id => "id",
            Self::Instant => "instant",
            Self::Integer => "integer",
            Self::Markdown => "markdown",
            Self::Oid => "oid",
            Self::PositiveInt => "positiveInt",
            Self::String => "string",
            Self::Time => "time",
            Self::UnsignedInt => "unsignedInt",
            Self::Uri => "uri",
            Self::Url => "url",
            Self::Uuid => "uuid",
            Self::Xhtml => "xhtml",
        }
    }

    /// Whether `value` is one of these.
    pub(crate) fn accepts(self, value: &Json) -> bool {
        match value {
            Json::Bool(_) => self == Self::Boolean,
            Json::Number(lexeme) => match self {
                Self::Decimal => true,
                Self::Integer => is_integer(lexeme, i32::MIN),
                Self::UnsignedInt => is_integer(lexeme, 0),
                Self::PositiveInt => is_integer(lexeme, 1),
                _ => false,
            },
            Json::String(text) => self.accepts_text(text),
            Json::Null | Json::Array(_) | Json::Object(_) => false,
        }
    }

    fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::Boolean
            | Self::Decimal
            | Self::Integer
            | Self::UnsignedInt
            | Self::PositiveInt => false,
            Self::Base64Binary => is_base64(text),
            Self::Canonical | Self::Uri | Self::Url => is_uri(text),
            Self::Code => is_code(text),
            Self::Date => Moment::parse(text).is_some_and(|m| m.precision < Precision::Instant),
            Self::DateTime => Moment::parse(text).is_some(),
            Self::Id => is_id(text),
            Self::Instant => is_instant(text),
            Self::Oid => text.strip_prefix("urn:oid:").is_some_and(is_oid),
            Self::Uuid => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
            Self::String | Self::Markdown => is_string(text),
            Self::Time => is_time(text),
            Self::Xhtml => !text.is_empty(), // its own pass: `narrative`
        }
    }
}

/// Whether `text` is an `id`: 1 to 64 of letters, digits, `-` and `.`.
pub(crate) fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether `text` is an `instant`.
pub(crate) fn is_instant(text: &str) -> bool {
    Moment::parse(text).is_some_and(|m| m.precision == Precision::Instant)
}

fn is_integer(lexeme: &str, least: i32) -> bool {
    lexeme.parse::<i32>().is_ok_and(|value| value >= least)
}

/// Not empty and without control characters other than tab and line ends.
pub(crate) fn is_string(text: &str) -> bool {
    let allowed = |b: u8| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r');
    text.bytes().all(allowed) && !text.trim_ascii().is_empty()
}

/// Words with single spaces between them; as in XML, only ASCII is white space.
pub(crate) fn is_code(text: &str) -> bool {
    text.split(' ')
        .all(|word| !word.is_empty() && !word.contains(|c: char| c.is_ascii_whitespace()))
        && is_string(text)
}

/// A `uri`: no blanks; a UUID or an OID is one.
pub(crate) fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b <= b' ' || b == 0x7F) {
        return false;
    }
    // A canonical may end in a version or a fragment.
    let plain = text.split(['|', '#']).next().unwrap_or(text);
    match (
        plain.strip_prefix("urn:uuid:"),
        plain.strip_prefix("urn:oid:"),
    ) {
        // RFC 4122 reads capitals too; only FHIR's own uuid type does not.
        (Some(uuid), _) => is_uuid(&uuid.to_ascii_lowercase()),
        (None, Some(oid)) => is_oid(oid),
        (None, None) => true,
    }
}

fn is_uuid(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => hex(b),
        })
}

fn is_oid(text: &str) -> bool {
    let number = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|b| b.is_ascii_digit())
            && (arc == "0" || !arc.starts_with('0'))
    };
    matches!(text.as_bytes(), [b'0'..=b'2', b'.', ..]) && text.split('.').all(number)
}

/// Groups of four with white space anywhere, `=` only at the end.
fn is_base64(text: &str) -> bool {
    let (mut digits, mut padding) = (0_usize, 0_usize);
    for b in text.bytes() {
        match b {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'=' => padding += 1,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return false,
        }
    }
    digits > 0 && padding <= 2 && (digits + padding).is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_follow_their_format() {
        use Primitive::*;
        let cases: &[(Primitive, &[&str], &[&str])] = &[
            (
                Base64Binary,
                &["QUJD", "QU JD\n", "QQ=="],
                &["", "Q", "QQ=a", "====", "Q*=="],
            ),
            (Code, &["final", "a b"], &["", " a", "a ", "a  b", "a\tb"]),
            (
                Date,
                &["2024", "2024-02-29"],
                &["2023-02-29", "2024-01-01T00:00:00Z"],
            ),
            (
                DateTime,
                &["2024", "2024-01-01T00:00:00Z"],
                &["2024-01-01T00:00:00", "yesterday"],
            ),
            (Id, &["a-B.9"], &["", "a_b", "a b"]),
            (Instant, &["2024-01-01T00:00:00.000Z"], &["2024-01-01"]),
            (
                Oid,
                &["urn:oid:1.2.840"],
                &["1.2.840", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02"],
            ),
            (String, &["a", " a\n"], &["", "  ", "a\u{0}b", "a\u{b}b"]),
            (Markdown, &["# a"], &[""]),
            (Time, &["12:00:00"], &["12:00"]),
            (
                Uri,
                &["http://a", "urn:x", "a/b"],
                &["", "a b", "urn:oid:x", "urn:uuid:1"],
            ),
            (
                Uuid,
                &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
                &["c757873d-ec9a-4326-a141-556f43239520"],
            ),
        ];

        for (primitive, good, bad) in cases {
            for text in *good {
                assert!(primitive.accepts_text(text), "{primitive:?} {text:?}");
            }
            for text in *bad {
                assert!(!primitive.accepts_text(text), "{primitive:?} {text:?}");
            }
        }
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let number = |lexeme: &str| Json::Number(lexeme.to_owned());

        assert!(Primitive::Integer.accepts(&number("-2147483648")));
        assert!(!Primitive::Integer.accepts(&number("2147483648")));
        assert!(!Primitive::Integer.accepts(&number("1.0")));
        assert!(!Primitive::Integer.accepts(&number("1e2")));
        assert!(Primitive::UnsignedInt.accepts(&number("0")));
        assert!(!Primitive::UnsignedInt.accepts(&number("-1")));
        assert!(!Primitive::PositiveInt.accepts(&number("0")));
        assert!(Primitive::Decimal.accepts(&number("1.00e-3")));
        assert!(!Primitive::Decimal.accepts(&Json::String("1".to_owned())));
        assert!(!Primitive::Boolean.accepts(&Json::String("true".to_owned())));
        assert!(!Primitive::String.accepts(&number("1")));
    }
}
