//! What each role can do and cannot, proven by doing it as that role. Everything is rolled back.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{Person, World, documents, eventually, id};

const API: &str = "meditrustal_api";
const INDEXER: &str = "meditrustal_indexer";
const BACKUP: &str = "meditrustal_backup";
const KEYS: &str = "meditrustal_keys";
const OWNER: &str = "meditrustal_migrator";

/// The database's word for "not allowed".
const NOT_ALLOWED: &str = "42501";

/// A world with a row in every table that the api and the indexer write.
async fn lived_in() -> (World, Person, String) {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let consent = ana.lets(&dr_bo, &["READ", "SEARCH", "CREATE"]).await;
    let key = json!({ "idempotencyKey": "once" });
    let stored = dr_bo
        .stores(&ana, "LAB_RESULT", documents::lab_result(), key)
        .await;
    let record = id(&stored.data()["createMedicalRecord"]["record"]);
    let prepares = "mutation { createAccessCode(input: {
        purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ]
    }) { code } }";
    ana.asks(prepares, json!({})).await.data();
    world.wait_for_anchor(&record, "CONFIRMED").await;
    // A node is stored over sixteen rows.
    for _ in 0..16 {
        ana.reads(&record).await.data();
    }
    eventually("rows of the trail have their places", async || {
        let leaves = world.sql("SELECT 1 FROM audit_nodes LIMIT 1").await;
        (!leaves.is_empty()).then_some(())
    })
    .await;
    (world, ana, consent)
}

/// Runs a statement and takes it back; answers how many rows it was about, or the database's code.
async fn tries(conn: &mut PgConnection, statement: &str) -> Result<u64, String> {
    let mut transaction = conn.begin().await.expect("a transaction begins");
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await.expect("it is taken back");
    done.map(|done| done.rows_affected()).map_err(|error| {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        code.map_or_else(|| error.to_string(), std::borrow::Cow::into_owned)
    })
}

async fn may(world: &World, role: &str, statements: &[&str]) {
    let mut conn = world.connects_as(role).await;
    for statement in statements {
        let done = tries(&mut conn, statement).await;
        assert!(
            done.as_ref().is_ok_and(|&rows| rows > 0),
            "{role} should be able to {statement}, and it is {done:?}"
        );
    }
}

async fn may_not(world: &World, role: &str, statements: &[&str]) {
    let mut conn = world.connects_as(role).await;
    for statement in statements {
        assert_eq!(
            tries(&mut conn, statement).await,
            Err(NOT_ALLOWED.to_owned()),
            "{role} must not be able to {statement}"
        );
    }
}

#[tokio::test]
async fn nobody_changes_or_removes_an_audit_row() {
    let (world, ..) = lived_in().await;
    let rewriting = [
        "UPDATE audit_logs SET action_type = 'NOTHING'",
        "UPDATE audit_logs SET new_value = NULL",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "UPDATE audit_leaves SET leaf_hash = sha256('')",
        "DELETE FROM audit_leaves",
        "TRUNCATE audit_leaves",
        "TRUNCATE audit_nodes",
    ];

    for role in [API, INDEXER, KEYS, BACKUP, OWNER] {
        may_not(&world, role, &rewriting).await;
    }
    // Not even a superuser by mistake: the triggers refuse, not the privileges.
    let mut superuser = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("a superuser connects");
    for statement in rewriting {
        assert_eq!(
            tries(&mut superuser, statement).await,
            Err(NOT_ALLOWED.to_owned()),
            "the trigger lets through: {statement}"
        );
    }
}

