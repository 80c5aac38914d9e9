//! Reads JSON without losing what a medical document means.
//!
//! Owns the tree every other module walks. Numbers keep their text, because a
//! FHIR decimal carries its precision (`6.0` is not `6`). What JSON leaves
//! open and an attacker could use to show two readers two documents — duplicate
//! keys, lone surrogates, trailing data — is an error here, as are depth and
//! size beyond what a record may have. Meaning is left to [`crate::check`].

use std::collections::HashSet;

pub use crate::json::Json;

/// The largest document that [`read`] takes, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The deepest nesting of arrays and objects that [`read`] takes.
pub const MAX_DEPTH: usize = 64;

/// Objects with more members than this find duplicate keys by hashing.
const FEW_MEMBERS: usize = 16;

/// From this length on a text with escapes gets room for what is left of it at once. Unit: bytes.
const LONG_TEXT: usize = 64 << 10;

/// Why a text is not a document, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (line {line}, column {column})")]
pub struct ReadError {
    /// What is wrong.
    pub problem: Problem,
    /// Bytes before the place.
    pub offset: usize,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in bytes, from 1.
    pub column: usize,
}

/// What can be wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More bytes than allowed.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The number of bytes allowed.
        limit: usize,
    },
    /// More nesting than allowed.
    #[error("the document is nested deeper than {limit} levels")]
    TooDeep {
        /// The number of levels allowed.
        limit: usize,
    },
    /// A byte sequence that is not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// The text ends inside a value.
    #[error("the document ends too early")]
    UnexpectedEnd,
    /// A character that JSON does not allow here; a byte order mark counts.
    #[error("a character that JSON does not allow here")]
    Unexpected,
    /// Text after the value.
    #[error("text after the end of the document")]
    TrailingData,
    /// Two members of one object share a name.
    #[error("a member of this name already exists in the object")]
    DuplicateKey,
    /// A control character that is not escaped.
    #[error("a control character that is not escaped")]
    ControlCharacter,
    /// An escape that JSON does not have.
    #[error("an escape that JSON does not have")]
    BadEscape,
    /// Half of a surrogate pair.
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    /// A number outside of JSON's grammar, such as `01` or `1.`.
    #[error("a number that JSON does not allow")]
    BadNumber,
}

/// How much [`read_within`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub max_bytes: usize,
    /// Levels of arrays and objects. The reader recurses: stay below 1,000.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: MAX_BYTES,
            max_depth: MAX_DEPTH,
        }
    }
}

/// Reads a document of at most [`MAX_BYTES`] and [`MAX_DEPTH`].
///
/// # Errors
///
/// The first thing that is wrong with the text and where it is.
pub fn read(bytes: &[u8]) -> Result<Json, ReadError> {
    read_within(bytes, Limits::default())
}

/// Reads a document within other limits: what the server added when it stored
/// a document may have pushed it over [`MAX_BYTES`].
///
/// # Errors
///
/// The first thing that is wrong with the text and where it is.
pub fn read_within(bytes: &[u8], limits: Limits) -> Result<Json, ReadError> {
    let fail = |(offset, problem)| ReadError::new(bytes, offset, problem);
    if bytes.len() > limits.max_bytes {
        return Err(fail((
            limits.max_bytes,
            Problem::TooLarge {
                limit: limits.max_bytes,
            },
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| fail((e.valid_up_to(), Problem::NotUtf8)))?;
    let mut reader = Reader {
        text,
        bytes,
        at: 0,
        depth: 0,
        max_depth: limits.max_depth,
    };
    reader.document().map_err(fail)
}

/// How deep arrays and objects are nested in a document that was read: 0 where there are none.
pub fn depth(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(members) => 1 + members.iter().map(|(_, it)| depth(it)).max().unwrap_or(0),
    }
}

impl ReadError {
    fn new(bytes: &[u8], offset: usize, problem: Problem) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |newline| newline + 1);
        let line = before.split(|&b| b == b'\n').count();
        Self {
            problem,
            offset,
            line,
            column: before.len() - line_start + 1,
        }
    }
}

