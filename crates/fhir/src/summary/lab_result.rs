//! `LAB_RESULT`: what was tested, what came out, what is usual, where.

use std::collections::HashSet;

use super::document::{ReferredDocument, document};
use super::elements::{Concept, Party, Period};
use super::measurement::{Measurement, measurement};
use super::parts::{Parts, distinct};
use super::report::{Report, is_void, report};
use super::silent::silent;

/// What a `LAB_RESULT` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LabResultSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// What was ordered: the `code` of each report, or of each `Observation` where there is none.
    pub tests: Vec<Concept>,
    /// Each `DiagnosticReport`, with its state.
    pub reports: Vec<Report>,
    /// Each `Observation`.
    pub results: Vec<Measurement>,
    /// `performer` of reports and observations.
    pub facilities: Vec<Party>,
    /// `resultsInterpreter` of reports.
    pub interpreters: Vec<Party>,
    /// When it was issued, else what time it is about: of the first report that says.
    pub issued: Option<String>,
    /// `conclusion` of reports that were neither cancelled nor entered in error.
    pub conclusions: Vec<String>,
    /// Each `DocumentReference`.
    pub document_references: Vec<ReferredDocument>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

silent!(LabResultSummary);

impl LabResultSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let reports = || parts.all("DiagnosticReport");
        let observations = || parts.all("Observation");
        let ordered = distinct(reports().filter_map(|report| report.concept("code")));
        let tests = if ordered.is_empty() {
            distinct(observations().filter_map(|it| it.concept("code")))
        } else {
            ordered
        };
        let all = || reports().chain(observations());
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            document_references: parts.all("DocumentReference").map(document).collect(),
            unsupported_modifiers: Vec::new(),
            tests,
            reports: reports().map(report).collect(),
            results: observations().map(measurement).collect(),
            facilities: distinct_parties(all().flat_map(|it| it.parties("performer"))),
            interpreters: distinct(reports().flat_map(|it| it.parties("resultsInterpreter"))),
            issued: all().find_map(|it| it.written("issued").or_else(|| it.choice("effective"))),
            conclusions: reports()
                .filter(|it| !is_void(*it))
                .filter_map(|it| it.written("conclusion"))
                .collect(),
        }
    }
}

/// One and the same may be named here and only referred to there.
fn distinct_parties(all: impl Iterator<Item = Party>) -> Vec<Party> {
    let mut references = HashSet::new();
    let is_new = |party: &Party| match &party.reference {
        Some(reference) => references.insert(reference.clone()),
        None => true,
    };
    distinct(all.filter(is_new))
}
