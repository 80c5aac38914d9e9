//! Consents: given, taken back, listed. Only the patient does any of it.

mod evidence;
pub(crate) mod grant;
pub(crate) mod graphql;
mod list;
mod refusals;
mod withdraw;
