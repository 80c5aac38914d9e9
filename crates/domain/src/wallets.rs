//! Wallets: accounts on the chain that people prove to be theirs by signing a message (EIP-4361).
//!
//! Only what both sides of the proof must agree on: the message's text and the signatures are `chain`'s.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    ids::{UserId, WalletId},
    text::text_enum,
};

text_enum! {
    /// What a signed message is good for. It is in the text that is signed, and in the row of its nonce.
    ChallengePurpose {
        /// Linking the wallet to the account that asked.
        Link = "LINK",
        /// Logging in.
        LogIn = "LOG_IN",
    }
}

impl ChallengePurpose {
    /// What the wallet shows to whoever signs. Printable ASCII, as EIP-4361 asks.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::Link => "Link this wallet to my MediTrustAl account.",
            Self::LogIn => "Log me in to MediTrustAl.",
        }
    }
}

text_enum! {
    /// How a wallet proved itself.
    ProvenBy {
        /// By the key that its address is made of.
        Key = "KEY",
        /// By the word of the contract at its address (EIP-1271), which may change its mind.
        Contract = "CONTRACT",
    }
}

/// How long a message may wait for its signature: five minutes, time to find a hardware wallet.
pub const CHALLENGE_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// A wallet that is, or was, somebody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Which link of which wallet: linked again, it is another one.
    pub id: WalletId,
    /// Whose.
    pub user: UserId,
    /// Its address, as EIP-55 writes it.
    pub address: String,
    /// On which chain (EIP-155).
    pub chain_id: i64,
    /// How it proved itself.
    pub proven_by: ProvenBy,
    /// Since when.
    pub linked_at: DateTime<Utc>,
    /// Until when; `None` for the one that is linked now.
    pub unlinked_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_line_of_ascii_and_tells_one_purpose_from_the_other() {
        for purpose in ChallengePurpose::ALL {
            let statement = purpose.statement();
            assert!(statement.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
        assert_ne!(
            ChallengePurpose::Link.statement(),
            ChallengePurpose::LogIn.statement()
        );
    }
}
