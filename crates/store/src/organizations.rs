//! Organisations: hospitals and practices that consents may name. Who belongs to them is in [`crate::memberships`].

use chrono::{DateTime, Utc};
use domain::{
    ids::OrganizationId,
    organizations::Organization,
    seals::{Seal, Sealed},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{StoreError, Tx, seals::Walk};

/// Asks for organisations, as [`OrganizationRow`] holds them; `$which` says for which.
macro_rules! organization_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            OrganizationRow,
            "SELECT id, name, country, is_active, created_at, updated_at, seal, seal_key
             FROM organizations " + $which
            $(, $argument)*
        )
    };
}

pub(crate) struct OrganizationRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) country: String,
    pub(crate) is_active: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) seal: Option<Vec<u8>>,
    pub(crate) seal_key: Option<String>,
}

impl TryFrom<OrganizationRow> for Sealed<Organization> {
    type Error = StoreError;
    fn try_from(row: OrganizationRow) -> Result<Self, StoreError> {
        let country = row.country.parse();
        let organization = Organization {
            id: OrganizationId(row.id),
            name: row.name,
            country: country.map_err(|_| StoreError::Unreadable { what: "country" })?,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self::new(organization, Seal::of(row.seal, row.seal_key)))
    }
}

fn all(found: Vec<OrganizationRow>) -> Result<Vec<Sealed<Organization>>, StoreError> {
    found.into_iter().map(TryInto::try_into).collect()
}

/// Why an organisation could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteOrganizationError {
    /// Another one of this country is called so.
    #[error("an organisation of this country has this name")]
    NameTaken,
    /// The database gave no answer.
    #[error(transparent)]
    Store(StoreError),
}

impl From<sqlx::Error> for WriteOrganizationError {
    fn from(error: sqlx::Error) -> Self {
        let error = StoreError::from(error);
        match error.constraint() {
            Some("organizations_name_key") => Self::NameTaken,
            _ => Self::Store(error),
        }
    }
}

/// Stores an organisation, with its seal.
///
/// # Errors
/// [`WriteOrganizationError`]; a name counts as taken whatever its capitals.
pub async fn insert(
    conn: &mut PgConnection,
    organization: &Organization,
    seal: &Seal,
) -> Result<(), WriteOrganizationError> {
    sqlx::query!(
        "INSERT INTO organizations (id, name, country, is_active, created_at, updated_at, seal, seal_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        organization.id.0,
        organization.name,
        organization.country.as_str(),
        organization.is_active,
        organization.created_at,
        organization.updated_at,
        seal.mac,
        seal.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the name, the country and the state of an organisation, with its new seal; lock it first. It is changed later than
/// before, or a trigger refuses it.
///
/// # Errors
/// As of [`insert`].
pub async fn save(
    tx: &mut Tx<'_>,
    organization: &Organization,
    seal: &Seal,
) -> Result<(), WriteOrganizationError> {
    sqlx::query!(
        "UPDATE organizations
         SET name = $2, country = $3, is_active = $4, updated_at = $5, seal = $6, seal_key = $7
         WHERE id = $1",
        organization.id.0,
        organization.name,
        organization.country.as_str(),
        organization.is_active,
        organization.updated_at,
        seal.mac,
        seal.key_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An organisation, and whether data may be sent to its country.
#[derive(Debug)]
pub struct StoredOrganization {
    /// The organisation.
    pub organization: Sealed<Organization>,
    /// Whether data may be sent to its country, if that is not the home country (`domain::countries::may_be_sent_to`).
    pub may_be_sent_to: bool,
}

/// These organisations. Unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn by_ids(
    conn: &mut PgConnection,
    ids: &[OrganizationId],
) -> Result<Vec<StoredOrganization>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"SELECT
            organization.id AS "id!", organization.name AS "name!", organization.country AS "country!",
            organization.is_active AS "is_active!", organization.created_at AS "created_at!",
            organization.updated_at AS "updated_at!", organization.seal, organization.seal_key,
            COALESCE(rule.is_adequate OR rule.has_safeguards OR rule.needs_consent, FALSE) AS "may_be_sent_to!"
         FROM organizations AS organization
         LEFT JOIN country_rules AS rule ON rule.country = organization.country
         WHERE organization.id = ANY($1)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let found = found.into_iter().map(|row| {
        let organization = OrganizationRow {
            id: row.id,
            name: row.name,
            country: row.country,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at,
            seal: row.seal,
            seal_key: row.seal_key,
        };
        Ok(StoredOrganization {
            organization: organization.try_into()?,
            may_be_sent_to: row.may_be_sent_to,
        })
    });
    found.collect()
}

/// One organisation; nobody changes it, and nobody becomes a member of it, until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    tx: &mut Tx<'_>,
    id: OrganizationId,
) -> Result<Option<Sealed<Organization>>, StoreError> {
    let found = organization_rows!("WHERE id = $1 FOR NO KEY UPDATE", id.0);
    let found = found.fetch_optional(&mut **tx).await?;
    found.map(TryInto::try_into).transpose()
}

/// Where a page of organisations, or of memberships, goes on.
pub type OrganizationCursor = (DateTime<Utc>, Uuid);

/// Organisations of whose names words begin with each of these, newest first; all of them where there are no words. The
/// words are letters and digits alone, folded (`domain::users::words`). Served by `idx_organizations_words` and
/// `idx_organizations_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    words: &[String],
    after: Option<OrganizationCursor>,
    limit: i64,
) -> Result<Vec<Sealed<Organization>>, StoreError> {
    let beginnings: Vec<String> = words.iter().map(|word| format!("'{word}':*")).collect();
    let beginnings = (!words.is_empty()).then(|| beginnings.join(" & "));
    let found = organization_rows!(
        "WHERE ($1::text IS NULL OR words_of(name) @@ to_tsquery('simple', $1))
           AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
         ORDER BY created_at DESC, id DESC
         LIMIT $4",
        beginnings as Option<String>,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        limit,
    );
    all(found.fetch_all(conn).await?)
}

/// Organisations, for a walk.
///
/// # Errors
/// [`StoreError`].
pub async fn walk(
    conn: &mut PgConnection,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Sealed<Organization>)>, StoreError> {
    let found = organization_rows!(
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
