//! A stream of integrity events whose follower is given another role while it is open.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde_json::json;
use tests::{Events, Person, World, text};

const SET_ROLE: &str = "mutation SetRole($input: SetRoleInput!) {
  setRole(input: $input) { outcome }
}";

/// The record of an event that has this number.
fn numbered(number: i64) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// An event of a patient's record, or of nobody's.
async fn happens(world: &World, patient: Option<&Person>, number: i64) {
    let whose = patient.map_or("NULL".to_owned(), |patient| format!("'{}'", patient.id));
    let record = numbered(number);
    let statement = format!(
        "INSERT INTO integrity_feed (kind, patient_id, record_id, record_type)
         VALUES ('ANCHOR_PENDING', {whose}, '{record}', 'VITAL_SIGNS');
         NOTIFY integrity_feed"
    );
    world.executes(&statement).await;
}

/// Each of these administrators asks for the role: one does not suffice where it is ADMIN.
pub(crate) async fn is_given(whose: &Person, role: &str, by: [&Person; 2]) {
    for admin in by {
        let input = json!({ "input": { "userId": whose.id, "role": role } });
        admin.asks(SET_ROLE, input).await.data();
    }
}

/// Takes what is told, until it has this number or a later one; answers the last.
async fn takes_past(events: &mut Events, number: i64, told: &mut Vec<i64>) -> i64 {
    loop {
        let event = events.next().await;
        let record = text(&event["recordId"]);
        let (_, last) = record.rsplit_once('-').expect("a UUID");
        let last = last.parse().expect("a number");
        told.push(last);
        if last >= number {
            return last;
        }
    }
}

#[tokio::test]
async fn a_doctor_who_becomes_an_administrator_and_a_doctor_again_misses_nothing_and_is_told_no_more()
 {
    let world = World::start().await;
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let (bo, kim) = (world.doctor("bo").await, world.admin("kim").await);
    let admins = [&kim, world.first_admin().await];
    ana.lets(&bo, &["SEARCH"]).await;
    let mut events = bo.watches(json!({})).await;
    let (written, is_over) = (AtomicI64::new(0), AtomicBool::new(false));

    // Of each three, one is of a patient who lets the doctor in, one of a patient who does not, and one of nobody.
    let writes = async {
        while !is_over.load(Ordering::SeqCst) {
            for patient in [Some(&ana), Some(&ben), None] {
                let number = written.fetch_add(1, Ordering::SeqCst) + 1;
                happens(&world, patient, number).await;
            }
        }
    };
    let follows = async {
        let mut told = Vec::new();
        takes_past(&mut events, 30, &mut told).await;
        is_given(&bo, "ADMIN", admins).await;
        let is_admin = written.load(Ordering::SeqCst);
        let was_admin = takes_past(&mut events, is_admin + 60, &mut told).await;
        is_given(&bo, "DOCTOR", admins).await;
        let is_doctor = written.load(Ordering::SeqCst);
        takes_past(&mut events, is_doctor + 60, &mut told).await;
        is_over.store(true, Ordering::SeqCst);
        (told, is_admin..was_admin, is_doctor)
    };
    let ((), (told, as_admin, is_doctor)) = tokio::join!(writes, follows);

    assert!(
        told.is_sorted_by(|one, next| one < next),
        "each once, in order"
    );
    let last = told.last().copied().expect("some were told");
    let told: BTreeSet<i64> = told.into_iter().collect();
    for number in 1..=last {
        let is_of_ana = number % 3 == 1;
        // The first that was written after the role was given has the number after.
        let is_due = is_of_ana || as_admin.contains(&(number - 1));
        if is_due {
            assert!(told.contains(&number), "{number} is missed");
        } else {
            assert!(
                number <= is_doctor || !told.contains(&number),
                "{number} is told"
            );
        }
    }
}

#[tokio::test]
async fn who_becomes_a_doctor_is_told_of_a_record_that_they_followed_in_vain_before() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let kim = world.admin("kim").await;
    let admins = [&kim, world.first_admin().await];
    let mut events = eve.watches(json!({ "recordId": numbered(1) })).await;
    for _ in 0..3 {
        happens(&world, Some(&ana), 1).await;
    }

    is_given(&eve, "DOCTOR", admins).await;
    ana.lets(&eve, &["SEARCH"]).await;
    let is_over = AtomicBool::new(false);
    // The reader may hear of an entry before it hears of the role: more of them follow.
    let writes = async {
        while !is_over.load(Ordering::SeqCst) {
            happens(&world, Some(&ana), 1).await;
        }
    };
    let follows = async {
        let event = events.next().await;
        is_over.store(true, Ordering::SeqCst);
        event
    };
    let ((), event) = tokio::join!(writes, follows);

    assert_eq!(event["recordId"], numbered(1));
    assert_eq!(event["patientId"], ana.id.as_str());
}

#[tokio::test]
async fn a_patient_who_becomes_a_doctor_hears_of_those_who_let_the_doctor_in() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let ben = world.patient("ben").await;
    let kim = world.admin("kim").await;
    let admins = [&kim, world.first_admin().await];
    let mut events = eve.watches(json!({})).await;
    is_given(&eve, "DOCTOR", admins).await;
    ana.lets(&eve, &["SEARCH"]).await;
    let is_over = AtomicBool::new(false);

    // The reader may hear of an entry before it hears of the role: more of them follow.
    let writes = async {
        let mut number = 0;
        while !is_over.load(Ordering::SeqCst) {
            for patient in [&ana, &ben] {
                number += 1;
                happens(&world, Some(patient), number).await;
            }
        }
    };
    let follows = async {
        let mut told = Vec::new();
        takes_past(&mut events, 20, &mut told).await;
        is_over.store(true, Ordering::SeqCst);
        told
    };
    let ((), told) = tokio::join!(writes, follows);

    let all_of_ana: Vec<i64> = (1..=21).step_by(2).collect();
    assert_eq!(told, all_of_ana);
}
