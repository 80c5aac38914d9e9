//! A few entries that come together: all of them are there before the first is stored, so that they may refer to each other. Files
//! among them (`Binary`) are stored when the records are that promise them.

use std::collections::HashSet;

use domain::{
    ids::{RecordId, UserId},
    sources::SourceToken,
};
use fhir::{Json, mentioned::MentionedResource};
use futures::{StreamExt as _, stream};

use super::{
    Drafted, Entry, Import,
    file_writing::{store_behind, store_with_files},
    files::{AwaitedFile, FilesStored, TakenFile, promised_others},
    mentioned::MentionedEntries,
    named::NamedFiles,
    prepared::Prepared,
    promised::PromisedFiles,
    references::{ImportContext, References},
    report::Imported,
    resolution::Resolution,
};
use crate::{
    caller::Caller,
    dependencies::{Drafting, FileWriting},
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
    /// What there is to say of its profiles, if it was not refused, and of files that are not waited for.
    pub(super) notes: Vec<fhir::Issue>,
    /// What became of the files that were taken out of it, or of the file that it is.
    pub(super) files: FilesStored,
    /// How many of its references name records.
    pub(super) resolved: u64,
    /// How many name nothing that is stored.
    pub(super) unresolved: u64,
    /// The id that was reserved to the others.
    reserved: Option<RecordId>,
}

/// An entry that has been looked at.
struct ReadEntry {
    /// The kind of resource that it is.
    kind: Option<&'static str>,
    drafted: Result<Drafted, Error>,
    /// The file that it is, if it is one.
    file: Option<TakenFile>,
    /// What documents call it.
    file_names: Vec<String>,
    /// What documents may refer to, where no record is made of it.
    mentioned: Option<MentionedResource>,
}

/// An entry on its way.
struct PendingEntry {
    entry: ImportedEntry,
    draft: Option<Draft>,
    /// The files that were taken out of it.
    taken: Vec<TakenFile>,
    /// The files that it promises and that did not come in it.
    promised: Vec<AwaitedFile>,
    /// The file that it is, if it is one.
    file: Option<TakenFile>,
}

