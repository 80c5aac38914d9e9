//! Profiles of a guide of our own, and documents that keep them or do not.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{Value, json};

use super::*;
use crate::reader::read;

const GLUCOSE: &str = "https://guide.example/StructureDefinition/glucose";
const SITE: &str = "https://guide.example/StructureDefinition/site";
const BODY_SITE: &str = "https://guide.example/ValueSet/hands";
const LOINC: &str = "http://loinc.org";

fn package(definitions: &[Value]) -> Package {
    let mut package = Package::default();
    let manifest = json!({"name": "guide", "version": "1.0.0", "fhirVersions": ["4.0.1"]});
    package
        .add("package.json", manifest.to_string().as_bytes())
        .unwrap();
    for (at, definition) in definitions.iter().enumerate() {
        let name = format!("{at}.json");
        package
            .add(&name, definition.to_string().as_bytes())
            .unwrap();
    }
    package.complete().unwrap()
}

fn structure(url: &str, kind: &str, view: &str, elements: &Value) -> Value {
    json!({
        "resourceType": "StructureDefinition", "url": url, "version": "1.0.0", "type": kind,
        "derivation": "constraint", "baseDefinition": format!("http://hl7.org/fhir/StructureDefinition/{kind}"),
        view: {"element": elements},
    })
}

/// An element by its id, with what else is said of it.
fn element(id: &str, more: &Value) -> Value {
    let names = id.split('.').map(|it| it.split(':').next().unwrap());
    let path = names.collect::<Vec<_>>().join(".");
    let mut element = json!({"id": id, "path": path});
    let members = element.as_object_mut().unwrap();
    if let Some((_, slice)) = id.rsplit('.').next().unwrap().split_once(':') {
        members.insert("sliceName".to_owned(), json!(slice));
    }
    members.extend(more.as_object().unwrap().clone());
    element
}

fn glucose() -> Value {
    let by = |kind: &str, path: &str| json!({"discriminator": [{"type": kind, "path": path}], "rules": "open"});
    let laboratory = json!({"coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory",
    }]});
    json!([
        element(
            "Observation",
            &json!({"constraint": [
                {"key": "dom-6", "severity": "warning", "source": "http://hl7.org/fhir/StructureDefinition/DomainResource"},
                {"key": "obs-6", "severity": "error", "source": "http://hl7.org/fhir/StructureDefinition/Observation"},
                {"key": "glu-1", "severity": "error", "source": GLUCOSE},
            ]})
        ),
        element(
            "Observation.category",
            &json!({"min": 1, "max": "*", "slicing": by("pattern", "$this")})
        ),
        element(
            "Observation.category:lab",
            &json!({"min": 1, "max": "1", "patternCodeableConcept": laboratory})
        ),
        element(
            "Observation.code",
            &json!({"min": 1, "max": "1", "mustSupport": true})
        ),
        element(
            "Observation.code.coding",
            &json!({"slicing": by("value", "system"), "max": "*"})
        ),
        element(
            "Observation.code.coding:loinc",
            &json!({"min": 1, "max": "1"})
        ),
        element(
            "Observation.code.coding:loinc.system",
            &json!({"min": 1, "fixedUri": LOINC})
        ),
        element(
            "Observation.code.coding:loinc.code",
            &json!({"min": 1, "fixedCode": "2339-0"})
        ),
        element(
            "Observation.subject",
            &json!({
                "min": 1, "max": "1",
                "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}],
            })
        ),
        element(
            "Observation.effective[x]",
            &json!({"min": 0, "mustSupport": true, "type": [{"code": "dateTime"}]})
        ),
        element(
            "Observation.value[x]",
            &json!({"min": 0, "type": [{"code": "Quantity"}]})
        ),
        element("Observation.value[x].unit", &json!({"min": 1})),
        element(
            "Observation.bodySite",
            &json!({
                "min": 0, "max": "1", "binding": {"strength": "required", "valueSet": format!("{BODY_SITE}|1.0.0")},
            })
        ),
        element("Observation.note", &json!({"max": "0"})),
        element(
            "Observation.extension:site",
            &json!({"max": "1", "type": [{"code": "Extension", "profile": [SITE]}]})
        ),
    ])
}

