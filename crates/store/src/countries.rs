//! Which countries data may be sent to.

use domain::countries::{Country, CountryRule};
use sqlx::PgConnection;

use crate::{StoreError, Tx};

struct RuleRow {
    country: String,
    is_adequate: bool,
    has_safeguards: bool,
    needs_consent: bool,
}

impl TryFrom<RuleRow> for CountryRule {
    type Error = StoreError;
    fn try_from(row: RuleRow) -> Result<Self, StoreError> {
        let country = row.country.parse();
        Ok(Self {
            country: country.map_err(|_| StoreError::Unreadable { what: "country" })?,
            is_adequate: row.is_adequate,
            has_safeguards: row.has_safeguards,
            needs_consent: row.needs_consent,
        })
    }
}

/// Every rule, in the order of countries, of which there are no more than 676. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn rules(conn: &mut PgConnection) -> Result<Vec<CountryRule>, StoreError> {
    let found = sqlx::query_as!(
        RuleRow,
        "SELECT country, is_adequate, has_safeguards, needs_consent
         FROM country_rules
         ORDER BY country
         LIMIT 676",
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// The rule of a country. Served by the primary key.
///
/// # Errors
/// [`StoreError`].
pub async fn rule(
    conn: &mut PgConnection,
    country: Country,
) -> Result<Option<CountryRule>, StoreError> {
    let found = sqlx::query_as!(
        RuleRow,
        "SELECT country, is_adequate, has_safeguards, needs_consent
         FROM country_rules
         WHERE country = $1",
        country.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    found.map(TryInto::try_into).transpose()
}

/// Sets the rule of a country, and gives the one before; nobody else changes it until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn set(tx: &mut Tx<'_>, new: &CountryRule) -> Result<Option<CountryRule>, StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('country rules', schema_key()))")
        .execute(&mut **tx)
        .await?;
    let old = rule(tx, new.country).await?;
    sqlx::query!(
        "INSERT INTO country_rules (country, is_adequate, has_safeguards, needs_consent)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (country) DO UPDATE
         SET is_adequate = EXCLUDED.is_adequate,
             has_safeguards = EXCLUDED.has_safeguards,
             needs_consent = EXCLUDED.needs_consent,
             updated_at = EXCLUDED.updated_at",
        new.country.as_str(),
        new.is_adequate,
        new.has_safeguards,
        new.needs_consent,
    )
    .execute(&mut **tx)
    .await?;
    Ok(old)
}
