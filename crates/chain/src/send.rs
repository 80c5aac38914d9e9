//! What a node says to a transaction. The texts differ by node and are part of no standard, so every
//! one that is known is listed here; an unknown one is a refusal with the node's own words.

use crate::error::ClientError;

/// By what a transaction is handed to a node.
pub(crate) const METHOD: &str = "eth_sendRawTransaction";

/// What a node did with a transaction that was sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Taken.
    Accepted,
    /// It has these very bytes already: as good as taken.
    AlreadyKnown,
    /// A transaction with this nonce is in a block: this one, an earlier attempt, or somebody else's.
    NonceTooLow,
    /// It offers too little, by itself or to replace another with its nonce.
    Underpriced,
    /// The account cannot pay for it.
    NoFunds,
    /// The node will not have it, in the node's words: wrong chain, full pool.
    Refused(String),
}

/// geth, reth, Nethermind, Besu, Erigon, anvil.
const KNOWN: &[&str] = &[
    "already known",
    "alreadyknown",
    "already imported",
    "known transaction",
    "already exists",
];
const NONCE_TOO_LOW: &[&str] = &[
    "nonce too low",
    "oldnonce",
    "nonce is too low",
    "nonce below",
];
const UNDERPRICED: &[&str] = &[
    "underpriced",
    "fee too low",
    "feetoolow",
    "less than block base fee",
    "below the minimum",
    "gas price too low",
    "below current base fee",
];
const NO_FUNDS: &[&str] = &[
    "insufficient funds",
    "insufficientfunds",
    "insufficient balance",
    "upfront cost exceeds account balance",
];

/// What an answer of a node means for the transaction that was sent.
pub(crate) fn outcome(answer: Result<(), ClientError>) -> Result<Sent, ClientError> {
    match answer {
        Ok(()) => Ok(Sent::Accepted),
        Err(ClientError::Refused { message, .. }) => Ok(classify(&message)),
        Err(other) => Err(other),
    }
}

fn classify(message: &str) -> Sent {
    let folded = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| folded.contains(text));
    if says(KNOWN) {
        Sent::AlreadyKnown
    } else if says(NONCE_TOO_LOW) {
        Sent::NonceTooLow
    } else if says(UNDERPRICED) {
        Sent::Underpriced
    } else if says(NO_FUNDS) {
        Sent::NoFunds
    } else {
        Sent::Refused(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_is_understood() {
        for (message, meant) in [
            ("already known", Sent::AlreadyKnown), // geth, reth
            ("transaction already imported", Sent::AlreadyKnown), // anvil
            ("AlreadyKnown", Sent::AlreadyKnown),  // Nethermind
            ("Known transaction", Sent::AlreadyKnown), // Besu
            ("nonce too low: next nonce 5, tx nonce 4", Sent::NonceTooLow), // geth
            ("Nonce too low", Sent::NonceTooLow),  // Besu
            ("OldNonce, Current nonce: 5", Sent::NonceTooLow), // Nethermind
            ("replacement transaction underpriced", Sent::Underpriced), // geth, reth, anvil
            ("transaction underpriced: tip needed 1", Sent::Underpriced), // geth
            (
                "max fee per gas less than block base fee",
                Sent::Underpriced,
            ), // anvil
            ("FeeTooLow", Sent::Underpriced),      // Nethermind
            ("insufficient funds for gas * price + value", Sent::NoFunds), // geth, reth
            ("Insufficient funds for gas * price + value", Sent::NoFunds), // anvil
            ("InsufficientFunds, Balance is 0", Sent::NoFunds), // Nethermind
            ("Upfront cost exceeds account balance", Sent::NoFunds), // Besu
        ] {
            assert_eq!(classify(message), meant, "{message}");
        }
        let full = "txpool is full";
        assert_eq!(classify(full), Sent::Refused(full.to_owned()));
    }
}
