//! A withdrawal is a barrier: what is disclosed before it says so in the trail, and nothing is after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::future::join_all;
use serde_json::json;
use tests::aborts::Aborts;
use tests::{Person, Program, World, documents, id, patiently};
use tokio::sync::Notify;

/// How many consents are withdrawn where `MEDITRUSTAL_TEST_WITHDRAWALS` says nothing else.
const WITHDRAWALS: u64 = 300;
/// How many at most in one world: an access token lasts 10 minutes, and so many take two.
const IN_ONE_WORLD: u64 = 500;
/// How many patients withdraw side by side.
const PATIENTS: u64 = 4;
/// How many clients leave before they are answered while one consent is given and withdrawn.
const LEAVERS: u64 = 24;
const ACTIVITIES: [&str; 3] = ["READ", "SEARCH", "EXPORT"];

fn withdrawals() -> u64 {
    let said = std::env::var("MEDITRUSTAL_TEST_WITHDRAWALS");
    said.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(WITHDRAWALS)
}

fn parts_of(withdrawals: u64) -> impl Iterator<Item = u64> {
    let all = 0..withdrawals.div_ceil(IN_ONE_WORLD);
    all.map(move |nth| IN_ONE_WORLD.min(withdrawals - nth * IN_ONE_WORLD))
}

const WITHDRAW: &str = "mutation($input: WithdrawConsentInput!) { withdrawConsent(input: $input) { consent { isActive } } }";

/// A patient, and where they stand: even while a consent may be in force, odd from the moment a withdrawal
/// was answered until the next consent is asked for.
struct Patient {
    person: Person,
    record: String,
    stand: AtomicU64,
}

