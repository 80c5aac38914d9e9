//! Many records of many patients, written by SQL: what is sealed in them is noise, so that nobody can open them.

use crate::World;

/// How many records a patient has.
const EACH: u64 = 100;

/// Writes records until there are `to` of them, the newest last, and lets PostgreSQL count them.
pub async fn fill(world: &World, author: &str, from: u64, to: u64) {
    let (first, last) = (from / EACH + 1, to / EACH);
    world
        .executes(&format!(
            "SET synchronous_commit = off;
             INSERT INTO users (id, email, username, hashed_password, role)
             SELECT uuidv7(), 'crowd.' || nth || '@meditrustal.example', 'crowd.' || nth, '!', 'PATIENT'
             FROM generate_series({first}, {last}) AS nth;
             INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, data_categories, processing_activities, third_parties
             )
             SELECT id, 'TREAT', CURRENT_TIMESTAMP, '[\"ALL_RECORDS\"]', '[\"READ\", \"SEARCH\"]',
                    '[{{\"kind\": \"role\", \"role\": \"DOCTOR\"}}]'
             FROM users
             WHERE username LIKE 'crowd.%' AND substr(username, 7)::int BETWEEN {first} AND {last};
             INSERT INTO medical_records (
                 id, patient_id, author_id, blockchain_record_id, record_type, record_metadata,
                 encrypted_data, data_hash, created_at
             )
             SELECT uuidv7(), patient.id, '{author}', '0x' || lpad(to_hex(nth), 64, '0'),
                    (ARRAY['DIAGNOSIS', 'LAB_RESULT', 'PRESCRIPTION', 'TREATMENT_PLAN', 'MEDICAL_HISTORY',
                           'VITAL_SIGNS', 'IMAGING', 'VACCINATION'])[1 + (nth + nth / 8) % 8],
                    '{{\"status\": \"final\"}}', decode(md5(nth::text), 'hex'), lpad(to_hex(nth), 64, '0'),
                    CURRENT_TIMESTAMP - make_interval(secs => {to} - nth)
             FROM generate_series({from} + 1, {to}) AS nth
             JOIN users AS patient ON patient.username = 'crowd.' || (1 + (nth - 1) / {EACH})
             ORDER BY nth;
             INSERT INTO record_anchors (
                 record_id, patient_id, record_type, record_hash, chain_id, state, tx_hash
             )
             -- Of another chain: the indexer would miss them on ours.
             SELECT id, patient_id, record_type, data_hash, 1, 'FINALIZED', blockchain_record_id
             FROM medical_records WHERE blockchain_record_id > '0x' || lpad(to_hex({from}), 64, '0')
               AND blockchain_record_id <= '0x' || lpad(to_hex({to}), 64, '0')
             ORDER BY id;
             RESET synchronous_commit"
        ))
        .await;
    world.seals().await;
    for table in [
        "users",
        "data_processing_consents",
        "medical_records",
        "record_anchors",
    ] {
        world.executes(&format!("VACUUM ANALYZE {table}")).await;
    }
    world.executes("CHECKPOINT").await;
}
