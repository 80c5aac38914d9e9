//! Whose documents are: which account each of the people means whom they name, one by one or in an import.
//!
//! With an account alone, one patient of the source is that account: the first whom a document names, and no
//! second. With a map, those who are in it, and nobody else. A `Patient` among the entries of an import joins the ways in
//! which one person is named; what two of them are called means nobody. Nothing is decided here: whoever writes is asked about each record.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use domain::ids::UserId;
use fhir::{Json, NamedPatient};
use uuid::Uuid;

use crate::error::Error;

/// How many people a map may hold.
pub(crate) const MAX_MAPPED: usize = 1000;
/// How many ways to name people are remembered.
pub(crate) const MAX_KEYS: usize = 20_000;
/// How many of them the command remembers, which has one file to itself: most of them may be strangers'.
const MAX_KEYS_OF_A_FILE: usize = 2_000_000;

/// Whose account ways to name somebody mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nobody,
    One(UserId),
    /// One of the ways means another account than the other.
    Several,
}

/// What is known of one way to name somebody.
#[derive(Debug, Clone, Copy, Default)]
struct KnownKey {
    /// The account that it means, if any.
    account: Option<UserId>,
    /// The `Patient` that it is of.
    of: Option<u64>,
    /// Whether it meant the account before any `Patient` had it.
    is_given: bool,
    /// Whether two have it: then it means nobody, for good.
    is_shared: bool,
}

/// The ways to name people, and the `Patient` resources that join them.
#[derive(Debug, Clone)]
pub(crate) struct KnownPatients {
    keys: HashMap<String, KnownKey>,
    /// As which `Patient` an account was met.
    met: HashMap<UserId, u64>,
    hashes: RandomState,
    /// How many keys there may be.
    most: usize,
}

impl Default for KnownPatients {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            met: HashMap::new(),
            hashes: RandomState::new(),
            most: MAX_KEYS,
        }
    }
}

impl KnownPatients {
    /// With room for everybody whom a file names.
    pub(crate) fn of_a_file() -> Self {
        Self {
            most: MAX_KEYS_OF_A_FILE,
            ..Self::default()
        }
    }

    /// What means an account.
    pub(crate) fn mapped(&self) -> impl Iterator<Item = (&str, UserId)> {
        let keys = self.keys.iter();
        keys.filter_map(|(key, known)| Some((key.as_str(), known.account?)))
    }

    /// Which `Patient` a resource is: by its entry's URL and its id, or else by all that it is called.
    pub(crate) fn which(&self, patient: &Json, full_url: Option<&str>) -> u64 {
        let id = patient.get("id").and_then(Json::as_str);
        match full_url {
            Some(url) => self.hashes.hash_one((url, id)),
            None => match fhir::keys_of_patient(patient, None) {
                keys if keys.is_empty() => self.hashes.hash_one(fhir::canonical::to_bytes(patient)),
                keys => self.hashes.hash_one(keys),
            },
        }
    }

    /// Learns that a key means an account; whether it does now.
    pub(crate) fn learn(&mut self, key: String, account: UserId) -> bool {
        if self.keys.len() >= self.most && !self.keys.contains_key(&key) {
            return false;
        }
        let known = self.keys.entry(key).or_default();
        if known.is_shared {
            return false;
        }
        if known.account.is_none() {
            known.account = Some(account);
            known.is_given = known.of.is_none();
        }
        known.account == Some(account)
    }

    /// Joins the ways in which a `Patient` is named, if one of them means an account, or else as the
    /// one given; whether it is anybody's. What two have means nobody: the answer's second.
    pub(crate) fn meet(
        &mut self,
        patient: &Json,
        full_url: Option<&str>,
        otherwise: Option<UserId>,
    ) -> (bool, bool) {
        let which = self.which(patient, full_url);
        let keys = fhir::keys_of_patient(patient, full_url);
        let mut is_lost = false;
        let mut undone = Vec::new();
        for key in &keys {
            if self.keys.len() >= self.most && !self.keys.contains_key(key) {
                continue;
            }
            let known = self.keys.entry(key.clone()).or_default();
            let first = *known.of.get_or_insert(which);
            if first != which {
                known.is_shared = true;
                if let Some(account) = known.account.take() {
                    is_lost = true;
                    if known.is_given {
                        undone.push((first, account));
                    }
                }
            }
        }
        self.undo(&undone);
        let account = match self.known_as(&keys) {
            Known::One(account) => Some(account),
            Known::Nobody => otherwise.filter(|_| !keys.is_empty()),
            Known::Several => None,
        };
        let Some(account) = account else {
            return (false, is_lost);
        };
        if *self.met.entry(account).or_insert(which) == which {
            for key in keys {
                self.learn(key, account);
            }
        }
        (true, is_lost)
    }

