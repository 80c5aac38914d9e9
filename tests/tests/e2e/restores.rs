//! Records brought back from an export as they were, by the patient whose they are.

use std::fs;

use serde_json::{Value, json};
use tests::transfer::{NDJSON, in_line, one_of_each};
use tests::{Person, World, documents, id, text};

const HISTORY: &str = "SELECT id, data_hash, version, predecessor_id, withdrawn, record_type, record_metadata, effective_at
    FROM medical_records ORDER BY id";

/// A patient with this id in another world, logged in.
async fn same_patient(world: &World, person: &Person) -> Person {
    let stranger = world.stranger(&person.username);
    let fresh = world.registers(&stranger).await;
    let id = &person.id;
    world
        .attacks(&format!(
            "UPDATE users SET id = '{id}' WHERE id = '{fresh}';
             UPDATE audit_logs SET user_id = '{id}', resource_id = '{id}' WHERE user_id = '{fresh}'"
        ))
        .await;
    world.seals().await;
    world.logs_in(&stranger).await
}

#[tokio::test]
async fn an_export_brought_back_has_identical_ids_and_hashes_and_is_anchored() {
    let old = World::start().await;
    let new = World::beside(&old).await;
    let (ana, dr_bo) = old.a_life().await;
    let file = old.file("ana.ndjson");
    let output = old.runs(&ana, &ana, &["export", &file, "--history"]).await;
    assert_eq!(output.code, Some(0), "{}", output.complaint);
    let ana_there = same_patient(&new, &ana).await;
    assert_eq!(ana_there.id, ana.id);

    let output = new
        .runs(&ana_there, &ana_there, &["import", &file, "--restore"])
        .await;

    assert_eq!(output.code, Some(0), "{}", output.complaint);
    assert!(
        output.complaint.contains("11 stored"),
        "{}",
        output.complaint
    );
    assert_eq!(
        new.sql(HISTORY).await,
        old.sql(HISTORY).await,
        "every version, with its place in its line"
    );
    new.finalizes().await;
    for row in new.sql(HISTORY).await {
        let record = id(&row);
        let verified = ana_there.verifies(&record).await;
        let verdict = text(&verified.data()["verifyRecord"]["verdict"]);
        assert!(
            // REVOKED: a withdrawn record is closed on this chain, too.
            ["VERIFIED", "SUPERSEDED", "REVOKED"].contains(&verdict.as_str()),
            "{verdict}"
        );
        let (here, there) = (ana_there.reads(&record).await, ana.reads(&record).await);
        let canonical =
            |answer: &tests::Answer| answer.data()["medicalRecord"]["canonical"].clone();
        assert_eq!(canonical(&here), canonical(&there), "the same bytes");
        assert_eq!(
            here.data()["medicalRecord"]["author"]["id"],
            ana.id.as_str(),
            "a file proves no author"
        );
    }
    let rows = new.audit_rows("action_type = 'RECORD_IMPORT'").await;
    assert_eq!(rows.len(), 11);
    assert!(rows.iter().all(|row| row["user_id"] == ana.id.as_str()));
    // Again: nothing, and the same records.
    let again = new
        .runs(&ana_there, &ana_there, &["import", &file, "--restore"])
        .await;
    assert!(
        again
            .complaint
            .contains("0 stored, 11 there already, 0 refused"),
        "{}",
        again.complaint
    );
    // Exported from there, the bytes are the same.
    let (here, there) = (
        ana_there
            .exports(&new.api, &ana_there, "&history=true")
            .await,
        ana.exports(&old.api, &ana, "&history=true").await,
    );
    assert_eq!(here.body, there.body);
    // A doctor brings nothing back, whatever a patient lets them do.
    let archive = fs::read_to_string(&file).expect("the file");
    let refused = dr_bo
        .imports(&old.api, &ana, (NDJSON, "&restore=true"), archive)
        .await;
    assert_eq!(
        (refused.reply.status, refused.reply.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
}

#[tokio::test]
async fn what_is_not_as_it_was_exported_is_not_brought_back() {
    let old = World::start().await;
    let new = World::beside(&old).await;
    let ana = old.patient("ana").await;
    let budi = old.patient("budi").await;
    ana.imports(&old.api, &ana, (NDJSON, ""), one_of_each())
        .await;
    let archive = ana.exports(&old.api, &ana, "&format=archive").await.body;
    let line = archive.lines().nth(1).expect("a line").to_owned();
    let there = same_patient(&new, &ana).await;
    let version_two = line.replace(
        r#""predecessorId":null"#,
        &format!(r#""predecessorId":"{}""#, ana.id),
    );
    let cases = [
        (
            line.replace(r#""status":"final""#, r#""status":"amended""#),
            "BAD_USER_INPUT",
            "another hash",
        ),
        (
            version_two,
            "BAD_USER_INPUT",
            "a first version with a predecessor",
        ),
        (
            line.replace(r#""withdrawn":false"#, r#""withdrawn":true"#),
            "BAD_USER_INPUT",
            "withdraws nothing",
        ),
        (
            line.replace("LAB_RESULT", "PRESCRIPTION"),
            "INVALID_DOCUMENT",
            "another type",
        ),
        (
            in_line(&documents::lab_result()),
            "BAD_USER_INPUT",
            "no line of an archive",
        ),
    ];
    for (line, code, why) in cases {
        let report = there
            .imports(&new.api, &there, (NDJSON, "&restore=true"), line)
            .await;
        assert_eq!(report.lines[0]["code"], code, "{why}: {:?}", report.lines);
    }
    // Somebody else's is somebody else's, here and elsewhere; as new records it can come in nowhere else.
    let foreign = budi
        .imports(&old.api, &budi, (NDJSON, "&restore=true"), line.clone())
        .await;
    assert_eq!(
        foreign.lines[0]["code"], "INVALID_DOCUMENT",
        "{:?}",
        foreign.lines
    );
    // As new records of the same patient it comes in: with new ids, salts and hashes.
    let anew = ana
        .imports(&old.api, &ana, (NDJSON, ""), line.clone())
        .await;
    let exported: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(anew.lines[0]["outcome"], "CREATED");
    assert_ne!(anew.lines[0]["dataHash"], exported["dataHash"]);
    // An id that is taken by something else is not given away, nor told apart from another's.
    old.attacks(&format!(
        "UPDATE medical_records SET patient_id = '{}' WHERE id = '{}'",
        budi.id,
        text(&exported["resource"]["id"])
    ))
    .await;
    let taken = ana
        .imports(&old.api, &ana, (NDJSON, "&restore=true"), line)
        .await;
    assert_eq!(
        (&taken.lines[0]["code"], &taken.lines[0]["field"]),
        (&json!("BAD_USER_INPUT"), &json!("resource")),
        "in the words for what was never exported here: {:?}",
        taken.lines
    );
}

#[tokio::test]
async fn what_is_read_off_a_document_is_read_again_whatever_an_earlier_version_read() {
    let old = World::start().await;
    let new = World::beside(&old).await;
    let ana = old.patient("ana").await;
    ana.imports(&old.api, &ana, (NDJSON, ""), one_of_each())
        .await;
    let archive = ana.exports(&old.api, &ana, "&format=archive").await.body;
    let there = same_patient(&new, &ana).await;
    let mut read_otherwise = archive.lines().nth(1).expect("a line").to_owned();
    let from = read_otherwise.find(r#""metadata":{"#).expect("metadata");
    let from = from + r#""metadata":{"#.len();
    let to = from + read_otherwise[from..].find('}').expect("its end");
    let earlier = r#""date":"1999-01-01","dateEnd":"ongoing","department":"er""#;
    read_otherwise.replace_range(from..to, earlier);
    let restored = there
        .imports(&new.api, &there, (NDJSON, "&restore=true"), read_otherwise)
        .await;
    assert_eq!(
        restored.lines[0]["outcome"], "CREATED",
        "{:?}",
        restored.lines
    );
    let known = new.sql("SELECT record_metadata FROM medical_records").await;
    assert_eq!(known.len(), 1);
    let known = &known[0]["record_metadata"];
    assert_eq!(known["department"], "er");
    assert_ne!(known["date"], "1999-01-01");
    assert_ne!(known["dateEnd"], "ongoing");
}
