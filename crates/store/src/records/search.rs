//! Finding records: pages in an order that writers do not disturb, and exact totals. What a caller may
//! not see is neither shown, skipped nor counted.
//!
//! There are two ways, each with an index for it. *Of these patients*: the caller has decided whose
//! records of which types may be seen, and each patient's newest are taken by
//! `idx_medical_records_patient_page` or `_patient_effective`, so that a page costs the same however
//! many records there are. *Of everybody*: the rule of `domain::access::decide` for SEARCH in SQL, for
//! what an index finds across patients (codes, an author, metadata), and for somebody whom so many
//! patients let in that naming them all would take longer. There the planner chooses by the values, so
//! that the rare one leads.

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    consents::Grantee,
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::RecordType,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Record, RecordRow};
use crate::{StoreError, Tx};

/// Which records. What is `None` or empty matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these types.
    pub record_types: Vec<RecordType>,
    /// Stored at or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Stored before.
    pub created_to: Option<DateTime<Utc>>,
    /// So at or after; what does not say when it was so counts by when it was stored.
    pub effective_from: Option<DateTime<Utc>>,
    /// So before.
    pub effective_to: Option<DateTime<Utc>>,
    /// Written by.
    pub author: Option<UserId>,
    /// Whether nothing of the record type's bullets is missing.
    pub complete: Option<bool>,
    /// With all of these keys and values among its metadata.
    pub metadata: Option<Value>,
    /// With a code among these tokens of the blind index.
    pub tokens: Option<Vec<Vec<u8>>>,
    /// Versions that another one has superseded, too.
    pub with_superseded: bool,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Last stored first.
    CreatedDescending,
    /// First stored first.
    CreatedAscending,
    /// Latest first by what the document says; by when it was stored where it says nothing.
    EffectiveDescending,
    /// Earliest first by the same.
    EffectiveAscending,
}

impl Order {
    /// Where a record stands in this order.
    pub fn page_key(self, record: &Record) -> PageKey {
        let at = match self {
            Self::CreatedDescending | Self::CreatedAscending => record.created_at,
            Self::EffectiveDescending | Self::EffectiveAscending => {
                record.effective_at.unwrap_or(record.created_at)
            }
        };
        (at, record.id)
    }
}

/// Where a page goes on: after this time and id of its order.
pub type PageKey = (DateTime<Utc>, RecordId);

/// A patient, and which of their records may be seen. No types: all.
#[derive(Debug, Clone)]
pub struct Visible {
    /// Whose.
    pub patient: UserId,
    /// Of which types, if not of all.
    pub types: Option<Vec<RecordType>>,
}

impl Visible {
    /// These of all their types; `None` where none is left.
    pub fn of(patient: UserId, types: &[RecordType]) -> Option<Self> {
        let types = (types.len() < RecordType::ALL.len()).then(|| types.to_vec());
        let some = types.as_ref().is_none_or(|types| !types.is_empty());
        some.then_some(Self { patient, types })
    }
}

/// The part of everybody's records that an actor may search for a purpose.
#[derive(Debug, Clone, Copy)]
pub struct Everybody {
    /// Who searches.
    pub actor: Actor,
    /// What for.
    pub purpose: Purpose,
    /// Of this patient alone.
    pub patient: Option<UserId>,
}

