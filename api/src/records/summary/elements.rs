//! The data types that summaries are made of.

use async_graphql::SimpleObject;

use super::{Mirror, mirrors};
use crate::graphql::scalars::Decimal;

mirrors! {
    /// A code of some system.
    Coding of Coding {
        /// The system's URI.
        system: Option<String>,
        /// The code.
        code: Option<String>,
        /// What the system calls it.
        display: Option<String>,
    }

    /// A `CodeableConcept`.
    Concept of Concept {
        /// What a person reads: its text, or the first display, or the first code.
        text: Option<String>,
        /// Its codes.
        codings: Vec<Coding>,
    }

    /// A `Quantity`, an `Age`, a `Duration`.
    Quantity of Quantity {
        /// The number, as it was written.
        value: Option<Decimal>,
        /// `<`, `<=`, `>=` or `>`, if the number is a bound.
        comparator: Option<String>,
        /// The unit, for people.
        unit: Option<String>,
        /// The unit's code, in UCUM as a rule.
        code: Option<String>,
    }

    /// A `Range`.
    QuantityRange of Range {
        /// The least.
        low: Option<Quantity>,
        /// The most.
        high: Option<Quantity>,
    }

    /// A `Period`. FHIR dates: a year, a month, a day or a moment.
    Period of Period {
        /// Since when.
        start: Option<String>,
        /// Until when.
        end: Option<String>,
    }

    /// Whom or what a `Reference` means.
    Party of Party {
        /// What a person reads: the reference's display, or the name of the contained resource.
        name: Option<String>,
        /// The reference, if it is a literal one.
        reference: Option<String>,
    }

    /// An `Observation`, or one of its components.
    Measurement of Measurement {
        /// `code`: in LOINC as a rule.
        code: Option<Concept>,
        /// What was measured, for people.
        name: Option<String>,
        /// The number of `valueQuantity` or `valueInteger`, as it was written.
        value: Option<Decimal>,
        /// `<`, `<=`, `>=` or `>`, if the number is a bound.
        comparator: Option<String>,
        /// Its unit, for people.
        unit: Option<String>,
        /// Its unit's code, in UCUM as a rule.
        unit_code: Option<String>,
        /// Any other `value[x]`, in words.
        text: Option<String>,
        /// `dataAbsentReason`: why there is no value.
        absent_reason: Option<String>,
        /// `interpretation`: H, L, …, in words.
        interpretations: Vec<Concept>,
        /// `referenceRange`.
        reference_ranges: Vec<ReferenceRange>,
        /// `status`: preliminary, final, …
        status: Option<String>,
        /// `effective[x]`, in words: when it was measured.
        effective: Option<String>,
        /// `performer`.
        performers: Vec<Party>,
        /// Its parts, such as the two numbers of a blood pressure. They have no parts.
        components: Vec<Measurement>,
    }

    /// What is usual.
    ReferenceRange of ReferenceRange {
        /// The least.
        low: Option<Quantity>,
        /// The most.
        high: Option<Quantity>,
        /// In words, or for whom.
        text: Option<String>,
    }
}
