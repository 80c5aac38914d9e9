//! A few entries that come together: all of them are there before the first is stored, so that they may refer to each other.

use std::collections::{HashMap, HashSet};

use domain::{
    ids::{RecordId, UserId},
    sources::SourceToken,
};
use futures::{StreamExt as _, stream};
use store::Pool;

use super::{
    Drafted, Entry, Import,
    prepared::Prepared,
    references::{ImportContext, References, Resolution},
    report::Imported,
    store as store_draft,
};
use crate::{
    caller::Caller,
    dependencies::Drafting,
    error::Error,
    records::{draft::Draft, writer::Writer},
};

/// How many are with the writer at once.
const AT_ONCE: usize = 64;

/// What an entry came to.
pub(super) struct ImportedEntry {
    /// The kind of resource that it is.
    pub(super) kind: Option<&'static str>,
    /// What it came to.
    pub(super) result: Result<Imported, Error>,
    /// What there is to say of its profiles, if it was not refused.
    pub(super) notes: Vec<fhir::Issue>,
    /// How many of its references name records.
    pub(super) resolved: u64,
    /// How many name nothing that is stored.
    pub(super) unresolved: u64,
    /// The id that was reserved to the others.
    reserved: Option<RecordId>,
}

/// An entry on its way.
struct PendingEntry {
    entry: ImportedEntry,
    draft: Option<Draft>,
}

/// Stores entries; gives what each came to, and how many references name what was refused in the end.
///
/// # Errors
/// The database's, and that of a log-in that is over, before anything is stored.
pub(super) async fn store(
    (pool, writer): (&Pool, &Writer),
    drafting: Drafting<'_>,
    caller: &Caller,
    mut import: Import,
    entries: Vec<Entry>,
) -> Result<(Vec<ImportedEntry>, u64), Error> {
    let mut drafted = Vec::with_capacity(entries.len());
    for entry in entries {
        let kind = entry.kind();
        let prepared = import.prepare(drafting, caller, entry);
        // What is wrong with a document is told before anything refers to it.
        let checked = prepared.and_then(|it| import.checked(drafting, caller, it));
        drafted.push((kind, checked));
    }
    let context = ImportContext {
        pool: Some(pool),
        drafting,
        caller,
        import: &import,
    };
    let mut references = References::default();
    let (pending, at_once) = drafts_of(context, &mut references, drafted).await?;
    let stored = pending
        .into_iter()
        .map(|PendingEntry { entry, draft }| async move {
            let result = match draft {
                Some(draft) => store_draft(writer, drafting, draft).await,
                None => entry.result,
            };
            ImportedEntry { result, ..entry }
        });
    let stored: Vec<ImportedEntry> = stream::iter(stored).buffered(at_once).collect().await;
    let mut lost = 0;
    for one in &stored {
        let is_it = |reserved: RecordId| match &one.result {
            Ok(Imported::Stored(stored) | Imported::Amended(stored)) => {
                stored.record.id == reserved
            }
            Ok(_) | Err(_) => false,
        };
        if let Some(reserved) = one.reserved.filter(|reserved| !is_it(*reserved)) {
            lost += references.lose(reserved);
        }
    }
    Ok((stored, lost))
}

/// Drafts of what is to be stored, their references replaced, and how many of them may be stored at once: two versions of one
/// document come one after the other.
async fn drafts_of(
    context: ImportContext<'_>,
    references: &mut References,
    drafted: Vec<(Option<&'static str>, Result<Drafted, Error>)>,
) -> Result<(Vec<PendingEntry>, usize), Error> {
    let documents: Vec<&Prepared> = drafted
        .iter()
        .filter_map(|(_, drafted)| match drafted {
            Ok(Drafted::Prepared(prepared)) => Some(&**prepared),
            _ => None,
        })
        .collect();
    let refer = documents.iter().any(|one| one.refers_to_records());
    let reserved = if refer {
        references.reserve(context, &documents).await?
    } else {
        Vec::new()
    };
    let mut sources: HashSet<(UserId, SourceToken)> = HashSet::new();
    let mut known = documents
        .iter()
        .filter_map(|one| Some((one.patient, one.source.as_ref()?.state.token)));
    let at_once = if known.all(|source| sources.insert(source)) {
        AT_ONCE
    } else {
        1
    };
    let mut reserved = reserved.into_iter();
    let mut pending = Vec::with_capacity(drafted.len());
    for (kind, drafted) in drafted {
        let mut entry = ImportedEntry {
            kind,
            result: Ok(Imported::Skipped),
            notes: Vec::new(),
            resolved: 0,
            unresolved: 0,
            reserved: None,
        };
        let mut draft = None;
        match drafted {
            Ok(Drafted::Prepared(prepared)) => {
                entry.reserved = reserved.next().flatten();
                let resolution = if refer {
                    references.resolve(context, &prepared).await?
                } else {
                    unresolved_all(&prepared)
                };
                (entry.resolved, entry.unresolved) = (resolution.resolved(), resolution.unresolved);
                let with = (entry.reserved, &resolution.to);
                let (drafting, import) = (context.drafting, context.import);
                match import.draft(drafting, context.caller, *prepared, with) {
                    Ok(mut made) => {
                        entry.notes = std::mem::take(&mut made.notes);
                        draft = Some(made);
                    }
                    Err(error) => entry.result = Err(error),
                }
            }
            Ok(Drafted::Restored(restored)) => draft = Some(*restored),
            Ok(Drafted::Skipped) => {}
            Ok(Drafted::Deletion) => entry.result = Ok(Imported::Deletion),
            Err(error) => entry.result = Err(error),
        }
        pending.push(PendingEntry { entry, draft });
    }
    Ok((pending, at_once))
}

/// The references of a document where none could mean a record.
fn unresolved_all(prepared: &Prepared) -> Resolution {
    Resolution {
        to: HashMap::new(),
        records: Vec::new(),
        unresolved: prepared.references().len() as u64,
    }
}
