//! Processes that cannot outlive the process that started them.

mod log;
mod open_files;
mod supervised;
mod tied;

pub use log::{Echo, tail};
pub use open_files::allow_open_files;
pub use rustix::process::Signal;
pub use supervised::{Program, Supervised};
pub use tied::{Tie, Tied};
