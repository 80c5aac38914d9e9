//! One entry of an import as it arrives: a FHIR resource, an entry of a `Bundle`, or a line of an archive,
//! which is a resource and what an export says of it besides.

use domain::{
    ids::RecordId,
    records::{DataHash, RecordType},
};
use fhir::{
    Json,
    mentioned::MentionedResource,
    origin::{NameScope, said_source},
    reader,
};
use serde_json::Value;

use super::files::{self, TakenFile};
use crate::error::Error;

/// The longest entry. Unit: bytes. A document with a file of 16 MiB in it, which is a third longer in base64.
pub(crate) const MAX_BYTES: usize = 24 << 20;
/// How much of it is not in long texts, such as files. Unit: bytes. As of a GraphQL request: a document of 1 MiB with white
/// space in it.
pub(crate) const MAX_AROUND_FILES: usize = crate::limits::MAX_BODY;
/// From which length on an entry may be too long with its files. Unit: bytes.
pub(crate) const LONG_ENTRY: usize = reader::MAX_BYTES;
/// The extension of an entry of a `Bundle` by which an export says of which type its record is: its `valueCode`.
pub(crate) const RECORD_TYPE_URL: &str =
    "https://meditrustal.example/fhir/StructureDefinition/record-type";
/// How much deeper than a document what it comes in may be nested.
const WRAPPING: usize = 2;

/// What an export says of a version beside its document.
#[derive(Debug, Clone)]
pub(crate) struct Exported {
    /// Of which type it was.
    pub(crate) record_type: RecordType,
    /// What it was found by.
    pub(crate) metadata: Option<Value>,
    /// The SHA-256 of its bytes.
    pub(crate) data_hash: DataHash,
    /// The version before.
    pub(crate) predecessor: Option<RecordId>,
    /// Whether it withdrew the record.
    pub(crate) is_withdrawn: bool,
}

/// What is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The document.
    pub(crate) document: Json,
    /// Of which type, if anybody says.
    pub(crate) record_type: Option<RecordType>,
    /// What is searchable in clear.
    pub(crate) metadata: Option<Value>,
    /// What it is called in the `Bundle` that it comes in.
    pub(super) full_url: Option<String>,
    /// What an export says of it besides.
    exported: Option<Exported>,
    /// Whether it says that this was deleted at its source.
    pub(super) is_deletion: bool,
    /// The files that were taken out of it.
    pub(super) files: Vec<TakenFile>,
}

impl Entry {
    /// A document of which it is said what it is.
    pub(super) const fn new(
        document: Json,
        record_type: Option<RecordType>,
        metadata: Option<Value>,
    ) -> Self {
        Self {
            document,
            record_type,
            metadata,
            full_url: None,
            exported: None,
            is_deletion: false,
            files: Vec::new(),
        }
    }

    /// The same without its files, where it is too long with them.
    ///
    /// # Errors
    /// [`Error::Document`] where one of them is not what the document says of it.
    pub(crate) fn with_files_apart(mut self) -> Result<Self, Error> {
        self.files = if self.is_binary() {
            files::of_binary(&mut self.document).into_iter().collect()
        } else {
            files::take_out(&mut self.document)?
        };
        Ok(self)
    }

    /// Whether it is a file by itself.
    fn is_binary(&self) -> bool {
        self.kind() == Some("Binary")
    }

    /// The file that it is, if it is one.
    pub(crate) fn binary(&mut self) -> Option<TakenFile> {
        if !self.is_binary() || self.is_deletion {
            return None;
        }
        let read = self.files.first().cloned();
        read.or_else(|| files::of_binary(&mut self.document))
    }

    /// The files that were taken out of it.
    pub(crate) fn files_mut(&mut self) -> &mut [TakenFile] {
        &mut self.files
    }

    /// What documents of an import of this source call the file that it is; nothing of what is none.
    pub(crate) fn names_as_file(&self, source: Option<&str>) -> Vec<String> {
        if self.is_binary() {
            fhir::origin::names(&self.document, self.scope(source))
        } else {
            Vec::new()
        }
    }

    /// What documents of an import of this source may refer to, where no record is made of it.
    pub(crate) fn mentioned(&self, source: Option<&str>) -> Option<MentionedResource> {
        if self.is_deletion {
            return None;
        }
        MentionedResource::of(&self.document, self.scope(source))
    }

    /// In whose words it speaks of others.
    fn scope<'a>(&'a self, source: Option<&'a str>) -> NameScope<'a> {
        let full_url = self.full_url.as_deref();
        NameScope {
            named: source,
            full_url,
            said: said_source(&self.document, full_url),
        }
    }

    /// Whether files of its document may come by themselves, or it is such a file.
    pub(crate) fn concerns_files(&self) -> bool {
        self.is_binary()
            || files::promises_others(&self.document, &self.files)
            || !files::urls(&self.document).is_empty()
    }

