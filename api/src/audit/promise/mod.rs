//! Promises: the hashes of the rows that a request wrote, given to its caller. Who keeps one can show that a row was removed or
//! changed before it had its place in the tree, which nothing else shows.

pub(crate) mod graphql;

use std::collections::VecDeque;

use chain::{ChainAddress, Client, Deployment};
use domain::{ids::RequestId, records::DataHash};
use serde_json::{Value, json};
use store::{Pool, StoreError, audit, trail as tree_of};
use trail::{Hash, checkpoint::Checkpoint};
use vault::digest;

use super::{
    check::promises::{self, Promise, PromiseState},
    finding,
    proof::{self, PinnedProof},
    purged,
    read::of_reading,
};
use crate::{
    caller::Caller,
    dependencies::{PromiseSealing, registry_of},
    error::Error,
};

/// How many rows of a request are promised at most in an answer, or in a part of one that has several.
const MOST_PROMISED: u16 = 1000;
/// How many rows of a request are promised at most in a header.
const MOST_IN_HEADER: u16 = 16;
/// How many rows of a request are read at once where an answer has several parts: each reading goes through all of them.
const READ_AT_ONCE: u16 = u16::MAX;
/// What tells the seals of promises from the tags of cursors, which are of lists with digests as names. What follows is the name
/// of the trail: tenants with one index key cannot show each other's promises.
const SEALED_AS: &str = "meditrustal audit promise 2 ";
/// The same of promises from before seals named the trail.
const SEALED_AS_BEFORE: &[u8] = b"meditrustal audit promise 1";

/// The bytes of a promise that its seal is of.
fn sealed_bytes(promise: &Promise) -> Vec<u8> {
    [promise.id.to_be_bytes().as_slice(), &promise.leaf_hash].concat()
}

/// What promises are sealed as whose trail is pinned in this registry: by the name that its checkpoints give it.
fn sealed_as(deployment: &Deployment, registry: ChainAddress) -> Vec<u8> {
    let (chain_id, registry) = (deployment.chain_id, registry.to_string());
    let Checkpoint { origin, .. } = Checkpoint::new(chain_id, &registry, 0, Hash::default());
    format!("{SEALED_AS}{origin}").into_bytes()
}

/// Whether a promise was given out by this service, by the seal that it had then: of this registry, of the one that it continues,
/// or from before seals named one.
fn is_ours(sealing: PromiseSealing<'_>, promise: &Promise, seal: &str) -> bool {
    let PromiseSealing {
        index_key,
        deployment,
    } = sealing;
    let has_length = seal.len() == 16;
    let tag = u64::from_str_radix(seal, 16).ok().filter(|_| has_length);
    let Some(tag) = tag.map(u64::to_be_bytes) else {
        return false;
    };
    let registries = [Some(deployment.registry), deployment.predecessor];
    let registries = registries.into_iter().flatten();
    let mut known: Vec<_> = registries.map(|it| sealed_as(deployment, it)).collect();
    known.push(SEALED_AS_BEFORE.to_vec());
    let bytes = sealed_bytes(promise);
    let mut known = known.iter();
    known.any(|sealed_as| index_key.is_cursor_tag(sealed_as, &bytes, &tag))
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
fn as_json(seals: PromiseSealing<'_>, request: RequestId, rows: &[Promise], more: bool) -> Value {
    let sealed_as = sealed_as(seals.deployment, seals.deployment.registry);
    let row = |row: &Promise| {
        let seal = seals.index_key.cursor_tag(&sealed_as, &sealed_bytes(row));
        let seal = digest::to_hex(&seal);
        let hash = DataHash(row.leaf_hash).to_string();
        json!({ "id": row.id.to_string(), "leafHash": hash, "seal": seal })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    json!({ "requestId": request.to_string(), "rows": rows, "more": more })
}

/// The first rows that a request has written so far, as a header has them; `more` where others follow them anyway.
pub(crate) async fn in_header(
    pool: &Pool,
    sealing: PromiseSealing<'_>,
    request: RequestId,
    more: bool,
) -> Value {
    match readable_of_request(pool, request, 0, MOST_IN_HEADER).await {
        Some((rows, are_many)) => as_json(sealing, request, &rows, more || are_many),
        None => as_json(sealing, request, &[], true),
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
    pub(crate) async fn next(&mut self, pool: &Pool, sealing: PromiseSealing<'_>) -> Value {
        if self.read.is_empty() && !self.is_read {
            let (request, after) = (self.request, self.after);
            let read = readable_of_request(pool, request, after, READ_AT_ONCE).await;
            let Some((rows, more)) = read else {
                self.is_over = true;
                return as_json(sealing, request, &[], true);
            };
            self.after = rows.last().map_or(after, |row| row.id);
            self.read = rows.into();
            self.is_read = !more;
        }
        let length = self.read.len().min(MOST_PROMISED.into());
        let part: Vec<Promise> = self.read.drain(..length).collect();
        self.is_over = self.read.is_empty() && self.is_read;
        as_json(sealing, self.request, &part, !self.is_over)
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
    tx.commit().await?;
    // A tree that cannot be read takes no finding back.
    let mut tx = pool.begin().await?;
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

    use vault::blind_index::IndexKey;

    use super::*;

    /// The registry of this address, which continues another.
    fn deployment(registry: &str, predecessor: &str) -> Deployment {
        let address = |digit: &str| format!("0x{}", digit.repeat(40));
        let file = json!({
            "chainId": 31337, "registry": address(registry), "predecessor": address(predecessor), "block": 1,
            "codeHash": format!("0x{}", "1".repeat(64)), "registrar": address("9"),
        });
        serde_json::from_str(&file.to_string()).unwrap()
    }

    #[test]
    fn a_promise_is_known_by_its_seal_alone() {
        let key = |digits: &str| IndexKey::parse(&digits.repeat(32)).unwrap();
        let promise = |id, byte| Promise {
            id,
            leaf_hash: [byte; 32],
        };
        let given = promise(7, 0xab);
        let (index_key, other_key) = (key("2a"), key("2b"));
        let (here, next) = (deployment("1", "2"), deployment("3", "1"));
        let (later, elsewhere) = (deployment("4", "3"), deployment("5", "6"));
        let sealing = |index_key, deployment| PromiseSealing {
            index_key,
            deployment,
        };
        let ours = sealing(&index_key, &here);
        let told = as_json(ours, RequestId::fresh(), &[given], false);
        assert_eq!(Promise::of_json(&told["rows"][0]), Some(given));
        let seal = told["rows"][0]["seal"].as_str().unwrap();
        let before = index_key.cursor_tag(SEALED_AS_BEFORE, &sealed_bytes(&given));
        let before = digest::to_hex(&before);
        let before = before.as_str();

        assert!(is_ours(ours, &given, seal));
        // By who continues the registry, and from before it was named.
        assert!(is_ours(sealing(&index_key, &next), &given, seal));
        assert!(is_ours(ours, &given, before));
        for (sealing, other, seal) in [
            (sealing(&other_key, &here), given, seal),
            // Another tenant's, who has the same key.
            (sealing(&index_key, &elsewhere), given, seal),
            (sealing(&index_key, &later), given, seal),
            (ours, promise(8, 0xab), seal),
            (ours, promise(7, 0xac), seal),
            (ours, promise(8, 0xab), before),
            (ours, given, ""),
            (ours, given, "0000000000000000"),
            (ours, given, &seal[1..]),
        ] {
            let of = sealing.deployment.registry;
            assert!(!is_ours(sealing, &other, seal), "{of} {other:?} {seal}");
        }
    }
}
