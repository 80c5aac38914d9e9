//! Wallets: linked, listed, unlinked, logged in with.

mod answer;
mod challenge;
pub(crate) mod graphql;
mod link;
mod log_in;
pub(crate) mod proof;
