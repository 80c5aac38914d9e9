//! How many rows the next batch of a round compares: as many as it takes to be through with all of them in time, by how many
//! there are and how long ago the batch before was.

use std::time::{Duration, Instant};

use store::{PgConnection, StoreError, sweeps, sweeps::RowEstimates};

/// How many rows a batch compares at least: a table that is no larger is looked at whole each time. Unit: rows.
const LEAST: i64 = 100;

/// How many rows a batch compares at most, so that following the chain is not held up. Unit: rows. With a batch each two seconds
/// that is 216 million a day.
const MOST: i64 = 5_000;

/// How many events of a registry the chain is asked for at least and at most, because each may be in a block of its own, which is a
/// question. Unit: events. With a batch each two seconds that is 216,000 a day, and 1.7 million, where a node answers in that time.
const LEAST_PLACES: i64 = 5;
const MOST_PLACES: i64 = 40;

/// How long estimates are good for: PostgreSQL itself makes new ones once a minute at most.
const ESTIMATES_AGE: Duration = Duration::from_mins(1);

/// How many rows are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TickRows {
    pub(super) records: i64,
    pub(super) events: i64,
    pub(super) receipts: i64,
    /// Events that the chain is asked for, of each registry.
    pub(super) places: i64,
}

/// How fast a round goes.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long a round takes at most.
    round: Duration,
    /// When the last batch was compared whole.
    last: Option<Instant>,
    estimates: Option<(RowEstimates, Instant)>,
}

impl Pace {
    pub(super) const fn new(round: Duration) -> Self {
        Self {
            round,
            last: None,
            estimates: None,
        }
    }

    /// What is due now.
    pub(super) async fn due(
        &mut self,
        conn: &mut PgConnection,
        now: Instant,
    ) -> Result<TickRows, StoreError> {
        let rows = match self.estimates {
            Some((rows, at)) if now.saturating_duration_since(at) < ESTIMATES_AGE => rows,
            Some(_) | None => {
                let rows = sweeps::estimates(conn).await?;
                self.estimates = Some((rows, now));
                rows
            }
        };
        let elapsed = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        Ok(TickRows {
            records: share(rows.records, elapsed, self.round).clamp(LEAST, MOST),
            events: share(rows.events, elapsed, self.round).clamp(LEAST, MOST),
            receipts: share(rows.receipts, elapsed, self.round).clamp(LEAST, MOST),
            places: share(rows.events, elapsed, self.round).clamp(LEAST_PLACES, MOST_PLACES),
        })
    }

    /// What was due at this time was compared.
    pub(super) fn done(&mut self, at: Instant) {
        self.last = Some(at);
    }
}

/// The part of these rows that is due after a part of a round. A quarter more than there are by the estimate: PostgreSQL makes
/// a new one where a tenth of a table has changed.
fn share(rows: i64, elapsed: Duration, round: Duration) -> i64 {
    let rows = u128::try_from(rows).unwrap_or(0);
    let rows = rows + rows / 4;
    let due = rows.saturating_mul(elapsed.as_millis());
    let due = due.div_ceil(round.as_millis().max(1));
    i64::try_from(due).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const TICK: Duration = Duration::from_secs(2);

    #[test]
    fn the_pace_follows_from_how_many_there_are() {
        let cases = [
            // rows, since the last batch, a round → how many are due
            (-1, TICK, DAY, LEAST),
            (0, TICK, DAY, LEAST),
            (3_000_000, TICK, DAY, LEAST),
            (8_640_000, TICK, DAY, 250),
            (8_640_001, TICK, DAY, 251),
            (8_640_000, 4 * TICK, DAY, 1_000),
            (8_640_000, Duration::ZERO, DAY, LEAST),
            (40_000_000, TICK, DAY, 1_158),
            (1_000_000_000, TICK, DAY, MOST),
            (i64::MAX, Duration::MAX, Duration::ZERO, MOST),
            (2_000, TICK, Duration::from_secs(10), 500),
        ];
        for (rows, elapsed, round, due) in cases {
            let said = share(rows, elapsed, round).clamp(LEAST, MOST);
            assert_eq!(said, due, "{rows} rows, {elapsed:?} of {round:?}");
        }
    }

    #[test]
    fn all_rows_are_through_within_a_round() {
        for rows in [1, 100, 5_000_000, 40_000_000, 150_000_000_i64] {
            let batches = i64::try_from(DAY.as_millis() / TICK.as_millis()).expect("few");
            let due = share(rows, TICK, DAY).clamp(LEAST, MOST);
            assert!(due * batches >= rows, "{rows}");
        }
    }

    #[test]
    fn few_events_are_asked_for_at_once_however_many_there_are() {
        let cases = [(-1, LEAST_PLACES), (500_000, 15), (i64::MAX, MOST_PLACES)];
        for (rows, due) in cases {
            let said = share(rows, TICK, DAY).clamp(LEAST_PLACES, MOST_PLACES);
            assert_eq!(said, due, "{rows}");
        }
    }
}
