//! What bullets ask of single elements.

use crate::contained::Contained;
use crate::json::Json;
use crate::record_types::resource_type;
use crate::references::Literal;

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";

pub(super) fn has(json: &Json, key: &str) -> bool {
    json.get(key).is_some()
}

pub(super) fn has_choice(json: &Json, stem: &str) -> bool {
    let members = json.as_object().unwrap_or_default();
    let chosen = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    members
        .iter()
        .any(|(key, _)| key.strip_prefix(stem).is_some_and(chosen))
}

pub(super) fn at<'a>(json: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(json, |json, key| json.get(key))
}

pub(super) fn items<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key).and_then(Json::as_array).unwrap_or_default()
}

pub(super) fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// Whether somebody is named at `key` who is not plainly the patient, kin or a device. A fragment means
/// what `root` contains.
pub(super) fn names_professional(json: &Json, key: &str, root: &Json) -> bool {
    json.get(key).is_some_and(|who| {
        let reference = text(who, "reference");
        let contained = |id: &str| {
            let mut contained = items(root, "contained").iter();
            contained
                .find(|it| text(it, "id") == id)
                .and_then(resource_type)
        };
        let kind = match reference.strip_prefix('#') {
            Some(id) => contained(id),
            None => Contained::default().target(reference),
        };
        !matches!(
            kind.or_else(|| who.get("type").and_then(Json::as_str)),
            Some("Patient" | "RelatedPerson" | "Device")
        )
    })
}

/// Whether a reference says to a person, or by an identifier, what it means. An address states nothing, wherever it stands.
pub(super) fn is_named(reference: &Json) -> bool {
    let identifier = reference.get("identifier");
    let is_said = identifier.is_some_and(|it| Literal::of(text(it, "value")).is_none());
    has(reference, "display") || is_said
}

/// Whether the truth value at `key` is true.
pub(super) fn says(json: &Json, key: &str) -> bool {
    json.get(key) == Some(&Json::Bool(true))
}

/// Whether a coding of the concept at `key` has a fitting system and code.
pub(super) fn is_coded(json: &Json, key: &str, fits: impl Fn(&str, &str) -> bool) -> bool {
    let codings = json
        .get(key)
        .map(|concept| items(concept, "coding"))
        .unwrap_or_default();
    codings
        .iter()
        .any(|coding| fits(text(coding, "system"), text(coding, "code")))
}

/// Whether the concept at `key` says what it means: in words, or by a code, which states what it codes.
pub(super) fn is_described(json: &Json, key: &str) -> bool {
    json.get(key).is_some_and(|concept| {
        has(concept, "text")
            || items(concept, "coding")
                .iter()
                .any(|coding| has(coding, "display") || has(coding, "code"))
    })
}

pub(super) fn is_fragment(reference: &Json) -> bool {
    text(reference, "reference").starts_with('#')
}

/// ICD-10 or a national variant of it; not the procedures of ICD-10-PCS.
pub(super) fn is_icd_10(system: &str, code: &str) -> bool {
    let name = system.rsplit('/').next().unwrap_or_default();
    let icd_10 = (name.starts_with("icd-10") && !name.ends_with("-pcs"))
        || matches!(
            system,
            "urn:oid:2.16.840.1.113883.6.3" | "urn:oid:2.16.840.1.113883.6.90"
        );
    icd_10 && has_icd_10_shape(code)
}

/// `^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$`
fn has_icd_10_shape(code: &str) -> bool {
    let upper = |b: &u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    match code.as_bytes() {
        [letter, digit, third, rest @ ..] => {
            letter.is_ascii_uppercase()
                && digit.is_ascii_digit()
                && upper(third)
                && match rest {
                    [] => true,
                    [b'.', detail @ ..] => {
                        (1..=4).contains(&detail.len()) && detail.iter().all(upper)
                    }
                    _ => false,
                }
        }
        _ => false,
    }
}

/// A LOINC code: digits, a hyphen, a check digit.
pub(super) fn is_loinc(system: &str, code: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    system == LOINC
        && code
            .split_once('-')
            .is_some_and(|(n, check)| digits(n) && check.len() == 1 && digits(check))
}

/// Whether a coding is this LOINC code.
pub(super) fn is_loinc_code(system: &str, code: &str, wanted: &str) -> bool {
    system == LOINC && code == wanted
}

