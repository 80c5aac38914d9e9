//! Records: stored, opened, listed, verified.

pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod disclosure;
pub(crate) mod graphql;
pub(crate) mod list;
pub(crate) mod verify;
pub(crate) mod writer;
