//! What patients allow and refuse.

pub mod history;
pub(crate) mod named;
pub mod reach;

use std::mem;

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    consents::Consent,
    ids::{ConsentId, UserId},
    purpose::Purpose,
    seals::{Seal, Sealed, StoredConsents},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use self::named::NamedActor;
use crate::{StoreError, Tx, rows, seals::AuthorityRow};

/// Asks for consents, as [`ConsentRow`] holds them; `$which` says for which.
macro_rules! consent_rows {
    ($which:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::consents::ConsentRow,
            "SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                    data_categories, processing_activities, third_parties, seal, seal_key
             FROM data_processing_consents " + $which,
            $($argument),+
        )
    };
}
pub(crate) use consent_rows;

pub(crate) struct ConsentRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) purpose: String,
    pub(crate) consent_given_at: DateTime<Utc>,
    pub(crate) consent_expires_at: Option<DateTime<Utc>>,
    pub(crate) consent_withdrawn_at: Option<DateTime<Utc>>,
    pub(crate) data_categories: Value,
    pub(crate) processing_activities: Value,
    pub(crate) third_parties: Option<Value>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<ConsentRow> for Sealed<Consent> {
    type Error = StoreError;
    fn try_from(row: ConsentRow) -> Result<Self, StoreError> {
        let consent = Consent {
            id: ConsentId(row.id),
            patient: UserId(row.user_id),
            purpose: rows::text(&row.purpose, "purpose")?,
            given_at: row.consent_given_at,
            expires_at: row.consent_expires_at,
            withdrawn_at: row.consent_withdrawn_at,
            categories: rows::json(row.data_categories, "data category")?,
            activities: rows::json(row.processing_activities, "processing activity")?,
            grantees: rows::json(row.third_parties.unwrap_or_else(|| json!([])), "grantee")?,
        };
        Ok(Self::new(consent, Seal::of(row.seal, row.seal_key)))
    }
}

/// Consents beside the accounts whose they are, as an outer join gives them.
struct OfPatient {
    account_id: Uuid,
    email: String,
    username: String,
    role: String,
    is_active: bool,
    is_system: bool,
    organization_id: Option<Uuid>,
    hashed_password: String,
    blockchain_address: Option<String>,
    has_second_factor: bool,
    refusals: Vec<Uuid>,
    account_seal: Option<Vec<u8>>,
    account_seal_key: Option<String>,
    id: Option<Uuid>,
    user_id: Option<Uuid>,
    purpose: Option<String>,
    consent_given_at: Option<DateTime<Utc>>,
    consent_expires_at: Option<DateTime<Utc>>,
    consent_withdrawn_at: Option<DateTime<Utc>>,
    data_categories: Option<Value>,
    processing_activities: Option<Value>,
    third_parties: Option<Value>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

/// A patient's account with one of its consents, if there are any.
pub(crate) struct ConsentOfPatient {
    pub(crate) account: AuthorityRow,
    pub(crate) consent: Option<ConsentRow>,
    /// Whether it says that there are consents which were not asked for.
    pub(crate) is_left_out: bool,
}

impl OfPatient {
    fn split(mut self) -> ConsentOfPatient {
        let account = AuthorityRow {
            id: self.account_id,
            email: mem::take(&mut self.email),
            username: mem::take(&mut self.username),
            role: mem::take(&mut self.role),
            is_active: self.is_active,
            is_system: self.is_system,
            organization_id: self.organization_id,
            hashed_password: mem::take(&mut self.hashed_password),
            blockchain_address: self.blockchain_address.take(),
            has_second_factor: self.has_second_factor,
            refusals: mem::take(&mut self.refusals),
            seal: self.account_seal.take(),
            seal_key: self.account_seal_key.take(),
        };
        ConsentOfPatient {
            account,
            consent: self.consent(),
            is_left_out: false,
        }
    }

