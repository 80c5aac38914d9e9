//! Whose the entries of an import are: which account each of the people means whom its documents name.
//!
//! With an account alone, one patient of the source is that account: the first whom an entry names, and no
//! second. With a map, those who are in it, and nobody else. A `Patient` among the entries joins the ways in
//! which one person is named. Nothing is decided here: whoever writes is asked about each record.

use std::collections::HashMap;

use domain::ids::UserId;
use fhir::{Issue, Json, NamedPatient};
use uuid::Uuid;

use crate::error::Error;

/// How many people a map may hold.
pub(crate) const MAX_MAPPED: usize = 1000;
/// How many ways to name people are remembered.
const MAX_KEYS: usize = 100_000;

/// Who is meant by whom.
#[derive(Debug, Clone)]
pub(crate) struct ImportPatients {
    /// Whose records those are that name nobody.
    account: Option<UserId>,
    /// The account of each way to name somebody.
    known: HashMap<String, UserId>,
    /// Whether nobody else is to be known.
    is_closed: bool,
}

impl ImportPatients {
    /// An account, a map from what people are named to their accounts, or both.
    ///
    /// # Errors
    /// [`Error::BadInput`] where nobody is named, one is named as two people, or too many are.
    pub(crate) fn new(
        account: Option<UserId>,
        map: impl IntoIterator<Item = (String, UserId)>,
    ) -> Result<Self, Error> {
        let mut known = HashMap::new();
        for (named, of) in map {
            let wrong = |message: &str| Err(Error::bad("patients", message));
            let Some(key) = fhir::patient_key(named.trim()) else {
                return wrong("a patient of the source is named by a reference or an identifier");
            };
            if known.insert(key, of).is_some_and(|before| before != of) {
                return wrong("a patient of the source is mapped to two accounts");
            }
            if known.len() > MAX_MAPPED {
                return Err(Error::bad(
                    "patients",
                    format!("at most {MAX_MAPPED} patients are mapped"),
                ));
            }
        }
        if account.is_none() && known.is_empty() {
            return Err(Error::bad("patient", "say whose records"));
        }
        Ok(Self {
            account,
            is_closed: !known.is_empty(),
            known,
        })
    }

    /// Learns in which ways somebody is named, from a `Patient` resource.
    pub(crate) fn meet(&mut self, patient: &Json, full_url: Option<&str>) {
        let keys = fhir::keys_of_patient(patient, full_url);
        let known = keys.iter().find_map(|key| self.known.get(key).copied());
        if let Some(account) = known.or_else(|| self.open()) {
            self.learn(keys, account);
        }
    }

    /// The document as one of ours, and whose it is.
    ///
    /// # Errors
    /// [`Error::Document`] where it is about somebody who is not known here, or about several people.
    pub(crate) fn assign(&mut self, document: Json) -> Result<(Json, UserId), Error> {
        let named = fhir::patients_of(&document);
        let mut whose = None;
        let mut issues: Vec<Issue> = Vec::new();
        for one in &named {
            match self.account_of(&one.keys) {
                Some(account) if *whose.get_or_insert(account) == account => {}
                Some(_) | None => issues.push(one.unknown()),
            }
        }
        let account = whose.or(self.account);
        let Some(account) = account.filter(|_| issues.is_empty()) else {
            if issues.is_empty() {
                let path = fhir::kind_of(&document).unwrap_or_default().to_owned();
                let nobody = NamedPatient {
                    path,
                    keys: Vec::new(),
                };
                issues.push(nobody.unknown());
            }
            return Err(Error::Document(issues));
        };
        let known = &self.known;
        let is_theirs = |keys: &[String]| keys.iter().any(|key| known.get(key) == Some(&account));
        let ours = fhir::assign_patient(document, &is_theirs, &account.to_string());
        Ok((ours, account))
    }

    fn account_of(&mut self, keys: &[String]) -> Option<UserId> {
        if let Some(account) = self.account
            && keys.iter().any(|key| account_named(key) == Some(account))
        {
            return Some(account);
        }
        let known = keys.iter().find_map(|key| self.known.get(key).copied());
        known.or_else(|| {
            // An account of ours is nobody else, whoever wrote that.
            let is_ours = keys.iter().any(|key| account_named(key).is_some());
            let account = self.open().filter(|_| !is_ours && !keys.is_empty())?;
            self.learn(keys.to_vec(), account);
            Some(account)
        })
    }

