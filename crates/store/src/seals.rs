//! Rows that decide, with their seals: what is read of accounts and second factors to decide by, how a
//! change of them is written, and, of every sealed table, the walks of the deep check, the rotation and `meditrustal seal rows`.
//! Nothing in here is believed: `vault::seal` judges.

use chrono::{DateTime, Utc};
use domain::{
    access_codes::PreparedConsent,
    break_glass::BreakGlassWindow,
    consents::Consent,
    ids::{OrganizationId, SessionId, UserId},
    seals::{Authority, Factor, RoleProposal, Seal, Sealed, SealedTable, Session},
    users::{ANONYMOUS, INDEXER, RELAY, SCHEDULER},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx, access_codes::code_rows, break_glass::window_rows, consents::consent_rows, rows,
};

/// The accounts that sign jobs and never log in. They come with the schema, carry no seal, and decide
/// nothing.
pub const UNSEALED: [UserId; 4] = [ANONYMOUS, RELAY, INDEXER, SCHEDULER];

/// Asks for what accounts may do, as [`AuthorityRow`] holds it; `$which` says of which.
macro_rules! authority_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::seals::AuthorityRow,
            "SELECT id, email, username, role, is_active, is_system, organization_id, hashed_password,
                    blockchain_address, has_second_factor, refusals, seal, seal_key
             FROM users " + $which
            $(, $argument)*
        )
    };
}
pub(crate) use authority_rows;

pub(crate) struct AuthorityRow {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) username: String,
    pub(crate) role: String,
    pub(crate) is_active: bool,
    pub(crate) is_system: bool,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) hashed_password: String,
    pub(crate) blockchain_address: Option<String>,
    pub(crate) has_second_factor: bool,
    pub(crate) refusals: Vec<Uuid>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<AuthorityRow> for Sealed<Authority> {
    type Error = StoreError;
    fn try_from(row: AuthorityRow) -> Result<Self, StoreError> {
        let authority = Authority {
            user: UserId(row.id),
            email: row.email,
            username: row.username,
            role: rows::text(&row.role, "role")?,
            is_active: row.is_active,
            is_system: row.is_system,
            organization: row.organization_id.map(OrganizationId),
            hashed_password: row.hashed_password,
            blockchain_address: row.blockchain_address,
            has_second_factor: row.has_second_factor,
            refusals: row.refusals,
        };
        Ok(Self::new(authority, Seal::of(row.seal, row.seal_key)))
    }
}

/// What these accounts may do. Unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn authorities(
    conn: &mut PgConnection,
    users: &[UserId],
) -> Result<Vec<Sealed<Authority>>, StoreError> {
    let ids: Vec<Uuid> = users.iter().map(|id| id.0).collect();
    let found = authority_rows!(
        "WHERE id = ANY($1)
           AND NOT is_system",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// What this account may do; nobody changes it until the transaction ends. `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_authority(
    tx: &mut Tx<'_>,
    user: UserId,
) -> Result<Option<Sealed<Authority>>, StoreError> {
    let found = authority_rows!(
        "WHERE id = $1
           AND NOT is_system
         FOR NO KEY UPDATE",
        user.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Writes what an account may do, with its seal; lock it first. Its names are changed by
/// [`crate::users::rename`].
///
/// # Errors
/// [`StoreError`].
pub async fn write_authority(
    conn: &mut PgConnection,
    authority: &Authority,
    seal: &Seal,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE users
         SET role = $2,
             is_active = $3,
             organization_id = $4,
             hashed_password = $5,
             blockchain_address = $6,
             has_second_factor = $7,
             refusals = $8,
             seal = $9,
             seal_key = $10
         WHERE id = $1
           AND NOT is_system",
        authority.user.0,
        authority.role.as_str(),
        authority.is_active,
        authority.organization.map(|id| id.0),
        authority.hashed_password,
        authority.blockchain_address,
        authority.has_second_factor,
        &authority.refusals,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) struct FactorRow {
    pub(crate) user_id: Uuid,
    pub(crate) sealed_secret: Vec<u8>,
    pub(crate) master_key_id: String,
    pub(crate) confirmed_at: Option<DateTime<Utc>>,
    pub(crate) code_hashes: Vec<String>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl From<FactorRow> for Sealed<Factor> {
    fn from(mut row: FactorRow) -> Self {
        // By their bytes, whatever the collation of the database.
        row.code_hashes.sort_unstable();
        let factor = Factor {
            user: UserId(row.user_id),
            sealed_secret: row.sealed_secret,
            master_key_id: row.master_key_id,
            confirmed_at: row.confirmed_at,
            code_hashes: row.code_hashes,
        };
        Self::new(factor, Seal::of(row.seal, row.seal_key))
    }
}

pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) refresh_token: String,
    pub(crate) family_id: Option<Uuid>,
    pub(crate) parent_id: Option<Uuid>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) idle_expires_at: Option<DateTime<Utc>>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) second_factor_at: Option<DateTime<Utc>>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl From<SessionRow> for Sealed<Session> {
    fn from(row: SessionRow) -> Self {
        let session = Session {
            id: SessionId(row.id),
            user: UserId(row.user_id),
            refresh_token_hash: row.refresh_token,
            // None was never written by us, and no seal is of it.
            family: SessionId(row.family_id.unwrap_or_default()),
            parent: row.parent_id.map(SessionId),
            expires_at: row.expires_at,
            idle_expires_at: row.idle_expires_at,
            used_at: row.used_at,
            second_factor_at: row.second_factor_at,
        };
        Self::new(session, Seal::of(row.seal, row.seal_key))
    }
}

pub(crate) struct ProposalRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) role: String,
    pub(crate) proposed_by: Uuid,
    pub(crate) proposed_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<ProposalRow> for Sealed<RoleProposal> {
    type Error = StoreError;
    fn try_from(row: ProposalRow) -> Result<Self, StoreError> {
        let proposal = RoleProposal {
            id: row.id,
            user: UserId(row.user_id),
            role: rows::text(&row.role, "role")?,
            proposed_by: UserId(row.proposed_by),
            proposed_at: row.proposed_at,
            expires_at: row.expires_at,
        };
        Ok(Self::new(proposal, Seal::of(row.seal, row.seal_key)))
    }
}

