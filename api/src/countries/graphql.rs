//! Countries in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::countries::{self, Country, InvalidCountry, UnassignedCountry};

use super::rules;
use crate::{
    error::Error,
    graphql::{payload::Payload, request},
};

/// By what data may be sent to a country. Where none of the three holds nothing is sent there, as to a country without a
/// rule.
#[derive(Debug)]
pub(crate) struct CountryRule(countries::CountryRule);

/// By what data may be sent to a country. Where none of the three holds nothing is sent there, as to a country without a
/// rule.
#[Object]
impl CountryRule {
    /// The country, as ISO 3166-1 alpha-2 writes it.
    async fn country(&self) -> &str {
        self.0.country.as_str()
    }

    /// Whether the law of the country protects data as that of the home country does.
    async fn is_adequate(&self) -> bool {
        self.0.is_adequate
    }

    /// Whether there are safeguards that bind whoever receives data there.
    async fn has_safeguards(&self) -> bool {
        self.0.has_safeguards
    }

    /// Whether data may be sent there because the patient consents, also without such a law and such safeguards.
    async fn needs_consent(&self) -> bool {
        self.0.needs_consent
    }

    /// Whether data may be sent there at all. Anybody but the patient needs a consent besides, to TRANSFER, that names a
    /// third party there.
    async fn may_be_sent_to(&self) -> bool {
        countries::may_be_sent_to(Some(&self.0))
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
        Ok(found.into_iter().map(CountryRule).collect())
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
    /// Whether data may be sent there because the patient consents, also without such a law and such safeguards.
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
    ) -> Result<Payload<SetCountryRulePayload>> {
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
        // What was permitted before this was asked can be taken back.
        if countries::may_be_sent_to(Some(&rule)) && !country.is_assigned() {
            return Err(Error::bad("country", UnassignedCountry.to_string()).into());
        }
        rules::set(&app.pool, &caller, rule).await?;
        Ok(Payload(SetCountryRulePayload {
            country_rule: CountryRule(rule),
        }))
    }
}
