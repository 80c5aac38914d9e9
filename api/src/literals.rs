//! Input objects that are written into a document: each of their fields may stand there once (GraphQL, 5.6.3).
//!
//! async-graphql's parser keeps the last one and forgets that there was another, so this is read off the text,
//! which the parser has found to be well formed. Linear in the text.

use std::collections::HashSet;

use async_graphql::Pos;

/// What a bracket holds.
enum Bracket<'a> {
    /// Arguments, or the definitions of variables.
    Arguments,
    /// Values, or the type of such.
    List,
    /// The fields of an input object that were seen.
    Object(HashSet<&'a str>),
    /// Selected fields.
    Selection,
}

/// Whether a document may hold what anybody wrote: a string, or a comment. Such a text is kept nowhere.
pub(crate) fn holds_free_text(document: &str) -> bool {
    document.contains(['"', '#'])
}

/// Where a text begins that has no end in this document. The parser takes a `"""` that is not closed for an empty text with another one
/// behind it, and looks for its end through all of the document each time; by GraphQL (2.9.4) it is no document.
pub(crate) fn open_text(document: &str) -> Option<Pos> {
    let mut rest = document;
    loop {
        rest = &rest[ignored(rest)..];
        if rest.is_empty() {
            return None;
        }
        let (token, after) = rest.split_at(token(rest));
        // No document ends in a text.
        if token.starts_with('"') && after.is_empty() {
            let before = &document[..document.len() - token.len()];
            let of_line = before.rfind('\n').map_or(0, |end| end + 1);
            return Some(Pos {
                line: 1 + before.matches('\n').count(),
                column: 1 + before[of_line..].chars().count(),
            });
        }
        rest = after;
    }
}

/// Whether an input object in this document has a field twice.
pub(crate) fn repeats_a_field(document: &str) -> bool {
    let mut open: Vec<Bracket<'_>> = Vec::new();
    let mut rest = document;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'#' => comment(rest),
            b'"' => string(rest),
            b'$' => 1 + name(&rest[1..]),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let length = name(rest);
                let (name, after) = rest.split_at(length);
                if let Some(Bracket::Object(seen)) = open.last_mut()
                    && after[ignored(after)..].starts_with(':')
                    && !seen.insert(name)
                {
                    return true;
                }
                length
            }
            b'-' | b'0'..=b'9' => number(rest),
            b'(' | b'[' | b'{' => {
                open.push(match (first, open.last()) {
                    (b'(', _) => Bracket::Arguments,
                    (b'[', _) => Bracket::List,
                    (_, None | Some(Bracket::Selection)) => Bracket::Selection,
                    (_, Some(_)) => Bracket::Object(HashSet::new()),
                });
                1
            }
            b')' | b']' | b'}' => {
                open.pop();
                1
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        rest = &rest[length..];
    }
    false
}

/// How long what begins here is, up to the first byte that is not of it.
fn while_of(text: &str, is_of_it: impl Fn(u8) -> bool) -> usize {
    text.bytes()
        .position(|byte| !is_of_it(byte))
        .unwrap_or(text.len())
}

