//! Countries in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::countries::{self, Country, InvalidCountry};

use super::rules;
use crate::{error::Error, graphql::request};

/// By what data may be sent to a country. Where none of the three holds nothing is sent there, as to a country without a
/// rule.
#[derive(Debug, SimpleObject)]
pub(crate) struct CountryRule {
    /// The country, as ISO 3166-1 alpha-2 writes it.
    country: String,
    /// Whether the law of the country protects data as that of the home country does.
    is_adequate: bool,
    /// Whether there are safeguards that bind whoever receives data there.
    has_safeguards: bool,
    /// Whether data goes there by nothing but the consent of the patient.
    needs_consent: bool,
    /// Whether data may be sent there at all. Anybody but the patient needs a consent besides, to TRANSFER, that names a
    /// third party there.
    may_be_sent_to: bool,
}

impl From<countries::CountryRule> for CountryRule {
    fn from(rule: countries::CountryRule) -> Self {
        Self {
            country: rule.country.to_string(),
            is_adequate: rule.is_adequate,
            has_safeguards: rule.has_safeguards,
            needs_consent: rule.needs_consent,
            may_be_sent_to: countries::may_be_sent_to(Some(&rule)),
        }
    }
}

#[derive(Default)]
pub(crate) struct CountryQuery;

#[Object]
impl CountryQuery {
    /// The rules of all countries that have one, in their order: for administrators. What the product comes with are
    /// defaults, to be checked by the operator's counsel. Reading them is recorded in the audit trail.
    async fn country_rules(&self, ctx: &Context<'_>) -> Result<Vec<CountryRule>> {
        let (app, caller) = request(ctx)?;
        let found = rules::list(&app.pool, &caller).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }
}

/// The rule of a country, in the place of the one that it has.
#[derive(Debug, InputObject)]
pub(crate) struct SetCountryRuleInput {
    /// The country, as ISO 3166-1 alpha-2 writes it: two capital letters.
    country: String,
    /// Whether the law of the country protects data as that of the home country does.
    is_adequate: bool,
    /// Whether there are safeguards that bind whoever receives data there.
    has_safeguards: bool,
    /// Whether data goes there by nothing but the consent of the patient.
    needs_consent: bool,
}

/// The result of `setCountryRule`: the rule as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetCountryRulePayload {
    /// The rule of the country from now on.
    country_rule: CountryRule,
}

#[derive(Default)]
pub(crate) struct CountryMutation;

#[Object]
impl CountryMutation {
    /// Says by what data may be sent to a country, from the next disclosure on. Open to administrators.
    ///
    /// Error codes: `BAD_USER_INPUT` (`country`), `FORBIDDEN` for all but administrators.
    async fn set_country_rule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The country and its rule.")] input: SetCountryRuleInput,
    ) -> Result<SetCountryRulePayload> {
        let (app, caller) = request(ctx)?;
        let country: Country = input
            .country
            .parse()
            .map_err(|error: InvalidCountry| Error::bad("country", error.to_string()))?;
        let rule = countries::CountryRule {
            country,
            is_adequate: input.is_adequate,
            has_safeguards: input.has_safeguards,
            needs_consent: input.needs_consent,
        };
        rules::set(&app.pool, &caller, &rule).await?;
        Ok(SetCountryRulePayload {
            country_rule: rule.into(),
        })
    }
}