fn guide() -> Profiles {
    let hands = json!({
        "resourceType": "ValueSet", "url": BODY_SITE, "version": "1.0.0",
        "compose": {"include": [{"system": "urn:hands", "concept": [{"code": "left"}, {"code": "right"}]}]},
    });
    let site = structure(
        SITE,
        "Extension",
        "snapshot",
        &json!([
            element("Extension", &json!({"min": 0})),
            element("Extension.url", &json!({"min": 1, "fixedUri": SITE})),
            element(
                "Extension.value[x]",
                &json!({"min": 1, "type": [{"code": "string"}]})
            ),
        ]),
    );
    let glucose = structure(GLUCOSE, "Observation", "snapshot", &glucose());
    Profiles::new(&[package(&[hands, site, glucose])])
}

/// A document that keeps the profile.
fn kept() -> Value {
    json!({
        "resourceType": "Observation", "meta": {"profile": [GLUCOSE]}, "status": "final",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory",
        }]}],
        "code": {"coding": [{"system": LOINC, "code": "2339-0"}, {"system": "urn:own", "code": "glu"}]},
        "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-01-01",
        "valueQuantity": {"value": 5.5, "unit": "mmol/L"},
        "bodySite": {"coding": [{"system": "urn:hands", "code": "left"}]},
        "extension": [{"url": SITE, "valueString": "ward"}, {"url": "urn:other", "valueBoolean": true}],
    })
}

/// The document with the value at a pointer replaced, or removed where that is null.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = kept();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(members), Value::Null) => {
            members.remove(name);
        }
        (Value::Object(members), value) => {
            members.insert(name.to_owned(), value);
        }
        (parent, value) => parent[name.parse::<usize>().unwrap()] = value,
    }
    document
}

fn report(profiles: &Profiles, document: &Value) -> ProfileReport {
    let tree = read(document.to_string().as_bytes()).unwrap();
    assert_eq!(
        crate::validate::before_stamping(&tree),
        [],
        "the document is R4"
    );
    profiles.check(&tree)
}

fn errors(document: &Value) -> Vec<(String, &'static str)> {
    let errors = report(&guide(), document).errors;
    let told = errors.into_iter().map(|it| {
        assert_eq!(it.rule, "profile:glucose", "{it:?}");
        (it.path, it.code.as_str())
    });
    told.collect()
}

#[test]
fn a_document_that_keeps_its_profile_has_no_error_and_what_was_not_checked_is_named() {
    let report = report(&guide(), &kept());

    assert_eq!(report.errors, []);
    let notes: Vec<(&str, &str)> = report
        .notes
        .iter()
        .map(|it| (it.path.as_str(), it.rule.as_str()))
        .collect();
    assert_eq!(notes, [("Observation", "profile-not-checked")]);
    assert!(report.notes[0].message.contains("glu-1"));
    assert_eq!(report.notes[0].severity, crate::Severity::Information);
}

