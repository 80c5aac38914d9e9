//! `IMAGING`: how, of what, what was seen, and by whom.

use super::elements::{Concept, Party};
use super::parts::{Part, Parts, distinct};
use super::report::{Report, report};
use super::silent::silent;

/// What `IMAGING` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ImagingSummary {
    /// `modality` of studies, series and media.
    pub modalities: Vec<Concept>,
    /// `code` of reports: which examination.
    pub examinations: Vec<Concept>,
    /// `bodySite` of series and media, in words with the `laterality` of the series: `Wrist (left)`.
    pub body_sites: Vec<Concept>,
    /// `status` of each study and media.
    pub states: Vec<ImagingState>,
    /// Each `DiagnosticReport`, with its state.
    pub reports: Vec<Report>,
    /// `conclusion` of reports, then `conclusionCode` in words.
    pub findings: Vec<String>,
    /// `note` of studies and media.
    pub notes: Vec<String>,
    /// `resultsInterpreter` of reports, `interpreter` of studies.
    pub radiologists: Vec<Party>,
    /// `started` of a study, `effective[x]` of a report, `created[x]` of a media: the first that says.
    pub performed: Option<String>,
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

silent!(ImagingSummary, ImagingState);

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
        let concluded = reports().filter_map(|report| report.written("conclusion"));
        let coded_conclusions = reports()
            .flat_map(|report| report.concepts("conclusionCode"))
            .filter_map(|code| code.text);
        Self {
            unsupported_modifiers: Vec::new(), // `summarise` knows the whole document
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

fn state(resource: &str, part: Part<'_>) -> ImagingState {
    ImagingState {
        resource: resource.to_owned(),
        status: part.written("status"),
    }
}

/// Which part of the body a series shows, and of which side.
fn body_site(series: Part<'_>) -> Option<Concept> {
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
