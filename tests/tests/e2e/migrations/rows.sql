-- A row of each table, as the program writes it that the table was made for: with the columns that it had then. Later migrations
-- must take it, too, as the program of before still runs. Each statement ends with a semicolon at the end of a line; its table is the
-- last one that it inserts into. {hash}, {address} and {number} are other ones each time.

INSERT INTO users (email, username, hashed_password, role)
VALUES ({hash} || '@example.org', left({hash}, 50), '!', 'PATIENT');

INSERT INTO sessions (user_id, refresh_token, expires_at)
VALUES ('00000000-0000-7000-8000-000000000001', {hash}, now() + INTERVAL '1 hour');

INSERT INTO patient_keys (patient_id, master_key_id, destroyed_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'first', now());

INSERT INTO medical_records (patient_id, blockchain_record_id, record_type, record_metadata, encrypted_data, data_hash)
VALUES ('00000000-0000-7000-8000-000000000001', '0x' || {hash}, 'LAB_RESULT', '{"status": "final"}', '\x00', {hash});

INSERT INTO audit_logs (
    user_id, action_type, resource_type, resource_id, new_value, ip_address, request_id, purpose, retention_period,
    data_classification, encryption_status
)
VALUES (
    '00000000-0000-7000-8000-000000000001', 'RECORD_READ', 'MEDICAL_RECORD', gen_random_uuid(), '{"version": 1}', '::1',
    gen_random_uuid(), 'TREAT', INTERVAL '10 years', 'MEDICAL', 'NOT_APPLICABLE'
);

INSERT INTO data_processing_consents (user_id, purpose, consent_given_at, data_categories, processing_activities)
VALUES ('00000000-0000-7000-8000-000000000001', 'TREAT', now(), '["LAB_RESULT"]', '["READ"]');

INSERT INTO data_deletion_requests (user_id, request_type, data_categories, verification_method)
VALUES ('00000000-0000-7000-8000-000000000001', 'CATEGORY_ERASURE', '["LAB_RESULT"]', 'PASSWORD');

INSERT INTO signers (chain_id, address, next_nonce)
VALUES (31337, {address}, 0);

INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, tx_hash)
VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'LAB_RESULT', {hash}, 31337, '0x' || {hash});

WITH anchor AS (
    INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, tx_hash)
    VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'LAB_RESULT', {hash}, 31337, '0x' || {hash})
    RETURNING record_id
)
INSERT INTO anchor_outbox (record_id, chain_id, signer, nonce)
SELECT record_id, 31337, {address}, 0 FROM anchor;

INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
SELECT '0x' || {hash}, (SELECT max(id) FROM anchor_outbox), 1 + ({number} % 2000000000)::integer, '\x00', 1;

INSERT INTO chain_cursors (
    chain_id, registry, block_number, block_hash, sequence, head, chain_head, finalized_block, fence
)
VALUES (31337, {address}, 1, '0x' || {hash}, 0, left({hash}, 52), 1, 1, 1);

INSERT INTO chain_blocks (chain_id, number, hash, parent_hash, sequence, head)
VALUES (31337, {number}, '0x' || {hash}, '0x' || {hash}, 0, left({hash}, 52));

INSERT INTO chain_events (
    chain_id, registry, block_number, block_hash, tx_hash, log_index, kind, subject_hash, actor, sequence, head, payload
)
VALUES (
    31337, {address}, 1, '0x' || {hash}, '0x' || {hash}, 0, 'ANCHORED', {hash}, {address}, 1, left({hash}, 52), '{}'
);

INSERT INTO integrity_findings (kind, record_id, details)
VALUES ('MISSING_ON_CHAIN', gen_random_uuid(), '{}');

INSERT INTO integrity_feed (kind, record_id)
VALUES ('ANCHOR_PENDING', gen_random_uuid());

INSERT INTO idempotency_keys (user_id, operation, key, request_hash, resource_id)
VALUES ('00000000-0000-7000-8000-000000000001', 'createMedicalRecord', {hash}, {hash}, gen_random_uuid());

INSERT INTO role_proposals (user_id, role, proposed_by, expires_at, closed_at)
VALUES (
    '00000000-0000-7000-8000-000000000001', 'DOCTOR', '00000000-0000-7000-8000-000000000002', now() + INTERVAL '1 hour', now()
);