    /// What a `Patient` joined to an account means nobody any more, where what joined it does not.
    fn undo(&mut self, undone: &[(u64, UserId)]) {
        if undone.is_empty() {
            return;
        }
        for known in self.keys.values_mut().filter(|it| !it.is_given) {
            if let (Some(of), Some(account)) = (known.of, known.account)
                && undone.contains(&(of, account))
            {
                known.account = None;
            }
        }
        self.met.retain(|who, of| !undone.contains(&(*of, *who)));
    }

    /// Whether one of the ways means an account, and another is of a `Patient` who is nobody's.
    fn contradicts(&self, keys: &[String]) -> bool {
        let known = keys.iter().filter_map(|key| self.keys.get(key));
        let known: Vec<&KnownKey> = known.filter(|it| !it.is_shared).collect();
        let theirs = known.iter().filter(|it| it.account.is_some());
        let theirs: HashSet<Option<u64>> = theirs.map(|it| it.of).collect();
        let mut others = known.iter().filter(|it| it.account.is_none());
        !theirs.is_empty() && others.any(|it| it.of.is_some() && !theirs.contains(&it.of))
    }

    fn known_as(&self, keys: &[String]) -> Known {
        let accounts = keys.iter().filter_map(|key| self.keys.get(key)?.account);
        let accounts: HashSet<UserId> = accounts.collect();
        let mut accounts = accounts.into_iter();
        match (accounts.next(), accounts.next()) {
            (None, _) => Known::Nobody,
            (Some(account), None) => Known::One(account),
            (Some(_), Some(_)) => Known::Several,
        }
    }
}

/// Which accounts the patients are whom documents name.
#[derive(Debug, Clone, Default)]
pub(crate) struct PatientAccounts {
    /// Whose records those are that name nobody.
    account: Option<UserId>,
    known: KnownPatients,
    /// Whether nobody else is to be known: there is a map.
    is_closed: bool,
    /// Whether somebody was named who is the account.
    is_taken: bool,
    /// Whether documents name a second person, and nobody says who that is.
    is_several: bool,
}

impl PatientAccounts {
    /// An account, a map from what people are named to their accounts, or both.
    ///
    /// # Errors
    /// [`Error::BadInput`] where nobody is named, one is named as two people, or too many are.
    pub(crate) fn new(
        account: Option<UserId>,
        map: impl IntoIterator<Item = (String, UserId)>,
    ) -> Result<Self, Error> {
        let mut known = KnownPatients::default();
        let mut accounts = HashSet::new();
        for (nth, (named, of)) in map.into_iter().enumerate() {
            let wrong = |message: &str| Err(Error::bad("patients", message));
            let Some(key) = fhir::patient_key(named.trim()) else {
                return wrong(
                    "a patient of the source is named by a reference, or an identifier with its system",
                );
            };
            accounts.insert(of);
            if accounts.len() > MAX_MAPPED || nth >= MAX_KEYS {
                return Err(Error::bad(
                    "patients",
                    format!("at most {MAX_MAPPED} patients are mapped, by {MAX_KEYS} names"),
                ));
            }
            if !known.learn(key, of) {
                return wrong("a patient of the source is mapped to two accounts");
            }
        }
        if account.is_none() && accounts.is_empty() {
            return Err(Error::bad("patient", "say whose records"));
        }
        Ok(Self {
            account,
            known,
            is_closed: !accounts.is_empty(),
            ..Self::default()
        })
    }

    /// One account, whoever the one patient is whom this document names.
    fn of_one(account: UserId, document: &Json) -> Self {
        let is_ours = |key: &String| account_named(key) == Some(account);
        let named = fhir::patients_of(document);
        Self {
            account: Some(account),
            // Who is named beside them is somebody else.
            is_taken: named.iter().any(|it| it.keys.iter().any(is_ours)),
            ..Self::default()
        }
    }

    /// Whether the documents that were looked at name several people while an account alone was given: which of them it is,
    /// nobody has said.
    pub(crate) const fn are_several(&self) -> bool {
        self.is_several
    }

    /// Learns in which ways somebody is named, from a `Patient` resource.
    pub(crate) fn meet(&mut self, patient: &Json, full_url: Option<&str>) {
        let open = self.open();
        // Without a map, nobody is known but the account.
        let (is_known, _) = self.known.meet(patient, full_url, open);
        self.is_taken |= is_known;
    }

