//! Keys and seals: what a row says is bound to its document.

use std::fs;

use serde_json::{Value, json};
use tests::{Person, World, documents, id, text};

/// A record with everything a row can hold, by the doctor.
async fn full_record(dr_bo: &Person, ana: &Person) -> String {
    let more = json!({ "metadata": { "status": "final", "department": "ICU-3" } });
    let stored = dr_bo
        .stores(ana, "LAB_RESULT", documents::lab_result(), more)
        .await;
    id(&stored.data()["createMedicalRecord"]["record"])
}

#[tokio::test]
async fn what_a_row_says_of_a_record_is_bound_to_its_document() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    let (record, other) = (
        full_record(&dr_bo, &ana).await,
        full_record(&dr_bo, &ana).await,
    );
    ana.reads(&record).await.data();
    let the = format!("WHERE id = '{record}'");
    for table in ["medical_records", "patient_keys"] {
        let copy = format!("CREATE TABLE public.saved_{table} AS SELECT * FROM {table}");
        world.executes(&copy).await;
    }
    let changes = [
        ("record_type", "'IMAGING'".to_owned()),
        ("author_id", format!("'{}'", ana.id)),
        ("author_id", "NULL".to_owned()),
        ("version", "2".to_owned()),
        ("predecessor_id", format!("'{other}'")),
        ("withdrawn", "TRUE".to_owned()),
        (
            "created_at",
            "created_at - interval '1 microsecond'".to_owned(),
        ),
        (
            "record_metadata",
            r#"'{"status": "final", "department": "ICU-4"}'"#.to_owned(),
        ),
        ("record_metadata", "NULL".to_owned()),
        ("record_metadata", "'null'".to_owned()),
        ("missing_elements", r#"'["dosage"]'"#.to_owned()),
        ("missing_elements", r#"'{"no": "list"}'"#.to_owned()),
    ];

    for (column, value) in changes {
        let change = format!("UPDATE medical_records SET {column} = {value} {the}");
        world.attacks(&change).await;

        let read = ana.reads(&record).await;
        let told: Vec<_> = read
            .errors()
            .iter()
            .map(|it| it.code().to_owned())
            .collect();
        assert!(
            told.iter().all(|code| code == "INTEGRITY_VIOLATION") && !told.is_empty(),
            "{change}: {told:?}"
        );
        assert_eq!(
            read.partial_data()["medicalRecord"]["canonical"],
            Value::Null
        );
        let verified = ana.verifies(&record).await;
        assert_eq!(
            verified.data()["verifyRecord"]["verdict"],
            "TAMPERED",
            "{change}"
        );

        let back = format!(
            "UPDATE medical_records AS m SET {column} = s.{column} FROM saved_medical_records AS s WHERE s.id = m.id AND m.id = '{record}'"
        );
        world.attacks(&back).await;
        ana.reads(&record).await.data();
    }
    let key = "UPDATE patient_keys SET created_at = created_at + interval '1 second'";
    world.attacks(key).await;
    let verified = ana.verifies(&record).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "TAMPERED");
}

#[tokio::test]
async fn another_key_under_a_known_id_is_refused_by_name() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let file = |name: &str| world.foundation.dir().join("keys").join(name);
    let right = |name: &str| fs::read_to_string(file(name)).expect("a key file");
    let masters: Value = serde_json::from_str(&right("master-keys.json")).expect("JSON");
    let id = text(&masters["keys"][0]["id"]);
    let other = "ab".repeat(32);
    let wrong_masters = json!({ "keys": [{ "id": id, "key": other }] }).to_string();

    // The running api keeps the right key, and makes none for a new patient by the wrong one.
    let kept = right("master-keys.json");
    fs::write(file("master-keys.json"), &wrong_masters).expect("written");
    let eve = world.patient("eve").await;
    let stored = eve
        .stores(&eve, "VITAL_SIGNS", documents::vital_signs(), json!({}))
        .await;
    assert!(stored.code().is_some(), "nothing was acknowledged");
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    fs::write(file("master-keys.json"), &kept).expect("written");
    eve.creates(&eve, "VITAL_SIGNS", documents::vital_signs())
        .await;

    // Neither an api nor a command begins with it.
    for (name, wrong, told) in [
        (
            "master-keys.json",
            &wrong_masters,
            format!("master key {id:?} is not the key"),
        ),
        (
            "index.key",
            &other,
            "the index key is not the key".to_owned(),
        ),
    ] {
        let kept = right(name);
        fs::write(file(name), wrong).expect("written");
        let started = world.foundation.api("wrong-key", port(), &[]).await;
        let refused = started.err().map(|error| error.to_string());
        let refused = refused.unwrap_or_else(|| panic!("it started with a wrong {name}"));
        assert!(refused.contains(&told), "{refused}");
        fs::write(file(name), kept).expect("written");
    }
    // What is from before there were check values is tried on a key that it wrapped.
    world.executes("TRUNCATE key_checks").await;
    fs::write(file("master-keys.json"), &wrong_masters).expect("written");
    let started = world.foundation.api("wrong-key", port(), &[]).await;
    assert!(started.is_err_and(|error| error.to_string().contains(&id)));
    fs::write(file("master-keys.json"), kept).expect("written");
    // The same of the index key: a record is opened, and has to be found by the tokens it has.
    ana.creates(&ana, "DIAGNOSIS", documents::of("DIAGNOSIS"))
        .await;
    world.executes("TRUNCATE key_checks").await;
    let kept = right("index.key");
    fs::write(file("index.key"), &other).expect("written");
    let started = world.foundation.api("wrong-key", port(), &[]).await;
    let told = started.err().map(|error| error.to_string());
    assert!(told.is_some_and(|told| told.contains("the index key is not the key")));
    fs::write(file("index.key"), kept).expect("written");
    world.second_api().await;
}

fn port() -> u16 {
    dev::port::claim().expect("there are ports")
}
