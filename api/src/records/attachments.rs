//! Files that documents name: in them, or beside the record. Who may read a record may read its files, by the same decision
//! and with a row of their own; who may amend it may store what it promises, and nothing else.

use domain::{
    access::{AccessRequest, Action, Decision, decide_file},
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    ids::RecordId,
    purpose::Purpose,
    stored::StoredRecord,
};
use fhir::{
    Issue, IssueCode, Json, Severity,
    attachments::{Attachment, ContentType, HEAD, MAX_ATTACHMENTS, Promise, of},
};
use serde_json::json;
use store::{
    Pool, Transaction,
    attachment_chunks::{self, FilePlace},
    audit,
    records::{self, Record},
};
use vault::{
    attachment::{CHUNK, FileHash, SealedFile, decode},
    digest,
    envelope::PatientKey,
    keyring::Keyring,
    row::Content,
};

use super::{
    decrypt,
    disclosure::{Disclosed, DisclosureRequest, RecordDisclosure, Wanted},
};
use crate::{caller::Caller, dependencies::Decryption, error::Error, facts::Facts};

/// Which file somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttachmentRequest {
    /// Of which record.
    pub(crate) record: RecordId,
    /// Which of the document's attachments it is, from 1.
    pub(crate) place: u32,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
}

/// A file that may be read.
#[derive(Debug)]
pub(crate) struct NamedFile {
    /// Which of the document's attachments it is, from 1.
    pub(crate) place: u32,
    /// Its media type, by what is in it.
    pub(crate) content_type: &'static str,
    /// How its name ends.
    pub(crate) extension: &'static str,
    /// Its length. Unit: bytes.
    pub(crate) size: u64,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
    record: RecordId,
    held: HeldFile,
}

/// Where a file is.
#[derive(Debug)]
enum HeldFile {
    Inline(Content),
    Apart(SealedFile, PatientKey),
}

/// A file that may be stored.
#[derive(Debug)]
pub(crate) struct PromisedFile {
    /// As it will be sealed.
    pub(crate) file: SealedFile,
    /// Of which type it is.
    pub(crate) content_type: ContentType,
    /// Its SHA-1 in base64, where the document names one.
    pub(crate) hash: Option<String>,
    /// What it is sealed under.
    pub(crate) key: PatientKey,
    path: String,
}

/// Refuses a document that names what cannot be stored, or has a file in it that is not what it says.
///
/// # Errors
/// [`Error::Document`] with every issue.
pub(super) fn check(document: &Json) -> Result<(), Error> {
    let named = of(document);
    let issues: Vec<Issue> = named.iter().enumerate().flat_map(wrong).collect();
    if issues.is_empty() {
        Ok(())
    } else {
        Err(Error::Document(issues))
    }
}

