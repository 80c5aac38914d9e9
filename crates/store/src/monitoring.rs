//! What is seen of the database and of the work in it: the specification's monitoring and health queries, and ours. Counts,
//! ages and sizes alone; no statement's text, no id and no name of a person.

use serde::Serialize;
use sqlx::PgConnection;

use crate::{StoreError, cursor::Registry};

/// Every table of the schema, by name: the values of a label of the metrics. A test compares it with the database.
pub const TABLES: [&str; 52] = [
    "access_codes",
    "anchor_attempts",
    "anchor_outbox",
    "attachment_chunks",
    "audit_checkpoints",
    "audit_leaves",
    "audit_logs",
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
    "data_deletion_requests",
    "data_processing_consents",
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
    "medical_records",
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
    "sessions",
    "signers",
    "throttle_counters",
    "users",
    "wallet_challenges",
    "wallets",
];

/// How many rows of the trail without a place are counted at most.
const MOST_UNORDERED: i64 = 100_000;

/// How large the database is, and how many use it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseFigures {
    /// Its size. Unit: bytes.
    pub bytes: i64,
    /// Sessions of the whole server.
    pub connections: i64,
    /// How many there may be.
    pub max_connections: i32,
}

/// The database's size and connections. What is no session of a database, such as the writer of checkpoints, takes none of the
/// connections that there may be.
///
/// # Errors
/// [`StoreError`].
pub async fn database(conn: &mut PgConnection) -> Result<DatabaseFigures, StoreError> {
    Ok(sqlx::query_as!(
        DatabaseFigures,
        r#"SELECT
            pg_database_size(current_database()) AS "bytes!",
            (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS "connections!",
            current_setting('max_connections')::integer AS "max_connections!""#,
    )
    .fetch_one(conn)
    .await?)
}

/// What a session does now. Its statement is not shown: it could hold something of a person.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveQuery {
    /// The server's process.
    pub process_id: i32,
    /// How long ago its statement began. Unit: seconds.
    pub seconds: f64,
    /// Whose session it is.
    pub role: String,
    /// `active`, `idle in transaction` and the like.
    pub state: String,
    /// PostgreSQL's number of the statement, where it counts them (`compute_query_id`).
    pub query_id: Option<i64>,
}

/// What the sessions of this database do, the longest first.
///
/// # Errors
/// [`StoreError`].
pub async fn active_queries(conn: &mut PgConnection) -> Result<Vec<ActiveQuery>, StoreError> {
    Ok(sqlx::query_as!(
        ActiveQuery,
        r#"SELECT
            process_id AS "process_id!",
            seconds AS "seconds!",
            role_name AS "role!",
            state AS "state!",
            query_id
         FROM monitored_queries()
         ORDER BY seconds DESC, process_id
         LIMIT 100"#,
    )
    .fetch_all(conn)
    .await?)
}

/// How a table is used.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableFigures {
    /// Its name.
    pub name: String,
    /// Rows that are there, as PostgreSQL estimates them.
    pub live_rows: i64,
    /// Rows that were replaced or removed, and take up room.
    pub dead_rows: i64,
    /// Rows that were inserted, since statistics were last reset, as of the next six.
    pub inserted_rows: i64,
    /// Rows that were updated.
    pub updated_rows: i64,
    /// Rows that were deleted.
    pub deleted_rows: i64,
    /// How often it was read as a whole.
    pub sequential_scans: i64,
    /// Rows that were read so.
    pub rows_read: i64,
    /// How often it was read by an index.
    pub index_scans: i64,
    /// Rows that were fetched so.
    pub rows_fetched: i64,
    /// Its size, with indexes. Unit: bytes.
    pub bytes: i64,
}

/// Every table, the largest first.
///
/// # Errors
/// [`StoreError`].
pub async fn tables(conn: &mut PgConnection) -> Result<Vec<TableFigures>, StoreError> {
    Ok(sqlx::query_as!(
        TableFigures,
        r#"SELECT
            relname::text AS "name!",
            n_live_tup AS "live_rows!",
            n_dead_tup AS "dead_rows!",
            n_tup_ins AS "inserted_rows!",
            n_tup_upd AS "updated_rows!",
            n_tup_del AS "deleted_rows!",
            seq_scan AS "sequential_scans!",
            seq_tup_read AS "rows_read!",
            COALESCE(idx_scan, 0) AS "index_scans!",
            COALESCE(idx_tup_fetch, 0) AS "rows_fetched!",
            pg_total_relation_size(relid) AS "bytes!"
         FROM pg_stat_user_tables
         WHERE schemaname = current_schema()
         ORDER BY pg_total_relation_size(relid) DESC, relname
         LIMIT 1000"#,
    )
    .fetch_all(conn)
    .await?)
}

