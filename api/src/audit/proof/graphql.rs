//! The proof of a row in the schema.

use async_graphql::{ID, Object};
use domain::records::DataHash;
use store::{checkpoints::AnchoredCheckpoint, cursor::Registry};

use super::RowProof;
use crate::graphql::scalars::{Address, ChainId, Hash, TxHash};

/// What proves that a row of the audit trail was written, and has not been changed since. `docs/audit-proofs.md` says how it
/// is checked, with nothing but a node of the chain.
#[derive(Debug)]
pub(crate) struct AuditProof {
    pub(super) proof: RowProof,
    pub(super) registry: Registry,
}

impl AuditProof {
    pub(crate) const fn new(proof: RowProof, registry: Registry) -> Self {
        Self { proof, registry }
    }
}

/// What proves that a row of the audit trail was written, and has not been changed since. `docs/audit-proofs.md` says how it
/// is checked, with nothing but a node of the chain.
#[Object]
impl AuditProof {
    /// The number of the row, as the lists of the trail have it.
    async fn id(&self) -> ID {
        self.proof.row.row.id.into()
    }

    /// The hash of the row as it is now: the leaf that the proof begins with.
    async fn leaf_hash(&self) -> Hash {
        shown(&self.proof.leaf_hash)
    }

    /// By which layout the row is hashed: 3, 2 if it is older than `AuditLog.onBehalfOf`, and 1 if it is older than
    /// `AuditLog.recordIds`.
    async fn layout(&self) -> i32 {
        self.proof.row.layout.into()
    }

    /// The bytes that are hashed after the zero byte that stands before every leaf, in base 64. Null where somebody else
    /// acted and the caller is no administrator: they hold what the access log does not show, such as the network address.
    async fn leaf_data(&self) -> Option<String> {
        self.proof.leaf_data.clone()
    }

    /// The place of the leaf in the tree, from 0; null in the moment before it has one.
    async fn position(&self) -> Option<u64> {
        self.proof.position
    }

    /// The first checkpoint in the registry that has the row, and `knownSize` rows; null until there is one.
    async fn checkpoint(&self) -> Option<AuditCheckpoint> {
        let pinned = self.proof.pinned.as_ref()?;
        let checkpoint = pinned.checkpoint.clone();
        Some(AuditCheckpoint::new(checkpoint, self.registry.clone()))
    }

    /// The hashes that lead from the leaf to the root of the checkpoint (RFC 9162, 2.1.3); null without a checkpoint.
    async fn inclusion(&self) -> Option<Vec<Hash>> {
        let pinned = self.proof.pinned.as_ref()?;
        Some(pinned.inclusion.iter().map(shown).collect())
    }

    /// The hashes that prove that the tree of `knownSize` rows is the beginning of the checkpoint's (RFC 9162, 2.1.4); null
    /// where `knownSize` was not given.
    async fn consistency(&self) -> Option<Vec<Hash>> {
        let hashes = self.proof.pinned.as_ref()?.consistency.as_ref()?;
        Some(hashes.iter().map(shown).collect())
    }
}

/// What the tree over the audit trail was at a size, signed, and held by the registry.
#[derive(Debug)]
pub(crate) struct AuditCheckpoint {
    checkpoint: AnchoredCheckpoint,
    registry: Registry,
}

impl AuditCheckpoint {
    pub(crate) const fn new(checkpoint: AnchoredCheckpoint, registry: Registry) -> Self {
        Self {
            checkpoint,
            registry,
        }
    }
}

/// What the tree over the audit trail was at a size, signed, and held by the registry.
#[Object]
impl AuditCheckpoint {
    /// How many rows the tree had.
    async fn tree_size(&self) -> i64 {
        self.checkpoint.tree_size
    }

    /// The root of the tree, as `checkpointRoot(epoch, treeSize)` of the registry gives it.
    async fn root(&self) -> Hash {
        Hash(self.checkpoint.root.clone())
    }

    /// The epoch of the registry that the checkpoint is in.
    async fn epoch(&self) -> i64 {
        self.checkpoint.epoch
    }

    /// The text of the checkpoint with its signature, as c2sp.org/signed-note writes it.
    async fn note(&self) -> &str {
        &self.checkpoint.note
    }

    /// The ID of the chain that the registry is on (EIP-155).
    async fn chain_id(&self) -> ChainId {
        ChainId(self.registry.chain_id.to_string())
    }

    /// The address of the registry.
    async fn registry(&self) -> Address {
        Address(self.registry.address.clone())
    }

    /// The transaction that brought the checkpoint there.
    async fn tx_hash(&self) -> TxHash {
        TxHash(self.checkpoint.tx_hash.clone())
    }

    /// The number of the block that the transaction is in; null where it is not known.
    async fn block_number(&self) -> Option<i64> {
        self.checkpoint.block_number
    }
}

fn shown(hash: &trail::Hash) -> Hash {
    Hash(DataHash(*hash).to_string())
}
