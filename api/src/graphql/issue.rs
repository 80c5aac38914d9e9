//! What is to be said of a document, in the schema.

use async_graphql::{Enum, SimpleObject};

/// How severe a fault of a document is: FHIR's value set `issue-severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "fhir::Severity")]
pub(crate) enum IssueSeverity {
    /// Nothing of the document could be checked.
    Fatal,
    /// The document is refused for it.
    Error,
    /// The document is stored, and lacks something.
    Warning,
    /// Nothing is wrong: something to know of the document.
    Information,
}

/// One fault of a document, as in `extensions.issues` of an error, or something to know of one that was stored.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct DocumentIssue {
    /// How severe the fault is; in `extensions.issues` of an error it is written in small letters, as FHIR does.
    severity: IssueSeverity,
    /// The kind of fault: a code of FHIR's value set `issue-type`.
    code: String,
    /// The faulty element of the document, as a `FHIRPath`.
    path: String,
    /// The name of the rule that the element breaks, or that was not checked (`profile-not-checked`).
    rule: String,
    /// The fault as a sentence for a person. It never repeats the content of the document.
    message: String,
}

impl From<fhir::Issue> for DocumentIssue {
    fn from(issue: fhir::Issue) -> Self {
        Self {
            severity: issue.severity.into(),
            code: issue.code.as_str().to_owned(),
            path: issue.path,
            rule: issue.rule,
            message: issue.message,
        }
    }
}

/// All of them.
pub(crate) fn document_issues(issues: Vec<fhir::Issue>) -> Vec<DocumentIssue> {
    issues.into_iter().map(Into::into).collect()
}
