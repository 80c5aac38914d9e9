//! A FHIR `Bundle` that is read as it arrives: only what frames its entries is understood here.
//!
//! Its members come in any order. An entry that was taken stays, whatever the Bundle turns out to be.

use crate::issue::{Issue, IssueCode, object, text};
use crate::json::Json;
use crate::primitives::{is_id, is_instant};

use super::{Cut, Kept};

/// The types of `Bundle` whose entries can be taken one by one. A response holds answers.
const TAKEN: [&[u8]; 7] = [
    b"collection",
    b"searchset",
    b"batch",
    b"transaction",
    b"document",
    b"message",
    b"history",
];

/// The longest name, or value of `resourceType` or `type`, that is looked at. Unit: bytes.
const MAX_WORD: usize = 64;

/// Why the rest of an upload cannot be made sense of. Repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something else than a `Bundle`.
    #[error(
        "this is no FHIR Bundle: a single resource, or several without a Bundle, go as NDJSON, one in each line"
    )]
    NotABundle,
    /// A `Bundle` that means something else than its entries one by one.
    #[error(
        "a Bundle of the type collection, searchset, batch, transaction, document, message or history is taken, and none of another type"
    )]
    Type,
    /// A member that may stand there once stands there again.
    #[error("a Bundle has one `resourceType`, one `type` and one `entry`")]
    Twice,
    /// What the entries mean depends on rules that nobody here knows.
    #[error(
        "a Bundle with `implicitRules` is not taken: what its entries mean depends on rules that are not known here"
    )]
    Rules,
    /// No JSON.
    #[error("a character that JSON does not allow here, after {offset} bytes of the Bundle")]
    Json {
        /// How many bytes came before.
        offset: u64,
    },
    /// The upload ends inside of it.
    #[error("the upload ends before its Bundle does")]
    TooEarly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    ResourceType,
    Type,
    Entry,
    Other,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParserState {
    Start,
    FirstName,
    Name,
    InName,
    Colon,
    Value(Member),
    InValue(Member),
    FirstEntry,
    Entry,
    InEntry,
    AfterEntry,
    AfterValue,
    Done,
}

#[derive(Debug)]
pub(super) struct Bundle {
    state: ParserState,
    span: Span,
    kept: Kept,
    word: Vec<u8>,
    is_named_so: bool,
    is_taken: bool,
    has_entries: bool,
    offset: u64,
}

