//! Processes that cannot outlive the process that started them.

mod log;
mod tied;

pub use log::tail;
pub use rustix::process::Signal;
pub use tied::{Tie, Tied};