/// Which rows a walk goes through, in the order of ids. What is `None` leaves none out.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    /// After this id.
    pub after: Uuid,
    /// Sealed by this master key.
    pub sealed_by: Option<&'a str>,
    /// This one.
    pub only: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// Accounts, without those that sign jobs.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_authorities(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<Authority>)>, StoreError> {
    let unsealed: Vec<Uuid> = UNSEALED.iter().map(|id| id.0).collect();
    let found = authority_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND id <> ALL($5)
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
        &unsealed,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}

/// The tables that hold a row with a seal.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed_tables(conn: &mut PgConnection) -> Result<Vec<SealedTable>, StoreError> {
    let found = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM users WHERE seal IS NOT NULL) AS "users!",
                  EXISTS (SELECT FROM data_processing_consents WHERE seal IS NOT NULL) AS "consents!",
                  EXISTS (SELECT FROM second_factors WHERE seal IS NOT NULL) AS "factors!",
                  EXISTS (SELECT FROM sessions WHERE seal IS NOT NULL) AS "sessions!",
                  EXISTS (SELECT FROM role_proposals WHERE seal IS NOT NULL) AS "proposals!",
                  EXISTS (SELECT FROM access_codes WHERE seal IS NOT NULL) AS "codes!",
                  EXISTS (SELECT FROM break_glass_windows WHERE seal IS NOT NULL) AS "windows!",
                  EXISTS (SELECT FROM data_deletion_requests WHERE seal IS NOT NULL) AS "deletions!",
                  EXISTS (SELECT FROM legal_holds WHERE seal IS NOT NULL) AS "holds!",
                  EXISTS (SELECT FROM organizations WHERE seal IS NOT NULL) AS "organizations!",
                  EXISTS (SELECT FROM memberships WHERE seal IS NOT NULL) AS "memberships!",
                  EXISTS (SELECT FROM representatives WHERE seal IS NOT NULL) AS "representatives!",
                  EXISTS (SELECT FROM representative_proposals WHERE seal IS NOT NULL) AS "appointments!",
                  EXISTS (SELECT FROM consent_receipts WHERE seal IS NOT NULL) AS "receipts!""#
    )
    .fetch_one(conn)
    .await?;
    let tables = [
        (found.users, SealedTable::Users),
        (found.consents, SealedTable::Consents),
        (found.factors, SealedTable::SecondFactors),
        (found.sessions, SealedTable::Sessions),
        (found.proposals, SealedTable::RoleProposals),
        (found.codes, SealedTable::AccessCodes),
        (found.windows, SealedTable::BreakGlassWindows),
        (found.deletions, SealedTable::DeletionRequests),
        (found.holds, SealedTable::LegalHolds),
        (found.organizations, SealedTable::Organizations),
        (found.memberships, SealedTable::Memberships),
        (found.representatives, SealedTable::Representatives),
        (found.appointments, SealedTable::RepresentativeProposals),
        (found.receipts, SealedTable::ConsentReceipts),
    ];
    let sealed = tables.into_iter().filter(|(is_sealed, _)| *is_sealed);
    Ok(sealed.map(|(_, table)| table).collect())
}