INSERT INTO throttle_counters (scope, subject, due_at)
VALUES ('PAIR', {hash}, now());

INSERT INTO wallet_challenges (nonce_hash, purpose, address, expires_at)
VALUES ({hash}, 'LOG_IN', {address}, now() + INTERVAL '1 hour');

INSERT INTO wallets (user_id, address, chain_id, proven_by, unlinked_at)
VALUES ('00000000-0000-7000-8000-000000000001', {address}, 31337, 'KEY', now());

WITH account AS (
    INSERT INTO users (email, username, hashed_password, role)
    VALUES ({hash} || '@example.org', left({hash}, 50), '!', 'PATIENT')
    RETURNING id
)
INSERT INTO second_factors (user_id, sealed_secret, master_key_id)
SELECT id, '\x00', 'first' FROM account;

INSERT INTO recovery_codes (user_id, code_hash)
SELECT user_id, {hash} FROM second_factors LIMIT 1;

INSERT INTO deep_checks (id)
VALUES (TRUE) ON CONFLICT (id) DO UPDATE SET position = gen_random_uuid();

INSERT INTO key_checks (kind, key_id, check_value)
VALUES ('MASTER', {hash}, decode({hash}, 'hex'));

WITH anchor AS (
    INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, tx_hash)
    VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'LAB_RESULT', {hash}, 31337, '0x' || {hash})
    RETURNING record_id
)
INSERT INTO record_closings (record_id, status, reason)
SELECT record_id, 'REVOKED', 1 FROM anchor;

INSERT INTO audit_leaves (position, audit_id, leaf_hash)
VALUES ({number}, {number}, decode({hash}, 'hex'));

INSERT INTO audit_nodes (level, position, hash)
VALUES (4, {number}, decode({hash}, 'hex'));

INSERT INTO audit_watermark (xid, audit_id, server)
VALUES (pg_current_xact_id(), 0, 0) ON CONFLICT (id) DO UPDATE SET audit_id = {number};

INSERT INTO audit_checkpoints (chain_id, registry, epoch, tree_size, root, note, signer, nonce, tx_hash, raw_transaction)
VALUES (31337, {address}, 1, 1, {hash}, '', {address}, 0, '0x' || {hash}, '\x00');

INSERT INTO break_glass_windows (id, patient_id, doctor_id, purpose, opened_at, expires_at, patient_key_id, sealed_reason)
SELECT
    gen_random_uuid(), '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'BTG', now(),
    now() + INTERVAL '1 hour', id, '\x00'
FROM patient_keys LIMIT 1;

INSERT INTO notifications (id, user_id, kind, actor_id, resource_id, at)
VALUES (
    gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'BREAK_GLASS_OPENED', '00000000-0000-7000-8000-000000000002',
    gen_random_uuid(), now()
);

INSERT INTO legal_holds (patient_id, data_categories, reason, placed_by, placed_at)
VALUES (
    '00000000-0000-7000-8000-000000000001', '["LAB_RESULT"]', 'a case', '00000000-0000-7000-8000-000000000002', now()
);

WITH request AS (
    INSERT INTO data_deletion_requests (user_id, request_type, data_categories, verification_method)
    VALUES ('00000000-0000-7000-8000-000000000001', 'CATEGORY_ERASURE', '["LAB_RESULT"]', 'PASSWORD')
    RETURNING id
)
INSERT INTO deletion_steps (request_id, step, done_at)
SELECT id, 'BEGIN', now() FROM request;

WITH request AS (
    INSERT INTO data_deletion_requests (user_id, request_type, data_categories, verification_method)
    VALUES ('00000000-0000-7000-8000-000000000001', 'CATEGORY_ERASURE', '["LAB_RESULT"]', 'PASSWORD')
    RETURNING id
)
INSERT INTO deletion_certificates (request_id, document, sha256, issued_at)
SELECT id, '\x00', {hash}, now() FROM request;

WITH request AS (
    INSERT INTO data_deletion_requests (user_id, request_type, data_categories, verification_method)
    VALUES ('00000000-0000-7000-8000-000000000001', 'ACCOUNT_ERASURE', '["ALL_RECORDS"]', 'PASSWORD')
    RETURNING id
)
INSERT INTO certificate_claims (request_id, code_hash)
SELECT id, {hash} FROM request;