impl Bundle {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: ParserState::Start,
            span: Span::default(),
            kept: Kept::new(limit),
            word: Vec::new(),
            is_named_so: false,
            is_taken: false,
            has_entries: false,
            offset: 0,
        }
    }

    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Cut>, Broken> {
        while let [byte, rest @ ..] = *input {
            if self.state == ParserState::InEntry {
                if let Some(cut) = self.entry(input) {
                    return Ok(Some(cut));
                }
                continue;
            }
            if self.frame(*byte)? {
                *input = rest;
                self.offset += 1;
            }
        }
        Ok(None)
    }

    pub(super) fn take(&mut self, at_least: usize) -> Option<Vec<u8>> {
        self.kept.take(at_least)
    }

    pub(super) fn end(&mut self) -> Result<(), Broken> {
        match self.state {
            ParserState::Done => Ok(()),
            _ => Err(Broken::TooEarly),
        }
    }

    /// Takes what is there of an entry.
    fn entry(&mut self, input: &mut &[u8]) -> Option<Cut> {
        let mut taken = input.len();
        let mut is_over = false;
        for (at, byte) in input.iter().enumerate() {
            match self.span.step(*byte) {
                Step::Inside => {}
                Step::Ends => (taken, is_over) = (at + 1, true),
                Step::EndedBefore => (taken, is_over) = (at, true),
            }
            if is_over {
                break;
            }
        }
        self.kept.add(&input[..taken]);
        self.offset += taken as u64;
        *input = &input[taken..];
        if !is_over {
            return None;
        }
        self.state = ParserState::AfterEntry;
        Some(self.kept.cut())
    }

    /// One byte of what is around the entries. False where it was not used: it belongs to what follows.
    fn frame(&mut self, byte: u8) -> Result<bool, Broken> {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (self.state, byte) {
            (ParserState::InName, b'"') => {
                self.state = ParserState::Colon;
            }
            // A name that is written with escapes could be `entry` in disguise.
            (ParserState::InName, b'\\' | 0..0x20) => return self.refuse(),
            (ParserState::InName, _) => self.remember(byte),
            (ParserState::InValue(member), _) => {
                let step = self.span.step(byte);
                if step != Step::EndedBefore && member != Member::Other {
                    self.remember(byte);
                }
                if step != Step::Inside {
                    self.state = ParserState::AfterValue;
                    self.known(member)?;
                }
                return Ok(step != Step::EndedBefore);
            }
            _ if is_blank => {}
            (ParserState::Start, b'{') => self.state = ParserState::FirstName,
            (ParserState::FirstName | ParserState::Name, b'"') => {
                self.word.clear();
                self.state = ParserState::InName;
            }
            (ParserState::FirstName | ParserState::AfterValue, b'}') => {
                self.whole()?;
                self.state = ParserState::Done;
            }
            (ParserState::Colon, b':') => self.state = ParserState::Value(self.member()?),
            (ParserState::Value(Member::Entry), b'[') => self.state = ParserState::FirstEntry,
            (ParserState::Value(member), _) if member != Member::Entry && self.span.begin(byte) => {
                self.word.clear();
                if member != Member::Other {
                    self.remember(byte);
                }
                self.state = ParserState::InValue(member);
            }
            (ParserState::AfterValue, b',') => self.state = ParserState::Name,
            (ParserState::FirstEntry | ParserState::AfterEntry, b']') => {
                self.state = ParserState::AfterValue;
            }
            (ParserState::AfterEntry, b',') => self.state = ParserState::Entry,
            (ParserState::FirstEntry | ParserState::Entry, _) if self.span.begin(byte) => {
                self.kept.add(&[byte]);
                self.state = ParserState::InEntry;
            }
            _ => return self.refuse(),
        }
        Ok(true)
    }

    fn remember(&mut self, byte: u8) {
        if self.word.len() <= MAX_WORD {
            self.word.push(byte);
        }
    }

    /// Which member it is whose name was read, and whether it may stand here.
    fn member(&mut self) -> Result<Member, Broken> {
        let (member, again) = match self.word.as_slice() {
            b"resourceType" => (Member::ResourceType, self.is_named_so),
            b"type" => (Member::Type, self.is_taken),
            b"entry" => (Member::Entry, self.has_entries),
            b"implicitRules" => return Err(Broken::Rules),
            _ => (Member::Other, false),
        };
        if again {
            return Err(Broken::Twice);
        }
        if member == Member::Entry {
            self.has_entries = true;
        }
        Ok(member)
    }

    /// What a value says that was read whole.
    fn known(&mut self, member: Member) -> Result<(), Broken> {
        let text = self
            .word
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        match member {
            Member::ResourceType if text == Some(b"Bundle") => self.is_named_so = true,
            Member::Type if text.is_some_and(|text| TAKEN.contains(&text)) => self.is_taken = true,
            // A resource that is no Bundle may have a `type`, too.
            Member::Type if self.is_named_so => return Err(Broken::Type),
            Member::ResourceType | Member::Type => return Err(Broken::NotABundle),
            Member::Entry | Member::Other => {}
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), Broken> {
        match (self.is_named_so, self.is_taken) {
            (true, true) => Ok(()),
            (true, false) => Err(Broken::Type),
            (false, _) => Err(Broken::NotABundle),
        }
    }

    fn refuse<T>(&self) -> Result<T, Broken> {
        Err(if self.state == ParserState::Start {
            Broken::NotABundle
        } else {
            Broken::Json {
                offset: self.offset,
            }
        })
    }
}

/// Where one JSON value ends, by its brackets and quotes alone.
#[derive(Debug, Default)]
struct Span {
    depth: u64,
    is_text: bool,
    is_escaped: bool,
    is_word: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The byte is part of the value.
    Inside,
    /// It is its last one.
    Ends,
    /// The value had ended before it.
    EndedBefore,
}

impl Span {
    /// Whether a value may begin so.
    fn begin(&mut self, byte: u8) -> bool {
        *self = Self::default();
        match byte {
            b'{' | b'[' => self.depth = 1,
            b'"' => self.is_text = true,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.is_word = true,
            _ => return false,
        }
        true
    }

