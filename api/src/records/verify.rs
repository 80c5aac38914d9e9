//! Comparing a record with its hash and with the chain, now.

use std::sync::Arc;

use chain::{ChainAddress, Client, OnChainAnchor, OnChainStatus, ToldAnchor};
use chrono::{DateTime, Utc};
use domain::{
    clock::Clock,
    ids::RecordId,
    integrity::AnchorState,
    purpose::Purpose,
    records::{Availability, DataHash},
};
use store::{outbox::again, records::Record};
use vault::row::Opened;

use super::{
    decrypt,
    disclosure::{DisclosedFor, DisclosureRequest, RecordDisclosure, Wanted},
};
use crate::{
    caller::Caller,
    dependencies::{Decryption, OurRegistrars},
    error::Error,
};

/// What a verification found.
#[derive(Debug)]
pub(crate) struct Verification {
    /// The record.
    pub(crate) record: Arc<Record>,
    /// What it was looked at for.
    pub(crate) disclosed_for: DisclosedFor,
    /// What it comes to.
    pub(crate) verdict: Verdict,
    /// The SHA-256 of what is stored, if it opens.
    pub(crate) computed: Option<DataHash>,
    /// What the registry says of that hash.
    pub(crate) on_chain: Option<chain::OnChainAnchor>,
    /// What took its place, says the registry.
    pub(crate) successor: Option<DataHash>,
    /// When it was looked at.
    pub(crate) checked_at: DateTime<Utc>,
}

impl Verification {
    /// The code of the reason for which the registry holds the hash as revoked or erased; it has none for what was superseded.
    pub(super) fn reason_code(&self) -> Option<u8> {
        let reason = self.on_chain?.ending?.reason;
        (reason != 0).then_some(reason)
    }
}

/// The status of a hash, as the registry on the chain states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
pub(crate) enum ChainStatus {
    /// The registry does not know the hash.
    None,
    /// The hash is anchored, and its record stands.
    Active,
    /// A newer version of the record superseded the one with this hash.
    Superseded,
    /// The record was declared wrong.
    Revoked,
    /// The document of the record was destroyed, with its key and its salt.
    Erased,
}

impl ChainStatus {
    /// What the registry says became of a hash.
    pub(super) const fn of(on_chain: Option<&OnChainAnchor>) -> Self {
        match on_chain {
            None => Self::None,
            Some(anchor) => match anchor.status {
                OnChainStatus::Active => Self::Active,
                OnChainStatus::Superseded => Self::Superseded,
                OnChainStatus::Revoked => Self::Revoked,
                OnChainStatus::Erased => Self::Erased,
            },
        }
    }
}

/// The verdict of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
pub(crate) enum Verdict {
    /// The content has the stored hash, and the registry on the chain knows the hash.
    Verified,
    /// As VERIFIED, and the registry knows a version that superseded this one: see `chainSuccessor`.
    Superseded,
    /// The content has the stored hash; the registry does not know the hash yet.
    Pending,
    /// As PENDING, and a transaction that was to anchor the hash came to nothing, or gets nowhere: another one is signed, or an
    /// operator is called. The record is not on the chain, and nobody else has to do anything.
    AnchorFailed,
    /// The content, its hash or its anchor was changed, or the content cannot be decrypted.
    Tampered,
    /// The record counts as anchored, and the registry does not know its hash.
    MissingOnChain,
    /// The registry knows the hash, as one that was revoked or erased.
    Revoked,
    /// The registry knows the hash, from an account that is not one of this service.
    ForeignRegistrar,
    /// The record was erased: nothing is left to compare, and `chainStatus` states whether the registry has been told.
    Erased,
}

impl Verdict {
    /// What content, anchor and registry come to together.
    fn of(
        is_intact: bool,
        anchored: Anchored,
        on_chain: Option<&chain::OnChainAnchor>,
        registrars: &[ChainAddress],
    ) -> Self {
        match (is_intact, on_chain) {
            (false, _) => Self::Tampered,
            (true, None) => match anchored {
                Anchored::Before => Self::MissingOnChain,
                Anchored::Failed => Self::AnchorFailed,
                Anchored::NotYet => Self::Pending,
            },
            (true, Some(found)) => match found.status {
                OnChainStatus::Revoked | OnChainStatus::Erased => Self::Revoked,
                _ if !registrars.contains(&found.registrar) => Self::ForeignRegistrar,
                OnChainStatus::Active => Self::Verified,
                OnChainStatus::Superseded => Self::Superseded,
            },
        }
    }
}

/// Whether a record counts as anchored here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchored {
    /// It does.
    Before,
    /// It does not, and its transaction is under way.
    NotYet,
    /// It does not, and its transaction came to nothing, or gets nowhere.
    Failed,
}

impl Anchored {
    fn of(anchor: Option<&store::anchors::Anchor>, is_stuck: bool) -> Self {
        match anchor {
            Some(anchor) if anchor.confirmed_at.is_some() => Self::Before,
            Some(anchor) if is_stuck || anchor.state == AnchorState::Failed => Self::Failed,
            Some(_) | None => Self::NotYet,
        }
    }
}

