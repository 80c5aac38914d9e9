//! NDJSON: an entry is a line. Blank ones count, so that an entry's number is what an editor shows.

use super::{Cut, Kept};

#[derive(Debug)]
pub(super) struct Lines(Kept);

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self(Kept::new(limit))
    }

    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Cut> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            self.0.add(input);
            *input = &[];
            return None;
        };
        self.0.add(&input[..end]);
        *input = &input[end + 1..];
        Some(self.0.cut())
    }

    pub(super) fn take(&mut self, at_least: usize) -> Option<Vec<u8>> {
        self.0.take(at_least)
    }

    pub(super) fn end(&mut self) -> Option<Cut> {
        (!self.0.is_empty()).then(|| self.0.cut())
    }
}
