//! Numbered steps on the terminal, each with what came back and how long it took.

use std::fmt::Display;
use std::time::Instant;

use dev::{Result, say};

/// How wide the sentence of a step is before its time is written.
const WIDTH: usize = 72;

/// Counts the steps of one story.
#[derive(Debug)]
pub(crate) struct Steps {
    number: u32,
    title: String,
    begun: Instant,
    started: Instant,
}

impl Steps {
    /// Before the first step.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            number: 0,
            title: String::new(),
            begun: now,
            started: now,
        }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, title: impl Display) {
        self.number += 1;
        self.title = title.to_string();
        self.begun = Instant::now();
    }

    /// The step did what it should; `came_back` is shown below it, line by line.
    pub(crate) fn done(&self, came_back: impl Display) {
        let (number, title, took) = (self.number, &self.title, self.begun.elapsed());
        say::line(format_args!("{number:>3}  {title:<WIDTH$} {took:>8.1?}"));
        for line in came_back.to_string().lines() {
            say::line(format_args!("       {line}"));
        }
    }

    /// Says how the story ended.
    pub(crate) fn end(&self, ended: &Result<()>) {
        let (number, total) = (self.number, self.started.elapsed());
        match ended {
            Ok(()) => say::line(format_args!(
                "\nAll {number} steps did what they should, in {total:.1?}."
            )),
            Err(error) => {
                say::line(format_args!(
                    "{number:>3}  {:<WIDTH$}   FAILED\n       {error}",
                    self.title
                ));
            }
        }
    }
}
