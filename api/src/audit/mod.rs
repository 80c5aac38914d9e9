//! The audit trail: for administrators whole, for patients what concerns them. The sequencer puts its rows in order, and
//! checkpoints pin them in the registry.

mod access_events;
pub(crate) mod access_logs;
pub(crate) mod check;
pub(crate) mod checkpoints;
pub(crate) mod days;
pub(crate) mod events;
pub(crate) mod export;
mod filter_input;
pub(crate) mod finding;
pub(crate) mod graphql;
pub(crate) mod promise;
pub(crate) mod proof;
pub(crate) mod purged;
pub(crate) mod read;
mod sentence;
pub(crate) mod sequencer;
mod words;
