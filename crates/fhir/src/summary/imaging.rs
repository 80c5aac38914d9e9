//! `IMAGING`: how, of what, what was seen, and by whom.

use super::elements::{Concept, Party};
use super::parts::{Part, Parts, distinct};
use super::silent;

/// What `IMAGING` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ImagingSummary {
    /// `modality` of studies, series and media.
    pub modalities: Vec<Concept>,
    /// `code` of reports: which examination.
    pub examinations: Vec<Concept>,
    /// `bodySite` of series and media.
    pub body_sites: Vec<Concept>,
    /// `conclusion` of reports, then `conclusionCode` in words.
    pub findings: Vec<String>,
    /// `note` of studies and media.
    pub notes: Vec<String>,
    /// `resultsInterpreter` of reports.
    pub radiologists: Vec<Party>,
    /// `started` of a study, `effective[x]` of a report, `created[x]` of a media: the first that says.
    pub performed: Option<String>,
}

silent!(ImagingSummary);

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
            modalities: distinct(
                of_study
                    .chain(series().filter_map(|it| coded(it, "modality")))
                    .chain(media().filter_map(|it| it.concept("modality"))),
            ),
            examinations: distinct(reports().filter_map(|report| report.concept("code"))),
            body_sites: distinct(
                series()
                    .filter_map(|it| coded(it, "bodySite"))
                    .chain(media().filter_map(|it| it.concept("bodySite"))),
            ),
            findings: concluded.chain(coded_conclusions).collect(),
            notes: studies()
                .chain(media())
                .flat_map(|it| it.items("note"))
                .filter_map(|note| note.written("text"))
                .collect(),
            radiologists: distinct(reports().flat_map(|it| it.parties("resultsInterpreter"))),
            performed: studies()
                .find_map(|it| it.written("started"))
                .or_else(|| reports().find_map(|it| it.choice("effective")))
                .or_else(|| media().find_map(|it| it.choice("created"))),
        }
    }
}
