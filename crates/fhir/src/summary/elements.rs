//! The data types that summaries are made of.

use super::parts::{Part, items};
use super::silent::silent;
use super::text;
use crate::json::Json;

/// A code of some system.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Coding {
    /// The system's URI.
    pub system: Option<String>,
    /// The code.
    pub code: Option<String>,
    /// What the system calls it.
    pub display: Option<String>,
}

/// A `CodeableConcept`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Concept {
    /// What a person reads: its text, or the display of the code that somebody chose (`userSelected`), or the first
    /// display, or the first code.
    pub text: Option<String>,
    /// Its codes.
    pub codings: Vec<Coding>,
}

/// A `Quantity`, an `Age`, a `Duration`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Quantity {
    /// The number, as it was written.
    pub value: Option<String>,
    /// `<`, `<=`, `>=` or `>`, if the number is a bound.
    pub comparator: Option<String>,
    /// The unit, for people.
    pub unit: Option<String>,
    /// The unit's code, in UCUM as a rule.
    pub code: Option<String>,
}

/// A `Range`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// The least.
    pub low: Option<Quantity>,
    /// The most.
    pub high: Option<Quantity>,
}

/// A `Period`. FHIR dates: a year, a month, a day or a moment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Period {
    /// Since when.
    pub start: Option<String>,
    /// Until when.
    pub end: Option<String>,
}

/// Whom or what a `Reference` means.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Party {
    /// What a person reads: the reference's display, or the name of the resource in the document.
    pub name: Option<String>,
    /// The reference, if it is a literal one.
    pub reference: Option<String>,
    /// The value of `identifier`, where there is no literal reference.
    pub identifier: Option<String>,
}

silent!(Coding, Concept, Quantity, Range, Period, Party);

impl Coding {
    pub(super) fn of(json: &Json) -> Option<Self> {
        let coding = Self {
            system: string(json, "system"),
            code: string(json, "code"),
            display: string(json, "display"),
        };
        filled(coding)
    }
}

impl Concept {
    pub(super) fn of(json: &Json) -> Option<Self> {
        let codings: Vec<Coding> = items(json, "coding")
            .iter()
            .filter_map(Coding::of)
            .collect();
        let first = |pick: fn(&Coding) -> Option<&String>| codings.iter().find_map(pick).cloned();
        let is_chosen = |it: &&Json| it.get("userSelected") == Some(&Json::Bool(true));
        let chosen = items(json, "coding").iter().find(is_chosen);
        let text = string(json, "text")
            .or_else(|| string(chosen?, "display"))
            .or_else(|| first(|coding| coding.display.as_ref()))
            .or_else(|| first(|coding| coding.code.as_ref()));
        filled(Self { text, codings })
    }

    /// The concept of a bare `Coding`, which is how imaging names modalities and body sites.
    pub(super) fn of_coding(json: &Json) -> Option<Self> {
        let coding = Coding::of(json)?;
        Some(Self {
            text: coding.display.clone().or_else(|| coding.code.clone()),
            codings: vec![coding],
        })
    }

    /// A concept that was only put into words.
    pub(super) fn in_words(text: String) -> Self {
        Self {
            text: Some(text),
            codings: Vec::new(),
        }
    }
}

impl Quantity {
    pub(super) fn of(json: &Json) -> Option<Self> {
        filled(Self {
            value: json.get("value").and_then(text::written),
            comparator: string(json, "comparator"),
            unit: string(json, "unit").or_else(|| string(json, "code")),
            code: string(json, "code"),
        })
    }
}

impl Range {
    pub(super) fn of(json: &Json) -> Option<Self> {
        filled(Self {
            low: json.get("low").and_then(Quantity::of),
            high: json.get("high").and_then(Quantity::of),
        })
    }
}

impl Period {
    pub(super) fn of(json: &Json) -> Option<Self> {
        filled(Self {
            start: string(json, "start"),
            end: string(json, "end"),
        })
    }
}

impl Party {
    pub(super) fn of(part: Part<'_>) -> Option<Self> {
        let reference = part.written("reference");
        let referred = || part.name_referred(reference.as_deref()?, short_name);
        filled(Self {
            name: part.written("display").or_else(referred),
            reference: reference.clone(),
            identifier: match reference {
                Some(_) => None,
                None => part.get("identifier").and_then(|it| it.written("value")),
            },
        })
    }
}

/// How much is shown of what a resource is called elsewhere: everything may refer to it. Unit: characters.
const MAX_NAME: usize = 255;

/// What a resource is called, as far as it is shown where something refers to it.
fn short_name(resource: Part<'_>) -> Option<String> {
    let name = name(resource)?;
    Some(match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    })
}

/// What a resource is called, such as one that is contained.
pub(super) fn name(resource: Part<'_>) -> Option<String> {
    if let name @ Some(_) = resource.written("name") {
        return name; // of an organisation, a location
    }
    let person = resource.items("name").find_map(|name| {
        name.written("text").or_else(|| {
            let given = items(name.json, "given").iter().filter_map(text::written);
            let words: Vec<String> = given.chain(name.written("family")).collect();
            (!words.is_empty()).then(|| words.join(" "))
        })
    });
    let coded = || resource.concept("code").and_then(|code| code.text);
    person.or_else(coded).or_else(|| drug(resource))
}

/// Which drug a resource is about, or what a medicine that nobody has named consists of.
fn drug(resource: Part<'_>) -> Option<String> {
    let coded = resource.concept("medicationCodeableConcept");
    let coded = coded.and_then(|drug| drug.text);
    // What the reference means is not followed: it may lead back to here.
    let referred = || resource.get("medicationReference")?.written("display");
    if let stated @ Some(_) = coded.or_else(referred) {
        return stated;
    }
    let ingredients: Vec<String> = resource
        .items("ingredient")
        .filter(|it| it.written("isActive").as_deref() != Some("false"))
        .filter_map(|it| {
            let coded = it.concept("itemCodeableConcept").and_then(|it| it.text);
            coded.or_else(|| it.get("itemReference")?.written("display"))
        })
        .collect();
    (!ingredients.is_empty()).then(|| ingredients.join(" + "))
}

fn string(json: &Json, key: &str) -> Option<String> {
    json.get(key).and_then(Json::as_str).map(str::to_owned)
}

/// What holds anything at all.
fn filled<T: Default + PartialEq>(it: T) -> Option<T> {
    Some(it).filter(|it| *it != T::default())
}
