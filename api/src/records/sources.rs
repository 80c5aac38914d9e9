//! What the writer answers of documents that their source has sent before, and what it notes of those that are new.
//!
//! A document is known by what is made of its name under the index key (`vault`'s `source`), of one patient: never across
//! patients. What follows it is a draft of its own, which the writer decides on as on any amendment.

use std::collections::{HashMap, HashSet};

use domain::{
    ids::{RecordId, UserId},
    records::Availability,
    sources::{RecordSource, SourceComparison, SourceToken},
};
use store::{
    PgConnection, StoreError, Tx, audit,
    record_sources::{self, StoredSource},
    records::{self, Record},
};
use vault::blind_index::IndexKey;

use super::{
    authorize::{Permitted, read_again},
    draft::{SourceAnswer, Stored},
    record_rows::SignedDraft,
};
use crate::error::Error;

/// A document of a source, of one patient.
pub(super) type SourceOfPatient = (UserId, SourceToken);

/// What is known of documents of sources: of those that are there the rows, but those that are not as they were written.
#[derive(Debug, Default)]
pub(super) struct KnownSources {
    rows: HashMap<SourceOfPatient, Vec<RecordSource>>,
    /// Of which there is a row that somebody else has written, and of which record it speaks.
    forged: HashMap<SourceOfPatient, RecordId>,
}

impl KnownSources {
    /// Reads what is known of these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn read(
        conn: &mut PgConnection,
        index_key: &IndexKey,
        asked: &[SourceOfPatient],
    ) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for StoredSource { source, mac } in record_sources::find(conn, asked).await? {
            let of = (source.patient, source.state.token);
            if index_key.is_source_row(&source, &mac) {
                known.rows.entry(of).or_default().push(source);
            } else {
                tracing::error!(record.id = %source.record, "A row of record_sources is not as it was written");
                known.forged.insert(of, source.record);
            }
        }
        Ok(known)
    }

    /// The records that these were made into.
    pub(super) fn records(&self) -> impl Iterator<Item = RecordId> {
        self.rows.values().flatten().map(|row| row.record)
    }

    /// The versions that are known of a document.
    ///
    /// # Errors
    /// [`Error::Integrity`] where one of them is not as it was written: then nothing is known of the document.
    pub(super) fn of(&self, asked: &SourceOfPatient) -> Result<&[RecordSource], Error> {
        match self.forged.get(asked) {
            Some(record) => Err(Error::Integrity(*record)),
            None => Ok(self.rows.get(asked).map(Vec::as_slice).unwrap_or_default()),
        }
    }
}

/// What a draft for a new record is called by its source.
fn called(permitted: &Permitted<'_>) -> Option<SourceOfPatient> {
    let draft = permitted.asked.draft;
    let source = draft.source.as_ref().filter(|_| draft.follows.is_none())?;
    Some((draft.patient, source.state.token))
}

/// Answers those whose source has sent them before, with the record that is there; gives the others. Must come after
/// it was decided who may store what, and before keys of retries are looked at: what a source said last counts.
pub(super) async fn answer_known<'a>(
    tx: &mut Tx<'_>,
    permitted: Vec<Permitted<'a>>,
    index_key: &IndexKey,
) -> Result<Vec<Permitted<'a>>, StoreError> {
    let asked: Vec<SourceOfPatient> = permitted.iter().filter_map(called).collect();
    if asked.is_empty() {
        return Ok(permitted);
    }
    let known = KnownSources::read(tx, index_key, &asked).await?;
    let ids: Vec<RecordId> = known.records().collect();
    let there = records::by_ids(tx, &ids).await?;
    let mut in_this_batch: HashSet<SourceOfPatient> = HashSet::new();
    let mut reads = Vec::new();
    let mut others = Vec::with_capacity(permitted.len());
    for permitted in permitted {
        let Some(of) = called(&permitted) else {
            others.push(permitted);
            continue;
        };
        match compare(&permitted, &of, &known, &there) {
            Ok(None) if in_this_batch.insert(of) => others.push(permitted),
            // The same document is being stored: the next try finds it.
            Ok(None) => permitted.asked.answer(Err(Error::met_another())),
            Ok(Some((record, answer))) => {
                reads.push(read_again(record, &permitted));
                let (purpose, draft) = (permitted.purpose, permitted.asked.draft);
                permitted.asked.answer(Ok(Stored {
                    record: record.clone(),
                    purpose,
                    on_behalf_of: draft.caller.on_behalf_of,
                    anchor: None,
                    source: Some(answer),
                }));
            }
            Err(error) => permitted.asked.answer(Err(error)),
        }
    }
    audit::insert(tx, &reads).await?;
    Ok(others)
}

/// What a draft is beside what is known, and of which record; `None` where nothing is.
fn compare<'r>(
    permitted: &Permitted<'_>,
    of: &SourceOfPatient,
    known: &KnownSources,
    there: &'r [Record],
) -> Result<Option<(&'r Record, SourceAnswer)>, Error> {
    let draft = permitted.asked.draft;
    let Some(source) = &draft.source else {
        return Ok(None);
    };
    let (id, answer) = match source.state.compare(known.of(of)?) {
        SourceComparison::Unknown => return Ok(None),
        SourceComparison::Same(id) => (id, SourceAnswer::Same),
        SourceComparison::Outdated(id) => (id, SourceAnswer::Outdated),
        SourceComparison::Changed(id) => (id, SourceAnswer::Changed),
        SourceComparison::Mended { record, .. } => (record, SourceAnswer::Mended),
    };
    let record = there.iter().find(|record| record.id == id);
    let record = record.filter(|record| record.patient == draft.patient);
    let record = record.ok_or(Error::Integrity(id))?;
    // What is restricted is shown to nobody but whose it is.
    let is_open = record.availability == Availability::Open;
    // It was decided for this type alone.
    let is_decided = record.record_type == draft.record_type;
    if (!is_open && draft.caller.subject() != draft.patient)
        || (!is_decided && draft.caller.user != draft.patient)
    {
        return Err(Error::NotFound("record"));
    }
    let answer = match answer {
        SourceAnswer::Changed if !is_decided => return Err(filed_otherwise()),
        // It says what is there: no version is made for references alone.
        SourceAnswer::Mended if !is_decided => SourceAnswer::Same,
        SourceAnswer::Same
        | SourceAnswer::Outdated
        | SourceAnswer::Changed
        | SourceAnswer::Mended => answer,
    };
    Ok(Some((record, answer)))
}

/// What patients are told whose source has filed a document as another type since: no version has another type than
/// the one before.
fn filed_otherwise() -> Error {
    Error::Conflict {
        field: "source",
        message: "the record that was made of it is of another type: withdraw that by its id, and import this with another `key`"
            .to_owned(),
    }
}

/// The rows of what was made of documents of sources, with their MACs.
pub(super) fn rows(
    signed_drafts: &[SignedDraft<'_>],
    index_key: &IndexKey,
) -> Vec<(RecordSource, SourceToken)> {
    let rows = signed_drafts.iter().filter_map(SignedDraft::source);
    rows.map(|row| {
        let mac = index_key.source_row_mac(&row);
        (row, mac)
    })
    .collect()
}