fn wrong((nth, attachment): (usize, &Attachment<'_>)) -> Vec<Issue> {
    if attachment.is_apart() {
        if nth < MAX_ATTACHMENTS {
            return attachment.promise().err().unwrap_or_default();
        }
        let told = "files beside a record belong to the first 64 attachments of its document";
        return vec![attachment.differs("extension", "attachment-count", told)];
    }
    let content = attachment.data().and_then(decode);
    let issue = content.and_then(|content| untrue(attachment, &content));
    issue.into_iter().collect()
}

/// What an element says of the file in it, and is not so.
fn untrue(attachment: &Attachment<'_>, content: &[u8]) -> Option<Issue> {
    let declared = attachment.content_type().and_then(ContentType::of);
    if declared.is_some_and(|declared| !is_of(declared, content)) {
        let told = "the file is not of the type that the document names";
        return Some(attachment.differs("contentType", "attachment-type", told));
    }
    let length = content.len() as u64;
    if attachment.size().is_some_and(|size| size != length) {
        let told = "the file is longer or shorter than the document says";
        return Some(attachment.differs("size", "attachment-size", told));
    }
    if attachment.hash().is_none() && attachment.sha256().is_none() {
        return None;
    }
    let mut hash = FileHash::default();
    hash.update(content);
    let (sha256, sha1) = hash.finish();
    if attachment.hash().is_some_and(|said| said != sha1) {
        let told = "the file has another SHA-1 than the document says";
        return Some(attachment.differs("hash", "attachment-hash", told));
    }
    let digits = digest::to_hex(&sha256);
    if attachment.sha256().is_some_and(|said| said != digits) {
        let told = "the file has another SHA-256 than the document says";
        return Some(attachment.differs("extension", "attachment-sha256", told));
    }
    None
}

/// Whether a file is of this type and of no other.
pub(crate) fn is_of(content_type: ContentType, content: &[u8]) -> bool {
    content_type.begins(content.get(..HEAD).unwrap_or(content)) && content_type.goes_on(content)
}

/// Asks the record disclosure for a record, and opens its document.
async fn ask(
    disclosure: &RecordDisclosure,
    decryption: Decryption<'_>,
    caller: &Caller,
    asked: AttachmentRequest,
    wanted: Wanted,
) -> Result<(Disclosed, Json), Error> {
    let record = asked.record;
    let inquiry = DisclosureRequest {
        caller: caller.clone(),
        record,
        purpose: asked.purpose,
        wanted,
        budget: None,
    };
    let disclosed = disclosure.ask(inquiry).await?;
    let sealed = disclosed.sealed.as_ref();
    let sealed = sealed.ok_or(Error::NotFound("record"))?;
    let opened = decrypt::open(decryption.keyring, sealed).await?;
    let bytes = decrypt::intact(decryption.pool, sealed, opened).await?;
    let document = decrypt::document(&bytes).ok_or(Error::Integrity(record))?;
    Ok((disclosed, document))
}

/// The file beside a record that the attachment of this place promises.
fn promised_file(record: RecordId, place: u32, promise: Promise) -> SealedFile {
    SealedFile {
        record,
        place,
        size: promise.size,
        sha256: promise.sha256,
    }
}

/// The attachment of this place.
fn nth<'a>(named: &'a [Attachment<'a>], place: u32) -> Result<&'a Attachment<'a>, Error> {
    let nth = usize::try_from(place).ok().and_then(|it| it.checked_sub(1));
    nth.and_then(|nth| named.get(nth))
        .ok_or(Error::NotFound("attachment"))
}

/// The key of a record that was opened by it a moment ago.
async fn key_of(keyring: &Keyring, sealed: Option<&StoredRecord>) -> Result<PatientKey, Error> {
    let sealed = sealed.ok_or(Error::NotFound("record"))?;
    let stored = sealed.key.as_ref().ok_or(Error::Integrity(sealed.id))?;
    let key = keyring.unwrap(&[stored]).await?.pop();
    key.and_then(Result::ok).ok_or(Error::Integrity(sealed.id))
}

/// Lets somebody read a file: decided as the record is, and written down first.
///
/// # Errors
/// [`Error::NotFound`] where there is no such record or attachment, or the caller may not know of it.
pub(crate) async fn open(
    disclosure: &RecordDisclosure,
    decryption: Decryption<'_>,
    caller: &Caller,
    asked: AttachmentRequest,
) -> Result<NamedFile, Error> {
    let wanted = Wanted::Attachment(asked.place);
    let (disclosed, document) = ask(disclosure, decryption, caller, asked, wanted).await?;
    let named = of(&document);
    let attachment = nth(&named, asked.place)?;
    if let Some(content) = attachment.data().and_then(decode) {
        return Ok(inline(asked, attachment, content));
    }
    let key = key_of(decryption.keyring, disclosed.sealed.as_ref()).await?;
    let file = apart((asked.record, asked.place), attachment, key);
    file.ok_or(Error::NotFound("attachment"))
}

fn inline(asked: AttachmentRequest, attachment: &Attachment<'_>, content: Content) -> NamedFile {
    let declared = attachment.content_type().and_then(ContentType::of);
    let content_type = declared.filter(|it| is_of(*it, &content));
    NamedFile {
        place: asked.place,
        content_type: content_type.map_or("application/octet-stream", ContentType::as_str),
        extension: content_type.map_or("bin", ContentType::extension),
        size: content.len() as u64,
        sha256: digest::of_document(&content).0,
        record: asked.record,
        held: HeldFile::Inline(content),
    }
}

/// The file beside a record that an attachment promises.
fn apart(
    (record, place): (RecordId, u32),
    attachment: &Attachment<'_>,
    key: PatientKey,
) -> Option<NamedFile> {
    let promise = attachment.promise().ok()?;
    let file = promised_file(record, place, promise);
    Some(NamedFile {
        place,
        content_type: promise.content_type.as_str(),
        extension: promise.content_type.extension(),
        size: promise.size,
        sha256: promise.sha256,
        record,
        held: HeldFile::Apart(file, key),
    })
}

/// The files beside a record that was disclosed to be taken out, as its document promises them, whether they are stored or not.
///
/// # Errors
/// [`Error::Integrity`] where the key is not what it was.
pub(crate) async fn beside(
    keyring: &Keyring,
    disclosed: &Disclosed,
    document: &[u8],
) -> Result<Vec<NamedFile>, Error> {
    let Some(document) = decrypt::document(document) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for (place, attachment) in (1..).zip(&of(&document)) {
        if attachment.is_apart() {
            let key = key_of(keyring, disclosed.sealed.as_ref()).await?;
            files.extend(apart((disclosed.record.id, place), attachment, key));
        }
    }
    Ok(files)
}

impl NamedFile {
    /// The chunk of this number, of [`CHUNK`] bytes but for the last.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the file was not stored yet; [`Error::Integrity`] where it is not what was stored, or the trail
    /// says that it was stored and it is gone.
    pub(crate) async fn chunk(&self, pool: &Pool, number: u32) -> Result<Content, Error> {
        let (file, key) = match &self.held {
            HeldFile::Inline(content) => {
                let nth = usize::try_from(number).unwrap_or(usize::MAX);
                let chunk = content.chunks(CHUNK).nth(nth).unwrap_or_default();
                return Ok(chunk.to_vec().into());
            }
            HeldFile::Apart(file, key) => (file, key),
        };
        let place = file_place(file)?;
        let nth = i32::try_from(number).map_err(|_| Error::Internal)?;
        let mut conn = pool.acquire().await?;
        let sealed = attachment_chunks::chunk(&mut conn, place, nth).await?;
        if sealed.is_none() && !attachment_chunks::is_missing(&mut conn, place, nth).await? {
            return Err(Error::NotFound("attachment"));
        }
        drop(conn);
        let opened = sealed.and_then(|sealed| file.open(key, number, &sealed).ok());
        opened.ok_or_else(|| {
            tracing::error!(record.id = %self.record, place = file.place, chunk = number, "A chunk of a file is not as it was stored");
            Error::Integrity(self.record)
        })
    }

    /// How many chunks it has.
    pub(crate) fn chunks(&self) -> u32 {
        u32::try_from(self.size.div_ceil(CHUNK as u64)).unwrap_or(u32::MAX)
    }

    /// Opens each of its chunks, and keeps none.
    ///
    /// # Errors
    /// As of [`Self::chunk`].
    pub(crate) async fn check(&self, pool: &Pool) -> Result<(), Error> {
        for number in 0..self.chunks() {
            self.chunk(pool, number).await?;
        }
        Ok(())
    }

    /// What its name is.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}.{}", self.record, self.place, self.extension)
    }
}

