//! The tree over the audit trail: puts rows in order, stores leaves and nodes, and reads them for proofs.
//!
//! Rows are put in order by one process at a time, in the order of the transactions that wrote them, and only when all
//! transactions before those have ended: a number of a row says when it was inserted, and not when it was committed, so
//! that whoever goes by the last number that was seen loses what is committed after it.

mod purges;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::ids::{RequestId, UserId};
use sqlx::{PgConnection, postgres::types::PgInterval};
use trail::{
    Hash,
    row::{Interval, Row},
    tree::{self, Frontier, Place},
};
use uuid::Uuid;

pub use self::purges::{has_unordered_purge, leaves_of_purge, rows_of_purge};
use crate::{Pool, StoreError, Tx, records::search::plan_by_values};

/// The lock of whoever puts rows in order.
const LOCK: &str = "meditrustal audit tree";
/// How many rows get their places in one transaction. Unit: rows.
const AT_ONCE: i64 = 4096;

/// What putting rows in order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// How many rows got a place.
    pub rows: usize,
    /// How many leaves the tree has now.
    pub size: u64,
    /// Whether there may be more to do at once.
    pub may_have_left_some: bool,
}

/// Gives some of the rows that have no place the next ones; `None` where another process is at it.
///
/// # Errors
/// [`StoreError::Unreadable`] where a node of the tree is missing or is none.
pub async fn order(pool: &Pool) -> Result<Option<Ordered>, StoreError> {
    let mut tx = pool.begin().await?;
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, schema_key())) AS "taken!""#,
        LOCK,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !is_ours {
        return Ok(None);
    }
    let from = watermark(&mut tx).await?;
    let size = size(&mut tx).await?;
    let rows = if from.is_of_another_server {
        without_place(&mut tx, &from).await?
    } else {
        after(&mut tx, &from).await?
    };
    let may_have_left_some = i64::try_from(rows.len()).is_ok_and(|rows| rows >= AT_ONCE);
    let reached = match rows.last() {
        // All that were written before this round have places.
        _ if from.is_of_another_server => (!may_have_left_some).then(|| (from.bound.clone(), 0)),
        last => last.map(|last| (last.xid.clone(), last.id)),
    };
    let new: Vec<_> = rows.iter().filter(|row| !row.has_place).collect();
    let size = append(&mut tx, size, &new).await?;
    if let Some((xid, audit_id)) = reached {
        set_watermark(&mut tx, &xid, audit_id).await?;
    }
    tx.commit().await?;
    Ok(Some(Ordered {
        rows: new.len(),
        size,
        may_have_left_some,
    }))
}

/// From where rows are looked for, and up to which transaction.
struct Watermark {
    xid: String,
    audit_id: i64,
    /// All transactions with a lower number have ended, and what they wrote is seen by the next statement.
    bound: String,
    /// Whether the rows were brought here from another server, whose transactions had other numbers.
    is_of_another_server: bool,
}

async fn watermark(tx: &mut Tx<'_>) -> Result<Watermark, StoreError> {
    let row = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "bound!",
                mark.xid::text AS xid,
                mark.audit_id AS "audit_id?",
                mark.server IS DISTINCT FROM here.system_identifier AND mark.server IS NOT NULL AS "is_of_another_server!"
         FROM pg_control_system() AS here
         LEFT JOIN audit_watermark AS mark ON TRUE"#,
    )
    .fetch_one(&mut **tx)
    .await?;
    let (xid, audit_id) = row.xid.zip(row.audit_id).unwrap_or(("0".to_owned(), 0));
    Ok(Watermark {
        xid,
        audit_id,
        bound: row.bound,
        is_of_another_server: row.is_of_another_server,
    })
}

