//! Promises: the hashes of the rows that a request wrote, given to its caller. Who keeps one can show that a row was removed or
//! changed before it had its place in the tree, which nothing else shows.

pub(crate) mod graphql;

use domain::ids::RequestId;
use store::{Pool, StoreError, audit, cursor::Registry, trail as tree_of};

use super::{
    check::promises::{self, Promise, PromiseState},
    proof::{self, PinnedProof},
    read::of_reading,
};
use crate::{caller::Caller, error::Error};

/// How many rows of a request are promised at most.
const MOST_PROMISED: i64 = 1000;

/// The rows that a request has written so far, after one of them.
///
/// # Errors
/// The database's.
pub(crate) async fn of_request(
    pool: &Pool,
    request: RequestId,
    after: i64,
) -> Result<Vec<Promise>, StoreError> {
    let mut conn = pool.acquire().await?;
    let rows = tree_of::written_by(&mut conn, request, after, MOST_PROMISED).await?;
    let promise = |(id, leaf_hash)| Promise { id, leaf_hash };
    Ok(rows.into_iter().map(promise).collect())
}

/// What became of one promise, and what proves that it is met.
#[derive(Debug)]
pub(crate) struct CheckedPromise {
    /// What became of it.
    pub(crate) state: PromiseState,
    /// `None` until a checkpoint that holds the row is in the registry.
    pub(crate) pinned: Option<PinnedProof>,
}

/// Tells anybody who is logged in and knows a promise what became of it: no more than that, and nothing about a row whose hash
/// they do not know.
///
/// # Errors
/// As of [`Caller::actor`]; the database's.
pub(crate) async fn check(
    pool: &Pool,
    registry: &Registry,
    caller: &Caller,
    promise: Promise,
) -> Result<CheckedPromise, Error> {
    let mut tx = pool.begin().await?;
    caller.actor(&mut tx).await?;
    let states = promises::states(&mut tx, &[promise]).await?;
    let state = states.first().copied().unwrap_or(PromiseState::Broken);
    audit::insert(&mut tx, &[of_reading(caller, false)]).await?;
    let place = match state {
        PromiseState::Met(position) => u64::try_from(position).ok(),
        PromiseState::Waiting | PromiseState::Broken => None,
    };
    let pinned = match place {
        Some(place) => proof::pinned(&mut tx, registry, place, None).await?,
        None => None,
    };
    tx.commit().await?;
    Ok(CheckedPromise { state, pinned })
}
