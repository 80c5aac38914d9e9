//! Asking for a message to sign.

use chain::{ChainAddress, siwe};
use chrono::{DateTime, Utc};
use domain::wallets::{CHALLENGE_LIFETIME, ChallengePurpose};
use store::wallets::{self, ChallengeKey};
use vault::{digest, random};

use crate::{
    caller::RequestContext,
    dependencies::WalletMessages,
    error::Error,
    throttle::{self, Attempt, Pass, Throttle},
};

/// A message that waits for its signature.
pub(super) struct IssuedChallenge {
    /// The exact text to sign.
    pub(super) text: String,
    /// Until when.
    pub(super) expires_at: DateTime<Utc>,
}

/// Makes a message for this wallet to sign. Linking needs somebody who is logged in; anybody may ask
/// to log in, and learns nothing of whether there is such an account.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::BadInput`] for what is no address, or one that is nobody's,
/// [`Error::Throttled`] for an address of the network, or an account that links, that asks for many.
pub(super) async fn ask(
    messages: WalletMessages<'_>,
    throttle: &Throttle,
    context: &RequestContext,
    address: &str,
    purpose: ChallengePurpose,
) -> Result<IssuedChallenge, Error> {
    let address: ChainAddress = address
        .parse()
        .map_err(|error: chain::InvalidHex| Error::bad("address", error.to_string()))?;
    if let Some(why) = messages.deployment.is_no_wallet(address) {
        return Err(Error::bad("address", why));
    }
    let linking = match purpose {
        ChallengePurpose::Link => Some(context.caller()?),
        ChallengePurpose::LogIn => None,
    };
    let attempt = match &linking {
        Some(caller) => Attempt::LinkChallenge(caller.user),
        None => Attempt::Challenge,
    };
    // It counts whatever comes of it: each is a row until it has expired.
    let Pass { .. } = throttle::pass(throttle, &context.origin, attempt).await?;
    // 128 bits, as hexadecimal digits: EIP-4361 wants letters and digits alone.
    let nonce = random::hex::<16>();
    let mut tx = messages.pool.begin().await?;
    let user = match linking {
        Some(caller) => Some(caller.actor(&mut tx).await?.id),
        None => None,
    };
    let key = ChallengeKey {
        nonce_hash: &digest::hex_of(nonce.as_bytes()),
        purpose,
        address: &address.to_string(),
        user,
    };
    let issued_at = wallets::insert_challenge(&mut tx, key).await?;
    tx.commit().await?;
    let challenge = siwe::Challenge {
        site: messages.site,
        chain_id: messages.deployment.chain_id,
        purpose,
        address,
        nonce: &nonce,
        issued_at,
    };
    Ok(IssuedChallenge {
        text: challenge.text(),
        expires_at: issued_at + CHALLENGE_LIFETIME,
    })
}
