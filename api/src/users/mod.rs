//! Accounts: made, logged in to, given roles, listed.

pub(crate) mod graphql;
pub(crate) mod list;
pub(crate) mod log_in;
pub(crate) mod password;
pub(crate) mod register;
pub(crate) mod set_role;
