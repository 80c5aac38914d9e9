//! A `DiagnosticReport`: of a laboratory, of imaging, of a history.

use super::elements::{Concept, Party};
use super::parts::Part;
use super::silent::silent;

/// A `DiagnosticReport`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// `code`: which examination.
    pub code: Option<Concept>,
    /// `status`: final, preliminary, cancelled, entered-in-error, …
    pub status: Option<String>,
    /// `conclusion`.
    pub conclusion: Option<String>,
    /// `conclusionCode`.
    pub conclusion_codes: Vec<Concept>,
    /// `result`: the names of its results, wherever they are.
    pub results: Vec<Party>,
    /// `category`: which service it comes from.
    pub categories: Vec<Concept>,
    /// `effective[x]`, in words: what time it is about.
    pub effective: Option<String>,
    /// `issued`.
    pub issued: Option<String>,
    /// `performer`.
    pub performers: Vec<Party>,
    /// `resultsInterpreter`.
    pub interpreters: Vec<Party>,
}

silent!(Report);

/// Whether nothing that a report concludes holds.
pub(super) fn is_void(report: Part<'_>) -> bool {
    let status = report.written("status");
    matches!(status.as_deref(), Some("cancelled" | "entered-in-error"))
}

pub(super) fn report(report: Part<'_>) -> Report {
    Report {
        code: report.concept("code"),
        status: report.written("status"),
        conclusion: report.written("conclusion"),
        conclusion_codes: report.concepts("conclusionCode").collect(),
        results: report.parties("result").collect(),
        categories: report.concepts("category").collect(),
        effective: report.choice("effective"),
        issued: report.written("issued"),
        performers: report.parties("performer").collect(),
        interpreters: report.parties("resultsInterpreter").collect(),
    }
}
