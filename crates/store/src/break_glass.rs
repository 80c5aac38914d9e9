//! Windows of emergency access, and where their reviews stand.

mod schedule;

use chrono::{DateTime, Utc};
use domain::{
    break_glass::{BreakGlassWindow, ReviewDecision, ReviewStatus},
    ids::{BreakGlassWindowId, PatientKeyId, UserId},
    seals::{Seal, Sealed},
};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::schedule::{
    any_unescalated, escalate, is_ours, newest, record_ends, unended, unescalated,
};
use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    rows,
};

/// Asks for windows, as [`WindowRow`] holds what is sealed of them; `$which` says for which.
macro_rules! window_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::break_glass::WindowRow,
            "SELECT id, patient_id, doctor_id, purpose, opened_at, expires_at, closed_at, patient_key_id,
                    sealed_reason, seal, seal_key
             FROM break_glass_windows " + $which,
            $($argument),+
        )
    };
}
pub(crate) use window_rows;

/// The same with their reviews, as [`ReviewedRow`] holds them: what the row tells, and the first one that the trail knows.
/// Served by `idx_audit_logs_resource_page`.
macro_rules! reviewed_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::break_glass::ReviewedRow,
            r#"SELECT id, patient_id, doctor_id, purpose, opened_at, expires_at, closed_at, patient_key_id,
                    sealed_reason, seal, seal_key, escalated_at, reviewed_by, decision,
                    sealed_note, known_at AS "known_at?", known_by AS "known_by?",
                    known_decision AS "known_decision?"
             FROM break_glass_windows
             LEFT JOIN LATERAL (
                 SELECT event_time AS known_at, user_id AS known_by, new_value ->> 'decision' AS known_decision
                 FROM audit_logs
                 WHERE resource_id = break_glass_windows.id
                   AND action_type = 'BREAK_GLASS_REVIEW'
                   AND new_value ->> 'decision' IN ('JUSTIFIED', 'UNJUSTIFIED')
                 ORDER BY audit_logs.id
                 LIMIT 1
             ) AS known ON TRUE "# + $which,
            $($argument),+
        )
    };
}
pub(crate) use reviewed_rows;

pub(crate) struct WindowRow {
    pub(crate) id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) doctor_id: Uuid,
    pub(crate) purpose: String,
    pub(crate) opened_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) closed_at: Option<DateTime<Utc>>,
    pub(crate) patient_key_id: Uuid,
    pub(crate) sealed_reason: Vec<u8>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<WindowRow> for Sealed<BreakGlassWindow> {
    type Error = StoreError;
    fn try_from(row: WindowRow) -> Result<Self, StoreError> {
        let window = BreakGlassWindow {
            id: BreakGlassWindowId(row.id),
            patient: UserId(row.patient_id),
            doctor: UserId(row.doctor_id),
            purpose: rows::text(&row.purpose, "purpose")?,
            opened_at: row.opened_at,
            expires_at: row.expires_at,
            closed_at: row.closed_at,
            patient_key: PatientKeyId(row.patient_key_id),
            sealed_reason: row.sealed_reason,
        };
        Ok(Self::new(window, Seal::of(row.seal, row.seal_key)))
    }
}

pub(crate) struct ReviewedRow {
    id: Uuid,
    patient_id: Uuid,
    doctor_id: Uuid,
    purpose: String,
    opened_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    patient_key_id: Uuid,
    sealed_reason: Vec<u8>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
    escalated_at: Option<DateTime<Utc>>,
    reviewed_by: Option<Uuid>,
    decision: Option<String>,
    sealed_note: Option<Vec<u8>>,
    known_at: Option<DateTime<Utc>>,
    known_by: Option<Uuid>,
    known_decision: Option<String>,
}

impl ReviewedRow {
    /// The review that the trail knows; the note stands in the row alone.
    fn known(&self) -> Result<Option<WindowReview>, StoreError> {
        let (Some(at), Some(by), Some(decision)) =
            (self.known_at, self.known_by, &self.known_decision)
        else {
            return Ok(None);
        };
        Ok(Some(WindowReview {
            at,
            by: UserId(by),
            decision: rows::text(decision, "decision of a review")?,
            sealed_note: self.sealed_note.clone(),
        }))
    }

    /// What the row tells, where that is not what the trail knows.
    fn forged(&self) -> Option<ForgedReview> {
        let is_known = (self.reviewed_by, &self.decision) == (self.known_by, &self.known_decision);
        let decision = self.decision.as_deref();
        (!is_known).then(|| ForgedReview {
            by: self.reviewed_by.map(UserId),
            decision: decision.and_then(|decision| decision.parse().ok()),
        })
    }
}

