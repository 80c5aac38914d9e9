//! A request is verified by the wallet that is linked to its subject's account: what the wallet is to sign, and whether it did.

use chain::{ChainAddress, DeletionStatement};
use chrono::{DateTime, SubsecRound as _, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    deletion::{CHALLENGE_LASTS, DeletionRequest, VerificationChallenge},
    ids::DeletionRequestId,
    wallets::ProvenBy,
};
use serde_json::{Value, json};
use store::{Pool, Tx, audit, users};
use vault::{digest, random};

use super::{
    entries::{entry, save},
    requests::{pending, require_own},
};
use crate::{
    caller::{Caller, write_refusal},
    dependencies::WalletMessages,
    error::Error,
    throttle::{self, Attempt, Pass, Throttle},
};

const WANTED: AuditAction = AuditAction::DeletionVerify;

/// What a wallet is to sign.
#[derive(Debug)]
pub(super) struct DeletionToSign {
    /// For `eth_signTypedData_v4`.
    pub(super) typed_data: Value,
    /// Who is to sign.
    pub(super) wallet: ChainAddress,
    /// The last second in which the signature is taken.
    pub(super) expires_at: DateTime<Utc>,
}

/// What was signed, and how the wallet proved it.
#[derive(Debug)]
pub(super) struct SignedStatement {
    statement: DeletionStatement,
    /// By its key, or by the word of its contract.
    pub(super) proven_by: ProvenBy,
}

/// Makes what the caller's linked wallet is to sign to verify a request; what was made before is good no more.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where the request is not the caller's; [`Error::Conflict`] where it is not `pending`, was for too long, or no
/// wallet is linked; [`Error::Throttled`] for an account that asks for many.
pub(super) async fn challenge(
    messages: WalletMessages<'_>,
    throttle: &Throttle,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<DeletionToSign, Error> {
    // It counts whatever comes of it.
    let attempt = Attempt::DeletionChallenge(caller.user);
    let Pass { .. } = throttle::pass(throttle, &caller.origin, attempt).await?;
    let mut tx = messages.pool.begin().await?;
    caller.actor(&mut tx).await?;
    let mut tx = require_own(tx, caller, id, WANTED).await?;
    let request = pending(&mut tx, caller, id).await?;
    let wallet = linked(&mut tx, caller).await?;
    let expires_at = (users::now(&mut tx).await? + CHALLENGE_LASTS).trunc_subsecs(0);
    let challenge = VerificationChallenge {
        nonce: random::bytes(),
        expires_at,
    };
    let statement = statement(&request, wallet, &challenge);
    let request = DeletionRequest {
        challenge: Some(challenge),
        ..request
    };
    save(&caller.seals, &mut tx, &request).await?;
    let read = AuditEntry {
        new_value: Some(json!({ "toSign": WANTED, "expiresAt": expires_at })),
        ..entry(caller, AuditAction::DeletionRead, id, request.user)
    };
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    Ok(DeletionToSign {
        typed_data: statement.typed_data(messages.deployment),
        wallet,
        expires_at,
    })
}

/// Tries a signature of what waits for it. Nothing of the database is held while a node is asked, so [`check`] has to be asked
/// once more where the request is verified.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Conflict`] as of [`check`]; [`Error::BadInput`] (`signature`) where it is not the wallet's, or of something
/// else, which is written down; [`Error::Throttled`]; [`Error::Unavailable`], [`Error::Busy`] where a contract cannot be asked.
pub(super) async fn prove(
    messages: WalletMessages<'_>,
    throttle: &Throttle,
    caller: &Caller,
    id: DeletionRequestId,
    signature: &str,
) -> Result<SignedStatement, Error> {
    let statement = waiting(messages.pool, caller, id).await?;
    let attempt = Attempt::Signature(caller.user);
    let pass = throttle::pass(throttle, &caller.origin, attempt).await?;
    let hash = statement.hash(messages.deployment);
    let proven_by = messages
        .prover
        .of(statement.wallet, hash, signature)
        .await?;
    let mut tx = messages.pool.begin().await?;
    let Some(proven_by) = proven_by else {
        let about = entry(caller, WANTED, id, caller.user);
        write_refusal(&mut tx, about, ("SIGNATURE", WANTED)).await?;
        pass.failed(throttle, &mut tx).await?;
        tx.commit().await?;
        return Err(Error::bad(
            "signature",
            "this is not the signature of your linked wallet on what `deletionChallenge` gave last for this request: `0x` and \
             hexadecimal digits, as `eth_signTypedData_v4` answers",
        ));
    };
    pass.succeeded(throttle, &mut tx).await?;
    tx.commit().await?;
    Ok(SignedStatement {
        statement,
        proven_by,
    })
}

async fn waiting(
    pool: &Pool,
    caller: &Caller,
    id: DeletionRequestId,
) -> Result<DeletionStatement, Error> {
    let mut tx = pool.begin().await?;
    caller.actor(&mut tx).await?;
    let request = pending(&mut tx, caller, id).await?;
    let statement = awaited(&mut tx, caller, &request).await?;
    tx.commit().await?;
    Ok(statement)
}

/// Whether what was signed is still what is waited for: the same message, in time, of the wallet that is linked now.
///
/// # Errors
/// [`Error::Conflict`].
pub(super) async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &DeletionRequest,
    signed: &SignedStatement,
) -> Result<(), Error> {
    if awaited(tx, caller, request).await? == signed.statement {
        Ok(())
    } else {
        Err(nothing_waits())
    }
}

/// What is to be signed of this request now.
async fn awaited(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &DeletionRequest,
) -> Result<DeletionStatement, Error> {
    let wallet = linked(tx, caller).await?;
    let now = users::now(tx).await?;
    let challenge = request.challenge.as_ref();
    let challenge = challenge.filter(|it| now <= it.expires_at);
    let challenge = challenge.ok_or_else(nothing_waits)?;
    Ok(statement(request, wallet, challenge))
}

fn nothing_waits() -> Error {
    Error::Conflict {
        field: "id",
        message: "nothing waits for a signature, or its ten minutes are over: ask for it (`deletionChallenge`), and sign that"
            .to_owned(),
    }
}

/// The wallet that is linked to the caller's account.
async fn linked(tx: &mut Tx<'_>, caller: &Caller) -> Result<ChainAddress, Error> {
    let account = caller.seals.account(tx, caller.user).await?;
    let address = account.and_then(|account| account.blockchain_address);
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| Error::Conflict {
        field: "id",
        message:
            "no wallet is linked to your account: link one (`linkWallet`), or give your password"
                .to_owned(),
    })
}

fn statement(
    request: &DeletionRequest,
    wallet: ChainAddress,
    challenge: &VerificationChallenge,
) -> DeletionStatement {
    let asked = &request.asked;
    let scope = json!({ "dataCategories": asked.categories, "recordIds": asked.records });
    let categories = asked.categories.iter();
    DeletionStatement {
        wallet,
        request: request.id,
        subject: request.user,
        request_type: request.request_type,
        data_categories: categories.map(|it| it.as_str().to_owned()).collect(),
        records: asked.records.len(),
        scope: digest::of_document(digest::canonical(&scope).as_bytes()),
        nonce: challenge.nonce,
        deadline: challenge.expires_at.timestamp().cast_unsigned(),
    }
}
