//! Promises: the hashes of the rows that a request wrote, given to its caller. Who keeps one can show that a row was removed or
//! changed before it had its place in the tree, which nothing else shows.

pub(crate) mod graphql;

use std::collections::VecDeque;

use chain::Client;
use domain::{ids::RequestId, records::DataHash};
use serde_json::{Value, json};
use store::{Pool, StoreError, audit, trail as tree_of};
use vault::{blind_index::IndexKey, digest};

use super::{
    check::promises::{self, Promise, PromiseState},
    finding,
    proof::{self, PinnedProof},
    purged,
    read::of_reading,
};
use crate::{caller::Caller, dependencies::registry_of, error::Error};

/// How many rows of a request are promised at most in an answer, or in a part of one that has several.
const MOST_PROMISED: u16 = 1000;
/// How many rows of a request are promised at most in a header.
const MOST_IN_HEADER: u16 = 16;
/// How many rows of a request are read at once where an answer has several parts: each reading goes through all of them.
const READ_AT_ONCE: u16 = u16::MAX;
/// What tells the seals of promises from the tags of cursors, which are of lists with digests as names.
const SEALED_AS: &[u8] = b"meditrustal audit promise 1";

/// The bytes of a promise that its seal is of.
fn sealed_bytes(promise: &Promise) -> Vec<u8> {
    [promise.id.to_be_bytes().as_slice(), &promise.leaf_hash].concat()
}

/// Whether a promise was given out by this service, by the seal that it had then.
pub(crate) fn is_ours(key: &IndexKey, promise: &Promise, seal: &str) -> bool {
    let has_length = seal.len() == 16;
    let tag = u64::from_str_radix(seal, 16).ok().filter(|_| has_length);
    tag.is_some_and(|tag| key.is_cursor_tag(SEALED_AS, &sealed_bytes(promise), &tag.to_be_bytes()))
}

/// The rows that a request has written so far, after one of them, and whether there may be more of them than so many.
///
/// # Errors
/// The database's.
async fn of_request(
    pool: &Pool,
    request: RequestId,
    after: i64,
    most: u16,
) -> Result<(Vec<Promise>, bool), StoreError> {
    let mut conn = pool.acquire().await?;
    let rows = tree_of::written_by(&mut conn, request, after, most.into()).await?;
    let more = rows.len() >= usize::from(most);
    let promise = |(id, leaf_hash)| Promise { id, leaf_hash };
    Ok((rows.into_iter().map(promise).collect(), more))
}

/// The same where nothing is promised of rows that cannot be read, and it is said that there may be some.
async fn readable_of_request(
    pool: &Pool,
    request: RequestId,
    after: i64,
    most: u16,
) -> Option<(Vec<Promise>, bool)> {
    match of_request(pool, request, after, most).await {
        Ok(rows) => Some(rows),
        Err(error) => {
            let sql_state = error.sql_state();
            tracing::warn!(sql_state, "The rows of a request cannot be promised");
            None
        }
    }
}

