//! The migrated database against the specification's tables, column by column and index by index.
//!
//! The table below was written by reading the specification, with what the project settled where
//! that leaves something open: what has a default is NOT NULL as well, and statuses have lists.

use std::collections::BTreeSet;
use std::fs;

use tests::World;

use super::catalogue;

struct Table {
    name: &'static str,
    /// What the specification says.
    specified: &'static [&'static str],
    /// What is ours: every column nullable or with a default.
    own: &'static [&'static str],
}

const TABLES: [Table; 6] = [
    Table {
        name: "users",
        specified: &[
            "id uuid NOT NULL DEFAULT gen_random_uuid()",
            "PRIMARY KEY (id)",
            "email varchar(255) NOT NULL",
            "UNIQUE (email)",
            "username varchar(50) NOT NULL",
            "UNIQUE (username)",
            "hashed_password varchar(255) NOT NULL",
            "blockchain_address varchar(42)",
            "UNIQUE (blockchain_address)",
            "role varchar(20) NOT NULL",
            "CHECK role IN PATIENT DOCTOR ADMIN",
            "is_active boolean NOT NULL DEFAULT true",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "INDEX idx_users_email btree (email)",
            "INDEX idx_users_username btree (username)",
            "INDEX idx_users_blockchain_address btree (blockchain_address)",
        ],
        own: &[
            "has_second_factor boolean NOT NULL DEFAULT false",
            "refusals uuid[] NOT NULL DEFAULT '{}'::uuid[]",
            "CHECK ((cardinality(refusals) <= 100))",
            "seal bytea",
            "seal_key varchar(64)",
            "INDEX idx_users_seal_key btree (seal_key, id)",
            "organization_id uuid",
            "is_system boolean NOT NULL DEFAULT false",
            "INDEX users_email_folded_key UNIQUE btree (lower((email)::text))",
            "INDEX users_username_folded_key UNIQUE btree (lower((username)::text))",
            "INDEX users_blockchain_address_folded_key UNIQUE btree (lower((blockchain_address)::text))",
            "INDEX idx_users_doctor_words gin (words_of(username)) WHERE (((role)::text = 'DOCTOR'::text) AND is_active AND (NOT is_system))",
            "INDEX idx_users_active_doctors btree (id) WHERE (((role)::text = 'DOCTOR'::text) AND is_active AND (NOT is_system))",
            "INDEX idx_users_created_at btree (created_at DESC, id DESC) WHERE (NOT is_system)",
        ],
    },
    Table {
        name: "sessions",
        specified: &[
            "id uuid NOT NULL DEFAULT gen_random_uuid()",
            "PRIMARY KEY (id)",
            "user_id uuid NOT NULL",
            "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
            "refresh_token varchar(255) NOT NULL",
            "UNIQUE (refresh_token)",
            "expires_at timestamptz NOT NULL",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "is_valid boolean NOT NULL DEFAULT true",
            "INDEX idx_sessions_user_id btree (user_id)",
            "INDEX idx_sessions_refresh_token btree (refresh_token)",
        ],
        own: &[
            "family_id uuid",
            "parent_id uuid",
            "used_at timestamptz",
            "ip_address inet",
            "user_agent text",
            "second_factor_at timestamptz",
            "seal bytea",
            "seal_key varchar(64)",
            "INDEX idx_sessions_seal_key btree (seal_key, id)",
            "idle_expires_at timestamptz",
            "revoked_at timestamptz",
            "INDEX idx_sessions_family_id btree (family_id)",
            "INDEX idx_sessions_parent_id btree (parent_id)",
            "INDEX sessions_parent_key UNIQUE btree (parent_id) WHERE (parent_id IS NOT NULL)",
            "INDEX idx_sessions_user_page btree (user_id, created_at DESC, id DESC) WHERE (parent_id IS NULL)",
            "INDEX idx_sessions_family_page btree (family_id, created_at DESC)",
            "INDEX idx_sessions_revoked_at btree (revoked_at) WHERE (revoked_at IS NOT NULL)",
        ],
    },
    Table {
        name: "medical_records",
        specified: &[
            "id uuid NOT NULL DEFAULT gen_random_uuid()",
            "PRIMARY KEY (id)",
            "patient_id uuid NOT NULL",
            "FOREIGN KEY (patient_id) REFERENCES users(id) ON DELETE CASCADE",
            "blockchain_record_id varchar(66) NOT NULL",
            "UNIQUE (blockchain_record_id)",
            "record_type varchar(50) NOT NULL",
            "CHECK record_type IN DIAGNOSIS LAB_RESULT PRESCRIPTION TREATMENT_PLAN MEDICAL_HISTORY \
             VITAL_SIGNS IMAGING VACCINATION",
            "record_metadata jsonb",
            "encrypted_data bytea NOT NULL",
            "data_hash varchar(64) NOT NULL",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "INDEX idx_medical_records_patient_id btree (patient_id)",
            "INDEX idx_medical_records_blockchain_record_id btree (blockchain_record_id)",
            "INDEX idx_medical_records_record_type btree (record_type)",
            "INDEX idx_medical_records_record_metadata gin (record_metadata)",
        ],
        own: &[
            "author_id uuid",
            "FOREIGN KEY (author_id) REFERENCES users(id)",
            "patient_key_id uuid",
            "FOREIGN KEY (patient_key_id) REFERENCES patient_keys(id)",
            "version integer NOT NULL DEFAULT 1",
            "CHECK ((version >= 1))",
            "predecessor_id uuid",
            "FOREIGN KEY (predecessor_id) REFERENCES medical_records(id)",
            "missing_elements jsonb",
            "restricted_at timestamptz",
            "erased_at timestamptz",
            "effective_at timestamptz",
            "code_tokens bytea[]",
            "INDEX idx_medical_records_patient_effective btree (patient_id, COALESCE(effective_at, created_at) DESC, id DESC)",
            "INDEX idx_medical_records_created btree (created_at DESC, id DESC)",
            "INDEX idx_medical_records_effective btree (COALESCE(effective_at, created_at) DESC, id DESC)",
            "INDEX idx_medical_records_periods btree (COALESCE(effective_at, created_at) DESC, id DESC) WHERE (record_metadata ? 'dateEnd'::text)",
            "INDEX idx_medical_records_code_tokens gin (code_tokens)",
            "superseded_at timestamptz",
            "withdrawn boolean NOT NULL DEFAULT false",
            "INDEX idx_medical_records_patient_page btree (patient_id, created_at DESC, id DESC)",
            "INDEX idx_medical_records_author_id btree (author_id, created_at DESC, id DESC)",
            "INDEX idx_medical_records_due btree (record_type, created_at) WHERE ((superseded_at IS NULL) AND (erased_at IS NULL) AND (restricted_at IS NULL))",
            "INDEX medical_records_predecessor_key UNIQUE btree (predecessor_id) WHERE (predecessor_id IS NOT NULL)",
            "INDEX idx_medical_records_patient_key_id btree (patient_key_id)",
            "INDEX idx_medical_records_data_hash btree (data_hash)",
        ],
    },
    Table {
        name: "audit_logs",
        specified: &[
            "id bigint NOT NULL DEFAULT nextval('audit_logs_id_seq'::regclass)",
            "PRIMARY KEY (id)",
            "event_time timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "user_id uuid NOT NULL",
            "FOREIGN KEY (user_id) REFERENCES users(id)",
            "action_type varchar(50) NOT NULL",
            "resource_type varchar(50) NOT NULL",
            "resource_id uuid NOT NULL",
            "old_value jsonb",
            "new_value jsonb",
            "ip_address inet NOT NULL",
            "user_agent text",
            "request_id uuid NOT NULL",
            "purpose varchar(100) NOT NULL",
            "consent_reference uuid",
            "retention_period interval NOT NULL",
            "data_classification varchar(50) NOT NULL",
            "CHECK data_classification IN PUBLIC INTERNAL PERSONAL SENSITIVE_PERSONAL MEDICAL \
             MEDICAL_RESTRICTED SECURITY",
            "is_cross_border boolean NOT NULL DEFAULT false",
            "destination_country varchar(100)",
            "encryption_status varchar(50) NOT NULL",
            "CHECK encryption_status IN ENCRYPTED_AT_REST DECRYPTED_FOR_DISCLOSURE \
             EXPORTED_PLAINTEXT EXPORTED_ENCRYPTED KEY_DESTROYED METADATA_ONLY NOT_APPLICABLE",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "INDEX idx_audit_logs_event_time btree (event_time)",
            "INDEX idx_audit_logs_user_id btree (user_id)",
            "INDEX idx_audit_logs_resource btree (resource_type, resource_id)",
            "INDEX idx_audit_logs_purpose btree (purpose)",
        ],
        own: &[
            "INDEX idx_audit_logs_memberships btree (patient_id) WHERE ((action_type)::text = ANY ((ARRAY['MEMBERSHIP_ADD'::character varying, 'MEMBERSHIP_END'::character varying])::text[]))",
            "INDEX idx_audit_logs_consents btree (patient_id) WHERE ((action_type)::text = ANY ((ARRAY['CONSENT_GRANT'::character varying, 'CONSENT_WITHDRAW'::character varying])::text[]))",
            "patient_id uuid",
            "INDEX idx_audit_logs_user_page btree (user_id, id DESC)",
            "INDEX idx_audit_logs_patient_page btree (patient_id, id DESC) WHERE (patient_id IS NOT NULL)",
            "INDEX idx_audit_logs_resource_page btree (resource_id, id DESC)",
            "leaf_salt uuid NOT NULL DEFAULT gen_random_uuid()",
            "leaf_layout smallint NOT NULL DEFAULT 1",
            "leaf_xid xid8 NOT NULL DEFAULT pg_current_xact_id()",
            "leaf_hash bytea NOT NULL DEFAULT '\\x'::bytea",
            "CHECK ((octet_length(leaf_hash) = 32))",
            "INDEX idx_audit_logs_leaf btree (leaf_xid, id)",
            "on_behalf_of uuid",
            "record_ids uuid[]",
            "CHECK (((record_ids IS NULL) OR ((NOT (array_ndims(record_ids) IS DISTINCT FROM 1)) AND (array_lower(record_ids, 1) = 1) AND (array_position(record_ids, NULL::uuid) IS NULL))))",
            "INDEX idx_audit_logs_consent_page btree (consent_reference, id DESC) WHERE (consent_reference IS NOT NULL)",
            "INDEX idx_audit_logs_patient_time btree (patient_id, event_time, id) WHERE (patient_id IS NOT NULL)",
            "INDEX idx_audit_logs_request brin (request_id uuid_minmax_multi_ops) WITH (pages_per_range='32', autosummarize='on')",
            "INDEX idx_audit_logs_record_ids gin (record_ids) WHERE (record_ids IS NOT NULL)",
            "INDEX idx_audit_logs_due btree ((((event_time AT TIME ZONE 'UTC'::text) + retention_period) AT TIME ZONE 'UTC'::text), id) WHERE ((action_type)::text <> ALL ((ARRAY['RETENTION_PURGE'::character varying, 'RETENTION_RULE_SET'::character varying, 'KEY_DESTROY'::character varying, 'DELETION_COMPLETE'::character varying, 'HOLD_PLACE'::character varying, 'HOLD_RELEASE'::character varying, 'BREAK_GLASS_REVIEW'::character varying])::text[]))",
            "INDEX idx_audit_logs_holds btree (patient_id) WHERE ((action_type)::text = 'HOLD_PLACE'::text)",
            "INDEX idx_audit_logs_emergencies btree (patient_id, user_id, event_time) WHERE ((purpose)::text = ANY ((ARRAY['BTG'::character varying, 'ETREAT'::character varying])::text[]))",
        ],
    },
    Table {
        name: "data_processing_consents",
        specified: &[
            "id uuid NOT NULL DEFAULT gen_random_uuid()",
            "PRIMARY KEY (id)",
            "user_id uuid NOT NULL",
            "FOREIGN KEY (user_id) REFERENCES users(id)",
            "purpose varchar(100) NOT NULL",
            "consent_given_at timestamptz NOT NULL",
            "consent_expires_at timestamptz",
            "consent_withdrawn_at timestamptz",
            "data_categories jsonb NOT NULL",
            "processing_activities jsonb NOT NULL",
            "third_parties jsonb",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "INDEX idx_data_processing_consents_user btree (user_id)",
            "INDEX idx_data_processing_consents_purpose btree (purpose)",
        ],
        own: &[
            "seal bytea",
            "seal_key varchar(64)",
            "INDEX idx_data_processing_consents_seal_key btree (seal_key, id)",
            "CHECK (((consent_expires_at IS NULL) OR (consent_expires_at > consent_given_at)))",
            "CHECK ((((jsonb_array_length(data_categories) >= 1) AND (jsonb_array_length(data_categories) <= 9)) AND is_set(data_categories)))",
            "CHECK ((((jsonb_array_length(processing_activities) >= 1) AND (jsonb_array_length(processing_activities) <= 7)) AND is_set(processing_activities)))",
            "CHECK (((jsonb_array_length(third_parties) <= 100) AND is_set(third_parties)))",
            "INDEX idx_data_processing_consents_open btree (user_id, COALESCE(LEAST(consent_expires_at, consent_withdrawn_at), 'infinity'::timestamp with time zone))",
            "INDEX idx_data_processing_consents_user_page btree (user_id, consent_given_at DESC, id DESC)",
            "INDEX idx_data_processing_consents_third_parties gin (third_parties jsonb_path_ops)",
        ],
    },
    Table {
        name: "data_deletion_requests",
        specified: &[
            "id uuid NOT NULL DEFAULT gen_random_uuid()",
            "PRIMARY KEY (id)",
            "user_id uuid NOT NULL",
            "FOREIGN KEY (user_id) REFERENCES users(id)",
            "request_type varchar(50) NOT NULL",
            "CHECK request_type IN ACCOUNT_ERASURE RECORD_ERASURE CATEGORY_ERASURE RESTRICTION",
            "status varchar(50) NOT NULL DEFAULT 'pending'::character varying",
            "CHECK status IN pending verified expired under_review on_hold approved \
             partially_approved rejected scheduled cancelled executing completed failed",
            "requested_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "completed_at timestamptz",
            "data_categories jsonb NOT NULL",
            "verification_method varchar(50) NOT NULL",
            "verification_details jsonb",
            "created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "INDEX idx_data_deletion_requests_user btree (user_id)",
            "INDEX idx_data_deletion_requests_status btree (status)",
        ],
        own: &[
            "CHECK ((((jsonb_array_length(data_categories) >= 0) AND (jsonb_array_length(data_categories) <= 9)) AND is_set(data_categories) AND ((jsonb_array_length(data_categories) > 0) OR (cardinality(record_ids) > 0))))",
            "CHECK verification_method IN PASSWORD WALLET",
            "record_ids uuid[] NOT NULL DEFAULT '{}'::uuid[]",
            "verification_tries smallint NOT NULL DEFAULT 0",
            "CHECK (((verification_tries >= 0) AND (verification_tries <= 5)))",
            "verified_at timestamptz",
            "scope jsonb",
            "approved_categories text[] NOT NULL DEFAULT '{}'::text[]",
            "approved_records uuid[] NOT NULL DEFAULT '{}'::uuid[]",
            "overrides_retention boolean NOT NULL DEFAULT false",
            "reason text",
            "CHECK ((char_length(reason) <= 500))",
            "sealed_reason bytea",
            "reason_key_id uuid",
            "FOREIGN KEY (reason_key_id) REFERENCES patient_keys(id)",
            "CHECK (((num_nulls(sealed_reason, reason_key_id) = ANY (ARRAY[0, 2])) AND (octet_length(sealed_reason) <= 4096)))",
            "INDEX idx_data_deletion_requests_clear_reason btree (id) WHERE (reason IS NOT NULL)",
            "INDEX idx_data_deletion_requests_reason_key_id btree (reason_key_id)",
            "approved_by uuid",
            "FOREIGN KEY (approved_by) REFERENCES users(id)",
            "approved_at timestamptz",
            "confirmed_by uuid",
            "FOREIGN KEY (confirmed_by) REFERENCES users(id)",
            "confirmed_at timestamptz",
            "CHECK (((approved_by <> user_id) AND (confirmed_by <> user_id) AND (confirmed_by <> approved_by)))",
            "scheduled_for timestamptz",
            "seal bytea",
            "seal_key varchar(64)",
            "restricts boolean DEFAULT (((status)::text = ANY ((ARRAY['approved'::character varying, 'partially_approved'::character varying, 'scheduled'::character varying, 'executing'::character varying, 'failed'::character varying])::text[])) OR (((status)::text = 'on_hold'::text) AND (scheduled_for IS NOT NULL)))",
            "INDEX idx_data_deletion_requests_due btree (updated_at, id) WHERE ((status)::text = ANY ((ARRAY['scheduled'::character varying, 'executing'::character varying, 'failed'::character varying])::text[]))",
            "INDEX idx_data_deletion_requests_queue btree (status, requested_at, id)",
            "INDEX idx_data_deletion_requests_restricting btree (user_id) WHERE restricts",
            "INDEX idx_data_deletion_requests_approved_by btree (approved_by)",
            "INDEX idx_data_deletion_requests_confirmed_by btree (confirmed_by)",
            "INDEX idx_data_deletion_requests_seal_key btree (seal_key, id)",
            "INDEX idx_data_deletion_requests_open btree (user_id, requested_at, id) WHERE ((status)::text <> ALL ((ARRAY['expired'::character varying, 'rejected'::character varying, 'cancelled'::character varying, 'completed'::character varying])::text[]))",
            "INDEX idx_data_deletion_requests_user_page btree (user_id, requested_at DESC, id DESC)",
        ],
    },
];

