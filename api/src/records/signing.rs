//! Signing the transactions of a group, on a thread of its own: a signature takes longer than a row, and
//! the database can be at work meanwhile.

use std::sync::Arc;

use chain::{Fees, SignedAnchor, Signer, SignerError};
use domain::records::DataHash;
use tokio::task::JoinHandle;

/// A transaction that is to be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SigningRequest {
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
pub(super) fn sign(signer: &Arc<Signer>, requests: Vec<SigningRequest>, fees: Fees) -> Signing {
    let signer = Arc::clone(signer);
    Signing(tokio::task::spawn_blocking(move || {
        let requests = requests.into_iter();
        requests
            .map(|request| one(&signer, request, fees))
            .collect()
    }))
}

fn one(signer: &Signer, request: SigningRequest, fees: Fees) -> Result<SignedAnchor, SignerError> {
    let nonce = u64::try_from(request.nonce).map_err(|_| SignerError::NotSigned)?;
    match &request.supersedes {
        Some(old) => signer.sign_supersede(nonce, old, &request.hash, fees),
        None => signer.sign_anchor(nonce, &request.hash, fees),
    }
}

impl Signing {
    /// All of them, in their order; `None` where one could not be signed.
    pub(super) async fn done(self) -> Option<Vec<SignedAnchor>> {
        self.0.await.ok()?.ok()
    }
}