/// A window, and where its review stands.
#[derive(Debug, Clone)]
pub struct StoredWindow {
    /// The window.
    pub window: Sealed<BreakGlassWindow>,
    /// When every administrator was told that nobody had reviewed it in time.
    pub escalated_at: Option<DateTime<Utc>>,
    /// Its review, if there was one: as the trail knows it, whatever the row tells.
    pub review: Option<WindowReview>,
    /// What the row tells of a review, where the trail knows none, or another one.
    pub forged_review: Option<ForgedReview>,
}

/// What a row tells of a review that the trail does not know. Nothing, where it knows one that the row does not tell of.
#[derive(Debug, Clone, Copy)]
pub struct ForgedReview {
    /// By whom.
    pub by: Option<UserId>,
    /// With which result.
    pub decision: Option<ReviewDecision>,
}

/// The review of a window.
#[derive(Debug, Clone)]
pub struct WindowReview {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: UserId,
    /// With which result.
    pub decision: ReviewDecision,
    /// What the reviewer noted, sealed.
    pub sealed_note: Option<Vec<u8>>,
}

impl TryFrom<ReviewedRow> for StoredWindow {
    type Error = StoreError;
    fn try_from(row: ReviewedRow) -> Result<Self, StoreError> {
        let (review, forged_review) = (row.known()?, row.forged());
        let window = WindowRow {
            id: row.id,
            patient_id: row.patient_id,
            doctor_id: row.doctor_id,
            purpose: row.purpose,
            opened_at: row.opened_at,
            expires_at: row.expires_at,
            closed_at: row.closed_at,
            patient_key_id: row.patient_key_id,
            sealed_reason: row.sealed_reason,
            seal: row.seal,
            seal_key: row.seal_key,
        };
        Ok(Self {
            window: window.try_into()?,
            escalated_at: row.escalated_at,
            review,
            forged_review,
        })
    }
}

fn read_all(found: Vec<ReviewedRow>) -> Result<Vec<StoredWindow>, StoreError> {
    found.into_iter().map(TryInto::try_into).collect()
}