/// The tables that are ours. What is in them is described in `docs/data-model.md`, and no more.
const OWN_TABLES: [&str; 46] = [
    "access_codes",
    "anchor_attempts",
    "anchor_outbox",
    "attachment_chunks",
    "audit_checkpoints",
    "audit_leaves",
    "audit_nodes",
    "audit_purged_leaves",
    "audit_watermark",
    "break_glass_windows",
    "certificate_claims",
    "chain_blocks",
    "chain_cursors",
    "chain_events",
    "consent_receipts",
    "country_rules",
    "deep_checks",
    "deletion_certificates",
    "deletion_steps",
    "erasure_ledger",
    "idempotency_keys",
    "indexer_leases",
    "indexer_sweeps",
    "integrity_feed",
    "integrity_findings",
    "key_checks",
    "legal_holds",
    "maintenance_runs",
    "memberships",
    "notifications",
    "organizations",
    "patient_keys",
    "record_anchors",
    "record_closings",
    "record_sources",
    "recovery_codes",
    "registry_feed",
    "representative_proposals",
    "representatives",
    "retention_rules",
    "role_proposals",
    "second_factors",
    "signers",
    "throttle_counters",
    "wallet_challenges",
    "wallets",
];

#[tokio::test]
async fn the_database_is_what_the_specification_says_and_what_is_listed_here() {
    let world = World::start().await;
    let found = catalogue::shape(&world).await;

    for table in &TABLES {
        let prefix = format!("{}  ", table.name);
        let found: BTreeSet<_> = found
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        let listed = table.specified.iter().chain(table.own);
        let mut wanted: BTreeSet<_> = listed.clone().map(|line| in_postgres_words(line)).collect();
        // Each of our own besides: a time that the programs can read.
        wanted.extend(listed.filter_map(|line| {
            let (column, _) = line.split_once(" timestamptz")?;
            (!column.contains(' ')).then(|| bounded(column))
        }));
        let missing: Vec<_> = wanted.difference(&found).collect();
        let unknown: Vec<_> = found.difference(&wanted).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{}: not in the database: {missing:#?}; not in the list: {unknown:#?}",
            table.name
        );
    }
}

