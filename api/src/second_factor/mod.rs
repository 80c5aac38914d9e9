//! The second factor: begun, confirmed, shown, taken off.

pub(crate) mod demand;
mod enrol;
pub(crate) mod graphql;
