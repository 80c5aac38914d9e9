//! The first inhabitants of a development stack: enough to look at every screen.

use std::path::Path;

use dev::client::{Client, ClientError};
use dev::stack::{Foundation, Person};
use dev::{Error, Result, say};
use serde_json::json;

use super::person::{
    DOCUMENTS, Insider, create, document, email, grant, log_in, make_doctor, person, register,
};

/// Who may log in: two administrators, two doctors, three patients.
pub(crate) fn people() -> Vec<Person> {
    let admins = ["ada", "agus"].map(|name| person("admin", name));
    let doctors = ["dr.bo", "dr.citra"].map(|name| person("doctor", name));
    let patients = ["ana", "budi", "chen"].map(|name| person("patient", name));
    [&admins[..], &doctors, &patients].concat()
}

/// Which doctor each patient lets in, and the types of the records written about them.
///
/// Everybody has some, nobody has all; `ana` lets both doctors in, `chen` only the second.
const CARE: [(&str, &[&str], &[usize]); 3] = [
    ("ana", &["dr.bo", "dr.citra"], &[0, 1, 2, 5]),
    ("budi", &["dr.bo"], &[3, 6]),
    ("chen", &["dr.citra"], &[4, 7]),
];

/// Makes everybody and everything that is not there yet; a second time it changes nothing.
pub(crate) async fn plant(foundation: &Foundation, anybody: &Client, root: &Path) -> Result<()> {
    let people = people();
    let of = |name: &str| people.iter().find(|person| person.username == name);
    let mut admin = None;
    for person in people.iter().filter(|person| person.role == "admin") {
        admin = Some(administrator(foundation, anybody, person).await?);
    }
    let admin = admin.ok_or_else(|| Error::Needs("nobody is an administrator".to_owned()))?;
    let mut doctors = Vec::new();
    for person in people.iter().filter(|person| person.role == "doctor") {
        doctors.push((
            person.username.as_str(),
            doctor(&admin, anybody, person).await?,
        ));
    }
    let mut written = 0;
    for (name, let_in, records) in CARE {
        let Some(person) = of(name) else { continue };
        let patient = member(anybody, person).await?;
        if has_records(&patient).await? {
            continue;
        }
        let mine = doctors.iter().filter(|(name, _)| let_in.contains(name));
        let mine: Vec<_> = mine.map(|(_, doctor)| doctor).collect();
        for doctor in &mine {
            grant(&patient, &doctor.id).await?;
        }
        for (turn, index) in records.iter().enumerate() {
            let (record_type, file) = DOCUMENTS[*index];
            let doctor = mine[turn % mine.len()];
            create(doctor, &patient.id, record_type, &document(root, file)?).await?;
            written += 1;
        }
    }
    if written > 0 {
        say::progress(format_args!(
            "made {} people and {written} records",
            people.len()
        ));
    }
    Ok(())
}

/// Logs in; `None` when there is no such account yet.
async fn known(anybody: &Client, person: &Person) -> Result<Option<Insider>> {
    match log_in(anybody, person).await {
        Ok(insider) => Ok(Some(insider)),
        Err(Error::Api(ClientError::Refused(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An administrator, made by the operator's command where there is none.
pub(crate) async fn administrator(
    foundation: &Foundation,
    anybody: &Client,
    person: &Person,
) -> Result<Insider> {
    if let Some(admin) = known(anybody, person).await? {
        return Ok(admin);
    }
    foundation
        .create_admin(&email(person), &person.username, &person.password)
        .await?;
    log_in(anybody, person).await
}

async fn member(anybody: &Client, person: &Person) -> Result<Insider> {
    if let Some(insider) = known(anybody, person).await? {
        return Ok(insider);
    }
    register(anybody, person).await?;
    log_in(anybody, person).await
}

async fn doctor(admin: &Insider, anybody: &Client, person: &Person) -> Result<Insider> {
    if let Some(insider) = known(anybody, person).await? {
        return Ok(insider);
    }
    let id = register(anybody, person).await?;
    make_doctor(admin, &id).await?;
    log_in(anybody, person).await
}

async fn has_records(patient: &Insider) -> Result<bool> {
    let asked = "{ medicalRecords(first: 1) { nodes { id } } }";
    let data = patient.client.ask(asked, &json!({})).await?;
    Ok(data["medicalRecords"]["nodes"]
        .as_array()
        .is_some_and(|nodes| !nodes.is_empty()))
}
