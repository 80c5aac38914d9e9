//! For each invariant a document that keeps it and one that breaks it.

#![expect(clippy::too_many_lines, reason = "a table of documents")]

use std::collections::BTreeSet;

use crate::reader::read;
use crate::{table, validate};

fn broken_rules(document: &str) -> Vec<String> {
    let json = read(document.as_bytes()).unwrap_or_else(|e| unreachable!("{e}: {document}"));
    validate::base(&json)
        .into_iter()
        .map(|issue| issue.rule)
        .collect()
}

/// A resource that may hold a value of any type.
fn value(kind: &str, value: &str) -> String {
    format!(
        r#"{{"resourceType":"Basic","code":{{"text":"a"}},"extension":[{{"url":"urn:a","value{kind}":{value}}}]}}"#
    )
}

/// A resource with more members than the fixed ones.
fn resource(kind: &str, more: &str) -> String {
    let patient = r#"{"reference":"Patient/1"}"#;
    let fixed = match kind {
        "AllergyIntolerance" => format!(r#""patient":{patient}"#),
        "CarePlan" => format!(r#""status":"active","intent":"plan","subject":{patient}"#),
        "Composition" => {
            r#""status":"final","type":{"text":"a"},"date":"2024","author":[{"display":"a"}],"title":"a""#
                .to_owned()
        }
        "Condition" => format!(r#""subject":{patient}"#),
        "FamilyMemberHistory" => {
            format!(r#""status":"completed","relationship":{{"text":"a"}},"patient":{patient}"#)
        }
        "Goal" => {
            format!(r#""lifecycleStatus":"active","description":{{"text":"a"}},"subject":{patient}"#)
        }
        "Immunization" => format!(
            r#""status":"completed","vaccineCode":{{"text":"a"}},"patient":{patient},"occurrenceString":"a""#
        ),
        "ImmunizationRecommendation" => format!(r#""date":"2024","patient":{patient}"#),
        "List" => r#""status":"current""#.to_owned(), // each case has its mode
        "MedicationAdministration" => format!(
            r#""status":"completed","medicationCodeableConcept":{{"text":"a"}},"subject":{patient},"effectiveDateTime":"2024""#
        ),
        "Observation" => r#""status":"final","code":{"coding":[{"system":"urn:s","code":"a"}]}"#.to_owned(),
        "ServiceRequest" => format!(r#""status":"active","intent":"order","subject":{patient}"#),
        _ => r#""language":"en""#.to_owned(),
    };
    format!(r#"{{"resourceType":"{kind}",{fixed},{more}}}"#)
}

fn coded(system: &str, code: &str) -> String {
    format!(
        r#"{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/{system}","code":"{code}"}}]}}"#
    )
}

/// An invariant with a document that keeps it and one that breaks it.
type Case = (&'static str, String, String);

fn values() -> Vec<Case> {
    let value_case = |key, kind, good: &str, bad: &str| (key, value(kind, good), value(kind, bad));
    let repeat = |key, good: &str, bad: &str| {
        let timing = |repeat: &str| value("Timing", &format!(r#"{{"repeat":{{{repeat}}}}}"#));
        (key, timing(good), timing(bad))
    };
    let filter = |key, part, good: &str, bad: &str| {
        let requirement = |filter: &str| {
            value(
                "DataRequirement",
                &format!(r#"{{"type":"Patient","{part}":[{{{filter}}}]}}"#),
            )
        };
        (key, requirement(good), requirement(bad))
    };
    let trigger = |key, good: &str, bad: &str| {
        let trigger = |members: &str| value("TriggerDefinition", &format!("{{{members}}}"));
        (key, trigger(good), trigger(bad))
    };
    let ucum = r#""system":"http://unitsofmeasure.org""#;
    let data = r#""data":[{"type":"Patient"}]"#;
    vec![
        value_case(
            "age-1",
            "Age",
            &format!(r#"{{"value":3,{ucum},"code":"a"}}"#),
            &format!(r#"{{"value":-3,{ucum},"code":"a"}}"#),
        ),
        value_case(
            "att-1",
            "Attachment",
            r#"{"contentType":"a/b","data":"QUJD"}"#,
            r#"{"data":"QUJD"}"#,
        ),
        value_case(
            "cnt-3",
            "Count",
            &format!(r#"{{"value":3,{ucum},"code":"1"}}"#),
            &format!(r#"{{"value":3.5,{ucum},"code":"1"}}"#),
        ),
        value_case(
            "cpt-2",
            "ContactPoint",
            r#"{"system":"phone","value":"1"}"#,
            r#"{"value":"1"}"#,
        ),
        value_case(
            "dis-1",
            "Distance",
            &format!(r#"{{"value":3,{ucum},"code":"m"}}"#),
            r#"{"value":3}"#,
        ),
        value_case(
            "drt-1",
            "Duration",
            &format!(r#"{{"value":3,{ucum},"code":"d"}}"#),
            r#"{"value":3,"system":"urn:s","code":"d"}"#,
        ),
        value_case(
            "exp-1",
            "Expression",
            r#"{"language":"text/cql","expression":"a"}"#,
            r#"{"language":"text/cql"}"#,
        ),
        value_case(
            "per-1",
            "Period",
            r#"{"start":"2024-01-01","end":"2024-01"}"#,
            r#"{"start":"2024-01-02T00:00:00Z","end":"2024-01-02T01:00:00+02:00"}"#,
        ),
        value_case(
            "qty-3",
            "Quantity",
            r#"{"system":"urn:s","code":"a"}"#,
            r#"{"code":"a"}"#,
        ),
        value_case(
            "rat-1",
            "Ratio",
            r#"{"numerator":{"value":1},"denominator":{"value":2}}"#,
            r#"{"numerator":{"value":1}}"#,
        ),
        value_case(
            "rng-2",
            "Range",
            r#"{"low":{"value":9.0},"high":{"value":10}}"#,
            r#"{"low":{"value":10},"high":{"value":9.99}}"#,
        ),
        (
            "ext-1",
            value("String", r#""a""#),
            r#"{"resourceType":"Basic","code":{"text":"a"},"extension":[{"url":"urn:a"}]}"#
                .to_owned(),
        ),
        (
            "ref-1",
            resource(
                "Composition",
                r##""contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}"##,
            ),
            resource("Composition", r##""subject":{"reference":"#p"}"##),
        ),
        filter(
            "drq-1",
            "codeFilter",
            r#""path":"a""#,
            r#""path":"a","searchParam":"b""#,
        ),
        filter(
            "drq-2",
            "dateFilter",
            r#""searchParam":"b""#,
            r#""valueDateTime":"2024""#,
        ),
        repeat(
            "tim-1",
            r#""duration":1,"durationUnit":"h""#,
            r#""duration":1"#,
        ),
        repeat("tim-2", r#""period":1,"periodUnit":"h""#, r#""period":1"#),
        repeat(
            "tim-4",
            r#""duration":0,"durationUnit":"h""#,
            r#""duration":-1,"durationUnit":"h""#,
        ),
        repeat(
            "tim-5",
            r#""period":0.0,"periodUnit":"h""#,
            r#""period":-0.1,"periodUnit":"h""#,
        ),
        repeat(
            "tim-6",
            r#""period":1,"periodMax":2,"periodUnit":"h""#,
            r#""periodMax":2"#,
        ),
        repeat(
            "tim-7",
            r#""duration":1,"durationMax":2,"durationUnit":"h""#,
            r#""durationMax":2"#,
        ),
        repeat("tim-8", r#""count":1,"countMax":2"#, r#""countMax":2"#),
        repeat(
            "tim-9",
            r#""when":["AC"],"offset":5"#,
            r#""when":["C"],"offset":5"#,
        ),
        repeat(
            "tim-10",
            r#""when":["AC"]"#,
            r#""when":["AC"],"timeOfDay":["12:00:00"]"#,
        ),
        trigger(
            "trd-1",
            &format!(r#""type":"data-added",{data}"#),
            &format!(r#""type":"data-added",{data},"timingDate":"2024""#),
        ),
        trigger(
            "trd-2",
            &format!(
                r#""type":"data-added",{data},"condition":{{"language":"text/cql","expression":"a"}}"#
            ),
            r#""type":"named-event","name":"a","condition":{"language":"text/cql","expression":"a"}"#,
        ),
        trigger(
            "trd-3",
            r#""type":"named-event","name":"a""#,
            r#""type":"periodic""#,
        ),
    ]
}

fn clinical() -> Vec<Case> {
    let case = |key, kind, good: &str, bad: &str| (key, resource(kind, good), resource(kind, bad));
    let verified = |system, code| format!(r#""verificationStatus":{}"#, coded(system, code));
    let allergy_error = verified("allergyintolerance-verification", "entered-in-error");
    let allergy_active = format!(
        r#""clinicalStatus":{}"#,
        coded("allergyintolerance-clinical", "active")
    );
    let condition_error = verified("condition-ver-status", "entered-in-error");
    let clinical = |code| format!(r#""clinicalStatus":{}"#, coded("condition-clinical", code));
    let (active, resolved) = (clinical("active"), clinical("resolved"));
    let abated = r#""abatementDateTime":"2024""#;
    vec![
        case(
            "ait-1",
            "AllergyIntolerance",
            &allergy_active,
            r#""criticality":"low""#,
        ),
        case(
            "ait-2",
            "AllergyIntolerance",
            &allergy_error,
            &format!("{allergy_error},{allergy_active}"),
        ),
        case(
            "con-1",
            "Condition",
            r#""stage":[{"summary":{"text":"a"}}]"#,
            r#""stage":[{"type":{"text":"a"}}]"#,
        ),
        case(
            "con-2",
            "Condition",
            r#""evidence":[{"code":[{"text":"a"}]}]"#,
            r#""evidence":[{"id":"a","extension":[{"url":"urn:a","valueString":"a"}]}]"#,
        ),
        case(
            "con-4",
            "Condition",
            &format!("{resolved},{abated}"),
            &format!("{active},{abated}"),
        ),
        case(
            "con-5",
            "Condition",
            &condition_error,
            &format!("{condition_error},{active}"),
        ),
        case(
            "cpl-3",
            "CarePlan",
            r#""activity":[{"reference":{"display":"a"}}]"#,
            r#""activity":[{"reference":{"display":"a"},"detail":{"status":"scheduled"}}]"#,
        ),
        case(
            "ctm-1",
            "CareTeam",
            r#""participant":[{"member":{"reference":"Practitioner/1"},"onBehalfOf":{"display":"a"}}]"#,
            r#""participant":[{"member":{"reference":"Patient/1"},"onBehalfOf":{"display":"a"}}]"#,
        ),
        case(
            "fhs-1",
            "FamilyMemberHistory",
            r#""ageString":"a""#,
            r#""ageString":"a","bornDate":"2024""#,
        ),
        case(
            "fhs-2",
            "FamilyMemberHistory",
            r#""ageString":"a","estimatedAge":true"#,
            r#""estimatedAge":true"#,
        ),
        case(
            "gol-1",
            "Goal",
            r#""target":[{"measure":{"text":"a"},"detailString":"b"}]"#,
            r#""target":[{"detailString":"b"}]"#,
        ),
        case(
            "imm-1",
            "Immunization",
            r#""education":[{"documentType":"a"}]"#,
            r#""education":[{"publicationDate":"2024"}]"#,
        ),
        case(
            "imr-1",
            "ImmunizationRecommendation",
            r#""recommendation":[{"forecastStatus":{"text":"a"},"targetDisease":{"text":"a"}}]"#,
            r#""recommendation":[{"forecastStatus":{"text":"a"}}]"#,
        ),
        case(
            "mad-1",
            "MedicationAdministration",
            r#""dosage":{"rateRatio":{"numerator":{"value":1},"denominator":{"value":1}}}"#,
            r#""dosage":{"text":"a"}"#,
        ),
        case(
            "obs-3",
            "Observation",
            r#""referenceRange":[{"text":"a"}]"#,
            r#""referenceRange":[{"type":{"text":"a"}}]"#,
        ),
        case(
            "obs-6",
            "Observation",
            r#""dataAbsentReason":{"text":"a"}"#,
            r#""dataAbsentReason":{"text":"a"},"valueString":"b""#,
        ),
        case(
            "obs-7",
            "Observation",
            r#""valueString":"b","component":[{"code":{"coding":[{"system":"urn:s","code":"b"}]}}]"#,
            r#""valueString":"b","component":[{"code":{"coding":[{"system":"urn:s","code":"a"}]}}]"#,
        ),
        case(
            "prr-1",
            "ServiceRequest",
            r#""code":{"text":"a"},"orderDetail":[{"text":"b"}]"#,
            r#""orderDetail":[{"text":"b"}]"#,
        ),
        case("org-1", "Organization", r#""name":"a""#, r#""active":true"#),
        case(
            "org-2",
            "Organization",
            r#""name":"a","address":[{"use":"work"}]"#,
            r#""name":"a","address":[{"use":"home"}]"#,
        ),
        case(
            "org-3",
            "Organization",
            r#""name":"a","telecom":[{"use":"work"}]"#,
            r#""name":"a","telecom":[{"use":"home"}]"#,
        ),
        case(
            "pat-1",
            "Patient",
            r#""contact":[{"name":{"text":"a"}}]"#,
            r#""contact":[{"gender":"female"}]"#,
        ),
    ]
}

fn containers() -> Vec<Case> {
    let case = |key, kind, good: &str, bad: &str| (key, resource(kind, good), resource(kind, bad));
    let bundle = |key, good: &str, bad: &str| {
        (
            key,
            format!(r#"{{"resourceType":"Bundle",{good}}}"#),
            format!(r#"{{"resourceType":"Bundle",{bad}}}"#),
        )
    };
    let contained = |key, good: &str, bad: &str| {
        let with = |members: &str| {
            let patient = format!(r#"{{"resourceType":"Patient","id":"p"{members}}}"#);
            resource(
                "List",
                &format!(
                    r##""mode":"working","contained":[{patient}],"subject":{{"reference":"#p"}}"##
                ),
            )
        };
        (key, with(good), with(bad))
    };
    let patient = r#"{"resourceType":"Patient"}"#;
    let entry = format!(r#""entry":[{{"resource":{patient}}}]"#);
    let item = |more: &str| format!(r#""entry":[{{"item":{{"display":"a"}}{more}}}]"#);
    let composition = resource("Composition", r#""language":"en""#);
    let document = |more: &str, first: &str| {
        format!(r#""type":"document"{more},"entry":[{{"resource":{first}}}]"#)
    };
    let named = r#","identifier":{"system":"urn:s","value":"a"}"#;
    let dated = r#","timestamp":"2024-01-01T00:00:00Z""#;
    let both = format!("{named}{dated}");
    let request = r#""request":{"method":"GET","url":"a"}"#;
    let twice = |urls: [&str; 2]| {
        let entry = |url| format!(r#"{{"fullUrl":"{url}","resource":{patient}}}"#);
        format!(
            r#""type":"collection","entry":[{},{}]"#,
            entry(urls[0]),
            entry(urls[1])
        )
    };
    let header =
        r#"{"resourceType":"MessageHeader","eventUri":"urn:a","source":{"endpoint":"urn:b"}}"#;
    vec![
        bundle(
            "bdl-1",
            r#""type":"searchset","total":0"#,
            r#""type":"collection","total":0"#,
        ),
        bundle(
            "bdl-2",
            &format!(
                r#""type":"searchset","entry":[{{"resource":{patient},"search":{{"mode":"match"}}}}]"#
            ),
            &format!(
                r#""type":"collection","entry":[{{"resource":{patient},"search":{{"mode":"match"}}}}]"#
            ),
        ),
        bundle(
            "bdl-3",
            &format!(r#""type":"batch","entry":[{{{request}}}]"#),
            &format!(r#""type":"collection","entry":[{{{request}}}]"#),
        ),
        bundle(
            "bdl-4",
            &format!(r#""type":"collection",{entry}"#),
            &format!(r#""type":"batch-response",{entry}"#),
        ),
        bundle(
            "bdl-5",
            &format!(r#""type":"collection",{entry}"#),
            r#""type":"collection","entry":[{"fullUrl":"urn:a"}]"#,
        ),
        bundle(
            "bdl-7",
            &twice(["urn:a", "urn:b"]),
            &twice(["urn:a", "urn:a"]),
        ),
        bundle(
            "bdl-8",
            &twice(["urn:a", "urn:b"]),
            &twice(["urn:a", "http://a/Patient/1/_history/1"]),
        ),
        bundle(
            "bdl-9",
            &document(&both, &composition),
            &document(dated, &composition),
        ),
        bundle(
            "bdl-10",
            &document(&both, &composition),
            &document(named, &composition),
        ),
        bundle(
            "bdl-11",
            &document(&both, &composition),
            &document(&both, patient),
        ),
        bundle(
            "bdl-12",
            &format!(r#""type":"message","entry":[{{"resource":{header}}}]"#),
            &format!(r#""type":"message",{entry}"#),
        ),
        case(
            "cmp-1",
            "Composition",
            r#""section":[{"entry":[{"display":"a"}]}]"#,
            r#""section":[{"title":"a"}]"#,
        ),
        case(
            "cmp-2",
            "Composition",
            r#""section":[{"entry":[{"display":"a"}]}]"#,
            r#""section":[{"entry":[{"display":"a"}],"emptyReason":{"text":"b"}}]"#,
        ),
        case(
            "lst-1",
            "List",
            r#""mode":"working","emptyReason":{"text":"a"}"#,
            &format!(
                r#""mode":"working",{},"emptyReason":{{"text":"a"}}"#,
                item("")
            ),
        ),
        case(
            "lst-2",
            "List",
            &format!(r#""mode":"changes",{}"#, item(r#","deleted":true"#)),
            &format!(r#""mode":"working",{}"#, item(r#","deleted":true"#)),
        ),
        case(
            "lst-3",
            "List",
            &format!(r#""mode":"working",{}"#, item(r#","date":"2024""#)),
            &format!(r#""mode":"snapshot",{}"#, item(r#","date":"2024""#)),
        ),
        contained(
            "dom-2",
            "",
            r#","contained":[{"resourceType":"Patient","id":"q"}]"#,
        ),
        (
            "dom-3",
            resource(
                "List",
                r##""mode":"working","contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}"##,
            ),
            resource(
                "List",
                r#""mode":"working","contained":[{"resourceType":"Patient","id":"p"}]"#,
            ),
        ),
        contained(
            "dom-4",
            r#","meta":{"profile":["urn:a"]}"#,
            r#","meta":{"versionId":"1"}"#,
        ),
        contained(
            "dom-5",
            r#","meta":{"profile":["urn:a"]}"#,
            r#","meta":{"security":[{"code":"a"}]}"#,
        ),
        (
            "ele-1",
            value("Period", r#"{"start":"2024"}"#),
            value("Period", r#"{"id":"a"}"#),
        ),
    ]
}

#[test]
fn each_invariant_is_broken_by_its_bad_document_and_by_no_good_one() {
    for (key, good, bad) in [values(), clinical(), containers()].concat() {
        assert_eq!(broken_rules(&good), Vec::<String>::new(), "{key}: {good}");
        assert!(
            broken_rules(&bad).iter().any(|rule| rule == key),
            "{key}: {bad}"
        );
    }
}

#[test]
fn every_invariant_has_its_test() {
    let tested: BTreeSet<&str> = [values(), clinical(), containers()]
        .concat()
        .into_iter()
        .map(|(key, ..)| key)
        .collect();

    let stated: BTreeSet<&str> = table::r4()
        .rules()
        .map(|rule| rule.key)
        .chain(["ele-1"])
        .collect();

    assert_eq!(tested, stated);
}
