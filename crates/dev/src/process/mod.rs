//! Processes that cannot outlive the process that started them.

mod log;
mod supervised;
mod tied;

pub use log::{Echo, tail};
pub use rustix::process::Signal;
pub use supervised::{Program, Supervised};
pub use tied::{Tie, Tied};
