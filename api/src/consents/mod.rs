//! Consents: given, taken back, listed. Only the patient does any of it.

pub(crate) mod grant;
pub(crate) mod graphql;
