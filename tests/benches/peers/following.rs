//! The limit of a backfill: a program written by hand that reads the same logs from the same node, four ranges at a time, and writes
//! the same rows, one statement and one commit for each range.
//!
//! It believes what it reads: it holds no log against a block, a receipt, or the one before, and looks for nothing that does not
//! fit together.

use std::time::Instant;

use domain::audit::{AuditAction, Classification, EncryptionStatus, ResourceType};
use domain::purpose::Purpose;
use domain::users;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use sqlx::types::Uuid;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::{Builder, Runtime};

/// The name of its threads.
pub(crate) const THREADS: &str = "peer";
/// Requests in flight, as the indexer has them.
const IN_FLIGHT: usize = 4;

/// Everything that an event changes, but for the cursor.
const APPLY: &str = r#"
    WITH e AS (
        SELECT *
        FROM UNNEST(
            $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::text[]
        ) AS e(block_number, block_hash, tx_hash, log_index, subject_hash, actor, sequence, head)
    ), events AS (
        INSERT INTO chain_events (
            chain_id, registry, block_number, block_hash, tx_hash, log_index, kind, subject_hash, actor, sequence, head,
            payload
        )
        SELECT $1, $2, block_number, block_hash, tx_hash, log_index, 'RECORD_ANCHORED', subject_hash, actor, sequence,
               head, '{"predecessor": null}'::jsonb
        FROM e
        ORDER BY sequence
    ), moved AS (
        UPDATE record_anchors AS anchor
        SET state = 'CONFIRMED',
            tx_hash = e.tx_hash,
            registrar = e.actor,
            block_number = e.block_number,
            block_hash = e.block_hash,
            log_index = e.log_index,
            sequence = e.sequence,
            confirmed_at = CURRENT_TIMESTAMP
        FROM e
        WHERE anchor.chain_id = $1 AND anchor.record_hash = e.subject_hash
        RETURNING anchor.record_id, anchor.patient_id, anchor.record_type, anchor.record_hash, anchor.tx_hash,
                  anchor.block_number, anchor.block_hash, anchor.log_index, anchor.sequence
    ), mined AS (
        UPDATE anchor_outbox AS outbox
        SET state = 'MINED'
        FROM moved
        WHERE outbox.record_id = moved.record_id AND outbox.kind = 'ANCHOR'
    ), trail AS (
        INSERT INTO audit_logs (
            user_id, action_type, resource_type, resource_id, old_value, new_value, ip_address, request_id, purpose,
            retention_period, data_classification, encryption_status, patient_id
        )
        SELECT $11, $12, $13, record_id, jsonb_build_object('state', 'SUBMITTED', 'txHash', tx_hash),
               jsonb_build_object('state', 'CONFIRMED', 'txHash', tx_hash, 'blockNumber', block_number), '::1'::inet, $14,
               $15, make_interval(days => $16), $17, $18, patient_id
        FROM moved
        ORDER BY sequence
    )
    INSERT INTO integrity_feed (
        kind, record_id, patient_id, record_type, record_hash, tx_hash, block_number, block_hash, log_index, sequence, state
    )
    SELECT 'ANCHOR_CONFIRMED', record_id, patient_id, record_type, record_hash, tx_hash, block_number, block_hash,
           log_index, sequence, 'CONFIRMED'
    FROM moved
    ORDER BY sequence"#;

/// Where it stands, in the same transaction.
const MOVE: &str = "
    INSERT INTO chain_cursors (
        chain_id, registry, block_number, block_hash, sequence, head, chain_head, finalized_block, fence
    )
    VALUES ($1, $2, $3, $4, $5, $6, $3, $3, 1)
    ON CONFLICT (chain_id, registry) DO UPDATE
    SET block_number = EXCLUDED.block_number,
        block_hash = EXCLUDED.block_hash,
        sequence = EXCLUDED.sequence,
        head = EXCLUDED.head,
        chain_head = EXCLUDED.chain_head,
        updated_at = CURRENT_TIMESTAMP";

/// What it is to follow.
#[derive(Clone)]
pub(crate) struct Task {
    /// Where the node answers.
    pub(crate) node: String,
    /// The database, under the indexer's role.
    pub(crate) database: String,
    pub(crate) chain_id: u64,
    pub(crate) registry: String,
    /// The newest block.
    pub(crate) last: u64,
    /// How many blocks it asks for at once.
    pub(crate) range: u64,
}

/// It, on threads of its own.
pub(crate) struct Peer(Option<Runtime>);

