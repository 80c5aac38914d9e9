//! Who belongs to which organisation, from when to when. Only the end of a membership is ever written again, once.

use chrono::{DateTime, Utc};
use domain::{
    ids::{MembershipId, OrganizationId, UserId},
    organizations::Membership,
    seals::{Seal, Sealed},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    organizations::{OrganizationCursor, OrganizationRow, StoredOrganization},
    seals::Walk,
};

/// Asks for memberships, as [`MembershipRow`] holds them; `$which` says for which.
macro_rules! membership_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            MembershipRow,
            "SELECT id, user_id, organization_id, valid_from, valid_until, ended_at, created_at, seal, seal_key
             FROM memberships " + $which
            $(, $argument)*
        )
    };
}

struct MembershipRow {
    id: Uuid,
    user_id: Uuid,
    organization_id: Uuid,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
}

impl From<MembershipRow> for Sealed<Membership> {
    fn from(row: MembershipRow) -> Self {
        let membership = Membership {
            id: MembershipId(row.id),
            doctor: UserId(row.user_id),
            organization: OrganizationId(row.organization_id),
            from: row.valid_from,
            until: row.valid_until,
            ended_at: row.ended_at,
            created_at: row.created_at,
        };
        Self::new(membership, Seal::of(row.seal, row.seal_key))
    }
}

fn all(found: Vec<MembershipRow>) -> Vec<Sealed<Membership>> {
    found.into_iter().map(Into::into).collect()
}

/// Stores a membership, with its seal; the doctor and the organisation are locked.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    tx: &mut Tx<'_>,
    membership: &Membership,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO memberships (
             id, user_id, organization_id, valid_from, valid_until, created_at, seal, seal_key
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        membership.id.0,
        membership.doctor.0,
        membership.organization.0,
        membership.from,
        membership.until,
        membership.created_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a membership, with its new seal; lock it first. False where it was ended before.
///
/// # Errors
/// [`StoreError`].
pub async fn end(
    tx: &mut Tx<'_>,
    membership: &Membership,
    seal: &Seal,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE memberships
         SET ended_at = $2, seal = $3, seal_key = $4
         WHERE id = $1
           AND ended_at IS NULL",
        membership.id.0,
        membership.ended_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whose a membership is. That never changes.
///
/// # Errors
/// [`StoreError`].
pub async fn doctor(
    conn: &mut PgConnection,
    id: MembershipId,
) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!("SELECT user_id FROM memberships WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    Ok(found.map(UserId))
}

/// One membership; nobody changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: MembershipId,
) -> Result<Option<Sealed<Membership>>, StoreError> {
    let found = membership_rows!("WHERE id = $1 FOR NO KEY UPDATE", id.0);
    let found = found.fetch_optional(&mut **tx).await?;
    Ok(found.map(Into::into))
}

/// A membership beside its organisation.
#[derive(Debug)]
pub struct StoredMembership {
    /// The membership.
    pub membership: Sealed<Membership>,
    /// The organisation; `None` where its row is gone.
    pub organization: Option<StoredOrganization>,
}

struct StoredRow {
    id: Uuid,
    user_id: Uuid,
    organization_id: Uuid,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    seal: Option<Vec<u8>>,
    seal_key: Option<String>,
    name: Option<String>,
    country: Option<String>,
    is_active: Option<bool>,
    organization_created_at: Option<DateTime<Utc>>,
    organization_updated_at: Option<DateTime<Utc>>,
    organization_seal: Option<Vec<u8>>,
    organization_seal_key: Option<String>,
    may_be_sent_to: bool,
}

impl StoredRow {
    fn organization(&mut self) -> Option<OrganizationRow> {
        Some(OrganizationRow {
            id: self.organization_id,
            name: self.name.take()?,
            country: self.country.take()?,
            is_active: self.is_active?,
            created_at: self.organization_created_at?,
            updated_at: self.organization_updated_at?,
            seal: self.organization_seal.take(),
            seal_key: self.organization_seal_key.take(),
        })
    }
}

impl TryFrom<StoredRow> for StoredMembership {
    type Error = StoreError;
    fn try_from(mut row: StoredRow) -> Result<Self, StoreError> {
        let organization = row.organization().map(TryInto::try_into).transpose()?;
        let may_be_sent_to = row.may_be_sent_to;
        let stored = |organization| StoredOrganization {
            organization,
            may_be_sent_to,
        };
        let membership = MembershipRow {
            id: row.id,
            user_id: row.user_id,
            organization_id: row.organization_id,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            ended_at: row.ended_at,
            created_at: row.created_at,
            seal: row.seal,
            seal_key: row.seal_key,
        };
        Ok(Self {
            membership: membership.into(),
            organization: organization.map(stored),
        })
    }
}

/// Every membership of these doctors, beside the doctor that its row names, whatever its row says of when it is in force, with its organisation. Served by
/// `idx_memberships_user_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_doctors(
    conn: &mut PgConnection,
    doctors: &[UserId],
) -> Result<Vec<(UserId, StoredMembership)>, StoreError> {
    let doctors: Vec<Uuid> = doctors.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        StoredRow,
        r#"SELECT
            member.id AS "id!", member.user_id AS "user_id!", member.organization_id AS "organization_id!",
            member.valid_from AS "valid_from!", member.valid_until, member.ended_at,
            member.created_at AS "created_at!", member.seal, member.seal_key,
            organization.name AS "name?", organization.country AS "country?",
            organization.is_active AS "is_active?", organization.created_at AS "organization_created_at?",
            organization.updated_at AS "organization_updated_at?", organization.seal AS organization_seal,
            organization.seal_key AS organization_seal_key,
            COALESCE(rule.is_adequate OR rule.has_safeguards OR rule.needs_consent, FALSE) AS "may_be_sent_to!"
         FROM memberships AS member
         LEFT JOIN organizations AS organization ON organization.id = member.organization_id
         LEFT JOIN country_rules AS rule ON rule.country = organization.country
         WHERE member.user_id = ANY($1)
         ORDER BY member.user_id, member.id"#,
        &doctors,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((UserId(row.user_id), row.try_into()?)))
        .collect()
}

