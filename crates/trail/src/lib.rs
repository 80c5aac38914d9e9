//! What proves the audit trail: the bytes of a row and its hash ([`row`]), and the tree of RFC 9162 over the hashes of
//! all rows ([`tree`]), what is left of rows that retention removed ([`purge`]), and the form in which all of it leaves the database ([`export`], and for others'
//! programs [`audit_event`]). `docs/audit-proofs.md` draws both.
//!
//! Nothing here reads a database: `store` reads rows and nodes, and the hashes are computed here.

pub mod audit_event;
pub mod checkpoint;
pub mod export;
pub mod purge;
pub mod row;
pub mod tree;

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00, `bytes`).
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(bytes)
        .finalize()
        .into()
}

/// The hash of a node over two others: SHA-256(0x01, `left`, `right`).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}
