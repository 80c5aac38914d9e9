//! The people of a benchmark: doctors who log in, and patients who need not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::analyze;
use crate::load::{Load, Reply, Turn, Until, post};
use crate::{Person, World, documents, text};

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) { createMedicalRecord(input: $input) { record { id dataHash version createdAt anchor { state } } } }";

/// Doctors, and patients who let every doctor do everything for treatment.
#[derive(Debug)]
pub struct Population {
    /// Logged in, for ten minutes.
    pub doctors: Vec<Person>,
    /// Their ids. Nobody can log in as one of them.
    pub patients: Vec<String>,
    /// Every record type with a document, on one line each.
    documents: Vec<(&'static str, String)>,
}

impl Population {
    /// Makes them. The patients are written straight into the database: each log-in would cost a
    /// password's hash, and none of them logs in.
    pub async fn open(world: &World, doctors: usize, patients: usize) -> Self {
        let mut logged_in = Vec::with_capacity(doctors);
        for nth in 1..=doctors {
            // One after the other: passwords are hashed when nothing else wants the processor.
            logged_in.push(world.doctor(&format!("ward.{nth}")).await);
        }
        world
            .executes(&format!(
                "INSERT INTO users (id, email, username, hashed_password, role)
                 SELECT uuidv7(), 'patient.' || nth || '@meditrustal.example', 'patient.' || nth, '!', 'PATIENT'
                 FROM generate_series(1, {patients}) AS nth;
                 INSERT INTO data_processing_consents (
                     user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
                 )
                 SELECT id, 'TREAT', CURRENT_TIMESTAMP, '[\"ALL_RECORDS\"]',
                        '[\"READ\", \"SEARCH\", \"CREATE\", \"AMEND\"]', '[{{\"kind\": \"role\", \"role\": \"DOCTOR\"}}]'
                 FROM users WHERE username LIKE 'patient.%'"
            ))
            .await;
        world.seals().await;
        let rows = world
            .sql("SELECT id FROM users WHERE username LIKE 'patient.%' ORDER BY id")
            .await;
        let documents = documents::ALL.iter().map(|(kind, _)| {
            // As a client sends it: without the indentation of a file that people read.
            let pretty = documents::of(kind);
            let lines = pretty.lines().map(str::trim_start);
            (*kind, lines.collect::<String>())
        });
        Self {
            doctors: logged_in,
            patients: rows.iter().map(|row| text(&row["id"])).collect(),
            documents: documents.collect(),
        }
    }

    /// The request that stores the next document about the next patient. `key` is new each time.
    pub fn create(&self, turn: Turn, key: &str) -> Vec<u8> {
        let nth = usize::try_from(turn.nth).unwrap_or_default();
        let patient = &self.patients[nth % self.patients.len()];
        // Every patient gets every type.
        let (kind, document) =
            &self.documents[(nth / self.patients.len() + nth) % self.documents.len()];
        let query = json!(CREATE);
        let body = format!(
            r#"{{"query":{query},"variables":{{"input":{{"patientId":"{patient}","recordType":"{kind}","idempotencyKey":"{key}","document":{document}}}}}}}"#
        );
        post("/graphql", self.token(turn), &body)
    }

    /// Stores so many records through the api, as fast as it goes; answers their ids.
    pub async fn stores(self: &Arc<Self>, world: &World, count: u64) -> Vec<String> {
        let load = Load {
            server: world.api.address(),
            clients: 128,
            until: Until::Asked(count),
        };
        let ids = Arc::new(Mutex::new(Vec::new()));
        let (population, kept) = (Arc::clone(self), Arc::clone(&ids));
        let ask = move |turn: Turn| population.create(turn, &format!("stored {}", turn.nth));
        let right = move |_: Turn, reply: &Reply<'_>| {
            let answer: Value = serde_json::from_slice(reply.body).unwrap_or_default();
            let id = &answer["data"]["createMedicalRecord"]["record"]["id"];
            let id = id.as_str().map(str::to_owned);
            let is_right = id.is_some();
            kept.lock().expect("no panic").extend(id);
            is_right
        };
        let stored = load.run(ask, right).await;
        assert_eq!(stored.failed(), 0, "all of them are stored");
        analyze(world).await;
        std::mem::take(&mut ids.lock().expect("no panic"))
    }

    /// The token of the doctor whose turn it is.
    pub fn token(&self, turn: Turn) -> &str {
        let doctor = &self.doctors[turn.client % self.doctors.len()];
        doctor.client.token().expect("a doctor is logged in")
    }
}
