//! Checkpoints of the audit trail in the registry: signed, sent as any transaction, and asked for.

use alloy::{
    primitives::{FixedBytes, eip191_hash_message},
    sol_types::SolCall,
};
use serde_json::json;

use crate::{
    bindings::MedicalRecordRegistry::{
        CHECKPOINT_ROLECall, anchorCheckpointCall, checkpointRootCall, hasRoleCall, headCall,
        latestCheckpointCall, verifyAuditInclusionCall,
    },
    client::{Client, Fees},
    error::ClientError,
    hash::ChainAddress,
    signer::{SignedAnchor, Signer, SignerError},
    wallet,
};

/// The gas a checkpoint may use. Unit: gas.
///
/// With the longest proof of a tree of 2^40 leaves it uses less than half of it; one of 200,000 uses 83,168
/// (`docs/contracts.md`, gas).
const CHECKPOINT_GAS_LIMIT: u64 = crate::signer::MOST_GAS;

/// A checkpoint as the registry holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedCheckpoint {
    /// The epoch of checkpoints.
    pub epoch: u64,
    /// How many leaves the trail had; zero where nothing was pinned.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
}

/// What is to be pinned.
#[derive(Debug, Clone)]
pub struct NextCheckpoint<'a> {
    /// How many leaves the trail has.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
    /// That it extends what is pinned; empty where nothing is.
    pub consistency: &'a [[u8; 32]],
}

impl Signer {
    /// Signs `anchorCheckpoint(…)`.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`].
    pub fn sign_checkpoint(
        &self,
        nonce: u64,
        next: &NextCheckpoint<'_>,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        let call = anchorCheckpointCall {
            treeSize: next.size,
            root: FixedBytes(next.root),
            consistencyProof: next.consistency.iter().copied().map(FixedBytes).collect(),
        };
        self.sign(nonce, CHECKPOINT_GAS_LIMIT, call.abi_encode(), fees)
    }

    /// Signs a text as wallets do (EIP-191): 65 bytes, which [`signer_of`] reads.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`].
    pub fn sign_text(&self, text: &str) -> Result<[u8; 65], SignerError> {
        let hash = eip191_hash_message(text);
        Ok(self.signature(hash.as_slice())?.as_bytes())
    }
}

/// Whose key signed a text.
pub fn signer_of(text: &str, signature: &[u8; 65]) -> Option<ChainAddress> {
    wallet::recovered(text, signature)
}

impl Client {
    /// The last checkpoint that the registry holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn latest_checkpoint(&self) -> Result<PinnedCheckpoint, ClientError> {
        let answer = self.call(&latestCheckpointCall {}, json!("latest")).await?;
        Ok(PinnedCheckpoint {
            epoch: answer._0,
            size: answer._1,
            root: answer._2.0,
        })
    }

    /// The root that the registry holds for a size; `None` where it holds none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn checkpoint_root(
        &self,
        epoch: u64,
        size: u64,
    ) -> Result<Option<[u8; 32]>, ClientError> {
        let call = checkpointRootCall {
            epoch,
            treeSize: size,
        };
        let root = self.call(&call, json!("latest")).await?;
        Ok((!root.is_zero()).then_some(root.0))
    }

    /// Whether the registry itself finds that a leaf is in a checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_inclusion(
        &self,
        (epoch, size): (u64, u64),
        leaf: [u8; 32],
        index: u64,
        proof: &[[u8; 32]],
    ) -> Result<bool, ClientError> {
        let call = verifyAuditInclusionCall {
            epoch,
            treeSize: size,
            leaf: FixedBytes(leaf),
            index,
            proof: proof.iter().copied().map(FixedBytes).collect(),
        };
        self.call(&call, json!("latest")).await
    }

    /// Whether the registry lets this account pin checkpoints.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn may_pin(&self, account: ChainAddress) -> Result<bool, ClientError> {
        let role = self.call(&CHECKPOINT_ROLECall {}, json!("latest")).await?;
        let call = hasRoleCall {
            role,
            account: account.to_alloy(),
        };
        self.call(&call, json!("latest")).await
    }

    /// Whether the registry is paused: then it takes no checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn is_paused(&self) -> Result<bool, ClientError> {
        Ok(self.call(&headCall {}, json!("latest")).await?._2)
    }
}
