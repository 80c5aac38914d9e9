//! What is wrong with a document, in the shape of an `OperationOutcome`.
//!
//! An issue says where and which rule, never what was written there: the value
//! is health data. At most a code of twenty characters is repeated.

use std::fmt::Write as _;

use crate::json::Json;
use crate::reader::ReadError;

/// The code system of [`Issue::rule`] in an `OperationOutcome`.
pub const RULE_SYSTEM: &str = "https://meditrustal.example/fhir/CodeSystem/rule";

/// How much of a path is told: with extensions in extensions it is as long as the document. Unit: characters.
const MAX_PATH: usize = 200;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of issue.
    pub code: IssueCode,
    /// `FHIRPath` of the element, such as `Observation.component[1].valueQuantity`; the beginning of one that is
    /// longer than 200 characters, and `…`.
    pub path: String,
    /// The rule that was broken: an invariant's key such as `obs-6`, `required`,
    /// `binding:observation-status`, `record-type:DIAGNOSIS`. Has no white space.
    pub rule: String,
    /// One sentence for a person.
    pub message: String,
}

impl Issue {
    /// An issue that makes the document unacceptable.
    pub(crate) fn error(
        code: IssueCode,
        path: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (mut path, rule, message) = (path.into(), rule.into(), message.into());
        if let Some((end, _)) = path.char_indices().nth(MAX_PATH) {
            path.replace_range(end.., "…");
        }
        Self {
            severity: Severity::Error,
            code,
            path,
            rule,
            message,
        }
    }

    /// Something to know of a document that may be stored.
    pub(crate) fn information(
        code: IssueCode,
        path: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Information,
            ..Self::error(code, path, rule, message)
        }
    }
}

impl From<ReadError> for Issue {
    fn from(error: ReadError) -> Self {
        Self {
            severity: Severity::Fatal,
            code: IssueCode::Structure,
            path: String::new(),
            rule: "json".to_owned(),
            message: error.to_string(),
        }
    }
}

/// FHIR's issue-severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing could be checked.
    Fatal,
    /// The document is refused.
    Error,
    /// The document is taken, but lacks something.
    Warning,
    /// Nothing is wrong.
    Information,
}

impl Severity {
    /// FHIR's code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

/// The part of FHIR's issue-type that is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueCode {
    /// Not the shape that FHIR prescribes.
    Structure,
    /// An element is missing.
    Required,
    /// A value is not of its type.
    Value,
    /// A rule between elements is broken.
    Invariant,
    /// A code is not in the value set that it must come from.
    CodeInvalid,
    /// A reference to something that is not there.
    NotFound,
    /// There is more wrong than is worth listing.
    TooCostly,
    /// A rule that is not checked here.
    NotSupported,
    /// One of our own rules is broken.
    BusinessRule,
    /// The caller of this crate broke its contract.
    Exception,
    /// Nothing is wrong.
    Informational,
}

impl IssueCode {
    /// FHIR's code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Required => "required",
            Self::Value => "value",
            Self::Invariant => "invariant",
            Self::CodeInvalid => "code-invalid",
            Self::NotFound => "not-found",
            Self::TooCostly => "too-costly",
            Self::NotSupported => "not-supported",
            Self::BusinessRule => "business-rule",
            Self::Exception => "exception",
            Self::Informational => "informational",
        }
    }
}

/// The issues as a FHIR R4 `OperationOutcome`; without any, one that says so.
pub fn operation_outcome(issues: &[Issue]) -> Json {
    let mut listed: Vec<Json> = issues.iter().map(outcome_issue).collect();
    if listed.is_empty() {
        listed.push(object([
            ("severity", text(Severity::Information.as_str())),
            ("code", text(IssueCode::Informational.as_str())),
            ("diagnostics", text("nothing is wrong")),
        ]));
    }
    object([
        ("resourceType", text("OperationOutcome")),
        ("issue", Json::Array(listed)),
    ])
}

fn outcome_issue(issue: &Issue) -> Json {
    let coding = object([("system", text(RULE_SYSTEM)), ("code", text(&issue.rule))]);
    let mut members = vec![
        ("severity", text(issue.severity.as_str())),
        ("code", text(issue.code.as_str())),
        ("details", object([("coding", Json::Array(vec![coding]))])),
        ("diagnostics", text(&issue.message)),
    ];
    if !issue.path.is_empty() {
        members.push(("expression", Json::Array(vec![text(&issue.path)])));
    }
    object(members)
}

/// An object of these members.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(
        members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// A string value.
pub(crate) fn text(value: &str) -> Json {
    Json::String(value.to_owned())
}

/// A place in a document, written out only when something is wrong there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// The place of a resource that lies in nothing else.
    pub(crate) fn root(resource_type: &'a str) -> Self {
        Self {
            parent: None,
            name: resource_type,
            index: None,
        }
    }

    /// The place of the element `name` in this one.
    pub(crate) fn element(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            name,
            index: None,
        }
    }

    /// This place with a position in its list.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Whether this is the place of an element of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// `FHIRPath` as in `Observation.component[1].code`.
    pub(crate) fn render(&self) -> String {
        let mut rendered = match self.parent {
            Some(parent) => parent.render() + ".",
            None => String::new(),
        };
        rendered.push_str(self.name);
        if let Some(index) = self.index {
            // Writing to a String cannot fail.
            write!(rendered, "[{index}]").ok();
        }
        rendered
    }
}
