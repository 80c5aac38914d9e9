//! Log-ins: begun, gone on with, listed, ended; and the end of what streams under them.

pub(crate) mod begin;
pub(crate) mod end;
pub(crate) mod graphql;
pub(crate) mod list;
pub(crate) mod refresh;
pub(crate) mod refresh_cookie;
pub(crate) mod revocations;
pub(crate) mod shown_token;