async fn set_watermark(tx: &mut Tx<'_>, xid: &str, audit_id: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO audit_watermark (xid, audit_id, server)
         SELECT $1::text::xid8, $2, system_identifier FROM pg_control_system()
         ON CONFLICT (id) DO UPDATE
         SET xid = EXCLUDED.xid, audit_id = EXCLUDED.audit_id, server = EXCLUDED.server",
        xid,
        audit_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A row that may get a place.
struct WaitingRow {
    id: i64,
    xid: String,
    leaf_hash: Vec<u8>,
    has_place: bool,
}

/// The next rows, in the order of the tree. Served by `idx_audit_logs_leaf`.
async fn after(tx: &mut Tx<'_>, from: &Watermark) -> Result<Vec<WaitingRow>, StoreError> {
    Ok(sqlx::query_as!(
        WaitingRow,
        r#"SELECT log.id, log.leaf_xid::text AS "xid!", log.leaf_hash,
                EXISTS (SELECT FROM audit_leaves AS leaf WHERE leaf.audit_id = log.id) AS "has_place!"
         FROM audit_logs AS log
         WHERE (log.leaf_xid, log.id) > ($1::text::xid8, $2)
           AND log.leaf_xid < $3::text::xid8
         ORDER BY log.leaf_xid, log.id
         LIMIT $4"#,
        from.xid,
        from.audit_id,
        from.bound,
        AT_ONCE,
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Rows that came from another server and have no place: also those whose transactions have numbers that this server has
/// not reached, of which all have ended.
async fn without_place(tx: &mut Tx<'_>, from: &Watermark) -> Result<Vec<WaitingRow>, StoreError> {
    // All rows are looked at, once for each server.
    sqlx::query!("SET LOCAL statement_timeout = 0")
        .execute(&mut **tx)
        .await?;
    Ok(sqlx::query_as!(
        WaitingRow,
        r#"SELECT log.id, log.leaf_xid::text AS "xid!", log.leaf_hash, FALSE AS "has_place!"
         FROM audit_logs AS log
         WHERE (log.leaf_xid < $1::text::xid8 OR log.leaf_xid >= pg_snapshot_xmax(pg_current_snapshot()))
           AND NOT EXISTS (SELECT FROM audit_leaves AS leaf WHERE leaf.audit_id = log.id)
         ORDER BY log.leaf_xid, log.id
         LIMIT $2"#,
        from.bound,
        AT_ONCE,
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// How many leaves the tree has.
///
/// # Errors
/// [`StoreError`].
pub async fn size(conn: &mut PgConnection) -> Result<u64, StoreError> {
    let last = sqlx::query_scalar!("SELECT max(position) FROM audit_leaves")
        .fetch_one(conn)
        .await?;
    let size = last.map_or(Some(0), |last| u64::try_from(last).ok()?.checked_add(1));
    size.ok_or(UNREADABLE)
}

const UNREADABLE: StoreError = StoreError::Unreadable {
    what: "node of the audit tree",
};

/// Appends leaves to the tree; gives how many it has then.
async fn append(tx: &mut Tx<'_>, size: u64, rows: &[&WaitingRow]) -> Result<u64, StoreError> {
    let edge = tree::stored_under(std::slice::from_ref(&(0..size)));
    let edge = stored(tx, &edge).await?;
    let mut frontier = Frontier::restore(size, &edge).ok_or(UNREADABLE)?;
    let mut nodes = Vec::new();
    for row in rows {
        let leaf = hash(&row.leaf_hash)?;
        nodes.extend(frontier.push(leaf));
    }
    let (leaves, nodes): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|(place, _)| place.level == 0);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    sqlx::query!(
        "INSERT INTO audit_leaves (position, audit_id, leaf_hash)
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[])",
        &positions(&leaves)?,
        &ids,
        &hashes(&leaves) as &[&[u8]],
    )
    .execute(&mut **tx)
    .await?;
    let levels: Vec<i16> = nodes.iter().map(|(place, _)| place.level.into()).collect();
    sqlx::query!(
        "INSERT INTO audit_nodes (level, position, hash)
         SELECT * FROM UNNEST($1::smallint[], $2::bigint[], $3::bytea[])",
        &levels,
        &positions(&nodes)?,
        &hashes(&nodes) as &[&[u8]],
    )
    .execute(&mut **tx)
    .await?;
    Ok(frontier.size())
}

fn positions(nodes: &[(Place, Hash)]) -> Result<Vec<i64>, StoreError> {
    let positions = nodes.iter().map(|(place, _)| i64::try_from(place.index));
    positions.collect::<Result<_, _>>().map_err(|_| UNREADABLE)
}

fn hashes(nodes: &[(Place, Hash)]) -> Vec<&[u8]> {
    nodes.iter().map(|(_, hash)| &hash[..]).collect()
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes.try_into().map_err(|_| UNREADABLE)
}

/// The hashes of stored places, those that are there. Served by the primary keys.
///
/// # Errors
/// [`StoreError`].
pub async fn stored(
    conn: &mut PgConnection,
    places: &[Place],
) -> Result<BTreeMap<Place, Hash>, StoreError> {
    let levels: Vec<i16> = places.iter().map(|place| place.level.into()).collect();
    let positions: Vec<i64> = places
        .iter()
        .map(|place| i64::try_from(place.index).unwrap_or(i64::MAX))
        .collect();
    let found = sqlx::query!(
        r#"SELECT wanted.level AS "level!", wanted.position AS "position!",
                COALESCE(node.hash, leaf.leaf_hash) AS "hash!"
         FROM UNNEST($1::smallint[], $2::bigint[]) AS wanted(level, position)
         LEFT JOIN audit_nodes AS node ON node.level = wanted.level AND node.position = wanted.position
         LEFT JOIN audit_leaves AS leaf ON wanted.level = 0 AND leaf.position = wanted.position
         WHERE COALESCE(node.hash, leaf.leaf_hash) IS NOT NULL"#,
        &levels,
        &positions,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter().map(|row| {
        let place = Place {
            level: u8::try_from(row.level).map_err(|_| UNREADABLE)?,
            index: u64::try_from(row.position).map_err(|_| UNREADABLE)?,
        };
        Ok((place, hash(&row.hash)?))
    });
    found.collect()
}

/// A row of the trail beside what is stored of its leaf.
#[derive(Debug, Clone)]
pub struct HashedRow {
    /// The row, as it is hashed.
    pub row: Row,
    /// By which layout.
    pub layout: i16,
    /// The hash that was computed when it was written.
    pub leaf_hash: Vec<u8>,
}

impl HashedRow {
    /// The hash of what the row says now; `None` where its layout has no room for that, or there is no such layout.
    pub fn computed(&self) -> Option<Hash> {
        self.row.leaf_hash(self.layout)
    }
}

/// Rows after a number, by number. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn rows(
    conn: &mut PgConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<HashedRow>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM audit_logs WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    rows_of(conn, &ids).await
}

/// Which of these numbers have a row, whatever it says.
///
/// # Errors
/// [`StoreError`].
pub async fn there(conn: &mut PgConnection, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    Ok(
        sqlx::query_scalar!("SELECT id FROM audit_logs WHERE id = ANY($1)", ids)
            .fetch_all(conn)
            .await?,
    )
}

/// Rows by their numbers, those that are there and whose times can be read. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn rows_of(conn: &mut PgConnection, ids: &[i64]) -> Result<Vec<HashedRow>, StoreError> {
    let found = sqlx::query_as!(
        RawRow,
        r#"SELECT leaf_salt, leaf_xid::text AS "leaf_xid!", id, event_time, user_id, action_type, resource_type,
                resource_id, old_value::text, new_value::text, host(ip_address) AS "address!",
                masklen(ip_address) AS "bits!", user_agent, request_id, purpose, consent_reference,
                retention_period, data_classification, is_cross_border, destination_country,
                encryption_status, created_at, patient_id, record_ids, on_behalf_of, leaf_layout, leaf_hash
         FROM audit_logs
         WHERE id = ANY($1)
           AND event_time > '-infinity' AND event_time < '262143-01-01 00:00:00Z'
           AND created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z'
         ORDER BY id"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(RawRow::read).collect()
}

/// The same inside a transaction, which goes on where one of them cannot be read.
///
/// # Errors
/// [`StoreError`].
pub async fn rows_within(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<HashedRow>, StoreError> {
    sqlx::raw_sql("SAVEPOINT before_rows")
        .execute(&mut **tx)
        .await?;
    let rows = rows_of(tx, ids).await;
    let end = if rows.is_ok() {
        "RELEASE SAVEPOINT before_rows"
    } else {
        "ROLLBACK TO SAVEPOINT before_rows; RELEASE SAVEPOINT before_rows"
    };
    sqlx::raw_sql(end).execute(&mut **tx).await?;
    rows
}

/// Which rows leave the database, in the order of what they tell.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Those about this patient's data alone.
    pub patient: Option<UserId>,
    /// After this time, or at it with a higher number than the next field says.
    pub from: DateTime<Utc>,
    /// See above; lower than any number before the first row.
    pub after: i64,
    /// Before this time.
    pub to: DateTime<Utc>,
}

/// Where a row stands in the order of a stretch.
struct RowPlace {
    id: i64,
    event_time: DateTime<Utc>,
}

/// The first rows of a stretch, by time and number, and where the next ones begin; `None` where there are none. A row that cannot
/// be read is left out. Served by `idx_audit_logs_event_time`, and for a patient by `idx_audit_logs_patient_time`.
///
/// # Errors
/// [`StoreError`].
pub async fn stretch(
    tx: &mut Tx<'_>,
    stretch: Stretch,
    limit: i64,
) -> Result<Option<(Vec<HashedRow>, Stretch)>, StoreError> {
    plan_by_values(tx).await?;
    let found = match stretch.patient {
        Some(patient) => {
            sqlx::query_as!(
                RowPlace,
                "SELECT id, event_time FROM audit_logs
                 WHERE patient_id = $4
                   AND (event_time, id) > ($1, $2)
                   AND event_time < $3
                 ORDER BY event_time, id
                 LIMIT $5",
                stretch.from,
                stretch.after,
                stretch.to,
                patient.0,
                limit,
            )
            .fetch_all(&mut **tx)
            .await?
        }
        None => {
            sqlx::query_as!(
                RowPlace,
                "SELECT id, event_time FROM audit_logs
                 WHERE (event_time, id) > ($1, $2)
                   AND event_time < $3
                 ORDER BY event_time, id
                 LIMIT $4",
                stretch.from,
                stretch.after,
                stretch.to,
                limit,
            )
            .fetch_all(&mut **tx)
            .await?
        }
    };
    let Some(last) = found.last() else {
        return Ok(None);
    };
    let next = Stretch {
        from: last.event_time,
        after: last.id,
        ..stretch
    };
    let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
    let mut rows = rows_of(tx, &ids).await?;
    rows.sort_by_key(|row| (row.row.event_time, row.row.id));
    Ok(Some((rows, next)))
}

/// A leaf, and whose it is.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Its place.
    pub position: i64,
    /// The number of its row.
    pub audit_id: i64,
    /// The row's hash.
    pub leaf_hash: Vec<u8>,
}

/// Leaves from a place on, in order. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn leaves(
    conn: &mut PgConnection,
    from: i64,
    limit: i64,
) -> Result<Vec<Leaf>, StoreError> {
    Ok(sqlx::query_as!(
        Leaf,
        "SELECT position, audit_id, leaf_hash
         FROM audit_leaves
         WHERE position >= $1
         ORDER BY position
         LIMIT $2",
        from,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// The leaves of these places, in order. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn leaves_at(conn: &mut PgConnection, places: &[i64]) -> Result<Vec<Leaf>, StoreError> {
    Ok(sqlx::query_as!(
        Leaf,
        "SELECT position, audit_id, leaf_hash
         FROM audit_leaves
         WHERE position = ANY($1)
         ORDER BY position",
        places,
    )
    .fetch_all(conn)
    .await?)
}

/// The place of a row in the tree; `None` where it has none yet. Served by `audit_leaves_audit_id_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn position_of(
    conn: &mut PgConnection,
    audit_id: i64,
) -> Result<Option<u64>, StoreError> {
    let position = sqlx::query_scalar!(
        "SELECT position FROM audit_leaves WHERE audit_id = $1",
        audit_id,
    )
    .fetch_optional(conn)
    .await?;
    let position = position.map(u64::try_from).transpose();
    position.map_err(|_| UNREADABLE)
}

/// The leaves of rows, by the rows' numbers; rows without a place are left out. Served by `audit_leaves_audit_id_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn leaves_of(conn: &mut PgConnection, ids: &[i64]) -> Result<Vec<Leaf>, StoreError> {
    Ok(sqlx::query_as!(
        Leaf,
        "SELECT position, audit_id, leaf_hash
         FROM audit_leaves
         WHERE audit_id = ANY($1)
         ORDER BY position",
        ids,
    )
    .fetch_all(conn)
    .await?)
}

/// The numbers and hashes of the rows that a request has written and that are committed, by number: those after a number,
/// and no more than `limit`. Served by `idx_audit_logs_request`.
///
/// # Errors
/// [`StoreError`].
pub async fn written_by(
    conn: &mut PgConnection,
    request: RequestId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Hash)>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT id AS "id!", leaf_hash AS "leaf_hash!"
         FROM (SELECT id, leaf_hash FROM audit_logs WHERE request_id = $1 OFFSET 0) AS written
         WHERE id > $2
         ORDER BY id
         LIMIT $3"#,
        request.0,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter();
    found
        .map(|row| Ok((row.id, hash(&row.leaf_hash)?)))
        .collect()
}

/// The number of the last of so many rows from a number on; `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn last_of(
    conn: &mut PgConnection,
    from: i64,
    rows: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT max(id) FROM (SELECT id FROM audit_logs WHERE id >= $1 ORDER BY id LIMIT $2) AS page",
        from,
        rows,
    )
    .fetch_one(conn)
    .await?)
}