/// Consents; `None` of one that cannot be read.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_consents(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, UserId, Option<Sealed<Consent>>)>, StoreError> {
    let found = consent_rows!(
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
    Ok(found
        .into_iter()
        .map(|row| (row.id, UserId(row.user_id), row.try_into().ok()))
        .collect())
}

/// Second factors.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_factors(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<Factor>)>, StoreError> {
    let found = sqlx::query_as!(
        FactorRow,
        r#"SELECT user_id, sealed_secret, master_key_id, confirmed_at, ARRAY(
                SELECT code_hash
                FROM recovery_codes
                WHERE recovery_codes.user_id = second_factors.user_id
                ORDER BY code_hash
            ) AS "code_hashes!", seal, seal_key
         FROM second_factors
         WHERE user_id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR user_id = $3)
         ORDER BY user_id
         LIMIT $4"#,
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.user_id, row.into()))
        .collect())
}

/// Log-ins that are not over, and their refresh tokens. What was ended carries no seal and decides nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_sessions(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<Session>)>, StoreError> {
    let found = sqlx::query_as!(
        SessionRow,
        "SELECT id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
                second_factor_at, seal, seal_key
         FROM sessions
         WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND is_valid
           AND expires_at > CURRENT_TIMESTAMP
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

/// Roles that may still be confirmed. What was closed carries no seal and decides nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_proposals(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<RoleProposal>)>, StoreError> {
    let found = sqlx::query_as!(
        ProposalRow,
        "SELECT id, user_id, role, proposed_by, proposed_at, expires_at, seal, seal_key
         FROM role_proposals
         WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND closed_at IS NULL
           AND expires_at > CURRENT_TIMESTAMP
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}

/// Codes that may still be redeemed; `None` of one that cannot be read. What was closed carries no seal and decides
/// nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_codes(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, UserId, Option<Sealed<PreparedConsent>>)>, StoreError> {
    let found = code_rows!(
        "WHERE id > $1
           AND ($2::text IS NULL OR seal_key = $2)
           AND ($3::uuid IS NULL OR id = $3)
           AND closed_at IS NULL
           AND expires_at > CURRENT_TIMESTAMP
         ORDER BY id
         LIMIT $4",
        walk.after,
        walk.sealed_by,
        walk.only,
        walk.limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.id, UserId(row.user_id), row.try_into().ok()))
        .collect())
}

/// Windows of emergency access, open or not.
///
/// # Errors
/// [`StoreError`].
pub async fn walk_windows(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<BreakGlassWindow>)>, StoreError> {
    let found = window_rows!(
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
    found
        .into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}

/// Puts a seal in the place of the one that a row was read with. False where it was changed meanwhile.
///
/// # Errors
/// [`StoreError`].
pub async fn replace_seal(
    conn: &mut PgConnection,
    table: SealedTable,
    row: Uuid,
    old: Option<&Seal>,
    new: &Seal,
) -> Result<bool, StoreError> {
    let (old_mac, old_key) = (
        old.map(|seal| seal.mac.as_slice()),
        old.map(|seal| seal.key_id.as_str()),
    );
    macro_rules! replace {
        ($table:tt, $key:tt) => {
            sqlx::query!(
                "UPDATE "
                    + $table
                    + " SET seal = $2, seal_key = $3 WHERE "
                    + $key
                    + " = $1 AND (seal, seal_key) IS NOT DISTINCT FROM ($4::bytea, $5::text)",
                row,
                new.mac,
                new.key_id,
                old_mac,
                old_key,
            )
            .execute(conn)
            .await?
        };
    }
    let done = match table {
        SealedTable::Users => replace!("users", "id"),
        SealedTable::Consents => replace!("data_processing_consents", "id"),
        SealedTable::SecondFactors => replace!("second_factors", "user_id"),
        SealedTable::Sessions => replace!("sessions", "id"),
        SealedTable::RoleProposals => replace!("role_proposals", "id"),
        SealedTable::AccessCodes => replace!("access_codes", "id"),
        SealedTable::BreakGlassWindows => replace!("break_glass_windows", "id"),
        SealedTable::DeletionRequests => replace!("data_deletion_requests", "id"),
        SealedTable::LegalHolds => replace!("legal_holds", "id"),
        SealedTable::Organizations => replace!("organizations", "id"),
        SealedTable::Memberships => replace!("memberships", "id"),
        SealedTable::Representatives => replace!("representatives", "id"),
        SealedTable::RepresentativeProposals => replace!("representative_proposals", "id"),
        SealedTable::ConsentReceipts => replace!("consent_receipts", "id"),
    };
    Ok(done.rows_affected() == 1)
}

/// What the audit trail says of memberships and their rows do not: added for these doctors and gone, or ended and open
/// again. The memberships' ids. A decision asks the same by [`crate::memberships::known_of`] and [`crate::facts::of_person`]. Served by `idx_audit_logs_memberships`.
///
/// # Errors
/// [`StoreError`].
pub async fn contradicted_memberships(
    conn: &mut PgConnection,
    doctors: &[UserId],
) -> Result<Vec<(Uuid, UserId)>, StoreError> {
    let doctors: Vec<Uuid> = doctors.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT DISTINCT trail.resource_id AS membership, trail.patient_id AS "doctor!"
         FROM audit_logs AS trail
         LEFT JOIN memberships AS member ON member.id = trail.resource_id
         WHERE trail.patient_id = ANY($1)
           AND trail.action_type IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END')
           AND (
               trail.action_type = 'MEMBERSHIP_ADD' AND member.id IS NULL
               OR trail.action_type = 'MEMBERSHIP_END' AND member.ended_at IS NULL
           )"#,
        &doctors,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.membership, UserId(row.doctor)))
        .collect())
}

