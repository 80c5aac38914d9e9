//! Records: stored, amended, withdrawn, opened, listed, verified, brought in and taken out.

mod amend;
mod amendments;
mod anchor;
pub(crate) mod attachments;
mod authorize;
pub(crate) mod create;
pub(crate) mod decrypt;
pub(crate) mod decrypted;
pub(crate) mod derive;
pub(crate) mod disclosure;
pub(crate) mod draft;
pub(crate) mod export;
pub(crate) mod filter;
mod filter_input;
pub(crate) mod graphql;
mod history;
pub(crate) mod import;
pub(crate) mod index_key;
pub(crate) mod list;
pub(crate) mod patient_keys;
pub(crate) mod patients;
mod prepare;
mod record_rows;
pub(crate) mod referred;
mod restore;
mod restored;
mod signing;
mod sources;
mod succession;
mod summary;
mod verification;
pub(crate) mod verify;
pub(crate) mod writer;

pub(crate) use amendments::AmendmentMutation;
pub(crate) use import::graphql::ImportMutation;
