//! An audit row as a sentence that a patient reads, in each language out of the same parts.

mod accounts;
mod consents;
mod deletion;
mod emergency;
mod findings;
mod records;
#[cfg(test)]
mod tests;

use domain::{
    audit::AuditAction,
    ids::UserId,
    language::{Language, Phrase},
    purpose::Purpose,
    users::{SOMEBODY, User},
};
use serde_json::Value;
use store::audit::AuditRow;

pub(super) use self::records::showed_nothing;

const YOU: Phrase = Phrase::new("You", "Anda");
const FOR_YOU_AS: Phrase = Phrase::new("for you, as", "atas nama Anda, sebagai");
const CLAIMING_FOR_YOU: Phrase = Phrase::new(
    "saying that they act for you",
    "yang mengaku bertindak atas nama Anda",
);
const FOR: Phrase = Phrase::new("for", "untuk");
const YOU_REFUSED: Phrase = Phrase::new("because you refused it", "karena Anda menolaknya");
const BY_YOUR_CONSENT: Phrase = Phrase::new("by your consent", "dengan persetujuan Anda");
const TIMES: Phrase = Phrase::new("times", "kali");
const A_RECORD: Phrase = Phrase::new("a record of yours", "satu rekam medis Anda");
const RECORDS: Phrase = Phrase::new("<count> records of yours", "<count> rekam medis Anda");
/// What is said of a row that no sentence is known for, such as one of another version of the service.
const SOMETHING: Phrase = Phrase::new(
    "did something with your data",
    "melakukan sesuatu dengan data Anda",
);

/// Who did what, why and on what ground.
pub(super) fn of(
    row: &AuditRow,
    person: Option<&User>,
    reader: UserId,
    language: Language,
) -> String {
    let who = match person {
        _ if row.user == reader => YOU.said_in(language).to_owned(),
        Some(user) => user.in_words(language),
        None => SOMEBODY.said_in(language).to_owned(),
    };
    let for_whom = for_whom(row, reader, language);
    let did = with_records(done(row, reader), row.run.records, language);
    let why = why(row, language);
    let ground = ground(row)
        .map(|ground| format!(", {}", ground.said_in(language)))
        .unwrap_or_default();
    let times = match row.run.times {
        1 => String::new(),
        times => format!(", {times} {}", TIMES.said_in(language)),
    };
    format!("{who}{for_whom} {did}{why}{ground}{times}.")
}

/// For whom, where somebody acted for the patient who reads this, or claimed to. Nobody reads for whom else somebody acts.
fn for_whom(row: &AuditRow, reader: UserId, language: Language) -> String {
    let for_reader = row.on_behalf_of.filter(|patient| *patient == reader);
    match (for_reader, row.relationship) {
        (None, _) => String::new(),
        (Some(_), Some(relationship)) if row.action_type != "ACCESS_DENIED" => {
            let relationship = relationship.in_words().said_in(language);
            format!(", {} {relationship},", FOR_YOU_AS.said_in(language))
        }
        (Some(_), _) => format!(", {},", CLAIMING_FOR_YOU.said_in(language)),
    }
}

/// What was done, after who did it.
fn done(row: &AuditRow, reader: UserId) -> Phrase {
    let said = row.new_value.as_ref().unwrap_or(&Value::Null);
    let Ok(action) = row.action_type.parse::<AuditAction>() else {
        return SOMETHING;
    };
    records::done(action, said, row, reader)
        .or_else(|| consents::done(action, said, row, reader))
        .or_else(|| emergency::done(action, said))
        .or_else(|| accounts::done(action, said))
        .or_else(|| deletion::done(action))
        .or_else(|| findings::done(action, said))
        .unwrap_or(SOMETHING)
}

/// The phrase with the records that it is about.
fn with_records(phrase: Phrase, records: i64, language: Language) -> String {
    let several = if records > 1 { RECORDS } else { A_RECORD };
    let said = phrase.said_in(language);
    let said = said.replace("<records>", several.said_in(language));
    said.replace("<count>", &records.to_string())
}

/// For what, where it was not the patient's own request.
fn why(row: &AuditRow, language: Language) -> String {
    let purpose = row.purpose.parse::<Purpose>().ok();
    let other = purpose.filter(|purpose| *purpose != Purpose::PatientRequest);
    other
        .map(|purpose| purpose.in_words().said_in(language))
        .map(|purpose| format!(", {} {purpose}", FOR.said_in(language)))
        .unwrap_or_default()
}

/// By which decision of the patient.
fn ground(row: &AuditRow) -> Option<Phrase> {
    row.consent_reference?;
    if row.action_type == "ACCESS_DENIED" {
        Some(YOU_REFUSED)
    } else {
        let is_of_record = row.action_type.starts_with("RECORD_");
        is_of_record.then_some(BY_YOUR_CONSENT)
    }
}
