//! A row of the trail as a FHIR R4 `AuditEvent`, by the Basic Audit Log Patterns of IHE (BALP 1.1.3) where one fits: what was
//! done with records and allowed. What was refused, and everything else, is an `AuditEvent` without a profile.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::row::Row;

const BALP: &str = "https://profiles.ihe.net/ITI/BALP";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SECURITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
const REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// The actions of the trail as a code system.
pub const ACTIONS: &str = "https://meditrustal.example/fhir/CodeSystem/audit-action";

/// The outcome of what was refused.
const REFUSED: &str = "4";

/// Who acted, as far as the reader may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditActor {
    /// What they call themselves.
    pub username: String,
    /// What they may be; `None` for the service itself.
    pub role: Option<String>,
}

/// What was done, in the words of FHIR.
struct EventWords {
    /// The profile of BALP, without `Patient` and the part before it.
    profile: Option<&'static str>,
    /// `type`: system, code, display.
    event: [&'static str; 3],
    /// The interaction of REST.
    interaction: Option<&'static str>,
    /// Create, read, update or execute.
    action: &'static str,
}

const REST: [&str; 3] = [
    "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "rest",
    "Restful Operation",
];

const fn rest(
    profile: &'static str,
    interaction: &'static str,
    action: &'static str,
) -> EventWords {
    EventWords {
        profile: Some(profile),
        event: REST,
        interaction: Some(interaction),
        action,
    }
}

const fn other(code: &'static str, display: &'static str, action: &'static str) -> EventWords {
    EventWords {
        profile: None,
        event: [DICOM, code, display],
        interaction: None,
        action,
    }
}

fn kind(row: &Row) -> EventWords {
    match row.action_type.as_str() {
        "RECORD_READ" | "RECORD_VERIFY" | "RECORD_EXPORT" => rest("Read", "vread", "R"),
        "RECORD_SEARCH" => rest("Query", "search-type", "E"),
        "RECORD_CREATE" | "RECORD_IMPORT" => rest("Create", "create", "C"),
        "RECORD_AMEND" => rest("Update", "update", "U"),
        "ACCESS_DENIED" => EventWords {
            profile: None,
            event: REST,
            interaction: None,
            action: "E",
        },
        "AUTH_LOGIN" | "AUTH_LOGIN_FAILED" | "AUTH_LOGOUT" | "AUTH_REFRESH"
        | "AUTH_REFRESH_REUSE" | "AUTH_LOCKED" => other("110114", "User Authentication", "E"),
        "AUDIT_READ" | "AUDIT_EXPORT" => other("110101", "Audit Log Used", "R"),
        "USER_ROLE_CHANGE" | "USER_DEACTIVATE" | "USER_REACTIVATE" | "INTEGRITY_FAILURE"
        | "ROW_SEAL" | "KEY_ROTATE" | "KEY_DESTROY" => other("110113", "Security Alert", "E"),
        _ => other("110100", "Application Activity", "E"),
    }
}

/// The event of a row. Where `is_masked`, the network address and the program of whoever acted are left out, and how many
/// records of everybody a list was about.
pub fn of(row: &Row, actor: Option<&AuditActor>, is_masked: bool) -> Value {
    let kind = kind(row);
    let about = about(row);
    let profile = kind.profile.filter(|profile| fits(profile, row, &about));
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": row.id.to_string(),
        "type": coding(kind.event[0], kind.event[1], Some(kind.event[2])),
        "subtype": subtypes(row, &kind),
        "action": kind.action,
        "period": { "start": instant(row.event_time), "end": instant(row.event_time) },
        "recorded": instant(row.created_at),
        "outcome": outcome(row),
        "purposeOfEvent": [{ "coding": [coding(REASON, &row.purpose, None)] }],
        "agent": agents(row, actor, is_masked, &kind),
        "source": {
            "site": "MediTrustAl",
            "observer": { "display": "MediTrustAl" },
            "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", Some("Application Server"))],
        },
        "entity": entities(row, &kind, &about, is_masked),
    });
    if let Some(profile) = profile {
        let whose = if row.patient_id.is_some() {
            "Patient"
        } else {
            ""
        };
        let url = format!("{BALP}/StructureDefinition/IHE.BasicAudit.{whose}{profile}");
        event["meta"] = json!({ "profile": [url] });
    }
    if let Some(reason) = reason(row).filter(|_| event["outcome"] == REFUSED) {
        event["outcomeDesc"] = reason.into();
    }
    event
}

