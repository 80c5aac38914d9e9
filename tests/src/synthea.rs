//! Transaction Bundles in the shape that Synthea writes for US Core: one patient, everything by `urn:uuid`, claims among the
//! records, the note of each visit twice, as a report and as a document. What they say is made up, and the same each time.
//! Synthea has no `ServiceRequest`: here the image of a visit is ordered by one, as hospitals have it.

use std::io::{self, Write};

use serde_json::{Value, json};

/// As many entries as the largest file has that was measured, and how long it is. Unit: bytes.
pub const LARGEST: (u64, u64) = (27_056, 69 << 20);

/// Of what kind the entries of one encounter are, in their order; the first entry of a file is its patient.
const ENCOUNTER: [&str; 28] = [
    "Encounter",
    "Condition",
    "Observation",
    "Observation",
    "Observation",
    "Observation",
    "Observation",
    "Observation",
    "Observation",
    "DiagnosticReport",
    "Procedure",
    "Medication",
    "MedicationRequest",
    "Claim",
    "MedicationAdministration",
    "Immunization",
    "ServiceRequest",
    "CareTeam",
    "Goal",
    "CarePlan",
    "AllergyIntolerance",
    "ImagingStudy",
    "DiagnosticReport",
    "DocumentReference",
    "Claim",
    "ExplanationOfBenefit",
    "SupplyDelivery",
    "Provenance",
];

/// How many entries an encounter has.
pub const OF_AN_ENCOUNTER: u64 = ENCOUNTER.len() as u64;
/// Which entry of an encounter its diagnosis is.
const DIAGNOSIS: u64 = 1;
/// Which of its two reports is the one of a laboratory; the other is the note of the visit.
const LABORATORY: u64 = 9;
/// Which one is the order of the image.
const IMAGE_ORDER: u64 = 16;

/// The kinds that records are made of.
const RECORDS: [&str; 14] = [
    "Condition",
    "Observation",
    "DiagnosticReport",
    "Procedure",
    "MedicationRequest",
    "MedicationAdministration",
    "Immunization",
    "ServiceRequest",
    "CareTeam",
    "Goal",
    "CarePlan",
    "AllergyIntolerance",
    "ImagingStudy",
    "DocumentReference",
];

/// A line of a note, in base64; its length is a multiple of three, so that the same again follows it.
const NOTE_LINE: &str =
    "Tm90IGluIGRpc3RyZXNzLiBMdW5ncyBjbGVhciwgaGVhcnQgc291bmRzIHJlZ3VsYXIsIGFiZG9tZW4gc29mdC4K";
/// How many lines a note has.
const NOTE_LINES: usize = 20;

const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const HL7: &str = "http://terminology.hl7.org/CodeSystem";

/// How many entries of a file so large records are made of.
pub fn records(entries: u64) -> u64 {
    let kinds = (1..entries).map(kind_of);
    kinds.filter(|kind| RECORDS.contains(kind)).count() as u64
}

/// Writes a Bundle of so many entries, about as long each as those of the largest file.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(entries: u64, to: &mut impl Write) -> io::Result<()> {
    let head = r#"{"resourceType":"Bundle","type":"transaction","entry":["#;
    to.write_all(head.as_bytes())?;
    let mut written = 0;
    for nth in 0..entries {
        // What is short is made up for by the claims, which are long in life, too.
        let wanted = (nth + 1) * LARGEST.1 / LARGEST.0;
        let room = wanted.saturating_sub(written);
        let (kind, resource) = if nth == 0 {
            ("Patient", patient())
        } else {
            (kind_of(nth), resource(nth, room))
        };
        let entry = json!({
            "fullUrl": urn(nth), "resource": resource, "request": { "method": "POST", "url": kind },
        });
        let comma = if nth == 0 { "" } else { "," };
        let text = format!("{comma}{entry}");
        written += text.len() as u64;
        to.write_all(text.as_bytes())?;
    }
    to.write_all(b"]}")
}

fn kind_of(nth: u64) -> &'static str {
    let place = usize::try_from((nth - 1) % OF_AN_ENCOUNTER);
    ENCOUNTER[place.unwrap_or_default()]
}

