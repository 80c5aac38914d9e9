//! What patients allow and refuse.

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    consents::{Activity, Consent, Grantee, Terms},
    ids::{ConsentId, UserId},
    purpose::Purpose,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, rows};

struct ConsentRow {
    id: Uuid,
    user_id: Uuid,
    purpose: String,
    consent_given_at: DateTime<Utc>,
    consent_expires_at: Option<DateTime<Utc>>,
    consent_withdrawn_at: Option<DateTime<Utc>>,
    data_categories: Value,
    processing_activities: Value,
    third_parties: Option<Value>,
}

impl TryFrom<ConsentRow> for Consent {
    type Error = StoreError;
    fn try_from(row: ConsentRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: ConsentId(row.id),
            patient: UserId(row.user_id),
            purpose: rows::text(&row.purpose, "purpose")?,
            given_at: row.consent_given_at,
            expires_at: row.consent_expires_at,
            withdrawn_at: row.consent_withdrawn_at,
            categories: rows::json(row.data_categories, "data category")?,
            activities: rows::json(row.processing_activities, "processing activity")?,
            grantees: rows::json(row.third_parties.unwrap_or_else(|| json!([])), "grantee")?,
        })
    }
}

/// Gives a consent, from now on by the database's clock.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    id: ConsentId,
    patient: UserId,
    terms: &Terms,
) -> Result<Consent, StoreError> {
    let row = sqlx::query_as!(
        ConsentRow,
        "INSERT INTO data_processing_consents (
             id, user_id, purpose, consent_given_at, consent_expires_at, data_categories,
             processing_activities, third_parties
         )
         VALUES ($1, $2, $3, decision_time(), $4, $5, $6, $7)
         RETURNING id, user_id, purpose, consent_given_at, consent_expires_at,
                   consent_withdrawn_at, data_categories, processing_activities, third_parties",
        id.0,
        patient.0,
        terms.purpose.as_str(),
        terms.expires_at,
        json!(terms.categories),
        json!(terms.activities),
        json!(terms.grantees),
    )
    .fetch_one(conn)
    .await?;
    row.try_into()
}

/// Takes a consent of this patient back. `None` where there is none, or it was taken back before.
///
/// # Errors
/// [`StoreError`].
pub async fn withdraw(
    conn: &mut PgConnection,
    id: ConsentId,
    patient: UserId,
) -> Result<Option<Consent>, StoreError> {
    let row = sqlx::query_as!(
        ConsentRow,
        "UPDATE data_processing_consents
         SET consent_withdrawn_at = decision_time()
         WHERE id = $1
           AND user_id = $2
           AND consent_withdrawn_at IS NULL
         RETURNING id, user_id, purpose, consent_given_at, consent_expires_at,
                   consent_withdrawn_at, data_categories, processing_activities, third_parties",
        id.0,
        patient.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Consent::try_from).transpose()
}

/// One consent of this patient.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(
    conn: &mut PgConnection,
    id: ConsentId,
    patient: UserId,
) -> Result<Option<Consent>, StoreError> {
    let row = sqlx::query_as!(
        ConsentRow,
        "SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                data_categories, processing_activities, third_parties
         FROM data_processing_consents
         WHERE id = $1
           AND user_id = $2",
        id.0,
        patient.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Consent::try_from).transpose()
}

/// Every consent of these patients that holds at this moment: the facts `domain::access` decides by.
/// Served by `idx_data_processing_consents_open`, so that what is over costs nothing; no more than
/// `domain::consents::MAX_CONSENTS_IN_FORCE` of a patient hold at once.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force(
    conn: &mut PgConnection,
    patients: &[UserId],
    now: DateTime<Utc>,
) -> Result<Vec<Consent>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        ConsentRow,
        "SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                data_categories, processing_activities, third_parties
         FROM data_processing_consents
         WHERE user_id = ANY($1)
           AND consent_given_at <= $2
           AND COALESCE(LEAST(consent_expires_at, consent_withdrawn_at), 'infinity'::timestamptz) > $2
         ORDER BY id",
        &patients,
        now,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Consent::try_from).collect()
}

