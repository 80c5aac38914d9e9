//! How much of a thing there may be: connections, what one account has of what all share, attempts to log in.

use std::time::Duration;

use chrono::TimeDelta;
use clap::{Args, builder::RangedI64ValueParser};
use domain::throttle::{Backoff, Bucket, ThrottleLimits};

use super::values::{at_most, count, seconds};
use crate::{answer_budget, connections, cost_limit, limits::Sockets, long_entries::LongEntries};

/// How many connections this process bears.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionConfig {
    /// Connections in all; the process needs a file descriptor for each
    #[arg(long, env = "MEDITRUSTAL_CONNECTIONS", default_value = "4096", value_parser = count())]
    connections: u32,

    /// Connections of one address, unless it is a trusted proxy's
    #[arg(long, env = "MEDITRUSTAL_CONNECTIONS_OF_ADDRESS", default_value = "512", value_parser = count())]
    connections_of_address: u32,

    /// How long a request's headers may take, and a connection be idle, in seconds
    #[arg(long, env = "MEDITRUSTAL_HEADER_TIMEOUT", default_value = "30", value_parser = seconds())]
    header_timeout: i64,

    /// How long to go on serving after being told to stop, in seconds, so that a proxy sees first that this process is not
    /// ready
    #[arg(long, env = "MEDITRUSTAL_DRAIN", default_value = "5",
          value_parser = clap::value_parser!(u64).range(0..=300))]
    drain_seconds: u64,

    /// Sockets, for subscriptions, of one address
    #[arg(long, env = "MEDITRUSTAL_SOCKETS_OF_ADDRESS", default_value = "256", value_parser = count())]
    sockets_of_address: u32,

    /// Sockets of one account
    #[arg(long, env = "MEDITRUSTAL_SOCKETS_OF_ACCOUNT", default_value = "10", value_parser = count())]
    sockets_of_account: u32,

    /// How long the client of a subscription may take to accept a message, in seconds; one that takes longer is dropped
    #[arg(long, env = "MEDITRUSTAL_SEND_TIMEOUT", default_value = "10", value_parser = clap::value_parser!(i64).range(1..=30))]
    send_timeout: i64,
}

impl ConnectionConfig {
    pub(super) fn contradictions(&self) -> Vec<String> {
        at_most([
            (
                (
                    "MEDITRUSTAL_CONNECTIONS_OF_ADDRESS",
                    self.connections_of_address,
                ),
                ("MEDITRUSTAL_CONNECTIONS", self.connections),
            ),
            (
                ("MEDITRUSTAL_SOCKETS_OF_ACCOUNT", self.sockets_of_account),
                ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", self.sockets_of_address),
            ),
        ])
    }

    /// How long to go on serving after being told to stop.
    pub(crate) const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// The limits of connections.
    pub(crate) fn limits(&self) -> connections::ConnectionLimits {
        connections::ConnectionLimits {
            all: self.connections as usize,
            of_network: self.connections_of_address as usize,
            headers_within: Duration::from_secs(self.header_timeout.unsigned_abs()),
            events_within: self.send_within(),
        }
    }

    const fn send_within(&self) -> Duration {
        Duration::from_secs(self.send_timeout.unsigned_abs())
    }

    /// The limits of sockets.
    pub(crate) fn sockets(&self) -> Sockets {
        Sockets::new(
            self.sockets_of_address as usize,
            self.sockets_of_account as usize,
            self.send_within(),
        )
    }
}

/// How much one account may have of what all share, and one address where nobody is logged in.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShareConfig {
    /// How long one answer may be, in MiB
    #[arg(long, env = "MEDITRUSTAL_ANSWER_MIB", default_value = "32", value_parser = mebibytes())]
    answer_mib: i64,

    /// How long all answers under way of one account may be together, in MiB
    #[arg(long, env = "MEDITRUSTAL_ANSWERS_OF_ACCOUNT_MIB", default_value = "64", value_parser = mebibytes())]
    answers_of_account_mib: i64,

    /// How long all answers under way in this process may be together, in MiB; it needs up to three
    /// times as much memory for them
    #[arg(long, env = "MEDITRUSTAL_ANSWERS_MIB", default_value = "192", value_parser = mebibytes())]
    answers_mib: i64,

    /// What one account's requests may cost at a time, in fields of their answers; one that costs more
    /// runs alone
    #[arg(long, env = "MEDITRUSTAL_COST_AT_ONCE", default_value = "10000", value_parser = cost())]
    cost_at_once: u32,

    /// What one account's requests may cost in a minute, over all processes
    #[arg(long, env = "MEDITRUSTAL_COST_A_MINUTE", default_value = "1000000", value_parser = cost())]
    cost_a_minute: u32,

    /// How many bytes of files of records one account may send in a day, in MiB, over all processes
    #[arg(long, env = "MEDITRUSTAL_UPLOADS_A_DAY_MIB", default_value = "4096", value_parser = uploads())]
    uploads_a_day_mib: i64,

    /// How much memory this process has for long entries of imports while files are taken out of them, and for these files until
    /// they are stored, in MiB; it is twice the length of the longest entry at least
    #[arg(long, env = "MEDITRUSTAL_LONG_ENTRIES_MIB", default_value = "64", value_parser = long_entries())]
    long_entries_mib: u32,

    /// How much of an import is put aside on the disk until the entries that refer to each other have arrived, in MiB; a longer import
    /// is stored part by part
    #[arg(long, env = "MEDITRUSTAL_HELD_ENTRIES_MIB", default_value = "1024", value_parser = mebibytes())]
    held_entries_mib: i64,
}

