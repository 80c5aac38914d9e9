//! Receipts: what a patient agreed to, or took back, as one text with a salt, whose hash is in the audit trail; signed by
//! the patient's wallet where the patient wants.

pub(crate) mod graphql;
mod sign;

use chain::details_hash;
use domain::{
    consents::Consent,
    ids::ReceiptId,
    receipts::{AgreedDetails, ConsentReceipt, ReceiptKind, registry_end},
};
use serde_json::json;
use store::{Tx, receipts};
use vault::{digest, random};

use super::evidence::evidence;
use crate::{error::Error, seals::Seals};

/// The hash of a receipt's text: what an audit row holds.
fn hash_of(receipt: &ConsentReceipt) -> String {
    digest::hex_of(receipt.text.as_bytes())
}

/// Makes the receipt of a consent that is given, with a fresh salt, and gives its hash.
///
/// # Errors
/// [`Error::Unavailable`], or the database's.
pub(crate) async fn of_grant(
    seals: &Seals,
    tx: &mut Tx<'_>,
    consent: &Consent,
) -> Result<String, Error> {
    let salt = format!("0x{}", random::hex::<32>());
    let details = AgreedDetails::of(consent, salt);
    insert(seals, tx, consent, ReceiptKind::Grant, &details).await
}

/// Makes the receipt of a consent that is taken back, with the details of its grant, and gives its hash; a signature of the
/// grant that was not sent yet is sent no more. `None` for a consent from before there were receipts, and where that of the grant is not as it was sealed.
///
/// # Errors
/// [`Error::Unavailable`], or the database's.
pub(crate) async fn of_withdrawal(
    seals: &Seals,
    tx: &mut Tx<'_>,
    consent: &Consent,
) -> Result<Option<String>, Error> {
    let granted = receipts::lock(tx, consent.id, ReceiptKind::Grant, consent.patient).await?;
    receipts::relaying::give_up_grant(tx, consent.id).await?;
    let granted = granted.and_then(|stored| seals.open(stored.sealed));
    let Some(details) = granted.and_then(|receipt| receipt.details()) else {
        return Ok(None);
    };
    let hash = insert(seals, tx, consent, ReceiptKind::Withdrawal, &details).await?;
    Ok(Some(hash))
}

async fn insert(
    seals: &Seals,
    tx: &mut Tx<'_>,
    consent: &Consent,
    kind: ReceiptKind,
    details: &AgreedDetails,
) -> Result<String, Error> {
    let mut said = evidence(consent);
    said["consent"] = json!(consent.id);
    said["patient"] = json!(consent.patient);
    said["kind"] = json!(kind);
    said["details"] = json!(details);
    let receipt = ConsentReceipt {
        id: ReceiptId::fresh(),
        consent: consent.id,
        patient: consent.patient,
        kind,
        text: digest::canonical(&said),
        details_hash: details_hash(details).ok_or(Error::Internal)?,
        registry_end: registry_end(consent.expires_at).cast_signed(),
        made_at: consent.withdrawn_at.unwrap_or(consent.given_at),
        signature: None,
    };
    receipts::insert(tx, &receipt, &seals.seal(&receipt)?).await?;
    Ok(hash_of(&receipt))
}
