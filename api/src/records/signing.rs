//! Signing the transactions of a group, on a thread of its own: a signature takes longer than a row, and
//! the database can be at work meanwhile.

use std::sync::Arc;

use chain::{Fees, SignedAnchor, Signer, SignerError};
use domain::records::DataHash;
use tokio::task::JoinHandle;

/// A transaction that is to be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// The signer's nonce.
    pub(super) nonce: i64,
    /// What it anchors.
    pub(super) hash: DataHash,
    /// What that supersedes.
    pub(super) supersedes: Option<DataHash>,
}

/// Transactions that are being signed.
pub(super) struct Signing(JoinHandle<Result<Vec<SignedAnchor>, SignerError>>);

/// Begins to sign.
pub(super) fn sign(signer: &Arc<Signer>, orders: Vec<Order>, fees: Fees) -> Signing {
    let signer = Arc::clone(signer);
    Signing(tokio::task::spawn_blocking(move || {
        let orders = orders.into_iter();
        orders.map(|order| one(&signer, order, fees)).collect()
    }))
}

fn one(signer: &Signer, order: Order, fees: Fees) -> Result<SignedAnchor, SignerError> {
    let nonce = u64::try_from(order.nonce).map_err(|_| SignerError::NotSigned)?;
    match &order.supersedes {
        Some(old) => signer.sign_supersede(nonce, old, &order.hash, fees),
        None => signer.sign_anchor(nonce, &order.hash, fees),
    }
}

impl Signing {
    /// All of them, in their order; `None` where one could not be signed.
    pub(super) async fn done(self) -> Option<Vec<SignedAnchor>> {
        self.0.await.ok()?.ok()
    }
}
