//! What has been kept long enough is removed, and nothing else: 25 years of it, with holds, and a trail that still verifies.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use dev::scratch::Scratch;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::registry::{CHECKPOINT_ROLE, revoke_role};
use tests::{Person, World, documents, eventually, id, text};

use crate::{audit_check, audit_promise, relay::ADMINISTRATOR};

/// How long each type is kept by default. Unit: years.
const YEARS: [(&str, i32); 8] = [
    ("DIAGNOSIS", 15),
    ("IMAGING", 10),
    ("LAB_RESULT", 10),
    ("MEDICAL_HISTORY", 20),
    ("PRESCRIPTION", 20),
    ("TREATMENT_PLAN", 20),
    ("VACCINATION", 20),
    ("VITAL_SIGNS", 10),
];
/// Rows of the trail that stay, whatever their age.
const KEPT: &str = "('RETENTION_PURGE', 'RETENTION_RULE_SET', 'KEY_DESTROY', 'DELETION_COMPLETE', 'HOLD_PLACE', 'HOLD_RELEASE', 'BREAK_GLASS_REVIEW')";

/// A world whose trail is pinned each second, and in which retention does nothing by itself but as often as this.
pub(crate) async fn world(every: &str) -> World {
    let every = ("MEDITRUSTAL_RETENTION_EVERY".to_owned(), every.to_owned());
    World::with(|options| {
        options.checkpoints = Some(Duration::from_secs(1));
        options.api.push(every);
    })
    .await
}

/// Moves the clocks that decide so many days ahead of the real one: the registry's, which never goes back, and the database's.
pub(crate) async fn clock(world: &World, days: i32) {
    let now = "SELECT EXTRACT(EPOCH FROM clock_timestamp())::bigint AS now";
    let now = world.sql(now).await[0]["now"].as_u64();
    let ahead = u64::try_from(days).expect("nobody goes back") * 24 * 60 * 60;
    let wanted = now.expect("a time") + ahead;
    let head = world
        .rpc("eth_getBlockByNumber", json!(["latest", false]))
        .await;
    let head = head["timestamp"].as_str().expect("a block has a time");
    let head = u64::from_str_radix(head.trim_start_matches("0x"), 16).expect("it is a number");
    if wanted > head {
        let further = json!([wanted - head]);
        world.rpc("evm_increaseTime", further).await;
        world.mine(1).await;
    }
    database_clock(world, days).await;
}

/// Moves the database's clock alone.
pub(crate) async fn database_clock(world: &World, days: i32) {
    world
        .executes(&format!(
            "CREATE OR REPLACE FUNCTION decision_time() RETURNS TIMESTAMP WITH TIME ZONE LANGUAGE plpgsql VOLATILE AS $$
             DECLARE
                 said TEXT := current_setting('meditrustal.decision_time', TRUE);
             BEGIN
                 IF said IS NULL OR said = '' THEN
                     said := set_config('meditrustal.decision_time', clock_timestamp()::text, TRUE);
                 END IF;
                 RETURN GREATEST(CURRENT_TIMESTAMP, LEAST(clock_timestamp(), said::timestamptz)) + INTERVAL '{days} days';
             END
             $$"
        ))
        .await;
}

/// Runs `meditrustal retention run` with these words: whether it is content, and what it printed.
pub(crate) async fn retains(world: &World, words: &[&str]) -> (bool, String) {
    let keys = world.foundation.dir().join("keys");
    let path = |name: &str| keys.join(name).display().to_string();
    let url = world.foundation.url_of("meditrustal_api");
    let environment = [
        (
            "DATABASE_URL",
            url.unwrap_or_else(|error| panic!("{error}")),
        ),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url().to_owned()),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", path("master-keys.json")),
        ("MEDITRUSTAL_CHECKPOINT_KEY_FILE", path("checkpoint.key")),
        (
            "MEDITRUSTAL_DEPLOYMENT_FILE",
            world
                .foundation
                .dir()
                .join("deployment.json")
                .display()
                .to_string(),
        ),
    ];
    let words: Vec<String> = ["retention", "run"]
        .iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect();
    let programs = world.foundation.programs.clone();
    let done = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let environment = environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        programs.operate(&words, &environment, "")
    });
    match done.await.expect("a command does not panic") {
        Ok(said) => (true, said),
        Err(error) => (false, error.to_string()),
    }
}

