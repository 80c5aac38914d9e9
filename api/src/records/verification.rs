//! A verification in the schema.

use std::sync::Arc;

use async_graphql::Object;
use chrono::{DateTime, Utc};

use super::{
    graphql::MedicalRecord,
    verify::{self, Verdict, Verification},
};
use crate::graphql::scalars::{Address, Hash};

/// What a verification found, a moment ago.
#[derive(Debug)]
pub(crate) struct RecordVerification(pub(super) Verification);

/// What a verification found, a moment ago.
#[Object]
impl RecordVerification {
    /// The record.
    async fn record(&self) -> MedicalRecord {
        MedicalRecord::new(Arc::clone(&self.0.record), self.0.purpose)
    }

    /// What it comes to.
    async fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// Whether the content is what was hashed.
    async fn content_matches(&self) -> bool {
        self.0.verdict != Verdict::Tampered
    }

    /// Whether the registry knows the hash of the content.
    async fn on_chain(&self) -> bool {
        self.0.on_chain.is_some()
    }

    /// The hash the record's row holds.
    async fn data_hash(&self) -> Hash {
        Hash(self.0.record.data_hash.clone())
    }

    /// The SHA-256 of what is stored; null if it does not open.
    async fn computed_hash(&self) -> Option<Hash> {
        self.0.computed.map(|hash| Hash(hash.to_string()))
    }

    /// Who anchored it, says the registry.
    async fn chain_registrar(&self) -> Option<Address> {
        self.0
            .on_chain
            .map(|anchor| Address(anchor.registrar.to_string()))
    }

    /// In which block, says the registry.
    async fn chain_block(&self) -> Option<u64> {
        self.0.on_chain.map(|anchor| anchor.block_number)
    }

    /// When, says the registry.
    async fn chain_time(&self) -> Option<DateTime<Utc>> {
        let seconds = i64::try_from(self.0.on_chain?.timestamp).ok()?;
        DateTime::from_timestamp(seconds, 0)
    }

    /// What became of it, says the registry: NONE, ACTIVE, SUPERSEDED, REVOKED or ERASED.
    async fn chain_status(&self) -> &'static str {
        verify::status_text(self.0.on_chain.as_ref())
    }

    /// The hash of the version that took its place, says the registry; null while there is none.
    async fn chain_successor(&self) -> Option<Hash> {
        self.0.successor.map(|hash| Hash(hash.to_string()))
    }

    /// When this was found.
    async fn checked_at(&self) -> DateTime<Utc> {
        self.0.checked_at
    }
}