/// What is known of the memberships of doctors.
#[derive(Debug, Default)]
pub struct KnownMemberships {
    /// Their rows, each beside the doctor that it names, whatever it says of when it is in force.
    pub stored: Vec<(UserId, StoredMembership)>,
    /// What the audit trail says of memberships and their rows do not, as of [`crate::seals::contradicted_memberships`].
    pub contradicted: Vec<(Uuid, UserId)>,
}

impl KnownMemberships {
    pub(crate) fn of(found: Vec<KnownRow>) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for row in found {
            let doctor = UserId(row.user_id);
            if row.is_contradicted {
                known.contradicted.push((row.id, doctor));
            } else if let Some(row) = row.stored() {
                known.stored.push((doctor, row.try_into()?));
            }
        }
        Ok(known)
    }
}

/// A membership with its organisation, or one that the trail contradicts, of which there is nothing but its id.
pub(crate) struct KnownRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) is_contradicted: bool,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) valid_from: Option<DateTime<Utc>>,
    pub(crate) valid_until: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) is_active: Option<bool>,
    pub(crate) organization_created_at: Option<DateTime<Utc>>,
    pub(crate) organization_updated_at: Option<DateTime<Utc>>,
    pub(crate) organization_seal: Option<Vec<u8>>,
    pub(crate) organization_seal_key: Option<String>,
    pub(crate) may_be_sent_to: bool,
}

impl KnownRow {
    fn stored(self) -> Option<StoredRow> {
        Some(StoredRow {
            id: self.id,
            user_id: self.user_id,
            organization_id: self.organization_id?,
            valid_from: self.valid_from?,
            valid_until: self.valid_until,
            ended_at: self.ended_at,
            created_at: self.created_at?,
            seal: self.seal,
            seal_key: self.seal_key,
            name: self.name,
            country: self.country,
            is_active: self.is_active,
            organization_created_at: self.organization_created_at,
            organization_updated_at: self.organization_updated_at,
            organization_seal: self.organization_seal,
            organization_seal_key: self.organization_seal_key,
            may_be_sent_to: self.may_be_sent_to,
        })
    }
}

