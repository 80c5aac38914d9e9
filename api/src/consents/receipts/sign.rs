//! Signing a receipt with the wallet that is linked to one's account.

use chain::{ChainAddress, ConsentDomain, ConsentStatement};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    consents::Consent,
    ids::ConsentId,
    receipts::{
        AgreedDetails, ConsentReceipt, MAX_RELAYED_A_DAY, ReceiptKind, ReceiptSignature,
        ReceiptState,
    },
};
use serde_json::{Value, json};
use store::{
    Tx, audit, barrier,
    receipts::{self, ReceiptProgress},
    users,
};
use vault::digest;

use crate::{
    caller::{Caller, refuse_unknown},
    consents::{evidence::entry, withdraw::own},
    dependencies::ReceiptSigning,
    error::{Error, all, check_time},
    seals::Seals,
};

/// The longest time that a signature may be good for.
const LONGEST: TimeDelta = TimeDelta::days(366);
/// The shortest time that one may be good for that is relayed: it has to get into a block until then.
const SHORTEST_RELAYED: TimeDelta = TimeDelta::minutes(10);
/// How long it is good for where nobody says.
const USUAL: TimeDelta = TimeDelta::days(1);

/// Which act is to be signed, and until when the signature may be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConsentSigning {
    /// The consent.
    pub(super) consent: ConsentId,
    /// Whether its grant or its withdrawal.
    pub(super) kind: ReceiptKind,
    /// Until when; a day, if nothing is said.
    pub(super) deadline: Option<DateTime<Utc>>,
}

/// What a wallet is to sign.
#[derive(Debug)]
pub(super) struct ToSign {
    /// For `eth_signTypedData_v4`.
    pub(super) typed_data: Value,
    /// The last second in which the signature may be used.
    pub(super) deadline: DateTime<Utc>,
    /// Who is to sign.
    pub(super) wallet: ChainAddress,
}

