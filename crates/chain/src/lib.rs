//! The chain's node and the registry on it, and nothing else: no type of alloy leaves this crate.
//!
//! - [`Deployment`]: which registry, on which chain, since which block.
//! - [`Signer`]: makes an anchoring transaction whose hash is known before anything is sent. No I/O.
//! - [`Signers`]: the accounts that share the load, and which of them anchors whose records.
//! - [`Client`]: what a node is asked. Every call has a deadline and no error shows the node's URL. [`Failover`]: which of several.
//! - [`ToldAnchor`] and [`ToldFact`]: what one node has told, held against another one.
//! - [`HeadStream`]: new blocks, as a node tells of them by itself.
//! - [`UnprovenLog`]: a log that is not where it says it is, by the node's own blocks and receipts.
//! - [`Evidence`]: what the chain alone shows of one hash.
//! - [`siwe`]: the message that a wallet signs; [`signed_by_key`] and [`Client::contract_accepts`] say
//!   whether it did.
//! - [`ConsentStatement`]: what a wallet signs of a consent (EIP-712), and how the registry of consents is told.
//! - [`DeletionStatement`]: what a wallet signs to verify a deletion request (EIP-712).
//! - [`event`]: reads the registry's logs, and computes the rolling head that proves none is missing.

mod agreement;
mod bindings;
mod checkpoint;
mod client;
mod consents;
mod deletions;
mod deployment;
mod error;
pub mod event;
mod evidence;
mod failover;
mod hash;
mod heads;
mod inclusion;
mod proof;
mod rpc;
mod send;
mod signer;
mod signers;
pub mod siwe;
mod wallet;
mod wire;

pub use agreement::{ToldAnchor, ToldFact};
pub use checkpoint::{NextCheckpoint, PinnedCheckpoint, signer_of};
pub use client::{
    Block, Client, Fees, OnChainAnchor, OnChainEnding, OnChainStatus, Receipt, RegistryHead,
    RegistryRoom,
};
pub use consents::{ConsentDomain, ConsentStatement, OnChainConsent, details_hash};
pub use deletions::DeletionStatement;
pub use deployment::{Deployment, DeploymentError};
pub use error::{CheckError, ClientError, InvalidUrl, Line};
pub use event::{RegistryEvent, RegistryLog};
pub use evidence::{Evidence, NoEvidence, NoRegistry, ProvenAnchor};
pub use failover::{EndpointHealth, EndpointRest, Failover, MAX_REST, jittered};
pub use hash::{BlockHash, ChainAddress, CodeHash, Head, InvalidHex, TxHash};
pub use heads::{HeadError, HeadSource, HeadStream, is_head_source};
pub use inclusion::UnprovenLog;
pub use rpc::{check_listed_url, check_url};
pub use send::Sent;
pub use signer::{
    ANCHOR_GAS_LIMIT, AnchoringCall, CLOSE_GAS_LIMIT, SUPERSEDE_GAS_LIMIT, SignedAnchor, Signer,
    SignerError, address_of_key_file, is_development_account, transactions_left,
};
pub use signers::{SameAccount, Signers};
pub use wallet::{MessageHash, signed_by_key};