#[test]
fn one_fault_is_one_error_at_its_place() {
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let cases = [
        ("/category", Value::Null, "Observation.category", "required"),
        (
            "/category/0",
            json!({"text": "lab"}),
            "Observation.category",
            "required",
        ),
        (
            "/code/coding/0/code",
            json!("2345-7"),
            "Observation.code.coding[0].code",
            "value",
        ),
        (
            "/code/coding/0/system",
            json!("urn:elsewhere"),
            "Observation.code.coding",
            "required",
        ),
        (
            "/subject",
            json!({"reference": "Group/1"}),
            "Observation.subject",
            "value",
        ),
        (
            "/valueQuantity/unit",
            Value::Null,
            "Observation.valueQuantity.unit",
            "required",
        ),
        (
            "/bodySite",
            concept("urn:hands", "middle"),
            "Observation.bodySite",
            "code-invalid",
        ),
        (
            "/bodySite",
            json!({"text": "left"}),
            "Observation.bodySite",
            "code-invalid",
        ),
        (
            "/note",
            json!([{"text": "see above"}]),
            "Observation.note",
            "structure",
        ),
    ];
    for (pointer, value, path, code) in cases {
        let document = with(pointer, value);
        assert_eq!(errors(&document), [(path.to_owned(), code)], "{document}");
    }
    // Another type of a choice.
    let mut text = with("/valueQuantity", Value::Null);
    text["valueString"] = json!("5.5");
    assert_eq!(
        errors(&text),
        [("Observation.valueString".to_owned(), "structure")]
    );
    // The definition of an extension is another profile.
    let of_number = with("/extension/0", json!({"url": SITE, "valueInteger": 1}));
    let issues = report(&guide(), &of_number).errors;
    let told: Vec<_> = issues
        .iter()
        .map(|it| (it.path.as_str(), it.rule.as_str()))
        .collect();
    assert_eq!(
        told,
        [("Observation.extension[0].valueInteger", "profile:site")]
    );
    let mut two = kept();
    two["extension"][1] = json!({"url": SITE, "valueString": "again"});
    assert_eq!(
        errors(&two),
        [("Observation.extension".to_owned(), "structure")]
    );
}

#[test]
fn no_error_repeats_what_the_document_says() {
    for (pointer, value) in [
        ("/code/coding/0/code", json!("a-secret-code")),
        (
            "/bodySite",
            json!({"coding": [{"system": "urn:hands", "code": "a-secret-code"}]}),
        ),
        (
            "/meta/profile",
            json!([GLUCOSE, "https://x.example/?name=a-secret-code"]),
        ),
    ] {
        let report = report(&guide(), &with(pointer, value));
        assert!(
            !format!("{report:?}").contains("a-secret-code"),
            "{pointer}"
        );
    }
}

#[test]
fn what_nobody_declares_is_not_looked_at_and_what_no_package_has_is_named() {
    let notes = |document: &Value| {
        let report = report(&guide(), document);
        assert_eq!(report.errors, []);
        let notes = report.notes.into_iter().map(|it| (it.path, it.message));
        notes.collect::<Vec<_>>()
    };
    let mut undeclared = with("/meta", Value::Null);
    undeclared["category"] = json!([{"text": "anything"}]);

    assert_eq!(notes(&undeclared), []);
    let told = notes(&with("/meta/profile", json!(["https://far.example/p"])));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "Observation.meta.profile[0]");
    assert!(
        told[0]
            .1
            .contains("https://far.example/p: no package has it")
    );
    let other = notes(&with("/meta/profile", json!([format!("{GLUCOSE}|9.0.0")])));
    assert!(other[0].1.contains("another version"), "{other:?}");
    let r4 = "http://hl7.org/fhir/StructureDefinition/Observation";
    assert_eq!(notes(&with("/meta/profile", json!([r4]))), []);
    let of_version = notes(&with("/meta/profile", json!([format!("{GLUCOSE}|1.0.0")])));
    assert!(of_version[0].1.contains("glu-1"), "{of_version:?}");
}

#[test]
fn what_the_server_sets_may_be_missing_and_what_must_be_supported_is_information() {
    assert_eq!(errors(&with("/subject", Value::Null)), []);

    let report = report(&guide(), &with("/effectiveDateTime", Value::Null));
    let must = report
        .notes
        .iter()
        .filter(|it| it.rule == "profile-must-support");
    let must: Vec<&str> = must.map(|it| it.path.as_str()).collect();

    assert_eq!(report.errors, []);
    assert_eq!(must, ["Observation.effective"]);
}

