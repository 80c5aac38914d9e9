//! The registry and the integrity events in the schema.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, Subscription};
use chrono::{DateTime, Utc};
use domain::ids::RecordId;
use futures::{Stream, StreamExt};
use store::{
    anchors::{self, Progress},
    feed::{FeedFinding, FeedRow},
};
use uuid::Uuid;

use super::subscription;
use crate::{
    error::Error,
    graphql::{
        document::Document,
        enums::{AnchorState, FindingKind, IntegrityEventKind},
        request,
        scalars::{Address, Hash, TxHash},
    },
    page::Cursor,
};

/// The contract that records are anchored in, and how far its events were followed.
#[derive(Debug)]
pub(crate) struct Registry {
    deployment: chain::Deployment,
    progress: Option<Progress>,
}

/// The contract that records are anchored in, and how far its events were followed.
#[Object]
impl Registry {
    /// The chain it is on.
    async fn chain_id(&self) -> u64 {
        self.deployment.chain_id
    }

    /// The contract.
    async fn address(&self) -> Address {
        Address(self.deployment.registry.to_string())
    }

    /// The Keccak-256 of the contract's code: compare it with a build of your own.
    async fn code_hash(&self) -> TxHash {
        TxHash(self.deployment.code_hash.to_string())
    }

    /// The block it was deployed in: where its events begin.
    async fn from_block(&self) -> u64 {
        self.deployment.block
    }

    /// The last block whose events are known here.
    async fn indexed_block(&self) -> Option<i64> {
        self.progress
            .as_ref()
            .map(|progress| progress.indexed_block)
    }

    /// The last block that cannot be undone.
    async fn finalized_block(&self) -> Option<i64> {
        self.progress
            .as_ref()
            .map(|progress| progress.finalized_block)
    }

    /// How many events the contract has emitted, as far as is known here. The sequence has no gaps.
    async fn head_sequence(&self) -> Option<i64> {
        self.progress.as_ref().map(|progress| progress.sequence)
    }
}

#[derive(Default)]
pub(crate) struct IntegrityQuery;

#[Object]
impl IntegrityQuery {
    /// The contract that records are anchored in: all a verifier needs to check the chain alone.
    async fn registry(&self, ctx: &Context<'_>) -> Result<Registry> {
        let (app, caller) = request(ctx)?;
        let deployment = app.chain.deployment().clone();
        let chain_id = i64::try_from(deployment.chain_id).map_err(|_| Error::Internal)?;
        let mut conn = app
            .pool
            .acquire()
            .await
            .map_err(store::StoreError::from)
            .map_err(Error::from)?;
        caller.actor(&mut conn).await?;
        let progress = anchors::progress(&mut conn, chain_id, &deployment.registry.to_string())
            .await
            .map_err(Error::from)?;
        Ok(Registry {
            deployment,
            progress,
        })
    }
}

/// Something that happened to the integrity of a record.
#[derive(Debug)]
pub(crate) struct IntegrityEvent(Arc<FeedRow>);

/// Something that happened to the integrity of a record.
#[Object]
impl IntegrityEvent {
    /// Where it stands: hand it back as `after` and nothing is missed.
    async fn cursor(&self) -> Cursor {
        Cursor::of_number(self.0.position)
    }

    /// What happened.
    async fn kind(&self) -> IntegrityEventKind {
        self.0.entry.kind.into()
    }

    /// When it was written down.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// To which record; null for a hash that no record has.
    async fn record_id(&self) -> Option<Uuid> {
        self.0.entry.record.map(|id| id.0)
    }

    /// Whose record.
    async fn patient_id(&self) -> Option<Uuid> {
        self.0.entry.patient.map(|id| id.0)
    }

    /// Its hash.
    async fn data_hash(&self) -> Option<Hash> {
        self.0.entry.record_hash.map(|hash| Hash(hash.to_string()))
    }

    /// The transaction.
    async fn tx_hash(&self) -> Option<TxHash> {
        self.0.entry.tx_hash.clone().map(TxHash)
    }

    /// The block's number.
    async fn block_number(&self) -> Option<i64> {
        self.0.entry.block_number
    }

    /// The block's hash.
    async fn block_hash(&self) -> Option<TxHash> {
        self.0.entry.block_hash.clone().map(TxHash)
    }

    /// Where in the block.
    async fn log_index(&self) -> Option<i64> {
        self.0.entry.log_index
    }

    /// Where in the registry's gapless sequence.
    async fn sequence(&self) -> Option<i64> {
        self.0.entry.sequence
    }

    /// Where the anchor stands now.
    async fn state(&self) -> Option<AnchorState> {
        self.0.entry.state.map(Into::into)
    }

    /// What was found wrong, for `FINDING_OPENED` and `FINDING_RESOLVED`.
    async fn finding(&self) -> Option<Finding> {
        self.0.finding.clone().map(Finding)
    }
}

/// Something that does not fit together.
#[derive(Debug)]
pub(crate) struct Finding(FeedFinding);

/// Something that does not fit together.
#[Object]
impl Finding {
    /// Which.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// What is wrong.
    async fn kind(&self) -> FindingKind {
        self.0.kind.into()
    }

    /// Since when.
    async fn opened_at(&self) -> DateTime<Utc> {
        self.0.opened_at
    }

    /// Until when.
    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }

    /// The evidence: hashes and states, never health data.
    async fn details(&self) -> Option<Document> {
        Some(self.0.details.clone().into())
    }
}

#[derive(Default)]
pub(crate) struct IntegritySubscription;

#[Subscription]
impl IntegritySubscription {
    /// Every anchor, reorganisation and finding that you may know of: all of them for administrators,
    /// those of their own records for patients, those of patients who consented for doctors. With
    /// `after`, from there on, nothing missed; without, from now on.
    async fn integrity_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Go on after this cursor of an earlier event.")] after: Option<Cursor>,
        #[graphql(desc = "Only events of this record.")] record_id: Option<Uuid>,
    ) -> Result<impl Stream<Item = Result<IntegrityEvent>>> {
        let (app, caller) = request(ctx)?;
        let position = after.as_ref().map(Cursor::number).transpose()?;
        let events =
            subscription::follow(app.clone(), caller, position, record_id.map(RecordId)).await?;
        Ok(events.map(|event| event.map(IntegrityEvent).map_err(Into::into)))
    }
}