fn file_place(file: &SealedFile) -> Result<FilePlace, Error> {
    Ok(FilePlace {
        record: file.record,
        place: i32::try_from(file.place).map_err(|_| Error::Internal)?,
    })
}

/// Lets somebody store a file that a document promises.
///
/// # Errors
/// [`Error::NotFound`] where there is no such record or attachment, or the caller may not know of it; [`Error::Document`] where the
/// document promises none.
pub(crate) async fn promised(
    disclosure: &RecordDisclosure,
    decryption: Decryption<'_>,
    caller: &Caller,
    asked: AttachmentRequest,
) -> Result<PromisedFile, Error> {
    let wanted = Wanted::AttachmentUpload(asked.place);
    let (disclosed, document) = ask(disclosure, decryption, caller, asked, wanted).await?;
    let named = of(&document);
    let named = named.get(..MAX_ATTACHMENTS).unwrap_or(&named);
    let attachment = nth(named, asked.place)?;
    if attachment.data().is_some() {
        return Err(Error::Conflict {
            field: "attachment",
            message: "the document has this file in it".to_owned(),
        });
    }
    let promise = attachment.promise().map_err(Error::Document)?;
    Ok(PromisedFile {
        file: promised_file(asked.record, asked.place, promise),
        content_type: promise.content_type,
        hash: attachment.hash().map(str::to_owned),
        key: key_of(decryption.keyring, disclosed.sealed.as_ref()).await?,
        path: attachment.path.clone(),
    })
}