#[tokio::test]
async fn the_programs_write_audit_rows_but_not_their_times_or_numbers() {
    let (world, ana, _) = lived_in().await;
    let columns = "user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose, \
                   retention_period, data_classification, encryption_status";
    let values = format!(
        "'{0}', 'RECORD_READ', 'RECORD', '{0}', '::1', '{0}', 'TREAT', '3 years', 'MEDICAL', 'METADATA_ONLY'",
        ana.id
    );

    for role in [API, INDEXER, KEYS] {
        may(
            &world,
            role,
            &[&format!(
                "INSERT INTO audit_logs ({columns}) VALUES ({values})"
            )],
        )
        .await;
        for (column, value) in [
            ("id", "1000000"),
            ("event_time", "'2001-01-01'"),
            ("created_at", "'2001-01-01'"),
            ("leaf_salt", "gen_random_uuid()"),
            ("leaf_layout", "3"),
            ("leaf_xid", "'1'"),
            ("leaf_hash", "sha256('')"),
        ] {
            let insert =
                format!("INSERT INTO audit_logs ({columns}, {column}) VALUES ({values}, {value})");
            may_not(&world, role, &[&insert]).await;
        }
    }
    may_not(&world, API, &["SELECT setval('audit_logs_id_seq', 1)"]).await;
    may_not(
        &world,
        INDEXER,
        &[
            "SELECT * FROM audit_logs",
            "SELECT setval('audit_logs_id_seq', 1)",
        ],
    )
    .await;
    may_not(
        &world,
        BACKUP,
        &[&format!(
            "INSERT INTO audit_logs ({columns}) VALUES ({values})"
        )],
    )
    .await;
}

#[tokio::test]
async fn a_consent_is_only_ever_withdrawn_and_once() {
    let (world, ana, consent) = lived_in().await;
    let the = format!("WHERE id = '{consent}'");
    let withdraw =
        format!("UPDATE data_processing_consents SET consent_withdrawn_at = now() {the}");

    may(&world, API, &[&withdraw]).await;
    for column in [
        "consent_given_at = now()",
        "consent_expires_at = now() + interval '9 years'",
        "consent_withdrawn_at = NULL",
        "purpose = 'HMARKT'",
        "data_categories = '[\"ALL_RECORDS\"]'",
        "processing_activities = '[\"READ\"]'",
        "third_parties = '[]'",
        &format!("user_id = '{}'", ana.id),
    ] {
        let update = format!("UPDATE data_processing_consents SET {column} {the}");
        may_not(&world, API, &[&update]).await;
        if !column.starts_with("user_id") {
            may_not(&world, OWNER, &[&update]).await;
        }
    }
    for role in [API, OWNER, INDEXER, BACKUP] {
        let delete = format!("DELETE FROM data_processing_consents {the}");
        may_not(
            &world,
            role,
            &[&delete, "TRUNCATE data_processing_consents CASCADE"],
        )
        .await;
    }
    ana.withdraws(&consent).await;
    may_not(&world, API, &[&withdraw]).await;
    may_not(&world, OWNER, &[&withdraw]).await;
}

#[tokio::test]
async fn a_version_is_superseded_once_and_never_current_again() {
    let (world, ..) = lived_in().await;
    let supersede = "UPDATE medical_records SET superseded_at = now()";
    may(&world, API, &[supersede]).await;

    world.executes(supersede).await;

    for role in [API, OWNER] {
        may_not(
            &world,
            role,
            &[supersede, "UPDATE medical_records SET superseded_at = NULL"],
        )
        .await;
    }
}