    /// The account that the first person who is named means.
    fn open(&self) -> Option<UserId> {
        let is_open = !self.is_closed && self.known.is_empty();
        self.account.filter(|_| is_open)
    }

    fn learn(&mut self, keys: Vec<String>, account: UserId) {
        for key in keys {
            if self.known.len() < MAX_KEYS {
                self.known.entry(key).or_insert(account);
            }
        }
    }
}

/// The account that a key names as we do.
fn account_named(key: &str) -> Option<UserId> {
    let id = key.strip_prefix("Patient/")?;
    id.parse::<Uuid>().ok().map(UserId)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    fn account(nth: u128) -> UserId {
        UserId(Uuid::from_u128(nth))
    }

    fn about(subject: &str) -> Json {
        let text =
            format!(r#"{{"resourceType":"Observation","subject":{{"reference":"{subject}"}}}}"#);
        fhir::reader::read(text.as_bytes()).unwrap()
    }

    fn whose(patients: &mut ImportPatients, subject: &str) -> Option<UserId> {
        patients.assign(about(subject)).ok().map(|(_, whose)| whose)
    }

    #[test]
    fn an_account_alone_is_the_first_who_is_named_and_no_second() {
        let mut patients = ImportPatients::new(Some(account(1)), []).unwrap();
        let ours = format!("Patient/{}", account(1));
        let others = format!("Patient/{}", account(2));

        assert_eq!(whose(&mut patients, &others), None);
        assert_eq!(whose(&mut patients, &ours), Some(account(1)));
        assert_eq!(whose(&mut patients, "Patient/7"), Some(account(1)));
        assert_eq!(whose(&mut patients, "Patient/8"), None);
        assert_eq!(whose(&mut patients, "Group/7"), None);
        assert_eq!(whose(&mut patients, "Patient/7"), Some(account(1)));
        assert_eq!(whose(&mut patients, &others), None);
        // Nobody else is learnt of, either.
        let patient = br#"{"resourceType":"Patient","id":"8"}"#;
        patients.meet(&fhir::reader::read(patient).unwrap(), None);
        assert_eq!(whose(&mut patients, "Patient/8"), None);
    }

    #[test]
    fn a_map_knows_whom_it_names_and_the_ways_that_a_patient_joins() {
        let map = [
            ("urn:mrn|7".to_owned(), account(1)),
            ("Patient/8".to_owned(), account(2)),
        ];
        let mut patients = ImportPatients::new(None, map).unwrap();
        let subject = "urn:uuid:0198C9F2-6D0E-7A51-B2C4-3F5A9D1E7B60";

        assert_eq!(whose(&mut patients, subject), None);
        let patient = br#"{"resourceType":"Patient","id":"x","identifier":[{"system":"urn:mrn","value":"7"}]}"#;
        patients.meet(&fhir::reader::read(patient).unwrap(), Some(subject));
        assert_eq!(whose(&mut patients, subject), Some(account(1)));
        assert_eq!(whose(&mut patients, "Patient/x"), Some(account(1)));
        assert_eq!(whose(&mut patients, "Patient/8"), Some(account(2)));
        assert_eq!(whose(&mut patients, "Patient/9"), None);
        let nobody = fhir::reader::read(br#"{"resourceType":"Observation"}"#).unwrap();
        assert!(patients.assign(nobody).is_err());
    }

    #[test]
    fn a_map_that_contradicts_itself_or_names_nobody_is_refused() {
        let twice = [
            ("Patient/7".to_owned(), account(1)),
            ("Patient/7".to_owned(), account(2)),
        ];
        assert!(ImportPatients::new(None, twice).is_err());
        assert!(ImportPatients::new(None, [("  ".to_owned(), account(1))]).is_err());
        assert!(ImportPatients::new(None, []).is_err());
        let many = (0..=MAX_MAPPED).map(|nth| (format!("Patient/{nth}"), account(1)));
        assert!(ImportPatients::new(None, many).is_err());
    }
}