/// What a run says that removes, or would remove.
pub(crate) async fn report(world: &World, words: &[&str]) -> Value {
    let (is_content, said) = retains(world, &[&["--json"], words].concat()).await;
    assert!(is_content, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
}

pub(crate) async fn all_is_pinned(world: &World) {
    eventually("every row is pinned", async || {
        let query = "SELECT 1 FROM audit_checkpoints WHERE state = 'ANCHORED'
                     HAVING max(tree_size) >= (SELECT count(*) FROM kept)";
        (!world.sql(query).await.is_empty()).then_some(())
    })
    .await;
}

pub(crate) async fn one_of_each(person: &Person) -> BTreeMap<&'static str, String> {
    let mut ids = BTreeMap::new();
    for (record_type, _) in YEARS {
        let stored = person
            .creates(person, record_type, documents::of(record_type))
            .await;
        ids.insert(record_type, id(&stored));
    }
    ids
}

/// The records that are erased, by patient and type.
pub(crate) async fn erased(world: &World) -> Vec<(String, String)> {
    let rows = world
        .sql(
            "SELECT person.username, record_type FROM medical_records AS record
             JOIN users AS person ON person.id = record.patient_id
             WHERE erased_at IS NOT NULL AND encrypted_data = '' AND record_metadata IS NULL
               AND code_tokens IS NULL AND effective_at IS NULL
             ORDER BY 1, 2",
        )
        .await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(&row["username"]), text(&row["record_type"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_25_years_exactly_what_is_due_goes_holds_win_and_the_trail_still_verifies() {
    let world = world("0").await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let (bea, dr_bo) = (world.patient("bea").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let (hers, others) = (one_of_each(&ana).await, one_of_each(&bea).await);
    dr_bo.reads(&hers["LAB_RESULT"]).await.data();
    let first = json!({ "id": hers["VITAL_SIGNS"], "version": 1, "recordType": "VITAL_SIGNS" });
    let amended = ana
        .amends(&first, documents::vital_signs(), json!({}))
        .await;
    amended.data();
    let place = "mutation($p: UUID!) {
      placeHold(input: { patientId: $p, dataCategories: [IMAGING], reason: \"a court asked for it\" }) { hold { id } }
    }";
    ada.asks(place, json!({ "p": bea.id })).await.data();
    // The first version is five years older than the second.
    world
        .attacks(&format!(
            "UPDATE medical_records SET created_at = created_at - INTERVAL '5 years' WHERE id = '{}';
             CREATE TABLE kept AS SELECT * FROM audit_logs",
            hers["VITAL_SIGNS"]
        ))
        .await;
    all_is_pinned(&world).await;

    for year in 1..=25 {
        // A day more: years have leap days.
        clock(&world, year * 366).await;
        let would = report(&world, &["--dry-run"]).await;
        let mut did = report(&world, &[]).await;
        did["dryRun"] = json!(true);
        assert_eq!(would, did, "in year {year}");
        let again = report(&world, &[]).await;
        let nothing = json!({
            "dryRun": false, "records": {}, "patients": 0, "waitingPatients": 0, "waitingRecords": 0, "changedRules": 0,
            "changedAuditRows": 0, "undueAuditRows": 0,
            // By that row the first version was believed, until it was erased.
            "auditRows": i32::from(year == 10),
            "auditRowsUnsigned": false, "sessions": 0, "idempotencyKeys": 0, "throttleCounters": 0, "accessCodes": 0,
        });
        assert_eq!(again, nothing, "in year {year}");

        let mut due: Vec<(String, String)> = Vec::new();
        for (record_type, years) in YEARS {
            let is_due = |years: i32| year >= years;
            if is_due(years) {
                due.push(("ana".to_owned(), record_type.to_owned()));
            }
            if is_due(years) && record_type != "IMAGING" {
                due.push(("bea".to_owned(), record_type.to_owned()));
            }
        }
        // The first version goes with the second.
        if year >= 10 {
            due.push(("ana".to_owned(), "VITAL_SIGNS".to_owned()));
        }
        due.sort();
        assert_eq!(erased(&world).await, due, "in year {year}");
        // By hand: access three years, changes five, all else seven.
        let wrong = world
            .sql(&format!(
                "SELECT kept.id, kept.action_type, now.id AS is_there FROM kept LEFT JOIN audit_logs AS now USING (id)
                 WHERE (now.id IS NULL) IS DISTINCT FROM (
                     kept.action_type NOT IN {KEPT}
                     AND kept.patient_id IS DISTINCT FROM '{0}'
                     AND kept.user_id <> '{0}'
                     AND kept.on_behalf_of IS DISTINCT FROM '{0}'
                     -- The consent has no end; the rest is by what the first version is believed.
                     AND kept.action_type <> 'CONSENT_GRANT'
                     AND NOT (kept.action_type = 'RECORD_AMEND' AND {year} < 10)
                     AND {year} >= CASE
                         WHEN kept.action_type LIKE '%READ' OR kept.action_type LIKE '%SEARCH' THEN 3
                         WHEN kept.action_type IN ('RECORD_CREATE', 'RECORD_AMEND', 'RECORD_ANCHOR', 'USER_UPDATE') THEN 5
                         ELSE 7
                     END
                 )",
                bea.id
            ))
            .await;
        assert!(wrong.is_empty(), "in year {year}: {wrong:?}");
    }
    clock(&world, 0).await;

    for record_type in ["LAB_RESULT", "VACCINATION"] {
        ana.reads(&hers[record_type]).await.fails_with("NOT_FOUND");
    }
    bea.reads(&others["IMAGING"]).await.data();
    eventually("the records are closed on the chain", async || {
        let closed = "SELECT 1 FROM record_closings WHERE status = 'ERASED' AND reason = 3 AND state = 'CONFIRMED'";
        (world.sql(closed).await.len() == 15).then_some(())
    })
    .await;
    let purges = "action_type = 'RETENTION_PURGE' AND purpose = 'RECORDMGT' AND resource_type = 'MEDICAL_RECORD'";
    let purges = world.audit_rows(purges).await;
    assert!(
        purges.iter().all(|row| !row["record_ids"].is_null()),
        "{purges:?}"
    );
    verifies_without_what_was_removed(&world).await;
}

/// The trail verifies, from the database and from a file, and whoever hides a removal among what was purged is found.
async fn verifies_without_what_was_removed(world: &World) {
    let removed = world.sql("SELECT 1 FROM audit_purged_leaves").await.len();
    assert!(removed > 10, "{removed}");
    let (is_well, said) = audit_check::runs(world, "verify", true).await;
    assert!(is_well, "{said}");
    assert!(
        said.contains(&format!(
            "{removed} rows were removed by retention, as the trail says\n"
        )),
        "{said}"
    );
    without_a_node_nobody_knows_who_signed(world, removed).await;
    let scratch = Scratch::new("retained").expect("there is room for a file");
    let file = scratch.path().join("trail.ndjson").display().to_string();
    let (is_done, said) = audit_check::runs(world, &format!("export --out {file}"), false).await;
    assert!(is_done, "{said}");
    let checks =
        format!("verify --database-url postgres://nobody@127.0.0.1:1/none --export {file}");
    eventually(
        "the registry holds what the file has of purges",
        async || {
            let (is_well, said) = audit_check::runs(world, &checks, true).await;
            let told = format!("{removed} were kept long enough and removed; 0 faults");
            assert!(said.contains(&told), "{said}");
            is_well.then_some(())
        },
    )
    .await;

    let target = "SELECT id FROM audit_logs WHERE action_type = 'HOLD_PLACE'";
    let target = world.sql(target).await[0]["id"].clone();
    world
        .attacks(&format!(
            "DELETE FROM audit_logs WHERE id = {target};
             INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
             SELECT position, audit_id, (SELECT purge_id FROM audit_purged_leaves ORDER BY position LIMIT 1)
             FROM audit_leaves WHERE audit_id = {target}"
        ))
        .await;
    let (is_well, said) = audit_check::runs(world, "verify", true).await;
    assert!(!is_well && said.contains("REMOVED"), "{said}");
    // A purge of its own that nobody signed is none either.
    world
        .attacks(&format!(
            "UPDATE audit_purged_leaves SET purge_id = '00000000-0000-7000-8000-0000000000aa' WHERE audit_id = {target}"
        ))
        .await;
    let (is_well, said) = audit_check::runs(world, "verify", true).await;
    assert!(!is_well && said.contains("REMOVED"), "{said}");
    let forged = format!(
        "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, new_value, ip_address, request_id,
             purpose, retention_period, data_classification, encryption_status)
         SELECT '00000000-0000-7000-8000-000000000004', 'RETENTION_PURGE', 'AUDIT_LOG',
             '00000000-0000-7000-8000-0000000000aa', jsonb_build_object('rows', 1, 'digest',
                 encode(sha256(int8send(position) || leaf_hash), 'hex'), 'signature', encode(decode(repeat('1b', 65), 'hex'), 'base64')),
             '::1', gen_random_uuid(), 'RECORDMGT', '7 years', 'SECURITY', 'METADATA_ONLY'
         FROM audit_leaves WHERE audit_id = {target}"
    );
    let written = world.executes(&forged).await;
    assert_eq!(written, 1);
    eventually("the forged row has its place", async || {
        let placed = "SELECT 1 FROM audit_leaves WHERE audit_id = (SELECT max(id) FROM audit_logs
                      WHERE resource_id = '00000000-0000-7000-8000-0000000000aa')";
        (!world.sql(placed).await.is_empty()).then_some(())
    })
    .await;
    let (is_well, said) = audit_check::runs(world, "verify", true).await;
    assert!(!is_well && said.contains("REMOVED"), "{said}");
    // What nobody signed who may is not counted with the rest.
    let counted = format!("{removed} rows were removed by retention, as the trail says\n");
    assert!(said.contains(&counted), "{said}");
}

/// A check without a node ends neither well nor with a fault, unless it is told who may sign.
async fn without_a_node_nobody_knows_who_signed(world: &World, removed: usize) {
    let (is_well, said) = audit_check::runs(world, "verify", false).await;
    let unknown = format!(
        "{removed} rows were removed by retention, as the trail says; who signed that is not known"
    );
    assert!(!is_well && said.contains(&unknown), "{said}");
    assert!(said.contains("(exit status: 2)"), "{said}");
    assert!(said.contains(" 0 faults"), "{said}");
    let signer = "SELECT signer FROM audit_checkpoints LIMIT 1";
    let signer = text(&world.sql(signer).await[0]["signer"]);
    let named = format!("verify --earlier-checkpointers {signer}");
    let (is_well, said) = audit_check::runs(world, &named, false).await;
    assert!(is_well, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_of_a_purge_is_believed_before_it_has_its_place_and_an_export_waits_for_it() {
    let world = world("0").await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let hers = one_of_each(&ana).await;
    let promised = audit_promise::reads(&world, &dr_bo, &hers["LAB_RESULT"]).await;
    let promise = &audit_promise::promises(&promised)[0];
    world
        .executes("CREATE TABLE kept AS SELECT * FROM audit_logs")
        .await;
    all_is_pinned(&world).await;
    // Nothing gets its place while another process seems to be at it.
    let mut sequencer = world.connects_as("meditrustal_api").await;
    sqlx::raw_sql("SELECT pg_advisory_lock(hashtextextended('meditrustal audit tree', 0))")
        .execute(&mut sequencer)
        .await
        .expect("the lock is free");
    clock(&world, 4 * 366).await;
    let done = report(&world, &[]).await;
    let removed = done["auditRows"].as_u64().expect("a number");
    assert!(removed > 0, "{done}");
    clock(&world, 0).await;

    let file = world.file("promises.ndjson");
    fs::write(&file, promise.to_string()).expect("written");
    let verify = format!("verify --promises {file}");
    let (is_well, said) = audit_check::runs(&world, &verify, true).await;

    assert!(is_well, "{said}");
    let counted = format!("{removed} rows were removed by retention, as the trail says\n");
    assert!(said.contains(&counted), "{said}");
    assert!(said.contains("no place in the tree yet"), "{said}");
    let purged = "1 promises: 0 rows are in the tree, 0 wait for their place, 1 were kept long enough and removed\n";
    assert!(said.contains(purged), "{said}");
    let became = audit_promise::became(&dr_bo, promise).await;
    assert_eq!(became["state"], "PURGED", "{became}");
    assert!(became["inclusion"].is_array(), "{became}");
    assert!(audit_promise::found(&world).await.is_empty());

    let scratch = Scratch::new("unordered").expect("there is room for a file");
    let file = scratch.path().join("trail.ndjson").display().to_string();
    let words = format!("export --out {file}");
    let exports = audit_check::runs(&world, &words, false);
    let goes_on = async {
        eventually("the export begins", async || {
            let begun = "action_type = 'AUDIT_EXPORT'";
            (!world.audit_rows(begun).await.is_empty()).then_some(())
        })
        .await;
        drop(sequencer);
    };
    let ((is_done, said), ()) = tokio::join!(exports, goes_on);
    assert!(is_done, "{said}");
    let checks =
        format!("verify --database-url postgres://nobody@127.0.0.1:1/none --export {file}");
    eventually("the registry holds what the file has", async || {
        let (is_well, said) = audit_check::runs(&world, &checks, true).await;
        let told = format!("{removed} were kept long enough and removed; 0 faults");
        assert!(said.contains(&told), "{said}");
        is_well.then_some(())
    })
    .await;
    counts_where_the_deployment_file_names_the_account(&world, &dr_bo, promise).await;
    is_missed_where_no_purge_says_so(&world, &dr_bo, promise).await;
}

/// The account that signed the purges may pin checkpoints no longer: they count where the deployment file names it.
async fn counts_where_the_deployment_file_names_the_account(
    world: &World,
    person: &Person,
    promise: &Value,
) {
    let signer = "SELECT signer FROM audit_checkpoints LIMIT 1";
    let signer = text(&world.sql(signer).await[0]["signer"]);
    let file = world.foundation.dir().join("deployment.json");
    let file = fs::read_to_string(file).expect("there is one");
    let mut deployment: Value = serde_json::from_str(&file).expect("it is JSON");
    deployment["earlierCheckpointers"] = json!([signer]);
    let file = world.file("deployment.json");
    fs::write(&file, deployment.to_string()).expect("written");
    let environment = [("MEDITRUSTAL_DEPLOYMENT_FILE", file.as_str())];
    let api = world.another_api("renamed", &environment).await;
    let revoked = revoke_role(CHECKPOINT_ROLE, &signer);
    world.calls_registry(ADMINISTRATOR, revoked).await;
    let (is_well, said) = audit_check::runs(world, "verify --dry-run", true).await;
    assert!(!is_well && said.contains("REMOVED"), "{said}");

    let became = audit_promise::became(&person.at(&api), promise).await;

    assert_eq!(became["state"], "PURGED", "{became}");
    assert!(audit_promise::found(world).await.is_empty());
}

/// Somebody names another purge of a row that is gone: whoever asks about its promise opens a finding.
async fn is_missed_where_no_purge_says_so(world: &World, person: &Person, promise: &Value) {
    let row = text(&promise["id"]);
    world
        .attacks(&format!(
            "UPDATE audit_purged_leaves SET purge_id = '00000000-0000-7000-8000-0000000000aa' WHERE audit_id = {row}"
        ))
        .await;

    let became = audit_promise::became(person, promise).await;

    assert_eq!(became["state"], "BROKEN", "{became}");
    let named = json!(["REMOVED", row]);
    assert_eq!(audit_promise::found(world).await, [named]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_removes_what_is_due_and_keeps_to_the_rules_that_were_set() {
    let world = world("1").await;
    let ana = world.patient("ana").await;
    one_of_each(&ana).await;
    let url = world.foundation.url_of("meditrustal_migrator");
    let url = url.unwrap_or_else(|error| panic!("{error}"));
    let programs = world.foundation.programs.clone();
    let set = tokio::task::spawn_blocking(move || {
        let words = ["retention", "set", "--type", "LAB_RESULT", "--years", "30"];
        let said = programs.operate(&words, &[("DATABASE_URL", &url)], "");
        let said = said.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said, "LAB_RESULT: 30 years, 10 before\n");
    });
    set.await.expect("a command does not panic");
    assert_eq!(
        world
            .audit_rows("action_type = 'RETENTION_RULE_SET'")
            .await
            .len(),
        1
    );

    clock(&world, 11 * 366).await;

    eventually("what is due is erased", async || {
        let due = ["IMAGING", "VITAL_SIGNS"].map(|it| ("ana".to_owned(), it.to_owned()));
        (erased(&world).await == due).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_while_a_hold_is_gone_and_no_role_of_a_program_removes_what_is_not_due() {
    let world = world("0").await;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    one_of_each(&ana).await;
    let place = "mutation($p: UUID!) {
      placeHold(input: { patientId: $p, dataCategories: [IMAGING], reason: \"a court asked for it\" }) { hold { id } }
    }";
    ada.asks(place, json!({ "p": ana.id })).await.data();
    world
        .executes("CREATE TABLE kept AS SELECT * FROM audit_logs")
        .await;
    all_is_pinned(&world).await;
    // Nothing is due: whoever has the role of the api removes nothing.
    let mut api = world.connects_as("meditrustal_api").await;
    let all = "SELECT remove_audit_rows('00000000-0000-7000-8000-0000000000aa',
                   ARRAY(SELECT position FROM audit_leaves ORDER BY position),
                   ARRAY(SELECT audit_id FROM audit_leaves ORDER BY position))";
    let said = format!(
        "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, new_value, ip_address, request_id,
             purpose, retention_period, data_classification, encryption_status)
         SELECT '00000000-0000-7000-8000-000000000004', 'RETENTION_PURGE', 'AUDIT_LOG',
             '00000000-0000-7000-8000-0000000000aa', jsonb_build_object('rows', count(*), 'digest', encode(sha256(
                 string_agg(int8send(position) || leaf_hash, ''::bytea ORDER BY position)), 'hex')),
             '::1', gen_random_uuid(), 'RECORDMGT', '7 years', 'SECURITY', 'METADATA_ONLY'
         FROM audit_leaves; {all}"
    );
    let named = "INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
                 SELECT position, audit_id, '00000000-0000-7000-8000-0000000000aa' FROM audit_leaves";
    for (tried, why) in [
        (named, "permission denied"),
        (all, "the audit trail says nothing of this purge"),
        (said.as_str(), "some of these rows are not due"),
    ] {
        let tried = sqlx::raw_sql(AssertSqlSafe(tried.to_owned()));
        let refused = tried.execute(&mut api).await.expect_err("it is refused");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let tried = "SELECT purge_records(id, '00000000-0000-0000-0000-000000000000', 1000,
                     ARRAY(SELECT id FROM medical_records)) FROM users";
    sqlx::raw_sql(tried)
        .execute(&mut api)
        .await
        .expect("it is tried");
    let left = world
        .sql("SELECT 1 FROM kept JOIN audit_logs USING (id)")
        .await
        .len();
    assert_eq!(left, world.sql("SELECT 1 FROM kept").await.len());
    assert!(erased(&world).await.is_empty());
    world.attacks("DELETE FROM legal_holds").await;
    clock(&world, 25 * 366).await;

    let (is_content, said) = retains(&world, &["--json"]).await;

    assert!(
        !is_content && said.contains("\"waitingPatients\":1"),
        "{said}"
    );
    assert!(said.contains("\"records\":{}"), "{said}");
    assert!(erased(&world).await.is_empty());
    // Nor does a row of the trail go that is about somebody whose hold is gone, or one that was changed.
    let hers = format!(
        "SELECT 1 FROM kept LEFT JOIN audit_logs AS now USING (id) WHERE kept.patient_id = '{}' AND now.id IS NULL",
        ana.id
    );
    assert!(world.sql(&hers).await.is_empty());
}