#[test]
fn a_profile_is_of_its_kind_and_entries_and_contained_resources_have_their_own() {
    let condition = json!({
        "resourceType": "Condition", "meta": {"profile": [GLUCOSE]}, "subject": {"reference": "Patient/1"},
    });
    assert_eq!(
        errors(&condition),
        [("Condition.meta.profile[0]".to_owned(), "structure")]
    );
    let mut inner = with("/category", Value::Null);
    let bundle = json!({
        "resourceType": "Bundle", "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": inner}],
    });
    let at = |path: &str| vec![(path.to_owned(), "required")];
    assert_eq!(errors(&bundle), at("Bundle.entry[0].resource.category"));
    inner["id"] = json!("o");
    let panel = json!({
        "resourceType": "Observation", "status": "final", "code": {"text": "panel"}, "contained": [inner],
        "hasMember": [{"reference": "#o"}],
    });
    assert_eq!(errors(&panel), at("Observation.contained[0].category"));
}

#[test]
fn a_differential_lies_over_what_it_is_based_on() {
    let url = "https://guide.example/StructureDefinition/fasting";
    let mut fasting = structure(
        url,
        "Observation",
        "differential",
        &json!([
            element("Observation.value[x]", &json!({"min": 1})),
            element("Observation.note", &json!({"max": "1"})),
        ]),
    );
    fasting["baseDefinition"] = json!(GLUCOSE);
    let glucose = structure(GLUCOSE, "Observation", "snapshot", &glucose());
    let profiles = Profiles::new(&[package(&[fasting.clone()]), package(&[glucose])]);
    let mut document = with("/meta/profile", json!([url]));
    document["note"] = json!([{"text": "fasting"}]);

    assert_eq!(report(&profiles, &document).errors, []);
    document.as_object_mut().unwrap().remove("valueQuantity");
    document["category"] = json!([{"text": "lab"}]);
    let errors = report(&profiles, &document).errors;
    let paths: Vec<&str> = errors.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["Observation.category", "Observation.value"]);
    // Without the base, its rules are not taken as kept.
    let alone = Profiles::new(&[package(&[fasting])]);
    let notes = report(&alone, &document).notes;
    assert!(notes[0].message.contains(GLUCOSE), "{notes:?}");
}

#[test]
fn slices_that_cannot_be_told_apart_are_named_and_not_taken_as_kept() {
    for slicing in [
        json!({"discriminator": [{"type": "profile", "path": "$this"}], "rules": "open"}),
        json!({"discriminator": [{"type": "value", "path": "resolve().code"}], "rules": "open"}),
        json!({"discriminator": [{"type": "value", "path": "text"}], "rules": "open"}),
        json!({"rules": "open"}),
        json!({"discriminator": [{"type": "value", "path": "coding.code"}], "rules": "open", "ordered": true}),
    ] {
        let definition = structure(
            GLUCOSE,
            "Observation",
            "snapshot",
            &json!([
                element("Observation.category", &json!({"slicing": slicing})),
                element("Observation.category:a", &json!({"min": 1})),
                element(
                    "Observation.category:a.coding.code",
                    &json!({"fixedCode": "a"})
                ),
            ]),
        );
        let profiles = Profiles::new(&[package(&[definition])]);
        let report = report(&profiles, &kept());

        assert_eq!(report.errors, [], "{slicing}");
        assert_eq!(report.notes.len(), 1, "{slicing}");
        assert_eq!(report.notes[0].path, "Observation.category");
        assert_eq!(report.notes[0].rule, "profile-not-checked");
    }
}

