//! What is asked of a `DocumentReference`: what it is, where it is, and where it comes from.

use super::bullets::{Bullet, RecordParts, Stated, bold, plain};
use super::elements::{has, is_described, items, text};
use crate::attachments::SHA256_URL;
use crate::json::Json;
use crate::record_types::resource_type;

const KIND: &str = "DocumentReference";

pub(super) fn is_one(resource: &Json) -> bool {
    resource_type(resource) == Some(KIND)
}

/// Every root that is a reference to a document. One that is contained belongs to what contains it.
pub(super) fn every_root(
    parts: &RecordParts<'_>,
    element: &str,
    holds: impl Fn(&Json) -> bool,
) -> Stated {
    parts.every_root_of(KIND, element, holds)
}

/// Whether there is nothing but references to documents.
pub(super) fn is_all(parts: &RecordParts<'_>) -> bool {
    let mut documents = parts.all(KIND);
    documents.any(|it| it.inner.is_none()) && parts.every_root("", is_one).is_ok()
}

/// Whether there is a file: in its element, elsewhere, or promised beside the record by its SHA-256. Another
/// extension promises none.
pub(super) fn has_content(document: &Json) -> bool {
    let is_file = |attachment: &Json| {
        let mut extensions = items(attachment, "extension").iter();
        has(attachment, "data")
            || has(attachment, "url")
            || extensions.any(|it| text(it, "url") == SHA256_URL)
    };
    let contents = items(document, "content").iter();
    contents
        .filter_map(|content| content.get("attachment"))
        .any(is_file)
}

/// Whether it says who keeps or who wrote it.
pub(super) fn has_origin(document: &Json) -> bool {
    has(document, "custodian") || has(document, "author")
}

/// What imaging asks of it. Which part of the body it shows, and what was found, stands in the file.
pub(super) fn of_imaging(parts: &RecordParts<'_>) -> Vec<Bullet> {
    let kind = every_root(parts, "type", |it| is_described(it, "type"));
    let findings = every_root(parts, "content", has_content);
    vec![bold("image type", kind), plain("findings", findings)]
}
