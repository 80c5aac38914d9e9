//! What is to be said of a document, in the schema.

use async_graphql::SimpleObject;

/// One fault of a document, as in `extensions.issues` of an error, or something to know of one that was stored.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct DocumentIssue {
    /// How severe the fault is: `fatal`, `error` or `information`.
    severity: String,
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
            severity: issue.severity.as_str().to_owned(),
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
