//! What became of consents.

use chrono::{DateTime, Utc};
use domain::{
    consents::Consent,
    ids::{ConsentId, UserId},
    seals::Sealed,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ConsentCursor, consent_rows};
use crate::StoreError;

/// What happened to a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was given.
    Given,
    /// It was taken back.
    Withdrawn,
    /// Its time was over before it was taken back.
    Expired,
}

/// Something that happened to a consent.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// To which.
    pub consent: ConsentId,
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: DateTime<Utc>,
}

/// What happened to a patient's consents until now, newest first. Served by `idx_data_processing_consents_user`.
///
/// # Errors
/// [`StoreError`].
pub async fn events(
    conn: &mut PgConnection,
    patient: UserId,
    now: DateTime<Utc>,
    after: Option<ConsentCursor>,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT consent.id, event.kind AS "kind!", event.at AS "at!"
         FROM data_processing_consents AS consent
         CROSS JOIN LATERAL (
             VALUES
                 ('GIVEN', consent_given_at),
                 ('WITHDRAWN', consent_withdrawn_at),
                 ('EXPIRED', CASE
                     WHEN consent_expires_at < COALESCE(consent_withdrawn_at, 'infinity')
                     THEN consent_expires_at
                 END)
         ) AS event(kind, at)
         WHERE consent.user_id = $1
           AND event.at <= $2
           AND ($3::timestamptz IS NULL OR (event.at, consent.id) < ($3, $4::uuid))
         ORDER BY event.at DESC, consent.id DESC
         LIMIT $5"#,
        patient.0,
        now,
        after.map(|(at, _)| at),
        after.map(|(_, id): (_, ConsentId)| id.0) as Option<Uuid>,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let events = found.into_iter().map(|row| Event {
        consent: ConsentId(row.id),
        kind: match row.kind.as_str() {
            "GIVEN" => EventKind::Given,
            "WITHDRAWN" => EventKind::Withdrawn,
            _ => EventKind::Expired,
        },
        at: row.at,
    });
    Ok(events.collect())
}

/// Consents by id; unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(
    conn: &mut PgConnection,
    ids: &[ConsentId],
) -> Result<Vec<Sealed<Consent>>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = consent_rows!("WHERE id = ANY($1) ORDER BY id", &ids)
        .fetch_all(conn)
        .await?;
    found.into_iter().map(TryInto::try_into).collect()
}