impl PromisedFile {
    /// That what came is not what an element of the document says.
    pub(crate) fn differs(&self, element: &str, rule: &str, told: &str) -> Error {
        Error::Document(vec![Issue {
            severity: Severity::Error,
            code: IssueCode::BusinessRule,
            path: format!("{}.{element}", self.path),
            rule: rule.to_owned(),
            message: told.to_owned(),
        }])
    }
}

/// A file that is being stored: all of it, or nothing.
#[derive(Debug)]
pub(crate) struct FileStorage {
    tx: Transaction,
    place: FilePlace,
    next: i32,
    /// Whether any chunk was not there already.
    is_new: bool,
    entry: AuditEntry,
}

impl FileStorage {
    /// Decides once more, in the transaction that stores the file: it has arrived meanwhile.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the caller may not store it any more, or the record was erased.
    pub(crate) async fn begin(
        pool: &Pool,
        caller: &Caller,
        asked: AttachmentRequest,
        file: SealedFile,
    ) -> Result<Self, Error> {
        let mut tx = pool.begin().await?;
        let facts = Facts::gather_of_records(&mut tx, [caller], &[file.record]).await?;
        let said = asked.purpose.or(caller.purpose);
        let record = records::by_ids(&mut tx, &[file.record]).await?.pop();
        let record = record.ok_or(Error::NotFound("record"))?;
        let actor = facts.actor(caller)?;
        let purpose = said.unwrap_or_else(|| actor.default_purpose(Some(record.patient)));
        let access_request = AccessRequest {
            actor,
            patient: record.patient,
            action: Action::Amend,
            purpose,
            record_type: record.record_type,
            availability: record.availability,
            destination: None,
            // No emergency lets anybody write.
            emergency: None,
            now: facts.now,
        };
        let consents = facts.consents_of(record.patient);
        let decision = decide_file(&access_request, record.author, consents);
        if let Decision::Deny(reason) = decision {
            let entry = denied(caller, &record, purpose, (reason.as_str(), decision));
            audit::insert(&mut tx, &[entry]).await?;
            tx.commit().await?;
            return Err(Error::NotFound("record"));
        }
        if !attachment_chunks::hold_record(&mut tx, record.id).await? {
            return Err(Error::NotFound("record"));
        }
        Ok(Self {
            tx,
            place: file_place(&file)?,
            next: 0,
            is_new: false,
            entry: stored(caller, &record, purpose, (&file, decision)),
        })
    }

    /// Stores the next chunk, where it is not there: each chunk is bound to what the document promises, so that one that somebody
    /// has removed is put back beside those that are left.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn put(&mut self, sealed: &[u8]) -> Result<(), Error> {
        self.is_new |=
            attachment_chunks::insert(&mut self.tx, self.place, self.next, sealed).await?;
        self.next += 1;
        Ok(())
    }

    /// Writes down that it is stored, and commits. False where all of it was there already.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn finish(self) -> Result<bool, Error> {
        let Self {
            mut tx,
            is_new,
            entry,
            ..
        } = self;
        if is_new {
            audit::insert(&mut tx, &[entry]).await?;
            tx.commit().await?;
        }
        Ok(is_new)
    }
}

fn stored(
    caller: &Caller,
    record: &Record,
    purpose: Purpose,
    (file, decision): (&SealedFile, Decision),
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(
            json!({ "version": record.version, "attachment": file.place, "bytes": file.size }),
        ),
        consent: decision.consent(),
        representation: decision.representation(),
        classification: Classification::Medical,
        encryption: EncryptionStatus::EncryptedAtRest,
        patient: Some(record.patient),
        ..caller.entry(AuditAction::RecordAmend, purpose)
    }
}

fn denied(
    caller: &Caller,
    record: &Record,
    purpose: Purpose,
    (reason, decision): (&str, Decision),
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        resource_id: record.id.0,
        new_value: Some(json!({ "reason": reason, "asked": record.id, "wanted": Action::Amend })),
        consent: decision.consent(),
        classification: Classification::Medical,
        patient: Some(record.patient),
        ..caller.entry(AuditAction::AccessDenied, purpose)
    }
}
