//! PostgreSQL, and nothing else: every SQL statement of the product lives here, checked against the
//! schema when it is compiled (`.sqlx` holds what the database said, so building needs none).
//!
//! `&mut PgConnection` runs one statement; [`Tx`] runs several that stand or fall together. The use
//! case begins and commits. Nothing here decides anything: who may do what is `domain::access`.

pub mod access_codes;
pub mod access_feed;
pub mod anchors;
pub mod attachment_chunks;
pub mod audit;
pub mod backups;
pub mod barrier;
pub mod break_glass;
pub mod chain_events;
pub mod checkpoints;
pub mod closings;
pub mod consents;
pub mod countries;
pub mod cursor;
pub mod deep_check;
pub mod deletion;
pub mod erasure_ledger;
mod error;
pub mod facts;
pub mod feed;
pub mod findings;
pub mod health;
pub mod housekeeping;
pub mod idempotency;
pub mod index_status;
pub mod inspect;
pub mod key_checks;
pub mod keys;
mod keyset;
pub mod leases;
pub mod legal_holds;
pub mod maintenance;
pub mod memberships;
pub mod migrate;
pub mod monitoring;
pub mod my_data;
pub mod notices;
pub mod notifications;
pub mod organizations;
pub mod outbox;
pub mod people;
mod pool;
pub mod provision;
pub mod reads;
pub mod receipts;
pub mod reconciliation;
pub mod record_sources;
pub mod records;
pub mod registry_feed;
pub mod replays;
pub mod representatives;
pub mod restores;
pub mod retention;
pub mod role_proposals;
mod rows;
pub mod seals;
pub mod second_factors;
mod session;
pub mod sessions;
pub mod signers;
pub mod sweeps;
pub mod tenant;
pub mod throttle;
pub mod trail;
pub mod users;
pub mod versions;
pub mod wallets;

pub use error::{StoreError, advice};
pub use keyset::KeysetPage;
pub use pool::{
    InvalidDatabaseUrl, Plans, Pool, PoolFigures, PoolSettings, PooledConnection, Transaction,
    check_url, connect,
};
pub use session::log_statements_slower_than;
pub use sqlx::PgConnection;

/// A [`Transaction`], as functions take it.
pub type Tx<'a> = Transaction;