    fn consent(self) -> Option<ConsentRow> {
        Some(ConsentRow {
            id: self.id?,
            user_id: self.user_id?,
            purpose: self.purpose?,
            consent_given_at: self.consent_given_at?,
            consent_expires_at: self.consent_expires_at,
            consent_withdrawn_at: self.consent_withdrawn_at,
            data_categories: self.data_categories?,
            processing_activities: self.processing_activities?,
            third_parties: self.third_parties,
            seal: self.seal,
            seal_key: self.seal_key,
        })
    }
}

/// Asks for the accounts with the ids in `$1`, each with those of its consents for which `$holds`, and with every
/// refusal that it names, whatever its row says.
macro_rules! of_patients {
    ($holds:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            OfPatient,
            r#"SELECT
                account.id AS account_id, account.email, account.username, account.role, account.is_active,
                account.is_system, account.organization_id, account.hashed_password,
                account.blockchain_address, account.has_second_factor, account.refusals, account.seal AS account_seal,
                account.seal_key AS account_seal_key,
                consent.id AS "id?", consent.user_id AS "user_id?", consent.purpose AS "purpose?",
                consent.consent_given_at AS "consent_given_at?", consent.consent_expires_at,
                consent.consent_withdrawn_at, consent.data_categories AS "data_categories?",
                consent.processing_activities AS "processing_activities?", consent.third_parties,
                consent.seal, consent.seal_key
             FROM users AS account
             LEFT JOIN LATERAL (
                 SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                        data_categories, processing_activities, third_parties, seal, seal_key
                 FROM data_processing_consents
                 WHERE user_id = account.id
                   AND "# + $holds + r#"
                 UNION ALL
                 SELECT id, user_id, purpose, consent_given_at, consent_expires_at, consent_withdrawn_at,
                        data_categories, processing_activities, third_parties, seal, seal_key
                 FROM data_processing_consents
                 WHERE id = ANY(account.refusals)
             ) AS consent ON TRUE
             WHERE account.id = ANY($1)
             ORDER BY account.id, consent.id"#,
            $($argument),+
        )
    };
}

/// Rows in the order of accounts and consents, each once. A consent that cannot be read is named.
pub(crate) fn gather(
    found: impl IntoIterator<Item = ConsentOfPatient>,
) -> Result<StoredConsents, StoreError> {
    let mut all = StoredConsents::default();
    let (mut account, mut consent) = (None, None);
    for row in found {
        let ConsentOfPatient {
            account: of,
            consent: row,
            is_left_out,
        } = row;
        let owner = of.id;
        if is_left_out {
            all.left_out.push(UserId(owner));
        }
        if account.replace(owner) != Some(owner) {
            all.patients.push(of.try_into()?);
        }
        let Some(row) = row.filter(|row| consent.replace(row.id) != Some(row.id)) else {
            continue;
        };
        let id = row.id;
        match row.try_into() {
            Ok(row) => all.consents.push(row),
            Err(_) => all.unreadable.push((UserId(owner), id)),
        }
    }
    Ok(all)
}