/// Puts a statement together. The checked macros take literals alone, so the texts that statements
/// share are handed to them as literals: the columns; what is filtered by, as `$1` to `$9`; and the rule
/// of `domain::access::decide` for SEARCH, with `$10` to `$15`. A bound that is not given is the end of
/// time, so that a plan made for all values can still use an index for it.
macro_rules! statement {
    (count $what:ident, $($argument:expr),+ $(,)?) => {
        statement!(@texts $what [] $($argument),+)
    };
    (page $what:ident in $order:expr, $($argument:expr),+ $(,)?) => {
        match $order {
            Order::CreatedDescending => statement!(@newest $what ["record.created_at"] $($argument),+),
            Order::CreatedAscending => statement!(@oldest $what ["record.created_at"] $($argument),+),
            Order::EffectiveDescending => statement!(
                @newest $what ["COALESCE(record.effective_at, record.created_at)"] $($argument),+
            ),
            Order::EffectiveAscending => statement!(
                @oldest $what ["COALESCE(record.effective_at, record.created_at)"] $($argument),+
            ),
        }
    };
    (@newest $what:ident [$key:tt] $($argument:expr),+) => {
        statement!(@texts $what [
            $key "DESC" "<" "'infinity'" "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
        ] $($argument),+)
    };
    (@oldest $what:ident [$key:tt] $($argument:expr),+) => {
        statement!(@texts $what [
            $key "ASC" ">" "'-infinity'" "'00000000-0000-0000-0000-000000000000'"
        ] $($argument),+)
    };
    (@texts $what:ident [$($piece:tt)*] $($argument:expr),+) => {
        $what!(
            "record.id, record.patient_id, record.author_id, record.record_type, record.version,
             record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata, record.missing_elements, record.data_hash,
             record.blockchain_record_id, record.restricted_at, record.erased_at,
             record.effective_at, record.created_at, record.updated_at",
            "record.erased_at IS NULL
             AND record.created_at >= COALESCE($1::timestamptz, '-infinity')
             AND record.created_at < COALESCE($2::timestamptz, 'infinity')
             AND COALESCE(record.effective_at, record.created_at) >= COALESCE($3::timestamptz, '-infinity')
             AND COALESCE(record.effective_at, record.created_at) < COALESCE($4::timestamptz, 'infinity')
             AND ($5::uuid IS NULL OR record.author_id = $5)
             AND ($6::boolean IS NULL OR (record.missing_elements IS NULL) = $6)
             AND ($7::jsonb IS NULL OR record.record_metadata @> $7)
             AND ($8::bytea[] IS NULL OR record.code_tokens && $8)
             AND ($9 OR record.superseded_at IS NULL)",
            "EXISTS (
                 SELECT FROM data_processing_consents AS consent
                 WHERE consent.user_id = record.patient_id
                   AND consent.purpose = ANY($10)
                   AND consent.consent_given_at <= statement_timestamp()
                   AND (consent.consent_expires_at IS NULL OR consent.consent_expires_at > statement_timestamp())
                   AND (consent.consent_withdrawn_at IS NULL OR consent.consent_withdrawn_at > statement_timestamp())
                   AND (consent.data_categories ? 'ALL_RECORDS' OR consent.data_categories ? record.record_type)
                   AND consent.processing_activities ? 'SEARCH'
                   AND NOT consent.processing_activities ? 'DENY'
                   AND (consent.third_parties @> $11 OR consent.third_parties @> $12 OR consent.third_parties @> $13)
             )
             AND NOT EXISTS (
                 SELECT FROM data_processing_consents AS refusal
                 WHERE refusal.user_id = record.patient_id
                   AND refusal.purpose = ANY($10)
                   AND refusal.consent_given_at <= statement_timestamp()
                   AND (refusal.consent_expires_at IS NULL OR refusal.consent_expires_at > statement_timestamp())
                   AND (refusal.consent_withdrawn_at IS NULL OR refusal.consent_withdrawn_at > statement_timestamp())
                   AND (refusal.data_categories ? 'ALL_RECORDS' OR refusal.data_categories ? record.record_type)
                   AND refusal.processing_activities ? 'DENY'
                   AND (COALESCE(refusal.third_parties, '[]') = '[]'
                       OR refusal.third_parties @> $11 OR refusal.third_parties @> $12 OR refusal.third_parties @> $13)
             )";
            $($piece)*; $($argument),+
        )
    };
}

macro_rules! page_of_these {
    ($columns:tt, $filter:tt, $rule:tt; $key:tt $direction:tt $beyond:tt $end:tt $last:tt; $conn:expr, $($argument:expr),+) => {
        sqlx::query_as!(
            RecordRow,
            "SELECT " + $columns + ", record.sealed_bytes AS \"sealed_bytes!\"
             FROM UNNEST($10::uuid[], $11::text[]) AS visible(patient_id, types)
             CROSS JOIN LATERAL (
                 SELECT " + $columns + ", octet_length(record.encrypted_data) AS sealed_bytes
                 FROM medical_records AS record
                 WHERE record.patient_id = visible.patient_id
                   AND (visible.types IS NULL OR record.record_type = ANY(string_to_array(visible.types, ',')))
                   AND ($12 OR record.restricted_at IS NULL)
                   AND (" + $key + ", record.id)
                       " + $beyond + " (COALESCE($13::timestamptz, " + $end + "), COALESCE($14::uuid, " + $last + "))
                   AND " + $filter + "
                 ORDER BY " + $key + " " + $direction + ", record.id " + $direction + "
                 LIMIT $15
             ) AS record
             ORDER BY " + $key + " " + $direction + ", record.id " + $direction + "
             LIMIT $15",
            $($argument),+
        )
        .fetch_all($conn).await
    };
}

