//! A document of an import of which it is known what it is and whose, before its references are replaced; and the same as
//! bytes, to be put aside until all of its import has arrived.

use chrono::{DateTime, Utc};
use domain::{
    ids::{RecordId, UserId},
    records::RecordType,
    sources::{ContentToken, SourceState, SourceToken},
};
use fhir::{
    Json,
    origin::{NameScope, may_mean_medication, may_mean_record, said_source},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use vault::row::Content;

use super::files::{self, TakenFile};
use crate::{
    error::Error,
    records::{decrypt, draft::DraftSource},
};

/// A document that may become a record.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// Whose.
    pub(crate) patient: UserId,
    /// Of which type.
    pub(crate) record_type: RecordType,
    /// The document, about this patient.
    pub(super) document: Json,
    /// What is searchable in clear.
    pub(super) metadata: Option<Value>,
    /// The key of retries, and the hash of what is asked for.
    pub(super) key: (String, String),
    /// What it is in its source, where that is known.
    pub(crate) source: Option<DraftSource>,
    /// The kind of resource.
    pub(super) kind: &'static str,
    /// What others of the import refer to it by.
    pub(super) names: Vec<String>,
    /// What it is called in its `Bundle`.
    pub(super) full_url: Option<String>,
    /// What it refers to outside of itself.
    pub(super) references: Vec<String>,
    /// The files that were taken out of it.
    pub(super) files: Vec<TakenFile>,
    /// What there is to say of files that it names.
    pub(super) notes: Vec<fhir::Issue>,
}

/// What stands before the document of a [`Prepared`] among bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    id: Option<Uuid>,
    patient: Uuid,
    record_type: String,
    metadata: Option<Value>,
    key: (String, String),
    source: Option<SourceHead>,
    names: Vec<String>,
    full_url: Option<String>,
    references: Vec<String>,
    /// How long each of its files is, and its SHA-256.
    files: Vec<(usize, [u8; 32])>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SourceHead {
    token: SourceToken,
    version: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    content: SourceToken,
}

impl Prepared {
    /// In whose words it speaks of others.
    pub(super) fn scope<'a>(&'a self, source: Option<&'a str>) -> NameScope<'a> {
        let full_url = self.full_url.as_deref();
        NameScope {
            named: source,
            full_url,
            said: said_source(&self.document, full_url),
        }
    }

    /// How many resources it is, each of which may refer to others: those of the entries of a `Bundle`, else one.
    pub(super) fn resources(&self) -> usize {
        let entries = self.document.get("entry").and_then(Json::as_array);
        entries.map_or(1, |entries| entries.len().max(1))
    }

    /// Whether it refers to something that a record may be made of, or that it may contain.
    pub(crate) fn refers_to_others(&self) -> bool {
        let mut references = self.references.iter();
        references.any(|reference| may_mean_record(reference) || may_mean_medication(reference))
    }

    /// What others of the import refer to it by.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it has a UUID and an id, by one of which it is not found where its source is looked up.
    pub(super) fn is_called_beside_its_source(&self) -> bool {
        let is_uuid = |name: &String| name.starts_with("urn:uuid:");
        self.names.len() > 1 && self.names.first().is_some_and(is_uuid)
    }

    /// What it refers to outside of itself.
    pub(crate) fn references(&self) -> &[String] {
        &self.references
    }

    /// The files that were taken out of it.
    pub(crate) fn files(&self) -> &[TakenFile] {
        &self.files
    }

    /// The same, to be changed.
    pub(crate) fn files_mut(&mut self) -> &mut [TakenFile] {
        &mut self.files
    }

    /// Whether it promises files that did not come in it.
    pub(crate) fn promises_files(&self) -> bool {
        files::promises_others(&self.document, &self.files)
    }

    /// Where it says that files are that it neither holds nor promises, as far as a `Binary` may be there.
    pub(super) fn urls(&self) -> Vec<String> {
        files::urls(&self.document)
    }

    /// Whether it says of any.
    pub(crate) fn names_files(&self) -> bool {
        !self.urls().is_empty()
    }

    /// The SHA-256 of what it promises.
    pub(crate) fn promised(&self) -> Vec<[u8; 32]> {
        let promised =
            files::promised_others(&fhir::canonical::to_bytes(&self.document), &self.files);
        promised.into_iter().map(|file| file.sha256).collect()
    }

    /// The kind of resource, if R4 has it.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        Some(self.kind).filter(|kind| !kind.is_empty())
    }

    /// It as bytes, with the id that was reserved to others: what stands before its files, and the document behind them.
    ///
    /// # Errors
    /// [`Error::Internal`] where it cannot be written, which no document comes to.
    pub(crate) fn to_parts(&self, id: Option<RecordId>) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let head = Head {
            id: id.map(|id| id.0),
            patient: self.patient.0,
            record_type: self.record_type.as_str().to_owned(),
            metadata: self.metadata.clone(),
            key: self.key.clone(),
            source: self.source.as_ref().map(|source| SourceHead {
                token: source.state.token,
                version: source.state.version.clone(),
                updated_at: source.state.updated_at,
                content: source.state.content.0,
            }),
            names: self.names.clone(),
            full_url: self.full_url.clone(),
            references: self.references.clone(),
            files: self
                .files
                .iter()
                .map(|file| (file.content.len(), file.sha256))
                .collect(),
        };
        let mut head = serde_json::to_vec(&head).map_err(|_| Error::Internal)?;
        // JSON has no such byte.
        head.push(0);
        Ok((head, fhir::canonical::to_bytes(&self.document)))
    }

    /// It again, and the id that was reserved.
    ///
    /// # Errors
    /// [`Error::Internal`] for bytes that are not the parts of [`Prepared::to_parts`] and its files between them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Self, Option<RecordId>), Error> {
        let end = bytes.iter().position(|&byte| byte == 0);
        let (head, document) = bytes.split_at(end.ok_or(Error::Internal)?);
        let head: Head = serde_json::from_slice(head).map_err(|_| Error::Internal)?;
        let mut rest = document.get(1..).ok_or(Error::Internal)?;
        let mut files = Vec::with_capacity(head.files.len());
        for (length, sha256) in head.files {
            let (content, behind) = rest.split_at_checked(length).ok_or(Error::Internal)?;
            files.push(TakenFile::new(Content::new(content.to_vec()), sha256));
            rest = behind;
        }
        let document = decrypt::document(rest).ok_or(Error::Internal)?;
        let kind = fhir::kind_of(&document).unwrap_or_default();
        let source = head.source.map(|source| DraftSource {
            kind,
            state: SourceState {
                token: source.token,
                version: source.version,
                updated_at: source.updated_at,
                content: ContentToken(source.content),
                open: 0,
            },
        });
        let prepared = Self {
            patient: UserId(head.patient),
            record_type: head.record_type.parse().map_err(|_| Error::Internal)?,
            document,
            metadata: head.metadata,
            key: head.key,
            source,
            kind,
            names: head.names,
            full_url: head.full_url,
            references: head.references,
            files,
            notes: Vec::new(),
        };
        Ok((prepared, head.id.map(RecordId)))
    }
}
