//! Requests to erase or restrict, from the first word to the last.

pub(crate) mod account;
mod cancel;
mod certificate;
mod claim;
mod entries;
pub(crate) mod executor;
pub(crate) mod expiry;
pub(crate) mod graphql;
pub(crate) mod holds;
pub(crate) mod reasons;
mod requests;
mod review;
mod verify;
mod wallet;