/// A problem and the offset it was found at.
type Failure = (usize, Problem);

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Json, Failure> {
        self.skip_white();
        let value = self.value()?;
        self.skip_white();
        if self.at < self.bytes.len() {
            self.fail(Problem::TrailingData)
        } else {
            Ok(value)
        }
    }

    fn value(&mut self) -> Result<Json, Failure> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.fail(Problem::Unexpected),
            None => self.fail(Problem::UnexpectedEnd),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Json, Failure>) -> Result<Json, Failure> {
        if self.depth == self.max_depth {
            return self.fail(Problem::TooDeep {
                limit: self.max_depth,
            });
        }
        self.depth += 1;
        self.at += 1; // the bracket
        self.skip_white();
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Json, Failure> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_white();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',')?;
            self.skip_white();
        }
    }

    fn object(&mut self) -> Result<Json, Failure> {
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut seen = HashSet::new();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.fail_expected();
            }
            let key = self.string()?;
            let duplicate = if members.len() < FEW_MEMBERS {
                members.iter().any(|(name, _)| *name == key)
            } else {
                if seen.is_empty() {
                    seen.extend(members.iter().map(|(name, _)| name.clone()));
                }
                !seen.insert(key.clone())
            };
            if duplicate {
                return Err((start, Problem::DuplicateKey));
            }
            self.skip_white();
            self.expect(b':')?;
            self.skip_white();
            let value = self.value()?;
            members.push((key, value));
            self.skip_white();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            self.expect(b',')?;
            self.skip_white();
        }
    }

    fn string(&mut self) -> Result<String, Failure> {
        self.at += 1; // the quote
        let mut resolved = String::new();
        loop {
            let start = self.at;
            while self
                .peek()
                .is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20)
            {
                self.at += 1;
            }
            let plain = &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    resolved.push_str(plain);
                    return Ok(resolved);
                }
                Some(b'\\') => {
                    self.reserve(&mut resolved, plain);
                    resolved.push_str(plain);
                    resolved.push(self.escape()?);
                }
                Some(_) => return self.fail(Problem::ControlCharacter),
                None => return self.fail(Problem::UnexpectedEnd),
            }
        }
    }

    /// Makes room in a long text for all that is left of it: grown by doubling, a file in base64 would be held twice.
    fn reserve(&self, resolved: &mut String, plain: &str) {
        let needed = resolved.len() + plain.len() + char::MAX.len_utf8();
        if resolved.len() < LONG_TEXT || needed <= resolved.capacity() {
            return;
        }
        let mut is_escaped = false;
        let rest = self.bytes[self.at..].iter();
        let left = rest.take_while(|byte| {
            let is_end = **byte == b'"' && !is_escaped;
            is_escaped = **byte == b'\\' && !is_escaped;
            !is_end
        });
        resolved.reserve_exact(plain.len() + left.count());
    }

    fn escape(&mut self) -> Result<char, Failure> {
        let start = self.at;
        self.at += 1; // the backslash
        let Some(letter) = self.peek() else {
            return self.fail(Problem::UnexpectedEnd);
        };
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_hex(start)?;
                let code = if (0xD800..0xDC00).contains(&first)
                    && self.bytes[self.at..].starts_with(b"\\u")
                {
                    self.at += 2;
                    let second = self.four_hex(start)?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err((start, Problem::LoneSurrogate));
                    }
                    0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or((start, Problem::LoneSurrogate))?
            }
            _ => return Err((start, Problem::BadEscape)),
        })
    }

    fn four_hex(&mut self, start: usize) -> Result<u32, Failure> {
        let digits = self
            .bytes
            .get(self.at..self.at + 4)
            .ok_or((start, Problem::BadEscape))?;
        let mut code = 0;
        for &digit in digits {
            let value = char::from(digit)
                .to_digit(16)
                .ok_or((start, Problem::BadEscape))?;
            code = code * 16 + value;
        }
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<String, Failure> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'+' | b'-' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.fail(Problem::BadNumber)
            }
            _ => Ok(self.text[start..self.at].to_owned()),
        }
    }

    fn digits(&mut self) -> Result<(), Failure> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return self.fail(Problem::BadNumber);
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Failure> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail(Problem::Unexpected);
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        if self.take(byte) {
            Ok(())
        } else {
            self.fail_expected()
        }
    }

    fn fail_expected<T>(&self) -> Result<T, Failure> {
        self.fail(match self.peek() {
            Some(_) => Problem::Unexpected,
            None => Problem::UnexpectedEnd,
        })
    }

    fn fail<T>(&self, problem: Problem) -> Result<T, Failure> {
        Err((self.at, problem))
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