INSERT INTO access_codes (
    id, user_id, code_hash, purpose, data_categories, processing_activities, created_at, expires_at
)
VALUES (
    gen_random_uuid(), '00000000-0000-7000-8000-000000000001', decode({hash}, 'hex'), 'TREAT', '["LAB_RESULT"]', '["READ"]',
    now(), now() + INTERVAL '1 hour'
);

INSERT INTO country_rules (country, is_adequate, has_safeguards, needs_consent)
VALUES ('DE', TRUE, FALSE, FALSE) ON CONFLICT (country) DO UPDATE SET updated_at = now();

INSERT INTO organizations (id, name, country)
VALUES (gen_random_uuid(), {hash}, 'DE');

INSERT INTO memberships (id, user_id, organization_id, valid_from)
SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000001', id, now() FROM organizations LIMIT 1;

WITH consent AS (
    INSERT INTO data_processing_consents (user_id, purpose, consent_given_at, data_categories, processing_activities)
    VALUES ('00000000-0000-7000-8000-000000000001', 'TREAT', now(), '["LAB_RESULT"]', '["READ"]')
    RETURNING id
)
INSERT INTO consent_receipts (id, consent_id, user_id, kind, text, details_hash, registry_end, made_at)
SELECT gen_random_uuid(), id, '00000000-0000-7000-8000-000000000001', 'GRANT', '{}', {hash}, 0, now() FROM consent;

INSERT INTO erasure_ledger (position, entry_id, entry, hash, written_at)
VALUES (1 + {number}, gen_random_uuid(), '{}', {hash}, now());

INSERT INTO representatives (
    id, patient_id, representative_id, relationship, activities, valid_from, valid_until, appointed_at
)
VALUES (
    gen_random_uuid(), '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'CARER',
    '["READ_RECORDS"]', now(), now() + INTERVAL '1 hour', now()
);

INSERT INTO representative_proposals (
    id, patient_id, representative_id, relationship, activities, valid_until, reason, proposed_by, proposed_at, expires_at
)
VALUES (
    gen_random_uuid(), '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'CARER',
    '["READ_RECORDS"]', now() + INTERVAL '1 hour', 'a case', '00000000-0000-7000-8000-000000000003', now(),
    now() + INTERVAL '1 hour'
);

INSERT INTO retention_rules (record_type, years)
VALUES ('LAB_RESULT', 10) ON CONFLICT (record_type) DO UPDATE SET years = 10;

INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
VALUES ({number}, {number}, gen_random_uuid());

INSERT INTO maintenance_runs (task, object_name, started_at)
VALUES ('VACUUM', left({hash}, 63), now());

WITH record AS (
    INSERT INTO medical_records (patient_id, blockchain_record_id, record_type, encrypted_data, data_hash)
    VALUES ('00000000-0000-7000-8000-000000000001', '0x' || {hash}, 'LAB_RESULT', '\x00', {hash})
    RETURNING id, patient_id
)
INSERT INTO record_sources (record_id, patient_id, source_token, version, resource_type, content_token, mac)
SELECT id, patient_id, decode({hash}, 'hex'), 1, 'Observation', decode({hash}, 'hex'), decode({hash}, 'hex') FROM record;

INSERT INTO indexer_leases (chain_id, registry, holder, backend_pid, backend_started_at, taken_at, renewed_at)
VALUES (31337, {address}, 'a machine', 1, now(), now(), now());

INSERT INTO indexer_sweeps (chain_id, registry, after_record, after_event, updated_at)
VALUES (31337, {address}, gen_random_uuid(), 0, now());

WITH record AS (
    INSERT INTO medical_records (patient_id, blockchain_record_id, record_type, encrypted_data, data_hash)
    VALUES ('00000000-0000-7000-8000-000000000001', '0x' || {hash}, 'IMAGING', '\x00', {hash})
    RETURNING id
)
INSERT INTO attachment_chunks (record_id, place, number, sealed)
SELECT id, 1, 0, decode(repeat('00', 30), 'hex') FROM record;

INSERT INTO registry_feed (chain_id, registry, event_id, is_undone)
SELECT 31337, {address}, min(id), FALSE FROM chain_events;