/// A receipt that may be signed now, and what its wallet says by that.
struct Ready {
    receipt: ConsentReceipt,
    progress: ReceiptProgress,
    statement: ConsentStatement,
    deadline: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// What the caller's wallet is to sign.
///
/// # Errors
/// [`Error::NotFound`], with its audit row, where it is not one of the caller's consents, or where it has no receipt;
/// [`Error::Conflict`] where the act cannot be signed or no wallet is linked; [`Error::BadInput`] for the deadline.
pub(super) async fn to_sign(
    with: ReceiptSigning<'_>,
    caller: &Caller,
    signing: ConsentSigning,
) -> Result<ToSign, Error> {
    let mut tx = with.pool.begin().await?;
    let Some(consent) = asked(with.seals, &mut tx, caller, signing.consent).await? else {
        let about = entry(caller, AuditAction::ConsentRead, signing.consent);
        return refuse_unknown(tx, about, "consent").await;
    };
    let ready = ready(with, &mut tx, &consent, signing).await?;
    let read = AuditEntry {
        new_value: Some(json!({ "toSign": signing.kind })),
        ..entry(caller, AuditAction::ConsentRead, signing.consent)
    };
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    Ok(ToSign {
        typed_data: ready.statement.typed_data(with.domain),
        deadline: ready.deadline,
        wallet: ready.statement.wallet,
    })
}

/// Stores the wallet's signature of an act, with its audit row; where signatures are relayed, it is on its way from then
/// on. The same signature again changes nothing.
///
/// # Errors
/// As of [`to_sign`]; [`Error::BadInput`] for a signature that the wallet did not make of this, [`Error::Conflict`] where
/// another one is there that can still be used, [`Error::LimitReached`] where as many were relayed as may be in a day.
pub(super) async fn sign(
    with: ReceiptSigning<'_>,
    caller: &Caller,
    signing: ConsentSigning,
    signature: &str,
) -> Result<Consent, Error> {
    let mut tx = with.pool.begin().await?;
    // One at a time: what is relayed is counted.
    barrier::lock_exclusive(&mut tx, [caller.user]).await?;
    let Some(consent) = asked(with.seals, &mut tx, caller, signing.consent).await? else {
        let about = entry(caller, AuditAction::ConsentSign, signing.consent);
        return refuse_unknown(tx, about, "consent").await;
    };
    let ready = ready(with, &mut tx, &consent, signing).await?;
    let Some(bytes) = ready.statement.signed_by_key(with.domain, signature) else {
        return Err(refuse(tx, caller, signing).await?);
    };
    let signed = ReceiptSignature {
        chain_id: i64::try_from(with.domain.chain_id).map_err(|_| Error::Internal)?,
        contract: with.domain.contract.to_string(),
        wallet: ready.statement.wallet.to_string(),
        deadline: ready.deadline,
        signature: bytes,
        signed_at: ready.now,
    };
    if let Some(before) = &ready.receipt.signature {
        if says_the_same(before, &signed) {
            return Ok(consent);
        }
        if can_still_be_used(before, &ready.progress, with.domain, ready.now) {
            return Err(Error::Conflict {
                field: "signature",
                message: "this was signed already, and the signature can still be used".to_owned(),
            });
        }
    }
    if with.is_relayed {
        check_relayed(&mut tx, caller, ready.now).await?;
    }
    let receipt = ConsentReceipt {
        signature: Some(signed.clone()),
        ..ready.receipt
    };
    let seal = with.seals.seal(&receipt)?;
    receipts::sign(&mut tx, receipt.id, &signed, &seal, with.is_relayed).await?;
    let row = AuditEntry {
        new_value: Some(json!({
            "kind": receipt.kind,
            "receipt": super::hash_of(&receipt),
            "detailsHash": receipt.details_hash.to_string(),
            "deadline": signed.deadline,
            // So that the trail knows which signature was the last.
            "signature": digest::hex_of(&signed.signature),
            "relayed": with.is_relayed,
        })),
        ..entry(caller, AuditAction::ConsentSign, signing.consent)
    };
    audit::insert(&mut tx, &[row]).await?;
    tx.commit().await?;
    Ok(consent)
}

/// Whether it is the same signature, sent again.
fn says_the_same(before: &ReceiptSignature, now: &ReceiptSignature) -> bool {
    (before.chain_id, &before.contract, &before.wallet)
        == (now.chain_id, &now.contract, &now.wallet)
        && (before.deadline, &before.signature) == (now.deadline, &now.signature)
}

/// Whether a signature is in the registry, or may yet come to be in the one that there is now.
fn can_still_be_used(
    before: &ReceiptSignature,
    progress: &ReceiptProgress,
    domain: ConsentDomain,
    now: DateTime<Utc>,
) -> bool {
    let is_for_it = u64::try_from(before.chain_id).ok() == Some(domain.chain_id)
        && before.contract == domain.contract.to_string();
    match progress.state {
        Some(ReceiptState::Confirmed | ReceiptState::Finalized) => true,
        Some(ReceiptState::Failed) => false,
        Some(ReceiptState::Submitted) => is_for_it,
        Some(ReceiptState::Pending) | None => is_for_it && now <= before.deadline,
    }
}

/// Refuses to relay more of a patient's signatures in a day than the registrar pays for.
async fn check_relayed(tx: &mut Tx<'_>, caller: &Caller, now: DateTime<Utc>) -> Result<(), Error> {
    let since = now - TimeDelta::days(1);
    if receipts::relayed_since(tx, caller.user, since).await? < MAX_RELAYED_A_DAY {
        return Ok(());
    }
    Err(Error::LimitReached {
        field: "input",
        message: format!(
            "{MAX_RELAYED_A_DAY} of your signatures were relayed in the last 24 hours, and no more can be: sign this one \
             later"
        ),
    })
}

/// The consent whose act is to be signed, where it is the caller's. Its row is locked.
async fn asked(
    seals: &Seals,
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: ConsentId,
) -> Result<Option<Consent>, Error> {
    barrier::lock_shared(tx, [caller.user]).await?;
    let actor = caller.actor(tx).await?;
    Ok(own(seals, tx, id, actor.id).await?)
}

/// Finds the receipt and its wallet, and whether it may be signed. Its row is locked.
async fn ready(
    with: ReceiptSigning<'_>,
    tx: &mut Tx<'_>,
    consent: &Consent,
    signing: ConsentSigning,
) -> Result<Ready, Error> {
    let now = users::now(tx).await?;
    check_act(consent, signing.kind, now)?;
    let stored = receipts::lock(tx, consent.id, signing.kind, consent.patient).await?;
    let stored = stored.ok_or(Error::NotFound("receipt"))?;
    let receipt = with.seals.open(stored.sealed);
    let receipt = receipt.ok_or(Error::NotFound("receipt"))?;
    let details = receipt.details().ok_or(Error::NotFound("receipt"))?;
    let account = with.seals.account(tx, consent.patient).await?;
    let wallet = account.and_then(|account| account.blockchain_address);
    let wallet = wallet.and_then(|address| address.parse::<ChainAddress>().ok());
    let wallet = wallet.ok_or_else(|| Error::Conflict {
        field: "id",
        message: "no wallet is linked to your account: link the one that is to sign (`linkWallet`)"
            .to_owned(),
    })?;
    check_granted_by(with.seals, tx, &receipt, wallet).await?;
    let shortest = if with.is_relayed {
        SHORTEST_RELAYED
    } else {
        TimeDelta::zero()
    };
    let deadline = deadline(signing.deadline, now, shortest)?;
    Ok(Ready {
        statement: statement(&receipt, details, wallet, deadline),
        progress: stored.progress,
        receipt,
        deadline,
        now,
    })
}

/// Refuses to sign a withdrawal with another wallet than the grant was signed with: the registry knows a consent by its
/// wallet, and what the other one has granted would stand there. No grant is signed once its consent is withdrawn, so
/// nobody has to lock it.
async fn check_granted_by(
    seals: &Seals,
    tx: &mut Tx<'_>,
    receipt: &ConsentReceipt,
    wallet: ChainAddress,
) -> Result<(), Error> {
    if receipt.kind != ReceiptKind::Withdrawal {
        return Ok(());
    }
    let of_consent = receipts::of_consents(tx, &[receipt.consent]).await?;
    let granted = of_consent
        .into_iter()
        .find(|it| it.kind == ReceiptKind::Grant)
        .ok_or(Error::NotFound("receipt"))?;
    let granted = seals.open(granted.sealed);
    let granted = granted.ok_or(Error::NotFound("receipt"))?;
    let wallet = wallet.to_string();
    if granted.signature.is_some_and(|it| it.wallet != wallet) {
        return Err(Error::Conflict {
            field: "id",
            message: "the grant was signed by another wallet: link that one".to_owned(),
        });
    }
    Ok(())
}

fn statement(
    receipt: &ConsentReceipt,
    details: AgreedDetails,
    wallet: ChainAddress,
    deadline: DateTime<Utc>,
) -> ConsentStatement {
    ConsentStatement {
        kind: receipt.kind,
        wallet,
        details,
        expires_at: receipt.registry_end.cast_unsigned(),
        deadline: deadline.timestamp().cast_unsigned(),
    }
}

/// The typed data that was signed; `None` of a receipt that nobody has signed.
pub(super) fn signed_data(receipt: &ConsentReceipt) -> Option<Value> {
    let signed = receipt.signature.as_ref()?;
    let domain = chain::ConsentDomain {
        chain_id: u64::try_from(signed.chain_id).ok()?,
        contract: signed.contract.parse().ok()?,
    };
    let (details, wallet) = (receipt.details()?, signed.wallet.parse().ok()?);
    Some(statement(receipt, details, wallet, signed.deadline).typed_data(domain))
}

/// Refuses to sign that a consent is given which is over, and that one is taken back which is not.
fn check_act(consent: &Consent, kind: ReceiptKind, now: DateTime<Utc>) -> Result<(), Error> {
    let message = match kind {
        ReceiptKind::Grant if consent.withdrawn_at.is_some() => {
            "this consent was withdrawn: only its withdrawal can be signed"
        }
        ReceiptKind::Grant if !consent.is_active(now) => "this consent has expired",
        ReceiptKind::Withdrawal if consent.withdrawn_at.is_none() => {
            "this consent was not withdrawn: withdraw it first (`withdrawConsent`)"
        }
        ReceiptKind::Grant | ReceiptKind::Withdrawal => return Ok(()),
    };
    Err(Error::Conflict {
        field: "kind",
        message: message.to_owned(),
    })
}

/// Until when, in whole seconds: no sooner than after `shortest`.
fn deadline(
    asked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    shortest: TimeDelta,
) -> Result<DateTime<Utc>, Error> {
    all([check_time("deadline", asked)])?;
    let deadline = asked.unwrap_or(now + USUAL).trunc_subsecs(0);
    if deadline <= now {
        return Err(Error::bad("deadline", "the deadline has passed"));
    }
    if deadline < now + shortest {
        let told = "a signature that is relayed has to be good for 10 minutes at least";
        return Err(Error::bad("deadline", told));
    }
    if deadline > now + LONGEST {
        let told = "a signature is good for 366 days at most";
        return Err(Error::bad("deadline", told));
    }
    Ok(deadline)
}

/// Writes down that a signature was no good, and gives the error to answer with.
async fn refuse(mut tx: Tx<'_>, caller: &Caller, signing: ConsentSigning) -> Result<Error, Error> {
    let denied = AuditEntry {
        new_value: Some(json!({ "reason": "SIGNATURE", "wanted": AuditAction::ConsentSign })),
        ..entry(caller, AuditAction::AccessDenied, signing.consent)
    };
    audit::insert(&mut tx, &[denied]).await?;
    tx.commit().await?;
    Ok(Error::bad(
        "signature",
        "this is not the signature of your linked wallet on this act with this deadline: `0x` and 130 hexadecimal \
         digits, as `eth_signTypedData_v4` answers",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_to_come_and_not_too_far_away_in_whole_seconds() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let now = at("2027-01-01T00:00:00.5Z");
        let told = |asked: Option<&str>| {
            let found = deadline(asked.map(at), now, TimeDelta::zero());
            found.map_err(|error| error.to_string())
        };
        assert_eq!(told(None), Ok(at("2027-01-02T00:00:00Z")));
        assert_eq!(
            told(Some("2027-01-01T00:00:01.9Z")),
            Ok(at("2027-01-01T00:00:01Z"))
        );
        assert_eq!(
            told(Some("2028-01-02T00:00:00Z")),
            Ok(at("2028-01-02T00:00:00Z"))
        );
        for wrong in [
            "2027-01-01T00:00:00.9Z",
            "2026-12-31T00:00:00Z",
            "2028-01-02T00:00:01Z",
        ] {
            assert!(told(Some(wrong)).is_err(), "{wrong}");
        }
        for (asked, is_good) in [
            ("2027-01-01T00:10:00Z", false),
            ("2027-01-01T00:10:01Z", true),
        ] {
            let relayed = deadline(Some(at(asked)), now, SHORTEST_RELAYED);
            assert_eq!(relayed.is_ok(), is_good, "{asked}");
        }
    }

    #[test]
    fn what_was_signed_for_another_registry_can_be_signed_again_unless_it_is_there() {
        use ReceiptState::{Confirmed, Failed, Finalized, Pending, Submitted};
        let here = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
        let domain = ConsentDomain {
            chain_id: 31_337,
            contract: here.parse().expect("an address"),
        };
        let now = DateTime::UNIX_EPOCH;
        let before = |chain_id, seconds| ReceiptSignature {
            chain_id,
            contract: here.to_owned(),
            wallet: here.to_owned(),
            deadline: now + TimeDelta::seconds(seconds),
            signature: Vec::new(),
            signed_at: now,
        };
        let cases = [
            // state, chain, seconds to the deadline → whether it can still be used
            (None, 31_337, 0, true),
            (None, 31_337, -1, false),
            (None, 1, 9, false),
            (Some(Pending), 31_337, 9, true),
            (Some(Pending), 1, 9, false),
            (Some(Submitted), 31_337, -1, true),
            (Some(Submitted), 1, 9, false),
            (Some(Failed), 31_337, 9, false),
            (Some(Confirmed), 1, -1, true),
            (Some(Finalized), 1, -1, true),
        ];
        for (state, chain_id, seconds, wanted) in cases {
            let progress = ReceiptProgress {
                state,
                failure: None,
                tx_hash: None,
                block_number: None,
            };
            let can = can_still_be_used(&before(chain_id, seconds), &progress, domain, now);
            assert_eq!(can, wanted, "{state:?} {chain_id} {seconds}");
        }
    }
}
