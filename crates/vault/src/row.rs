//! Whether a row is what was written: the one judge of `medical_records` and `patient_keys`, for every
//! reading, every verification and the deep check.
//!
//! Most columns are bound into the envelope, so that an envelope which opens has proven them; the
//! others are compared with what else speaks of them. `docs/envelope.md` lists every column.

use domain::{
    records::{DataHash, RecordType},
    stored::{StoredKey, StoredRecord},
};
use zeroize::Zeroizing;

use crate::{
    digest,
    envelope::{Binding, PatientKey},
};

/// What a document says. Wiped when dropped.
pub type Content = Zeroizing<Vec<u8>>;

/// What an envelope turned out to hold. Prints no content.
#[derive(Clone, PartialEq, Eq)]
pub enum Opened {
    /// Exactly the bytes that were hashed and anchored.
    Intact(Content),
    /// It opened, but something beside it is not as it was written.
    Mismatch {
        /// The hash of what is in there.
        computed: DataHash,
        /// The columns that are wrong.
        astray: Vec<&'static str>,
    },
    /// It did not open.
    Undecryptable,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Intact(_) => f.write_str("Intact(…)"),
            Self::Mismatch { computed, astray } => write!(f, "Mismatch({computed}, {astray:?})"),
            Self::Undecryptable => f.write_str("Undecryptable"),
        }
    }
}

/// Opens a row's envelope with the key it names, unwrapped, and compares the row with what is in it and
/// with what else speaks of it. Nothing comes out of a row in which anything is wrong.
pub fn open(row: &StoredRecord, key: Option<&PatientKey>) -> Opened {
    let content = key.and_then(|key| {
        let binding = binding_under_its_key(row)?;
        key.open(&binding, &row.encrypted_data).ok()
    });
    judged(row, content)
}

/// The same in the envelope's own place, which is taken out of the row: no second copy is made.
pub fn open_in_place(row: &mut StoredRecord, key: Option<&PatientKey>) -> Opened {
    let envelope = std::mem::take(&mut row.encrypted_data);
    let content = key.and_then(|key| {
        let binding = binding_under_its_key(row)?;
        key.open_in_place(&binding, envelope).ok()
    });
    judged(row, content)
}

/// What the content of a row is worth beside the rest of the row.
fn judged(row: &StoredRecord, content: Option<Content>) -> Opened {
    let Some(content) = content else {
        return Opened::Undecryptable;
    };
    let computed = digest::of_document(&content);
    let astray = astray(row, &computed.to_string());
    if astray.is_empty() {
        Opened::Intact(content)
    } else {
        Opened::Mismatch { computed, astray }
    }
}

fn binding_under_its_key(row: &StoredRecord) -> Option<Binding<'_>> {
    // The row of the key says for itself whose it is, and its wrapping binds that.
    let of_key = row.key.as_ref()?;
    if Some(of_key.id) != row.key_id || of_key.patient != row.patient {
        return None;
    }
    binding(row)
}

/// What the envelope of a row belongs to, by the row; `None` where it names no key, or is none that can have been sealed.
pub fn binding(row: &StoredRecord) -> Option<Binding<'_>> {
    Some(Binding {
        record: row.id,
        patient: row.patient,
        author: row.author,
        record_type: row.record_type.parse::<RecordType>().ok()?,
        version: u32::try_from(row.version).ok()?,
        predecessor: row.predecessor,
        is_withdrawn: row.is_withdrawn,
        key: row.key.as_ref()?.id,
        created_at: row.created_at,
        effective_at: row.effective_at,
        code_tokens: row.code_tokens.as_deref(),
        metadata: row.metadata.as_ref(),
        missing: row.missing.as_ref(),
    })
}

/// The columns that no envelope binds and that are not as they should be: the hash is that of the
/// content and of the anchor, the transaction that of the anchor, the end of a version the beginning of the next,
/// a version that the chain says was followed has ended, and every later time is one at which the audit trail says that the row was changed.
fn astray(row: &StoredRecord, computed: &str) -> Vec<&'static str> {
    let anchor = row.anchor.as_ref();
    let known = |at| row.changes.contains(&at);
    let wrong = [
        (
            "data_hash",
            row.data_hash != computed || anchor.is_some_and(|it| it.record_hash != computed),
        ),
        (
            "blockchain_record_id",
            anchor.is_none_or(|it| it.tx_hash != row.blockchain_record_id),
        ),
        (
            "updated_at",
            row.updated_at != row.created_at && !known(row.updated_at),
        ),
        (
            "superseded_at",
            row.superseded_at != row.succeeded_at
                || row.is_anchored_as_superseded && row.superseded_at.is_none(),
        ),
        (
            "restricted_at",
            row.restricted_at.is_some_and(|at| !known(at))
                || row.must_be_restricted && row.restricted_at.is_none(),
        ),
        ("erased_at", row.erased_at.is_some_and(|at| !known(at))),
    ];
    wrong
        .into_iter()
        .filter_map(|(column, wrong)| wrong.then_some(column))
        .collect()
}

/// Whether a record was erased, and the audit trail says so: nothing is left to open.
pub fn is_erased(row: &StoredRecord) -> bool {
    row.erased_at.is_some_and(|at| row.changes.contains(&at))
}

/// Whether a key's row is right, given whether it unwrapped: it must, unless it was destroyed and the
/// audit trail says so.
pub fn key_is_right(row: &StoredKey, unwraps: bool, destruction_is_known: bool) -> bool {
    match (&row.wrapped_key, row.destroyed_at) {
        (Some(_), None) => unwraps,
        (None, Some(_)) => destruction_is_known,
        (Some(_), Some(_)) | (None, None) => false,
    }
}