fn name(text: &str) -> usize {
    while_of(text, |byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn number(text: &str) -> usize {
    while_of(text, |byte| {
        matches!(byte, b'+' | b'-' | b'.') || byte.is_ascii_alphanumeric()
    })
}

fn comment(text: &str) -> usize {
    while_of(text, |byte| !matches!(byte, b'\n' | b'\r'))
}

/// How long the token is that begins here, whatever stands in the text. What begins none is one character.
pub(crate) fn token(text: &str) -> usize {
    match text.bytes().next() {
        None => 0,
        Some(b'"') => string(text),
        Some(b'$') => 1 + name(&text[1..]),
        Some(b'_' | b'a'..=b'z' | b'A'..=b'Z') => name(text),
        Some(b'-' | b'0'..=b'9') => number(text),
        Some(_) => text.chars().next().map_or(1, char::len_utf8),
    }
}

/// How long what is ignored here is: white space, commas, byte order marks and comments.
pub(crate) fn ignored(text: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        length += match rest.chars().next() {
            Some('#') => comment(rest),
            Some(one @ (' ' | '\t' | '\n' | '\r' | ',' | '\u{feff}')) => one.len_utf8(),
            _ => return length,
        };
    }
}

fn string(text: &str) -> usize {
    if let Some(block) = text.strip_prefix(r#"""""#) {
        let mut end = 0;
        while let Some(found) = block[end..].find(r#"""""#) {
            end += found + 3;
            if !block[..end - 3].ends_with('\\') {
                return end + 3;
            }
        }
        return text.len();
    }
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn a_text_without_an_end_is_found() {
        for document in [
            r#"{ f(a: ["""x"]) }"#.to_owned(),
            r#"{ f(c: ["""x"] a: { b: 1 b: 2 }) }"#.to_owned(),
            format!("{{ f(a: [{}]) }}", r#""\"""""x""#.repeat(100)),
            r#"{ f(a: "x) }"#.to_owned(),
        ] {
            assert!(open_text(&document).is_some(), "{document}");
        }
        let at = |line, column| Some(Pos { line, column });
        assert_eq!(open_text(r#"{ f(a: "x) }"#), at(1, 8));
        assert_eq!(open_text("\n{\n é(a: \"\"\"x) }"), at(3, 7));
        for document in [
            r#"{ f(a: """x""") }"#,
            r#"{ f(a: ["" "x"]) }"#,
            r#"{ f(a: """\""" """) }"#,
            r#"{ a } # ""#,
            "{ a }",
            "",
        ] {
            assert_eq!(open_text(document), None, "{document}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_in_one_object_is_found() {
        for document in [
            "{ f(a: { b: 1 b: 2 }) }",
            "{ f(a: { b: 1, c: 2, b: 1 }) }",
            "{ f(a: [{ b: 1 }, { c: 1 c: 1 }]) }",
            "{ f(a: { b: { c: 1 } c: { d: [1 2] d: null } }) }",
            "query ($v: I = { a: 1 a: 2 }) { f(a: $v) }",
            "{ f @include(if: { a: 1 a: 1 }) }",
            "{ f(a: { b # not: this\n : 1 b\u{feff},:2 }) }",
            r#"{ f(a: { b: "}" b: "\"{" }) }"#,
            r#"{ f(a: { b: """ \""" { """ b: 1 }) }"#,
            "{ f(a: { b: $x b: $x }) }",
            "{ f(a: { b: ENUM b: 1 }) }",
            "{ f(a: { b: -1.5e+5 b: 1 }) }",
        ] {
            assert!(parse_query(document).is_ok(), "{document}");
            assert!(repeats_a_field(document), "{document}");
        }
    }

    #[test]
    fn what_stands_once_in_its_own_object_is_left_alone() {
        for document in [
            "{ a a a: b b: a { a a } }",
            "{ f(a: { b: { b: { b: 1 } } }) g(a: { b: 1 }) }",
            "{ f(a: [{ b: 1 }, { b: 1 }]) }",
            "{ f(a: { b: c, c: b }) }",
            "query ($a: [I!]! = [{ a: 1 }, { a: 2 }], $b: I) { a: f(a: $a) { a } b: f(a: $b) { a } }",
            r#"{ f(a: { b: "b: 1, b: 2" c: """ b: 1 "" b: 2 """ }) }"#,
            "{ f(a: { b: $b c: $b }) # b: 1 b: 2\n }",
            "fragment F on Q @x(a: { b: 1 }) { f(a: { b: 1 }) }",
            "",
        ] {
            assert!(!repeats_a_field(document), "{document}");
        }
    }

    #[test]
    fn no_text_stops_it() {
        for text in [
            "\"",
            "\"\"\"",
            "\"\\",
            "{(({{[",
            "}}}",
            "#",
            "$",
            "é\"é",
            "{f(a:{é:1 é:1})}",
        ] {
            repeats_a_field(text);
            repeats_a_field(&text.repeat(1000));
        }
        assert!(parse_query("{ f(a: {b: 1}) }").is_ok());
        parse_query("{ f }").unwrap();
    }
}
