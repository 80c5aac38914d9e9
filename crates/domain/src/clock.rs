//! The one place that reads the wall clock. Everything that decides takes `now` as an argument, and
//! what is decided about stored rows uses the database's clock, not this one.

use chrono::{DateTime, Utc};

/// Where the time comes from: the machine, or a test.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// Always this moment.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The present moment.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the clock is where the clock is read"
            )]
            Self::System => Utc::now(),
            Self::Fixed(moment) => moment,
        }
    }
}
