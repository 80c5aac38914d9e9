//! Who lets somebody in: pages of patients, and of consents. What each comes to is for `domain::access` to say,
//! with the patient's other consents and their seals.

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    ids::{ConsentId, UserId},
    purpose::Purpose,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ConsentCursor, named::NamedActor};
use crate::StoreError;

/// Patients of whom a consent in force names this actor and permits something for this purpose, in the order of
/// their ids. Served by `idx_data_processing_consents_third_parties`.
///
/// # Errors
/// [`StoreError`].
pub async fn letting_in(
    conn: &mut PgConnection,
    actor: Actor,
    purpose: Purpose,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserId>, StoreError> {
    let covering: Vec<String> = purpose.covering().iter().map(ToString::to_string).collect();
    let named = NamedActor::of(&actor);
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT user_id
         FROM data_processing_consents
         WHERE purpose = ANY($1)
           AND third_parties @> ANY($2)
           AND NOT processing_activities ? 'DENY'
           AND is_in_force(
               consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp())
           AND ($3::uuid IS NULL OR user_id > $3)
         ORDER BY user_id
         LIMIT $4",
        &covering,
        &named.lets_in(),
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// A consent in force that names somebody, as far as its row says.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// Which.
    pub consent: ConsentId,
    /// Whose.
    pub patient: UserId,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// Consents in force that name this actor and permit something, for whatever purpose, newest first. Served by
/// `idx_data_processing_consents_third_parties`.
///
/// # Errors
/// [`StoreError`].
pub async fn given_to(
    conn: &mut PgConnection,
    actor: Actor,
    after: Option<ConsentCursor>,
    limit: i64,
) -> Result<Vec<Given>, StoreError> {
    let named = NamedActor::of(&actor);
    let found = sqlx::query!(
        "SELECT id, user_id, consent_given_at
         FROM data_processing_consents
         WHERE third_parties @> ANY($1)
           AND NOT processing_activities ? 'DENY'
           AND is_in_force(
               consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp())
           AND ($2::timestamptz IS NULL OR (consent_given_at, id) < ($2, $3::uuid))
         ORDER BY consent_given_at DESC, id DESC
         LIMIT $4",
        &named.lets_in(),
        after.map(|(at, _)| at),
        after.map(|(_, id): (_, ConsentId)| id.0) as Option<Uuid>,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let given = found.into_iter().map(|row| Given {
        consent: ConsentId(row.id),
        patient: UserId(row.user_id),
        at: row.consent_given_at,
    });
    Ok(given.collect())
}
