//! A verification in the schema.

use std::sync::Arc;

use async_graphql::Object;
use chrono::DateTime;
use domain::integrity;

use super::{
    graphql::MedicalRecord,
    verify::{ChainStatus, Verdict, Verification},
};
use crate::graphql::{
    enums::ClosingReason,
    scalars::{Address, Hash, Time},
};

/// The result of comparing a record with its hash and with the chain, at the time of the request.
#[derive(Debug)]
pub(crate) struct RecordVerification(pub(super) Verification);

/// The result of comparing a record with its hash and with the chain, at the time of the request.
#[Object]
impl RecordVerification {
    /// The record that was verified.
    async fn record(&self) -> MedicalRecord {
        MedicalRecord::new(Arc::clone(&self.0.record), self.0.disclosed_for)
    }

    /// The verdict on the record.
    async fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// Whether the content has the hash that was stored and anchored for it.
    async fn content_matches(&self) -> bool {
        !matches!(self.0.verdict, Verdict::Tampered | Verdict::Erased)
    }

    /// Whether the registry on the chain knows the hash of the content.
    async fn on_chain(&self) -> bool {
        self.0.on_chain.is_some()
    }

    /// The hash that the row of the record holds.
    async fn data_hash(&self) -> Hash {
        Hash(self.0.record.data_hash.clone())
    }

    /// The SHA-256 hash of the content that is stored; null where it cannot be decrypted.
    async fn computed_hash(&self) -> Option<Hash> {
        self.0.computed.map(|hash| Hash(hash.to_string()))
    }

    /// The account that anchored the hash, as the registry states; null where it does not know the
    /// hash.
    async fn chain_registrar(&self) -> Option<Address> {
        self.0
            .on_chain
            .map(|anchor| Address(anchor.registrar.to_string()))
    }

    /// The number of the block in which the hash was anchored, as the registry states; null where it
    /// does not know the hash.
    async fn chain_block(&self) -> Option<u64> {
        self.0.on_chain.map(|anchor| anchor.block_number)
    }

    /// The time of that block, as the registry states; null where it does not know the hash.
    async fn chain_time(&self) -> Option<Time> {
        let seconds = i64::try_from(self.0.on_chain?.timestamp).ok()?;
        DateTime::from_timestamp(seconds, 0).map(Time)
    }

    /// The status of the hash, as the registry states.
    async fn chain_status(&self) -> ChainStatus {
        ChainStatus::of(self.0.on_chain.as_ref())
    }

    /// The hash of the version that superseded this one, as the registry states; null where the verdict
    /// is not SUPERSEDED.
    async fn chain_successor(&self) -> Option<Hash> {
        self.0.successor.map(|hash| Hash(hash.to_string()))
    }

    /// The time at which the hash was superseded, revoked or erased, as the registry states; null while it stands.
    async fn chain_ended_at(&self) -> Option<Time> {
        let seconds = i64::try_from(self.0.on_chain?.ending?.timestamp).ok()?;
        DateTime::from_timestamp(seconds, 0).map(Time)
    }

    /// The account that superseded, revoked or erased the hash, as the registry states; null while it stands.
    async fn chain_ended_by(&self) -> Option<Address> {
        let ending = self.0.on_chain?.ending?;
        Some(Address(ending.by.to_string()))
    }

    /// The reason for which the hash was revoked or erased, as the registry states; null where it was not, or was superseded, or
    /// where `chainReasonCode` is a code that is not known here.
    async fn chain_reason(&self) -> Option<ClosingReason> {
        let code = self.0.reason_code()?;
        integrity::ClosingReason::of(code).map(Into::into)
    }

    /// The code of that reason as the registry holds it, such as 1 for a record that was entered in error; null where the hash was
    /// not revoked or erased.
    async fn chain_reason_code(&self) -> Option<u8> {
        self.0.reason_code()
    }

    /// The time at which the verification was made.
    async fn checked_at(&self) -> Time {
        Time(self.0.checked_at)
    }
}
