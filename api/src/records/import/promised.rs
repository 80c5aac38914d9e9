//! Files that documents of an import promise and that come by themselves, as `Binary`: where each of them is stored once those are
//! records. How many are waited for has an end, so that memory has one; a document behind it is told so, place by place.

use std::collections::HashMap;

use fhir::{Issue, IssueCode, Severity};

use super::{
    files::{AwaitedFile, TakenFile},
    report::{ForeseenOutcome, Imported},
};
use crate::records::{attachments::AttachmentRequest, draft::SourceAnswer};

/// How many different files are waited for in one import.
const MAX_FILES: usize = 1 << 16;
/// In how many places they are stored, all of them together. 24 bytes each.
const MAX_PLACES: usize = 1 << 18;
/// The rule of a file that is not waited for.
pub(crate) const NOT_AWAITED: &str = "attachment-not-awaited";

/// What documents of an import promise, by its SHA-256, and where it is stored once they are records.
#[derive(Debug, Default)]
pub(crate) struct PromisedFiles {
    files: HashMap<[u8; 32], Vec<AttachmentRequest>>,
    /// How many places wait for a file.
    places: usize,
}

impl PromisedFiles {
    /// Waits for this file.
    pub(crate) fn expect(&mut self, sha256: [u8; 32]) {
        if self.files.len() < MAX_FILES {
            self.files.entry(sha256).or_default();
        }
    }

    /// Whether a document has promised it.
    pub(crate) fn is_expected(&self, file: &TakenFile) -> bool {
        self.files.contains_key(&file.sha256)
    }

    /// Learns which record a document has become, or would become, that promises files in these places; gives what is to be said of
    /// those that are not waited for.
    pub(crate) fn learn(&mut self, promised: &[AwaitedFile], imported: &Imported) -> Vec<Issue> {
        let (record, purpose) = match imported {
            Imported::Stored(stored) | Imported::Amended(stored)
                if stored.source != Some(SourceAnswer::Outdated) =>
            {
                (stored.record.id, Some(stored.purpose))
            }
            // Nothing is stored there: what waits for a file is counted.
            Imported::Checked(foreseen) if foreseen.outcome != ForeseenOutcome::Outdated => {
                (foreseen.record, None)
            }
            Imported::Stored(_)
            | Imported::Amended(_)
            | Imported::Checked(_)
            | Imported::Attached(_)
            | Imported::WithDocument
            | Imported::Kept
            | Imported::Skipped
            | Imported::Unclaimed
            | Imported::Deletion => return Vec::new(),
        };
        let mut not_awaited = Vec::new();
        for promised in promised {
            let asked = AttachmentRequest {
                record,
                place: promised.place,
                purpose,
            };
            if !self.wait(promised.sha256, asked) {
                not_awaited.push(told(&promised.path));
            }
        }
        not_awaited
    }

    /// Waits for a file in this place; whether there is room for that.
    fn wait(&mut self, sha256: [u8; 32], asked: AttachmentRequest) -> bool {
        let places = self.files.get_mut(&sha256);
        let Some(places) = places.filter(|_| self.places < MAX_PLACES) else {
            return false;
        };
        places.push(asked);
        self.places += 1;
        true
    }

    /// The places that wait for a file. What has come once is not waited for again, unless another document promises it.
    pub(crate) fn take_places(&mut self, file: &TakenFile) -> Vec<AttachmentRequest> {
        let places = self.files.get_mut(&file.sha256);
        let places = places.map(std::mem::take).unwrap_or_default();
        self.places -= places.len();
        places
    }
}

fn told(path: &str) -> Issue {
    let message = format!(
        "an import waits for {MAX_FILES} files in {MAX_PLACES} places at most, and not for this one: send it by `PUT /records/{{id}}/attachments/{{n}}`"
    );
    Issue {
        severity: Severity::Warning,
        code: IssueCode::TooCostly,
        path: path.to_owned(),
        rule: NOT_AWAITED.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::RecordId;
    use vault::row::Content;

    use super::*;

    fn file(sha256: [u8; 32]) -> TakenFile {
        TakenFile::new(Content::new(vec![0]), sha256)
    }

    fn place(number: usize) -> AttachmentRequest {
        AttachmentRequest {
            record: RecordId::fresh(),
            place: u32::try_from(number).unwrap_or(u32::MAX),
            purpose: None,
        }
    }

    #[test]
    fn a_file_is_waited_for_in_every_place_until_there_is_no_more_room() {
        let mut promised = PromisedFiles::default();
        let (first, second) = ([1; 32], [2; 32]);
        assert!(!promised.wait(first, place(1)));
        promised.expect(first);
        promised.expect(second);
        for number in 0..MAX_PLACES {
            assert!(promised.wait(first, place(number)));
        }
        assert!(!promised.wait(first, place(0)) && !promised.wait(second, place(0)));

        // What has come gives its room to others.
        assert_eq!(promised.take_places(&file(first)).len(), MAX_PLACES);
        assert!(promised.take_places(&file(first)).is_empty());
        assert!(promised.is_expected(&file(first)) && promised.wait(second, place(0)));
        assert_eq!(promised.take_places(&file(second)).len(), 1);
    }

    #[test]
    fn another_file_behind_the_last_one_is_not_waited_for() {
        let mut promised = PromisedFiles::default();
        let sha256 = |nth: usize| {
            let mut sha256 = [0; 32];
            sha256[..8].copy_from_slice(&nth.to_be_bytes());
            sha256
        };
        for nth in 0..=MAX_FILES {
            promised.expect(sha256(nth));
        }
        assert!(promised.wait(sha256(MAX_FILES - 1), place(1)));
        assert!(!promised.wait(sha256(MAX_FILES), place(1)));
        let told = told("DiagnosticReport.presentedForm[0]");
        assert_eq!(told.rule, "attachment-not-awaited");
        assert_eq!(told.path, "DiagnosticReport.presentedForm[0]");
    }
}