impl Patient {
    async fn gives_and_takes(&self, doctor: &Person, rounds: u64, next_round: &Notify) {
        for _ in 0..rounds {
            next_round.notify_one();
            let input = json!({
                "purpose": "TREAT",
                "dataCategories": ["ALL_RECORDS"],
                "processingActivities": ACTIVITIES,
                "grantees": [{ "user": doctor.id }],
            });
            let granted = patiently(|| self.person.grants(input.clone())).await;
            let consent = id(&granted.data()["grantConsent"]["consent"]);
            // Somebody is let in: else the round proves nothing.
            patiently(|| doctor.reads(&self.record)).await.data();
            let withdrawal = json!({ "input": { "id": consent } });
            patiently(|| self.person.asks(WITHDRAW, withdrawal.clone()))
                .await
                .data();
            self.stand.fetch_add(1, Ordering::SeqCst);
            patiently(|| doctor.reads(&self.record))
                .await
                .fails_with("NOT_FOUND");
            self.stand.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What was seen of the race, by all who looked.
#[derive(Default)]
struct Seen {
    disclosed: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
}

impl Seen {
    /// Looks once: what is asked after a withdrawal was answered, and answered before the next consent is
    /// asked for, must not be let in.
    async fn look(&self, patient: &Patient, ask: impl Future<Output = bool>) {
        let before = patient.stand.load(Ordering::SeqCst);
        let is_let_in = ask.await;
        let after = patient.stand.load(Ordering::SeqCst);
        let counter = match (is_let_in, before == after && before % 2 == 1) {
            (true, true) => &self.late,
            (true, false) => &self.disclosed,
            (false, _) => &self.refused,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

async fn reads(
    doctor: Person,
    patients: Arc<Vec<Patient>>,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
) {
    for patient in patients.iter().cycle() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let asked = async {
            let answer = doctor.reads(&patient.record).await;
            answer.code().is_none()
        };
        seen.look(patient, asked).await;
    }
}

async fn lists(
    doctor: Person,
    patients: Arc<Vec<Patient>>,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
) {
    for patient in patients.iter().cycle() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        // Of this patient, and of whoever lets the doctor in.
        for named in [json!({ "patient": patient.person.id }), json!({})] {
            let asked = async {
                let query = "query($patient: UUID) {
                    medicalRecords(patientId: $patient, first: 50) { nodes { document patient { id } } }
                }";
                let answer = doctor.asks(query, named).await;
                answer.code().is_none() && {
                    let data = answer.data();
                    let nodes = data["medicalRecords"]["nodes"].as_array().cloned();
                    let is_theirs =
                        |node: &serde_json::Value| node["patient"]["id"] == patient.person.id;
                    nodes.unwrap_or_default().iter().any(is_theirs)
                }
            };
            seen.look(patient, asked).await;
        }
    }
}

async fn exports(
    (doctor, api): (Person, Arc<Program>),
    patients: Arc<Vec<Patient>>,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
) {
    for patient in patients.iter().cycle() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let asked = async {
            let reply = exported(&doctor, &api, patient).await;
            reply.contains("DiagnosticReport")
        };
        seen.look(patient, asked).await;
    }
}

/// The body of an export, as far as it came: one that a withdrawal ends breaks off.
async fn exported(doctor: &Person, api: &Program, patient: &Patient) -> String {
    let path = format!("/export?patient={}", patient.person.id);
    let bearer = doctor.bearer();
    api.begins("GET", &path, &[("authorization", bearer.as_str())])
        .await
}

/// What the trail says of this doctor that it must not: disclosures dated before their consent or after its end.
async fn contradictions(world: &World, doctor: &Person) -> Vec<serde_json::Value> {
    world
        .sql(&format!(
            "SELECT row.id, row.action_type, row.event_time, row.created_at,
                    consent.consent_given_at, consent.consent_withdrawn_at
             FROM audit_logs AS row
             JOIN data_processing_consents AS consent ON consent.id = row.consent_reference
             WHERE row.user_id = '{}'
               AND row.action_type IN ('RECORD_READ', 'RECORD_SEARCH', 'RECORD_EXPORT')
               AND (row.event_time < consent.consent_given_at
                   OR row.event_time >= consent.consent_withdrawn_at
                   OR row.created_at >= consent.consent_withdrawn_at
                   OR row.created_at < row.event_time)
             LIMIT 5",
            doctor.id
        ))
        .await
}

/// Withdraws this often, raced by eight readers, a list, an export and a subscription on two apis; with each
/// withdrawal other clients leave before they are answered, where they are to.
async fn race(withdrawals: u64, clients_leave: bool) {
    let world = World::alone().await;
    let other = Arc::new(world.second_api().await);
    // Whoever takes part has an account before the race: making one is slow while all others ask.
    let dr_bo = world.doctor("bo").await;
    let (dr_eve, joe) = (world.doctor("eve").await, world.patient("joe").await);
    let mut patients = Vec::new();
    for nth in 0..PATIENTS {
        let person = world.patient(&format!("ana{nth}")).await;
        let record = person
            .creates(&person, "LAB_RESULT", documents::lab_result())
            .await;
        patients.push(Patient {
            record: id(&record),
            person,
            stand: AtomicU64::new(0),
        });
    }
    let joes_record = joe
        .creates(&joe, "LAB_RESULT", documents::lab_result())
        .await;
    let joes_record = id(&joes_record);
    let patients = Arc::new(patients);
    let (seen, over) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let at_other = dr_bo.at(&other);

    let mut racing = tokio::task::JoinSet::new();
    let all = || (Arc::clone(&patients), Arc::clone(&seen), Arc::clone(&over));
    for nth in 0..8 {
        let doctor = if nth % 2 == 0 { &dr_bo } else { &at_other };
        let (patients, seen, over) = all();
        racing.spawn(reads(doctor.clone(), patients, seen, over));
    }
    let (them, what, until) = all();
    racing.spawn(lists(at_other.clone(), them, what, until));
    let (them, what, until) = all();
    racing.spawn(exports(
        (dr_bo.clone(), Arc::clone(&other)),
        them,
        what,
        until,
    ));
    let mut events = at_other.watches(json!({})).await;
    racing.spawn(async move { while events.try_next().await.is_ok() {} });
    let next_round = Arc::new(Notify::new());
    if clients_leave {
        // Of other accounts: the requests of one account share its part of the api.
        let aborts = Aborts::of(&world.api, &dr_eve, &joe, &joes_record);
        let next_round = Arc::clone(&next_round);
        racing.spawn(async move {
            loop {
                next_round.notified().await;
                aborts.run(LEAVERS).await;
            }
        });
    }

    let each = withdrawals.div_ceil(PATIENTS);
    let all = patients.iter();
    join_all(all.map(|patient| patient.gives_and_takes(&dr_bo, each, &next_round))).await;
    over.store(true, Ordering::SeqCst);
    // The subscription may wait for what never comes.
    racing.abort_all();
    while racing.join_next().await.is_some() {}

    let [disclosed, refused, late] =
        [&seen.disclosed, &seen.refused, &seen.late].map(|counter| counter.load(Ordering::SeqCst));
    eprintln!(
        "{withdrawals} withdrawals: {disclosed} disclosures and {refused} refusals raced them"
    );
    assert_eq!(late, 0, "disclosed after a withdrawal was answered");
    assert!(
        disclosed > 0 && refused > 0,
        "{disclosed} disclosed, {refused} refused"
    );
    assert_eq!(
        contradictions(&world, &dr_bo).await,
        Vec::<serde_json::Value>::new()
    );
    let told = "SELECT count(*) AS count FROM audit_logs AS row
                JOIN data_processing_consents AS consent ON consent.id = row.resource_id
                WHERE row.action_type = 'CONSENT_WITHDRAW' AND row.event_time <> consent.consent_withdrawn_at";
    assert_eq!(world.sql(told).await[0]["count"], 0);
    let internal: Vec<_> = [world.api.log(), other.log()]
        .iter()
        .flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert_eq!(internal, Vec::<String>::new());
}

#[tokio::test]
async fn no_disclosure_crosses_a_withdrawal() {
    for part in parts_of(withdrawals()) {
        race(part, false).await;
    }
}

#[tokio::test]
async fn no_disclosure_crosses_a_withdrawal_while_clients_leave() {
    for part in parts_of(withdrawals() / 3) {
        race(part, true).await;
    }
}

#[tokio::test]
async fn nobody_reads_once_their_account_is_deactivated_or_their_role_is_taken() {
    const SET_ROLE: &str =
        "mutation($input: SetRoleInput!) { setRole(input: $input) { user { id } } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await);
    let admin = world.first_admin().await;
    for nth in 0..5 {
        let dr_bo = world.doctor(&format!("bo{nth}")).await;
        ana.lets(&dr_bo, &["READ"]).await;
        dr_bo.reads(&record).await.data();
        let over = Arc::new(AtomicBool::new(false));
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (doctor, record, over) = (dr_bo.clone(), record.clone(), Arc::clone(&over));
            racing.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    doctor.reads(&record).await;
                }
            });
        }
        let taken = json!({ "input": { "userId": dr_bo.id, "role": "PATIENT" } });
        admin.asks(SET_ROLE, taken).await.data();
        assert_eq!(dr_bo.reads(&record).await.code(), Some("NOT_FOUND"));
        over.store(true, Ordering::SeqCst);
        while let Some(ended) = racing.join_next().await {
            ended.expect("nobody panics");
        }
        let later = format!(
            "SELECT count(*) AS count FROM audit_logs AS read, audit_logs AS taken
             WHERE read.user_id = '{id}' AND read.action_type = 'RECORD_READ'
               AND taken.action_type = 'USER_ROLE_CHANGE' AND taken.resource_id = '{id}'
               AND taken.new_value ->> 'role' = 'PATIENT' AND read.created_at >= taken.event_time",
            id = dr_bo.id
        );
        assert_eq!(world.sql(&later).await[0]["count"], 0);
    }
}