/// Stores a consent, with its seal.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    conn: &mut PgConnection,
    consent: &Consent,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO data_processing_consents (
             id, user_id, purpose, consent_given_at, consent_expires_at, data_categories,
             processing_activities, third_parties, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        consent.id.0,
        consent.patient.0,
        consent.purpose.as_str(),
        consent.given_at,
        consent.expires_at,
        json!(consent.categories),
        json!(consent.activities),
        json!(consent.grantees),
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a consent back, with its new seal; lock it first. False where it was taken back before.
///
/// # Errors
/// [`StoreError`].
pub async fn withdraw(
    conn: &mut PgConnection,
    consent: &Consent,
    seal: &Seal,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE data_processing_consents
         SET consent_withdrawn_at = $2, seal = $3, seal_key = $4
         WHERE id = $1
           AND consent_withdrawn_at IS NULL",
        consent.id.0,
        consent.withdrawn_at,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a consent back that is not as it was sealed; lock it first. It gets no seal for that: it stays a finding.
///
/// # Errors
/// [`StoreError`].
pub async fn withdraw_unsealed(
    conn: &mut PgConnection,
    consent: &Consent,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE data_processing_consents
         SET consent_withdrawn_at = $2
         WHERE id = $1
           AND consent_withdrawn_at IS NULL",
        consent.id.0,
        consent.withdrawn_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One consent of this patient; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: ConsentId,
    patient: UserId,
) -> Result<Option<Sealed<Consent>>, StoreError> {
    let row = consent_rows!(
        "WHERE id = $1
           AND user_id = $2
         FOR NO KEY UPDATE",
        id.0,
        patient.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Every consent of these patients that holds now, and every refusal that their accounts name, whatever
/// its row says: the facts `domain::access` decides by, once their seals are checked.
/// Served by `idx_data_processing_consents_open`, so that what is over costs nothing; no more than
/// `domain::consents::MAX_CONSENTS_IN_FORCE` of a patient hold at once.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force(
    conn: &mut PgConnection,
    patients: &[UserId],
    now: DateTime<Utc>,
) -> Result<StoredConsents, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = of_patients!(
        "is_in_force(consent_given_at, consent_expires_at, consent_withdrawn_at, $2)",
        &patients,
        now,
    )
    .fetch_all(conn)
    .await?;
    gather(found.into_iter().map(OfPatient::split))
}

/// The same by the clock of the statement, for who checks them after an answer and decides nothing by them.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force_now(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<StoredConsents, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = of_patients!(
        "/* after an answer */
         is_in_force(consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp())",
        &patients,
    )
    .fetch_all(conn)
    .await?;
    gather(found.into_iter().map(OfPatient::split))
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
) -> Result<Option<StoredConsents>, StoreError> {
    let covering: Vec<String> = purpose.covering().iter().map(ToString::to_string).collect();
    let named = NamedActor::of(&actor);
    let near = sqlx::query_scalar!(
        "SELECT user_id
         FROM data_processing_consents
         WHERE purpose = ANY($1)
           AND third_parties @> ANY($2)
           AND processing_activities ? 'SEARCH'
           AND is_in_force(
               consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp())
         LIMIT $3::bigint + 1",
        &covering,
        &named.lets_in(),
        most,
    )
    .fetch_all(&mut *conn)
    .await?;
    if i64::try_from(near.len()).is_ok_and(|found| found > most) {
        return Ok(None);
    }
    let found = of_patients!(
        "purpose = ANY($2)
         AND (third_parties @> ANY($3) OR third_parties @> ANY($4)
             OR COALESCE(third_parties, '[]') = '[]')
         AND is_in_force(
             consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp())",
        &near,
        &covering,
        &named.lets_in(),
        &named.refused,
    )
    .fetch_all(conn)
    .await?;
    gather(found.into_iter().map(OfPatient::split)).map(Some)
}

/// Where a page of consents goes on.
pub type ConsentCursor = (DateTime<Utc>, ConsentId);

/// These consents, whatever became of them. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(
    conn: &mut PgConnection,
    ids: &[ConsentId],
) -> Result<Vec<Sealed<Consent>>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = consent_rows!(
        "WHERE id = ANY($1)
         ORDER BY id",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// A patient's consents, newest first; `backward`, those before a consent of that order, oldest first. Served by
/// `idx_data_processing_consents_user_page`, read either way.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    patient: UserId,
    active_only: bool,
    from: Option<ConsentCursor>,
    backward: bool,
    limit: i64,
) -> Result<Vec<Sealed<Consent>>, StoreError> {
    let found = if backward {
        consent_rows!(
            "WHERE user_id = $1
               AND (NOT $2 OR is_in_force(
                   consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp()))
               AND ($3::timestamptz IS NULL OR (consent_given_at, id) > ($3, $4::uuid))
             ORDER BY consent_given_at, id
             LIMIT $5",
            patient.0,
            active_only,
            from.map(|(at, _)| at),
            from.map(|(_, id)| id.0),
            limit,
        )
        .fetch_all(conn)
        .await?
    } else {
        consent_rows!(
            "WHERE user_id = $1
               AND (NOT $2 OR is_in_force(
                   consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp()))
               AND ($3::timestamptz IS NULL OR (consent_given_at, id) < ($3, $4::uuid))
             ORDER BY consent_given_at DESC, id DESC
             LIMIT $5",
            patient.0,
            active_only,
            from.map(|(at, _)| at),
            from.map(|(_, id)| id.0),
            limit,
        )
        .fetch_all(conn)
        .await?
    };
    found.into_iter().map(TryInto::try_into).collect()
}

/// How many consents [`page`] gives on all pages. Served by `idx_data_processing_consents_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn count(
    conn: &mut PgConnection,
    patient: UserId,
    active_only: bool,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
         FROM data_processing_consents
         WHERE user_id = $1
           AND (NOT $2 OR is_in_force(
               consent_given_at, consent_expires_at, consent_withdrawn_at, statement_timestamp()))"#,
        patient.0,
        active_only,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}
