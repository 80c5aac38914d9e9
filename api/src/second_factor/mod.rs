//! The second factor: begun, confirmed, shown, taken off.

pub(crate) mod check;
mod enrol;
pub(crate) mod graphql;
