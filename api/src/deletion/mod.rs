//! Requests to erase or restrict.

pub(crate) mod graphql;
mod requests;
