//! Values in words: what a choice of types holds, whichever type it is.

use super::elements::{Concept, Party, Period, Quantity, Range};
use super::parts::{Part, items};
use crate::json::Json;

/// A text, number or truth value as it was written.
pub(super) fn written(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(lexeme) => Some(lexeme.clone()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What the element `stem[x]` of a resource says, in words.
pub(super) fn choice(part: Part<'_>, stem: &str) -> Option<String> {
    let members = part.json.as_object()?;
    members.iter().find_map(|(key, json)| {
        let chosen = key.strip_prefix(stem)?;
        let is_type = chosen.starts_with(|c: char| c.is_ascii_uppercase());
        is_type.then(|| value(chosen, part.at(json))).flatten()
    })
}

fn value(chosen: &str, part: Part<'_>) -> Option<String> {
    let json = part.json;
    match chosen {
        "Quantity" | "Age" | "Duration" | "Count" | "Distance" | "Money" => {
            Quantity::of(json).map(|it| quantity(&it))
        }
        "Range" => Range::of(json).map(|it| range(&it)),
        "Period" => Period::of(json).map(|it| period(&it)),
        "Ratio" => ratio(json),
        "CodeableConcept" => Concept::of(json)?.text,
        "Coding" => Concept::of_coding(json)?.text,
        "Reference" => Party::of(part).and_then(|party| party.name.or(party.reference)),
        "Timing" => timing(json),
        "SampledData" => Some("a series of measurements".to_owned()),
        _ => written(json),
    }
}

/// `>= 7.0 %`
pub(super) fn quantity(it: &Quantity) -> String {
    let words = [&it.comparator, &it.value, &it.unit];
    join(words.into_iter().flatten().map(String::as_str), " ")
}

/// `20 mg : 1 d`
pub(super) fn ratio(json: &Json) -> Option<String> {
    let side = |key| json.get(key).and_then(Quantity::of).map(|it| quantity(&it));
    Some(format!("{} : {}", side("numerator")?, side("denominator")?))
}

/// `6.0 % – 7.0 %`
pub(super) fn range(it: &Range) -> String {
    between(
        it.low.as_ref().map(quantity),
        it.high.as_ref().map(quantity),
    )
}

/// `2026-03-04 – 2026-06-02`
fn period(it: &Period) -> String {
    between(it.start.clone(), it.end.clone())
}

fn between(from: Option<String>, to: Option<String>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{from} – {to}"),
        (Some(from), None) => format!("{from} –"),
        (None, to) => format!("– {}", to.unwrap_or_default()),
    }
}

/// When something is to happen: the timing's code in words, or its rule, such as `2 times per 1 d, C`,
/// or its moments.
pub(super) fn timing(json: &Json) -> Option<String> {
    if let Some(text) = json
        .get("code")
        .and_then(Concept::of)
        .and_then(|it| it.text)
    {
        return Some(text);
    }
    let mut words = Vec::new();
    if let Some(repeat) = json.get("repeat") {
        let number = |least: &str, most: &str| {
            let least = repeat.get(least).and_then(written);
            match (least, repeat.get(most).and_then(written)) {
                (Some(least), Some(most)) => Some(format!("{least}–{most}")),
                (least, most) => least.or(most),
            }
        };
        if let Some(period) = number("period", "periodMax") {
            let unit = repeat.get("periodUnit").and_then(written);
            let often = number("frequency", "frequencyMax").unwrap_or_else(|| "1".to_owned());
            words.push(format!(
                "{often} times per {period} {}",
                unit.unwrap_or_default()
            ));
        } else if let Some(often) = number("frequency", "frequencyMax") {
            words.push(format!("{often} times"));
        }
        for key in ["dayOfWeek", "timeOfDay", "when"] {
            words.extend(items(repeat, key).iter().filter_map(written));
        }
    }
    words.extend(items(json, "event").iter().filter_map(written));
    (!words.is_empty()).then(|| words.join(", "))
}

fn join<'a>(words: impl Iterator<Item = &'a str>, between: &str) -> String {
    words.collect::<Vec<_>>().join(between)
}
