//! Cuts an upload into its entries while it arrives: the lines of NDJSON, or the entries of a `Bundle`.
//!
//! Owns where an entry begins and ends. What is in it is for [`crate::reader`], so a broken entry
//! costs itself alone. Holds one entry at a time, however long the upload is, and no more of it than
//! the limit: the rest of a longer one is passed over and told as [`Cut::TooLong`].

mod bundle;
mod lines;

pub use bundle::{Broken, deleted, resource_of};

use bundle::Bundle;
use lines::Lines;

use crate::BYTE_ORDER_MARK;

/// One entry of an upload.
#[derive(Clone, PartialEq, Eq)]
pub enum Cut {
    /// Its bytes: of NDJSON a line without its end, which may be blank; of a `Bundle` the object in
    /// `entry`.
    Entry(Vec<u8>),
    /// It was longer than allowed, and is not kept.
    TooLong,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(bytes) => write!(f, "entry of {} bytes", bytes.len()),
            Self::TooLong => f.write_str("too long"),
        }
    }
}

/// Cuts one upload.
///
/// A byte order mark at its head is passed over: some programs write one, and it belongs to no entry.
#[derive(Debug)]
pub struct Cutter {
    form: Form,
    /// What may still come of a byte order mark.
    mark: &'static [u8],
}

#[derive(Debug)]
enum Form {
    Lines(Lines),
    Bundle(Bundle),
}

impl Cutter {
    /// For NDJSON: a line, an entry. At most `limit` bytes of it.
    pub fn lines(limit: usize) -> Self {
        Self::new(Form::Lines(Lines::new(limit)))
    }

    /// For a FHIR `Bundle`: what is in its `entry`, each of at most `limit` bytes.
    pub fn bundle(limit: usize) -> Self {
        Self::new(Form::Bundle(Bundle::new(limit)))
    }

    const fn new(form: Form) -> Self {
        let mark = BYTE_ORDER_MARK;
        Self { form, mark }
    }

    /// Takes bytes off the front of `input` until an entry is complete. `None` when `input` is used up.
    ///
    /// # Errors
    /// [`Broken`] where the rest of the upload cannot be made sense of. It ends there.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Cut>, Broken> {
        if !self.mark.is_empty() && !input.is_empty() {
            return self.begin(input);
        }
        self.form.next(input)
    }

    /// Passes over a byte order mark. What only begins like one is handed on.
    fn begin(&mut self, input: &mut &[u8]) -> Result<Option<Cut>, Broken> {
        while let ([wanted, left @ ..], [byte, rest @ ..]) = (self.mark, *input) {
            if wanted != byte {
                let seen = BYTE_ORDER_MARK.len() - self.mark.len();
                self.mark = &[];
                // No line ends and no Bundle goes on within these bytes.
                self.form.next(&mut &BYTE_ORDER_MARK[..seen])?;
                return self.form.next(input);
            }
            (self.mark, *input) = (left, rest);
        }
        self.form.next(input)
    }

    /// Takes away what has arrived of an entry that is not whole, where that is at least so many bytes: the cut that comes is
    /// what is behind it, or [`Cut::TooLong`] where all of it together is.
    pub fn take(&mut self, at_least: usize) -> Option<Vec<u8>> {
        match &mut self.form {
            Form::Lines(lines) => lines.take(at_least),
            Form::Bundle(bundle) => bundle.take(at_least),
        }
    }

    /// Ends the upload; gives the last line, if nothing ended it.
    ///
    /// # Errors
    /// [`Broken`] where the upload ends too early.
    pub fn end(&mut self) -> Result<Option<Cut>, Broken> {
        let seen = BYTE_ORDER_MARK.len() - self.mark.len();
        if (1..BYTE_ORDER_MARK.len()).contains(&seen) {
            self.form.next(&mut &BYTE_ORDER_MARK[..seen])?;
        }
        match &mut self.form {
            Form::Lines(lines) => Ok(lines.end()),
            Form::Bundle(bundle) => bundle.end().map(|()| None),
        }
    }
}

impl Form {
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Cut>, Broken> {
        match self {
            Self::Lines(lines) => Ok(lines.next(input)),
            Self::Bundle(bundle) => bundle.next(input),
        }
    }
}

/// An entry as far as it has arrived.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// How many bytes of it were taken away before it was whole.
    taken: usize,
    limit: usize,
    is_too_long: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            taken: 0,
            limit,
            is_too_long: false,
        }
    }

    fn add(&mut self, more: &[u8]) {
        let length = self.taken + self.bytes.len() + more.len();
        if self.is_too_long || length > self.limit {
            self.is_too_long = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend(more);
        }
    }

    /// Takes away what there is of an entry that is not whole, where that is so much.
    fn take(&mut self, at_least: usize) -> Option<Vec<u8>> {
        if self.bytes.len() < at_least {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.taken += bytes.len();
        Some(bytes)
    }

    fn cut(&mut self) -> Cut {
        let bytes = std::mem::take(&mut self.bytes);
        self.taken = 0;
        if std::mem::take(&mut self.is_too_long) {
            Cut::TooLong
        } else {
            Cut::Entry(bytes)
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.taken == 0 && !self.is_too_long
    }
}

#[cfg(test)]
mod tests;