    /// The document as one of ours, and whose it is.
    ///
    /// # Errors
    /// [`Error::Document`] where it is about somebody who is not known here, or about several people.
    pub(crate) fn assign(&mut self, document: Json) -> Result<(Json, UserId), Error> {
        let whose = self.whose(&document);
        let account = whose
            .map_err(|named| Error::Document(named.iter().map(NamedPatient::unknown).collect()))?;
        Ok((self.assigned(document, account), account))
    }

    /// Whose a document is.
    ///
    /// # Errors
    /// Whoever is named in it and not known here, or is another than the first.
    fn whose(&mut self, document: &Json) -> Result<UserId, Vec<NamedPatient>> {
        let mut whose = None;
        let mut others = fhir::patients_of(document);
        others.retain(|one| match self.account_of(&one.keys) {
            Some(account) => *whose.get_or_insert(account) != account,
            None => true,
        });
        if !others.is_empty() {
            return Err(others);
        }
        whose.or(self.account).ok_or_else(|| {
            let path = fhir::kind_of(document).unwrap_or_default().to_owned();
            let keys = Vec::new();
            vec![NamedPatient { path, keys }]
        })
    }

    /// A document of this account as one of ours.
    fn assigned(&self, document: Json, account: UserId) -> Json {
        let is_theirs = |keys: &[String]| {
            !self.known.contradicts(keys)
                && !self.is_of_a_stranger(keys)
                && self.known.known_as(keys) == Known::One(account)
        };
        fhir::assign_patient(document, &is_theirs, &account.to_string())
    }

    fn account_of(&mut self, keys: &[String]) -> Option<UserId> {
        if self.known.contradicts(keys) || self.is_of_a_stranger(keys) {
            return None;
        }
        let given = self.account.filter(|account| {
            let mut named = keys.iter().filter_map(|key| account_named(key));
            named.any(|named| named == *account)
        });
        match (self.known.known_as(keys), given) {
            (Known::Several, _) => None,
            (Known::One(known), Some(given)) => (known == given).then_some(given),
            (Known::One(known), None) => Some(known),
            (Known::Nobody, Some(given)) => Some(given),
            (Known::Nobody, None) => {
                if keys.is_empty() {
                    return None;
                }
                let Some(account) = self.open() else {
                    self.is_several |= !self.is_closed;
                    return None;
                };
                self.is_taken = true;
                for key in keys {
                    self.known.learn(key.clone(), account);
                }
                Some(account)
            }
        }
    }

    /// Whether somebody is named as we name accounts who is neither the account nor in the map: an account
    /// of ours is nobody else, whoever wrote that.
    fn is_of_a_stranger(&self, keys: &[String]) -> bool {
        keys.iter().any(|key| {
            let is_mapped = || {
                self.is_closed
                    && self
                        .known
                        .keys
                        .get(key)
                        .is_some_and(|it| it.account.is_some())
            };
            account_named(key).is_some_and(|named| Some(named) != self.account && !is_mapped())
        })
    }

    /// The account that the first person who is named means.
    fn open(&self) -> Option<UserId> {
        self.account.filter(|_| !self.is_closed && !self.is_taken)
    }
}

/// The document of one record as one about its patient, however it names them, as an import of it alone has it; and whether it is about
/// nobody else. The document is as it was where it is not: what else is wrong with it can be told first.
pub(super) fn of_record(document: Json, patient: UserId) -> (Json, Result<(), Error>) {
    let mut accounts = PatientAccounts::of_one(patient, &document);
    match accounts.whose(&document) {
        Ok(account) => (accounts.assigned(document, account), Ok(())),
        Err(named) => {
            let issues = named.iter().map(NamedPatient::another).collect();
            (document, Err(Error::Document(issues)))
        }
    }
}

