//! The subject of a request proves to be the subject; then its scope is computed, and administrators decide.

use domain::{
    audit::{AuditAction, AuditEntry},
    deletion::{
        DeletionRequest, DeletionRequestType, DeletionStatus, DeletionStep, MAX_VERIFICATION_TRIES,
        VerificationMethod,
    },
    ids::DeletionRequestId,
};
use serde_json::json;
use store::{
    Pool, Tx, audit,
    deletion::{self, claims},
    users,
};
use vault::claim_code::ClaimCode;

use super::{
    entries::{entry, save, step},
    holds,
    reasons::{Explained, SealedReasons},
    requests::{pending, require_own},
    wallet::{self, SignedStatement},
};
use crate::{
    caller::Caller,
    dependencies::{Credentials, WalletMessages},
    error::Error,
    second_factor::check::Code,
    users::password,
};

/// By what the caller proves to be the subject.
pub(super) enum SubjectProof {
    /// The password that was typed.
    Password(String),
    /// The signature of the linked wallet, `0x` and hexadecimal digits.
    Signature(String),
}

impl SubjectProof {
    /// What was given: one of the two.
    ///
    /// # Errors
    /// [`Error::BadInput`] for both, and for neither.
    pub(super) fn of(password: Option<String>, signature: Option<String>) -> Result<Self, Error> {
        match (password, signature) {
            (Some(password), None) => Ok(Self::Password(password)),
            (None, Some(signature)) => Ok(Self::Signature(signature)),
            (Some(_), Some(_)) => Err(Error::bad(
                "signature",
                "give the password or the signature of your wallet, not both",
            )),
            (None, None) => Err(Error::bad(
                "currentPassword",
                "give your password, or the signature of your wallet",
            )),
        }
    }
}

/// A request that was verified, and by which code its certificate is had.
pub(super) struct VerifiedDeletion {
    /// The request as it stands then.
    pub(super) request: Explained<DeletionRequest>,
    /// Where an account is to be erased; nobody is shown it a second time.
    pub(super) claim_code: Option<ClaimCode>,
}

/// Verifies a request by the caller's password or the signature of their wallet, and a code of the second factor where there is
/// one. The request comes under review, or is put on hold.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where it is not the caller's; [`Error::Conflict`] where it is not `pending`, or was for
/// too long, and where nothing waits for a signature; [`Error::BadInput`] for a signature that is no good; [`Error::WrongCredentials`],
/// [`Error::SecondFactorRequired`], [`Error::Throttled`], [`Error::Busy`], [`Error::Unavailable`].
pub(super) async fn verify(
    credentials: Credentials<'_>,
    messages: WalletMessages<'_>,
    caller: &Caller,
    id: DeletionRequestId,
    proof: &SubjectProof,
    code: &Code,
) -> Result<VerifiedDeletion, Error> {
    look(credentials.pool, caller, id).await?;
    let proven = prove(credentials, messages, caller, id, proof).await;
    let signed = match proven {
        Ok(signed) => signed,
        Err(error @ (Error::WrongCredentials | Error::BadInput { .. })) => {
            count(credentials, caller, id).await?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let mut tx = match code.demand(credentials, caller).await {
        Err(Error::WrongCredentials) => {
            count(credentials, caller, id).await?;
            return Err(Error::WrongCredentials);
        }
        demanded => demanded?,
    };
    caller.actor(&mut tx).await?;
    let request = pending(&mut tx, caller, id).await?;
    let mut said = json!({ "method": VerificationMethod::Password });
    if let Some(signed) = &signed {
        wallet::check(&mut tx, caller, &request, signed).await?;
        said = json!({ "method": VerificationMethod::Wallet, "provenBy": signed.proven_by });
    }
    let now = users::now(&mut tx).await?;
    let request = DeletionRequest {
        verification_method: match signed {
            Some(_) => VerificationMethod::Wallet,
            None => VerificationMethod::Password,
        },
        verified_at: Some(now),
        scope: deletion::scope(&mut tx, request.user, &request.asked).await?,
        ..step(&request, DeletionStep::Verify)?
    };
    let mut request = step(&request, DeletionStep::Review)?;
    let held = request.request_type.erases()
        && holds::is_held(credentials.seals, &mut tx, &request).await?;
    if held {
        request = step(&request, DeletionStep::Hold)?;
    }
    save(credentials.seals, &mut tx, &request).await?;
    let claim_code = store_claim(&mut tx, &request).await?;
    said["status"] = json!(request.status);
    said["scope"] = json!(request.scope);
    let verified = AuditEntry {
        old_value: Some(json!({ "status": DeletionStatus::Pending })),
        new_value: Some(said),
        ..entry(caller, AuditAction::DeletionVerify, id, request.user)
    };
    audit::insert(&mut tx, &[verified]).await?;
    let sealed = SealedReasons::of(&mut tx, vec![request]).await?;
    tx.commit().await?;
    Ok(VerifiedDeletion {
        request: sealed.open_one(credentials.seals.keyring()).await?,
        claim_code,
    })
}

/// Makes the code by which the certificate is had where nobody can log in any more.
async fn store_claim(
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
) -> Result<Option<ClaimCode>, Error> {
    if request.request_type != DeletionRequestType::AccountErasure {
        return Ok(None);
    }
    let code = ClaimCode::fresh();
    claims::insert(tx, request.id, &code.hash()).await?;
    Ok(Some(code))
}

/// Looks at the proof; what was signed, where it is a signature.
async fn prove(
    credentials: Credentials<'_>,
    messages: WalletMessages<'_>,
    caller: &Caller,
    id: DeletionRequestId,
    proof: &SubjectProof,
) -> Result<Option<SignedStatement>, Error> {
    match proof {
        SubjectProof::Password(typed) => {
            password::confirm(credentials, caller, typed, AuditAction::DeletionVerify).await?;
            Ok(None)
        }
        SubjectProof::Signature(signature) => {
            let throttle = credentials.throttle;
            let signed = wallet::prove(messages, throttle, caller, id, signature).await?;
            Ok(Some(signed))
        }
    }
}

/// Whether there is something to verify: before anybody is asked for a password.
async fn look(pool: &Pool, caller: &Caller, id: DeletionRequestId) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    caller.actor(&mut tx).await?;
    let mut tx = require_own(tx, caller, id, AuditAction::DeletionVerify).await?;
    pending(&mut tx, caller, id).await?;
    tx.commit().await?;
    Ok(())
}

/// Counts a wrong proof; with the last one that is allowed the request is over.
async fn count(
    credentials: Credentials<'_>,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<(), Error> {
    let mut tx = credentials.pool.begin().await?;
    let mut request = pending(&mut tx, caller, id).await?;
    request.verification_tries += 1;
    if request.verification_tries >= MAX_VERIFICATION_TRIES {
        request = step(&request, DeletionStep::Expire)?;
        let expired = AuditEntry {
            old_value: Some(json!({ "status": DeletionStatus::Pending })),
            new_value: Some(json!({ "status": request.status, "reason": "TRIES" })),
            ..entry(caller, AuditAction::DeletionExpire, id, request.user)
        };
        audit::insert(&mut tx, &[expired]).await?;
    }
    save(credentials.seals, &mut tx, &request).await?;
    tx.commit().await?;
    Ok(())
}