/// Stores entries; gives what each came to, and how many references name what was refused in the end.
///
/// # Errors
/// The database's, and that of a log-in that is over, before anything is stored.
pub(super) async fn store(
    (writer, writing): (&Writer, FileWriting<'_>),
    drafting: Drafting<'_>,
    caller: &Caller,
    mut import: Import,
    entries: Vec<Entry>,
) -> Result<(Vec<ImportedEntry>, u64), Error> {
    let entries = entries.into_iter();
    let mut read: Vec<ReadEntry> = entries
        .map(|entry| read(&mut import, drafting, caller, entry))
        .collect();
    claim(&import, &mut read);
    let mentioned = mentioned(&mut read);
    let mut promised = PromisedFiles::default();
    for one in &read {
        if let Ok(Drafted::Prepared(prepared)) = &one.drafted
            && prepared.promises_files()
        {
            for sha256 in prepared.promised() {
                promised.expect(sha256);
            }
        }
    }
    let context = ImportContext {
        pool: writing.decryption.pool,
        drafting,
        caller,
        import: &import,
    };
    let mut references = References::default();
    let (pending, at_once) = drafts_of(context, &mut references, &mentioned, read).await?;
    let stored = pending.into_iter().map(|pending| async move {
        let PendingEntry {
            mut entry,
            draft,
            taken,
            promised,
            file,
        } = pending;
        if let Some(draft) = draft {
            let stored = Box::pin(store_with_files(writer, drafting, writing, draft, &taken)).await;
            (entry.result, entry.files) = stored;
        }
        (entry, promised, file)
    });
    let stored: Vec<_> = stream::iter(stored).buffered(at_once).collect().await;
    let mut lost = 0;
    for (one, ..) in &stored {
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
    let stored = attach(writing, caller, promised, stored).await;
    Ok((stored, lost))
}

/// Says what an entry is and whose, and takes its files out of it where it is too long with them.
fn read(import: &mut Import, drafting: Drafting<'_>, caller: &Caller, entry: Entry) -> ReadEntry {
    let kind = entry.kind();
    let file_names = entry.names_as_file(import.source.as_deref());
    let mentioned = entry.mentioned(import.source.as_deref());
    let mut entry = entry.with_files_apart();
    let file = entry.as_mut().ok().and_then(Entry::binary);
    let prepared = entry.and_then(|entry| import.prepare(drafting, caller, entry));
    // What is wrong with a document is told before anything refers to it.
    let drafted = prepared.and_then(|it| import.checked(drafting, caller, it));
    ReadEntry {
        kind,
        drafted,
        file,
        file_names,
        mentioned,
    }
}

/// What documents may refer to among the entries, where no record is made of it.
fn mentioned(read: &mut [ReadEntry]) -> MentionedEntries<Json> {
    let mut entries = MentionedEntries::default();
    for mut resource in read.iter_mut().filter_map(|one| one.mentioned.take()) {
        let medication = resource.medication.take();
        entries.learn(resource, medication);
    }
    entries
}

/// Has documents promise the files among the entries that they name by an address.
fn claim(import: &Import, read: &mut [ReadEntry]) {
    let mut named = NamedFiles::default();
    for one in &*read {
        if let Some(file) = &one.file {
            named.learn(&one.file_names, file);
        }
    }
    for one in read {
        if let Ok(Drafted::Prepared(prepared)) = &mut one.drafted {
            named.claim(prepared, import.source.as_deref());
        }
    }
}

/// Stores the files among entries beside the records that promise them, which are stored by now.
async fn attach(
    writing: FileWriting<'_>,
    caller: &Caller,
    mut promised: PromisedFiles,
    stored: Vec<(ImportedEntry, Vec<AwaitedFile>, Option<TakenFile>)>,
) -> Vec<ImportedEntry> {
    let mut entries = Vec::with_capacity(stored.len());
    for (mut entry, promises, file) in stored {
        if let Ok(imported) = &entry.result {
            entry.notes.extend(promised.learn(&promises, imported));
        }
        entries.push((entry, file));
    }
    let mut attached = Vec::with_capacity(entries.len());
    for (mut entry, file) in entries {
        if let Some(file) = file {
            // None where what promises it was refused, or has it.
            let places = promised.take_places(&file);
            if !places.is_empty() {
                let stored = Box::pin(store_behind(writing, caller, places, &file)).await;
                (entry.result, entry.files) = stored;
            }
        }
        attached.push(entry);
    }
    attached
}

/// Drafts of what is to be stored, their references replaced, and how many of them may be stored at once: two versions of one
/// document come one after the other.
async fn drafts_of(
    context: ImportContext<'_>,
    references: &mut References,
    mentioned: &MentionedEntries<Json>,
    read: Vec<ReadEntry>,
) -> Result<(Vec<PendingEntry>, usize), Error> {
    let documents: Vec<&Prepared> = read
        .iter()
        .filter_map(|one| match &one.drafted {
            Ok(Drafted::Prepared(prepared)) => Some(&**prepared),
            _ => None,
        })
        .collect();
    let refer = documents.iter().any(|one| one.refers_to_others());
    let mut reserved = if refer {
        references.reserve(context, &documents).await?
    } else {
        Vec::new()
    };
    let named = context.import.source.as_deref();
    for (one, id) in documents.iter().zip(&mut reserved) {
        if id.is_none() && references.may_mend(one) {
            let medications = mentioned.medications_of(one, named).into_iter().collect();
            let mended = references.mend(context, one, mentioned, medications);
            *id = mended.await?;
        }
    }
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
    let mut pending = Vec::with_capacity(read.len());
    for one in read {
        let mut it = PendingEntry::of(one.kind, one.file);
        match one.drafted {
            Ok(Drafted::Prepared(prepared)) => {
                it.entry.reserved = reserved.next().flatten();
                let mut resolution = if refer {
                    references.resolve(context, &prepared).await?
                } else {
                    Resolution::of_unresolved(&prepared)
                };
                let medications = mentioned.medications_of(&prepared, named);
                let medications = medications.into_iter().collect();
                resolution.complete(&prepared, named, mentioned, medications);
                it.draft(context, *prepared, &resolution);
            }
            Ok(Drafted::Restored(restored)) => it.draft = Some(*restored),
            Ok(Drafted::Skipped) => {}
            Ok(Drafted::Deletion) => it.entry.result = Ok(Imported::Deletion),
            Err(error) => it.entry.result = Err(error),
        }
        pending.push(it);
    }
    Ok((pending, at_once))
}

impl PendingEntry {
    /// One that nothing is made of yet.
    fn of(kind: Option<&'static str>, file: Option<TakenFile>) -> Self {
        Self {
            entry: ImportedEntry {
                kind,
                result: Ok(Imported::skipped(kind)),
                notes: Vec::new(),
                files: FilesStored::default(),
                resolved: 0,
                unresolved: 0,
                reserved: None,
            },
            draft: None,
            taken: Vec::new(),
            promised: Vec::new(),
            file,
        }
    }

    /// Makes a draft of its document, with its references replaced.
    fn draft(&mut self, context: ImportContext<'_>, prepared: Prepared, resolution: &Resolution) {
        let entry = &mut self.entry;
        (entry.resolved, entry.unresolved) = (resolution.resolved(), resolution.unresolved());
        self.taken = prepared.files().to_vec();
        let promises_files = prepared.promises_files();
        let with = (entry.reserved, resolution);
        let (drafting, import) = (context.drafting, context.import);
        match import.draft(drafting, context.caller, prepared, with) {
            Ok(mut made) => {
                entry.notes = std::mem::take(&mut made.notes);
                if promises_files {
                    self.promised = promised_others(&made.canonical, &self.taken);
                }
                self.draft = Some(made);
            }
            Err(error) => entry.result = Err(error),
        }
    }
}
