//! Invariants of data types.

use std::cmp::Ordering;

use super::{Rule, Scope};
use crate::decimal;
use crate::json::Json;
use crate::temporal::Moment;

const UCUM: &str = "http://unitsofmeasure.org";

/// The invariants of the data type or of a node within one.
pub(super) fn of(node: &str) -> &'static [Rule] {
    match node {
        "Age" => AGE,
        "Attachment" => ATTACHMENT,
        "ContactPoint" => CONTACT_POINT,
        "Count" => COUNT,
        "DataRequirement.codeFilter" => CODE_FILTER,
        "DataRequirement.dateFilter" => DATE_FILTER,
        "Distance" => DISTANCE,
        "Duration" => DURATION,
        "Expression" => EXPRESSION,
        "Extension" => EXTENSION,
        "Period" => PERIOD,
        "Quantity" => QUANTITY,
        "Range" => RANGE,
        "Ratio" => RATIO,
        "Reference" => REFERENCE,
        "Timing.repeat" => TIMING,
        "TriggerDefinition" => TRIGGER,
        _ => &[],
    }
}

const AGE: &[Rule] = &[Rule {
    key: "age-1",
    human: "an age has a UCUM code if it has a value, and is positive",
    holds: |s| coded_in_ucum(s) && s.number("value").is_none_or(is_positive),
}];

const COUNT: &[Rule] = &[Rule {
    key: "cnt-3",
    human: "a count has the UCUM code 1 if it has a value, and is a whole number",
    holds: |s| {
        coded_in_ucum(s)
            && s.text("code").is_none_or(|code| code == "1")
            && s.number("value").is_none_or(|value| !value.contains('.'))
    },
}];

const DISTANCE: &[Rule] = &[Rule {
    key: "dis-1",
    human: "a distance has a UCUM code if it has a value",
    holds: coded_in_ucum,
}];

const DURATION: &[Rule] = &[Rule {
    key: "drt-1",
    human: "a duration with a code has a value, and the code is of UCUM",
    holds: |s| !s.has("code") || (s.text("system") == Some(UCUM) && s.has("value")),
}];

const QUANTITY: &[Rule] = &[Rule {
    key: "qty-3",
    human: "a code for the unit has a system",
    holds: |s| !s.has("code") || s.has("system"),
}];

const ATTACHMENT: &[Rule] = &[Rule {
    key: "att-1",
    human: "an attachment with data has a contentType",
    holds: |s| !s.has("data") || s.has("contentType"),
}];

const CONTACT_POINT: &[Rule] = &[Rule {
    key: "cpt-2",
    human: "a contact with a value has a system",
    holds: |s| !s.has("value") || s.has("system"),
}];

const CODE_FILTER: &[Rule] = &[Rule {
    key: "drq-1",
    human: "either a path or a searchParam, not both",
    holds: |s| s.has("path") != s.has("searchParam"),
}];

const DATE_FILTER: &[Rule] = &[Rule {
    key: "drq-2",
    human: "either a path or a searchParam, not both",
    holds: |s| s.has("path") != s.has("searchParam"),
}];

const EXPRESSION: &[Rule] = &[Rule {
    key: "exp-1",
    human: "an expression or a reference to one",
    holds: |s| s.has("expression") || s.has("reference"),
}];

const EXTENSION: &[Rule] = &[Rule {
    key: "ext-1",
    human: "either extensions or a value, not both",
    holds: |s| s.has("extension") != s.has_choice("value"),
}];

const PERIOD: &[Rule] = &[Rule {
    key: "per-1",
    human: "a period does not end before it starts",
    holds: |s| {
        let moment = |key| s.text(key).and_then(Moment::parse);
        let (Some(start), Some(end)) = (moment("start"), moment("end")) else {
            return true;
        };
        start.compare(&end) != Some(Ordering::Greater)
    },
}];