/// The first entry of the encounter that an entry belongs to.
fn encounter_of(nth: u64) -> u64 {
    nth - (nth - 1) % OF_AN_ENCOUNTER
}

fn uuid(nth: u64) -> String {
    format!("5e9a7a10-0000-4000-8000-{nth:012x}")
}

fn urn(nth: u64) -> String {
    format!("urn:uuid:{}", uuid(nth))
}

fn reference(nth: u64) -> Value {
    json!({ "reference": urn(nth) })
}

fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }], "text": display })
}

fn doctor() -> Value {
    json!({
        "reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999943290",
        "display": "Dr. Rosa Lindgren",
    })
}

fn hospital() -> Value {
    json!({
        "reference": "Organization?identifier=https://github.com/synthetichealth/synthea|e002090d-4e92-300e-b41e-7d1f21dee4c6",
        "display": "Fitchburg Outpatient Clinic",
    })
}

fn drug() -> Value {
    concept(
        "http://www.nlm.nih.gov/research/umls/rxnorm",
        "313782",
        "Acetaminophen 325 MG Oral Tablet",
    )
}

/// When an encounter was: each a day after the one before.
fn time(nth: u64) -> String {
    let day = encounter_of(nth) / OF_AN_ENCOUNTER;
    let (year, month, day) = (1990 + day / 336, 1 + day % 336 / 28, 1 + day % 28);
    let minute = (nth - encounter_of(nth)) % 60;
    format!("{year}-{month:02}-{day:02}T09:{minute:02}:00+07:00")
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": uuid(0),
        "identifier": [{ "system": "https://github.com/synthetichealth/synthea", "value": uuid(0) }],
        "name": [{ "use": "official", "family": "Abernathy524", "given": ["Marisol867"] }],
        "gender": "female", "birthDate": "1961-02-03",
        "address": [{ "line": ["1021 Orn Glen"], "city": "Boston", "state": "MA", "country": "US" }],
    })
}

/// The entry of this number. `room` is how long it may be, if it can be long.
fn resource(nth: u64, room: u64) -> Value {
    let kind = kind_of(nth);
    let visit = encounter_of(nth);
    let mut resource = match kind {
        "Encounter" => json!({
            "status": "finished", "class": { "system": format!("{HL7}/v3-ActCode"), "code": "AMB" },
            "type": [concept(SNOMED, "162673000", "General examination of patient (procedure)")],
            "subject": reference(0), "participant": [{ "individual": doctor() }],
            "period": { "start": time(nth), "end": time(nth) },
        }),
        "Condition" => json!({
            "clinicalStatus": { "coding": [{ "system": format!("{HL7}/condition-clinical"), "code": "active" }] },
            "verificationStatus": { "coding": [{ "system": format!("{HL7}/condition-ver-status"), "code": "confirmed" }] },
            "category": [concept(&format!("{HL7}/condition-category"), "encounter-diagnosis", "Encounter Diagnosis")],
            "code": concept(SNOMED, "195662009", "Acute viral pharyngitis (disorder)"),
            "subject": reference(0), "encounter": reference(visit), "onsetDateTime": time(nth), "recordedDate": time(nth),
        }),
        "Observation" => observation(nth),
        "DiagnosticReport" if nth - visit == LABORATORY => json!({
            "status": "final",
            "category": [concept(&format!("{HL7}/v2-0074"), "LAB", "Laboratory")],
            "code": concept(LOINC, "51990-0", "Basic Metabolic Panel"),
            "subject": reference(0), "encounter": reference(visit),
            "effectiveDateTime": time(nth), "issued": time(nth), "performer": [doctor()],
            "result": [reference(nth - 3), reference(nth - 2), reference(nth - 1)],
        }),
        "DiagnosticReport" | "DocumentReference" => note(kind, nth),
        "Medication" | "MedicationRequest" | "MedicationAdministration" => medicine(kind, nth),
        "ServiceRequest" | "CareTeam" | "Goal" | "CarePlan" => plan(kind, nth),
        "Claim" => claim(nth),
        "ExplanationOfBenefit" => benefit(nth, room),
        "Provenance" => json!({
            "target": [reference(0), reference(visit)], "recorded": time(nth), "agent": [{ "who": doctor() }],
        }),
        _ => care(kind, nth),
    };
    resource["resourceType"] = json!(kind);
    resource["id"] = json!(uuid(nth));
    resource
}

