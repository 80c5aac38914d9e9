//! What use cases may touch, where the same things go together again and again: a signature names one of
//! these, or the one thing that it needs, and never the whole process. `App` gives them out.

use std::num::TryFromIntError;

use chain::{ChainAddress, ConsentDomain, Deployment, siwe::Site};
use domain::clock::Clock;
use fhir::profiles::Profiles;
use store::{PgConnection, Pool, StoreError, cursor::Registry};
use tokio_util::sync::CancellationToken;
use vault::{blind_index::IndexKey, keyring::Keyring};

use crate::{
    hashing::Hashing,
    limits::Sockets,
    records::{disclosure::RecordDisclosure, writer::Writer},
    seals::Seals,
    sessions::revocations::Revocations,
    throttle::Throttle,
    tokens::Tokens,
    upload_limit::UploadLimiter,
    wallets::proof::Prover,
};

/// The registry of a deployment, as the database names it.
///
/// # Errors
/// For a chain whose number no column holds.
pub(crate) fn registry_of(deployment: &Deployment) -> Result<Registry, TryFromIntError> {
    Ok(Registry {
        chain_id: i64::try_from(deployment.chain_id)?,
        address: deployment.registry.to_string(),
    })
}

/// What checks a password and a code of the second factor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    /// The accounts, and the audit trail.
    pub(crate) pool: &'a Pool,
    /// Opens the secret of a second factor.
    pub(crate) keyring: &'a Keyring,
    /// By what an account is believed.
    pub(crate) seals: &'a Seals,
    /// Hashes passwords.
    pub(crate) hashing: &'a Hashing,
    /// How often anybody may try.
    pub(crate) throttle: &'a Throttle,
}

/// What a stream is opened with and ended by ([`crate::lease`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leasing<'a> {
    /// How many there may be.
    pub(crate) sockets: &'a Sockets,
    /// What ends with its log-in.
    pub(crate) revocations: &'a Revocations,
    /// The log-ins.
    pub(crate) pool: &'a Pool,
    /// By what a log-in is believed.
    pub(crate) seals: &'a Seals,
    /// Until when a token is good.
    pub(crate) clock: &'a Clock,
    /// Cancelled when the process is to stop.
    pub(crate) stopping: &'a CancellationToken,
}

/// What a log-in begins with, and goes on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionIssuer<'a> {
    /// Seals the row of the log-in.
    pub(crate) seals: &'a Seals,
    /// Signs access tokens.
    pub(crate) tokens: &'a Tokens,
    /// From when a token is good.
    pub(crate) clock: &'a Clock,
}

/// What a message is written with that a wallet signs, and tried with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalletMessages<'a> {
    /// The challenges.
    pub(crate) pool: &'a Pool,
    /// What the wallet shows of us.
    pub(crate) site: &'a Site,
    /// Of which chain the message speaks.
    pub(crate) deployment: &'a Deployment,
    /// Tries signatures.
    pub(crate) prover: &'a Prover,
}

/// What the receipt of a consent is signed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiptSigning<'a> {
    /// The receipts, and the audit trail.
    pub(crate) pool: &'a Pool,
    /// By what consents, receipts and accounts are believed.
    pub(crate) seals: &'a Seals,
    /// Where a signature may be used.
    pub(crate) domain: ConsentDomain,
    /// Whether it is sent to the registry of consents.
    pub(crate) is_relayed: bool,
}

/// What seals promises of audit rows, and knows such seals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromiseSealing<'a> {
    /// The key of the blind index.
    pub(crate) index_key: &'a IndexKey,
    /// The registry that the audit trail is pinned in.
    pub(crate) deployment: &'a Deployment,
}

/// What a document becomes a draft with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drafting<'a> {
    /// When the version is made.
    pub(crate) clock: &'a Clock,
    /// What its codes are found by.
    pub(crate) index_key: &'a IndexKey,
    /// What the profiles demand that it declares.
    pub(crate) profiles: &'a Profiles,
}

/// What opens a document that was disclosed, and writes down that it is not what was stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decryption<'a> {
    /// Findings, and the audit trail.
    pub(crate) pool: &'a Pool,
    /// The master keys.
    pub(crate) keyring: &'a Keyring,
}

/// What files are stored by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileWriting<'a> {
    /// Decides on the record again.
    pub(crate) disclosure: &'a RecordDisclosure,
    /// Opens its document, and stores.
    pub(crate) decryption: Decryption<'a>,
    /// How much an account may send.
    pub(crate) uploads: &'a UploadLimiter,
}

/// What a version of a record is followed with by another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amending<'a> {
    /// Discloses the version that is followed.
    pub(crate) disclosure: &'a RecordDisclosure,
    /// Opens it.
    pub(crate) decryption: Decryption<'a>,
    /// Makes the next.
    pub(crate) drafting: Drafting<'a>,
    /// Stores it.
    pub(crate) writer: &'a Writer,
}

/// Where the accounts stand whose anchors are ours: that of the deployment, and all that ever signed here. Each process
/// may have another, and the next one may be given another while this one runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OurRegistrars {
    /// The chain that they sign for.
    pub(crate) chain_id: i64,
    /// The registrar of the deployment file.
    pub(crate) deployed: ChainAddress,
}

impl OurRegistrars {
    /// Them all, now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn read(
        self,
        conn: &mut PgConnection,
    ) -> Result<Vec<ChainAddress>, StoreError> {
        let signers = store::signers::addresses(conn, self.chain_id).await?;
        let signers = signers.iter().filter_map(|address| address.parse().ok());
        Ok([self.deployed].into_iter().chain(signers).collect())
    }
}