#[tokio::test]
async fn every_time_is_one_that_the_programs_can_read() {
    let world = World::start().await;
    let found = catalogue::shape(&world).await;

    let mut columns = 0;
    let mut missing = Vec::new();
    for line in &found {
        let Some((before, _)) = line.split_once(" timestamp with time zone") else {
            continue;
        };
        let Some((table, column)) = before.split_once("  ") else {
            continue;
        };
        if column.contains(' ') {
            continue;
        }
        columns += 1;
        if !found.contains(&format!("{table}  {}", bounded(column))) {
            missing.push(before);
        }
    }
    assert!(columns > 40, "{columns}");
    assert!(
        missing.is_empty(),
        "'infinity' can be written to {missing:#?}"
    );
}

#[tokio::test]
async fn every_record_hash_in_our_own_tables_is_one_that_the_programs_can_read() {
    let world = World::start().await;
    let found = catalogue::shape(&world).await;
    let hashes = ["record_hash", "predecessor_hash", "subject_hash"];
    let columns = found.iter().filter_map(|line| {
        let (table, rest) = line.split_once("  ")?;
        let (column, _) = rest.split_once(" character varying(64)")?;
        (hashes.contains(&column)).then_some((table, column))
    });
    let columns: Vec<_> = columns.collect();

    assert_eq!(columns.len(), 5, "{columns:?}");
    for (table, column) in columns {
        let check = format!("{table}  CHECK ((({column})::text ~ '^[0-9a-f]{{64}}$'::text))");
        assert!(found.contains(&check), "{check}");
    }
}