/// Four vital signs and three results of a laboratory, by turns of an encounter.
fn observation(nth: u64) -> Value {
    let visit = encounter_of(nth);
    let (category, code, display, unit) = match nth - visit {
        2 => ("vital-signs", "8302-2", "Body Height", "cm"),
        3 => ("vital-signs", "29463-7", "Body Weight", "kg"),
        4 => ("vital-signs", "8867-4", "Heart rate", "/min"),
        5 => ("vital-signs", "9279-1", "Respiratory rate", "/min"),
        6 => ("laboratory", "2339-0", "Glucose", "mg/dL"),
        7 => ("laboratory", "38483-4", "Creatinine", "mg/dL"),
        _ => ("laboratory", "2947-0", "Sodium", "mmol/L"),
    };
    json!({
        "status": "final",
        "category": [concept(&format!("{HL7}/observation-category"), category, category)],
        "code": concept(LOINC, code, display),
        "subject": reference(0), "encounter": reference(visit),
        "effectiveDateTime": time(nth), "issued": time(nth),
        "valueQuantity": {
            "value": 40 + nth % 100, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit,
        },
    })
}

/// What the doctor has written about the visit, as text in a report and in a document.
fn note(kind: &str, nth: u64) -> Value {
    let visit = encounter_of(nth);
    let kinds = json!({ "coding": [
        { "system": LOINC, "code": "34117-2", "display": "History and physical note" },
        { "system": LOINC, "code": "51847-2", "display": "Evaluation+Plan note" },
    ] });
    let file =
        json!({ "contentType": "text/plain; charset=utf-8", "data": NOTE_LINE.repeat(NOTE_LINES) });
    if kind == "DiagnosticReport" {
        return json!({
            "status": "final", "category": [kinds], "code": kinds,
            "subject": reference(0), "encounter": reference(visit),
            "effectiveDateTime": time(visit), "issued": time(visit), "performer": [doctor()],
            "presentedForm": [file],
        });
    }
    json!({
        // Only that of the last visit is current.
        "status": "superseded",
        "identifier": [{ "system": "urn:ietf:rfc:3986", "value": urn(nth - 1) }],
        "type": kinds,
        "category": [concept(
            "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note",
        )],
        "subject": reference(0), "date": time(visit), "author": [doctor()], "custodian": hospital(),
        "content": [{
            "attachment": file,
            "format": {
                "system": "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem",
                "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient", "display": "mimeType Sufficient",
            },
        }],
        "context": { "encounter": [reference(visit)], "period": { "start": time(visit), "end": time(visit) } },
    })
}

/// A drug, its prescription, which refers to it, and a dose that was given at once.
fn medicine(kind: &str, nth: u64) -> Value {
    let visit = encounter_of(nth);
    match kind {
        "Medication" => json!({ "status": "active", "code": drug() }),
        "MedicationRequest" => json!({
            "status": "stopped", "intent": "order", "medicationReference": reference(nth - 1),
            "subject": reference(0), "encounter": reference(visit), "authoredOn": time(nth), "requester": doctor(),
            "reasonReference": [reference(visit + DIAGNOSIS)],
            "dosageInstruction": [{ "sequence": 1, "text": "Take as needed.", "asNeededBoolean": true }],
        }),
        // A MedicationAdministration.
        _ => json!({
            "status": "completed", "medicationCodeableConcept": drug(),
            "subject": reference(0), "context": reference(visit), "effectiveDateTime": time(nth),
            "dosage": { "dose": { "value": 1 }, "rateQuantity": { "value": 1 } },
            "reasonReference": [reference(visit + DIAGNOSIS)],
        }),
    }
}

