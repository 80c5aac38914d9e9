//! Promises in the schema, and in the `extensions` of answers.

use std::sync::atomic::{AtomicI64, Ordering};

use async_graphql::{Context, Enum, ID, Object, Response, Result, SimpleObject, Value};
use domain::records::DataHash;
use store::Pool;

use super::{CheckedPromise, MOST_PROMISED, as_json, readable_of_request};
use crate::{
    audit::{
        check::promises::{Promise, PromiseState},
        proof::graphql::AuditCheckpoint,
    },
    caller::RequestContext,
    dependencies::PromiseSealing,
    error::Error,
    graphql::{request, scalars::Hash},
};

/// The name under which an answer's `extensions` hold promises.
const AUDIT: &str = "audit";

/// What the answers of one request have promised already.
#[derive(Debug, Default)]
pub(crate) struct PromisedRows(AtomicI64);

impl PromisedRows {
    /// Writes into an answer which rows of the audit trail the request has written since the answer before, if its caller
    /// wants to know. Where they cannot be read nothing is promised.
    pub(crate) async fn write(
        &self,
        pool: &Pool,
        sealing: PromiseSealing<'_>,
        context: &RequestContext,
        response: &mut Response,
    ) {
        if !context.wants_promises {
            return;
        }
        let request = context.origin.request;
        let told = self.0.load(Ordering::Relaxed);
        let read = readable_of_request(pool, request, told, MOST_PROMISED).await;
        let Some((rows, more)) = read else {
            return;
        };
        let last = rows.last().map_or(told, |row| row.id);
        self.0.fetch_max(last, Ordering::Relaxed);
        if let Ok(promised) = Value::from_json(as_json(sealing, request, &rows, more)) {
            response.extensions.insert(AUDIT.to_owned(), promised);
        }
    }
}

/// What became of the promise of a row of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum AuditPromiseState {
    /// The row is there, with this hash, and has its place in the tree.
    Met,
    /// The row is there, with this hash, and gets its place within seconds.
    Waiting,
    /// Retention removed the row when its `retentionPeriod` was over. A row `RETENTION_PURGE` of the audit trail says so, signed by an
    /// account that pins checkpoints, or that pinned them before and is named by the operator. The hash of the removed row keeps
    /// its place in the tree.
    Purged,
    /// There is no row with this number and hash. If the service gave both, the row was removed or changed.
    Broken,
}

/// What became of the promise of a row of the audit trail, with what proves that it is met.
#[derive(Debug, SimpleObject)]
pub(crate) struct AuditPromise {
    /// Whether the row is in the tree.
    state: AuditPromiseState,
    /// The place of the leaf in the tree, from 0; null where it has none.
    position: Option<i64>,
    /// The first checkpoint in the registry that has the row; null until there is one.
    checkpoint: Option<AuditCheckpoint>,
    /// The hashes that lead from the leaf to the root of the checkpoint (RFC 9162, 2.1.3); null without a checkpoint.
    inclusion: Option<Vec<Hash>>,
}

#[derive(Default)]
pub(crate) struct AuditPromiseQuery;

#[Object]
impl AuditPromiseQuery {
    /// What became of a row of the audit trail whose number and hash an answer has promised. Open to every
    /// role, for every row whose hash the caller knows. A broken promise is the finding `AUDIT_TAMPERED`, which names the row: with its
    /// seal, or where the tree has its hash.
    ///
    /// Error codes: `BAD_USER_INPUT` (`id`, `leafHash`); `UNAVAILABLE` where the row was removed when it had been kept long enough, and
    /// the registry does not say who may sign that.
    async fn audit_promise(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of the row, as the answer had it.")] id: ID,
        #[graphql(desc = "The hash of the row, as the answer had it.")] leaf_hash: Hash,
        #[graphql(desc = "What shows that the promise was given, as the answer had it.")]
        seal: Option<String>,
    ) -> Result<AuditPromise> {
        let (app, caller) = request(ctx)?;
        let id = id.parse();
        let id = id.map_err(|_| Error::bad("id", "a row of the trail has a number"))?;
        let told = "a hash has 64 lower-case hexadecimal digits";
        let hash = DataHash::parse(&leaf_hash.0).map_err(|_| Error::bad("leafHash", told))?;
        let promise = Promise {
            id,
            leaf_hash: hash.0,
        };
        let sealing = app.promise_sealing();
        let is_ours = seal.is_some_and(|seal| super::is_ours(sealing, &promise, &seal));
        let registry = app.registry()?;
        let checked = super::check(&app.pool, &app.chain, &caller, (promise, is_ours)).await?;
        let CheckedPromise {
            state,
            is_purged,
            pinned,
        } = checked;
        let position = state.position();
        let state = match state {
            PromiseState::Met(_) => AuditPromiseState::Met,
            PromiseState::Waiting => AuditPromiseState::Waiting,
            PromiseState::Gone(_) if is_purged => AuditPromiseState::Purged,
            PromiseState::Gone(_) | PromiseState::Changed(_) | PromiseState::Broken => {
                AuditPromiseState::Broken
            }
        };
        let hashes = |hashes: &[trail::Hash]| {
            let shown = |hash: &trail::Hash| Hash(DataHash(*hash).to_string());
            hashes.iter().map(shown).collect()
        };
        Ok(AuditPromise {
            state,
            position,
            inclusion: pinned.as_ref().map(|pinned| hashes(&pinned.inclusion)),
            checkpoint: pinned.map(|pinned| AuditCheckpoint::new(pinned.checkpoint, registry)),
        })
    }
}