/// The rows of [`of_doctors`] and what [`crate::seals::contradicted_memberships`] finds, in one statement: every decision about
/// a doctor asks both; where one person asks, [`crate::facts::of_person`] does. Served by `idx_memberships_user_id` and
/// `idx_audit_logs_memberships`.
///
/// # Errors
/// [`StoreError`].
pub async fn known_of(
    conn: &mut PgConnection,
    doctors: &[UserId],
) -> Result<KnownMemberships, StoreError> {
    let doctors: Vec<Uuid> = doctors.iter().map(|id| id.0).collect();
    let found = sqlx::query_as!(
        KnownRow,
        r#"SELECT
            member.id AS "id!", member.user_id AS "user_id!", FALSE AS "is_contradicted!",
            member.organization_id AS "organization_id?", member.valid_from AS "valid_from?",
            member.valid_until AS "valid_until?", member.ended_at AS "ended_at?", member.created_at AS "created_at?",
            member.seal AS "seal?", member.seal_key AS "seal_key?",
            organization.name AS "name?", organization.country AS "country?",
            organization.is_active AS "is_active?", organization.created_at AS "organization_created_at?",
            organization.updated_at AS "organization_updated_at?", organization.seal AS "organization_seal?",
            organization.seal_key AS "organization_seal_key?",
            COALESCE(rule.is_adequate OR rule.has_safeguards OR rule.needs_consent, FALSE) AS "may_be_sent_to!"
         FROM memberships AS member
         LEFT JOIN organizations AS organization ON organization.id = member.organization_id
         LEFT JOIN country_rules AS rule ON rule.country = organization.country
         WHERE member.user_id = ANY($1)
         UNION ALL
         SELECT
            contradicted.id, contradicted.user_id, TRUE, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, FALSE
         FROM (
             SELECT DISTINCT trail.resource_id AS id, trail.patient_id AS user_id
             FROM audit_logs AS trail
             LEFT JOIN memberships AS member ON member.id = trail.resource_id
             WHERE trail.patient_id = ANY($1)
               AND trail.action_type IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END')
               AND (
                   trail.action_type = 'MEMBERSHIP_ADD' AND member.id IS NULL
                   OR trail.action_type = 'MEMBERSHIP_END' AND member.ended_at IS NULL
               )
         ) AS contradicted
         ORDER BY 2, 1"#,
        &doctors,
    )
    .fetch_all(conn)
    .await?;
    KnownMemberships::of(found)
}

/// How many of a doctor's memberships are not over at `now`, and how many of an organisation's, as far as their rows say.
///
/// # Errors
/// [`StoreError`].
pub async fn numbers(
    conn: &mut PgConnection,
    doctor: UserId,
    organization: OrganizationId,
    now: DateTime<Utc>,
) -> Result<(i64, i64), StoreError> {
    let found = sqlx::query!(
        r#"SELECT
            count(*) FILTER (WHERE user_id = $1) AS "of_doctor!",
            count(*) FILTER (WHERE organization_id = $2) AS "of_organization!"
         FROM memberships
         WHERE (user_id = $1 OR organization_id = $2)
           AND ended_at IS NULL
           AND COALESCE(valid_until, 'infinity') > $3"#,
        doctor.0,
        organization.0,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok((found.of_doctor, found.of_organization))
}

/// The doctors who belong to an organisation, or will, as far as the rows say. No more than
/// `domain::organizations::MAX_MEMBERS` memberships of one are not over.
///
/// # Errors
/// [`StoreError`].
pub async fn doctors_of(
    conn: &mut PgConnection,
    organization: OrganizationId,
) -> Result<Vec<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT user_id
         FROM memberships
         WHERE organization_id = $1
           AND ended_at IS NULL
           AND COALESCE(valid_until, 'infinity') > CURRENT_TIMESTAMP
         ORDER BY user_id",
        organization.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// The doctors who belong to any of these organisations, or did, as far as the rows say: `most` of them at most. Served by
/// `idx_memberships_organization_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn ever_of(
    conn: &mut PgConnection,
    organizations: &[OrganizationId],
    most: i64,
) -> Result<Vec<UserId>, StoreError> {
    let organizations: Vec<Uuid> = organizations.iter().map(|id| id.0).collect();
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT user_id
         FROM memberships
         WHERE organization_id = ANY($1)
         ORDER BY user_id
         LIMIT $2",
        &organizations,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(UserId).collect())
}

/// The members of an organisation, newest membership first, those whose membership is over among them. Served by
/// `idx_memberships_organization_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    organization: OrganizationId,
    asked: KeysetPage<OrganizationCursor>,
) -> Result<Vec<Sealed<Membership>>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        membership_rows!(
            "WHERE organization_id = $1
               AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
             ORDER BY created_at DESC, id DESC
             LIMIT $4",
            "WHERE organization_id = $1
               AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3::uuid))
             ORDER BY created_at, id
             LIMIT $4",
            organization.0,
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id),
            asked.limit,
        )
    );
    Ok(all(found))
}

/// How many memberships of an organisation [`page`] gives on all pages. Served by `idx_memberships_organization_id`.
///
/// # Errors
/// [`StoreError`].
pub async fn count(
    conn: &mut PgConnection,
    organization: OrganizationId,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM memberships WHERE organization_id = $1"#,
        organization.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Memberships, for a walk.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<Membership>)>, StoreError> {
    let found = membership_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| (row.id, row.into())).collect())
}