/// What is to be done, by whom and what for: a team and a goal before the plan that refers to them.
fn plan(kind: &str, nth: u64) -> Value {
    let visit = encounter_of(nth);
    let role = |code: &str, display: &str| json!([concept(SNOMED, code, display)]);
    match kind {
        "ServiceRequest" => json!({
            "status": "completed", "intent": "order",
            "code": concept(SNOMED, "399208008", "Plain X-ray of chest (procedure)"),
            "subject": reference(0), "encounter": reference(visit), "occurrenceDateTime": time(nth), "authoredOn": time(visit),
            "requester": doctor(), "reasonReference": [reference(visit + DIAGNOSIS)],
        }),
        "CareTeam" => json!({
            "status": "active", "subject": reference(0), "encounter": reference(visit), "period": { "start": time(nth) },
            "reasonCode": [concept(SNOMED, "195662009", "Acute viral pharyngitis (disorder)")],
            "participant": [
                {
                    "role": role("116154003", "Patient"),
                    "member": { "reference": urn(0), "display": "Marisol867 Abernathy524" },
                },
                { "role": role("223366009", "Healthcare professional (occupation)"), "member": doctor() },
                { "role": role("224891009", "Healthcare services (qualifier value)"), "member": hospital() },
            ],
            "managingOrganization": [hospital()],
        }),
        "Goal" => json!({
            "lifecycleStatus": "accepted",
            "achievementStatus": { "coding": [{ "system": format!("{HL7}/goal-achievement"), "code": "in-progress" }] },
            "description": { "text": "Recover without complication" }, "subject": reference(0),
            "target": [{ "measure": { "text": "Recover without complication" }, "dueDate": &time(nth)[..10] }],
            "addresses": [reference(visit + DIAGNOSIS)],
        }),
        // A CarePlan.
        _ => json!({
            "status": "active", "intent": "order",
            "category": [concept(SNOMED, "53950000", "Respiratory therapy (procedure)")],
            "subject": reference(0), "encounter": reference(visit), "period": { "start": time(nth) },
            "careTeam": [reference(nth - 2)], "goal": [reference(nth - 1)],
            "addresses": [reference(visit + DIAGNOSIS)],
            "activity": [{ "detail": {
                "code": concept(SNOMED, "304510005", "Recommendation to avoid exercise"), "status": "in-progress",
            }}],
        }),
    }
}

/// What was done, given and seen.
fn care(kind: &str, nth: u64) -> Value {
    let visit = encounter_of(nth);
    match kind {
        "Procedure" => json!({
            "status": "completed", "code": concept(SNOMED, "430193006", "Medication Reconciliation (procedure)"),
            "subject": reference(0), "encounter": reference(visit),
            "performedPeriod": { "start": time(nth), "end": time(nth) }, "reasonReference": [reference(visit + DIAGNOSIS)],
        }),
        "Immunization" => json!({
            "status": "completed",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "140", "Influenza, seasonal, injectable"),
            "patient": reference(0), "encounter": reference(visit), "occurrenceDateTime": time(nth), "primarySource": true,
        }),
        "AllergyIntolerance" => json!({
            "clinicalStatus": { "coding": [{ "system": format!("{HL7}/allergyintolerance-clinical"), "code": "active" }] },
            "verificationStatus": { "coding": [{
                "system": format!("{HL7}/allergyintolerance-verification"), "code": "confirmed",
            }] },
            "type": "allergy", "category": ["food"], "criticality": "low",
            "code": concept(SNOMED, "91935009", "Allergy to peanut"),
            "patient": reference(0), "encounter": reference(visit), "recordedDate": time(nth),
        }),
        "ImagingStudy" => json!({
            "status": "available", "subject": reference(0), "encounter": reference(visit), "started": time(nth),
            "basedOn": [reference(visit + IMAGE_ORDER)],
            "series": [{
                "uid": format!("1.2.840.99999999.1.{nth}"),
                "modality": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "DX" },
                "bodySite": { "system": SNOMED, "code": "51185008", "display": "Thoracic structure (body structure)" },
                "instance": [{
                    "uid": format!("1.2.840.99999999.1.{nth}.1"),
                    "sopClass": { "system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.1.1" },
                }],
            }],
        }),
        // A SupplyDelivery.
        _ => json!({
            "status": "completed", "patient": reference(0), "occurrenceDateTime": time(nth),
            "suppliedItem": {
                "quantity": { "value": 1 }, "itemCodeableConcept": concept(SNOMED, "337388004", "Blood glucose testing strips"),
            },
        }),
    }
}

