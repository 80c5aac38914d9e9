//! What proves that a row of the trail was written, and has not been changed since: its place in the tree, and a checkpoint
//! of the tree that the registry holds.

pub(crate) mod graphql;

use domain::{records::DataHash, users::Role};
use store::{
    Pool, StoreError, Tx, audit,
    checkpoints::{self, AnchoredCheckpoint},
    cursor::Registry,
    trail::{self as tree_of, HashedRow},
};
use trail::{
    Hash,
    tree::{self, Frontier},
};

use super::read::{of_reading, unknown};
use crate::{caller::Caller, error::Error};

/// How many checkpoints are tried that have a row: those of an epoch that was given up lead nowhere.
const MOST_TRIED: i64 = 100;

/// What the trail, and the registry, say about one of its rows.
#[derive(Debug)]
pub(crate) struct RowProof {
    /// The row, as it is now.
    pub(crate) row: HashedRow,
    /// The hash of what it says.
    pub(crate) leaf_hash: Hash,
    /// What is hashed, in base 64, if the caller may be given all of it.
    pub(crate) leaf_data: Option<String>,
    /// Its place in the tree; `None` for the moment until it has one.
    pub(crate) position: Option<u64>,
    /// `None` until a checkpoint that holds it is in the registry.
    pub(crate) pinned: Option<PinnedProof>,
}

/// What leads from a row to a checkpoint.
#[derive(Debug)]
pub(crate) struct PinnedProof {
    /// The first checkpoint that has the row, and all that the caller knows.
    pub(crate) checkpoint: AnchoredCheckpoint,
    /// The hashes beside the way from the leaf to the root.
    pub(crate) inclusion: Vec<Hash>,
    /// What proves that the tree which the caller knows has only grown.
    pub(crate) consistency: Option<Vec<Hash>>,
}

/// Proves a row: administrators any, everybody else those about their own data.
///
/// # Errors
/// [`Error::NotFound`], with its audit row; [`Error::BadInput`] where no checkpoint has as many rows as the caller knows.
pub(crate) async fn prove(
    pool: &Pool,
    registry: &Registry,
    caller: &Caller,
    id: i64,
    known_size: Option<i64>,
) -> Result<RowProof, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if known_size.is_some_and(|size| size < 1) {
        return Err(Error::bad("knownSize", "a tree that is known has a leaf"));
    }
    let is_admin = actor.role == Role::Admin;
    let row = tree_of::rows_of(&mut tx, &[id]).await?.pop();
    let row = row.filter(|row| is_admin || row.row.patient_id == Some(actor.id.0));
    let Some(row) = row else {
        let denied = unknown(&of_reading(caller, is_admin), id);
        audit::insert(&mut tx, &[denied]).await?;
        tx.commit().await?;
        return Err(Error::NotFound("row"));
    };
    let leaf_hash = row.computed().ok_or(UNREADABLE_ROW)?;
    let is_whole = is_admin || row.row.user_id == actor.id.0;
    let leaf_data = row.row.encoded(row.layout).filter(|_| is_whole);
    audit::insert(&mut tx, &[of_reading(caller, is_admin)]).await?;
    let position = tree_of::position_of(&mut tx, id).await?;
    let pinned = match position {
        Some(position) => pinned(&mut tx, registry, position, known_size).await?,
        None => None,
    };
    tx.commit().await?;
    if pinned.is_none() && known_size.is_some() {
        let told = "no checkpoint in the registry has that many rows, and this one among them";
        return Err(Error::bad("knownSize", told));
    }
    Ok(RowProof {
        row,
        leaf_hash,
        leaf_data,
        position,
        pinned,
    })
}

/// What leads from a place to the first checkpoint that has it, and all that is known; `None` until there is one.
///
/// # Errors
/// The database's.
pub(crate) async fn pinned(
    tx: &mut Tx<'_>,
    registry: &Registry,
    position: u64,
    known_size: Option<i64>,
) -> Result<Option<PinnedProof>, StoreError> {
    let least = column(position + 1)?.max(known_size.unwrap_or_default());
    let known = known_size.and_then(|size| u64::try_from(size).ok());
    for checkpoint in checkpoints::anchored(tx, registry, least, MOST_TRIED).await? {
        let proof = leads_to(tx, checkpoint, position, known).await?;
        if proof.is_some() {
            return Ok(proof);
        }
    }
    Ok(None)
}

/// The way to a checkpoint; `None` where this tree was never that: its epoch was given up.
async fn leads_to(
    tx: &mut Tx<'_>,
    checkpoint: AnchoredCheckpoint,
    position: u64,
    known: Option<u64>,
) -> Result<Option<PinnedProof>, StoreError> {
    let size = u64::try_from(checkpoint.tree_size).map_err(|_| UNREADABLE)?;
    let inclusion = tree::inclusion(size, position).ok_or(UNREADABLE)?;
    let consistency = known.map(|known| tree::consistency(known, size).ok_or(UNREADABLE));
    let consistency = consistency.transpose()?;
    let proved = [&inclusion[..], consistency.as_deref().unwrap_or_default()].concat();
    let whole = tree::stored_under(std::slice::from_ref(&(0..size)));
    let places = [whole, tree::stored_under(&proved)].concat();
    let stored = tree_of::stored(tx, &places).await?;
    let root = Frontier::restore(size, &stored).map(|frontier| DataHash(frontier.root()));
    if root.map(|root| root.to_string()) != Some(checkpoint.root.clone()) {
        return Ok(None);
    }
    let hashes = |spans: &[_]| tree::hashes_of(spans, &stored).ok_or(UNREADABLE);
    Ok(Some(PinnedProof {
        inclusion: hashes(&inclusion)?,
        consistency: consistency.map(|spans| hashes(&spans)).transpose()?,
        checkpoint,
    }))
}

fn column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| UNREADABLE)
}

const UNREADABLE: StoreError = StoreError::Unreadable {
    what: "node of the audit tree",
};
const UNREADABLE_ROW: StoreError = StoreError::Unreadable {
    what: "row of the audit trail",
};