/// The records that a row is about.
fn about(row: &Row) -> Vec<Uuid> {
    match &row.record_ids {
        Some(records) => records.clone(),
        None if row.resource_type == "MEDICAL_RECORD" && row.resource_id != row.request_id => {
            vec![row.resource_id]
        }
        None => Vec::new(),
    }
}

/// Whether a profile has all that it asks for. Of records those of a patient are meant, of a list also one that found none.
fn fits(profile: &str, row: &Row, about: &[Uuid]) -> bool {
    profile == "Query" || (row.patient_id.is_some() && about.len() == 1)
}

fn subtypes(row: &Row, kind: &EventWords) -> Vec<Value> {
    let interaction = kind
        .interaction
        .map(|code| coding("http://hl7.org/fhir/restful-interaction", code, None));
    let ours = coding(ACTIONS, &row.action_type, None);
    interaction.into_iter().chain([ours]).collect()
}

fn outcome(row: &Row) -> &'static str {
    match row.action_type.as_str() {
        "ACCESS_DENIED" | "AUTH_LOGIN_FAILED" | "AUTH_LOCKED" | "AUTH_REFRESH_REUSE" => REFUSED,
        "INTEGRITY_FAILURE" => "8",
        _ => "0",
    }
}

/// What the row says of the state after; `null` where there is nothing.
fn said(row: &Row) -> Value {
    let said = row.new_value.as_deref();
    said.and_then(|said| serde_json::from_str(said).ok())
        .unwrap_or_default()
}

/// What a list was asked for, without the values. How many records of everybody there are is for administrators.
fn asked(row: &Row, is_masked: bool) -> String {
    if !is_masked {
        return row.new_value.as_deref().unwrap_or("{}").to_owned();
    }
    match said(row) {
        Value::Object(mut said) => {
            said.remove("total");
            Value::Object(said).to_string()
        }
        _ => "{}".to_owned(),
    }
}

/// Why something was refused, by its word.
fn reason(row: &Row) -> Option<String> {
    said(row)["reason"]
        .as_str()
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
}

/// Who asked, with what, who answered, and for whom it was, if not for whoever asked. In BALP data flows from the source to the destination: whoever reads is the
/// destination, but whoever searches is the source, of what they ask.
fn agents(row: &Row, actor: Option<&AuditActor>, is_masked: bool, kind: &EventWords) -> Value {
    const DESTINATION: (&str, &str) = ("110152", "Destination Role ID");
    const SOURCE: (&str, &str) = ("110153", "Source Role ID");
    let (client, server) = if kind.action == "R" {
        (DESTINATION, SOURCE)
    } else {
        (SOURCE, DESTINATION)
    };
    let role = |(code, display)| json!({ "coding": [coding(DICOM, code, Some(display))] });
    let network = if is_masked {
        json!({ "_address": { "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked",
        }] }, "type": "2" })
    } else {
        json!({ "address": row.ip_address.to_string(), "type": "2" })
    };
    let program = row.user_agent.as_deref().map(str::trim);
    let program = program.filter(|it| !it.is_empty() && !is_masked);
    let participation = match kind.action {
        "C" | "U" => ("AUT", "author (originator)"),
        _ => ("IRCP", "information recipient"),
    };
    let system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    let mut user = json!({
        "type": { "coding": [coding(system, participation.0, Some(participation.1))] },
        "who": { "identifier": urn(row.user_id) },
        "requestor": true,
        "purposeOfUse": [{ "coding": [coding(REASON, &row.purpose, None)] }],
    });
    if let Some(actor) = actor {
        user["name"] = actor.username.as_str().into();
        if let Some(role) = &actor.role {
            user["role"] = json!([{ "text": role }]);
        }
    }
    let mut agents = vec![
        user,
        json!({
            "type": role(client),
            "who": { "display": program.unwrap_or("unknown program") },
            "requestor": false,
            "network": network,
        }),
        json!({
            "type": role(server),
            "who": { "display": "MediTrustAl" },
            "requestor": false,
            "network": { "address": "MediTrustAl", "type": "1" },
        }),
    ];
    // Whoever acted did so for this patient. A third patient, whom the row is about, is not told for whom.
    let is_told = |patient: &Uuid| !is_masked || row.patient_id == Some(*patient);
    if let Some(patient) = row.on_behalf_of.filter(is_told) {
        agents.push(json!({
            "type": { "coding": [coding(SECURITY_ROLE, "datasubject", Some("data subject"))] },
            "who": { "type": "Patient", "identifier": urn(patient) },
            "requestor": false,
        }));
    }
    Value::Array(agents)
}

