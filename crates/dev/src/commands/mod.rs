//! One file per command, and what they share.

pub(crate) mod demo;
pub(crate) mod log_in_as;
mod person;
mod seeds;
pub(crate) mod sqlx;
mod steps;
pub(crate) mod stop;
mod tamper;
pub(crate) mod tools;
pub(crate) mod up;