/// How an index is used.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexFigures {
    /// Of which table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// How often it was read.
    pub scans: i64,
    /// Its entries that were read.
    pub entries_read: i64,
    /// Rows that were fetched by it.
    pub rows_fetched: i64,
    /// Its size. Unit: bytes.
    pub bytes: i64,
    /// Whether a constraint needs it, however often it is read.
    pub is_constraint: bool,
    /// Whether it can be used: the rebuilding of an index that was cut off leaves one that cannot.
    pub is_valid: bool,
}

/// Every index, the most used first. PostgreSQL calls the columns `relname` and `indexrelname`, which the specification
/// calls `tablename` and `indexname`.
///
/// # Errors
/// [`StoreError`].
pub async fn indexes(conn: &mut PgConnection) -> Result<Vec<IndexFigures>, StoreError> {
    Ok(sqlx::query_as!(
        IndexFigures,
        r#"SELECT
            used.relname::text AS "table!",
            used.indexrelname::text AS "name!",
            used.idx_scan AS "scans!",
            used.idx_tup_read AS "entries_read!",
            used.idx_tup_fetch AS "rows_fetched!",
            pg_relation_size(used.indexrelid) AS "bytes!",
            definition.indisunique AS "is_constraint!",
            definition.indisvalid AS "is_valid!"
         FROM pg_stat_user_indexes AS used
         JOIN pg_index AS definition ON definition.indexrelid = used.indexrelid
         WHERE used.schemaname = current_schema()
         ORDER BY used.idx_scan DESC, used.indexrelname
         LIMIT 5000"#,
    )
    .fetch_all(conn)
    .await?)
}

/// What waits for the chain.
#[derive(Debug, Clone, Copy)]
pub struct OutboxFigures {
    /// Signed, and not taken by a node.
    pub queued: i64,
    /// Taken by a node, and in no block.
    pub sent: i64,
    /// Came to nothing within the last day: mined without effect, or another one used the nonce; signed again or not.
    pub failed: i64,
    /// How long the oldest of those that are queued or sent has waited. Unit: seconds.
    pub oldest_seconds: Option<f64>,
}

/// What waits for the chain. Served by `idx_anchor_outbox_waiting`, `idx_anchor_outbox_failed` and `idx_anchor_outbox_replaced`.
///
/// # Errors
/// [`StoreError`].
pub async fn outbox(conn: &mut PgConnection, chain_id: i64) -> Result<OutboxFigures, StoreError> {
    Ok(sqlx::query_as!(
        OutboxFigures,
        r#"SELECT
            count(*) FILTER (WHERE state = 'QUEUED') AS "queued!",
            count(*) FILTER (WHERE state = 'SENT') AS "sent!",
            (
                SELECT count(*)
                FROM anchor_outbox
                WHERE state = 'FAILED' AND updated_at > clock_timestamp() - interval '1 day' AND chain_id = $1
            ) + (
                SELECT count(*)
                FROM anchor_outbox
                WHERE state = 'REPLACED' AND updated_at > clock_timestamp() - interval '1 day' AND chain_id = $1
            ) AS "failed!",
            EXTRACT(EPOCH FROM clock_timestamp() - min(created_at))::double precision AS oldest_seconds
         FROM anchor_outbox
         WHERE state IN ('QUEUED', 'SENT') AND chain_id = $1"#,
        chain_id,
    )
    .fetch_one(conn)
    .await?)
}

/// An account that signs.
#[derive(Debug, Clone)]
pub struct SignerFigures {
    /// The account, as EIP-55 writes it.
    pub address: String,
    /// The nonce that it signs next.
    pub next_nonce: i64,
    /// How many of its transactions are in no block.
    pub waiting: i64,
    /// How long the oldest of them has waited. Unit: seconds.
    pub oldest_seconds: Option<f64>,
}

/// The accounts that sign anchors, and their nonces.
///
/// # Errors
/// [`StoreError`].
pub async fn signers(
    conn: &mut PgConnection,
    chain_id: i64,
) -> Result<Vec<SignerFigures>, StoreError> {
    Ok(sqlx::query_as!(
        SignerFigures,
        r#"SELECT
            account.address,
            account.next_nonce,
            line.waiting AS "waiting!",
            line.oldest_seconds AS "oldest_seconds?"
         FROM signers AS account
         CROSS JOIN LATERAL (
             SELECT
                 count(*) AS waiting,
                 EXTRACT(EPOCH FROM clock_timestamp() - min(outbox.created_at))::double precision AS oldest_seconds
             FROM anchor_outbox AS outbox
             WHERE outbox.chain_id = account.chain_id
               AND outbox.signer = account.address
               AND outbox.state IN ('QUEUED', 'SENT')
         ) AS line
         WHERE account.chain_id = $1
         ORDER BY account.address
         LIMIT 100"#,
        chain_id,
    )
    .fetch_all(conn)
    .await?)
}