fn entities(row: &Row, kind: &EventWords, about: &[Uuid], is_masked: bool) -> Vec<Value> {
    let mut entities = Vec::new();
    if let Some(patient) = row.patient_id {
        entities.push(json!({
            "what": { "type": "Patient", "identifier": urn(patient) },
            "type": coding(ENTITY, "1", Some("Person")),
            "role": coding(OBJECT_ROLE, "1", Some("Patient")),
        }));
    }
    let is_list = kind.profile == Some("Query");
    if is_list {
        entities.push(json!({
            "type": coding(ENTITY, "2", Some("System Object")),
            "role": coding(OBJECT_ROLE, "24", Some("Query")),
            "query": BASE64_STANDARD.encode(asked(row, is_masked)),
        }));
    }
    // A system object of a list is its query alone.
    let object = if is_list {
        coding(ENTITY, "4", Some("Other"))
    } else {
        coding(ENTITY, "2", Some("System Object"))
    };
    for record in about {
        entities.push(json!({
            "what": { "identifier": urn(*record) },
            "type": object,
            "role": coding(OBJECT_ROLE, "4", Some("Domain Resource")),
        }));
    }
    if about.is_empty() && !is_list && row.resource_id != row.request_id {
        entities.push(json!({
            "what": { "identifier": urn(row.resource_id) },
            "type": object,
            "name": row.resource_type,
        }));
    }
    if let Some(consent) = row.consent_reference {
        entities.push(json!({
            "what": { "type": "Consent", "identifier": urn(consent) },
            "type": coding("http://hl7.org/fhir/resource-types", "Consent", Some("Consent")),
        }));
    }
    let request = format!("{BALP}/CodeSystem/BasicAuditEntityType");
    entities.push(json!({
        "what": { "identifier": { "value": row.request_id } },
        "type": coding(&request, "XrequestId", None),
        "detail": details(row),
    }));
    entities
}

/// How sensitive the row is and in which form and where data went, and what else is known of it by these names: how often, what
/// was wanted, of which version, in which state.
fn details(row: &Row) -> Vec<Value> {
    let detail = |name: &str, value: &str| json!({ "type": name, "valueString": value });
    let mut details = vec![
        detail("dataClassification", &row.data_classification),
        detail("encryptionStatus", &row.encryption_status),
    ];
    if let Some(country) = &row.destination_country {
        details.push(detail("destinationCountry", country));
    }
    let said = said(row);
    for name in ["times", "wanted", "version", "status"] {
        match &said[name] {
            Value::String(word) if !word.trim().is_empty() => details.push(detail(name, word)),
            Value::Number(number) => details.push(detail(name, &number.to_string())),
            _ => {}
        }
    }
    details
}

fn coding(system: &str, code: &str, display: Option<&str>) -> Value {
    match display {
        Some(display) => json!({ "system": system, "code": code, "display": display }),
        None => json!({ "system": system, "code": code }),
    }
}

fn urn(id: Uuid) -> Value {
    json!({ "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{id}") })
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