macro_rules! page_of_everybody {
    ($columns:tt, $filter:tt, $rule:tt; $key:tt $direction:tt $beyond:tt $end:tt $last:tt; $conn:expr, $($argument:expr),+) => {
        sqlx::query_as!(
            RecordRow,
            "SELECT " + $columns + ", octet_length(record.encrypted_data) AS \"sealed_bytes!\"
             FROM medical_records AS record
             WHERE " + $filter + "
               AND ($16::uuid IS NULL OR record.patient_id = $16)
               AND ($17::text[] IS NULL OR record.record_type = ANY($17))
               AND (" + $key + ", record.id)
                   " + $beyond + " (COALESCE($18::timestamptz, " + $end + "), COALESCE($19::uuid, " + $last + "))
               AND CASE WHEN $14 THEN record.patient_id = $15
                   ELSE record.restricted_at IS NULL AND " + $rule + " END
             ORDER BY " + $key + " " + $direction + ", record.id " + $direction + "
             LIMIT $20",
            $($argument),+
        )
        .fetch_all($conn).await
    };
}

macro_rules! count_of_these {
    ($columns:tt, $filter:tt, $rule:tt; ; $conn:expr, $($argument:expr),+) => {
        sqlx::query_scalar!(
            "SELECT COALESCE(sum(mine.number), 0)::bigint AS \"count!\"
             FROM UNNEST($10::uuid[], $11::text[]) AS visible(patient_id, types)
             CROSS JOIN LATERAL (
                 SELECT count(*) AS number
                 FROM medical_records AS record
                 WHERE record.patient_id = visible.patient_id
                   AND (visible.types IS NULL OR record.record_type = ANY(string_to_array(visible.types, ',')))
                   AND ($12 OR record.restricted_at IS NULL)
                   AND " + $filter + "
             ) AS mine",
            $($argument),+
        )
        .fetch_one($conn).await
    };
}

macro_rules! count_of_everybody {
    ($columns:tt, $filter:tt, $rule:tt; ; $conn:expr, $($argument:expr),+) => {
        sqlx::query_scalar!(
            "WITH near AS MATERIALIZED (
                 SELECT DISTINCT user_id AS patient_id
                 FROM data_processing_consents
                 WHERE purpose = ANY($10)
                   AND (third_parties @> $11 OR third_parties @> $12 OR third_parties @> $13)
                   AND ($16::uuid IS NULL OR user_id = $16)
             ), let_in AS MATERIALIZED (
                 SELECT record.patient_id, record.record_type
                 FROM (
                     SELECT near.patient_id, kind.record_type
                     FROM near
                     CROSS JOIN UNNEST($18::text[]) AS kind(record_type)
                     WHERE NOT $14::boolean
                 ) AS record
                 WHERE " + $rule + "
                 UNION ALL
                 SELECT $15::uuid, kind.record_type
                 FROM UNNEST($18::text[]) AS kind(record_type)
                 WHERE $14
             )
             SELECT count(*) AS \"count!\"
             FROM let_in
             JOIN medical_records AS record
               ON record.patient_id = let_in.patient_id AND record.record_type = let_in.record_type
             WHERE " + $filter + "
               AND ($14 OR record.restricted_at IS NULL)
               AND ($16::uuid IS NULL OR record.patient_id = $16)
               AND ($17::text[] IS NULL OR record.record_type = ANY($17))",
            $($argument),+
        )
        .fetch_one($conn).await
    };
}

/// A page of the records of these patients. `restricted` shows those in the grace time of a deletion,
/// too. Served by `idx_medical_records_patient_page` and `idx_medical_records_patient_effective`.
///
/// # Errors
/// [`StoreError`].
pub async fn page_of(
    conn: &mut PgConnection,
    visible: &[Visible],
    restricted: bool,
    filter: &Filter,
    order: Order,
    after: Option<PageKey>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    let (patients, types) = columns_of(visible);
    let found = statement!(page page_of_these in order,
        conn,
        filter.created_from,
        filter.created_to,
        filter.effective_from,
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &patients,
        &types as &[Option<String>],
        restricted,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )?;
    found.into_iter().map(Record::try_from).collect()
}

