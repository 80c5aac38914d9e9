//! A `DocumentReference`: of a laboratory, of imaging, of a history.

use super::elements::{Concept, Party, Period};
use super::parts::Part;
use super::silent::silent;

/// A `DocumentReference`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ReferredDocument {
    /// `type`: a discharge summary, a laboratory report, …
    pub r#type: Option<Concept>,
    /// `status` of the reference: current, superseded, entered-in-error.
    pub status: Option<String>,
    /// `docStatus`, of the document: preliminary, final, amended, entered-in-error.
    pub doc_status: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `category`.
    pub categories: Vec<Concept>,
    /// `date`: when the reference was made.
    pub date: Option<String>,
    /// `author`.
    pub authors: Vec<Party>,
    /// `authenticator`: who vouches for it.
    pub authenticator: Option<Party>,
    /// `custodian`: who keeps it.
    pub custodian: Option<Party>,
    /// `relatesTo`: what it replaces, adds to, signs or transforms.
    pub relations: Vec<DocumentRelation>,
    /// `securityLabel`.
    pub security_labels: Vec<Concept>,
    /// `context.event`: what was done.
    pub events: Vec<Concept>,
    /// `context.period`: when.
    pub period: Option<Period>,
    /// `context.facilityType`.
    pub facility_type: Option<Concept>,
    /// `context.practiceSetting`.
    pub practice_setting: Option<Concept>,
    /// `content`.
    pub contents: Vec<DocumentContent>,
}

/// What a document is to another.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DocumentRelation {
    /// `code`: replaces, transforms, signs, appends.
    pub code: Option<String>,
    /// `target`.
    pub target: Option<Party>,
}

/// A file of a document, without its bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DocumentContent {
    /// `attachment.title`.
    pub title: Option<String>,
    /// `attachment.contentType`.
    pub content_type: Option<String>,
    /// `attachment.language`.
    pub language: Option<String>,
    /// `attachment.creation`.
    pub creation: Option<String>,
    /// `attachment.url`: where it is, unless it is here.
    pub url: Option<String>,
    /// `format`.
    pub format: Option<Concept>,
}

silent!(ReferredDocument, DocumentRelation, DocumentContent);

pub(super) fn document(document: Part<'_>) -> ReferredDocument {
    let context = document.get("context");
    let coded = |key: &str| context.and_then(|it| it.concept(key));
    ReferredDocument {
        r#type: document.concept("type"),
        status: document.written("status"),
        doc_status: document.written("docStatus"),
        description: document.written("description"),
        categories: document.concepts("category").collect(),
        date: document.written("date"),
        authors: document.parties("author").collect(),
        authenticator: document.party("authenticator"),
        custodian: document.party("custodian"),
        relations: document.items("relatesTo").map(relation).collect(),
        security_labels: document.concepts("securityLabel").collect(),
        events: context
            .map(|it| it.concepts("event").collect())
            .unwrap_or_default(),
        period: context.and_then(|it| it.period("period")),
        facility_type: coded("facilityType"),
        practice_setting: coded("practiceSetting"),
        contents: document.items("content").map(content).collect(),
    }
}

fn relation(relation: Part<'_>) -> DocumentRelation {
    DocumentRelation {
        code: relation.written("code"),
        target: relation.party("target"),
    }
}

fn content(content: Part<'_>) -> DocumentContent {
    let file = content.get("attachment");
    let written = |key: &str| file.and_then(|it| it.written(key));
    DocumentContent {
        title: written("title"),
        content_type: written("contentType"),
        language: written("language"),
        creation: written("creation"),
        url: written("url"),
        format: content.json.get("format").and_then(Concept::of_coding),
    }
}
