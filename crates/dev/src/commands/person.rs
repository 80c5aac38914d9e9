//! What people do with the product, as `cargo dev` needs it for its first inhabitants and its demo.

use std::fs;
use std::path::Path;

use dev::client::Client;
use dev::stack::Person;
use dev::{Error, Result};
use serde_json::{Value, json};

/// The documents that come with the source, by the record type they are for.
pub(crate) const DOCUMENTS: [(&str, &str); 8] = [
    ("DIAGNOSIS", "diagnosis.json"),
    ("LAB_RESULT", "lab-result.json"),
    ("PRESCRIPTION", "prescription.json"),
    ("TREATMENT_PLAN", "treatment-plan.json"),
    ("MEDICAL_HISTORY", "medical-history.json"),
    ("VITAL_SIGNS", "vital-signs.json"),
    ("IMAGING", "imaging.json"),
    ("VACCINATION", "vaccination.json"),
];

const REGISTER: &str = "mutation Register($input: RegisterInput!) {
  register(input: $input) { user { id username role } }
}";
const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken expiresAt user { id username role } }
}";
const SET_ROLE: &str = "mutation SetRole($input: SetRoleInput!) {
  setRole(input: $input) { user { id username role } }
}";
const GRANT: &str = "mutation Grant($input: GrantConsentInput!) {
  grantConsent(input: $input) { consent { id purpose isActive } }
}";
const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) {
    record { id recordType completeness missing dataHash blockchainRecordId anchor { state txHash } }
  }
}";

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Insider {
    /// Their id.
    pub(crate) id: String,
    /// Speaks for them.
    pub(crate) client: Client,
}

/// A person of this name, with the example domain's address and a password that says what it is.
pub(crate) fn person(role: &str, username: &str) -> Person {
    Person {
        role: role.to_owned(),
        username: username.to_owned(),
        password: format!("{username} is only for development"),
    }
}

/// The e-mail address of a person.
pub(crate) fn email(person: &Person) -> String {
    format!("{}@meditrustal.example", person.username)
}

/// Registers a person as a patient; answers their id.
pub(crate) async fn register(anybody: &Client, person: &Person) -> Result<String> {
    let input = json!({
        "email": email(person), "username": person.username, "password": person.password,
    });
    let data = anybody.ask(REGISTER, &json!({ "input": input })).await?;
    text(&data["register"]["user"]["id"])
}

/// Logs a person in.
pub(crate) async fn log_in(anybody: &Client, person: &Person) -> Result<Insider> {
    let input = json!({ "login": person.username, "password": person.password });
    let data = anybody.ask(LOG_IN, &json!({ "input": input })).await?;
    let token = text(&data["logIn"]["accessToken"])?;
    Ok(Insider {
        id: text(&data["logIn"]["user"]["id"])?,
        client: anybody.with_token(&token),
    })
}

/// An administrator makes somebody a doctor.
pub(crate) async fn make_doctor(admin: &Insider, user: &str) -> Result<Value> {
    let input = json!({ "userId": user, "role": "DOCTOR" });
    Ok(admin
        .client
        .ask(SET_ROLE, &json!({ "input": input }))
        .await?["setRole"]["user"]
        .take())
}

/// A patient lets a doctor read, search and write everything, for treatment.
pub(crate) async fn grant(patient: &Insider, doctor: &str) -> Result<Value> {
    let input = json!({
        "purpose": "TREAT",
        "dataCategories": ["ALL_RECORDS"],
        "processingActivities": ["READ", "SEARCH", "CREATE", "AMEND"],
        "grantees": [{ "user": doctor }],
        "idempotencyKey": format!("dev-{doctor}"),
    });
    let mut data = patient
        .client
        .ask(GRANT, &json!({ "input": input }))
        .await?;
    Ok(data["grantConsent"]["consent"].take())
}

/// A doctor stores one of the documents that come with the source, byte for byte.
pub(crate) async fn create(
    doctor: &Insider,
    patient: &str,
    record_type: &str,
    document: &str,
) -> Result<Value> {
    let input = json!({
        "patientId": patient,
        "recordType": record_type,
        "purpose": "TREAT",
        "idempotencyKey": format!("dev-{patient}-{record_type}"),
    });
    let input = input.to_string();
    let open = input.strip_suffix('}').unwrap_or(&input);
    let variables = format!(r#"{{"input":{open},"document":{document}}}}}"#);
    let mut data = doctor.client.query_text(CREATE, &variables).await?.data()?;
    Ok(data["createMedicalRecord"]["record"].take())
}

/// The text of one of the documents.
pub(crate) fn document(root: &Path, file: &str) -> Result<String> {
    let path = root.join("crates/fhir/examples/documents").join(file);
    fs::read_to_string(&path).map_err(|source| Error::File {
        what: "could not read",
        path,
        source,
    })
}

/// A value that the schema promises to be text.
pub(crate) fn text(value: &Value) -> Result<String> {
    let missing = || {
        Error::Needs(format!(
            "the api answered {value} where there is always text"
        ))
    };
    value.as_str().map(str::to_owned).ok_or_else(missing)
}