#[tokio::test]
async fn the_indexer_reads_no_content_no_key_no_password_and_no_consent() {
    let (world, ..) = lived_in().await;

    may_not(
        &world,
        INDEXER,
        &[
            "SELECT encrypted_data FROM medical_records",
            "SELECT record_metadata FROM medical_records",
            "SELECT code_tokens FROM medical_records",
            "SELECT * FROM medical_records",
            "SELECT hashed_password FROM users",
            "SELECT email FROM users",
            "SELECT * FROM users",
            "SELECT wrapped_key FROM patient_keys",
            "SELECT * FROM sessions",
            "SELECT * FROM role_proposals",
            "SELECT * FROM access_codes",
            "SELECT * FROM data_processing_consents",
            "SELECT * FROM data_deletion_requests",
            "SELECT * FROM idempotency_keys",
            "SELECT * FROM record_sources",
            "SELECT * FROM attachment_chunks",
            "SELECT * FROM throttle_counters",
            "SELECT raw_transaction FROM anchor_attempts",
            "SELECT sealed_secret FROM second_factors",
            "SELECT * FROM recovery_codes",
            "SELECT * FROM wallets",
            "SELECT * FROM wallet_challenges",
            "SELECT * FROM break_glass_windows",
            "SELECT * FROM notifications",
            "SELECT * FROM representatives",
            "SELECT * FROM representative_proposals",
            "SELECT text FROM consent_receipts",
            "SELECT signature FROM consent_receipts",
            "SELECT user_id FROM data_processing_consents",
            "SELECT * FROM monitored_queries()",
        ],
    )
    .await;
    may(
        &world,
        INDEXER,
        &[
            "SELECT id, patient_id, record_type, data_hash, blockchain_record_id FROM medical_records",
            "SELECT version, predecessor_id, superseded_at FROM medical_records",
            "SELECT state, tx_hash FROM record_anchors",
            "SELECT details_hash, wallet, registry_end, chain_id, chain_state, tx_hash, block_hash FROM consent_receipts",
            "SELECT tx_hash, outbox_id, attempt FROM anchor_attempts",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_indexer_writes_what_it_follows_and_nothing_else() {
    let (world, ..) = lived_in().await;
    world
        .executes("INSERT INTO integrity_findings (kind, details) VALUES ('HASH_MISMATCH', '{}')")
        .await;

    may(
        &world,
        INDEXER,
        &[
            "UPDATE record_anchors SET state = 'FINALIZED'",
            "UPDATE anchor_outbox SET state = 'MINED'",
            "UPDATE chain_cursors SET chain_head = chain_head",
            "UPDATE chain_events SET undone_at = now()",
            "UPDATE consent_receipts SET chain_state = 'CONFIRMED', block_number = 1",
            "INSERT INTO integrity_feed (kind) VALUES ('FINDING_OPENED')",
            "INSERT INTO integrity_findings (kind, details, chain_id, registry) VALUES ('HASH_MISMATCH', '{}', 1, '0x' || repeat('0', 40))",
            "UPDATE integrity_findings SET chain_id = chain_id, registry = registry",
        ],
    )
    .await;
    may_not(
        &world,
        INDEXER,
        &[
            "UPDATE medical_records SET data_hash = repeat('0', 64)",
            "UPDATE medical_records SET encrypted_data = ''",
            "UPDATE medical_records SET superseded_at = now()",
            "INSERT INTO medical_records (patient_id) SELECT id FROM users LIMIT 1",
            "DELETE FROM medical_records",
            "UPDATE users SET role = 'ADMIN'",
            "UPDATE signers SET next_nonce = 0",
            "INSERT INTO anchor_outbox (record_id) SELECT record_id FROM record_anchors",
            "UPDATE anchor_outbox SET nonce = nonce + 1",
            "UPDATE anchor_outbox SET is_replaced = TRUE",
            "UPDATE anchor_attempts SET state = 'REPLACED'",
            "DELETE FROM anchor_outbox",
            "INSERT INTO record_anchors (record_id) SELECT gen_random_uuid()",
            "UPDATE record_anchors SET record_hash = repeat('0', 64)",
            "DELETE FROM record_anchors",
            "INSERT INTO record_closings (record_id, status, reason) SELECT record_id, 'REVOKED', 1 FROM record_anchors",
            "UPDATE record_closings SET reason = 2",
            "UPDATE consent_receipts SET details_hash = repeat('0', 64)",
            "UPDATE consent_receipts SET wallet = NULL",
            "UPDATE chain_events SET subject_hash = repeat('0', 64)",
            "DELETE FROM chain_events",
            "UPDATE integrity_feed SET kind = 'FINDING_RESOLVED'",
            "DELETE FROM integrity_feed",
            "INSERT INTO registry_feed (chain_id, registry, event_id, is_undone) SELECT chain_id, registry, id, TRUE FROM chain_events",
            "UPDATE registry_feed SET is_undone = TRUE",
            "SELECT * FROM registry_feed",
            "UPDATE integrity_findings SET details = '{}'",
            "DELETE FROM integrity_findings",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_api_removes_nothing_and_rewrites_no_record() {
    let (world, ..) = lived_in().await;

    for table in [
        "users",
        "role_proposals",
        "medical_records",
        "patient_keys",
        "data_deletion_requests",
        "deletion_certificates",
        "certificate_claims",
        "legal_holds",
        "memberships",
        "organizations",
        "signers",
        "record_anchors",
        "record_closings",
        "record_sources",
        "attachment_chunks",
        "consent_receipts",
        "anchor_outbox",
        "anchor_attempts",
        "chain_cursors",
        "chain_blocks",
        "chain_events",
        "indexer_leases",
        "indexer_sweeps",
        "integrity_findings",
        "integrity_feed",
        "registry_feed",
        "recovery_codes",
        "wallets",
        "audit_checkpoints",
        "audit_leaves",
        "audit_purged_leaves",
        "retention_rules",
        "erasure_ledger",
        "audit_nodes",
        "audit_watermark",
        "break_glass_windows",
        "notifications",
        "representatives",
        "representative_proposals",
    ] {
        let (delete, truncate) = (
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        );
        for role in [API, BACKUP] {
            may_not(&world, role, &[&delete, &truncate]).await;
        }
        if table != "chain_blocks" {
            may_not(&world, INDEXER, &[&delete, &truncate]).await;
        }
    }
    may_not(
        &world,
        API,
        &[
            "UPDATE medical_records SET data_hash = repeat('0', 64)",
            "UPDATE medical_records SET encrypted_data = ''",
            "UPDATE medical_records SET patient_id = patient_id",
            "UPDATE medical_records SET predecessor_id = NULL",
            "UPDATE medical_records SET withdrawn = FALSE",
            "UPDATE patient_keys SET wrapped_key = ''",
            "UPDATE users SET is_system = FALSE",
            "UPDATE users SET id = id",
            "UPDATE sessions SET expires_at = now() + interval '9 years'",
            "UPDATE sessions SET idle_expires_at = now() + interval '9 years'",
            "UPDATE sessions SET refresh_token = ''",
            "UPDATE access_codes SET user_id = user_id",
            "UPDATE access_codes SET processing_activities = '[\"READ\"]'",
            "UPDATE access_codes SET expires_at = now() + interval '9 years'",
            "UPDATE role_proposals SET role = 'ADMIN'",
            "UPDATE role_proposals SET proposed_by = user_id",
            "UPDATE role_proposals SET expires_at = now() + interval '9 years'",
            "UPDATE break_glass_windows SET opened_at = now()",
            "UPDATE break_glass_windows SET expires_at = now() + interval '9 years'",
            "UPDATE break_glass_windows SET patient_id = doctor_id",
            "UPDATE break_glass_windows SET purpose = 'ETREAT'",
            "UPDATE break_glass_windows SET sealed_reason = ''",
            "UPDATE legal_holds SET reason = ''",
            "UPDATE legal_holds SET sealed_reason = NULL",
            "UPDATE representatives SET patient_id = representative_id",
            "UPDATE representatives SET activities = '[]'",
            "UPDATE representatives SET valid_until = now() + interval '9 years'",
            "UPDATE representative_proposals SET representative_id = patient_id",
            "UPDATE representative_proposals SET expires_at = now() + interval '9 years'",
            "UPDATE notifications SET user_id = actor_id",
            "UPDATE notifications SET at = now()",
            "UPDATE idempotency_keys SET resource_id = resource_id",
            "UPDATE anchor_attempts SET raw_transaction = ''",
            "UPDATE record_anchors SET record_hash = repeat('0', 64)",
            "UPDATE record_anchors SET block_number = 1",
            "UPDATE record_sources SET record_id = record_id",
            "UPDATE attachment_chunks SET number = number",
            "UPDATE record_closings SET reason = 2",
            "UPDATE record_closings SET block_number = 1",
            "UPDATE consent_receipts SET text = ''",
            "UPDATE consent_receipts SET details_hash = repeat('0', 64)",
            "UPDATE consent_receipts SET block_number = 1",
            "INSERT INTO chain_events (kind) VALUES ('RecordAnchored')",
            "UPDATE chain_events SET undone_at = now()",
            "UPDATE chain_cursors SET block_number = 0",
            "INSERT INTO chain_blocks (number) VALUES (1)",
            "UPDATE integrity_feed SET kind = 'FINDING_RESOLVED'",
            "UPDATE wallets SET address = ''",
            "UPDATE wallets SET user_id = user_id",
            "UPDATE wallet_challenges SET expires_at = now() + interval '9 years'",
            "UPDATE recovery_codes SET code_hash = ''",
            "UPDATE second_factors SET user_id = user_id",
            "UPDATE audit_leaves SET leaf_hash = sha256('')",
            "UPDATE audit_nodes SET hash = sha256('')",
            "UPDATE retention_rules SET years = 1",
            "UPDATE erasure_ledger SET entry = ''",
            "UPDATE audit_purged_leaves SET purge_id = gen_random_uuid()",
            "INSERT INTO audit_purged_leaves (position, audit_id, purge_id) VALUES (0, 1, gen_random_uuid())",
            "SET ROLE meditrustal_retention",
            "SET ROLE meditrustal_monitor",
            "INSERT INTO maintenance_runs (task, object_name, started_at) VALUES ('VACUUM', 'users', now())",
            "UPDATE audit_checkpoints SET root = repeat('0', 64)",
            "UPDATE audit_checkpoints SET block_number = 1",
        ],
    )
    .await;
    may(
        &world,
        API,
        &[
            "SELECT encrypted_data FROM medical_records",
            "SELECT wrapped_key FROM patient_keys",
            "UPDATE medical_records SET superseded_at = now()",
            "UPDATE users SET is_active = FALSE",
            "UPDATE sessions SET is_valid = FALSE, revoked_at = now(), used_at = now()",
            "UPDATE signers SET next_nonce = next_nonce + 1",
            "UPDATE throttle_counters SET failures = 0",
            "DELETE FROM throttle_counters",
            // They go when they have had their time; until then a row only ever ends.
            "DELETE FROM sessions",
            "DELETE FROM idempotency_keys",
            "DELETE FROM access_codes",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_backup_reads_everything_but_keys_and_writes_no_more_than_that_it_was_made() {
    let (world, ..) = lived_in().await;
    let tables = world
        .sql("SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')")
        .await;
    assert!(tables.len() > 17, "{tables:?}");

    let mut backup = world.connects_as(BACKUP).await;
    for table in &tables {
        let table = table["name"].as_str().expect("a table has a name");
        let read = tries(&mut backup, &format!("SELECT * FROM {table}")).await;
        if table == "patient_keys" {
            assert_eq!(read, Err(NOT_ALLOWED.to_owned()));
        } else {
            assert!(read.is_ok(), "a backup lacks {table}: {read:?}");
        }
    }
    may_not(
        &world,
        BACKUP,
        &[
            "UPDATE users SET role = 'ADMIN'",
            "INSERT INTO integrity_feed (kind) VALUES ('FINDING_OPENED')",
            "INSERT INTO audit_logs (user_id) SELECT id FROM users LIMIT 1",
            "CREATE TABLE mine (id INTEGER)",
        ],
    )
    .await;
    let noted = "SELECT note_backup(gen_random_uuid(), '{}')";
    may(&world, BACKUP, &[noted]).await;
    may(&world, KEYS, &[noted]).await;
    may_not(&world, API, &[noted]).await;
    may_not(&world, INDEXER, &[noted]).await;
}

#[tokio::test]
async fn who_re_wraps_keys_reads_no_record_and_who_copies_records_reads_no_key() {
    let (world, ..) = lived_in().await;

    may(
        &world,
        KEYS,
        &[
            "SELECT * FROM patient_keys",
            "SELECT id FROM patient_keys FOR UPDATE SKIP LOCKED",
            "UPDATE patient_keys SET wrapped_key = wrapped_key, master_key_id = master_key_id",
        ],
    )
    .await;
    may_not(
        &world,
        KEYS,
        &[
            "SELECT encrypted_data FROM medical_records",
            "SELECT id FROM medical_records",
            "SELECT * FROM users",
            "SELECT * FROM sessions",
            "SELECT * FROM audit_logs",
            "SELECT * FROM record_anchors",
            "SELECT * FROM integrity_findings",
            "UPDATE patient_keys SET patient_id = patient_id",
            "UPDATE patient_keys SET created_at = created_at",
            "UPDATE patient_keys SET destroyed_at = now()",
            "DELETE FROM patient_keys",
            "TRUNCATE patient_keys",
            "INSERT INTO patient_keys (patient_id, wrapped_key, master_key_id) SELECT patient_id, '', '' FROM patient_keys",
        ],
    )
    .await;
    may_not(
        &world,
        BACKUP,
        &[
            "SELECT wrapped_key FROM patient_keys",
            "SELECT id FROM patient_keys",
        ],
    )
    .await;
    // What a later migration makes is copied, too.
    let later = "CREATE TABLE made_later (id INTEGER); INSERT INTO made_later VALUES (1)";
    let mut owner = world.connects_as(OWNER).await;
    let made = sqlx::raw_sql(later).execute(&mut owner).await;
    made.expect("the owner makes a table");
    may(&world, BACKUP, &["SELECT id FROM made_later"]).await;
}

#[tokio::test]
async fn nobody_but_the_owner_makes_alters_or_drops() {
    let (world, ..) = lived_in().await;
    let making = [
        "CREATE TABLE mine (id INTEGER)",
        "CREATE FUNCTION mine() RETURNS INTEGER LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "DROP TABLE audit_logs",
        "DROP TRIGGER audit_logs_append_only ON audit_logs",
        "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
        "ALTER TABLE users ADD COLUMN mine INTEGER",
        "CREATE INDEX mine ON users (role)",
        "CREATE ROLE mine",
        "GRANT meditrustal_migrator TO CURRENT_USER",
        "SET ROLE meditrustal_migrator",
        "SET session_replication_role = replica",
        "ALTER SYSTEM SET fsync = on",
        "COPY users TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ];

    for role in [API, INDEXER, KEYS, BACKUP] {
        let mut conn = world.connects_as(role).await;
        for statement in making {
            let refused = tries(&mut conn, statement).await;
            // ALTER SYSTEM is refused in a transaction before anybody's rights are looked at.
            let wanted = if statement.starts_with("ALTER SYSTEM") {
                "25001"
            } else {
                NOT_ALLOWED
            };
            assert_eq!(refused, Err(wanted.to_owned()), "{role}: {statement}");
        }
    }
    may_not(
        &world,
        OWNER,
        &["CREATE ROLE mine", "SET session_replication_role = replica"],
    )
    .await;
}

#[tokio::test]
async fn no_role_is_more_than_it_has_to_be() {
    let world = World::start().await;

    let roles = world
        .sql(
            "SELECT rolname AS role, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty,
                rolbypassrls AS sees_all,
                ARRAY(
                    SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid ORDER BY roleid::regrole::text
                ) AS member_of
             FROM pg_roles r WHERE rolname LIKE 'meditrustal!_%' ESCAPE '!' ORDER BY rolname",
        )
        .await;

    let role = |name: &str, sees_all: bool, member_of: &[&str]| json!({ "role": name, "mighty": false, "sees_all": sees_all, "member_of": member_of });
    assert_eq!(
        roles,
        [
            role(API, false, &[]),
            role(BACKUP, true, &[]),
            role(INDEXER, false, &[]),
            role(KEYS, false, &[]),
            role(
                OWNER,
                false,
                &["meditrustal_monitor", "meditrustal_retention"]
            ),
            role("meditrustal_monitor", false, &["pg_read_all_stats"]),
            role("meditrustal_retention", false, &[]),
        ]
    );
    let open = "SELECT datname FROM pg_database
                WHERE datname IN (current_database(), 'meditrustal') AND has_database_privilege('public', oid, 'CONNECT')";
    assert_eq!(world.sql(open).await, [json!(null); 0]);
}
