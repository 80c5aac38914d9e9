//! How many bytes of files each account may send in a day, over all processes. The share comes back steadily.
//!
//! A file is charged as long as its document says that it is, before anything of it is read: what breaks off, is no such file or
//! is there already has been sent all the same.

use std::time::Duration;

use domain::ids::UserId;
use store::{
    Pool,
    throttle::{BudgetLease, lease},
};
use vault::digest;

use crate::{
    cost_limit::{regained_in, seconds_of},
    error::Error,
};

/// How long the share lasts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What all accounts may send. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct UploadLimiter {
    /// How much one account may. Unit: bytes.
    bytes_a_day: u64,
    pool: Pool,
}

impl UploadLimiter {
    /// So many bytes for each account; the shares are in this database.
    pub(crate) const fn new(bytes_a_day: u64, pool: Pool) -> Self {
        Self { bytes_a_day, pool }
    }

    /// Charges an account a file of so many bytes.
    ///
    /// # Errors
    /// [`Error::OverUploads`], and when to try again.
    pub(crate) async fn charge(&self, account: UserId, bytes: u64) -> Result<(), Error> {
        let all = self.bytes_a_day;
        let subject = digest::hex_of(format!("uploads of account {account}").as_bytes());
        let part = regained_in(bytes.min(all), all, DAY);
        let whole = regained_in(all, all, DAY);
        match lease(&self.pool, &subject, part, whole).await? {
            BudgetLease::Granted => Ok(()),
            BudgetLease::Exhausted { wait } => Err(Error::OverUploads {
                retry_after_seconds: seconds_of(wait),
            }),
        }
    }
}