#[test]
fn a_package_that_cannot_be_used_says_which_file_and_why() {
    let told = |files: &[(&str, &str)]| {
        let mut package = Package::default();
        for (name, text) in files {
            if let Err(error) = package.add(name, text.as_bytes()) {
                return error.to_string();
            }
        }
        package
            .complete()
            .map_or_else(|error| error.to_string(), |_| String::new())
    };
    let manifest = ("package.json", r#"{"fhirVersions":["4.0.1"]}"#);
    let structure = |more: &str| {
        format!(
            r#"{{"resourceType":"StructureDefinition","url":"urn:p","type":"Patient","derivation":"constraint",
            "baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient"{more}}}"#
        )
    };
    let empty = structure("");
    let slices = structure(
        r#","snapshot":{"element":[{"path":"Patient"},{"path":"Patient.name","sliceName":"a"}]}"#,
    );
    let whole = structure(r#","differential":{"element":[]}"#);
    for (files, wanted) in [
        (vec![], "no package.json"),
        (vec![("package.json", "{}")], "not for FHIR R4"),
        (
            vec![("package.json", r#"{"fhirVersions":["4.3.0"]}"#)],
            "not for FHIR R4",
        ),
        (vec![manifest], "no StructureDefinition"),
        (vec![manifest, ("a.json", "{")], "a.json in it is no JSON"),
        (
            vec![manifest, ("a.json", r#"{"resourceType":"ValueSet"}"#)],
            "a.json in it cannot be used: it has no url",
        ),
        (
            vec![manifest, ("a.json", empty.as_str())],
            "neither snapshot nor",
        ),
        (
            vec![manifest, ("a.json", slices.as_str())],
            "elements without id",
        ),
        (
            vec![
                manifest,
                ("a.json", whole.as_str()),
                ("b.json", whole.as_str()),
            ],
            "b.json in it cannot be used: another file",
        ),
    ] {
        let told = told(&files);
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert_eq!(told(&[manifest, ("a.json", whole.as_str())]), "");
}

/// What is said of a document that declares a profile of Observation with these elements: errors, then notes.
fn told(elements: &Value, document: &Value) -> (Vec<String>, String) {
    let definition = structure(GLUCOSE, "Observation", "snapshot", elements);
    let report = report(&Profiles::new(&[package(&[definition])]), document);
    let errors = report.errors.into_iter().map(|it| it.path).collect();
    (errors, format!("{:?}", report.notes))
}

#[test]
fn what_is_beside_a_primitive_value_is_demanded_too() {
    let reason = json!([
        element(
            "Observation.effective[x]",
            &json!({"type": [{"code": "dateTime"}]})
        ),
        element("Observation.effective[x].extension", &json!({"min": 1})),
        element("Observation.status", &json!({"fixedCode": "final"})),
    ]);
    let (errors, _) = told(&reason, &kept());
    assert_eq!(errors, ["Observation.effectiveDateTime.extension"]);
    let mut with_one = kept();
    with_one["_effectiveDateTime"] = json!({"extension": [{"url": "urn:e", "valueBoolean": true}]});
    assert_eq!(told(&reason, &with_one).0, [""; 0]);
    let mut without_status = with_one;
    without_status.as_object_mut().unwrap().remove("status");
    without_status["_status"] = json!({"extension": [{"url": "urn:e", "valueBoolean": true}]});
    assert_eq!(told(&reason, &without_status).0, ["Observation.status"]);
}

#[test]
fn an_element_that_is_like_another_keeps_what_is_demanded_within_that() {
    let ranges = json!([
        element("Observation.referenceRange", &json!({})),
        element("Observation.referenceRange.text", &json!({"min": 1})),
        element("Observation.component", &json!({})),
        element(
            "Observation.component.referenceRange",
            &json!({"contentReference": "#Observation.referenceRange"})
        ),
    ]);
    let mut document = kept();
    document["component"] =
        json!([{"code": {"text": "c"}, "referenceRange": [{"low": {"value": 1}}]}]);

    let (errors, _) = told(&ranges, &document);

    assert_eq!(errors, ["Observation.component[0].referenceRange[0].text"]);
}

#[test]
fn what_is_demanded_and_not_known_how_to_check_is_named() {
    let by_type = json!({"discriminator": [{"type": "type", "path": "value"}], "rules": "closed"});
    let cases = [
        (
            json!([element(
                "Observation.valueQuantity.unit",
                &json!({"maxLength": 2})
            )]),
            "maxLength",
        ),
        (
            json!([element(
                "Observation.valueQuantity.value",
                &json!({"minValueDecimal": 9})
            )]),
            "minValueDecimal",
        ),
        (
            json!([element(
                "Observation.subject",
                &json!({"type": [{"code": "Reference", "aggregation": ["contained"]}]})
            )]),
            "aggregation",
        ),
        (
            json!([element(
                "Observation.valueQuantity",
                &json!({"type": [{
                    "code": "Quantity", "profile": ["http://hl7.org/fhir/StructureDefinition/SimpleQuantity"],
                }]})
            )]),
            "SimpleQuantity",
        ),
        (
            json!([
                element("Observation.component", &json!({"slicing": by_type})),
                element("Observation.component:a", &json!({"min": 0})),
                element(
                    "Observation.component:a.value[x]",
                    &json!({"type": [{"code": "Quantity"}]})
                ),
            ]),
            "slices",
        ),
    ];
    let mut document = kept();
    document["component"] = json!([{"code": {"text": "c"}, "valueQuantity": {"value": 1}}]);
    for (elements, named) in cases {
        let definition = structure(GLUCOSE, "Observation", "snapshot", &elements);
        let report = report(&Profiles::new(&[package(&[definition])]), &document);
        assert_eq!(report.errors, [], "{named}");
        let is_named = |it: &Issue| it.rule == "profile-not-checked" && it.message.contains(named);
        assert!(
            report.notes.iter().any(is_named),
            "{named}: {:?}",
            report.notes
        );
    }
}

#[test]
fn the_strictest_value_set_of_a_binding_that_is_weaker_is_kept() {
    let strictest = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet";
    let binding = json!({"binding": {
        "strength": "preferred", "valueSet": "urn:any",
        "extension": [{"url": strictest, "valueCanonical": BODY_SITE}],
    }});
    let hands = json!({
        "resourceType": "ValueSet", "url": BODY_SITE,
        "compose": {"include": [{"system": "urn:hands", "concept": [{"code": "right"}]}]},
    });
    let definition = structure(
        GLUCOSE,
        "Observation",
        "snapshot",
        &json!([element("Observation.bodySite", &binding)]),
    );
    let report = report(&Profiles::new(&[package(&[hands, definition])]), &kept());
    assert_eq!(report.errors.len(), 1);
    assert_eq!(report.errors[0].path, "Observation.bodySite");
}

#[test]
fn resources_in_a_bundle_are_of_the_types_and_keep_the_profiles_of_its_profile() {
    let bundle_profile = "https://guide.example/StructureDefinition/bundle";
    let definition = structure(
        bundle_profile,
        "Bundle",
        "snapshot",
        &json!([
            element("Bundle.entry", &json!({})),
            element(
                "Bundle.entry.resource",
                &json!({"type": [{"code": "Condition"}]})
            ),
        ]),
    );
    let profiles = Profiles::new(&[package(&[definition])]);
    let bundle = json!({
        "resourceType": "Bundle", "type": "collection", "meta": {"profile": [bundle_profile]},
        "entry": [{
            "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            "resource": with("/meta", Value::Null),
        }],
    });
    let errors = report(&profiles, &bundle).errors;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path, "Bundle.entry[0].resource");
}

#[test]
fn what_would_take_too_long_ends_and_is_named() {
    // Each item is looked at once for each slice.
    let by_code = json!({"discriminator": [{"type": "value", "path": "text"}], "rules": "open"});
    let mut elements = vec![element("Observation.note", &json!({"slicing": by_code}))];
    for nth in 0..800 {
        let id = format!("Observation.note:s{nth}");
        elements.push(element(&id, &json!({"max": "1"})));
        let id = format!("{id}.text");
        elements.push(element(&id, &json!({"fixedMarkdown": format!("s{nth}")})));
    }
    let mut document = kept();
    document["note"] = json!(vec![json!({"text": "a"}); 800]);

    let (errors, notes) = told(&json!(elements), &document);

    assert_eq!(errors, [""; 0]);
    assert!(notes.contains("would take too long"), "{notes}");
}
