#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use super::*;

fn problem(text: &str) -> Problem {
    read(text.as_bytes()).unwrap_err().problem
}

#[test]
fn numbers_keep_their_lexeme_and_members_their_order() {
    let json = read(br#" {"b":[6.0,1e+02,-0.00],"a":"\u00e9\ud83d\ude00\/"} "#).unwrap();

    let members = json.as_object().unwrap();
    assert_eq!(members[0].0, "b");
    let lexemes = ["6.0", "1e+02", "-0.00"].map(|n| Json::Number(n.to_owned()));
    assert_eq!(members[0].1, Json::Array(lexemes.to_vec()));
    assert_eq!(json.get("a").and_then(Json::as_str), Some("é😀/"));
}

#[test]
fn what_json_leaves_open_is_refused() {
    let cases = [
        (r#"{"a":1,"a":1}"#, Problem::DuplicateKey),
        (r#"{"a":1,"\u0061":1}"#, Problem::DuplicateKey),
        (r#""\ud800""#, Problem::LoneSurrogate),
        (r#""\udc00\ud800""#, Problem::LoneSurrogate),
        (r#""\ud800\u0041""#, Problem::LoneSurrogate),
        (r#""\x""#, Problem::BadEscape),
        (r#""\u12"#, Problem::BadEscape),
        ("\"a\nb\"", Problem::ControlCharacter),
        ("NaN", Problem::Unexpected),
        ("\u{feff}{}", Problem::Unexpected),
        ("{} {}", Problem::TrailingData),
        ("[1,]", Problem::Unexpected),
        ("{\"a\":1,}", Problem::Unexpected),
        ("{\"a\"", Problem::UnexpectedEnd),
        ("", Problem::UnexpectedEnd),
        ("\"abc", Problem::UnexpectedEnd),
        ("01", Problem::BadNumber),
        ("1.", Problem::BadNumber),
        ("-", Problem::BadNumber),
        ("1e", Problem::BadNumber),
        ("+1", Problem::Unexpected),
        ("1x", Problem::BadNumber),
        ("tru", Problem::Unexpected),
    ];

    for (text, expected) in cases {
        assert_eq!(problem(text), expected, "{text}");
    }
    assert_eq!(read(b"\"\xff\"").unwrap_err().problem, Problem::NotUtf8);
}

#[test]
fn a_duplicate_key_is_found_in_a_large_object_too() {
    let members: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
    let unique = format!("{{{}}}", members.join(","));
    let doubled = format!("{{{},\"k3\":0}}", members.join(","));

    assert!(read(unique.as_bytes()).is_ok());
    assert_eq!(problem(&doubled), Problem::DuplicateKey);
}

#[test]
fn size_and_depth_end_at_their_limits() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let sized = |bytes: usize| format!("\"{}\"", "a".repeat(bytes - 2));

    assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(
        problem(&nested(MAX_DEPTH + 1)),
        Problem::TooDeep { limit: MAX_DEPTH }
    );
    assert!(read(sized(MAX_BYTES).as_bytes()).is_ok());
    assert_eq!(
        problem(&sized(MAX_BYTES + 1)),
        Problem::TooLarge { limit: MAX_BYTES }
    );
}

#[test]
fn an_error_names_its_position_and_not_the_text() {
    let error = read(b"{\n  \"name\": secret\n}").unwrap_err();

    assert_eq!((error.offset, error.line, error.column), (12, 2, 11));
    assert_eq!(
        error.to_string(),
        "a character that JSON does not allow here (line 2, column 11)"
    );
}

#[test]
fn debug_shows_the_shape_and_not_the_content() {
    let json = read(br#"{"secret":"value"}"#).unwrap();

    assert_eq!(format!("{json:?}"), "object of 1");
}

#[test]
fn a_long_text_with_escapes_takes_no_more_room_than_it_has_in_the_document() {
    let lines = 20_000;
    let text = format!(r#""{}\u00e9\"""#, r"bm8gbm9kdWxl\/\r\n".repeat(lines));
    let Json::String(read) = read(text.as_bytes()).unwrap() else {
        unreachable!("it is a text");
    };
    assert_eq!(read, "bm8gbm9kdWxl/\r\n".repeat(lines) + "é\"");
    assert!(read.capacity() <= text.len(), "{}", read.capacity());
}
