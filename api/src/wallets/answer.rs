//! A signed message: read, compared with what was asked, and its signature tried. What follows takes
//! the challenge away in its own transaction, so that no answer counts twice.

use chain::{ChainAddress, MessageHash, siwe};
use domain::{
    ids::UserId,
    wallets::{ChallengePurpose, ProvenBy},
};
use store::{
    PgConnection,
    users::now,
    wallets::{ChallengeKey, challenge_waits, take_challenge},
};
use vault::digest;

use crate::{dependencies::WalletMessages, error::Error, wallets::proof::Prover};

/// Why an answer is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// The message is not what was asked to be signed.
    #[error(transparent)]
    Message(#[from] siwe::InvalidMessage),
    /// Nobody here asked for it, or it was answered before.
    #[error("this message was not asked for here, or was answered before; ask for a new one")]
    Nonce,
    /// The wallet did not sign it.
    #[error("the wallet did not sign this message")]
    Signature,
}

impl Flaw {
    /// The word an audit row holds.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Message(refused) => refused.as_str(),
            Self::Nonce => "NONCE",
            Self::Signature => "SIGNATURE",
        }
    }

    /// The field of the input that is to blame.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Message(_) | Self::Nonce => "message",
            Self::Signature => "signature",
        }
    }
}

/// Somebody's answer to a challenge.
#[derive(Debug)]
pub(super) struct ChallengeAnswer {
    /// The wallet that is said to have signed, as EIP-55 writes it.
    pub(super) address: String,
    /// The same, where the message waits for its signature.
    wallet: Option<ChainAddress>,
    nonce_hash: String,
    purpose: ChallengePurpose,
    user: Option<UserId>,
    /// How the wallet proved itself, or why the answer is no good.
    pub(super) verdict: Result<ProvenBy, Flaw>,
}

impl ChallengeAnswer {
    /// To a challenge that nobody waits for.
    const fn nobodys(purpose: ChallengePurpose, user: Option<UserId>, flaw: Flaw) -> Self {
        Self {
            wallet: None,
            address: String::new(),
            nonce_hash: String::new(),
            purpose,
            user,
            verdict: Err(flaw),
        }
    }

    /// Tries the signature. The node is asked only about a message that waits for one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the key does not match and the node does not answer; the challenge
    /// waits on. [`Error::Busy`].
    pub(super) async fn prove(
        self,
        prover: &Prover,
        message: &str,
        signature: &str,
    ) -> Result<Self, Error> {
        let Some(wallet) = self.wallet else {
            return Ok(self);
        };
        let message = MessageHash::of_text(message);
        let proven_by = prover.of(wallet, message, signature).await?;
        Ok(Self {
            verdict: proven_by.ok_or(Flaw::Signature),
            ..self
        })
    }

    /// Takes the challenge away. False where it was answered meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn take(&self, conn: &mut PgConnection) -> Result<bool, Error> {
        Ok(take_challenge(conn, self.key()).await?)
    }

    fn key(&self) -> ChallengeKey<'_> {
        ChallengeKey {
            nonce_hash: &self.nonce_hash,
            purpose: self.purpose,
            address: &self.address,
            user: self.user,
        }
    }
}

/// Reads a message, and finds out whether it waits for its signature. That is not looked at yet: see
/// [`ChallengeAnswer::prove`].
///
/// # Errors
/// The database's.
pub(super) async fn read(
    messages: WalletMessages<'_>,
    purpose: ChallengePurpose,
    user: Option<UserId>,
    message: &str,
) -> Result<ChallengeAnswer, Error> {
    let mut conn = messages.pool.acquire().await?;
    let expected = siwe::Expected {
        site: messages.site,
        chain_id: messages.deployment.chain_id,
        purpose,
        now: now(&mut conn).await?,
    };
    let nobodys = |flaw| ChallengeAnswer::nobodys(purpose, user, flaw);
    let claim = match siwe::read(message, &expected) {
        Ok(claim) => claim,
        Err(refused) => return Ok(nobodys(refused.into())),
    };
    let answer = ChallengeAnswer {
        address: claim.address.to_string(),
        nonce_hash: digest::hex_of(claim.nonce.as_bytes()),
        ..nobodys(Flaw::Nonce)
    };
    let waits = challenge_waits(&mut conn, answer.key()).await?;
    Ok(ChallengeAnswer {
        wallet: waits.then_some(claim.address),
        ..answer
    })
}
