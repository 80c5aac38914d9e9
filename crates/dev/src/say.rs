//! What a developer reads on the terminal while things happen.

/// A line that is the answer to the command: standard output.
#[expect(
    clippy::print_stdout,
    reason = "a command line program answers on standard output"
)]
pub fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// A line about what is going on: standard error, so that answers can be piped.
#[expect(
    clippy::print_stderr,
    reason = "a command line program tells its progress"
)]
pub fn progress(text: impl std::fmt::Display) {
    eprintln!("{text}");
}
