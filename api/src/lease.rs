//! What is held by everything that stays open: a WebSocket, an event stream, an import, an export. A lease counts for
//! its network and its account, and ends with the token, with the log-in and with the process. It is refused in one
//! way, and ends in three; whoever holds it says so in its own words.

use domain::{ids::UserId, throttle::Network};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vault::token::Bearer;

use crate::{
    codes::{ErrorCode, ServiceLimit},
    connection_limiter::Permit,
    dependencies::Leasing,
    instruments::instruments,
    rejected::Rejected,
    sessions::revocations::{SessionWatch, is_over},
};

/// What stays open, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Lease {
    stopping: CancellationToken,
    log_in: Option<LogInLease>,
    _network: Permit<Network>,
    _measured: MeasuredStream,
}

/// Counted as open for as long as it is held.
#[derive(Debug)]
struct MeasuredStream;

impl MeasuredStream {
    fn begin() -> Self {
        instruments().streams.inc();
        Self
    }
}

impl Drop for MeasuredStream {
    fn drop(&mut self) {
        instruments().streams.dec();
    }
}

/// The part that belongs to somebody who is logged in.
#[derive(Debug)]
struct LogInLease {
    /// The end of the log-in.
    watch: SessionWatch,
    /// The end of the token, on this process's steady clock.
    deadline: Instant,
    _account: Permit<UserId>,
}

/// Why nothing may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseRefused {
    /// As much is open from this address, or of this account, as may be.
    TooMany,
    /// The log-in is over.
    SessionEnded,
}

/// Why it ends, whatever is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseEnd {
    /// The process stops.
    Stopping,
    /// The log-in was revoked.
    SessionEnded,
    /// The access token has expired.
    TokenExpired,
}

impl Lease {
    /// For a connection from this network. Whoever it is of may log in later.
    ///
    /// # Errors
    /// [`LeaseRefused::TooMany`].
    pub(crate) fn open(leasing: Leasing<'_>, network: Network) -> Result<Self, LeaseRefused> {
        let permit = leasing.sockets.of_network.acquire(network);
        Ok(Self {
            stopping: leasing.stopping.clone(),
            log_in: None,
            _network: permit.ok_or(LeaseRefused::TooMany)?,
            _measured: MeasuredStream::begin(),
        })
    }

    /// It is of somebody who is logged in from now on, and ends with their log-in and their token.
    ///
    /// # Errors
    /// [`LeaseRefused`].
    pub(crate) async fn log_in(
        &mut self,
        leasing: Leasing<'_>,
        bearer: Bearer,
    ) -> Result<(), LeaseRefused> {
        self.hold_for(leasing, bearer)?;
        if is_over(leasing.pool, leasing.seals, bearer).await {
            return Err(LeaseRefused::SessionEnded);
        }
        Ok(())
    }

    /// The same without a look at the log-in's row. The log-in is watched from here on: whoever reads the row
    /// afterwards misses nothing.
    ///
    /// # Errors
    /// [`LeaseRefused::TooMany`].
    pub(crate) fn hold_for(
        &mut self,
        leasing: Leasing<'_>,
        bearer: Bearer,
    ) -> Result<(), LeaseRefused> {
        let account = leasing.sockets.of_account.acquire(bearer.user);
        let account = account.ok_or(LeaseRefused::TooMany)?;
        let watch = leasing.revocations.watch(bearer.session);
        let left = (bearer.expires_at - leasing.clock.now()).to_std();
        self.log_in = Some(LogInLease {
            watch,
            deadline: Instant::now() + left.unwrap_or_default(),
            _account: account,
        });
        Ok(())
    }

    /// Waits until it must end, whatever is under way.
    pub(crate) async fn over(&self) -> LeaseEnd {
        let Some(LogInLease {
            watch, deadline, ..
        }) = &self.log_in
        else {
            self.stopping.cancelled().await;
            return LeaseEnd::Stopping;
        };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => LeaseEnd::Stopping,
            () = watch.ended() => LeaseEnd::SessionEnded,
            () = tokio::time::sleep_until(*deadline) => LeaseEnd::TokenExpired,
        }
    }
}

impl LeaseRefused {
    /// As it is told.
    pub(crate) fn rejection(self) -> Rejected {
        match self {
            Self::TooMany => Rejected {
                limit: Some(ServiceLimit::Streams),
                ..Rejected::new(
                    ErrorCode::Busy,
                    "too many streams are open of this account, or from this address: close one",
                )
            },
            Self::SessionEnded => LeaseEnd::SessionEnded.rejection(),
        }
    }
}

impl LeaseEnd {
    /// The code and the words that it is told in.
    pub(crate) const fn told(self) -> (ErrorCode, &'static str) {
        match self {
            Self::Stopping => (
                ErrorCode::Unavailable,
                "the api stops: go on with another, or when it is back",
            ),
            Self::SessionEnded => (ErrorCode::SessionEnded, "this log-in is over; log in again"),
            Self::TokenExpired => (
                ErrorCode::TokenExpired,
                "the access token has expired: go on with a new one",
            ),
        }
    }

    /// As it is told in the place of an answer.
    pub(crate) fn rejection(self) -> Rejected {
        let (code, message) = self.told();
        Rejected::new(code, message)
    }
}