impl ShareConfig {
    /// How long answers may be.
    pub(crate) fn answers(&self) -> answer_budget::AnswerLimits {
        let bytes = |mebibytes: i64| usize::try_from(mebibytes << 20).unwrap_or(usize::MAX);
        answer_budget::AnswerLimits {
            of_answer: bytes(self.answer_mib),
            of_party: bytes(self.answers_of_account_mib),
            of_process: bytes(self.answers_mib),
        }
    }

    /// What requests may cost.
    pub(crate) fn costs(&self) -> cost_limit::CostLimits {
        cost_limit::CostLimits {
            at_once: self.cost_at_once.into(),
            a_minute: self.cost_a_minute.into(),
        }
    }

    /// How much one account may send in a day. Unit: bytes.
    pub(crate) const fn uploads(&self) -> u64 {
        self.uploads_a_day_mib.unsigned_abs() << 20
    }

    /// How much of an import is put aside. Unit: bytes.
    pub(crate) const fn held_entries(&self) -> u64 {
        self.held_entries_mib.unsigned_abs() << 20
    }

    /// The memory for long entries.
    pub(crate) fn long_entries(&self) -> LongEntries {
        LongEntries::new(self.long_entries_mib)
    }
}

/// Up to a tebibyte.
fn mebibytes() -> RangedI64ValueParser<i64> {
    RangedI64ValueParser::new().range(1..=1 << 20)
}

/// From the longest file up to a tebibyte.
fn uploads() -> RangedI64ValueParser<i64> {
    RangedI64ValueParser::new().range(16..=1 << 20)
}

/// From twice the longest entry up to a tebibyte.
fn long_entries() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(48..=1 << 20)
}

/// At least one request at the query limits's limit in a minute.
fn cost() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1000..=1_000_000_000)
}

/// How often anybody may try to get in. What a limit does is `domain::throttle`; the defaults lie
/// between Vault's (5 failures, then 15 minutes) and the Matrix Authentication Service's (3 a minute
/// for each address), with room for a hospital behind one address.
#[derive(Debug, Clone, Args)]
pub(crate) struct ThrottleConfig {
    /// Failures under one name from one address before the first wait
    #[arg(long, env = "MEDITRUSTAL_GUESSES", default_value = "5", value_parser = count())]
    guesses: u32,

    /// How long the first wait is, in seconds; each further one is twice as long
    #[arg(long, env = "MEDITRUSTAL_FIRST_WAIT", default_value = "10", value_parser = seconds())]
    first_wait: i64,

    /// How long no wait is longer than, in seconds
    #[arg(long, env = "MEDITRUSTAL_LONGEST_WAIT", default_value = "900", value_parser = seconds())]
    longest_wait: i64,

    /// Failures from one address before it must wait; more than it may have under way at once, which
    /// are counted until they have succeeded
    #[arg(long, env = "MEDITRUSTAL_ADDRESS_FAILURES", default_value = "100", value_parser = count())]
    address_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ADDRESS_FAILURES_A_MINUTE", default_value = "3", value_parser = count())]
    address_failures_a_minute: u32,

    /// New accounts from one address before it must wait
    #[arg(long, env = "MEDITRUSTAL_REGISTRATIONS", default_value = "20", value_parser = count())]
    registrations: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_REGISTRATIONS_A_MINUTE", default_value = "2", value_parser = count())]
    registrations_a_minute: u32,

    /// Messages for a wallet to sign that one address asks for before it must wait
    #[arg(long, env = "MEDITRUSTAL_CHALLENGES", default_value = "60", value_parser = count())]
    challenges: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_CHALLENGES_A_MINUTE", default_value = "20", value_parser = count())]
    challenges_a_minute: u32,

    /// Failures under one name from all addresses before a new address has one guess instead of several
    #[arg(long, env = "MEDITRUSTAL_ACCOUNT_FAILURES", default_value = "20", value_parser = count())]
    account_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ACCOUNT_FAILURES_A_MINUTE", default_value = "2", value_parser = count())]
    account_failures_a_minute: u32,

    /// Failures of all before a new address has one guess for each name instead of several
    #[arg(long, env = "MEDITRUSTAL_ALL_FAILURES", default_value = "300", value_parser = count())]
    all_failures: u32,

    /// How many of them are forgotten each minute
    #[arg(long, env = "MEDITRUSTAL_ALL_FAILURES_A_MINUTE", default_value = "60", value_parser = count())]
    all_failures_a_minute: u32,
}

impl ThrottleConfig {
    pub(super) fn contradictions(&self) -> Vec<String> {
        at_most([(
            ("MEDITRUSTAL_FIRST_WAIT", self.first_wait),
            ("MEDITRUSTAL_LONGEST_WAIT", self.longest_wait),
        )])
    }

    /// What these settings allow.
    pub(crate) fn limits(&self) -> ThrottleLimits {
        let bucket = |burst, a_minute: u32| Bucket {
            burst,
            drain: TimeDelta::microseconds(60_000_000 / i64::from(a_minute)),
        };
        ThrottleLimits {
            guesses: Backoff {
                free: self.guesses,
                first: TimeDelta::seconds(self.first_wait),
                longest: TimeDelta::seconds(self.longest_wait),
            },
            address: bucket(self.address_failures, self.address_failures_a_minute),
            registrations: bucket(self.registrations, self.registrations_a_minute),
            challenges: bucket(self.challenges, self.challenges_a_minute),
            account: bucket(self.account_failures, self.account_failures_a_minute),
            everybody: bucket(self.all_failures, self.all_failures_a_minute),
        }
    }
}