/// The rows from one number to another that have no place although rows after them have, or that no
/// transaction can have written: nobody who writes as our programs do leaves such ones.
///
/// # Errors
/// [`StoreError`].
pub async fn passed_over(
    conn: &mut PgConnection,
    from: i64,
    to: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT log.id
         FROM audit_logs AS log
         CROSS JOIN audit_watermark AS mark
         JOIN pg_control_system() AS here ON here.system_identifier = mark.server
         WHERE log.id >= $1
           AND log.id <= $2
           AND ((log.leaf_xid, log.id) <= (mark.xid, mark.audit_id)
               OR log.leaf_xid >= pg_snapshot_xmax(pg_current_snapshot())) IS NOT FALSE
           AND NOT EXISTS (SELECT FROM audit_leaves AS leaf WHERE leaf.audit_id = log.id AND leaf.position >= 0)
         ORDER BY log.id",
        from,
        to,
    )
    .fetch_all(conn)
    .await?)
}

/// A row as the database gives it.
struct RawRow {
    leaf_salt: Uuid,
    leaf_xid: String,
    id: i64,
    event_time: DateTime<Utc>,
    user_id: Uuid,
    action_type: String,
    resource_type: String,
    resource_id: Uuid,
    old_value: Option<String>,
    new_value: Option<String>,
    address: String,
    bits: i32,
    user_agent: Option<String>,
    request_id: Uuid,
    purpose: String,
    consent_reference: Option<Uuid>,
    retention_period: PgInterval,
    data_classification: String,
    is_cross_border: bool,
    destination_country: Option<String>,
    encryption_status: String,
    created_at: DateTime<Utc>,
    patient_id: Option<Uuid>,
    record_ids: Option<Vec<Uuid>>,
    on_behalf_of: Option<Uuid>,
    leaf_layout: i16,
    leaf_hash: Vec<u8>,
}