/// SNOMED CT: no known allergy, to drugs, to food, to anything, to the environment.
pub(super) fn is_no_known_allergy(system: &str, code: &str) -> bool {
    system == "http://snomed.info/sct"
        && matches!(code, "716186003" | "409137002" | "429625007" | "428607008")
}

/// A value, parts with values, members with values, or the reason that there is none.
pub(super) fn has_result(observation: &Json) -> bool {
    has_choice(observation, "value")
        || ["component", "hasMember", "dataAbsentReason"]
            .iter()
            .any(|key| has(observation, key))
}

/// A conclusion, in words or by a code, or the report as a file.
pub(super) fn is_concluded(report: &Json) -> bool {
    ["conclusion", "conclusionCode", "presentedForm"]
        .iter()
        .any(|key| has(report, key))
}

pub(super) fn has_range(observation: &Json) -> bool {
    has(observation, "referenceRange")
        || items(observation, "component")
            .iter()
            .any(|part| has(part, "referenceRange"))
}

/// What has a unit whenever it is measured: the codes of R4's profiles of vital signs.
const WITH_A_UNIT: [&str; 12] = [
    "8867-4", "9279-1", "8310-5", "8302-2", "9843-4", "29463-7", "39156-5", "2708-6", "59408-5",
    "8480-6", "8462-4", "8478-0",
];

/// A quantity in UCUM here, in every component or in the members; or a reason for none. A score and an
/// answer have no unit.
pub(super) fn is_measured(observation: &Json) -> bool {
    let stated = |json: &Json| {
        if let Some(quantity) = json.get("valueQuantity") {
            return has(quantity, "value")
                && text(quantity, "system") == UCUM
                && has(quantity, "code");
        }
        let has_unit = is_coded(json, "code", |system, code| {
            system == LOINC && WITH_A_UNIT.contains(&code)
        });
        let unitless = ["valueInteger", "valueCodeableConcept", "valueBoolean"];
        has(json, "dataAbsentReason") || (!has_unit && unitless.iter().any(|key| has(json, key)))
    };
    let components = items(observation, "component");
    has(observation, "hasMember")
        || if components.is_empty() {
            stated(observation)
        } else {
            components.iter().all(stated)
        }
}

pub(super) fn is_in_units(observation: &Json, units: &[&str]) -> bool {
    observation
        .get("valueQuantity")
        .is_none_or(|quantity| units.contains(&text(quantity, "code")))
}

/// Whether an immunization says that no dose is to follow.
pub(super) fn is_last_dose(immunization: &Json) -> bool {
    items(immunization, "protocolApplied")
        .iter()
        .any(|protocol| {
            let doses = protocol.get("seriesDosesPositiveInt");
            doses.is_some() && protocol.get("doseNumberPositiveInt") == doses
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icd_10_is_told_by_its_system_and_its_shape() {
        let who = "http://hl7.org/fhir/sid/icd-10";
        for code in ["E11", "E11.9", "A90", "C7A.0", "S72.001A"] {
            assert!(is_icd_10(who, code), "{code}");
        }
        for code in [
            "",
            "E1",
            "e11",
            "E11.",
            "E11.12345",
            "E119",
            "EE1",
            "44054006",
            "É11",
        ] {
            assert!(!is_icd_10(who, code), "{code}");
        }
        assert!(is_icd_10("http://hl7.org/fhir/sid/icd-10-cm", "E11.9"));
        assert!(is_icd_10(
            "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
            "E11.9"
        ));
        assert!(is_icd_10("urn:oid:2.16.840.1.113883.6.90", "E11.9"));
        assert!(!is_icd_10("http://hl7.org/fhir/sid/icd-10-pcs", "E11.9"));
        assert!(!is_icd_10("http://hl7.org/fhir/sid/icd-9-cm", "E11.9"));
        assert!(!is_icd_10("http://snomed.info/sct", "E11.9"));
    }

    #[test]
    fn loinc_is_told_by_its_system_and_its_shape() {
        assert!(is_loinc("http://loinc.org", "4548-4"));
        for code in ["", "4548", "4548-", "-4", "4548-44", "LP1-2"] {
            assert!(!is_loinc("http://loinc.org", code), "{code}");
        }
        assert!(!is_loinc("http://snomed.info/sct", "4548-4"));
    }
}
