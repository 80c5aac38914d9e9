//! FHIR R4 documents for the eight record types.
//!
//! Owns what a medical document must look like: reading it without loss
//! ([`reader`]), its one canonical spelling ([`canonical`]), whether it is FHIR
//! and fit for its record type ([`check`]), what it says ([`summary`]), what it is
//! found by ([`searchable()`]), which record type it is of where nobody says
//! ([`record_type_of`]), where it comes from and what it refers to ([`origin`]), what takes the place of its references
//! ([`replacement`], [`logical`]) and what they mean that is no record ([`mentioned`]), what the
//! server writes into it ([`stamp()`]), which files it names ([`attachments`]) and which are taken out of it ([`apart`]), what the profiles that it
//! declares demand of it ([`profiles`]). Cuts uploads of many documents into single ones ([`upload`]).
//! Pure: no I/O, no clock, no randomness. Hashing and encryption are left to
//! `vault`, decisions about people to `domain`.
//!
//! An [`Issue`] never repeats what a document says: the value is health data.

pub mod apart;
pub mod attachments;
pub mod canonical;
mod completeness;
mod contained;
mod decimal;
mod filing;
mod invariants;
mod issue;
mod json;
mod kinds;
pub mod logical;
mod markup;
pub mod mentioned;
mod narrative;
pub mod origin;
mod primitives;
pub mod profiles;
pub mod reader;
mod record_types;
mod references;
pub mod replacement;
mod searchable;
mod stamp;
pub mod summary;
mod table;
mod temporal;
pub mod upload;
pub mod validate;
mod whose;
mod withdrawal;

pub use completeness::{Checked, Completeness, OpenBullet};
pub use filing::record_type_of;
/// What some programs write before JSON in UTF-8. RFC 8259, section 8.1, lets whoever reads it pass over it.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub use issue::{Issue, IssueCode, RULE_SYSTEM, Severity, operation_outcome};
pub use json::Json;
pub use record_types::RecordType;
pub use searchable::{MAX_CODES, Searchable, searchable};
pub use stamp::{Identity, REASON_URL, SALT_URL, SERVER_URL, identity_of, reason_of, stamp};
pub use whose::{NamedPatient, assign_patient, key as patient_key, keys_of_patient, patients_of};
pub use withdrawal::entered_in_error;

/// The kind of resource that a document is, if R4 has it.
pub fn kind_of(document: &Json) -> Option<&'static str> {
    let kind = record_types::resource_type(document)?;
    table::r4().resource(kind).map(|node| node.name)
}

/// Whether a resource of this kind, or a `Bundle` of such, could be a record. Others, such as a `Patient` or
/// an `Encounter`, only say what records are about.
pub fn is_clinical(kind: &str) -> bool {
    kind == "Bundle" || RecordType::ALL.iter().any(|it| it.roots().contains(&kind))
}

/// Whether `document` is FHIR R4 and of a kind that its record type takes, and how
/// complete it is.
///
/// The patient may still be missing from it: [`stamp()`] sets them.
///
/// # Errors
///
/// Everything that is wrong with it: what is not R4, or else what its record type does not take. What
/// is no resource that any record type takes is told that alone.
pub fn check(document: &Json, record_type: RecordType) -> Result<Checked, Vec<Issue>> {
    kinds::takes_kind(document, record_type)?;
    let issues = validate::before_stamping(document);
    if !issues.is_empty() {
        return Err(issues);
    }
    let roots = kinds::roots(document, record_type)?;
    Ok(Checked {
        completeness: completeness::of(document, &roots, record_type),
    })
}
