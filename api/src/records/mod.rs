//! Records: stored, amended, withdrawn, opened, listed, verified.

mod admission;
mod amend;
mod amendments;
mod anchor;
pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod disclosure;
pub(crate) mod filter;
pub(crate) mod graphql;
mod history;
pub(crate) mod list;
mod made;
pub(crate) mod opened;
mod prepare;
mod sealing;
mod signing;
mod succession;
mod summary;
mod verification;
pub(crate) mod verify;
pub(crate) mod writer;

pub(crate) use amendments::AmendmentMutation;
