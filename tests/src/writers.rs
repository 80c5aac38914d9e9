//! People who store records without a pause, and remember what was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Person, documents, eventually, id};

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) { record { id } }
}";
/// How long a writer waits who was refused, or found nobody.
const PAUSE: Duration = Duration::from_millis(20);

/// Writers who store records of one patient until they are told that it is over.
#[derive(Debug)]
pub struct Writers {
    acknowledged: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    /// So many, of the patient's own records.
    pub fn of(patient: &Person, count: usize) -> Self {
        let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let tasks = (0..count).map(|_| {
            let (patient, acknowledged) = (patient.clone(), Arc::clone(&acknowledged));
            tokio::spawn(stores(patient, acknowledged, Arc::clone(&is_over)))
        });
        let tasks = tasks.collect();
        Self {
            acknowledged,
            is_over,
            tasks,
        }
    }

    /// How many records were acknowledged so far.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }

    /// Waits until so many are.
    pub async fn reach(&self, count: usize) {
        eventually("records are acknowledged", async || {
            (self.count() >= count).then_some(())
        })
        .await;
    }

    /// Tells them that it is over; answers what was acknowledged, none of it twice.
    pub async fn end(self) -> BTreeSet<String> {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        let all = std::mem::take(&mut *self.acknowledged.lock().expect("no panic"));
        let count = all.len();
        let distinct: BTreeSet<String> = all.into_iter().collect();
        assert_eq!(distinct.len(), count, "none acknowledged twice");
        distinct
    }
}

async fn stores(patient: Person, acknowledged: Arc<Mutex<Vec<String>>>, is_over: Arc<AtomicBool>) {
    let document: Value = serde_json::from_str(&documents::vital_signs()).expect("JSON");
    let input =
        json!({ "patientId": patient.id, "recordType": "VITAL_SIGNS", "document": document });
    let variables = json!({ "input": input });
    while !is_over.load(Ordering::Relaxed) {
        match patient.tries(CREATE, variables.clone()).await {
            Ok(answer) if answer.code().is_none() => {
                let record = id(&answer.data()["createMedicalRecord"]["record"]);
                acknowledged.lock().expect("no panic").push(record);
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
