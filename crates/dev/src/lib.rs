//! What a developer's machine needs to run the whole product: the pinned tools, a PostgreSQL of
//! its own, a chain node, the two programs, and a client to speak to them.
//!
//! `cargo dev` and the `tests` crate are built on this library. It starts our programs as
//! processes and speaks to them over the public interface; it depends on none of our other crates but `tls`.
//!
//! The one thing to know: everything started here is tied to the process that started it
//! ([`process::Tied`]), so that nothing is left running, however that process ends.

pub mod chain;
pub mod client;
pub mod config;
mod error;
pub mod http;
pub mod port;
pub mod postgres;
pub mod process;
pub mod repository;
pub mod say;
pub mod scratch;
mod secret;
pub mod stack;
pub mod tools;

pub use error::Error;

/// A word that nothing else is named: eight hexadecimal digits.
///
/// # Errors
///
/// When the system has no randomness to give.
pub fn fresh_name() -> Result<String> {
    secret::fresh().map(|secret| secret.chars().take(8).collect())
}

/// What the functions of this crate answer.
pub type Result<T> = std::result::Result<T, Error>;
