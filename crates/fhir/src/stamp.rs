//! Writes into a document what the server owns: identity, version, salt, patient.
//!
//! The salt makes the hash on a public chain unguessable while `data_hash` stays
//! the plain SHA-256 of the stored bytes. Whatever an earlier export carried in
//! these places is overwritten; a document about somebody else is refused.

use std::fmt;

use crate::contained::Contained;
use crate::issue::{Issue, IssueCode, Path, object, text};
use crate::json::Json;
use crate::kinds;
use crate::primitives;
use crate::record_types::{RecordType, patient_element, resource_type};

/// The address that documents of ours are told by where an address is wanted, as those of extensions: it
/// names them and is not meant to be fetched.
pub const SERVER_URL: &str = "https://meditrustal.example/fhir";

/// The extension in `meta.extension` that holds the salt as 64 hex digits.
///
/// The domain ends in `.example`, which RFC 2606 keeps from being owned by
/// anybody: the URL names the extension and is not meant to be fetched.
pub const SALT_URL: &str = "https://meditrustal.example/fhir/StructureDefinition/salt";

/// The extension in `meta.extension` that says why this version took the place of
/// the one before. The first version has none.
pub const REASON_URL: &str = "https://meditrustal.example/fhir/StructureDefinition/reason";

/// What the server knows about a record version. Its `Debug` hides salt and reason.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The record's id, which becomes the resource's.
    pub record_id: &'a str,
    /// The patient's id: the document is about `Patient/<patient_id>`.
    pub patient_id: &'a str,
    /// The version of the record, from 1.
    pub version: u32,
    /// When this version was made, as a FHIR `instant`.
    pub last_updated: &'a str,
    /// 256 random bits as 64 lower-case hex digits.
    pub salt_hex: &'a str,
    /// Why this version took the place of the one before: a FHIR `string`.
    pub reason: Option<&'a str>,
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("record_id", &self.record_id)
            .field("patient_id", &self.patient_id)
            .field("version", &self.version)
            .field("last_updated", &self.last_updated)
            .finish_non_exhaustive()
    }
}

/// Sets what the server owns: `id`, `meta.versionId`, `meta.lastUpdated`, the
/// salt, the reason, and the patient in the document or in every entry of its `Bundle`.
///
/// A document that passed [`crate::check`] passes it again afterwards.
///
/// # Errors
///
/// The document names another patient, is not of the record type's kind, or the
/// identity is not well formed.
pub fn stamp(
    mut document: Json,
    record_type: RecordType,
    identity: &Identity<'_>,
) -> Result<Json, Vec<Issue>> {
    check_identity(identity)?;
    kinds::roots(&document, record_type)?;
    let mut issues = Vec::new();
    let patient = format!("Patient/{}", identity.patient_id);

    if resource_type(&document) == Some("Bundle") {
        let bundle = Path::root("Bundle");
        for (index, entry) in items_mut(&mut document, "entry").iter_mut().enumerate() {
            if let Some(resource) = member_mut(entry, "resource") {
                let entry_path = bundle.element("entry").at(index);
                set_patient(
                    resource,
                    &patient,
                    entry_path.element("resource"),
                    &mut issues,
                );
            }
        }
    } else {
        let kind = resource_type(&document).unwrap_or_default().to_owned();
        set_patient(&mut document, &patient, Path::root(&kind), &mut issues);
    }
    set_identity(&mut document, identity, &mut issues);
    if issues.is_empty() {
        Ok(document)
    } else {
        Err(issues)
    }
}

fn check_identity(identity: &Identity<'_>) -> Result<(), Vec<Issue>> {
    let salt = identity.salt_hex.as_bytes();
    let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let wrong = if !primitives::is_id(identity.record_id) {
        "the record id is not a FHIR id"
    } else if !primitives::is_id(identity.patient_id) {
        "the patient id is not a FHIR id"
    } else if !primitives::is_instant(identity.last_updated) {
        "the time of the version is not a FHIR instant"
    } else if salt.len() != 64 || !salt.iter().all(hex) {
        "the salt is not 64 hex digits"
    } else if identity
        .reason
        .is_some_and(|reason| !primitives::is_string(reason))
    {
        "the reason is not a FHIR string"
    } else {
        return Ok(());
    };
    Err(vec![Issue::error(
        IssueCode::Exception,
        "",
        "identity",
        wrong,
    )])
}