/// The account that signed the newest checkpoint of the trail, as EIP-55 writes it.
///
/// # Errors
/// [`StoreError`].
pub async fn checkpoint_signer(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT signer FROM audit_checkpoints WHERE chain_id = $1 AND registry = $2 ORDER BY id DESC LIMIT 1",
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// How many findings of a kind are open.
#[derive(Debug, Clone)]
pub struct OpenFindings {
    /// Of which kind.
    pub kind: String,
    /// How many.
    pub open: i64,
}

/// The findings that are open, by kind. Served by `integrity_findings_registry_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_findings(conn: &mut PgConnection) -> Result<Vec<OpenFindings>, StoreError> {
    Ok(sqlx::query_as!(
        OpenFindings,
        r#"SELECT kind, count(*) AS "open!"
         FROM integrity_findings
         WHERE resolved_at IS NULL
         GROUP BY kind
         ORDER BY kind"#,
    )
    .fetch_all(conn)
    .await?)
}

/// Windows of emergency access that nobody has reviewed.
#[derive(Debug, Clone, Copy)]
pub struct ReviewFigures {
    /// How many have ended.
    pub unreviewed: i64,
    /// How many of them were escalated to every administrator.
    pub escalated: i64,
    /// How long ago the oldest was opened. Unit: seconds.
    pub oldest_seconds: Option<f64>,
}

/// Windows of emergency access that have ended and wait for a review. Served by `idx_break_glass_windows_pending`.
///
/// # Errors
/// [`StoreError`].
pub async fn reviews(conn: &mut PgConnection) -> Result<ReviewFigures, StoreError> {
    Ok(sqlx::query_as!(
        ReviewFigures,
        r#"SELECT
            count(*) AS "unreviewed!",
            count(*) FILTER (WHERE escalated_at IS NOT NULL) AS "escalated!",
            EXTRACT(EPOCH FROM clock_timestamp() - min(opened_at))::double precision AS oldest_seconds
         FROM break_glass_windows
         WHERE reviewed_at IS NULL
           AND (closed_at IS NOT NULL OR expires_at <= clock_timestamp())"#,
    )
    .fetch_one(conn)
    .await?)
}

/// How far the trail is ordered and pinned.
#[derive(Debug, Clone, Copy)]
pub struct TrailFigures {
    /// Leaves of the tree.
    pub leaves: i64,
    /// Rows that have no place in it yet, up to [`MOST_UNORDERED`].
    pub unordered: i64,
    /// Leaves that the registry's newest checkpoint does not hold.
    pub unpinned: i64,
    /// How long ago the newest checkpoint that the registry has was signed; `None` before the first. Unit: seconds.
    pub checkpoint_seconds: Option<f64>,
}

/// How far the trail is ordered and pinned. Served by the primary key of `audit_leaves`, `idx_audit_logs_leaf` and
/// `idx_audit_checkpoints_anchored`.
///
/// # Errors
/// [`StoreError`].
pub async fn trail(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<TrailFigures, StoreError> {
    Ok(sqlx::query_as!(
        TrailFigures,
        r#"WITH pinned AS (
            SELECT tree_size, created_at
            FROM audit_checkpoints
            WHERE chain_id = $1 AND registry = $2 AND state = 'ANCHORED'
            ORDER BY tree_size DESC
            LIMIT 1
        ), tree AS (
            SELECT COALESCE(max(position) + 1, 0) AS size FROM audit_leaves
        )
        SELECT
            tree.size AS "leaves!",
            (
                SELECT count(*)
                FROM (
                    SELECT
                    FROM audit_logs AS log
                    WHERE (log.leaf_xid, log.id) > (
                        COALESCE((SELECT xid FROM audit_watermark), '0'::xid8),
                        COALESCE((SELECT audit_id FROM audit_watermark), 0)
                    )
                    LIMIT $3
                ) AS unordered
            ) AS "unordered!",
            GREATEST(tree.size - COALESCE((SELECT tree_size FROM pinned), 0), 0) AS "unpinned!",
            (
                SELECT EXTRACT(EPOCH FROM clock_timestamp() - created_at)::double precision FROM pinned
            ) AS checkpoint_seconds
        FROM tree"#,
        registry.chain_id,
        registry.address,
        MOST_UNORDERED,
    )
    .fetch_one(conn)
    .await?)
}

