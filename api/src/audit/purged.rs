//! What retention removed from the trail: whether the trail says so, and whether somebody signed it who may pin checkpoints.

use std::collections::{BTreeSet, HashMap};

use chain::{ChainAddress, Client, ClientError, Deployment, signer_of};
use store::{Pool, StoreError, Tx, trail as tree_of};
use trail::{
    Hash,
    checkpoint::Checkpoint,
    purge::{MetPurge, PurgeDigest, PurgeStatement},
};
use uuid::Uuid;

use super::check::{CheckedTrail, Fault, readable};
use crate::error::Error;

/// How many leaves of a purge are read at a time.
const AT_ONCE: i64 = 4096;
/// How many rows that say they are about a purge are looked at: there is one.
const MOST_ROWS: i64 = 10;

/// Asks again for what the trail says of purges of which it said nothing, or something else, when it was gone through: they may
/// have been carried out meanwhile. Gives those of which it says so in a row that has no place yet.
///
/// # Errors
/// The database's.
pub(crate) async fn ask_again(
    pool: &Pool,
    met: &mut [MetPurge],
) -> Result<BTreeSet<Uuid>, StoreError> {
    let mut unordered = BTreeSet::new();
    for purge in met.iter_mut().filter(|purge| purge.statement.is_none()) {
        let mut tx = pool.snapshot().await?;
        let said = said_of(&mut tx, purge.id).await?;
        if said.is_empty() {
            continue;
        }
        let left = left_of(&mut tx, purge.id).await?;
        tx.commit().await?;
        for (statement, has_place) in said {
            if purge.takes(statement, &left) {
                if !has_place {
                    unordered.insert(purge.id);
                }
                break;
            }
        }
    }
    Ok(unordered)
}

/// What rows of the trail that are what was hashed say of a purge, and whether each has its place.
async fn said_of(tx: &mut Tx<'_>, purge: Uuid) -> Result<Vec<(PurgeStatement, bool)>, StoreError> {
    let ids = tree_of::rows_of_purge(tx, purge, MOST_ROWS).await?;
    let (rows, _) = readable(tx, &ids).await?;
    let mut said = Vec::new();
    for row in rows {
        let Some(hash) = row.computed().filter(|hash| row.leaf_hash == *hash) else {
            continue;
        };
        let place = tree_of::position_of(tx, row.row.id).await?;
        let place = place.and_then(|place| i64::try_from(place).ok());
        let leaves = tree_of::leaves_at(tx, place.as_slice()).await?;
        if leaves.iter().any(|leaf| leaf.leaf_hash != hash) {
            continue;
        }
        if let Some((_, statement)) = PurgeStatement::of(&row.row) {
            said.push((statement, place.is_some()));
        }
    }
    Ok(said)
}

/// A hash over all leaves that a purge is said to have left.
async fn left_of(tx: &mut Tx<'_>, purge: Uuid) -> Result<PurgeDigest, StoreError> {
    let mut left = PurgeDigest::default();
    let mut after = Some(-1);
    while let Some(last) = after {
        let leaves = tree_of::leaves_of_purge(tx, purge, last, AT_ONCE).await?;
        for leaf in &leaves {
            let hash: Result<Hash, _> = leaf.leaf_hash.as_slice().try_into();
            left.push(
                u64::try_from(leaf.position).unwrap_or_default(),
                &hash.unwrap_or_default(),
            );
        }
        after = leaves.last().map(|leaf| leaf.position);
    }
    Ok(left)
}

/// Asks who signed what was removed from the trail: what nobody signed who may pin checkpoints is a fault.
///
/// # Errors
/// The node's.
pub(crate) async fn ask_who_signed(
    mut may: Pinners<'_>,
    checked: &mut CheckedTrail,
) -> Result<(), ClientError> {
    for purge in std::mem::take(&mut checked.purges) {
        match may.have_signed(&purge).await? {
            PurgeSignature::Right => checked.purges.push(purge),
            PurgeSignature::Unknown => checked.unproven.push(purge),
            PurgeSignature::Wrong => {
                for range in purge.ranges {
                    checked.add(Fault::of_range(range));
                }
            }
        }
    }
    checked.tidy();
    Ok(())
}

/// Whether retention removed the row of a place by the purge that is said to have done it: the trail says exactly what that one
/// removed, signed by whom the registry lets pin checkpoints, or by whom the deployment file names.
///
/// # Errors
/// The database's; [`Error::Unavailable`] where the registry cannot be asked.
pub(crate) async fn has_taken(
    pool: &Pool,
    client: &Client,
    purge: Uuid,
    place: u64,
) -> Result<bool, Error> {
    let mut purge = [MetPurge {
        id: purge,
        ranges: vec![(place, place + 1)],
        statement: None,
    }];
    ask_again(pool, &mut purge).await?;
    let [purge] = purge;
    if purge.statement.is_none() {
        return Ok(false);
    }
    let mut may = Pinners::new(Some(client.deployment()), Some(client), &[]);
    match may.have_signed(&purge).await {
        Ok(signature) => Ok(signature == PurgeSignature::Right),
        Err(error) => {
            tracing::warn!(%error, "The registry cannot be asked who may sign what retention removed");
            Err(Error::Unavailable)
        }
    }
}

/// Whether somebody signed a purge who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PurgeSignature {
    /// The account may pin checkpoints, or the operator says that it once might.
    Right,
    /// It may not, or nobody signed it.
    Wrong,
    /// There is no node that could be asked.
    Unknown,
}

/// The accounts that may sign what is removed from a trail.
pub(crate) struct Pinners<'a> {
    client: Option<&'a Client>,
    /// What the checkpoints of the trail call it; `None` where it is not known which registry they are in.
    origin: Option<String>,
    known: HashMap<[u8; 20], bool>,
}

impl<'a> Pinners<'a> {
    /// Those that the registry of this deployment lets pin checkpoints, as far as a node says so, those that once might, as
    /// the deployment file says, and these.
    pub(crate) fn new(
        deployment: Option<&Deployment>,
        client: Option<&'a Client>,
        earlier: &[ChainAddress],
    ) -> Self {
        let origin = deployment.map(|deployment| {
            let registry = deployment.registry.to_string();
            Checkpoint::new(deployment.chain_id, &registry, 0, Hash::default()).origin
        });
        let filed = deployment.into_iter();
        let filed = filed.flat_map(|deployment| &deployment.earlier_checkpointers);
        let known = filed.chain(earlier);
        Self {
            client,
            origin,
            known: known.map(|account| (account.0, true)).collect(),
        }
    }

    /// Whether one of them signed this purge.
    ///
    /// # Errors
    /// The node's.
    pub(crate) async fn have_signed(
        &mut self,
        purge: &MetPurge,
    ) -> Result<PurgeSignature, ClientError> {
        let Some(origin) = &self.origin else {
            return Ok(PurgeSignature::Unknown);
        };
        let said = purge.statement.as_ref();
        let signed = said.and_then(|said| said.signed(origin, purge.id));
        let Some(account) = signed.and_then(|(text, signature)| signer_of(&text, &signature))
        else {
            return Ok(PurgeSignature::Wrong);
        };
        let may = match (self.known.get(&account.0), self.client) {
            (Some(may), _) => *may,
            (None, Some(client)) => client.may_pin(account).await?,
            (None, None) => return Ok(PurgeSignature::Unknown),
        };
        self.known.insert(account.0, may);
        Ok(if may {
            PurgeSignature::Right
        } else {
            PurgeSignature::Wrong
        })
    }
}