impl Peer {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(THREADS)
            .enable_all()
            .build();
        Self(Some(runtime.expect("there are threads")))
    }

    /// Follows to the end; answers how many events there were, and the seconds that it took.
    pub(crate) async fn follows(&self, task: Task) -> (usize, f64) {
        let runtime = self.0.as_ref().expect("it runs until it is dropped");
        let followed = runtime.spawn(async move {
            let began = Instant::now();
            let count = follow(&task).await;
            (count, began.elapsed().as_secs_f64())
        });
        followed.await.expect("the peer does not panic")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Vec<RawEvent<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent<'a> {
    #[serde(borrow)]
    topics: [&'a str; 4],
    data: &'a str,
    block_number: &'a str,
    block_hash: &'a str,
    transaction_hash: &'a str,
    log_index: &'a str,
}

/// Events by column, as PostgreSQL takes them.
#[derive(Default)]
struct Columns {
    blocks: Vec<i64>,
    block_hashes: Vec<String>,
    transactions: Vec<String>,
    places: Vec<i64>,
    subjects: Vec<String>,
    actors: Vec<String>,
    sequences: Vec<i64>,
    heads: Vec<String>,
}

fn quantity(text: &str) -> i64 {
    i64::from_str_radix(&text[2..], 16).expect("a number")
}

impl Columns {
    /// The signature, the record, what it replaces, and the registrar; then the number and the head.
    fn push(&mut self, log: &RawEvent<'_>) {
        let [_, record, _, registrar] = log.topics;
        self.blocks.push(quantity(log.block_number));
        self.block_hashes.push(log.block_hash.to_owned());
        self.transactions.push(log.transaction_hash.to_owned());
        self.places.push(quantity(log.log_index));
        self.subjects.push(record[2..].to_owned());
        self.actors.push(format!("0x{}", &registrar[26..]));
        self.sequences.push(quantity(&log.data[..66]));
        self.heads.push(format!("0x{}", &log.data[66..116]));
    }
}

async fn follow(task: &Task) -> usize {
    let http = dev::http::client();
    let mut database = PgConnection::connect(&task.database)
        .await
        .expect("the database answers");
    let step = usize::try_from(task.range).unwrap_or(usize::MAX);
    let ranges = stream::iter((0..=task.last).step_by(step))
        .map(|from| tokio::spawn(read(http.clone(), task.clone(), from)))
        .buffered(IN_FLIGHT);
    let mut ranges = std::pin::pin!(ranges);
    let mut count = 0;
    while let Some(read) = ranges.next().await {
        let columns = read.expect("reading does not panic");
        if !columns.blocks.is_empty() {
            count += columns.blocks.len();
            apply(&mut database, task, &columns).await;
        }
    }
    count
}

async fn read(http: reqwest::Client, task: Task, from: u64) -> Columns {
    let to = task.last.min(from + task.range - 1);
    let filter = json!({
        "address": task.registry,
        "fromBlock": format!("{from:#x}"),
        "toBlock": format!("{to:#x}"),
    });
    let question =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter] });
    let sent = http.post(&task.node).json(&question).send().await;
    let answer = sent.expect("the node answers").bytes().await;
    let answer = answer.expect("the node answers");
    let answer: Answer<'_> = serde_json::from_slice(&answer).expect("these are logs");
    let mut columns = Columns::default();
    for log in &answer.result {
        columns.push(log);
    }
    columns
}

async fn apply(database: &mut PgConnection, task: &Task, columns: &Columns) {
    let chain_id = i64::try_from(task.chain_id).expect("it is small");
    let days = AuditAction::RecordAnchor.retention().num_days();
    let mut tx = database.begin().await.expect("a transaction");
    sqlx::query(APPLY)
        .bind(chain_id)
        .bind(&task.registry)
        .bind(&columns.blocks)
        .bind(&columns.block_hashes)
        .bind(&columns.transactions)
        .bind(&columns.places)
        .bind(&columns.subjects)
        .bind(&columns.actors)
        .bind(&columns.sequences)
        .bind(&columns.heads)
        .bind(users::INDEXER.0)
        .bind(AuditAction::RecordAnchor.as_str())
        .bind(ResourceType::MedicalRecord.as_str())
        .bind(Uuid::now_v7())
        .bind(Purpose::SystemAdministration.as_str())
        .bind(i32::try_from(days).expect("some years"))
        .bind(Classification::Internal.as_str())
        .bind(EncryptionStatus::MetadataOnly.as_str())
        .execute(&mut *tx)
        .await
        .expect("the events are applied");
    let last = columns.blocks.len() - 1;
    sqlx::query(MOVE)
        .bind(chain_id)
        .bind(&task.registry)
        .bind(columns.blocks[last])
        .bind(&columns.block_hashes[last])
        .bind(columns.sequences[last])
        .bind(&columns.heads[last])
        .execute(&mut *tx)
        .await
        .expect("the cursor moves");
    tx.commit().await.expect("a commit");
}
