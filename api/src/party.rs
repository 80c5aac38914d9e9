//! Whose share a request takes: an account's, or a network's where nobody is logged in.

use std::fmt;

use domain::{ids::UserId, throttle::Network};

/// Who shares what this process has with all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// Somebody who is logged in, wherever they are.
    Account(UserId),
    /// Everybody in a network who is not.
    Network(Network),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(user) => write!(f, "account {user}"),
            Self::Network(network) => write!(f, "network {network}"),
        }
    }
}
