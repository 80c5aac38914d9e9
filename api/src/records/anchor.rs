//! A record's anchor in the schema.

use std::sync::Arc;

use async_graphql::Object;
use chrono::{DateTime, Utc};
use store::anchors;

use crate::graphql::{
    enums::AnchorState,
    scalars::{Address, TxHash},
};

/// Where a record's anchor stands.
#[derive(Debug, Clone)]
pub(crate) struct Anchor(pub(super) Arc<anchors::Anchor>);

/// Where a record's anchor stands.
#[Object]
impl Anchor {
    /// The state.
    async fn state(&self) -> AnchorState {
        self.0.state.into()
    }

    /// The transaction.
    async fn tx_hash(&self) -> TxHash {
        TxHash(self.0.tx_hash.clone())
    }

    /// The account that anchored it.
    async fn registrar(&self) -> Option<Address> {
        self.0.registrar.clone().map(Address)
    }

    /// The block's number.
    async fn block_number(&self) -> Option<i64> {
        self.0.block_number
    }

    /// The block's hash.
    async fn block_hash(&self) -> Option<TxHash> {
        self.0.block_hash.clone().map(TxHash)
    }

    /// Where in the block.
    async fn log_index(&self) -> Option<i64> {
        self.0.log_index
    }

    /// Where in the registry's gapless sequence.
    async fn sequence(&self) -> Option<i64> {
        self.0.sequence
    }

    /// When it was seen in a block.
    async fn confirmed_at(&self) -> Option<DateTime<Utc>> {
        self.0.confirmed_at
    }

    /// When that block became final.
    async fn finalized_at(&self) -> Option<DateTime<Utc>> {
        self.0.finalized_at
    }
}