    /// The kind of resource that it is, if R4 has it.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        fhir::kind_of(&self.document)
    }

    /// Reads a line: a resource, or a line of an archive.
    ///
    /// # Errors
    /// [`Error::Document`] where it is no JSON, [`Error::BadInput`] where it is neither.
    pub(crate) fn of_line(line: &[u8]) -> Result<Self, Error> {
        let json = read(line)?;
        if json.get("meditrustal").is_none() {
            return Ok(Self::new(fit(json)?, None, None));
        }
        let mut exported = exported(&json)?;
        let Json::Object(members) = json else {
            return Err(no_line("resource"));
        };
        let resource = members.into_iter().find(|(name, _)| name == "resource");
        let (_, document) = resource.ok_or_else(|| no_line("resource"))?;
        let document = fit(document)?;
        leave_to_document(&mut exported, &document);
        Ok(Self {
            document,
            record_type: Some(exported.record_type),
            metadata: exported.metadata.clone(),
            full_url: None,
            exported: Some(exported),
            is_deletion: false,
            files: Vec::new(),
        })
    }

    /// Reads an entry of a `Bundle`.
    ///
    /// # Errors
    /// [`Error::Document`] where it is no JSON, or asks for something else than to be stored.
    pub(crate) fn of_bundle(entry: &[u8]) -> Result<Self, Error> {
        let entry = read(entry)?;
        if let Some(deleted) = fhir::upload::deleted(&entry) {
            return Ok(Self {
                is_deletion: true,
                ..Self::new(deleted, None, None)
            });
        }
        let full_url = entry.get("fullUrl").and_then(Json::as_str);
        let full_url = full_url.map(str::to_owned);
        let record_type = said_type(&entry);
        let resource = fhir::upload::resource_of(entry).map_err(Error::Document)?;
        Ok(Self {
            full_url,
            ..Self::new(fit(resource)?, record_type, None)
        })
    }

    /// The document and what an export says of it.
    ///
    /// # Errors
    /// [`Error::BadInput`] where none does.
    pub(super) fn into_exported(self) -> Result<(Json, Exported), Error> {
        let message =
            "only lines of an export in the form `archive` can be brought back as they were";
        let exported = self
            .exported
            .ok_or_else(|| Error::bad("restore", message))?;
        Ok((self.document, exported))
    }
}

/// Of which type an export says that the record of an entry is.
fn said_type(entry: &Json) -> Option<RecordType> {
    let extensions = entry.get("extension").and_then(Json::as_array)?;
    let is_type = |it: &&Json| it.get("url").and_then(Json::as_str) == Some(RECORD_TYPE_URL);
    let said = extensions.iter().find(is_type)?.get("valueCode")?;
    said.as_str()?.parse().ok()
}

fn read(bytes: &[u8]) -> Result<Json, Error> {
    let is_long = bytes.len() > MAX_AROUND_FILES;
    if is_long && files::length_without_long_texts(bytes) > MAX_AROUND_FILES {
        let message = format!("an entry has at most {MAX_AROUND_FILES} bytes beside its files");
        return Err(Error::bad("document", message));
    }
    let limits = reader::Limits {
        max_bytes: MAX_BYTES,
        max_depth: reader::MAX_DEPTH + WRAPPING,
    };
    reader::read_within(bytes, limits).map_err(|error| Error::Document(vec![error.into()]))
}

/// A document that may be stored, by its depth: what it came in allowed more, and what takes the place of references is deeper.
///
/// # Errors
/// [`Error::BadInput`].
pub(super) fn fit(document: Json) -> Result<Json, Error> {
    if reader::depth(&document) > reader::MAX_DEPTH {
        let message = format!(
            "a document is nested at most {} levels deep",
            reader::MAX_DEPTH
        );
        return Err(Error::bad("document", message));
    }
    Ok(document)
}

/// Leaves out of an export's metadata what is read off the document: an earlier version may have read it otherwise.
fn leave_to_document(exported: &mut Exported, document: &Json) {
    let (Some(Value::Object(members)), Some(kind)) = (
        &mut exported.metadata,
        fhir::RecordType::parse(exported.record_type.as_str()),
    ) else {
        return;
    };
    for (key, _) in fhir::searchable(document, kind).metadata {
        members.remove(key);
        // Where there is a date and no end of it, there is none.
        if key == "date" {
            members.remove("dateEnd");
        }
    }
}

fn no_line(field: &'static str) -> Error {
    let message = "this is no line of an archive that was written to its end: export it again";
    Error::bad(field, message)
}

fn exported(line: &Json) -> Result<Exported, Error> {
    let text = |name: &str| line.get(name).and_then(Json::as_str);
    let bad = no_line;
    if text("withheld").is_some() {
        let message = "this record was withheld when it was exported, so it is not in here";
        return Err(Error::bad("resource", message));
    }
    let predecessor = match line.get("predecessorId") {
        None | Some(Json::Null) => None,
        Some(id) => {
            let id = id.as_str().and_then(|id| id.parse().ok());
            Some(RecordId(id.ok_or_else(|| bad("predecessorId"))?))
        }
    };
    let metadata = match line.get("metadata") {
        None | Some(Json::Null) => None,
        Some(metadata) => {
            let bytes = fhir::canonical::to_bytes(metadata);
            Some(serde_json::from_slice(&bytes).map_err(|_| bad("metadata"))?)
        }
    };
    Ok(Exported {
        record_type: text("recordType")
            .and_then(|name| name.parse().ok())
            .ok_or_else(|| bad("recordType"))?,
        metadata,
        data_hash: text("dataHash")
            .and_then(|hash| DataHash::parse(hash).ok())
            .ok_or_else(|| bad("dataHash"))?,
        predecessor,
        is_withdrawn: matches!(line.get("withdrawn"), Some(Json::Bool(true))),
    })
}
