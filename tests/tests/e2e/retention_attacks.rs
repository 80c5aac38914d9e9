//! Who has the database brings retention to remove nothing that is not due, and stops nothing that is.

use serde_json::{Value, json};
use tests::{Person, World, eventually, id};

use crate::{
    representatives::{ALL, appointed, ends},
    retention::{
        all_is_pinned, clock, database_clock, erased, one_of_each, report, retains, world,
    },
};

/// The way back of the migration.
const DOWN: &str = include_str!("../../../migrations/20261130070200_retain.down.sql");

/// Keeps what the trail has now, and waits until it is pinned.
async fn keeps_the_trail(world: &World) {
    world
        .executes("CREATE TABLE kept AS SELECT * FROM audit_logs")
        .await;
    all_is_pinned(world).await;
}

/// The actions of rows that were kept and are gone.
async fn gone(world: &World) -> Vec<Value> {
    let gone =
        "SELECT action_type FROM kept WHERE id NOT IN (SELECT id FROM audit_logs) ORDER BY 1";
    world.sql(gone).await
}

/// What a run says that is not content.
async fn complains(world: &World) -> String {
    let (is_content, said) = retains(world, &["--json"]).await;
    assert!(!is_content, "{said}");
    said
}

/// A patient with a record of each type, and a doctor who read one.
async fn people(world: &World) -> (Person, Person) {
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ"]).await;
    let hers = one_of_each(&ana).await;
    dr_bo.reads(&hers["LAB_RESULT"]).await.data();
    (ana, dr_bo)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_not_due_is_removed_whatever_the_database_says_is_due() {
    let world = world("0").await;
    people(&world).await;
    keeps_the_trail(&world).await;

    // Its clock.
    database_clock(&world, 25 * 366).await;
    let said = complains(&world).await;
    assert!(said.contains("\"auditRows\":0"), "{said}");
    assert!(said.contains("\"waitingRecords\":8"), "{said}");
    assert!(!said.contains("\"undueAuditRows\":0"), "{said}");

    // And its view.
    database_clock(&world, 0).await;
    world
        .executes(
            "CREATE OR REPLACE VIEW audit_rows_due AS
             SELECT log.id, log.event_time AS due_at, leaf.position
             FROM audit_logs AS log JOIN audit_leaves AS leaf ON leaf.audit_id = log.id",
        )
        .await;
    let said = complains(&world).await;
    assert!(said.contains("\"auditRows\":0"), "{said}");
    assert!(!said.contains("\"undueAuditRows\":0"), "{said}");

    assert_eq!(gone(&world).await, Vec::<Value>::new());
    assert!(erased(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_erased_by_a_rule_or_an_age_that_somebody_wrote_into_the_database() {
    let world = world("0").await;
    people(&world).await;
    clock(&world, 2 * 366).await;

    world.executes("UPDATE retention_rules SET years = 1").await;
    let said = complains(&world).await;
    assert!(said.contains("\"changedRules\":8"), "{said}");
    assert!(erased(&world).await.is_empty());

    world
        .attacks(
            "UPDATE retention_rules SET years = CASE
                 WHEN record_type = 'DIAGNOSIS' THEN 15
                 WHEN record_type IN ('LAB_RESULT', 'IMAGING', 'VITAL_SIGNS') THEN 10
                 ELSE 20
             END;
             UPDATE medical_records SET created_at = created_at - INTERVAL '30 years'",
        )
        .await;
    let said = complains(&world).await;
    assert!(said.contains("\"changedRules\":0"), "{said}");
    assert!(said.contains("\"waitingRecords\":8"), "{said}");
    assert!(erased(&world).await.is_empty());
    let found =
        "SELECT 1 FROM integrity_findings WHERE kind = 'UNDECRYPTABLE' AND resolved_at IS NULL";
    assert_eq!(world.sql(found).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_stays_in_the_trail_while_the_consent_is_gone_or_not_as_it_was_sealed() {
    let world = world("0").await;
    let (ana, dr_bo) = people(&world).await;
    ana.lets(&dr_bo, &["SEARCH"]).await;
    keeps_the_trail(&world).await;
    world
        .attacks(
            "DELETE FROM data_processing_consents WHERE processing_activities ? 'READ';
             UPDATE data_processing_consents SET consent_expires_at = consent_given_at + INTERVAL '1 day'",
        )
        .await;
    clock(&world, 8 * 366).await;

    let did = report(&world, &[]).await;

    assert!(did["auditRows"].as_u64() > Some(0), "{did}");
    let gone = gone(&world).await;
    let is_of_consent = |row: &&Value| row["action_type"] == "CONSENT_GRANT";
    assert_eq!(gone.iter().find(is_of_consent), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acted_for_whom_and_belonged_to_what_stays_in_the_trail_while_it_could_be_put_back() {
    let world = world("0").await;
    let (ana, dr_bo) = people(&world).await;
    let ada = world.admin("ada").await;
    let representation = appointed(&ana, &dr_bo, &ALL).await;
    ends(&ana, &representation).await.data();
    let hospital = ada.creates_organization("RS Harapan Kita", "ID").await;
    let hospital = id(&hospital.data()["createOrganization"]["organization"]);
    let added = ada.adds_member(&hospital, &dr_bo, json!({})).await;
    let membership = id(&added.data()["addMember"]["membership"]);
    ada.ends_membership(&membership).await.data();
    keeps_the_trail(&world).await;
    clock(&world, 8 * 366).await;

    let did = report(&world, &[]).await;
    let over = "valid_until = valid_from + INTERVAL '1 day'";
    world
        .attacks(&format!(
            "UPDATE representatives SET {over}; UPDATE memberships SET {over}"
        ))
        .await;
    report(&world, &[]).await;

    assert!(did["auditRows"].as_u64() > Some(0), "{did}");
    let gone = gone(&world).await;
    for action in [
        "REPRESENTATIVE_APPOINT",
        "REPRESENTATIVE_END",
        "MEMBERSHIP_ADD",
        "MEMBERSHIP_END",
    ] {
        let is_it = |row: &&Value| row["action_type"] == action;
        assert_eq!(gone.iter().find(is_it), None, "{action}");
        let kept = format!("SELECT 1 FROM audit_logs WHERE action_type = '{action}'");
        assert_eq!(world.sql(&kept).await.len(), 1, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_placed_during_a_run_keeps_the_rows_of_the_trail() {
    let world = world("0").await;
    let ada = world.admin("ada").await;
    let (ana, _) = people(&world).await;
    keeps_the_trail(&world).await;
    clock(&world, 4 * 366).await;
    // As whoever places a hold locks her.
    let mut places = world.connects_as("meditrustal_api").await;
    let lock = format!(
        "BEGIN; SELECT pg_advisory_xact_lock(x'70657273'::int, ('x' || right('{}', 8))::bit(32)::int)",
        ana.id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut places)
        .await
        .expect("it is locked");
    let place = format!(
        "INSERT INTO legal_holds (id, patient_id, data_categories, record_ids, reason, placed_by, placed_at)
         VALUES (gen_random_uuid(), '{}', '[\"ALL_RECORDS\"]', '{{}}', 'a court asked for it', '{}', now());
         COMMIT",
        ana.id, ada.id
    );

    let ((is_content, said), ()) = tokio::join!(retains(&world, &["--json"]), async {
        eventually("the run waits for her", async || {
            // Of this database: others of the cluster are other tests'.
            let waits = "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database
                         WHERE datname = current_database()
                           AND locktype = 'advisory' AND NOT granted AND mode = 'ShareLock'";
            (!world.sql(waits).await.is_empty()).then_some(())
        })
        .await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(place))
            .execute(&mut places)
            .await
            .expect("it is placed");
    });

    assert!(is_content, "{said}");
    let hers = format!(
        "SELECT 1 FROM kept WHERE '{}' IN (patient_id, user_id) AND id NOT IN (SELECT id FROM audit_logs)",
        ana.id
    );
    assert!(world.sql(&hers).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_is_found_and_a_stray_one_stops_no_run() {
    let world = world("0").await;
    people(&world).await;
    keeps_the_trail(&world).await;
    let read = "SELECT 1 FROM kept WHERE action_type = 'RECORD_READ'";
    let read = world.sql(read).await.len();
    world
        .attacks(
            "UPDATE audit_logs SET purpose = 'BTG' WHERE action_type = 'RECORD_READ';
             INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
             SELECT position, audit_id, gen_random_uuid() FROM audit_leaves
             WHERE audit_id = (SELECT min(id) FROM audit_logs WHERE action_type = 'RECORD_CREATE')",
        )
        .await;
    clock(&world, 6 * 366).await;

    let said = complains(&world).await;

    assert!(
        said.contains(&format!("\"changedAuditRows\":{read}")),
        "{said}"
    );
    let gone = gone(&world).await;
    let of = |action: &str| {
        let those = gone.iter().filter(|row| row["action_type"] == action);
        those.count()
    };
    assert_eq!((of("RECORD_READ"), of("RECORD_CREATE")), (0, 7));
    let found = "SELECT 1 FROM integrity_findings AS finding JOIN audit_logs AS log
                 ON finding.details ->> 'row' = log.id::text
                 WHERE finding.kind = 'AUDIT_TAMPERED' AND log.action_type = 'RECORD_READ'";
    assert_eq!(world.sql(found).await.len(), read);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_refused_while_a_rule_was_set_or_rows_were_removed() {
    let world = world("0").await;
    people(&world).await;
    keeps_the_trail(&world).await;
    let mut owner = world.connects_as("meditrustal_migrator").await;
    for (done, why) in [
        ("UPDATE retention_rules SET years = years + 1", "the operator set"),
        (
            "UPDATE retention_rules SET years = years - 1;
             INSERT INTO audit_purged_leaves (position, audit_id, purge_id) VALUES (0, 1, gen_random_uuid())",
            "retention removed rows",
        ),
    ] {
        world.executes(done).await;
        let refused = sqlx::raw_sql(DOWN).execute(&mut owner).await;
        let refused = refused.expect_err("it is refused").to_string();
        assert!(refused.contains(why), "{refused}");
    }
}
