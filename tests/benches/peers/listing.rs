//! The limit of a page: a server written by hand that gives the same JSON from one statement, but for
//! the tag of a cursor, which binds it to its list.
//!
//! `/page` reads and nothing else. `/audited` does in its one statement what a page of ours has to
//! do besides: a row in the audit trail for the search and one for each record that it shows. Neither
//! looks at a token or a session; both ask whether the doctor may see the patient's records.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use tests::World;
use tokio::net::TcpListener;

const SHOWN: usize = 20;

const PAGE: &str = r#"
    SELECT record.id, record.patient_id, record.record_type, record.version, record.data_hash,
           record.created_at, patient.username AS patient, author.username AS author, anchor.state
    FROM medical_records AS record
    JOIN users AS patient ON patient.id = record.patient_id
    JOIN users AS author ON author.id = record.author_id
    JOIN record_anchors AS anchor ON anchor.record_id = record.id
    WHERE record.patient_id = $1
      AND record.erased_at IS NULL
      AND EXISTS (
          SELECT FROM data_processing_consents AS consent
          WHERE consent.user_id = record.patient_id
            AND consent.purpose = 'TREAT'
            AND consent.consent_withdrawn_at IS NULL
            AND consent.data_categories ?| ARRAY['ALL_RECORDS', record.record_type]
            AND consent.processing_activities ? 'SEARCH'
            AND consent.third_parties @> '[{"kind": "role", "role": "DOCTOR"}]'
      )
    ORDER BY record.created_at DESC, record.id DESC
    LIMIT 21"#;

struct Peer {
    pool: PgPool,
    page: String,
    audited: String,
}

/// Serves until the benchmark ends, as this doctor, on the database of this world.
pub(crate) async fn serve(world: &World, doctor: &str) -> SocketAddr {
    let url = world.foundation.url_of("meditrustal_api");
    let pool = PgPoolOptions::new()
        // Four connections to a processor served a hand-written handler best.
        .max_connections(8)
        .test_before_acquire(false)
        .connect_lazy(&url.expect("there is such a role"))
        .expect("the URL is one");
    let columns = "id, record_type, version, data_hash, created_at, patient, author, state";
    let order = "ORDER BY created_at DESC, id DESC";
    let trail = format!(
        "INSERT INTO audit_logs (
             user_id, action_type, resource_type, resource_id, new_value, ip_address, user_agent,
             request_id, purpose, retention_period, data_classification, encryption_status, patient_id, record_ids
         )
         SELECT '{doctor}'::uuid, 'RECORD_SEARCH', 'MEDICAL_RECORD', request, '{{\"count\": 20}}'::jsonb,
                '127.0.0.1'::inet, 'meditrustal-bench', request, 'TREAT', '1095 days'::interval, 'MEDICAL',
                'METADATA_ONLY', $1, ARRAY(SELECT id FROM page {order} LIMIT 20)
         FROM (SELECT gen_random_uuid() AS request) AS one"
    );
    let peer = Peer {
        pool,
        page: format!("SELECT {columns} FROM ({PAGE}) AS page {order}"),
        audited: format!(
            "WITH page AS MATERIALIZED ({PAGE}), trail AS ({trail})
             SELECT {columns} FROM page {order}"
        ),
    };
    let router = Router::new()
        .route("/page", post(page))
        .route("/audited", post(audited))
        .with_state(Arc::new(peer));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn page(State(peer): State<Arc<Peer>>, body: Bytes) -> Response {
    answer(peer.answer(&peer.page, &body).await)
}

async fn audited(State(peer): State<Arc<Peer>>, body: Bytes) -> Response {
    answer(peer.answer(&peer.audited, &body).await)
}

fn answer(body: Option<String>) -> Response {
    let media = "application/json; charset=utf-8";
    match body {
        Some(body) => ([(header::CONTENT_TYPE, media)], body).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

type Row = (
    Uuid,
    String,
    i32,
    String,
    DateTime<Utc>,
    String,
    String,
    String,
);

impl Peer {
    async fn answer(&self, statement: &str, body: &[u8]) -> Option<String> {
        let asked: Value = serde_json::from_slice(body).ok()?;
        let patient: Uuid = asked["variables"]["patientId"].as_str()?.parse().ok()?;
        // Built from constants; prepared once for each connection.
        let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(patient)
            .fetch_all(&self.pool)
            .await
            .ok()?;
        let mut text = String::from(r#"{"data":{"medicalRecords":{"nodes":["#);
        for (nth, row) in rows.iter().take(SHOWN).enumerate() {
            let (id, kind, version, hash, created_at, patient, author, state) = row;
            let comma = if nth == 0 { "" } else { "," };
            let (patient, author) = (json!(patient), json!(author));
            let created_at = created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
            write!(
                text,
                r#"{comma}{{"id":"{id}","recordType":"{kind}","version":{version},"dataHash":"{hash}","createdAt":"{created_at}","patient":{{"username":{patient}}},"author":{{"username":{author}}},"anchor":{{"state":"{state}"}}}}"#
            )
            .ok()?;
        }
        let more = rows.len() > SHOWN;
        write!(text, r#"],"pageInfo":{{"hasNextPage":{more}}}}}}}}}"#).ok()?;
        Some(text)
    }
}
