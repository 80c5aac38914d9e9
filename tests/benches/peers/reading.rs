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
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Uuid;
use tests::World;
use tokio::net::TcpListener;
use vault::envelope::Binding;
use vault::keyring::{Keyring, WrappedKey};

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

type Row = (Uuid, Vec<u8>, Uuid, i32, String, Vec<u8>, String);

async fn document(peer: &Peer, body: &[u8]) -> Option<Vec<u8>> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let id: Uuid = asked["variables"]["id"].as_str()?.parse().ok()?;
    let mut conn = peer.pool.acquire().await.ok()?;
    let (patient, sealed, key, version, kind, wrapped, master): Row = sqlx::query_as(
        "SELECT record.patient_id, record.encrypted_data, record.patient_key_id, record.version,
                record.record_type, key.wrapped_key, key.master_key_id
         FROM medical_records AS record JOIN patient_keys AS key ON key.id = record.patient_key_id
         WHERE record.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *conn)
    .await
    .ok()??;
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
    let (patient, key) = (UserId(patient), PatientKeyId(key));
    let wrapped = WrappedKey {
        bytes: wrapped,
        master_key_id: master,
    };
    let patient_key = peer.keyring.unwrap_patient_key(key, patient, &wrapped);
    let binding = Binding {
        record: RecordId(id),
        patient,
        record_type: kind.parse().ok()?,
        version: u32::try_from(version).ok()?,
        key,
    };
    let opened = patient_key.ok()?.open(&binding, &sealed).ok()?;
    Some(opened.to_vec())
}
