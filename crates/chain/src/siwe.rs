//! The message that a wallet signs to prove itself (EIP-4361): made here, and read back here.
//!
//! The library parses; it checks nothing that it is not asked to check. So nothing can be left out
//! here: [`read`] takes the site, the chain, the purpose and the time, and gives a [`Claim`], which is
//! worth nothing until its nonce was taken from those that wait, and its signature proven
//! ([`crate::signed_by_key`], [`crate::Client::contract_accepts`]).

use chrono::{DateTime, SecondsFormat, Utc};
use domain::wallets::{CHALLENGE_LIFETIME, ChallengePurpose};
use reqwest::Url;
use signinwithethereum::{Message, TimeStamp, Version};

use crate::hash::ChainAddress;

/// The longest message that is read. Unit: bytes. Ours have about 400.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The origin of the frontend: people's wallets show it, and compare it with the page they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    origin: String,
    authority: String,
}

/// Not the origin of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin looks like https://app.example.org: http or https, a host, maybe a port, no path"
)]
pub struct InvalidSite;

impl Site {
    /// Reads an origin, such as `https://app.example.org`.
    ///
    /// # Errors
    /// [`InvalidSite`].
    pub fn parse(origin: &str) -> Result<Self, InvalidSite> {
        let url = Url::parse(origin).map_err(|_| InvalidSite)?;
        let written = url.origin().ascii_serialization();
        let bare = url.path() == "/" && written == origin.trim_end_matches('/');
        if !bare || !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidSite);
        }
        let (_, authority) = written.split_once("://").ok_or(InvalidSite)?;
        Ok(Self {
            authority: authority.to_owned(),
            origin: written,
        })
    }
}

/// What a wallet is to sign.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The origin of the frontend.
    pub site: &'a Site,
    /// The chain on which a contract would be asked (EIP-155).
    pub chain_id: u64,
    /// What it is good for.
    pub purpose: ChallengePurpose,
    /// Who is to sign.
    pub address: ChainAddress,
    /// At least 128 unpredictable bits, in letters and digits.
    pub nonce: &'a str,
    /// When it is made. It is good for [`CHALLENGE_LIFETIME`].
    pub issued_at: DateTime<Utc>,
}

impl Challenge<'_> {
    /// The exact text to sign.
    pub fn text(&self) -> String {
        let (authority, origin) = (&self.site.authority, &self.site.origin);
        Message {
            scheme: None,
            domain: authority.parse().expect("an origin has an authority"),
            address: self.address.0,
            address_raw: None,
            statement: Some(self.purpose.statement().to_owned()),
            uri: origin.parse().expect("an origin is a URI"),
            version: Version::V1,
            chain_id: self.chain_id,
            nonce: self.nonce.to_owned(),
            issued_at: stamp(self.issued_at),
            expiration_time: Some(stamp(self.issued_at + CHALLENGE_LIFETIME)),
            not_before: None,
            request_id: None,
            resources: Vec::new(),
            warnings: Vec::new(),
        }
        .to_string()
    }
}

/// To the second: fractions would only make the text longer.
fn stamp(moment: DateTime<Utc>) -> TimeStamp {
    let text = moment.to_rfc3339_opts(SecondsFormat::Secs, true);
    text.parse().expect("this is how RFC 3339 writes it")
}

/// What a message has to say. All of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The origin of the frontend.
    pub site: &'a Site,
    /// The chain.
    pub chain_id: u64,
    /// What it is to be good for.
    pub purpose: ChallengePurpose,
    /// The time, by the clock that [`Challenge::issued_at`] was read from.
    pub now: DateTime<Utc>,
}

/// What a message claims: that this address answers this nonce. Nothing is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who is said to sign.
    pub address: ChainAddress,
    /// What has to be taken from the nonces that wait, once.
    pub nonce: String,
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// It is not in EIP-4361's form, or in another spelling than ours.
    #[error("this is not a message as `walletChallenge` gives it")]
    Malformed,
    /// It is for another site, and was perhaps signed on it.
    #[error("the message is for another domain")]
    Domain,
    /// It is about another address of the site.
    #[error("the message is for another URI")]
    Uri,
    /// It is for another chain.
    #[error("the message is for another chain")]
    ChainId,
    /// It says that it is good for something else.
    #[error("the message was made for another purpose")]
    Purpose,
    /// Its time is over.
    #[error("the message is over; ask for a new one")]
    Expired,
    /// Its time has not come.
    #[error("the message is not valid yet")]
    NotYetValid,
    /// It is good for longer than ours are, or for ever.
    #[error("the message does not end when ours do")]
    Lifetime,
    /// It holds what ours never hold: a scheme, a request, resources, a later beginning.
    #[error("the message says more than was asked for")]
    Surplus,
}

impl InvalidMessage {
    /// The word an audit row holds.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::Domain => "DOMAIN",
            Self::Uri => "URI",
            Self::ChainId => "CHAIN_ID",
            Self::Purpose => "PURPOSE",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::Lifetime => "LIFETIME",
            Self::Surplus => "SURPLUS",
        }
    }
}

/// Reads a message, and refuses all that does not say what is expected.
///
/// # Errors
/// [`InvalidMessage`]: the first thing that is wrong with it.
pub fn read(text: &str, expected: &Expected<'_>) -> Result<Claim, InvalidMessage> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(InvalidMessage::Malformed);
    }
    let message: Message = text.parse().map_err(|_| InvalidMessage::Malformed)?;
    // What is hashed is the text; what was checked below is the message.
    if message.to_string() != text {
        return Err(InvalidMessage::Malformed);
    }
    if message.domain.as_str() != expected.site.authority {
        return Err(InvalidMessage::Domain);
    }
    if message.uri.as_str() != expected.site.origin {
        return Err(InvalidMessage::Uri);
    }
    if message.chain_id != expected.chain_id {
        return Err(InvalidMessage::ChainId);
    }
    if message.statement.as_deref() != Some(expected.purpose.statement()) {
        return Err(InvalidMessage::Purpose);
    }
    if message.scheme.is_some()
        || message.request_id.is_some()
        || message.not_before.is_some()
        || !message.resources.is_empty()
    {
        return Err(InvalidMessage::Surplus);
    }
    let issued_at = message.issued_at.as_ref().unix_timestamp();
    let expires_at = message.expiration_time.ok_or(InvalidMessage::Lifetime)?;
    let expires_at = expires_at.as_ref().unix_timestamp();
    if expires_at - issued_at != CHALLENGE_LIFETIME.num_seconds() {
        return Err(InvalidMessage::Lifetime);
    }
    let now = expected.now.timestamp();
    if now < issued_at {
        return Err(InvalidMessage::NotYetValid);
    }
    if now >= expires_at {
        return Err(InvalidMessage::Expired);
    }
    Ok(Claim {
        address: ChainAddress(message.address),
        nonce: message.nonce,
    })
}

#[cfg(test)]
mod tests;
