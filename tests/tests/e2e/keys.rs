//! Keys and seals: what a row says is bound to its document.

use serde_json::{Value, json};
use tests::{Person, World, documents, id};

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
