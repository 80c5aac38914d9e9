//! How PostgreSQL finds records among a million: the plans of the statements that the api really
//! runs, as the server itself logs them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tests::{Person, World, documents, eventually, id};

const FIND: &str = "query Find($patient: UUID, $filter: RecordFilterInput, $order: RecordOrder) {
  medicalRecords(patientId: $patient, filter: $filter, orderBy: $order) { nodes { id } }
}";
const COUNT: &str = "query Count($patient: UUID, $filter: RecordFilterInput) {
  medicalRecords(patientId: $patient, filter: $filter, first: 1) { totalCount }
}";
/// How often each search is made: PostgreSQL settles for a plan after five times.
const TIMES: usize = 7;

/// A thousand patients with a thousand records each, of twenty departments and as many codes as one
/// likes; ana, dr.bo and dr.wu are among the accounts already. Filled without indexes, which are put
/// back as they were.
const A_MILLION: &str = "
    INSERT INTO users (email, username, hashed_password, role)
    SELECT 'n' || n || '@town.example', 'n' || n, '!', 'PATIENT' FROM generate_series(1, 999) AS n;
    CREATE TABLE town AS SELECT id, row_number() OVER (ORDER BY username) - 1 AS nth FROM users
        WHERE username = 'ana' OR username ~ '^n[0-9]+$';
    CREATE TABLE put_back AS SELECT indexname, indexdef FROM pg_indexes
        WHERE tablename = 'medical_records' AND indexname NOT IN (SELECT conname FROM pg_constraint);
    DO $$ DECLARE it text; BEGIN
        FOR it IN SELECT indexname FROM put_back LOOP EXECUTE 'DROP INDEX ' || it; END LOOP;
    END $$;
    SET session_replication_role = replica;
    INSERT INTO medical_records (
        patient_id, blockchain_record_id, record_type, record_metadata, encrypted_data, data_hash,
        created_at, author_id, effective_at, code_tokens)
    SELECT town.id, '0x' || g, (ARRAY['DIAGNOSIS', 'LAB_RESULT', 'PRESCRIPTION', 'TREATMENT_PLAN',
            'MEDICAL_HISTORY', 'VITAL_SIGNS', 'IMAGING', 'VACCINATION'])[1 + g / 1000 % 8],
        jsonb_build_object('status', 'final', 'date', to_char(date '2020-01-01' + g % 1000, 'YYYY-MM-DD'),
            'department', 'd' || g / 1000 % 1000)
            || CASE WHEN g % 5003 = 0 THEN '{\"dateEnd\": \"2022\"}'::jsonb ELSE '{}' END,
        '', g, now() - g * INTERVAL '1 minute',
        CASE WHEN g % 2003 = 0 THEN (SELECT id FROM users WHERE username = 'dr.bo') ELSE town.id END,
        now() - (g * 7 % 1000000) * INTERVAL '2 minutes',
        ARRAY[substr(sha256((g % 1000 || ' ' || g / 1000 % 20)::bytea), 1, 16)]
    FROM generate_series(1, 1000000) AS g JOIN town ON town.nth = g % 1000;
    INSERT INTO data_processing_consents (
        user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties)
    SELECT town.id, 'TREAT', now() - INTERVAL '1 day', '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
        CASE WHEN nth % 50 = 0 THEN jsonb_build_array(jsonb_build_object('kind', 'user', 'id', bo.id))
             WHEN nth % 3 = 0 THEN jsonb_build_array(jsonb_build_object('kind', 'user', 'id', wu.id))
             ELSE jsonb_build_array(jsonb_build_object('kind', 'user', 'id', town.id)) END
    FROM town, users AS bo, users AS wu WHERE bo.username = 'dr.bo' AND wu.username = 'dr.wu';
    SET session_replication_role = origin;
    DO $$ DECLARE it text; BEGIN
        FOR it IN SELECT indexdef FROM put_back LOOP EXECUTE it; END LOOP;
    END $$;
    ANALYZE";

/// Has every plan of this database logged, for sessions that begin from now on.
const LOG_PLANS: &str = "
    ALTER DATABASE meditrustal SET session_preload_libraries = 'auto_explain';
    ALTER DATABASE meditrustal SET auto_explain.log_min_duration = 0;
    ALTER DATABASE meditrustal SET auto_explain.log_format = 'json'";

/// The plans in a log.
fn plans(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if line.contains("ms  plan:") {
            let mut plan = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
                plan.push_str(line);
                plan.push('\n');
            }
            plans.extend(serde_json::from_str::<Value>(&plan));
        }
    }
    plans
}

/// What is said of an index that is read from a year before the time that a search begins with, and not from its first row.
const BOUNDED: &str = ", bounded";

/// By what `medical_records` is read anywhere in a plan: the names of indexes, or the kind of scan.
fn ways(plan: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text = |key: &str| plan[key].as_str().unwrap_or_default();
    let (kind, index) = (text("Node Type"), text("Index Name"));
    if index.contains("medical_records") {
        let is_bounded = text("Index Cond").contains("'366 days'");
        let bounded = if is_bounded { BOUNDED } else { "" };
        found.insert(format!("{index}{bounded}"));
    } else if text("Relation Name") == "medical_records" && kind != "Bitmap Heap Scan" {
        found.insert(kind.to_owned());
    }
    let below = plan["Plans"].as_array().into_iter().flatten();
    found.extend(below.flat_map(ways));
    found
}

