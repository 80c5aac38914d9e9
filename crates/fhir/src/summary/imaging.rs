//! `IMAGING`: how, of what, what was seen, and by whom.

use super::document::{ReferredDocument, document};
use super::elements::{Concept, Party, Period};
use super::measurement::{Measurement, measurement};
use super::parts::{Part, Parts, distinct};
use super::report::{Report, is_void, report};
use super::silent::silent;

/// What `IMAGING` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ImagingSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
    /// `modality` of studies, series and media.
    pub modalities: Vec<Concept>,
    /// `code` of reports: which examination.
    pub examinations: Vec<Concept>,
    /// `bodySite` of series and media, in words with the `laterality` of the series: `Wrist (left)`.
    pub body_sites: Vec<Concept>,
    /// Each `series` of the studies.
    pub series: Vec<ImagingSeries>,
    /// `procedureCode` of studies.
    pub procedures: Vec<Concept>,
    /// Each `Observation`.
    pub observations: Vec<Measurement>,
    /// `status` of each study and media.
    pub states: Vec<ImagingState>,
    /// Each `DiagnosticReport`, with its state.
    pub reports: Vec<Report>,
    /// `conclusion` of reports that were neither cancelled nor entered in error, then their `conclusionCode` in words.
    pub findings: Vec<String>,
    /// `note` of studies and media.
    pub notes: Vec<String>,
    /// `resultsInterpreter` of reports, `interpreter` of studies.
    pub radiologists: Vec<Party>,
    /// `started` of a study, `effective[x]` of a report, `created[x]` of a media: the first that says.
    pub performed: Option<String>,
    /// Each `DocumentReference`.
    pub document_references: Vec<ReferredDocument>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

/// How far an `ImagingStudy` or a `Media` is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ImagingState {
    /// `ImagingStudy` or `Media`.
    pub resource: String,
    /// `status`: available, cancelled, not-done, entered-in-error, …
    pub status: Option<String>,
}

/// A `series` of an `ImagingStudy`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ImagingSeries {
    /// `modality`.
    pub modality: Option<Concept>,
    /// `bodySite`.
    pub body_site: Option<Concept>,
    /// `laterality`: of which side.
    pub laterality: Option<Concept>,
    /// `description`.
    pub description: Option<String>,
    /// `started`.
    pub started: Option<String>,
}

silent!(ImagingSummary, ImagingState, ImagingSeries);

impl ImagingSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let studies = || parts.all("ImagingStudy");
        let series = || studies().flat_map(|study| study.items("series"));
        let media = || parts.all("Media");
        let reports = || parts.all("DiagnosticReport");
        let coded = |part: Part<'_>, key: &str| part.json.get(key).and_then(Concept::of_coding);
        let of_study = studies()
            .flat_map(|study| study.items("modality"))
            .filter_map(|modality| Concept::of_coding(modality.json));
        let valid = || reports().filter(|it| !is_void(*it));
        let concluded = valid().filter_map(|report| report.written("conclusion"));
        let coded_conclusions = valid()
            .flat_map(|report| report.concepts("conclusionCode"))
            .filter_map(|code| code.text);
        Self {
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            document_references: parts.all("DocumentReference").map(document).collect(),
            unsupported_modifiers: Vec::new(),
            modalities: distinct(
                of_study
                    .chain(series().filter_map(|it| coded(it, "modality")))
                    .chain(media().filter_map(|it| it.concept("modality"))),
            ),
            examinations: distinct(reports().filter_map(|report| report.concept("code"))),
            body_sites: distinct(
                series()
                    .filter_map(body_site)
                    .chain(media().filter_map(|it| it.concept("bodySite"))),
            ),
            series: series().map(one_series).collect(),
            procedures: distinct(studies().flat_map(|it| it.concepts("procedureCode"))),
            observations: parts.all("Observation").map(measurement).collect(),
            states: studies()
                .map(|it| state("ImagingStudy", it))
                .chain(media().map(|it| state("Media", it)))
                .collect(),
            reports: reports().map(report).collect(),
            findings: concluded.chain(coded_conclusions).collect(),
            notes: studies()
                .chain(media())
                .flat_map(|it| it.items("note"))
                .filter_map(|note| note.written("text"))
                .collect(),
            radiologists: distinct(
                reports()
                    .flat_map(|it| it.parties("resultsInterpreter"))
                    .chain(studies().flat_map(|it| it.parties("interpreter"))),
            ),
            performed: studies()
                .find_map(|it| it.written("started"))
                .or_else(|| reports().find_map(|it| it.choice("effective")))
                .or_else(|| media().find_map(|it| it.choice("created"))),
        }
    }
}

fn one_series(series: Part<'_>) -> ImagingSeries {
    let read = |key: &str| series.json.get(key).and_then(Concept::of_coding);
    ImagingSeries {
        modality: read("modality"),
        body_site: read("bodySite"),
        laterality: read("laterality"),
        description: series.written("description"),
        started: series.written("started"),
    }
}

fn state(resource: &str, part: Part<'_>) -> ImagingState {
    ImagingState {
        resource: resource.to_owned(),
        status: part.written("status"),
    }
}

/// Which part of the body a series shows, and of which side.
pub(super) fn body_site(series: Part<'_>) -> Option<Concept> {
    let read = |key: &str| series.json.get(key).and_then(Concept::of_coding);
    let side = read("laterality").and_then(|it| it.text);
    let Some(side) = side else {
        return read("bodySite");
    };
    let part = read("bodySite").unwrap_or_default();
    Some(Concept {
        text: Some(match part.text {
            Some(part) => format!("{part} ({side})"),
            None => side,
        }),
        codings: part.codings,
    })
}