/// What a record is verified with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verifying<'a> {
    /// Discloses the record.
    pub(crate) disclosure: &'a RecordDisclosure,
    /// Opens it.
    pub(crate) decryption: Decryption<'a>,
    /// Asked what it knows of the hash.
    pub(crate) chain: &'a Client,
    /// The accounts whose anchors are ours.
    pub(crate) registrars: OurRegistrars,
    /// When it was looked at.
    pub(crate) clock: &'a Clock,
}

/// Opens a record for nobody, hashes it and asks the registry. Audited first, as a verification.
///
/// # Errors
/// [`Error::NotFound`] where the caller may not read it; [`Error::Unavailable`] where the node gives
/// no answer, or is behind the anchor, or another node contradicts it.
pub(crate) async fn verify(
    verifying: Verifying<'_>,
    caller: Caller,
    id: RecordId,
    purpose: Option<Purpose>,
) -> Result<Verification, Error> {
    let on_behalf_of = caller.on_behalf_of;
    let inquiry = DisclosureRequest {
        caller,
        record: id,
        purpose,
        wanted: Wanted::Verification,
        budget: None,
    };
    let disclosed = verifying.disclosure.ask(inquiry).await?;
    let record = disclosed.record;
    let disclosed_for = DisclosedFor {
        purpose: disclosed.purpose,
        on_behalf_of,
    };
    if record.availability == Availability::Erased {
        return of_erased(verifying, record, disclosed_for).await;
    }
    let sealed = disclosed.sealed.ok_or(Error::NotFound("record"))?;

    let mut conn = verifying.decryption.pool.acquire().await?;
    let anchor = store::anchors::by_records(&mut conn, &[id]).await?.pop();
    let is_stuck = again::is_stuck(&mut conn, id).await?;
    let registrars = verifying.registrars.read(&mut conn).await?;
    drop(conn);
    let opened = decrypt::open(verifying.decryption.keyring, &sealed).await?;
    let computed = match &opened {
        Opened::Intact(bytes) => Some(vault::digest::of_document(bytes)),
        Opened::Mismatch { computed, .. } => Some(*computed),
        Opened::Undecryptable => None,
    };
    let found = decrypt::finding_of(&sealed, &opened);
    drop(opened);
    let intact = found.is_none();
    decrypt::record_findings(verifying.decryption.pool, &sealed, found).await?;
    let on_chain = match computed {
        Some(hash) => verifying.chain.anchor_of(&hash).await.map_err(no_answer)?,
        None => None,
    };
    let anchored = Anchored::of(anchor.as_ref(), is_stuck);
    if on_chain.is_none()
        && anchored == Anchored::Before
        && let Some(anchor) = &anchor
    {
        has_block(verifying.chain, anchor.block_number).await?;
    }
    // What was changed is told whatever the nodes say; what is not anchored yet is told of no chain.
    if intact && (on_chain.is_some() || anchored == Anchored::Before) {
        require_agreement(verifying.chain, computed, on_chain).await?;
    }
    let verdict = Verdict::of(intact, anchored, on_chain.as_ref(), &registrars);
    let successor = match (verdict, computed) {
        (Verdict::Superseded, Some(hash)) => verifying
            .chain
            .successor_of(&hash)
            .await
            .map_err(no_answer)?,
        _ => None,
    };
    Ok(Verification {
        record,
        disclosed_for,
        verdict,
        computed,
        on_chain,
        successor,
        checked_at: verifying.clock.now(),
    })
}

/// What is said of a record that was erased: what the registry says of its hash.
async fn of_erased(
    verifying: Verifying<'_>,
    record: Arc<Record>,
    disclosed_for: DisclosedFor,
) -> Result<Verification, Error> {
    let hash = DataHash::parse(&record.data_hash).ok();
    let on_chain = match hash {
        Some(hash) => verifying.chain.anchor_of(&hash).await.map_err(no_answer)?,
        None => None,
    };
    if on_chain.is_some() {
        require_agreement(verifying.chain, hash, on_chain).await?;
    }
    Ok(Verification {
        record,
        disclosed_for,
        verdict: Verdict::Erased,
        computed: None,
        on_chain,
        successor: None,
        checked_at: verifying.clock.now(),
    })
}

/// Refuses to tell what one node says and another one contradicts: which of them is on the chain that stays is not known.
async fn require_agreement(
    chain: &Client,
    hash: Option<DataHash>,
    anchor: Option<OnChainAnchor>,
) -> Result<(), Error> {
    let told = hash.map(|hash| ToldAnchor { hash, anchor });
    chain.require_agreement(told).await.map_err(no_answer)
}

/// Refuses a node that does not have the block of an anchor yet: that it does not know the anchor says nothing.
async fn has_block(chain: &Client, number: Option<i64>) -> Result<(), Error> {
    let number = number.and_then(|number| u64::try_from(number).ok());
    let newest = chain.head().await.map_err(no_answer)?.number;
    if number.is_none_or(|number| number <= newest) {
        return Ok(());
    }
    tracing::warn!(
        newest,
        "The node is behind the indexer's: it cannot verify an anchor"
    );
    Err(Error::Unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn no_answer(error: chain::ClientError) -> Error {
    tracing::warn!(%error, "The node gave no answer to a verification");
    Error::Unavailable
}
