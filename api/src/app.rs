//! What one process consists of: the database, the keys, the chain, and its few tasks. It is put together once, and
//! known to transport and resolvers alone: they give each use case what it may touch.

use std::sync::Arc;

use axum::http::HeaderValue;
use chain::{Client, ConsentDomain, siwe::Site};
use chrono::TimeDelta;
use domain::{clock::Clock, countries::Country, second_factor::Requirement};
use fhir::profiles::Profiles;
use store::{Pool, cursor::Registry, reads::Reads};
use tokio_util::sync::CancellationToken;
use vault::{blind_index::IndexKey, keyring::Keyring};

use crate::{
    answer_budget::AnswerMemory,
    cost_limit::CostLimiter,
    dependencies::{
        Amending, Credentials, Decryption, Drafting, FileWriting, Leasing, OurRegistrars,
        PromiseSealing, ReceiptSigning, SessionIssuer, WalletMessages, registry_of,
    },
    detached::DetachedTasks,
    error::Error,
    feed::Feed,
    hashing::Hashing,
    health::Health,
    integrity::chain_head::ChainHeads,
    limits::{Sockets, Transfers},
    proxies::Proxies,
    records::{disclosure::RecordDisclosure, list::RecordLists, writer::Writer},
    seals::Seals,
    sessions::revocations::Revocations,
    throttle::Throttle,
    tokens::Tokens,
    users::own::OwnAccounts,
    wallets::proof::Prover,
};

/// One api process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<AppParts>);

/// What an [`App`] is made of.
#[derive(Debug)]
pub(crate) struct AppParts {
    /// The database.
    pub(crate) pool: Pool,
    /// Where what was allowed is read: the replica, or the database.
    pub(crate) reads: Reads,
    /// The master keys.
    pub(crate) keyring: Arc<Keyring>,
    /// By what rows are believed.
    pub(crate) seals: Seals,
    /// The key of the blind index.
    pub(crate) index_key: Arc<IndexKey>,
    /// The profiles that documents are held against, where they declare them.
    pub(crate) profiles: Profiles,
    /// Signs and checks access tokens.
    pub(crate) tokens: Tokens,
    /// Hashes passwords, a few at a time.
    pub(crate) hashing: Hashing,
    /// How often anybody may try to get in.
    pub(crate) throttle: Throttle,
    /// How long answers may be.
    pub(crate) answers: AnswerMemory,
    /// How much each may ask for.
    pub(crate) costs: CostLimiter,
    /// Asks the chain.
    pub(crate) chain: Client,
    /// Tries wallets' signatures.
    pub(crate) prover: Prover,
    /// The origin of the frontend: people's wallets show it.
    pub(crate) site: Site,
    /// Where data is at home.
    pub(crate) home_country: Country,
    /// How long what is approved to be erased can still be kept.
    pub(crate) deletion_grace: TimeDelta,
    /// For what a second factor is asked for.
    pub(crate) second_factor: Requirement,
    /// The accounts whose anchors are ours.
    pub(crate) registrars: OurRegistrars,
    /// Whether signed receipts of consents are sent to the registry of consents.
    pub(crate) relays_consents: bool,
    /// Stores records, many to a transaction.
    pub(crate) writer: Writer,
    /// Opens records, many to a transaction.
    pub(crate) disclosure: RecordDisclosure,
    /// Reads the accounts of those who ask, many to a transaction.
    pub(crate) own_accounts: OwnAccounts,
    /// Finds lists of records, many to a transaction.
    pub(crate) lists: RecordLists,
    /// What subscribers follow.
    pub(crate) feed: Feed,
    /// Where the chain is, for whoever follows it.
    pub(crate) chain_heads: ChainHeads,
    /// What ends open streams.
    pub(crate) revocations: Revocations,
    /// Whether this process can do its work.
    pub(crate) health: Health,
    /// What time it is, by the database's clock.
    pub(crate) clock: Clock,
    /// Which sockets are open.
    pub(crate) sockets: Sockets,
    /// How many imports and exports there is room for.
    pub(crate) transfers: Transfers,
    /// Who may say whom they speak for.
    pub(crate) proxies: Proxies,
    /// Origins of browser frontends.
    pub(crate) allowed_origins: Vec<HeaderValue>,
    /// Whether introspection is answered and validation errors explained.
    pub(crate) introspection: bool,
    /// What requests have begun, and is finished whoever waits.
    pub(crate) detached: DetachedTasks,
    /// Cancelled when the process is to stop.
    pub(crate) stopping: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = AppParts;
    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl From<AppParts> for App {
    fn from(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

/// What is given out together ([`crate::dependencies`]).
impl AppParts {
    /// The registry that records and checkpoints are anchored in, as the database names it.
    ///
    /// # Errors
    /// [`Error::Internal`] for a chain whose number no column holds.
    pub(crate) fn registry(&self) -> Result<Registry, Error> {
        registry_of(self.chain.deployment()).map_err(|_| Error::Internal)
    }

    /// For checking passwords and codes.
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            pool: &self.pool,
            keyring: &self.keyring,
            seals: &self.seals,
            hashing: &self.hashing,
            throttle: &self.throttle,
        }
    }

    /// For streams.
    pub(crate) const fn leasing(&self) -> Leasing<'_> {
        Leasing {
            sockets: &self.sockets,
            revocations: &self.revocations,
            pool: &self.pool,
            seals: &self.seals,
            clock: &self.clock,
            stopping: &self.stopping,
        }
    }

    /// For log-ins.
    pub(crate) const fn session_issuer(&self) -> SessionIssuer<'_> {
        SessionIssuer {
            seals: &self.seals,
            tokens: &self.tokens,
            clock: &self.clock,
        }
    }

    /// For messages that wallets sign.
    pub(crate) fn wallet_messages(&self) -> WalletMessages<'_> {
        WalletMessages {
            pool: &self.pool,
            site: &self.site,
            deployment: self.chain.deployment(),
            prover: &self.prover,
        }
    }

    /// For signing receipts of consents.
    pub(crate) fn receipt_signing(&self) -> ReceiptSigning<'_> {
        ReceiptSigning {
            pool: &self.pool,
            seals: &self.seals,
            domain: ConsentDomain::of(self.chain.deployment()),
            is_relayed: self.relays_consents,
        }
    }

    /// For promises of audit rows.
    pub(crate) fn promise_sealing(&self) -> PromiseSealing<'_> {
        PromiseSealing {
            index_key: &self.index_key,
            deployment: self.chain.deployment(),
        }
    }

    /// For making drafts.
    pub(crate) fn drafting(&self) -> Drafting<'_> {
        Drafting {
            clock: &self.clock,
            index_key: &self.index_key,
            profiles: &self.profiles,
        }
    }

    /// For opening documents.
    pub(crate) fn decryption(&self) -> Decryption<'_> {
        Decryption {
            pool: &self.pool,
            keyring: &self.keyring,
        }
    }

    /// For files that come with documents.
    pub(crate) fn file_writing(&self) -> FileWriting<'_> {
        FileWriting {
            disclosure: &self.disclosure,
            decryption: self.decryption(),
            uploads: &self.transfers.uploads,
        }
    }

    /// For versions that follow others.
    pub(crate) fn amending(&self) -> Amending<'_> {
        Amending {
            disclosure: &self.disclosure,
            decryption: self.decryption(),
            drafting: self.drafting(),
            writer: &self.writer,
        }
    }
}
