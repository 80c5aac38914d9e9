//! An `Observation`: a laboratory value, a vital sign.

use super::elements::{Coding, Concept, Party, Quantity, Range};
use super::parts::{Part, items};
use super::silent::silent;
use super::text;
use crate::json::Json;

/// The extension that says why a value is not there.
const ABSENT_REASON: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
/// The system of its codes.
const ABSENT_REASONS: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// An `Observation`, or one of its components.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Measurement {
    /// `code`: in LOINC as a rule.
    pub code: Option<Concept>,
    /// What was measured, for people.
    pub name: Option<String>,
    /// The number of `valueQuantity` or `valueInteger`, as it was written.
    pub value: Option<String>,
    /// `<`, `<=`, `>=` or `>`, if the number is a bound.
    pub comparator: Option<String>,
    /// Its unit, for people.
    pub unit: Option<String>,
    /// Its unit's code, in UCUM as a rule.
    pub unit_code: Option<String>,
    /// Any other `value[x]`, in words.
    pub text: Option<String>,
    /// `valueCodeableConcept.coding`.
    pub value_codings: Vec<Coding>,
    /// `dataAbsentReason`, else the extension `data-absent-reason` of the value: why there is no value.
    pub absent_reason: Option<String>,
    /// `dataAbsentReason.coding`, or the code of the extension.
    pub absent_reason_codings: Vec<Coding>,
    /// `interpretation`: H, L, …, in words.
    pub interpretations: Vec<Concept>,
    /// `referenceRange`.
    pub reference_ranges: Vec<ReferenceRange>,
    /// `status`: preliminary, final, …
    pub status: Option<String>,
    /// `effective[x]`, in words: when it was measured.
    pub effective: Option<String>,
    /// `focus`: what it is about where that is not the patient: a fetus, a donor, an implant. One that says
    /// neither a name, a reference nor an identifier is there too, and empty.
    pub focus: Vec<Party>,
    /// `performer`.
    pub performers: Vec<Party>,
    /// `category`: laboratory, vital-signs, …
    pub categories: Vec<Concept>,
    /// `bodySite`.
    pub body_site: Option<Concept>,
    /// `method`.
    pub method: Option<Concept>,
    /// `specimen`: what was examined.
    pub specimen: Option<Party>,
    /// `note`.
    pub notes: Vec<String>,
    /// `hasMember`: what it consists of, wherever that is.
    pub members: Vec<Party>,
    /// Its parts, such as the two numbers of a blood pressure. They have no parts.
    pub components: Vec<Measurement>,
}

/// What is usual, or what its `meaning` says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ReferenceRange {
    /// The least.
    pub low: Option<Quantity>,
    /// The most.
    pub high: Option<Quantity>,
    /// `text`, then in words what the range means, where it is not the normal one, and for whom it is.
    pub text: Option<String>,
    /// `type`: what the range means: normal, recommended, critical, …
    pub meaning: Option<Concept>,
    /// `appliesTo`: for whom it is: women, …
    pub applies_to: Vec<Concept>,
    /// `age`: for which age it is.
    pub age: Option<Range>,
}

silent!(Measurement, ReferenceRange);

pub(super) fn measurement(observation: Part<'_>) -> Measurement {
    Measurement {
        status: observation.written("status"),
        effective: observation.choice("effective"),
        focus: foci(observation).collect(),
        performers: observation.parties("performer").collect(),
        components: observation.items("component").map(measured).collect(),
        categories: observation.concepts("category").collect(),
        body_site: observation.concept("bodySite"),
        method: observation.concept("method"),
        specimen: observation.party("specimen"),
        notes: observation.notes(),
        members: observation.parties("hasMember").collect(),
        ..measured(observation)
    }
}

/// What an observation is about where that is not the patient; what cannot be named is there too.
pub(super) fn foci(observation: Part<'_>) -> impl Iterator<Item = Party> {
    let items = observation.items("focus");
    items.map(|it| Party::of(it).unwrap_or_default())
}

/// What an observation and its components have alike.
fn measured(part: Part<'_>) -> Measurement {
    let code = part.concept("code");
    let quantity = part.json.get("valueQuantity").and_then(Quantity::of);
    let quantity = quantity.unwrap_or_default();
    let value = quantity.value.or_else(|| part.written("valueInteger"));
    let text = part.choice("value").filter(|_| value.is_none());
    let is_absent = value.is_none() && text.is_none();
    let extended = || absent_reason(part).filter(|_| is_absent);
    let absent = part.concept("dataAbsentReason").or_else(extended);
    let absent = absent.unwrap_or_default();
    Measurement {
        name: code.as_ref().and_then(|code| code.text.clone()),
        code,
        value,
        comparator: quantity.comparator,
        unit: quantity.unit,
        unit_code: quantity.code,
        text,
        value_codings: part.codings("valueCodeableConcept"),
        absent_reason: absent.text,
        absent_reason_codings: absent.codings,
        interpretations: part.concepts("interpretation").collect(),
        reference_ranges: part.items("referenceRange").map(reference_range).collect(),
        ..Measurement::default()
    }
}

/// What an extension says of the value that is not there: of the whole of it (`_valueString`, `valueQuantity`), or of
/// the number of a quantity.
fn absent_reason(part: Part<'_>) -> Option<Concept> {
    let members = part.json.as_object()?;
    let is_value = |key: &str| key.trim_start_matches('_').starts_with("value");
    let values = members.iter().filter(|(key, _)| is_value(key));
    let places = values.flat_map(|(_, value)| [Some(value), value.get("_value")]);
    places
        .flatten()
        .flat_map(|place| items(place, "extension"))
        .find_map(absent_code)
}

fn absent_code(extension: &Json) -> Option<Concept> {
    let said = |key: &str| extension.get(key).and_then(Json::as_str);
    let code = said("valueCode").filter(|_| said("url") == Some(ABSENT_REASON))?;
    let coding = Coding {
        system: Some(ABSENT_REASONS.to_owned()),
        code: Some(code.to_owned()),
        display: None,
    };
    Some(Concept {
        text: Some(code.to_owned()),
        codings: vec![coding],
    })
}

fn reference_range(range: Part<'_>) -> ReferenceRange {
    let bound = |key| range.json.get(key).and_then(Quantity::of);
    let meaning = range.concept("type");
    let applies_to: Vec<Concept> = range.concepts("appliesTo").collect();
    let age = range.json.get("age").and_then(Range::of);
    // Who reads the bounds and the words alone must not take a critical range for the normal one, or the one of
    // women for everybody's.
    let special = meaning.as_ref().filter(|it| !is_normal(it));
    let age_in_words = age.as_ref().map(|it| format!("age {}", text::range(it)));
    let words: Vec<String> = range
        .written("text")
        .into_iter()
        .chain(special.and_then(|it| it.text.clone()))
        .chain(applies_to.iter().filter_map(|it| it.text.clone()))
        .chain(age_in_words)
        .collect();
    ReferenceRange {
        low: bound("low"),
        high: bound("high"),
        text: (!words.is_empty()).then(|| words.join(", ")),
        meaning,
        applies_to,
        age,
    }
}

/// Whether a range is said to be the normal one.
fn is_normal(meaning: &Concept) -> bool {
    let mut codings = meaning.codings.iter();
    codings.any(|it| it.code.as_deref() == Some("normal"))
}
