//! The second factor in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::second_factor::FactorState;

use super::{demand::Code, enrol};
use crate::graphql::request;

/// Your second factor: codes of six digits from a device (RFC 6238), asked for at each log-in.
#[derive(Debug, SimpleObject)]
pub(crate) struct SecondFactor {
    /// Whether it is asked for.
    is_on: bool,
    /// Since when.
    confirmed_at: Option<DateTime<Utc>>,
    /// When one was begun that waits for its first code.
    started_at: Option<DateTime<Utc>>,
    /// How many recovery codes have not been used.
    recovery_codes_left: i32,
    /// Whether the operator requires one of your role: without it you can do nothing but set one up.
    is_required: bool,
}

impl SecondFactor {
    fn new(state: FactorState, is_required: bool) -> Self {
        let is_on = state.confirmed_at.is_some();
        Self {
            is_on,
            confirmed_at: state.confirmed_at,
            started_at: state.started_at.filter(|_| !is_on),
            recovery_codes_left: i32::try_from(state.recovery_codes_left).unwrap_or(i32::MAX),
            is_required,
        }
    }
}

#[derive(Default)]
pub(crate) struct SecondFactorQuery;

#[Object]
impl SecondFactorQuery {
    /// How your second factor stands.
    async fn my_second_factor(&self, ctx: &Context<'_>) -> Result<SecondFactor> {
        let (app, caller) = request(ctx)?;
        let (state, is_required) = enrol::state(app, &caller).await?;
        Ok(SecondFactor::new(state, is_required))
    }
}

/// Your password, because a second factor is to outlive a stolen token.
#[derive(Debug, InputObject)]
pub(crate) struct StartSecondFactorInput {
    /// Your password.
    password: String,
}

/// A second factor that waits for its first code. Shown this once.
#[derive(Debug, SimpleObject)]
pub(crate) struct StartSecondFactorPayload {
    /// What an authenticator app scans, as a QR code: `otpauth://totp/…`.
    uri: String,
    /// What is typed into the app where it cannot scan.
    secret: String,
}

/// The first code.
#[derive(Debug, InputObject)]
pub(crate) struct ConfirmSecondFactorInput {
    /// The six digits that the device shows.
    code: String,
}

/// A second factor that counts from now on.
#[derive(Debug, SimpleObject)]
pub(crate) struct ConfirmSecondFactorPayload {
    /// Ten codes for the day the device is lost; each serves once in place of a code. Shown this once.
    recovery_codes: Vec<String>,
}

/// Whose second factor to take off, proven twice.
#[derive(Debug, InputObject)]
pub(crate) struct RemoveSecondFactorInput {
    /// Your password.
    password: String,
    /// The six digits that the device shows, or a recovery code.
    code: Option<String>,
}

/// How the second factor stands now.
#[derive(Debug, SimpleObject)]
pub(crate) struct RemoveSecondFactorPayload {
    /// The second factor.
    second_factor: SecondFactor,
}

#[derive(Default)]
pub(crate) struct SecondFactorMutation;

#[Object]
impl SecondFactorMutation {
    /// Begins a second factor. It is asked for once `confirmSecondFactor` has seen its first code;
    /// until then you may begin again.
    async fn start_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Your password.")] input: StartSecondFactorInput,
    ) -> Result<StartSecondFactorPayload> {
        let (app, caller) = request(ctx)?;
        let begun = enrol::start(app, &caller, &input.password).await?;
        Ok(StartSecondFactorPayload {
            uri: begun.uri,
            secret: begun.secret,
        })
    }

    /// Makes the second factor count: from now on `logIn` and `logInWithWallet` ask for a code.
    async fn confirm_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first code.")] input: ConfirmSecondFactorInput,
    ) -> Result<ConfirmSecondFactorPayload> {
        let (app, caller) = request(ctx)?;
        let recovery_codes = enrol::confirm(app, &caller, &input.code).await?;
        Ok(ConfirmSecondFactorPayload { recovery_codes })
    }

    /// Takes your second factor off, recovery codes and all.
    async fn remove_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Your password and a code.")] input: RemoveSecondFactorInput,
    ) -> Result<RemoveSecondFactorPayload> {
        let (app, caller) = request(ctx)?;
        enrol::remove(app, &caller, &input.password, Code(input.code)).await?;
        let (state, is_required) = enrol::state(app, &caller).await?;
        Ok(RemoveSecondFactorPayload {
            second_factor: SecondFactor::new(state, is_required),
        })
    }
}