#[tokio::test]
async fn there_are_the_specifications_tables_and_our_own_and_no_others() {
    let world = World::start().await;
    let found = tables(&catalogue::shape(&world).await);

    let specified = TABLES.iter().map(|table| table.name.to_owned());
    let own = OWN_TABLES.iter().map(|&name| name.to_owned());
    assert_eq!(found, specified.chain(own).collect());
}

#[test]
fn every_column_of_our_own_is_nullable_or_has_a_default() {
    for table in &TABLES {
        for line in table.own {
            let column = !["INDEX", "FOREIGN KEY", "CHECK", "UNIQUE"]
                .iter()
                .any(|word| line.starts_with(word));
            assert!(
                !column || !line.contains("NOT NULL") || line.contains("DEFAULT"),
                "{}: what knows the specification alone could not insert a row: {line}",
                table.name
            );
        }
    }
}

/// A column that the hash leaves out could be changed, and nobody would find it.
#[tokio::test]
async fn every_column_of_the_trail_is_hashed() {
    let world = World::start().await;
    let columns = world
        .sql(
            "SELECT attname FROM pg_attribute
             WHERE attrelid = 'audit_logs'::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .await;
    let found: BTreeSet<_> = columns
        .iter()
        .map(|row| tests::text(&row["attname"]))
        .collect();

    let hashed = trail::row::COLUMNS_3.iter();
    // The hash, and the number of the layout, whose name is hashed.
    let wanted = hashed.chain(["leaf_hash", "leaf_layout"].iter());
    assert_eq!(
        found,
        wanted.map(|&name| name.to_owned()).collect(),
        "CONTRIBUTING.md says how a column is added to the trail"
    );
}

#[tokio::test]
async fn every_table_column_and_index_is_described() {
    let world = World::start().await;
    let found = catalogue::shape(&world).await;
    let root = dev::repository::root().expect("the tests run inside a clone");
    let manual = fs::read_to_string(root.join("docs/data-model.md")).expect("there is a manual");

    let mut missing = Vec::new();
    for table in tables(&found) {
        let Some(section) = section(&manual, &table) else {
            missing.push(format!("### `{table}`"));
            continue;
        };
        let prefix = format!("{table}  ");
        let of_table = found.iter().filter_map(|line| line.strip_prefix(&prefix));
        for line in of_table {
            let mut words = line.split(' ');
            let name = match words.next() {
                Some("INDEX") => words.next(),
                Some("PRIMARY" | "FOREIGN" | "UNIQUE" | "CHECK") | None => None,
                column => column,
            };
            if let Some(name) = name.filter(|name| !section.contains(&format!("`{name}`"))) {
                missing.push(format!("{table}: `{name}`"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "docs/data-model.md says nothing of {missing:#?}"
    );
}

fn tables(shape: &catalogue::Catalogue) -> BTreeSet<String> {
    let names = shape.iter().filter_map(|line| line.split("  ").next());
    names.map(str::to_owned).collect()
}

/// What stands under a table's heading, down to the next heading.
fn section<'a>(manual: &'a str, table: &str) -> Option<&'a str> {
    let (_, rest) = manual.split_once(&format!("\n### `{table}`\n"))?;
    let end = ["\n## ", "\n### "]
        .iter()
        .filter_map(|heading| rest.find(heading));
    Some(&rest[..end.min().unwrap_or(rest.len())])
}

/// What keeps a column to times that the programs can read.
fn bounded(column: &str) -> String {
    format!(
        "CHECK ((({column} > '-infinity'::timestamp with time zone) AND ({column} < '262143-01-01 00:00:00+00'::timestamp with time zone)))"
    )
}

/// The spelling that the catalogue has for what the specification writes.
fn in_postgres_words(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    if let ["CHECK", column, "IN", values @ ..] = words.as_slice() {
        let values = values
            .iter()
            .map(|value| format!("'{value}'::character varying"));
        let values = values.collect::<Vec<_>>().join(", ");
        return format!("CHECK ((({column})::text = ANY ((ARRAY[{values}])::text[])))");
    }
    line.replace(" varchar(", " character varying(")
        .replace(" timestamptz", " timestamp with time zone")
}
