//! The audit trail: for administrators whole, for patients what concerns them.

pub(crate) mod graphql;
pub(crate) mod read;
mod sentence;
