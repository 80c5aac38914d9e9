//! Files in documents that are too long with them: taken out before anything else is done with the document, and stored beside
//! its record once that is there, by the way of every other file.

use std::sync::Arc;

use domain::ids::RecordId;
use fhir::{
    Issue, IssueCode, Json, Severity, apart,
    attachments::{self, ContentType, MAX_BYTES as MAX_FILE},
};
use uuid::Uuid;
use vault::{
    attachment::{CHUNK, FileHash, decode_in_place},
    digest,
    row::Content,
};

use crate::{
    caller::Caller,
    dependencies::Decryption,
    error::Error,
    long_entries::LongRoom,
    records::{
        attachments::{AttachmentRequest, FileStorage, is_of, promised},
        decrypt,
        disclosure::RecordDisclosure,
    },
};

/// How long the text of a file is at least that is taken out. Unit: bytes. What is shorter fits, 64 times over.
const LONG: usize = 8 << 10;

/// A file that was taken out of its document, or came behind it.
#[derive(Clone)]
pub(crate) struct TakenFile {
    /// What is in it.
    pub(crate) content: Arc<Content>,
    /// Its SHA-256, as the document promises it now.
    pub(crate) sha256: [u8; 32],
    /// The room that it takes among what is long, if it is.
    #[expect(dead_code, reason = "it is there to be dropped")]
    room: Option<Arc<LongRoom>>,
}

impl TakenFile {
    /// A file that has this SHA-256.
    pub(crate) fn new(content: Content, sha256: [u8; 32]) -> Self {
        Self {
            content: Arc::new(content),
            sha256,
            room: None,
        }
    }

    /// The same, which takes this room.
    fn within(&self, room: &Arc<LongRoom>) -> Self {
        Self {
            content: Arc::clone(&self.content),
            sha256: self.sha256,
            room: Some(Arc::clone(room)),
        }
    }
}

/// Has files take the room that their entry had; gives what they do not need.
pub(crate) fn hold(files: &mut [TakenFile], room: Option<LongRoom>) -> Option<LongRoom> {
    let mut room = room?;
    let bytes = files.iter().map(|file| file.content.capacity()).sum();
    let rest = room.keep(bytes);
    let room = Arc::new(room);
    for file in files {
        *file = file.within(&room);
    }
    rest
}

impl std::fmt::Debug for TakenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakenFile({} bytes)", self.content.len())
    }
}

/// A file that a document promises, and that did not come in it.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedFile {
    /// The place of its attachment in the document, from 1.
    pub(crate) place: u32,
    /// The same as a path.
    pub(crate) path: String,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
}

/// A file at its place in a document, from 1.
type PlacedFile = (u32, TakenFile);

/// What became of the files of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FilesStored {
    /// How many are beside the record.
    pub(crate) stored: u64,
    /// How many the caller may not store, though the record is there.
    pub(crate) refused: u64,
}

/// How much of a JSON text is not in long strings: by so much its tree is bounded. Unit: bytes.
pub(super) fn length_without_long_texts(json: &[u8]) -> usize {
    let mut length = 0;
    let mut text: Option<usize> = None;
    let mut is_escaped = false;
    for byte in json {
        let Some(so_far) = text.as_mut() else {
            length += 1;
            text = (*byte == b'"').then_some(0);
            continue;
        };
        if !is_escaped && *byte == b'"' {
            length += 1 + if *so_far < LONG { *so_far } else { 0 };
            text = None;
        } else {
            *so_far += 1;
            is_escaped = !is_escaped && *byte == b'\\';
        }
    }
    length
}

/// Takes the files out of a document that is longer than one may be; none of one that is not.
///
/// # Errors
/// [`Error::Document`] where one of them is not what the document says of it, or cannot be stored.
pub(super) fn take_out(document: &mut Json) -> Result<Vec<TakenFile>, Error> {
    let (mut files, mut issues) = (Vec::new(), Vec::new());
    if fhir::canonical::length(document) <= fhir::reader::MAX_BYTES {
        return Ok(files);
    }
    apart::change_each(
        document,
        &mut |attachment, path| match taken(attachment, path) {
            Ok(taken) => files.extend(taken),
            Err(issue) => issues.push(issue),
        },
    );
    if issues.is_empty() {
        Ok(files)
    } else {
        Err(Error::Document(issues))
    }
}