/// The consents in force that let an actor search for a purpose, as far as whom they name and what for
/// says, and the same patients' refusals. `None` where more than `most` let them: too many to hold in
/// hand. Served by `idx_data_processing_consents_third_parties`
/// and `idx_data_processing_consents_user`.
///
/// # Errors
/// [`StoreError`].
pub async fn reaching(
    conn: &mut PgConnection,
    actor: Actor,
    purpose: Purpose,
    most: i64,
) -> Result<Option<Vec<Consent>>, StoreError> {
    let covering: Vec<String> = purpose.covering().iter().map(ToString::to_string).collect();
    let organization = actor
        .organization
        .map(|id| json!([{"kind": "org", "id": id}]));
    let found = sqlx::query_as!(
        ConsentRow,
        "WITH near AS MATERIALIZED (
             SELECT user_id
             FROM data_processing_consents
             WHERE purpose = ANY($1)
               AND (third_parties @> $2 OR third_parties @> $3 OR third_parties @> $4)
               AND processing_activities ? 'SEARCH'
               AND consent_given_at <= statement_timestamp()
               AND (consent_expires_at IS NULL OR consent_expires_at > statement_timestamp())
               AND (consent_withdrawn_at IS NULL OR consent_withdrawn_at > statement_timestamp())
             LIMIT $5::bigint + 1
         )
         SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                data_categories, processing_activities, third_parties
         FROM data_processing_consents
         WHERE user_id IN (SELECT user_id FROM near)
           AND purpose = ANY($1)
           AND (third_parties @> $2 OR third_parties @> $3 OR third_parties @> $4
               OR COALESCE(third_parties, '[]') = '[]')
           AND consent_given_at <= statement_timestamp()
           AND (consent_expires_at IS NULL OR consent_expires_at > statement_timestamp())
           AND (consent_withdrawn_at IS NULL OR consent_withdrawn_at > statement_timestamp())
         ORDER BY id",
        &covering,
        json!([Grantee::User { id: actor.id }]),
        json!([Grantee::Role { role: actor.role }]),
        organization,
        most,
    )
    .fetch_all(conn)
    .await?;
    let found: Vec<Consent> = found
        .into_iter()
        .map(Consent::try_from)
        .collect::<Result<_, _>>()?;
    // What was looked for first is among the rows: as many of it as were asked for, or all there is.
    let lets_search =
        |c: &&Consent| c.activities.contains(&Activity::Search) && !c.grantees.is_empty();
    let is_whole = i64::try_from(found.iter().filter(lets_search).count()).is_ok_and(|n| n <= most);
    Ok(is_whole.then_some(found))
}

/// Where a page of consents goes on.
pub type ConsentCursor = (DateTime<Utc>, ConsentId);

/// A patient's consents, newest first. Served by `idx_data_processing_consents_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    patient: UserId,
    active_only: bool,
    after: Option<ConsentCursor>,
    limit: i64,
) -> Result<Vec<Consent>, StoreError> {
    let found = sqlx::query_as!(
        ConsentRow,
        "SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                data_categories, processing_activities, third_parties
         FROM data_processing_consents
         WHERE user_id = $1
           AND (NOT $2 OR (
               consent_given_at <= statement_timestamp()
               AND (consent_expires_at IS NULL OR consent_expires_at > statement_timestamp())
               AND (consent_withdrawn_at IS NULL OR consent_withdrawn_at > statement_timestamp())
           ))
           AND ($3::timestamptz IS NULL OR (consent_given_at, id) < ($3, $4::uuid))
         ORDER BY consent_given_at DESC, id DESC
         LIMIT $5",
        patient.0,
        active_only,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Consent::try_from).collect()
}