/// Promises as callers are given them.
fn as_json(key: &IndexKey, request: RequestId, rows: &[Promise], more: bool) -> Value {
    let row = |row: &Promise| {
        let seal = digest::to_hex(&key.cursor_tag(SEALED_AS, &sealed_bytes(row)));
        let hash = DataHash(row.leaf_hash).to_string();
        json!({ "id": row.id.to_string(), "leafHash": hash, "seal": seal })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    json!({ "requestId": request.to_string(), "rows": rows, "more": more })
}

/// The first rows that a request has written so far, as a header has them; `more` where others follow them anyway.
pub(crate) async fn in_header(
    pool: &Pool,
    key: &IndexKey,
    request: RequestId,
    more: bool,
) -> Value {
    match readable_of_request(pool, request, 0, MOST_IN_HEADER).await {
        Some((rows, are_many)) => as_json(key, request, &rows, more || are_many),
        None => as_json(key, request, &[], true),
    }
}

/// All rows that a request has written, in parts: of a transfer there may be any number.
#[derive(Debug)]
pub(crate) struct PromisedParts {
    request: RequestId,
    /// The number of the row that was read last.
    after: i64,
    /// What was read and is in no part yet.
    read: VecDeque<Promise>,
    /// Whether nothing is left to be read.
    is_read: bool,
    is_over: bool,
}

impl PromisedParts {
    /// Those of a request that writes no more.
    pub(crate) const fn of(request: RequestId) -> Self {
        Self {
            request,
            after: 0,
            read: VecDeque::new(),
            is_read: false,
            is_over: false,
        }
    }

    /// Whether the last part was given.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The next part. The last one says that there are more only where those could not be read.
    pub(crate) async fn next(&mut self, pool: &Pool, key: &IndexKey) -> Value {
        if self.read.is_empty() && !self.is_read {
            let (request, after) = (self.request, self.after);
            let read = readable_of_request(pool, request, after, READ_AT_ONCE).await;
            let Some((rows, more)) = read else {
                self.is_over = true;
                return as_json(key, request, &[], true);
            };
            self.after = rows.last().map_or(after, |row| row.id);
            self.read = rows.into();
            self.is_read = !more;
        }
        let length = self.read.len().min(MOST_PROMISED.into());
        let part: Vec<Promise> = self.read.drain(..length).collect();
        self.is_over = self.read.is_empty() && self.is_read;
        as_json(key, self.request, &part, !self.is_over)
    }
}

/// What became of one promise, and what proves that it is met.
#[derive(Debug)]
pub(crate) struct CheckedPromise {
    /// What became of it.
    pub(crate) state: PromiseState,
    /// Whether its row is gone because retention removed it.
    pub(crate) is_purged: bool,
    /// `None` until a checkpoint that holds the row is in the registry.
    pub(crate) pinned: Option<PinnedProof>,
}

/// Tells anybody who is logged in and knows a promise what became of it: no more than that, and nothing about a row whose hash
/// they do not know. A broken one is a finding where it is known to have been given: by its seal, or because the tree has its hash.
/// What retention removed is none.
///
/// # Errors
/// As of [`Caller::actor`]; the database's; [`Error::Unavailable`] where the registry would have to say who may sign what
/// retention removed, and cannot be asked.
pub(crate) async fn check(
    pool: &Pool,
    client: &Client,
    caller: &Caller,
    (promise, is_ours): (Promise, bool),
) -> Result<CheckedPromise, Error> {
    let registry = registry_of(client.deployment()).map_err(|_| Error::Internal)?;
    let mut tx = pool.begin().await?;
    caller.actor(&mut tx).await?;
    let states = promises::states(&mut tx, &[promise]).await?;
    let state = states.first().copied().unwrap_or(PromiseState::Broken);
    let purge = promises::said_purge(&mut tx, state).await?;
    audit::insert(&mut tx, &[of_reading(caller, false)]).await?;
    let place = state.position().and_then(|at| u64::try_from(at).ok());
    let is_given = is_ours || place.is_some();
    let fault = promises::fault(&promise, state).filter(|_| is_given);
    if let (Some(fault), None) = (&fault, purge) {
        finding::of_promise(&mut tx, fault).await?;
    }
    let pinned = match place {
        Some(place) => proof::pinned(&mut tx, &registry, place, None).await?,
        None => None,
    };
    tx.commit().await?;
    let is_purged = match (purge, place) {
        (Some(purge), Some(place)) => purged::has_taken(pool, client, purge, place).await?,
        _ => false,
    };
    if let (Some(fault), Some(_), false) = (&fault, purge, is_purged) {
        let mut tx = pool.begin().await?;
        finding::of_promise(&mut tx, fault).await?;
        tx.commit().await?;
    }
    Ok(CheckedPromise {
        state,
        is_purged,
        pinned,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_promise_is_known_by_its_seal_alone() {
        let key = |digits: &str| IndexKey::parse(&digits.repeat(32)).unwrap();
        let promise = |id, byte| Promise {
            id,
            leaf_hash: [byte; 32],
        };
        let given = promise(7, 0xab);
        let told = as_json(&key("2a"), RequestId::fresh(), &[given], false);
        assert_eq!(Promise::of_json(&told["rows"][0]), Some(given));
        let seal = told["rows"][0]["seal"].as_str().unwrap();

        assert!(is_ours(&key("2a"), &given, seal));
        for (digits, other, seal) in [
            ("2b", given, seal),
            ("2a", promise(8, 0xab), seal),
            ("2a", promise(7, 0xac), seal),
            ("2a", given, ""),
            ("2a", given, "0000000000000000"),
            ("2a", given, &seal[1..]),
        ] {
            assert!(
                !is_ours(&key(digits), &other, seal),
                "{digits} {other:?} {seal}"
            );
        }
    }
}