/// How many records of these patients there are, exactly.
///
/// # Errors
/// [`StoreError`].
pub async fn count_of(
    conn: &mut PgConnection,
    visible: &[Visible],
    restricted: bool,
    filter: &Filter,
) -> Result<i64, StoreError> {
    let (patients, types) = columns_of(visible);
    let count = statement!(count count_of_these,
        conn,
        filter.created_from,
        filter.created_to,
        filter.effective_from,
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &patients,
        &types as &[Option<String>],
        restricted,
    )?;
    Ok(count)
}

fn columns_of(visible: &[Visible]) -> (Vec<Uuid>, Vec<Option<String>>) {
    let in_words = |types: &Vec<RecordType>| {
        let words: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
        words.join(",")
    };
    visible
        .iter()
        .map(|one| (one.patient.0, one.types.as_ref().map(in_words)))
        .unzip()
}

/// The values of the rule's parameters.
struct RuleValues {
    covering: Vec<String>,
    in_person: Value,
    by_role: Value,
    by_organization: Option<Value>,
    own: bool,
}

impl From<&Everybody> for RuleValues {
    fn from(everybody: &Everybody) -> Self {
        let Everybody { actor, purpose, .. } = everybody;
        Self {
            covering: purpose.covering().iter().map(ToString::to_string).collect(),
            in_person: json!([Grantee::User { id: actor.id }]),
            by_role: json!([Grantee::Role { role: actor.role }]),
            by_organization: actor
                .organization
                .map(|id| json!([{"kind": "org", "id": id}])),
            own: *purpose == Purpose::PatientRequest,
        }
    }
}

/// A page of the records of everybody that this actor may search for this purpose. Served by
/// `idx_medical_records_code_tokens`, `idx_medical_records_author_id`,
/// `idx_medical_records_record_metadata` and `idx_medical_records_created` or `_effective`.
///
/// # Errors
/// [`StoreError`].
pub async fn page_of_everybody(
    tx: &mut Tx<'_>,
    everybody: &Everybody,
    filter: &Filter,
    order: Order,
    after: Option<PageKey>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    plan_by_values(tx).await?;
    let rule = RuleValues::from(everybody);
    let types = names_of(&filter.record_types);
    let found = statement!(page page_of_everybody in order,
        &mut **tx,
        filter.created_from,
        filter.created_to,
        filter.effective_from,
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &rule.covering,
        rule.in_person,
        rule.by_role,
        rule.by_organization,
        rule.own,
        everybody.actor.id.0,
        everybody.patient.map(|id| id.0),
        types.as_deref() as Option<&[String]>,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )?;
    found.into_iter().map(Record::try_from).collect()
}

/// How many records of everybody this actor may search for this purpose, exactly.
///
/// # Errors
/// [`StoreError`].
pub async fn count_of_everybody(
    tx: &mut Tx<'_>,
    everybody: &Everybody,
    filter: &Filter,
) -> Result<i64, StoreError> {
    plan_by_values(tx).await?;
    let rule = RuleValues::from(everybody);
    let types = names_of(&filter.record_types);
    let all = names_of(RecordType::ALL).unwrap_or_default();
    let count = statement!(count count_of_everybody,
        &mut **tx,
        filter.created_from,
        filter.created_to,
        filter.effective_from,
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &rule.covering,
        rule.in_person,
        rule.by_role,
        rule.by_organization,
        rule.own,
        everybody.actor.id.0,
        everybody.patient.map(|id| id.0),
        types.as_deref() as Option<&[String]>,
        &all,
    )?;
    Ok(count)
}

fn names_of(types: &[RecordType]) -> Option<Vec<String>> {
    (!types.is_empty()).then(|| types.iter().map(ToString::to_string).collect())
}

/// Until the end of the transaction, a plan is made for the values at hand: which index is best depends
/// on whether a filter is given, and how rare its value is.
async fn plan_by_values(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('plan_cache_mode', 'force_custom_plan', TRUE)")
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}
