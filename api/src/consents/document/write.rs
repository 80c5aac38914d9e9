//! A consent as it is written.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::consents::{Activity, Consent, Grantee};
use serde_json::{Value, json};

use super::{
    ACT_CODES, ACTIONS, ACTIVITIES, CATEGORIES, CONSENT_DOCUMENT, COUNTRY, LOINC, PARTICIPATIONS,
    PURPOSES, RECIPIENT, ROLES, SCOPES, WITHDRAWN_AT, action_of,
};

/// The `Consent` of a consent that holds now, or does not.
pub(in crate::consents) fn document(consent: &Consent, is_active: bool) -> Value {
    let mut document = json!({
        "resourceType": "Consent",
        "id": consent.id,
        "status": if is_active { "active" } else { "inactive" },
        "scope": concept(SCOPES, "patient-privacy"),
        "category": [concept(LOINC, CONSENT_DOCUMENT)],
        "patient": { "reference": format!("Patient/{}", consent.patient) },
        "dateTime": time(consent.given_at),
        "policyRule": concept(ACT_CODES, "OPTOUT"),
        "provision": provision(consent),
    });
    if let Some(at) = consent.withdrawn_at {
        document["extension"] = json!([{ "url": WITHDRAWN_AT, "valueDateTime": time(at) }]);
    }
    document
}

fn provision(consent: &Consent) -> Value {
    let mut period = json!({ "start": time(consent.given_at) });
    if let Some(end) = consent.expires_at {
        period["end"] = time(end);
    }
    let classes = consent.categories.iter();
    let classes: Vec<Value> = classes.map(|it| coding(CATEGORIES, it.as_str())).collect();
    let mut provision = json!({
        "type": if consent.is_denial() { "deny" } else { "permit" },
        "period": period,
        "purpose": [coding(PURPOSES, consent.purpose.as_str())],
        "class": classes,
    });
    let actors: Vec<Value> = consent.grantees.iter().map(actor).collect();
    if !actors.is_empty() {
        provision["actor"] = json!(actors);
    }
    let allowed = consent.activities.iter();
    let allowed = allowed.filter(|activity| **activity != Activity::Deny);
    let actions = allowed.map(|activity| {
        let ours = coding(ACTIVITIES, activity.as_str());
        let theirs = action_of(*activity).map(|word| coding(ACTIONS, word));
        let codings: Vec<Value> = [ours].into_iter().chain(theirs).collect();
        json!({ "coding": codings })
    });
    let actions: Vec<Value> = actions.collect();
    if !actions.is_empty() {
        provision["action"] = json!(actions);
    }
    provision
}

fn actor(grantee: &Grantee) -> Value {
    let mut actor = json!({ "role": concept(PARTICIPATIONS, RECIPIENT) });
    match grantee {
        Grantee::User { id } => {
            actor["reference"] = json!({ "reference": format!("Practitioner/{id}") });
        }
        Grantee::Org { id, country } => {
            actor["reference"] = json!({ "reference": format!("Organization/{id}") });
            actor["extension"] = json!([{ "url": COUNTRY, "valueCode": country }]);
        }
        Grantee::Role { role } => {
            actor["reference"] = json!({ "identifier": { "system": ROLES, "value": role } });
        }
    }
    actor
}

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

fn time(at: DateTime<Utc>) -> Value {
    json!(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}