/// The file of an attachment, which promises it from here on; `None` of one that stays in it, or is not there.
fn taken(attachment: &mut Json, path: &str) -> Result<Option<TakenFile>, Issue> {
    let wrong = |element: &str, rule: &str, told: &str| Issue {
        severity: Severity::Error,
        code: IssueCode::BusinessRule,
        path: format!("{path}.{element}"),
        rule: rule.to_owned(),
        message: told.to_owned(),
    };
    let Some(data) = data_of(attachment, LONG) else {
        return Ok(None);
    };
    let text = |name: &str| attachment.get(name).and_then(Json::as_str);
    let content_type = text("contentType").and_then(ContentType::of);
    let content_type = content_type.ok_or_else(|| {
        let told = "a document with its files has at most 1 MiB, and a file beside it is application/pdf, image/png, image/jpeg, application/dicom or text/plain";
        wrong("contentType", "attachment-type", told)
    })?;
    let content = decode_in_place(data);
    let content =
        content.ok_or_else(|| wrong("data", "attachment-data", "the file is not in base64"))?;
    let size = content.len() as u64;
    if size > MAX_FILE {
        let told = "a file beside a record has at most 16 MiB";
        return Err(wrong("data", "attachment-size", told));
    }
    if !is_of(content_type, &content) {
        let told = "the file is not of the type that the document names";
        return Err(wrong("contentType", "attachment-type", told));
    }
    if let Some(Json::Number(digits)) = attachment.get("size")
        && digits.parse::<u64>().ok() != Some(size)
    {
        let told = "the file is longer or shorter than the document says";
        return Err(wrong("size", "attachment-size", told));
    }
    let mut hash = FileHash::default();
    hash.update(&content);
    let (sha256, sha1) = hash.finish();
    if text("hash").is_some_and(|hash| hash != sha1) {
        let told = "the file has another SHA-1 than the document says";
        return Err(wrong("hash", "attachment-hash", told));
    }
    let digits = digest::to_hex(&sha256);
    if attachments::sha256_of(attachment).is_some_and(|said| said != digits) {
        let told = "the file has another SHA-256 than the document says";
        return Err(wrong("extension", "attachment-sha256", told));
    }
    apart::promise(attachment, size, &digits, &sha1);
    Ok(Some(TakenFile::new(content, sha256)))
}

/// Takes the text of a file out of its element, where it is at least so long.
fn data_of(element: &mut Json, at_least: usize) -> Option<String> {
    let Json::Object(members) = element else {
        return None;
    };
    let data = members.iter_mut().find(|(name, _)| name == "data");
    match data {
        Some((_, Json::String(text))) if text.len() >= at_least => Some(std::mem::take(text)),
        Some(_) | None => None,
    }
}

/// Takes the file out of the `Binary` that it is.
pub(super) fn of_binary(binary: &mut Json) -> Option<TakenFile> {
    let content = decode_in_place(data_of(binary, 0)?)?;
    let sha256 = digest::of_document(&content).0;
    Some(TakenFile::new(content, sha256))
}

/// Where a document says that files are that it neither holds nor promises, as far as a `Binary` may be there.
pub(super) fn urls(document: &Json) -> Vec<String> {
    let named = attachments::of(document);
    let elsewhere = named
        .iter()
        .filter(|it| it.data().is_none() && !it.is_apart());
    let urls = elsewhere.filter_map(attachments::Attachment::url);
    urls.filter(|url| fhir::origin::may_mean_file(url))
        .map(str::to_owned)
        .collect()
}

/// Whether a document promises files that are neither in it nor among these.
pub(crate) fn promises_others(document: &Json, files: &[TakenFile]) -> bool {
    let named = attachments::of(document);
    let mut apart = named.iter().filter(|it| it.is_apart());
    apart.any(|it| file_of(it, files).is_none())
}

/// The files that a document in its canonical form promises, without these.
pub(crate) fn promised_others(canonical: &[u8], files: &[TakenFile]) -> Vec<AwaitedFile> {
    let Some(document) = decrypt::document(canonical) else {
        return Vec::new();
    };
    let named = attachments::of(&document);
    let promised = (1..).zip(&named).filter_map(|(place, attachment)| {
        let is_other = attachment.is_apart() && file_of(attachment, files).is_none();
        let promise = is_other.then(|| attachment.promise().ok())??;
        Some(AwaitedFile {
            place,
            path: attachment.path.clone(),
            sha256: promise.sha256,
        })
    });
    promised.collect()
}

/// Whether an attachment says that its file is where an export has put it: that of another record, once it is imported.
fn is_of_export(attachment: &attachments::Attachment<'_>) -> bool {
    let url = attachment.url().filter(|_| attachment.is_apart());
    let id = url.and_then(|url| url.strip_prefix("Binary/")?.rsplit_once('-'));
    id.is_some_and(|(record, place)| record.parse::<Uuid>().is_ok() && place.parse::<u32>().is_ok())
}

/// Whether a document has to say where its files are, these or those that an export has named.
pub(super) fn are_located(document: &Json, files: &[TakenFile]) -> bool {
    !files.is_empty() || attachments::of(document).iter().any(is_of_export)
}

/// A document that says where its files are: `Binary/<record>-<place>`, as an export calls them.
pub(super) fn located(document: Json, record: RecordId, files: &[TakenFile]) -> Json {
    // Places are counted in the order of the canonical form.
    let mut document = decrypt::document(&fhir::canonical::to_bytes(&document)).unwrap_or(document);
    let are_ours: Vec<(bool, bool)> = attachments::of(&document)
        .iter()
        .map(|it| (is_of_export(it), file_of(it, files).is_some()))
        .collect();
    let mut are_ours = are_ours.into_iter();
    let mut place = 0_u32;
    apart::change_each(&mut document, &mut |attachment, _| {
        place += 1;
        let url = format!("Binary/{record}-{place}");
        match are_ours.next() {
            Some((true, _)) => apart::relocate(attachment, &url),
            Some((false, true)) => apart::locate(attachment, &url),
            Some((false, false)) | None => {}
        }
    });
    document
}