/// The organisations among these whose rows are not what the audit trail said of them last. Served by
/// `idx_audit_logs_resource_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn contradicted_organizations(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT organization.id AS "id!"
         FROM organizations AS organization
         CROSS JOIN LATERAL (
             SELECT trail.new_value
             FROM audit_logs AS trail
             WHERE trail.resource_id = organization.id
               AND trail.action_type IN ('ORGANIZATION_CREATE', 'ORGANIZATION_UPDATE')
             ORDER BY trail.id DESC
             LIMIT 1
         ) AS said
         WHERE organization.id = ANY($1)
           AND (said.new_value ->> 'name', said.new_value ->> 'country', said.new_value ->> 'isActive')
               IS DISTINCT FROM
               (organization.name::text, organization.country::text, organization.is_active::text)
         ORDER BY organization.id"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// What an account's own rows say of what it names.
#[derive(Debug)]
pub struct Named {
    /// Whether a second factor counts.
    pub has_second_factor: bool,
    /// The refusals that hold: neither taken back nor over. In the order of their ids.
    pub refusals: Vec<Uuid>,
    /// Those that are over by their own end. An account may still name them.
    pub ended: Vec<Uuid>,
}

/// What this account's own rows say. What an operator's edit left is sealed by it.
///
/// # Errors
/// [`StoreError`].
pub async fn named_by_rows(conn: &mut PgConnection, user: UserId) -> Result<Named, StoreError> {
    let named = sqlx::query_as!(
        Named,
        r#"SELECT
            EXISTS (
                SELECT FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL
            ) AS "has_second_factor!",
            ARRAY(
                SELECT id
                FROM data_processing_consents
                WHERE user_id = $1
                  AND processing_activities ? 'DENY'
                  AND consent_withdrawn_at IS NULL
                  AND COALESCE(consent_expires_at, 'infinity') > CURRENT_TIMESTAMP
                ORDER BY id
            ) AS "refusals!",
            ARRAY(
                SELECT id
                FROM data_processing_consents
                WHERE user_id = $1
                  AND processing_activities ? 'DENY'
                  AND consent_withdrawn_at IS NULL
                  AND consent_expires_at <= CURRENT_TIMESTAMP
            ) AS "ended!""#,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(named)
}

/// What the audit trail says of consents and their rows do not: given for this patient and gone, or taken
/// back and open again. The consents' ids. Served by `idx_audit_logs_consents`.
///
/// # Errors
/// [`StoreError`].
pub async fn contradicted_consents(
    conn: &mut PgConnection,
    patients: &[UserId],
) -> Result<Vec<(Uuid, UserId)>, StoreError> {
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT DISTINCT trail.resource_id AS consent, trail.patient_id AS "patient!"
         FROM audit_logs AS trail
         LEFT JOIN data_processing_consents AS consent ON consent.id = trail.resource_id
         WHERE trail.patient_id = ANY($1)
           AND trail.action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW')
           AND (
               trail.action_type = 'CONSENT_GRANT' AND consent.id IS NULL
               OR trail.action_type = 'CONSENT_WITHDRAW' AND consent.consent_withdrawn_at IS NULL
           )"#,
        &patients,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.consent, UserId(row.patient)))
        .collect())
}
