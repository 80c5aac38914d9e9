//! A child's log file, as a person wants to see it.

use std::fs;
use std::path::Path;

/// How many lines of a log an error shows.
const SHOWN: usize = 20;

/// The last lines of a log; empty when there is none.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
