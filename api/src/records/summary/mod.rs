//! What a document says, in the schema: `fhir::summary` field by field. A disclosure, as the document
//! itself is.

mod by_type;
mod elements;

use domain::{ids::RecordId, records::RecordType};

pub(crate) use self::by_type::RecordSummary;
use super::decrypt;
use crate::{error::Error, graphql::scalars::Decimal};

/// A type of the schema that shows a type of `fhir::summary`.
trait Mirror<F> {
    fn of(from: F) -> Self;
}

impl Mirror<Self> for String {
    fn of(from: Self) -> Self {
        from
    }
}

impl Mirror<Self> for bool {
    fn of(from: Self) -> Self {
        from
    }
}

impl Mirror<String> for Decimal {
    fn of(from: String) -> Self {
        Self(from)
    }
}

impl<F, T: Mirror<F>> Mirror<Option<F>> for Option<T> {
    fn of(from: Option<F>) -> Self {
        from.map(T::of)
    }
}

impl<F, T: Mirror<F>> Mirror<Vec<F>> for Vec<T> {
    fn of(from: Vec<F>) -> Self {
        from.into_iter().map(T::of).collect()
    }
}

/// Types of the schema that show those of `fhir::summary` field by field. A field that one side lacks
/// does not compile.
macro_rules! mirrors {
    ($(
        $(#[$meta:meta])* $name:ident of $from:ident {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty, )+
        }
    )+) => { $(
        $(#[$meta])*
        #[derive(SimpleObject)]
        pub(crate) struct $name { $( $(#[$field_meta])* $field: $type, )+ }

        impl Mirror<fhir::summary::$from> for $name {
            fn of(from: fhir::summary::$from) -> Self {
                let fhir::summary::$from { $($field,)+ } = from;
                Self { $( $field: Mirror::of($field), )+ }
            }
        }
    )+ };
}
use mirrors;

impl RecordSummary {
    /// Reads the summary out of a record's canonical bytes.
    ///
    /// # Errors
    /// [`Error::Integrity`] where they are no document, although they are what was hashed.
    pub(crate) fn read(
        bytes: &[u8],
        record: RecordId,
        record_type: RecordType,
    ) -> Result<Self, Error> {
        use fhir::summary::Summary;
        let kind = fhir::RecordType::parse(record_type.as_str()).ok_or(Error::Internal)?;
        let document = decrypt::document(bytes).ok_or(Error::Integrity(record))?;
        Ok(match fhir::summary::summarise(&document, kind) {
            Summary::Diagnosis(it) => Self::Diagnosis(Mirror::of(it)),
            Summary::LabResult(it) => Self::LabResult(Mirror::of(it)),
            Summary::Prescription(it) => Self::Prescription(Mirror::of(it)),
            Summary::TreatmentPlan(it) => Self::TreatmentPlan(Mirror::of(it)),
            Summary::MedicalHistory(it) => Self::MedicalHistory(Mirror::of(it)),
            Summary::VitalSigns(it) => Self::VitalSigns(Mirror::of(it)),
            Summary::Imaging(it) => Self::Imaging(Mirror::of(it)),
            Summary::Vaccination(it) => Self::Vaccination(Mirror::of(it)),
        })
    }
}