/// Where files belong in a document in its canonical form.
pub(crate) fn placed(canonical: &[u8], files: &[TakenFile]) -> Vec<PlacedFile> {
    if files.is_empty() {
        return Vec::new();
    }
    let Some(document) = decrypt::document(canonical) else {
        return Vec::new();
    };
    let named = attachments::of(&document);
    let placed = (1..).zip(&named).filter_map(|(place, attachment)| {
        let file = file_of(attachment, files)?;
        Some((place, file.clone()))
    });
    placed.collect()
}

/// The one of these files that an attachment promises.
fn file_of<'a>(
    attachment: &attachments::Attachment<'_>,
    files: &'a [TakenFile],
) -> Option<&'a TakenFile> {
    let promise = attachment.is_apart().then(|| attachment.promise().ok())??;
    files.iter().find(|file| file.sha256 == promise.sha256)
}

/// Stores a file of a record that is there, as if it had been sent for itself. What is stored already stays.
///
/// # Errors
/// [`Error::NotFound`] where the record is not the caller's to write, or promises another file; [`Error::Document`] where the file
/// is not what else the document says of it.
pub(crate) async fn store(
    disclosure: &RecordDisclosure,
    decryption: Decryption<'_>,
    caller: &Caller,
    asked: AttachmentRequest,
    file: &TakenFile,
) -> Result<(), Error> {
    let promised = promised(disclosure, decryption, caller, asked).await?;
    // The record that is there may be another than the one that was sent.
    let is_it =
        promised.file.sha256 == file.sha256 && promised.file.size == file.content.len() as u64;
    if !is_it {
        return Err(Error::NotFound("attachment"));
    }
    if !is_of(promised.content_type, &file.content) {
        let told = "the file is not of the type that the document names";
        return Err(promised.differs("contentType", "attachment-type", told));
    }
    let mut storage = FileStorage::begin(decryption.pool, caller, asked, promised.file).await?;
    let mut hash = FileHash::default();
    for (number, chunk) in (0..).zip(file.content.chunks(CHUNK)) {
        hash.update(chunk);
        let sealed = promised.file.seal(&promised.key, number, chunk);
        storage.put(&sealed).await?;
    }
    let (_, sha1) = hash.finish();
    if promised.hash.as_ref().is_some_and(|hash| *hash != sha1) {
        let told = "the file has another SHA-1 than the document says";
        return Err(promised.differs("hash", "attachment-hash", told));
    }
    storage.finish().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    /// A report with a text of so many lines in it, which says more.
    fn report(lines: usize, more: &str) -> Json {
        let data = "bm8gbm9kdWxl".repeat(lines);
        let report = format!(
            r#"{{"resourceType":"DiagnosticReport","presentedForm":[{{"contentType":"text/plain","data":"{data}"{more}}}]}}"#
        );
        decrypt::document(report.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_too_long_is_taken_out_and_says_what_was() {
        let mut fits = report(80_000, "");
        let before = fhir::canonical::to_bytes(&fits);
        assert!(take_out(&mut fits).unwrap().is_empty());
        assert_eq!(fhir::canonical::to_bytes(&fits), before);

        let mut long = report(90_000, r#","size":810000"#);
        let files = take_out(&mut long).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].content.len(), 810_000);
        let record = RecordId::fresh();
        let long = located(long, record, &files);
        let canonical = fhir::canonical::to_bytes(&long);
        assert!(canonical.len() < 1000);
        let said = String::from_utf8(canonical.clone()).unwrap();
        assert!(
            said.contains(&format!(r#""url":"Binary/{record}-1""#)),
            "{said}"
        );
        let placed = placed(&canonical, &files);
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].0, 1);
    }

    #[test]
    fn what_is_not_what_its_document_says_is_refused() {
        for (more, rule) in [
            (r#","size":9"#, "attachment-size"),
            (
                r#","hash":"2jmj7l5rSw0yVb/vlWAYkK/YBwk=""#,
                "attachment-hash",
            ),
            (
                r#","extension":[{"url":"https://meditrustal.example/fhir/StructureDefinition/sha256","valueString":"00"}]"#,
                "attachment-sha256",
            ),
        ] {
            let Err(Error::Document(issues)) = take_out(&mut report(90_000, more)) else {
                unreachable!("{more} is refused");
            };
            assert_eq!(issues[0].rule, rule);
        }
    }

    #[test]
    fn long_texts_do_not_count_and_what_is_around_them_does() {
        let long = "a".repeat(LONG);
        for (json, length) in [
            (r#"{"a":"b\"c"}"#.to_owned(), 12),
            (format!(r#"["{long}"]"#), 4),
            (format!(r#"["{long}\""]"#), 4),
            (format!(r#"[[1,2],"{long}","x"]"#), 14),
        ] {
            assert_eq!(
                length_without_long_texts(json.as_bytes()),
                length,
                "{length}"
            );
        }
    }
}
