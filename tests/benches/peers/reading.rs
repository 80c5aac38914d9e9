//! The limit of reading: a server written by hand that opens one record with a row in the audit
//! trail, and does nothing else. No GraphQL, nobody's token, no consents, no comparison with hash or
//! anchor; one statement to find it, one to write the row, and a commit for each.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::ids::{PatientKeyId, RecordId, UserId};
use domain::stored::StoredKey;
use serde_json::Value;
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::types::Uuid;
use sqlx::{PgPool, Row};
use tests::World;
use tokio::net::TcpListener;
use vault::envelope::Binding;
use vault::keyring::Keyring;

struct Peer {
    pool: PgPool,
    keyring: Keyring,
    reader: Uuid,
}

/// Serves until the benchmark ends, as this reader, on the database of this world.
pub(crate) async fn serve(world: &World, reader: &str) -> SocketAddr {
    let url = world.foundation.url_of("meditrustal_api");
    let pool = PgPoolOptions::new()
        // Four connections to a processor served a hand-written handler best.
        .max_connections(8)
        .test_before_acquire(false)
        .connect_lazy(&url.expect("there is such a role"))
        .expect("the URL is one");
    let keys = world.foundation.dir().join("keys/master-keys.json");
    let peer = Peer {
        pool,
        keyring: Keyring::load(&keys).expect("the keys are there"),
        reader: reader.parse().expect("an id"),
    };
    let router = Router::new()
        .route("/read", post(read))
        .with_state(Arc::new(peer));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn read(State(peer): State<Arc<Peer>>, body: Bytes) -> Response {
    match document(&peer, &body).await {
        Some(document) => {
            let body = [
                br#"{"data":{"medicalRecord":{"document":"#.as_slice(),
                &document,
                b"}}}",
            ]
            .concat();
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn document(peer: &Peer, body: &[u8]) -> Option<Vec<u8>> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let id: Uuid = asked["variables"]["id"].as_str()?.parse().ok()?;
    let mut conn = peer.pool.acquire().await.ok()?;
    let row = sqlx::query(
        "SELECT record.patient_id, record.author_id, record.record_type, record.version,
                record.predecessor_id, record.withdrawn, record.created_at, record.record_metadata, record.missing_elements,
                record.effective_at, record.code_tokens, record.encrypted_data, record.patient_key_id, key.wrapped_key, key.master_key_id,
                key.created_at AS key_created_at
         FROM medical_records AS record JOIN patient_keys AS key ON key.id = record.patient_key_id
         WHERE record.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *conn)
    .await
    .ok()??;
    let version: i32 = row.try_get("version").ok()?;
    let patient: Uuid = row.try_get("patient_id").ok()?;
    sqlx::query(
        "INSERT INTO audit_logs (
             user_id, action_type, resource_type, resource_id, new_value, ip_address, user_agent,
             request_id, purpose, retention_period, data_classification, encryption_status, patient_id
         )
         VALUES ($1, 'RECORD_READ', 'MEDICAL_RECORD', $2, $3, '127.0.0.1', 'meditrustal-bench',
                 gen_random_uuid(), 'TREAT', '1095 days', 'MEDICAL', 'DECRYPTED_FOR_DISCLOSURE', $4)",
    )
    .bind(peer.reader)
    .bind(id)
    .bind(serde_json::json!({ "version": version }))
    .bind(patient)
    .execute(&mut *conn)
    .await
    .ok()?;
    drop(conn);
    open(&peer.keyring, RecordId(id), UserId(patient), &row).await
}

async fn open(
    keyring: &Keyring,
    record: RecordId,
    patient: UserId,
    row: &PgRow,
) -> Option<Vec<u8>> {
    let id = |column: &str| row.try_get::<Option<Uuid>, _>(column).ok().flatten();
    let json = |column: &str| row.try_get::<Option<Value>, _>(column).ok().flatten();
    let (metadata, missing) = (json("record_metadata"), json("missing_elements"));
    let tokens: Option<Vec<Vec<u8>>> = row.try_get("code_tokens").ok()?;
    let key = PatientKeyId(id("patient_key_id")?);
    let stored = StoredKey {
        id: key,
        patient,
        wrapped_key: row.try_get("wrapped_key").ok()?,
        master_key_id: row.try_get("master_key_id").ok()?,
        created_at: row.try_get("key_created_at").ok()?,
        destroyed_at: None,
    };
    let binding = Binding {
        record,
        patient,
        author: id("author_id").map(UserId),
        record_type: row.try_get::<&str, _>("record_type").ok()?.parse().ok()?,
        version: u32::try_from(row.try_get::<i32, _>("version").ok()?).ok()?,
        predecessor: id("predecessor_id").map(RecordId),
        is_withdrawn: row.try_get("withdrawn").ok()?,
        key,
        created_at: row.try_get("created_at").ok()?,
        effective_at: row.try_get("effective_at").ok()?,
        code_tokens: tokens.as_deref(),
        metadata: metadata.as_ref(),
        missing: missing.as_ref(),
    };
    let sealed: &[u8] = row.try_get("encrypted_data").ok()?;
    let patient_key = keyring.unwrap(&[&stored]).await.ok()?.pop()?.ok()?;
    Some(patient_key.open(&binding, sealed).ok()?.to_vec())
}