fn set_identity(document: &mut Json, identity: &Identity<'_>, issues: &mut Vec<Issue>) {
    let Json::Object(members) = document else {
        return;
    };
    set(members, "id", text(identity.record_id));
    members.retain(|(key, _)| key != "_id");
    if !members.iter().any(|(key, _)| key == "meta") {
        members.push(("meta".to_owned(), object([])));
    }
    let Some(Json::Object(meta)) = member_mut(document, "meta") else {
        issues.push(Issue::error(
            IssueCode::Structure,
            "meta",
            "type",
            "meta is an object",
        ));
        return;
    };
    meta.retain(|(key, _)| key != "_versionId" && key != "_lastUpdated");
    set(
        meta,
        "versionId",
        Json::String(identity.version.to_string()),
    );
    set(meta, "lastUpdated", text(identity.last_updated));
    let reason = identity.reason.map(|reason| extension(REASON_URL, reason));
    let salt = extension(SALT_URL, identity.salt_hex);
    let ours = [Some(salt), reason].into_iter().flatten();
    match meta.iter_mut().find(|(key, _)| key == "extension") {
        Some((_, Json::Array(extensions))) => {
            let url = |extension: &Json| {
                extension
                    .get("url")
                    .and_then(Json::as_str)
                    .map(str::to_owned)
            };
            extensions.retain(|e| !matches!(url(e).as_deref(), Some(SALT_URL | REASON_URL)));
            extensions.extend(ours);
        }
        _ => set(meta, "extension", Json::Array(ours.collect())),
    }
}

fn extension(url: &str, value: &str) -> Json {
    object([("url", text(url)), ("valueString", text(value))])
}

/// Why a stamped document took the place of the one before; `None` for a first version.
pub fn reason_of(document: &Json) -> Option<&str> {
    extension_of(document, REASON_URL)
}

fn extension_of<'a>(document: &'a Json, wanted: &str) -> Option<&'a str> {
    let extensions = document.get("meta")?.get("extension")?.as_array()?;
    let url = |extension: &&Json| extension.get("url").and_then(Json::as_str) == Some(wanted);
    extensions.iter().find(url)?.get("valueString")?.as_str()
}

/// What a document of this patient was stamped with, as it says itself; `None` where it was not. Only
/// stamping it again with this, and finding the same bytes, shows that it is all true.
pub fn identity_of<'a>(document: &'a Json, patient_id: &'a str) -> Option<Identity<'a>> {
    let meta = document.get("meta")?;
    Some(Identity {
        record_id: document.get("id")?.as_str()?,
        patient_id,
        version: meta.get("versionId")?.as_str()?.parse().ok()?,
        last_updated: meta.get("lastUpdated")?.as_str()?,
        salt_hex: extension_of(document, SALT_URL)?,
        reason: reason_of(document),
    })
}

/// Other kinds may leave the patient out, but not name another one.
fn refuse_somebody_else(resource: &Json, patient: &str, path: Path<'_>, issues: &mut Vec<Issue>) {
    for element in ["subject", "patient"] {
        let subject = resource.get(element);
        let reference = subject.and_then(|subject| subject.get("reference"));
        let kind = reference
            .and_then(Json::as_str)
            .and_then(|text| Contained::default().target(text));
        if kind == Some("Patient") && !subject.is_some_and(|subject| names(subject, patient)) {
            issues.push(somebody_else(path.element(element)));
        }
    }
}

/// Sets the patient of a resource and of what it contains.
fn set_patient(resource: &mut Json, patient: &str, path: Path<'_>, issues: &mut Vec<Issue>) {
    for (index, inner) in items_mut(resource, "contained").iter_mut().enumerate() {
        set_patient(inner, patient, path.element("contained").at(index), issues);
    }
    let Some(element) = resource_type(resource).and_then(patient_element) else {
        return refuse_somebody_else(resource, patient, path, issues);
    };
    let Json::Object(members) = resource else {
        return;
    };
    match members.iter_mut().find(|(key, _)| key == element) {
        Some((_, subject)) if !names(subject, patient) => {
            issues.push(somebody_else(path.element(element)));
        }
        // The patient's id may have come in capitals.
        Some((_, Json::Object(subject))) => set(subject, "reference", text(patient)),
        Some(_) => {}
        None => members.push((element.to_owned(), object([("reference", text(patient))]))),
    }
}

fn names(subject: &Json, patient: &str) -> bool {
    let reference = subject.get("reference").and_then(Json::as_str);
    reference.is_some_and(|reference| reference.eq_ignore_ascii_case(patient))
}

fn somebody_else(path: Path<'_>) -> Issue {
    Issue::error(
        IssueCode::BusinessRule,
        path.render(),
        "patient",
        "the document does not refer to the patient of the record",
    )
}

pub(crate) fn set(members: &mut Vec<(String, Json)>, key: &str, value: Json) {
    match members.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => members.push((key.to_owned(), value)),
    }
}

pub(crate) fn member_mut<'a>(json: &'a mut Json, key: &str) -> Option<&'a mut Json> {
    let Json::Object(members) = json else {
        return None;
    };
    members
        .iter_mut()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

pub(crate) fn items_mut<'a>(json: &'a mut Json, key: &str) -> &'a mut [Json] {
    match member_mut(json, key) {
        Some(Json::Array(items)) => items,
        _ => &mut [],
    }
}