    fn step(&mut self, byte: u8) -> Step {
        if self.is_word {
            return match byte {
                b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => Step::Inside,
                _ => Step::EndedBefore,
            };
        }
        if self.is_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_text = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.is_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        if self.depth == 0 && !self.is_text {
            Step::Ends
        } else {
            Step::Inside
        }
    }
}

/// What an entry says that was deleted at its source: a resource of that kind, of which nothing else is known. `None` where
/// it says something else.
pub fn deleted(entry: &Json) -> Option<Json> {
    let request = entry.get("request")?;
    let method = request.get("method").and_then(Json::as_str);
    if method != Some("DELETE") {
        return None;
    }
    let url = request
        .get("url")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let mut segments = url.rsplit('/');
    segments.next()?; // the id
    let kind = segments.next().unwrap_or_default();
    Some(object([("resourceType", text(kind))]))
}

/// The resource of an entry that is to be stored as something new.
///
/// # Errors
/// There is none, or the entry asks for something else: to change, to delete, to read.
pub fn resource_of(entry: Json) -> Result<Json, Vec<Issue>> {
    let method = entry.get("request").map(|request| request.get("method"));
    let version = version_of(&entry);
    let refused = |path: &str, message: &str| {
        vec![Issue::error(
            IssueCode::BusinessRule,
            path,
            "bundle-entry",
            message,
        )]
    };
    if is_modified(&entry) {
        let message = "an entry with a modifier that is not known here is not taken";
        return Err(refused("Bundle.entry.modifierExtension", message));
    }
    let stores =
        |method: Option<&Json>| matches!(method.and_then(Json::as_str), Some("POST" | "PUT"));
    if method.is_some_and(|method| !stores(method)) {
        let message =
            "an entry is stored, by POST or PUT: amend or withdraw what is there by its id";
        return Err(refused("Bundle.entry.request.method", message));
    }
    let Json::Object(members) = entry else {
        return Err(refused(
            "Bundle.entry",
            "an entry is an object with a resource",
        ));
    };
    let resource = members.into_iter().find(|(name, _)| name == "resource");
    let resource = resource.map(|(_, resource)| with_version(resource, version));
    resource.ok_or_else(|| {
        refused(
            "Bundle.entry.resource",
            "an entry is an object with a resource",
        )
    })
}

/// Whether an entry has a modifier of its own. Nothing of it would be stored with the resource.
fn is_modified(entry: &Json) -> bool {
    let parts = ["search", "request", "response"];
    let parts = parts.iter().filter_map(|part| entry.get(part));
    let mut all = std::iter::once(entry).chain(parts);
    all.any(|it| it.get("modifierExtension").is_some())
}

/// Elements of `meta` that an entry says in the place of its resource: the version, and when it was made.
type EntryVersion = [(&'static str, Option<String>); 2];

/// What an entry of a history says of the version that it holds, in `response`.
fn version_of(entry: &Json) -> EntryVersion {
    let said = |element: &str| entry.get("response")?.get(element)?.as_str();
    let tag = said("etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
    let version = tag.filter(|version| is_id(version));
    let modified = said("lastModified").filter(|at| is_instant(at));
    [
        ("versionId", version.map(str::to_owned)),
        ("lastUpdated", modified.map(str::to_owned)),
    ]
}

/// A resource that says so itself, as far as it does not say anything else.
fn with_version(mut resource: Json, version: EntryVersion) -> Json {
    let Json::Object(members) = &mut resource else {
        return resource;
    };
    let said = version.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some((name.to_owned(), Json::String(value)))
    });
    match members.iter_mut().find(|(name, _)| name == "meta") {
        Some((_, Json::Object(meta))) => {
            for (name, value) in said {
                if meta.iter().all(|(known, _)| *known != name) {
                    meta.push((name, value));
                }
            }
        }
        // What is no object is told when the document is checked.
        Some(_) => {}
        None => {
            let meta: Vec<(String, Json)> = said.collect();
            if !meta.is_empty() {
                members.push(("meta".to_owned(), Json::Object(meta)));
            }
        }
    }
    resource
}
