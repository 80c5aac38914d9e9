//! Values that a profile prescribes, wholly (`fixed[x]`) or in part (`pattern[x]`).

use crate::json::Json;

/// A value that is prescribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This and nothing else.
    Fixed(Json),
    /// This, and whatever is there besides.
    Pattern(Json),
}

impl Wanted {
    /// What the definition of an element prescribes.
    pub(super) fn of(element: &Json) -> Option<Self> {
        let members = element.as_object()?;
        let is_choice = |name: &str, stem: &str| {
            let tail = name.strip_prefix(stem);
            tail.is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_uppercase()))
        };
        members.iter().find_map(|(name, value)| {
            if is_choice(name, "fixed") {
                Some(Self::Fixed(value.clone()))
            } else if is_choice(name, "pattern") {
                Some(Self::Pattern(value.clone()))
            } else {
                None
            }
        })
    }

    /// Whether `value` is what is prescribed.
    pub(super) fn is_met_by(&self, value: &Json) -> bool {
        match self {
            Self::Fixed(wanted) => is_same(wanted, value),
            Self::Pattern(wanted) => has(value, wanted),
        }
    }

    /// What of it is prescribed for an element within, if one value is. A part of what is fixed is fixed.
    pub(super) fn within(&self, path: &[String]) -> Option<Self> {
        let (json, again): (&Json, fn(Json) -> Self) = match self {
            Self::Fixed(json) => (json, Self::Fixed),
            Self::Pattern(json) => (json, Self::Pattern),
        };
        let mut at = json;
        for name in path {
            at = match at {
                Json::Array(items) if items.len() == 1 => items.first()?.get(name)?,
                _ => at.get(name)?,
            };
        }
        match at {
            Json::Array(items) if items.len() == 1 => Some(again(items.first()?.clone())),
            Json::Array(_) => None,
            _ => Some(again(at.clone())),
        }
    }
}

/// Whether two values are the same, in whichever order their members are written.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Object(ours), Json::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|their| is_same(value, their)))
        }
        (Json::Array(ours), Json::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

/// Whether a value has at least what is wanted: each item of a list somewhere among its own.
fn has(value: &Json, wanted: &Json) -> bool {
    match (wanted, value) {
        (Json::Object(members), Json::Object(_)) => members
            .iter()
            .all(|(name, wanted)| value.get(name).is_some_and(|value| has(value, wanted))),
        (Json::Array(wanted), Json::Array(values)) => wanted
            .iter()
            .all(|wanted| values.iter().any(|value| has(value, wanted))),
        _ => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;

    fn wanted(element: &str) -> Wanted {
        Wanted::of(&read(element.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_fixed_is_all_and_a_pattern_is_a_part() {
        let fixed = r#"{"fixedCodeableConcept":{"coding":[{"system":"urn:s","code":"a"}]}}"#;
        let pattern = r#"{"patternCodeableConcept":{"coding":[{"system":"urn:s","code":"a"}]}}"#;
        let cases = [
            (r#"{"coding":[{"code":"a","system":"urn:s"}]}"#, true, true),
            (
                r#"{"coding":[{"code":"a","system":"urn:s"}],"text":"A"}"#,
                false,
                true,
            ),
            (
                r#"{"coding":[{"code":"b"},{"code":"a","system":"urn:s","display":"A"}]}"#,
                false,
                true,
            ),
            (
                r#"{"coding":[{"code":"a"},{"system":"urn:s"}]}"#,
                false,
                false,
            ),
            (r#"{"text":"a"}"#, false, false),
            ("[]", false, false),
        ];
        for (value, is_fixed, is_pattern) in cases {
            let read = read(value.as_bytes()).unwrap();
            assert_eq!(wanted(fixed).is_met_by(&read), is_fixed, "{value}");
            assert_eq!(wanted(pattern).is_met_by(&read), is_pattern, "{value}");
        }
        let number = wanted(r#"{"fixedDecimal":1.0}"#);
        assert!(!number.is_met_by(&read(b"1.00").unwrap()));
    }

    #[test]
    fn what_is_prescribed_within_is_told_where_it_is_one_value() {
        let pattern = wanted(r#"{"patternCodeableConcept":{"coding":[{"code":"a"}]}}"#);
        let path = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let a = Json::String("a".to_owned());

        let within = pattern.within(&path(&["coding", "code"]));
        assert_eq!(within, Some(Wanted::Pattern(a)));
        assert_eq!(pattern.within(&path(&["text"])), None);
        let two = wanted(r#"{"patternCodeableConcept":{"coding":[{"code":"a"},{"code":"b"}]}}"#);
        assert_eq!(two.within(&path(&["coding", "code"])), None);
    }
}
