//! Consents: given, taken back, listed, and what they come to. The patient does it, and sees who has access; a doctor
//! sees who lets them in.

pub(crate) mod access;
pub(crate) mod access_codes;
pub(crate) mod document;
pub(crate) mod evidence;
mod given;
pub(crate) mod grant;
pub(crate) mod graphql;
mod history;
mod list;
mod looking;
mod patients;
pub(crate) mod receipts;
pub(crate) mod referred;
mod refusals;
mod withdraw;