const RANGE: &[Rule] = &[Rule {
    key: "rng-2",
    human: "low is not above high",
    holds: |s| {
        let (Some(low), Some(high)) = (s.object("low"), s.object("high")) else {
            return true;
        };
        let same_unit = ["unit", "system", "code"]
            .iter()
            .all(|key| low.get(key) == high.get(key));
        let (Some(low), Some(high)) = (low.number("value"), high.number("value")) else {
            return true;
        };
        !same_unit || decimal::compare(low, high) != Ordering::Greater
    },
}];

const RATIO: &[Rule] = &[Rule {
    key: "rat-1",
    human: "numerator and denominator, or neither and an extension",
    holds: |s| {
        s.has("numerator") == s.has("denominator") && (s.has("numerator") || s.has("extension"))
    },
}];

const REFERENCE: &[Rule] = &[Rule {
    key: "ref-1",
    human: "a reference with # is to a contained resource",
    holds: |s| {
        let Some(id) = s.text("reference").and_then(|r| r.strip_prefix('#')) else {
            return true;
        };
        // A lone # in a contained resource is the one that contains it.
        s.contained.has(id) || (id.is_empty() && s.is_contained)
    },
}];

const TIMING: &[Rule] = &[
    Rule {
        key: "tim-1",
        human: "a duration has units",
        holds: |s| !s.has("duration") || s.has("durationUnit"),
    },
    Rule {
        key: "tim-2",
        human: "a period has units",
        holds: |s| !s.has("period") || s.has("periodUnit"),
    },
    Rule {
        key: "tim-4",
        human: "a duration is not negative",
        holds: |s| s.number("duration").is_none_or(is_not_negative),
    },
    Rule {
        key: "tim-5",
        human: "a period is not negative",
        holds: |s| s.number("period").is_none_or(is_not_negative),
    },
    Rule {
        key: "tim-6",
        human: "with a periodMax there is a period",
        holds: |s| !s.has("periodMax") || s.has("period"),
    },
    Rule {
        key: "tim-7",
        human: "with a durationMax there is a duration",
        holds: |s| !s.has("durationMax") || s.has("duration"),
    },
    Rule {
        key: "tim-8",
        human: "with a countMax there is a count",
        holds: |s| !s.has("countMax") || s.has("count"),
    },
    Rule {
        key: "tim-9",
        human: "with an offset there is a when, and not C, CM, CD or CV",
        holds: |s| {
            let meal = |when: &Json| matches!(when.as_str(), Some("C" | "CM" | "CD" | "CV"));
            !s.has("offset") || (s.has("when") && !s.items("when").iter().any(meal))
        },
    },
    Rule {
        key: "tim-10",
        human: "either a timeOfDay or a when, not both",
        holds: |s| !s.has("timeOfDay") || !s.has("when"),
    },
];

const TRIGGER: &[Rule] = &[
    Rule {
        key: "trd-1",
        human: "either timing or data, not both",
        holds: |s| !s.has("data") || !s.has_choice("timing"),
    },
    Rule {
        key: "trd-2",
        human: "a condition needs data",
        holds: |s| !s.has("condition") || s.has("data"),
    },
    Rule {
        key: "trd-3",
        human: "a named event has a name, a periodic one timing, a data event data",
        holds: |s| match s.text("type") {
            Some("named-event") => s.has("name"),
            Some("periodic") => s.has_choice("timing"),
            Some(kind) if kind.starts_with("data-") => s.has("data"),
            _ => true,
        },
    },
];

fn coded_in_ucum(s: Scope<'_>) -> bool {
    (s.has("code") || !s.has("value")) && s.text("system").is_none_or(|system| system == UCUM)
}

fn is_positive(lexeme: &str) -> bool {
    decimal::compare(lexeme, "0") == Ordering::Greater
}

fn is_not_negative(lexeme: &str) -> bool {
    decimal::compare(lexeme, "0") != Ordering::Less
}
