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
            // A unit alone is no value.
            let it = Quantity::of(json).filter(|it| it.value.is_some());
            it.map(|it| quantity(&it))
        }
        "Range" => Range::of(json).map(|it| range(&it)),
        "Period" => Period::of(json).map(|it| period(&it)),
        "Ratio" => ratio(json),
        "CodeableConcept" => Concept::of(json)?.text,
        "Coding" => Concept::of_coding(json)?.text,
        "Reference" => Party::of(part).and_then(|party| party.name.or(party.reference)),
        "Timing" => bounded_timing(part),
        "SampledData" => Some("a series of measurements".to_owned()),
        _ => written(json),
    }
}

/// `>= 7.0 %`
pub(super) fn quantity(it: &Quantity) -> String {
    let words = [&it.comparator, &it.value, &it.unit];
    join(words.into_iter().flatten().map(String::as_str), " ")
}

/// `20 mg : 1 d`; a side that is not stated is `?`.
pub(super) fn ratio(json: &Json) -> Option<String> {
    let side = |key| json.get(key).and_then(Quantity::of).map(|it| quantity(&it));
    let sides = [side("numerator"), side("denominator")];
    if sides.iter().all(Option::is_none) {
        return None;
    }
    let [numerator, denominator] = sides.map(|it| it.unwrap_or_else(|| "?".to_owned()));
    Some(format!("{numerator} : {denominator}"))
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

/// A timing, and for how long it holds.
fn bounded_timing(part: Part<'_>) -> Option<String> {
    let bounds = part
        .get("repeat")
        .and_then(|repeat| repeat.choice("bounds"));
    let words: Vec<String> = timing(part.json).into_iter().chain(bounds).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// When something is to happen: the timing's code in words, its rule, such as `2 times per 1 d, C`, and
/// its moments.
pub(super) fn timing(json: &Json) -> Option<String> {
    let code = json.get("code").and_then(Concept::of);
    let mut words: Vec<String> = code.and_then(|it| it.text).into_iter().collect();
    if let Some(repeat) = json.get("repeat") {
        words.extend(repeated(repeat));
    }
    words.extend(items(json, "event").iter().filter_map(written));
    (!words.is_empty()).then(|| words.join(", "))
}

/// What a rule says, but for its bounds: `2–3 times per 1 d`, `for 30 min`, `10 times in all`, …
fn repeated(repeat: &Json) -> Vec<String> {
    let number = |least: &str, most: &str| {
        let least = repeat.get(least).and_then(written);
        match (least, repeat.get(most).and_then(written)) {
            (Some(least), Some(most)) => Some(format!("{least}–{most}")),
            (Some(least), None) => Some(least),
            (None, most) => most.map(|most| format!("up to {most}")),
        }
    };
    let unit = |key: &str| repeat.get(key).and_then(written).unwrap_or_default();
    let often = number("frequency", "frequencyMax");
    let often = match number("period", "periodMax") {
        Some(period) => {
            let often = often.unwrap_or_else(|| "1".to_owned());
            Some(format!("{often} times per {period} {}", unit("periodUnit")))
        }
        None => often.map(|often| format!("{often} times")),
    };
    let mut words: Vec<String> = often.into_iter().collect();
    for key in ["dayOfWeek", "timeOfDay", "when"] {
        words.extend(items(repeat, key).iter().filter_map(written));
    }
    let offset = repeat.get("offset").and_then(written);
    words.extend(offset.map(|offset| format!("offset {offset} min")));
    let lasts = number("duration", "durationMax");
    words.extend(lasts.map(|lasts| format!("for {lasts} {}", unit("durationUnit"))));
    let count = number("count", "countMax");
    words.extend(count.map(|count| format!("{count} times in all")));
    words
}

fn join<'a>(words: impl Iterator<Item = &'a str>, between: &str) -> String {
    words.collect::<Vec<_>>().join(between)
}