/// How far the indexer is, as it last wrote.
#[derive(Debug, Clone, Copy)]
pub struct IndexerFigures {
    /// How long ago a leader wrote. Unit: seconds.
    pub led_seconds: f64,
    /// Blocks of the chain that it has not applied.
    pub lag_blocks: i64,
    /// Blocks that were undone within the last day, of those with events.
    pub undone_blocks: i64,
}

/// How far the indexer is; `None` before its first block. Served by the primary key and `idx_chain_events_undone`.
///
/// # Errors
/// [`StoreError`].
pub async fn indexer(
    conn: &mut PgConnection,
    registry: &Registry,
) -> Result<Option<IndexerFigures>, StoreError> {
    Ok(sqlx::query_as!(
        IndexerFigures,
        r#"SELECT
            EXTRACT(EPOCH FROM clock_timestamp() - updated_at)::double precision AS "led_seconds!",
            GREATEST(chain_head - block_number, 0) AS "lag_blocks!",
            (
                SELECT count(DISTINCT event.block_hash)
                FROM chain_events AS event
                WHERE event.chain_id = $1
                  AND event.registry = $2
                  AND event.undone_at > clock_timestamp() - interval '1 day'
            ) AS "undone_blocks!"
         FROM chain_cursors
         WHERE chain_id = $1 AND registry = $2"#,
        registry.chain_id,
        registry.address,
    )
    .fetch_optional(conn)
    .await?)
}

/// The last whole round of the deep check.
#[derive(Debug, Clone, Copy)]
pub struct DeepCheckFigures {
    /// How long ago it ended; `None` before the first. Unit: seconds.
    pub ended_seconds: Option<f64>,
    /// What it found wrong.
    pub wrong: i64,
}

/// The last whole round of the deep check.
///
/// # Errors
/// [`StoreError`].
pub async fn deep_check(conn: &mut PgConnection) -> Result<DeepCheckFigures, StoreError> {
    Ok(sqlx::query_as!(
        DeepCheckFigures,
        r#"SELECT
            EXTRACT(EPOCH FROM clock_timestamp() - last_ended_at)::double precision AS ended_seconds,
            COALESCE(last_wrong, 0) AS "wrong!"
         FROM deep_checks
         WHERE id"#,
    )
    .fetch_one(conn)
    .await?)
}

/// How long ago the database first saw the newest of the master keys; `None` before the first. Unit: seconds.
///
/// # Errors
/// [`StoreError`].
pub async fn master_key_age(conn: &mut PgConnection) -> Result<Option<f64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT EXTRACT(EPOCH FROM clock_timestamp() - max(created_at))::double precision
         FROM key_checks
         WHERE kind = 'MASTER'",
    )
    .fetch_one(conn)
    .await?)
}

/// How long ago a part of the maintenance last came to its end.
#[derive(Debug, Clone)]
pub struct MaintenanceAge {
    /// Which part.
    pub task: String,
    /// Of the object that waits longest. Unit: seconds.
    pub seconds: f64,
}

/// How long ago each part of the maintenance last came to its end, of the object that waits longest; of one that never did,
/// when that was tried first. What was dropped since does not wait.
///
/// # Errors
/// [`StoreError`].
pub async fn maintenance(conn: &mut PgConnection) -> Result<Vec<MaintenanceAge>, StoreError> {
    Ok(sqlx::query_as!(
        MaintenanceAge,
        r#"SELECT
            task,
            EXTRACT(EPOCH FROM clock_timestamp() - min(COALESCE(finished_at, started_at)))::double precision
                AS "seconds!"
         FROM maintenance_runs AS run
         WHERE run.object_name = ''
            OR EXISTS (
                SELECT
                FROM pg_class AS class
                WHERE class.relnamespace = current_schema()::regnamespace AND class.relname = run.object_name
            )
         GROUP BY task
         ORDER BY task"#,
    )
    .fetch_all(conn)
    .await?)
}

/// Which chain and registry the database knows best: the one whose cursor was written last. For who has no deployment file.
///
/// # Errors
/// [`StoreError`].
pub async fn known_registry(conn: &mut PgConnection) -> Result<Option<Registry>, StoreError> {
    Ok(sqlx::query_as!(
        Registry,
        "SELECT chain_id, registry AS address FROM chain_cursors ORDER BY updated_at DESC, registry LIMIT 1",
    )
    .fetch_optional(conn)
    .await?)
}