impl RawRow {
    fn read(self) -> Result<HashedRow, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable {
            what: "row of the audit trail",
        };
        let row = Row {
            leaf_salt: self.leaf_salt,
            leaf_xid: self.leaf_xid.parse().map_err(|_| UNREADABLE)?,
            id: self.id,
            event_time: self.event_time,
            user_id: self.user_id,
            action_type: self.action_type,
            resource_type: self.resource_type,
            resource_id: self.resource_id,
            old_value: self.old_value,
            new_value: self.new_value,
            ip_address: self.address.parse().map_err(|_| UNREADABLE)?,
            ip_bits: u8::try_from(self.bits).map_err(|_| UNREADABLE)?,
            user_agent: self.user_agent,
            request_id: self.request_id,
            purpose: self.purpose,
            consent_reference: self.consent_reference,
            retention_period: Interval {
                microseconds: self.retention_period.microseconds,
                days: self.retention_period.days,
                months: self.retention_period.months,
            },
            data_classification: self.data_classification,
            is_cross_border: self.is_cross_border,
            destination_country: self.destination_country,
            encryption_status: self.encryption_status,
            created_at: self.created_at,
            patient_id: self.patient_id,
            record_ids: self.record_ids,
            on_behalf_of: self.on_behalf_of,
        };
        Ok(HashedRow {
            row,
            layout: self.leaf_layout,
            leaf_hash: self.leaf_hash,
        })
    }
}
