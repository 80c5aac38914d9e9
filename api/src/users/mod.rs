//! Accounts: made, logged in to, changed, given roles, deactivated, listed.

pub(crate) mod activity;
mod doctors;
pub(crate) mod graphql;
pub(crate) mod list;
pub(crate) mod log_in;
pub(crate) mod memberships;
pub(crate) mod own;
pub(crate) mod password;
pub(crate) mod profile;
pub(crate) mod register;
pub(crate) mod set_role;