#[tokio::test]
async fn each_kind_of_search_has_its_index_among_a_million_records() {
    let mut world = World::with_its_own_postgres().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_wu = world.doctor("wu").await;
    ana.creates(&ana, "DIAGNOSIS", documents::of("DIAGNOSIS"))
        .await;
    // It would look for a million anchors.
    world.indexer.kill().await;
    world.executes(A_MILLION).await;
    world.seals().await;
    let patient = id(&world
        .sql("SELECT user_id AS id FROM data_processing_consents AS consent, users
              WHERE username = 'dr.bo' AND third_parties @> jsonb_build_array(jsonb_build_object('kind', 'user', 'id', users.id))
              ORDER BY user_id LIMIT 1")
        .await[0]);
    world.executes(LOG_PLANS).await;
    world.api.kill().await;
    world.api.restart().await;
    let log = || {
        let cluster = world.foundation.database.cluster().expect("it has its own");
        fs::read_to_string(cluster.log()).expect("the server writes a log")
    };

    let code = json!({ "code": { "system": "http://hl7.org/fhir/sid/icd-10", "code": "E11.9" } });
    let range =
        json!({ "createdFrom": "2026-01-01T00:00:00Z", "createdTo": "2026-06-01T00:00:00Z" });
    let so =
        json!({ "effectiveFrom": "2026-01-01T00:00:00Z", "effectiveTo": "2026-06-01T00:00:00Z" });
    let (by_created, by_effective) = ("CREATED_DESC", "EFFECTIVE_DESC");
    let page = "idx_medical_records_patient_page";
    let effective = "idx_medical_records_patient_effective";
    // Among a million records, all of which are older.
    let lately = json!({ "effectiveFrom": "2100-01-01T00:00:00Z" });
    let bounded = format!("idx_medical_records_effective{BOUNDED}");
    let of = |filter: &Value, order: &str| json!({ "filter": filter, "order": order });
    let table: [(&str, &Person, &str, Value, &str); 21] = [
        ("a patient's newest", &ana, FIND, json!({}), page),
        (
            "their oldest",
            &ana,
            FIND,
            of(&json!({}), "CREATED_ASC"),
            page,
        ),
        (
            "their latest",
            &ana,
            FIND,
            of(&json!({}), by_effective),
            effective,
        ),
        (
            "their earliest",
            &ana,
            FIND,
            of(&json!({}), "EFFECTIVE_ASC"),
            effective,
        ),
        (
            "by type",
            &ana,
            FIND,
            of(&json!({ "recordTypes": ["IMAGING"] }), by_created),
            page,
        ),
        (
            "by when it was stored",
            &ana,
            FIND,
            of(&range, by_created),
            page,
        ),
        (
            "by when it was",
            &ana,
            FIND,
            of(&so, by_effective),
            effective,
        ),
        (
            "by state",
            &ana,
            FIND,
            of(&json!({ "status": "final" }), by_created),
            page,
        ),
        (
            "by code",
            &ana,
            FIND,
            of(&code, by_created),
            "idx_medical_records_code_tokens",
        ),
        (
            "a doctor's one patient",
            &dr_bo,
            FIND,
            json!({ "patient": patient }),
            page,
        ),
        ("a doctor's twenty", &dr_bo, FIND, json!({}), page),
        (
            "a doctor's twenty, the latest",
            &dr_bo,
            FIND,
            of(&json!({}), by_effective),
            effective,
        ),
        (
            "what a doctor wrote",
            &dr_bo,
            FIND,
            of(&json!({ "authorId": dr_bo.id }), by_created),
            "idx_medical_records_author_id",
        ),
        (
            "a doctor's, by metadata",
            &dr_bo,
            FIND,
            of(
                &json!({ "metadata": { "department": "d7", "date": "2021-05-18" } }),
                by_created,
            ),
            "idx_medical_records_record_metadata",
        ),
        (
            "a doctor's, by code",
            &dr_bo,
            FIND,
            of(&code, by_effective),
            "idx_medical_records_code_tokens",
        ),
        (
            "of very many patients",
            &dr_wu,
            FIND,
            json!({}),
            "idx_medical_records_created",
        ),
        (
            "of very many patients, the latest",
            &dr_wu,
            FIND,
            of(&json!({}), by_effective),
            "idx_medical_records_effective",
        ),
        (
            "of very many patients, what was lately",
            &dr_wu,
            FIND,
            of(&lately, "EFFECTIVE_ASC"),
            &bounded,
        ),
        (
            "how many a patient has",
            &ana,
            COUNT,
            json!({}),
            "idx_medical_records_patient",
        ),
        (
            "how many a doctor may see",
            &dr_bo,
            COUNT,
            json!({}),
            "idx_medical_records_patient",
        ),
        (
            "how many have a code",
            &dr_bo,
            COUNT,
            json!({ "filter": code }),
            "idx_medical_records_code_tokens",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, person, document, variables, index) in table {
        let seen = log().len();
        for _ in 0..TIMES {
            person.asks(document, variables.clone()).await.data();
        }
        let found = eventually(what, async || {
            let log = log();
            let new = plans(&log[seen..]);
            let of_records = new.into_iter().filter(|plan| {
                let text = plan["Query Text"].as_str().unwrap_or_default();
                text.contains("medical_records AS record")
                    && !text.contains("LEFT JOIN medical_records AS record")
                    && (document == FIND || text.contains("count(*)"))
            });
            let found: Vec<_> = of_records.map(|plan| ways(&plan["Plan"])).collect();
            (found.len() >= TIMES).then_some(found)
        })
        .await;
        for ways in found {
            let serves = ways.iter().any(|way| way.starts_with(index));
            if !serves || ways.contains("Seq Scan") {
                wrong.push(format!("{what}: {ways:?}, not {index}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