/// The windows of these doctors that are open, as far as their rows and the trail say: an old row that is put back
/// after an end reopens nothing. Served by
/// `idx_break_glass_windows_doctor_open`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_of_doctors(
    conn: &mut PgConnection,
    doctors: &[UserId],
    now: DateTime<Utc>,
) -> Result<Vec<Sealed<BreakGlassWindow>>, StoreError> {
    let doctors: Vec<Uuid> = doctors.iter().map(|id| id.0).collect();
    let found = window_rows!(
        "WHERE doctor_id = ANY($1)
           AND closed_at IS NULL
           AND expires_at > $2
           AND opened_at <= $2
           AND NOT EXISTS (
               SELECT 1
               FROM audit_logs
               WHERE resource_id = break_glass_windows.id
                 AND action_type = 'BREAK_GLASS_END'
           )
         ORDER BY id
         LIMIT 10000",
        &doctors,
        now,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// The windows on this patient's records that are open, as far as their rows and the trail say. Served by
/// `idx_break_glass_windows_patient_open`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_of_patient(
    conn: &mut PgConnection,
    patient: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Sealed<BreakGlassWindow>>, StoreError> {
    let found = window_rows!(
        "WHERE patient_id = $1
           AND closed_at IS NULL
           AND expires_at > $2
           AND opened_at <= $2
           AND NOT EXISTS (
               SELECT 1
               FROM audit_logs
               WHERE resource_id = break_glass_windows.id
                 AND action_type = 'BREAK_GLASS_END'
           )
         ORDER BY id
         LIMIT 10000",
        patient.0,
        now,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// How many windows a doctor has opened since this moment. Served by `idx_break_glass_windows_doctor_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn opened_since(
    conn: &mut PgConnection,
    doctor: UserId,
    since: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM break_glass_windows
           WHERE doctor_id = $1
             AND opened_at > $2"#,
        doctor.0,
        since,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Stores a window, with its seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    window: &BreakGlassWindow,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO break_glass_windows (
             id, patient_id, doctor_id, purpose, opened_at, expires_at, patient_key_id, sealed_reason, seal,
             seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        window.id.0,
        window.patient.0,
        window.doctor.0,
        window.purpose.as_str(),
        window.opened_at,
        window.expires_at,
        window.patient_key.0,
        window.sealed_reason,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A window.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    conn: &mut PgConnection,
    id: BreakGlassWindowId,
) -> Result<Option<StoredWindow>, StoreError> {
    let found = reviewed_rows!("WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    found.map(TryInto::try_into).transpose()
}

/// A window; nobody changes it until the transaction ends. It is read when it is locked: whoever held the lock before may
/// have written its review into the trail.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: BreakGlassWindowId,
) -> Result<Option<StoredWindow>, StoreError> {
    let locked = sqlx::query_scalar!(
        "SELECT id FROM break_glass_windows WHERE id = $1 FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    if locked.is_none() {
        return Ok(None);
    }
    find(tx, id).await
}

/// Closes a window before its time, with its new seal; lock it first. Its end is written down by whoever closes it.
///
/// # Errors
/// [`StoreError`].
pub async fn close(
    conn: &mut PgConnection,
    window: &BreakGlassWindow,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE break_glass_windows
         SET closed_at = $2, end_recorded_at = $2, seal = $3, seal_key = $4
         WHERE id = $1
           AND closed_at IS NULL",
        window.id.0,
        window.closed_at,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reviews a window; lock it first.
///
/// # Errors
/// [`StoreError`].
pub async fn review(
    conn: &mut PgConnection,
    id: BreakGlassWindowId,
    review: &WindowReview,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE break_glass_windows
         SET reviewed_at = $2, reviewed_by = $3, decision = $4, sealed_note = $5
         WHERE id = $1
           AND reviewed_at IS NULL",
        id.0,
        review.at,
        review.by.0,
        review.decision.as_str(),
        review.sealed_note,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes the row of a window tell the review that the trail knows, with the note that it has; lock it first. The database
/// refuses another one.
///
/// # Errors
/// [`StoreError`].
pub async fn restore_review(
    conn: &mut PgConnection,
    id: BreakGlassWindowId,
    known: &WindowReview,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE break_glass_windows
         SET reviewed_at = $2, reviewed_by = $3, decision = $4
         WHERE id = $1",
        id.0,
        known.at,
        known.by.0,
        known.decision.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the review out of a window of which the trail knows none; lock it first. Where the trail knows one, the database
/// refuses.
///
/// # Errors
/// [`StoreError`].
pub async fn clear_review(
    conn: &mut PgConnection,
    id: BreakGlassWindowId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE break_glass_windows
         SET reviewed_at = NULL, reviewed_by = NULL, decision = NULL, sealed_note = NULL
         WHERE id = $1",
        id.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where a page of windows goes on: after the one opened then, with that id.
pub type WindowCursor = (DateTime<Utc>, Uuid);

/// Whose windows a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowsOf {
    /// Those that a doctor opened.
    Doctor(UserId),
    /// Those on a patient's records.
    Patient(UserId),
}

/// Somebody's windows, newest first. Served by `idx_break_glass_windows_doctor_page` and
/// `idx_break_glass_windows_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn own(
    conn: &mut PgConnection,
    whose: WindowsOf,
    asked: KeysetPage<WindowCursor>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (at, id) = (asked.from.map(|(at, _)| at), asked.from.map(|(_, id)| id));
    let found = match whose {
        WindowsOf::Doctor(doctor) => either_way!(
            conn,
            asked.backward,
            reviewed_rows!(
                "WHERE doctor_id = $1
                   AND ($2::timestamptz IS NULL OR (opened_at, id) < ($2, $3::uuid))
                 ORDER BY opened_at DESC, id DESC
                 LIMIT $4",
                "WHERE doctor_id = $1
                   AND ($2::timestamptz IS NULL OR (opened_at, id) > ($2, $3::uuid))
                 ORDER BY opened_at, id
                 LIMIT $4",
                doctor.0,
                at,
                id,
                asked.limit,
            )
        ),
        WindowsOf::Patient(patient) => either_way!(
            conn,
            asked.backward,
            reviewed_rows!(
                "WHERE patient_id = $1
                   AND ($2::timestamptz IS NULL OR (opened_at, id) < ($2, $3::uuid))
                 ORDER BY opened_at DESC, id DESC
                 LIMIT $4",
                "WHERE patient_id = $1
                   AND ($2::timestamptz IS NULL OR (opened_at, id) > ($2, $3::uuid))
                 ORDER BY opened_at, id
                 LIMIT $4",
                patient.0,
                at,
                id,
                asked.limit,
            )
        ),
    };
    read_all(found)
}

/// The windows on somebody's records and those that they opened, newest first. Served by `idx_break_glass_windows_doctor_page` and
/// `idx_break_glass_windows_patient_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn concerning(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<WindowCursor>,
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let found = reviewed_rows!(
        "WHERE (patient_id = $1 OR doctor_id = $1)
           AND ($2::timestamptz IS NULL OR (opened_at, id) < ($2, $3::uuid))
         ORDER BY opened_at DESC, id DESC
         LIMIT $4",
        user.0,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(conn)
    .await?;
    read_all(found)
}

/// Asks for a page of the queue of reviews, either way; `$forward` and `$back` say of which windows.
macro_rules! queue {
    ($conn:expr, $asked:expr, $forward:tt, $back:tt $(,)?) => {
        either_way!(
            $conn,
            $asked.backward,
            reviewed_rows!(
                $forward,
                $back,
                $asked.from.map(|(at, _)| at),
                $asked.from.map(|(_, id)| id),
                $asked.limit,
            )
        )
    };
}

/// The windows whose review stands here, oldest first; for `None` all that nobody has reviewed. Served by
/// `idx_break_glass_windows_pending` and `idx_break_glass_windows_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn queue(
    conn: &mut PgConnection,
    status: Option<ReviewStatus>,
    asked: KeysetPage<WindowCursor>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let found = match status {
        None => queue!(
            conn,
            asked,
            "WHERE reviewed_at IS NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) > ($1, $2::uuid))
             ORDER BY opened_at, id
             LIMIT $3",
            "WHERE reviewed_at IS NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
             ORDER BY opened_at DESC, id DESC
             LIMIT $3",
        ),
        Some(ReviewStatus::Pending) => queue!(
            conn,
            asked,
            "WHERE reviewed_at IS NULL AND escalated_at IS NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) > ($1, $2::uuid))
             ORDER BY opened_at, id
             LIMIT $3",
            "WHERE reviewed_at IS NULL AND escalated_at IS NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
             ORDER BY opened_at DESC, id DESC
             LIMIT $3",
        ),
        Some(ReviewStatus::Escalated) => queue!(
            conn,
            asked,
            "WHERE reviewed_at IS NULL AND escalated_at IS NOT NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) > ($1, $2::uuid))
             ORDER BY opened_at, id
             LIMIT $3",
            "WHERE reviewed_at IS NULL AND escalated_at IS NOT NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
             ORDER BY opened_at DESC, id DESC
             LIMIT $3",
        ),
        Some(ReviewStatus::Reviewed) => queue!(
            conn,
            asked,
            "WHERE reviewed_at IS NOT NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) > ($1, $2::uuid))
             ORDER BY opened_at, id
             LIMIT $3",
            "WHERE reviewed_at IS NOT NULL
               AND ($1::timestamptz IS NULL OR (opened_at, id) < ($1, $2::uuid))
             ORDER BY opened_at DESC, id DESC
             LIMIT $3",
        ),
    };
    read_all(found)
}

/// What was disclosed by a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowDisclosures {
    /// How many requests disclosed something.
    pub requests: i64,
    /// How many records were disclosed: opened, or shown in a list.
    pub records: i64,
}

/// What was disclosed by each of these windows, in their order, as the trail says. The one place that knows by which
/// rows: those that a list names in `record_ids`, and one `RECORD_READ` for each that was opened. Served by `idx_audit_logs_emergencies`.
///
/// # Errors
/// [`StoreError`].
pub async fn disclosures(
    conn: &mut PgConnection,
    windows: &[&BreakGlassWindow],
) -> Result<Vec<WindowDisclosures>, StoreError> {
    let column = |cell: fn(&BreakGlassWindow) -> Uuid| -> Vec<Uuid> {
        windows.iter().map(|window| cell(window)).collect()
    };
    let time = |cell: fn(&BreakGlassWindow) -> DateTime<Utc>| -> Vec<DateTime<Utc>> {
        windows.iter().map(|window| cell(window)).collect()
    };
    let purposes: Vec<String> = windows.iter().map(|it| it.purpose.to_string()).collect();
    let found = sqlx::query_as!(
        WindowDisclosures,
        r#"SELECT
            counted.requests AS "requests!",
            counted.records AS "records!"
         FROM UNNEST(
             $1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[]
         ) WITH ORDINALITY AS asked(patient_id, doctor_id, purpose, opened_at, ended_at, nth)
         CROSS JOIN LATERAL (
             SELECT
                 count(DISTINCT request_id) AS requests,
                 count(DISTINCT named.record_id) AS records
             FROM audit_logs
             -- A list names its records in one row; what was opened has a row of its own besides.
             LEFT JOIN LATERAL UNNEST(
                 CASE WHEN action_type = 'RECORD_READ' THEN ARRAY[resource_id] ELSE record_ids END
             ) AS named(record_id) ON TRUE
             WHERE patient_id = asked.patient_id
               AND user_id = asked.doctor_id
               AND audit_logs.purpose = asked.purpose
               AND audit_logs.purpose IN ('BTG', 'ETREAT')
               AND event_time >= asked.opened_at
               AND event_time < asked.ended_at
               AND action_type IN ('RECORD_READ', 'RECORD_SEARCH', 'RECORD_VERIFY')
               AND (action_type <> 'RECORD_SEARCH' OR record_ids IS NOT NULL)
               AND consent_reference IS NULL
         ) AS counted
         ORDER BY asked.nth"#,
        &column(|it| it.patient.0),
        &column(|it| it.doctor.0),
        &purposes,
        &time(|it| it.opened_at),
        &time(BreakGlassWindow::ends_at),
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}
