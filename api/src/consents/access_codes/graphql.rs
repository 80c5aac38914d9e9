//! Access codes in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{access_codes::PreparedConsent, consents::Terms, ids::AccessCodeId};
use uuid::Uuid;

use super::{prepare, redeem};
use crate::{
    consents::graphql::Consent,
    graphql::{
        enums::{DataCategory, ProcessingActivity, PurposeOfUse},
        payload::Payload,
        request, request_for,
        scalars::Time,
    },
};

/// A consent that you have prepared and that waits for whoever has its code. The code itself is told only once, by
/// `createAccessCode`.
#[derive(Debug, SimpleObject)]
pub(crate) struct AccessCode {
    /// The ID of the code, to cancel it by `cancelAccessCode`; also that of the consent which it becomes.
    id: Uuid,
    /// The purpose of use that the consent will be given for.
    purpose: PurposeOfUse,
    /// The categories of records that the consent will be about.
    data_categories: Vec<DataCategory>,
    /// What may then be done with the data.
    processing_activities: Vec<ProcessingActivity>,
    /// The time at which the consent will end, exclusive; null where it has no end.
    consent_expires_at: Option<Time>,
    /// The time at which the code was made.
    created_at: Time,
    /// The time until which the code can be redeemed, exclusive: 15 minutes after it was made.
    expires_at: Time,
}

impl From<PreparedConsent> for AccessCode {
    fn from(prepared: PreparedConsent) -> Self {
        let activities = prepared.activities.into_iter();
        Self {
            id: prepared.id.0,
            purpose: prepared.purpose.into(),
            data_categories: prepared.categories.into_iter().map(Into::into).collect(),
            processing_activities: activities.map(Into::into).collect(),
            consent_expires_at: prepared.consent_expires_at.map(Time),
            created_at: Time(prepared.created_at),
            expires_at: Time(prepared.expires_at),
        }
    }
}

/// The terms of the consent that a code is good for: all but the grantee.
#[derive(Debug, InputObject)]
pub(crate) struct CreateAccessCodeInput {
    /// The purpose of use that the consent is given for; not PATRQT, which needs no consent.
    purpose: PurposeOfUse,
    /// The categories of records that the consent is about; at least one.
    data_categories: Vec<DataCategory>,
    /// What may be done with the data; not DENY, as a code lets somebody in.
    processing_activities: Vec<ProcessingActivity>,
    /// The time at which the consent ends, exclusive, later than the 15 minutes of the code; null for no end.
    expires_at: Option<DateTime<Utc>>,
}

/// The result of `createAccessCode`: the code, which is told this once.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateAccessCodePayload {
    /// The code: 10 letters and digits of which no two look alike. Tell it to the doctor; it is not stored, and nobody
    /// is shown it again.
    code: String,
    /// What the code is good for, and until when.
    access_code: AccessCode,
}

/// The code that a patient told a doctor.
#[derive(Debug, InputObject)]
pub(crate) struct RedeemAccessCodeInput {
    /// The code, in capitals or not, with spaces and hyphens or without.
    code: String,
}

/// The result of `redeemAccessCode`: the consent of the patient.
#[derive(Debug, SimpleObject)]
pub(crate) struct RedeemAccessCodePayload {
    /// The consent, which names you and is in force from now on.
    consent: Consent,
}

/// The code that is to be cancelled.
#[derive(Debug, InputObject)]
pub(crate) struct CancelAccessCodeInput {
    /// The ID of one of your open codes.
    id: Uuid,
}

/// The result of `cancelAccessCode`: what the code was good for.
#[derive(Debug, SimpleObject)]
pub(crate) struct CancelAccessCodePayload {
    /// The code, which nobody can redeem any more.
    access_code: AccessCode,
}

#[derive(Default)]
pub(crate) struct AccessCodeQuery;

#[Object]
impl AccessCodeQuery {
    /// Your access codes that can still be redeemed, newest first, at most 10, without the codes themselves. Reading
    /// them is recorded in the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`onBehalfOf`), `NOT_FOUND` where the caller may not act for this patient.
    async fn access_codes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Vec<AccessCode>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let found = prepare::list(&app.pool, &app.seals, &caller).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }
}

#[derive(Default)]
pub(crate) struct AccessCodeMutation;

#[Object]
impl AccessCodeMutation {
    /// Prepares a consent of yours that has no grantee yet, and gives a code for it: the doctor who redeems it within 15
    /// minutes becomes the grantee. A code is good for one use. Open to patients and doctors, not to administrators.
    ///
    /// Error codes: `BAD_USER_INPUT` (`purpose`, `dataCategories`, `processingActivities`, `expiresAt`; `onBehalfOf`: also
    /// of a doctor, who could redeem the code), `FORBIDDEN` for administrators, `NOT_FOUND` where the caller may not act
    /// for this patient, `LIMIT_REACHED` (10 of your codes are open).
    async fn create_access_code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The terms of the consent, without a grantee.")]
        input: CreateAccessCodeInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<CreateAccessCodePayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let activities = input.processing_activities.into_iter();
        let terms = Terms {
            purpose: input.purpose.into(),
            categories: input.data_categories.into_iter().map(Into::into).collect(),
            activities: activities.map(Into::into).collect(),
            grantees: Vec::new(),
            expires_at: input.expires_at,
        };
        let (pool, seals, key) = (&app.pool, &app.seals, &app.index_key);
        let made = prepare::create(pool, seals, key, &caller, terms).await?;
        Ok(Payload(CreateAccessCodePayload {
            code: made.code.as_str().to_owned(),
            access_code: made.prepared.into(),
        }))
    }

    /// Redeems a code that a patient told you: you become the grantee of the consent that the patient has prepared. Open
    /// to doctors. Where a consent of the patient in force says exactly the same, that one is answered. A code that was
    /// redeemed is used, also where the answer was lost: see `consentsGivenToMe`. Who tries codes has to wait.
    ///
    /// Error codes: `BAD_USER_INPUT` (`code`: it is none, wrong, used, cancelled, over or your own, and which of it is not
    /// said), `FORBIDDEN` for all but doctors, `THROTTLED` after several wrong codes, `LIMIT_REACHED` (100 consents of the
    /// patient are in force).
    async fn redeem_access_code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code that the patient told you.")] input: RedeemAccessCodeInput,
    ) -> Result<Payload<RedeemAccessCodePayload>> {
        let (app, caller) = request(ctx)?;
        let (pool, seals, key) = (&app.pool, &app.seals, &app.index_key);
        let consent = redeem::redeem(pool, seals, key, &app.throttle, &caller, &input.code).await?;
        Ok(Payload(RedeemAccessCodePayload {
            consent: Consent::new(app.clock.now(), consent),
        }))
    }

    /// Cancels a code of yours that was not redeemed yet, with effect from the next request on.
    ///
    /// Error codes: `NOT_FOUND` where it is none of yours that can still be redeemed, or the caller may not act for this
    /// patient, `BAD_USER_INPUT` (`onBehalfOf`).
    async fn cancel_access_code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code that is to be cancelled.")] input: CancelAccessCodeInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<CancelAccessCodePayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let id = AccessCodeId(input.id);
        let cancelled = prepare::cancel(&app.pool, &app.seals, &caller, id).await?;
        Ok(Payload(CancelAccessCodePayload {
            access_code: cancelled.into(),
        }))
    }
}
