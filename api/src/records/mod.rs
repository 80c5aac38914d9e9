//! Records: stored, opened, listed, verified.

mod admission;
pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod disclosure;
pub(crate) mod filter;
pub(crate) mod graphql;
pub(crate) mod list;
mod made;
pub(crate) mod opened;
mod summary;
mod verification;
pub(crate) mod verify;
pub(crate) mod writer;
