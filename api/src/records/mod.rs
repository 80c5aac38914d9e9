//! Records: stored, amended, withdrawn, opened, listed, verified, brought in and taken out.

mod admission;
mod amend;
mod amendments;
mod anchor;
pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod disclosure;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod graphql;
mod history;
pub(crate) mod import;
pub(crate) mod list;
mod made;
pub(crate) mod opened;
mod prepare;
mod restore;
mod sealing;
mod signing;
mod succession;
mod summary;
mod verification;
pub(crate) mod verify;
pub(crate) mod writer;

pub(crate) use amendments::AmendmentMutation;
pub(crate) use import::graphql::ImportMutation;