fn claim(nth: u64) -> Value {
    json!({
        "status": "active", "use": "claim", "type": { "coding": [{ "system": format!("{HL7}/claim-type"), "code": "professional" }] },
        "patient": reference(0), "created": time(nth), "provider": doctor(),
        "priority": { "coding": [{ "system": format!("{HL7}/processpriority"), "code": "normal" }] },
        "insurance": [{ "sequence": 1, "focal": true, "coverage": { "display": "Medicare" } }],
        "item": [{
            "sequence": 1, "encounter": [reference(encounter_of(nth))],
            "productOrService": concept(SNOMED, "162673000", "General examination of patient (procedure)"),
        }],
        "total": { "value": 129, "currency": "USD" },
    })
}

/// A statement of an insurer with as many items as there is room for.
fn benefit(nth: u64, room: u64) -> Value {
    let amounts = [
        "submitted",
        "allowed",
        "benefit",
        "coinsurance",
        "deductible",
    ]
    .map(|what| {
        json!({
            "category": { "coding": [{ "system": format!("{HL7}/adjudication"), "code": what }] },
            "amount": { "value": 129, "currency": "USD" },
        })
    });
    let item = json!({
        "sequence": 1, "encounter": [reference(encounter_of(nth))],
        "productOrService": concept(SNOMED, "162673000", "General examination of patient (procedure)"),
        "servicedPeriod": { "start": time(nth), "end": time(nth) },
        "locationCodeableConcept": { "coding": [{
            "system": format!("{HL7}/ex-serviceplace"), "code": "19", "display": "Off Campus-Outpatient Hospital",
        }] },
        "adjudication": amounts,
    });
    let count = room / item.to_string().len() as u64;
    json!({
        "status": "active", "use": "claim", "outcome": "complete",
        "type": { "coding": [{ "system": format!("{HL7}/claim-type"), "code": "professional" }] },
        "patient": reference(0), "created": time(nth), "claim": reference(nth - 1),
        "insurer": { "display": "Medicare" }, "provider": doctor(),
        "insurance": [{ "focal": true, "coverage": { "display": "Medicare" } }],
        "item": (0..count.max(1)).map(|_| item.clone()).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_as_many_entries_as_were_asked_for_and_their_length_in_life() {
        let mut bytes = Vec::new();
        let many = 1 + 15 * OF_AN_ENCOUNTER;
        write(many, &mut bytes).expect("memory is written");
        let bundle: Value = serde_json::from_slice(&bytes).expect("JSON");

        let entries = bundle["entry"].as_array().expect("a list");
        let kind = |entry: &Value| {
            entry["resource"]["resourceType"]
                .as_str()
                .map(str::to_owned)
        };
        let is_record =
            |entry: &&Value| kind(entry).is_some_and(|it| RECORDS.contains(&it.as_str()));
        let names: std::collections::BTreeSet<_> =
            entries.iter().map(|it| it["fullUrl"].to_string()).collect();

        assert_eq!((entries.len(), names.len()), (421, 421));
        assert_eq!(
            entries.iter().filter(is_record).count() as u64,
            records(many)
        );
        let each = bytes.len() as u64 / many;
        assert!((2400..2900).contains(&each), "{each} bytes each");
        for named in bytes
            .split(|byte| *byte == b'"')
            .filter(|it| it.starts_with(b"urn:uuid:"))
        {
            let named = format!("\"{}\"", String::from_utf8_lossy(named));
            assert!(names.contains(&named), "{named} is no entry");
        }
    }
}
