//! The second factor in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::second_factor::FactorState;

use super::{check::Code, enrol};
use crate::graphql::{payload::Payload, request, scalars::Time};

/// The state of the caller's second factor: six-digit codes of a device (RFC 6238), asked for at each
/// log-in.
#[derive(Debug, SimpleObject)]
pub(crate) struct SecondFactor {
    /// Whether a code is asked for at each log-in.
    is_on: bool,
    /// The time since which codes are asked for; null while they are not.
    confirmed_at: Option<Time>,
    /// The time at which a second factor was begun that still waits for its first code; null where none
    /// does.
    started_at: Option<Time>,
    /// The number of recovery codes that have not been used.
    recovery_codes_left: i32,
    /// Whether the operator requires a second factor of the caller's role. Without it the caller can
    /// only set one up.
    is_required: bool,
}

impl SecondFactor {
    fn new(state: FactorState, is_required: bool) -> Self {
        let is_on = state.confirmed_at.is_some();
        Self {
            is_on,
            confirmed_at: state.confirmed_at.map(Time),
            started_at: state.started_at.filter(|_| !is_on).map(Time),
            recovery_codes_left: i32::try_from(state.recovery_codes_left).unwrap_or(i32::MAX),
            is_required,
        }
    }
}

#[derive(Default)]
pub(crate) struct SecondFactorQuery;

#[Object]
impl SecondFactorQuery {
    /// The state of the caller's second factor. Open to every role, also without a second factor.
    async fn my_second_factor(&self, ctx: &Context<'_>) -> Result<SecondFactor> {
        let (app, caller) = request(ctx)?;
        let (state, is_required) = enrol::state(&app.pool, app.second_factor, &caller).await?;
        Ok(SecondFactor::new(state, is_required))
    }
}

/// The proof that the owner of the account sets the second factor up.
#[derive(Debug, InputObject)]
pub(crate) struct StartSecondFactorInput {
    /// The password of the account.
    password: String,
}

/// The secret of a second factor that waits for its first code. It is shown this once.
#[derive(Debug, SimpleObject)]
pub(crate) struct StartSecondFactorPayload {
    /// The `otpauth://totp/…` URI: show it as a QR code for an authenticator app to scan.
    uri: String,
    /// The secret in Base32, to type into the app where it cannot scan.
    secret: String,
}

/// The first code of the new second factor.
#[derive(Debug, InputObject)]
pub(crate) struct ConfirmSecondFactorInput {
    /// The six digits that the authenticator app shows now.
    code: String,
}

/// The result of `confirmSecondFactor`: the recovery codes.
#[derive(Debug, SimpleObject)]
pub(crate) struct ConfirmSecondFactorPayload {
    /// Ten recovery codes, for when the device is lost. Each is accepted once in place of a code. They
    /// are shown this once.
    recovery_codes: Vec<String>,
}

/// The proof that the owner of the account removes the second factor.
#[derive(Debug, InputObject)]
pub(crate) struct RemoveSecondFactorInput {
    /// The password of the account.
    password: String,
    /// The six digits that the authenticator app shows now, or a recovery code.
    code: Option<String>,
}

/// The result of `removeSecondFactor`: the state that is left.
#[derive(Debug, SimpleObject)]
pub(crate) struct RemoveSecondFactorPayload {
    /// The state of the caller's second factor after the removal.
    second_factor: SecondFactor,
}

#[derive(Default)]
pub(crate) struct SecondFactorMutation;

#[Object]
impl SecondFactorMutation {
    /// Begins to set up a second factor. Codes are asked for once `confirmSecondFactor` has accepted
    /// the first one; until then this may be repeated, with a new secret each time.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, `CONFLICT` (`secondFactor`: the account has one), `THROTTLED`.
    async fn start_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password of the account.")] input: StartSecondFactorInput,
    ) -> Result<Payload<StartSecondFactorPayload>> {
        let (app, caller) = request(ctx)?;
        let begun = enrol::start(app.credentials(), &caller, &input.password).await?;
        Ok(Payload(StartSecondFactorPayload {
            uri: begun.uri,
            secret: begun.secret,
        }))
    }

    /// Turns the second factor on: from now on `logIn` and `logInWithWallet` ask for a code.
    ///
    /// Error codes: `BAD_USER_INPUT` (`code`), `NOT_FOUND` where none was begun, `CONFLICT`
    /// (`secondFactor`: it is on already).
    async fn confirm_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first code of the new second factor.")]
        input: ConfirmSecondFactorInput,
    ) -> Result<Payload<ConfirmSecondFactorPayload>> {
        let (app, caller) = request(ctx)?;
        let recovery_codes = enrol::confirm(app.credentials(), &caller, &input.code).await?;
        Ok(Payload(ConfirmSecondFactorPayload { recovery_codes }))
    }

    /// Removes the caller's second factor and its recovery codes.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, `SECOND_FACTOR_REQUIRED` where the code is missing,
    /// `NOT_FOUND` where there is none, `THROTTLED`.
    async fn remove_second_factor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password and a code.")] input: RemoveSecondFactorInput,
    ) -> Result<Payload<RemoveSecondFactorPayload>> {
        let (app, caller) = request(ctx)?;
        enrol::remove(
            app.credentials(),
            &caller,
            &input.password,
            Code(input.code),
        )
        .await?;
        let (state, is_required) = enrol::state(&app.pool, app.second_factor, &caller).await?;
        Ok(Payload(RemoveSecondFactorPayload {
            second_factor: SecondFactor::new(state, is_required),
        }))
    }
}
