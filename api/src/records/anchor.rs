//! A record's anchor in the schema.

use std::sync::Arc;

use async_graphql::Object;
use store::{anchors, closings};

use crate::graphql::{
    enums::{AnchorState, ClosedAs, ClosingReason, ClosingState},
    scalars::{Address, Time, TxHash},
};

/// The anchor of a version of a record: its hash on the chain, and the state of the transaction that
/// writes it there.
#[derive(Debug, Clone)]
pub(crate) struct Anchor(pub(super) Arc<anchors::Anchor>);

/// The anchor of a version of a record: its hash on the chain, and the state of the transaction that
/// writes it there.
#[Object]
impl Anchor {
    /// How far the anchor has come.
    async fn state(&self) -> AnchorState {
        self.0.state.into()
    }

    /// The hash of the transaction that anchors the version.
    async fn tx_hash(&self) -> TxHash {
        TxHash(self.0.tx_hash.clone())
    }

    /// The account that anchored the version; null until it was found in a block.
    async fn registrar(&self) -> Option<Address> {
        self.0.registrar.clone().map(Address)
    }

    /// The number of the block that the anchor is in; null while it is in none.
    async fn block_number(&self) -> Option<i64> {
        self.0.block_number
    }

    /// The hash of the block that the anchor is in; null while it is in none.
    async fn block_hash(&self) -> Option<TxHash> {
        self.0.block_hash.clone().map(TxHash)
    }

    /// The index of the anchor's log in its block, from 0; null while it is in none.
    async fn log_index(&self) -> Option<i64> {
        self.0.log_index
    }

    /// The number of the anchor's event in the registry's sequence, which has no gaps; null while it is
    /// in no block.
    async fn sequence(&self) -> Option<i64> {
        self.0.sequence
    }

    /// The time at which the anchor was found in a block; null while it is in none.
    async fn confirmed_at(&self) -> Option<Time> {
        self.0.confirmed_at.map(Time)
    }

    /// The time at which that block was found to be final; null before.
    async fn finalized_at(&self) -> Option<Time> {
        self.0.finalized_at.map(Time)
    }

    /// The closing of the record on the chain; null while the record is not to be closed. A withdrawn record
    /// is closed by its last version.
    async fn closing(&self) -> Option<AnchorClosing> {
        self.0.closing.clone().map(AnchorClosing)
    }
}

/// The closing of a record on the chain: whoever has its document sees there that it does not stand any more.
#[derive(Debug, Clone)]
pub(crate) struct AnchorClosing(closings::Closing);

/// The closing of a record on the chain: whoever has its document sees there that it does not stand any more.
#[Object]
impl AnchorClosing {
    /// How far the closing has come.
    async fn state(&self) -> ClosingState {
        self.0.state.into()
    }

    /// The status that the record has on the chain once it is closed.
    async fn status(&self) -> ClosedAs {
        self.0.reason.closes_as().into()
    }

    /// Why the record is closed.
    async fn reason(&self) -> ClosingReason {
        self.0.reason.into()
    }

    /// The hash of the transaction that closes the record; null until one is signed.
    async fn tx_hash(&self) -> Option<TxHash> {
        self.0.tx_hash.clone().map(TxHash)
    }

    /// The account that closed the record: one of this service, or a steward of the registry; null while it is in
    /// no block.
    async fn by(&self) -> Option<Address> {
        self.0.by.clone().map(Address)
    }

    /// The number of the block that the closing is in; null while it is in none.
    async fn block_number(&self) -> Option<i64> {
        self.0.block_number
    }
}
