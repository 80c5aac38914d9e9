//! The data types that summaries are made of.

use async_graphql::SimpleObject;

use super::{Mirror, mirrors};
use crate::graphql::scalars::Decimal;

mirrors! {
    /// One code of a code system.
    Coding of Coding {
        /// The URI of the code system that the code is from.
        system: Option<String>,
        /// The code, as the code system defines it.
        code: Option<String>,
        /// The meaning of the code in words, as the document gives it.
        display: Option<String>,
    }

    /// A concept in words and codes, read from a `CodeableConcept`.
    Concept of Concept {
        /// The concept in words: its text, else the display of the coding that the user chose (`userSelected`)
        /// or of its first one, else its first code.
        text: Option<String>,
        /// The codes of the concept, in one or more code systems.
        codings: Vec<Coding>,
    }

    /// A number with its unit, read from a `Quantity`, an `Age` or a `Duration`.
    Quantity of Quantity {
        /// The number, with the digits that the document gives.
        value: Option<Decimal>,
        /// How the number bounds the real value: `<`, `<=`, `>=` or `>`. Null where the number is
        /// exact.
        comparator: Option<String>,
        /// The unit in words, as a person reads it.
        unit: Option<String>,
        /// The code of the unit, usually of UCUM.
        code: Option<String>,
    }

    /// A range of quantities, read from a `Range`.
    QuantityRange of Range {
        /// The lower bound of the range, inclusive; null where there is none.
        low: Option<Quantity>,
        /// The upper bound of the range, inclusive; null where there is none.
        high: Option<Quantity>,
    }

    /// A span of time, read from a `Period`. Its ends are FHIR dates: a year, a month, a day or a
    /// moment.
    Period of Period {
        /// The beginning of the span, inclusive; null where it is not known.
        start: Option<String>,
        /// The end of the span, inclusive; null where it is open.
        end: Option<String>,
    }

    /// A person, organisation or thing that a `Reference` names.
    Party of Party {
        /// The name that a person reads: the display of the reference, else the name of the contained
        /// resource.
        name: Option<String>,
        /// The literal reference, such as `Practitioner/12`; null where there is none.
        reference: Option<String>,
        /// The value of the identifier that stands in place of a literal reference, such as a number of
        /// a register; null where there is a literal reference, or no identifier.
        identifier: Option<String>,
    }

    /// One measured value, read from an `Observation` or one of its components.
    Measurement of Measurement {
        /// What was measured: the `code`, usually of LOINC.
        code: Option<Concept>,
        /// What was measured, in words.
        name: Option<String>,
        /// The number of `valueQuantity` or `valueInteger`, with the digits that the document gives;
        /// null where the value is no number.
        value: Option<Decimal>,
        /// How the number bounds the real value: `<`, `<=`, `>=` or `>`. Null where the number is
        /// exact.
        comparator: Option<String>,
        /// The unit of the number in words.
        unit: Option<String>,
        /// The code of the unit, usually of UCUM.
        unit_code: Option<String>,
        /// The value as text, where it is no number: any other `value[x]`.
        text: Option<String>,
        /// The value as codes, where it is a concept: `valueCodeableConcept.coding`.
        value_codings: Vec<Coding>,
        /// Why there is no value: `dataAbsentReason` as text, else the code of the extension `data-absent-reason`.
        absent_reason: Option<String>,
        /// Why there is no value, as codes: `dataAbsentReason.coding`, else the code of the extension.
        absent_reason_codings: Vec<Coding>,
        /// The assessment of the value, such as H (high) or L (low): `interpretation`.
        interpretations: Vec<Concept>,
        /// The ranges that the value is compared with: each `referenceRange`.
        reference_ranges: Vec<ReferenceRange>,
        /// The `status` of the value: preliminary, final, …
        status: Option<String>,
        /// When the value was measured: `effective[x]` as text.
        effective: Option<String>,
        /// What the value is about where that is not the patient, such as a fetus: `focus`.
        focus: Vec<Party>,
        /// Who measured the value: each `performer`.
        performers: Vec<Party>,
        /// The categories of the value, such as laboratory: `category`.
        categories: Vec<Concept>,
        /// The part of the body that was measured: `bodySite`.
        body_site: Option<Concept>,
        /// How the value was measured: its `method`.
        method: Option<Concept>,
        /// What was examined, such as a sample of urine: its `specimen`.
        specimen: Option<Party>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
        /// The values that this one consists of, in the document or elsewhere: `hasMember`.
        members: Vec<Party>,
        /// The parts of the value, such as the two numbers of a blood pressure. A part has no parts
        /// itself.
        components: Vec<Measurement>,
    }

    /// A range of usual values, which a measured value is compared with.
    ReferenceRange of ReferenceRange {
        /// The lower bound of the range, inclusive; null where there is none.
        low: Option<Quantity>,
        /// The upper bound of the range, inclusive; null where there is none.
        high: Option<Quantity>,
        /// The range in words; then its meaning, where it is not the normal one, and whom it is for.
        text: Option<String>,
        /// What the range means, such as normal, recommended or critical: its `type`.
        meaning: Option<Concept>,
        /// The people that the range is for, such as women: each `appliesTo`.
        applies_to: Vec<Concept>,
        /// The age that the range is for.
        age: Option<QuantityRange>,
    }
}