/// The account that a key names as we do, also in full.
fn account_named(key: &str) -> Option<UserId> {
    let below = key
        .strip_prefix(fhir::SERVER_URL)
        .and_then(|it| it.strip_prefix('/'));
    let id = below.unwrap_or(key).strip_prefix("Patient/")?;
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

    fn whose(patients: &mut PatientAccounts, subject: &str) -> Option<UserId> {
        patients.assign(about(subject)).ok().map(|(_, whose)| whose)
    }

    #[test]
    fn an_account_alone_is_the_first_who_is_named_and_no_second() {
        let mut patients = PatientAccounts::new(Some(account(1)), []).unwrap();
        let ours = format!("Patient/{}", account(1));
        let others = format!("Patient/{}", account(2));

        assert_eq!(whose(&mut patients, &others), None);
        assert_eq!(whose(&mut patients, &ours), Some(account(1)));
        assert_eq!(whose(&mut patients, "Patient/7"), Some(account(1)));
        assert!(!patients.are_several());
        assert_eq!(whose(&mut patients, "Patient/8"), None);
        assert!(patients.are_several());
        assert_eq!(whose(&mut patients, "Group/7"), None);
        assert_eq!(whose(&mut patients, "Patient/7"), Some(account(1)));
        assert_eq!(whose(&mut patients, &others), None);
        // Nobody else is learnt of, either.
        let patient = br#"{"resourceType":"Patient","id":"8"}"#;
        patients.meet(&fhir::reader::read(patient).unwrap(), None);
        assert_eq!(whose(&mut patients, "Patient/8"), None);
    }

    #[test]
    fn a_record_alone_is_about_its_patient_however_they_are_named_and_about_nobody_else() {
        let ours = format!(r#""reference":"Patient/{}""#, account(1));
        for subject in [
            "Patient/7",
            "urn:uuid:AB-1",
            "https://h.example/fhir/Patient/7/_history/2",
            "Patient?identifier=urn:mrn|9",
        ] {
            let (document, whose) = of_record(about(subject), account(1));
            assert!(whose.is_ok(), "{subject}");
            let told = String::from_utf8(fhir::canonical::to_bytes(&document)).unwrap();
            assert!(told.contains(&ours), "{told}");
        }
        let stranger = format!("Patient/{}", account(2));
        for subject in [stranger.as_str(), "Group/7", "#p"] {
            let (document, whose) = of_record(about(subject), account(1));
            let Err(Error::Document(issues)) = whose else {
                unreachable!("{subject} is nobody")
            };
            assert_eq!(issues[0].path, "Observation.subject");
            assert!(document == about(subject), "it is as it was");
        }
        // Ours and a hospital's in one document are two people.
        let text = format!(
            r#"{{"resourceType":"Observation","subject":{{"reference":"Patient/{}"}},"contained":[{{"resourceType":"Observation","id":"o","subject":{{"reference":"Patient/7"}}}}]}}"#,
            account(1)
        );
        let both = fhir::reader::read(text.as_bytes()).unwrap();
        let (_, whose) = of_record(both, account(1));
        let Err(Error::Document(issues)) = whose else {
            unreachable!("the second is somebody else")
        };
        assert_eq!(issues[0].path, "Observation.contained[0].subject");
    }

    #[test]
    fn a_map_knows_whom_it_names_and_the_ways_that_a_patient_joins() {
        let map = [
            ("urn:mrn|7".to_owned(), account(1)),
            ("Patient/8".to_owned(), account(2)),
        ];
        let mut patients = PatientAccounts::new(None, map).unwrap();
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
    fn what_two_patients_are_called_means_nobody() {
        let mut patients = PatientAccounts::new(Some(account(1)), []).unwrap();
        let patient = fhir::reader::read(
            br#"{"resourceType":"Patient","id":"7","identifier":[{"value":"9"}]}"#,
        )
        .unwrap();
        patients.meet(&patient, Some("https://a.example/Patient/7"));
        assert_eq!(whose(&mut patients, "Patient/7"), Some(account(1)));
        patients.meet(&patient, Some("https://b.example/Patient/7"));

        assert_eq!(whose(&mut patients, "Patient/7"), None);
        let (a, b) = ("https://a.example/Patient/7", "https://b.example/Patient/7");
        assert_eq!(whose(&mut patients, b), None);
        assert_eq!(whose(&mut patients, a), Some(account(1)));
        // Nor is there room for somebody else then.
        assert_eq!(whose(&mut patients, "Patient/8"), None);
    }

    fn patient(id: &str, values: &[&str]) -> Json {
        let identifiers = values.iter().map(|value| identifier(value));
        let identifiers: Vec<String> = identifiers.collect();
        let identifiers = identifiers.join(",");
        let text =
            format!(r#"{{"resourceType":"Patient","id":"{id}","identifier":[{identifiers}]}}"#);
        fhir::reader::read(text.as_bytes()).unwrap()
    }

    fn identifier(value: &str) -> String {
        format!(r#"{{"system":"urn:mrn","value":"{value}"}}"#)
    }

    #[test]
    fn what_was_joined_by_what_two_have_means_nobody_again() {
        let nine = "Patient?identifier=urn:mrn|9";
        let ten = "Patient?identifier=urn:mrn|10";
        let map = [("urn:mrn|9".to_owned(), account(1))];
        let mapped = PatientAccounts::new(None, map).unwrap();
        let mut learnt = PatientAccounts::new(Some(account(1)), []).unwrap();
        assert_eq!(whose(&mut learnt, nine), Some(account(1)));

        for mut patients in [mapped, learnt] {
            patients.meet(&patient("8", &["9", "10"]), None);
            for subject in [nine, ten, "Patient/8"] {
                assert_eq!(whose(&mut patients, subject), Some(account(1)), "{subject}");
            }
            patients.meet(&patient("7", &["9"]), None);
            for subject in [nine, ten, "Patient/8", "Patient/7"] {
                assert_eq!(whose(&mut patients, subject), None, "{subject}");
            }
            assert!(patients.known.met.is_empty());
        }
    }

    #[test]
    fn a_document_that_names_an_account_and_somebody_else_as_one_is_refused() {
        let map = [("urn:mrn|9".to_owned(), account(1))];
        let mut patients = PatientAccounts::new(None, map).unwrap();
        let theirs = identifier("9");
        let both = |id: &str| format!(r#"{{"reference":"Patient/{id}","identifier":{theirs}}}"#);
        let about = |subject: &str, performer: &str| {
            let text = format!(
                r#"{{"resourceType":"Observation","subject":{subject},"performer":[{performer}]}}"#
            );
            fhir::reader::read(text.as_bytes()).unwrap()
        };
        patients.meet(&patient("8", &["10"]), None);
        assert!(patients.assign(about(&both("8"), "{}")).is_err());
        patients.meet(&patient("7", &["9"]), None);
        assert!(patients.assign(about(&both("8"), "{}")).is_err());

        let (ours, whose) = patients.assign(about(&both("7"), &both("8"))).unwrap();
        assert_eq!(whose, account(1));
        let told = String::from_utf8(fhir::canonical::to_bytes(&ours)).unwrap();
        assert!(told.contains(r#""reference":"Patient/8""#), "{told}");
        assert!(!told.contains(r#""reference":"Patient/7""#), "{told}");
    }

    #[test]
    fn strangers_leave_room_for_those_who_are_mapped_where_there_is_a_file() {
        for (mut known, is_joined) in [
            (KnownPatients::default(), false),
            (KnownPatients::of_a_file(), true),
        ] {
            assert!(known.learn("urn:mrn|9".to_owned(), account(1)));
            for nth in 1..MAX_KEYS {
                assert!(known.learn(format!("Patient/{nth}"), account(2)));
            }
            assert_eq!(known.meet(&patient("x", &["9"]), None, None), (true, false));
            let mut mapped = known.mapped();
            assert_eq!(mapped.any(|(key, _)| key == "Patient/x"), is_joined);
        }
    }

    #[test]
    fn ways_that_mean_two_accounts_are_refused_whichever_comes_first() {
        let map = [
            ("urn:mrn|1".to_owned(), account(1)),
            ("Patient/2".to_owned(), account(2)),
        ];
        let mut patients = PatientAccounts::new(Some(account(3)), map).unwrap();
        let ours = format!("Patient/{}", account(3));
        let stranger = format!("Patient/{}", account(4));
        for reference in ["Patient/2", &ours, &stranger] {
            let subject = format!(
                r#"{{"resourceType":"Observation","subject":{{"reference":"{reference}","identifier":{{"system":"urn:mrn","value":"1"}}}}}}"#
            );
            let document = fhir::reader::read(subject.as_bytes()).unwrap();
            assert!(patients.assign(document).is_err(), "{reference}");
        }
        let two = br#"{"resourceType":"Patient","id":"2","identifier":[{"system":"urn:mrn","value":"1"}]}"#;
        patients.meet(&fhir::reader::read(two).unwrap(), Some("urn:uuid:x"));
        assert_eq!(whose(&mut patients, "urn:uuid:x"), None);
    }

    #[test]
    fn a_map_that_contradicts_itself_or_names_nobody_is_refused() {
        let twice = [
            ("Patient/7".to_owned(), account(1)),
            ("Patient/7".to_owned(), account(2)),
        ];
        assert!(PatientAccounts::new(None, twice).is_err());
        assert!(PatientAccounts::new(None, [("  ".to_owned(), account(1))]).is_err());
        assert!(PatientAccounts::new(None, []).is_err());
        assert!(PatientAccounts::new(None, [("|9".to_owned(), account(1))]).is_err());
        let many = |of: fn(u128) -> u128, up_to: u128| {
            let map = (0..=up_to).map(|nth| (format!("Patient/{nth}"), account(of(nth))));
            PatientAccounts::new(None, map)
        };
        assert!(many(|nth| nth, 1000).is_err());
        assert!(many(|_| 1, 1000).is_ok());
        assert!(many(|_| 1, 20_000).is_err());
    }
}
