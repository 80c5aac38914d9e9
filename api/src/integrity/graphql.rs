//! The registry and the integrity events in the schema.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject, Subscription};
use chain::event::signatures;
use chrono::{DateTime, Utc};
use domain::{
    ids::{RecordId, UserId},
    integrity::FeedKind,
    throttle::Network,
};
use futures::{Stream, StreamExt};
use store::{
    Tx,
    feed::{FeedFinding, FeedRow},
    index_status::{self, IndexProgress, IndexedHead},
    registry_feed::RegistryFeedRow,
    users,
};
use uuid::Uuid;

use super::{
    chain_head::{self, KnownHead},
    public_events,
    subscription::{self, FollowedEvents},
};
use crate::{
    caller::RequestContext,
    cursor::Cursor,
    error::{Error, both},
    feed::EventFilter,
    graphql::{
        app, charge_answer, context,
        document::Document,
        enums::{AnchorState, FindingKind, IntegrityEventKind, RegistryEventKind},
        event::{EventCursor, stream_start},
        request,
        scalars::{Address, ChainId, Hash, Time, TxHash},
    },
    records::graphql::{self as records, MedicalRecord},
    users::graphql::User,
};

/// The contract that records are anchored in, and how far its events have been read.
#[derive(Debug)]
pub(crate) struct Registry {
    deployment: chain::Deployment,
    progress: Option<IndexProgress>,
}

/// The contract that records are anchored in, and how far its events have been read.
#[Object]
impl Registry {
    /// The ID of the chain that the contract is on (EIP-155).
    async fn chain_id(&self) -> ChainId {
        ChainId(self.deployment.chain_id.to_string())
    }

    /// The address of the contract.
    async fn address(&self) -> Address {
        Address(self.deployment.registry.to_string())
    }

    /// The Keccak-256 hash of the contract's code, to be compared with a build of one's own.
    async fn code_hash(&self) -> TxHash {
        TxHash(self.deployment.code_hash.to_string())
    }

    /// The version of the contract, which is part of the first head of its chain of events.
    async fn version(&self) -> u64 {
        self.deployment.version
    }

    /// The events that make the contract's chain of events, to find them among its logs.
    async fn events(&self) -> Vec<RegistryEventSignature> {
        let events = signatures().into_iter();
        let events = events.map(|event| RegistryEventSignature {
            signature: event.signature.to_owned(),
            topic: TxHash(event.topic),
        });
        events.collect()
    }

    /// The number of the block that the contract was deployed in, from which its events are read.
    async fn from_block(&self) -> u64 {
        self.deployment.block
    }

    /// The number of the last block whose events were read; null before the first one.
    async fn indexed_block(&self) -> Option<i64> {
        self.progress.map(|progress| progress.indexed_block)
    }

    /// The number of the last block that cannot be undone; null before the first one.
    async fn finalized_block(&self) -> Option<i64> {
        self.progress.map(|progress| progress.finalized_block)
    }

    /// The number of events that the contract has emitted, as far as they were read; null before the
    /// first one. The sequence has no gaps.
    async fn head_sequence(&self) -> Option<i64> {
        self.progress.map(|progress| progress.sequence)
    }
}

/// A kind of event of the contract that records are anchored in.
#[derive(Debug, SimpleObject)]
pub(crate) struct RegistryEventSignature {
    /// The name of the event and the types of its fields, as Solidity writes them.
    signature: String,
    /// The first topic of its logs: the Keccak-256 hash of the signature.
    topic: TxHash,
}

/// How far the events of the contract have been read, beside how far the chain is.
#[derive(Debug)]
pub(crate) struct IndexStatus {
    chain_id: u64,
    progress: Option<IndexProgress>,
    /// The last block whose events were read and of which the node said when it was made, and when.
    applied: Option<(i64, DateTime<Utc>)>,
    now: DateTime<Utc>,
}

/// How far the events of the contract have been read, beside how far the chain is.
#[Object]
impl IndexStatus {
    /// The ID of the chain that the contract is on (EIP-155).
    async fn chain_id(&self) -> ChainId {
        ChainId(self.chain_id.to_string())
    }

    /// The number of the newest block of the chain, as it was last seen; null before the first one.
    async fn head_block(&self) -> Option<i64> {
        self.progress.map(|progress| progress.head_block)
    }

    /// The number of the last block whose events were read; null before the first one.
    async fn indexed_block(&self) -> Option<i64> {
        self.progress.map(|progress| progress.indexed_block)
    }

    /// The number of the last block that cannot be undone; null before the first one.
    async fn finalized_block(&self) -> Option<i64> {
        self.progress.map(|progress| progress.finalized_block)
    }

    /// The number of events that the contract has emitted, as far as they were read; null before the first one.
    async fn head_sequence(&self) -> Option<i64> {
        self.progress.map(|progress| progress.sequence)
    }

    /// How many blocks of the chain were not read yet; null before the first one.
    async fn lag_blocks(&self) -> Option<i64> {
        self.progress.map(lag)
    }

    /// For how many seconds what is stored has been behind the chain: 0 where every block was read, and otherwise the
    /// age of the last one that was, or of one a moment before it. Null before the first one, and where the chain does not answer or did not yet.
    async fn lag_seconds(&self) -> Option<i64> {
        if self.progress.map(lag)? == 0 {
            return Some(0);
        }
        let (_, made_at) = self.applied?;
        Some((self.now - made_at).num_seconds().max(0))
    }

    /// The time at which the last block was made whose events were read; null before the first one, and where the chain
    /// does not answer or did not yet: the node is asked for it once for each block, whoever looks.
    async fn indexed_block_time(&self) -> Option<Time> {
        let indexed = self.progress?.indexed_block;
        let (block, made_at) = self.applied?;
        (block == indexed).then_some(Time(made_at))
    }

    /// How many seconds ago this was written; more than a few mean that nothing reads the chain. Null before the first
    /// block.
    async fn written_seconds_ago(&self) -> Option<f64> {
        self.progress.map(|progress| progress.written_seconds)
    }
}

/// The kinds of events that are asked for.
fn kinds_of(types: Option<Vec<IntegrityEventKind>>) -> Result<Option<Vec<FeedKind>>, Error> {
    if types.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::bad("types", "name at least one kind of event"));
    }
    Ok(types.map(|types| types.into_iter().map(Into::into).collect()))
}

/// Blocks of the chain that were not read yet.
fn lag(progress: IndexProgress) -> i64 {
    (progress.head_block - progress.indexed_block).max(0)
}

/// Whoever says who they are is told where their log-in is over, also of what is open to everybody.
async fn refuse_ended(asking: &RequestContext, tx: &mut Tx<'_>) -> Result<(), Error> {
    if asking.token.is_some() {
        asking.caller()?.active_actor(tx).await?;
    }
    Ok(())
}

#[derive(Default)]
pub(crate) struct IntegrityQuery;

#[Object]
impl IntegrityQuery {
    /// The contract that records are anchored in: what a verifier needs to check the chain
    /// independently. Open to everybody, also without a log-in.
    async fn registry(&self, ctx: &Context<'_>) -> Result<Registry> {
        let (app, asking) = (app(ctx)?, context(ctx)?);
        let deployment = app.chain.deployment().clone();
        let followed = app.registry()?;
        let mut tx = app.pool.begin().await.map_err(Error::from)?;
        refuse_ended(asking, &mut tx).await?;
        let progress = index_status::progress(&mut tx, &followed)
            .await
            .map_err(Error::from)?;
        tx.commit().await.map_err(Error::from)?;
        Ok(Registry {
            deployment,
            progress,
        })
    }

    /// How far the events of the contract have been read, so that a caller knows how current the states of anchors are. Open
    /// to everybody, also without a log-in.
    async fn index_status(&self, ctx: &Context<'_>) -> Result<IndexStatus> {
        let (app, asking) = (app(ctx)?, context(ctx)?);
        let followed = app.registry()?;
        let mut tx = app.pool.begin().await.map_err(Error::from)?;
        refuse_ended(asking, &mut tx).await?;
        let now = users::now(&mut tx).await.map_err(Error::from)?;
        let progress = index_status::progress(&mut tx, &followed)
            .await
            .map_err(Error::from)?;
        tx.commit().await.map_err(Error::from)?;
        Ok(IndexStatus {
            chain_id: app.chain.deployment().chain_id,
            progress,
            applied: progress.and_then(|it| app.chain_heads.applied_before(it.indexed_block)),
            now,
        })
    }
}

/// A change of the integrity of a record: of its anchor, or of a finding about it.
#[derive(Debug)]
pub(crate) struct IntegrityEvent(Arc<FeedRow>);

/// A change of the integrity of a record: of its anchor, or of a finding about it.
#[Object]
impl IntegrityEvent {
    /// The position of the event: pass it as `after` when subscribing again, and no event is missed. The same
    /// event has the same cursor for everybody, with and without `recordId`.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<Cursor> {
        Ok(subscription::cursors(&app(ctx)?.index_key).at(&(self.0.position, self.0.at)))
    }

    /// What the event reports.
    async fn kind(&self) -> IntegrityEventKind {
        self.0.entry.kind.into()
    }

    /// The time at which the event was recorded.
    async fn at(&self) -> Time {
        Time(self.0.at)
    }

    /// The ID of the record; null for a hash on the chain that belongs to no record.
    async fn record_id(&self) -> Option<Uuid> {
        self.0.entry.record.map(|id| id.0)
    }

    /// The record as `medicalRecord` shows it, decided and recorded in the audit trail as there; null where there is none and where
    /// the caller may not read it. Each event for which it is asked for costs as much as the request; null, with `THROTTLED`, where
    /// the minute has no more of it. An administrator is shown their own alone, and nothing is recorded of the others.
    async fn record(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let id = self.0.entry.record?;
        let found = async {
            charge_answer(ctx).await?;
            records::referred(ctx, id, None).await
        };
        let found = Box::pin(found).await;
        found.map_err(Into::into).transpose()
    }

    /// The ID of the patient whose record it is; null where there is no record.
    async fn patient_id(&self) -> Option<Uuid> {
        self.0.entry.patient.map(|id| id.0)
    }

    /// The patient whose record it is; null where there is no record. Each event for which it is asked for costs as much as the
    /// request; null, with `THROTTLED`, where the minute has no more of it.
    async fn patient(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        let id = self.0.entry.patient?;
        let found = async {
            charge_answer(ctx).await?;
            User::load(ctx, id).await
        };
        Some(Box::pin(found).await.map_err(Into::into))
    }

    /// The hash of the record, or the hash found on the chain; null where there is none.
    async fn data_hash(&self) -> Option<Hash> {
        self.0.entry.record_hash.map(|hash| Hash(hash.to_string()))
    }

    /// The hash of the anchoring transaction; null where there is none.
    async fn tx_hash(&self) -> Option<TxHash> {
        self.0.entry.tx_hash.clone().map(TxHash)
    }

    /// The number of the block that the anchor is in; null where it is in none.
    async fn block_number(&self) -> Option<i64> {
        self.0.entry.block_number
    }

    /// The hash of the block that the anchor is in; null where it is in none.
    async fn block_hash(&self) -> Option<TxHash> {
        self.0.entry.block_hash.clone().map(TxHash)
    }

    /// The index of the event's log in its block, from 0; null where it is in none.
    async fn log_index(&self) -> Option<i64> {
        self.0.entry.log_index
    }

    /// The number of the event in the registry's sequence, which has no gaps; null where it is in none.
    async fn sequence(&self) -> Option<i64> {
        self.0.entry.sequence
    }

    /// The state of the anchor after the event; null where the event is about no anchor.
    async fn state(&self) -> Option<AnchorState> {
        self.0.entry.state.map(Into::into)
    }

    /// The finding, for `FINDING_OPENED` and `FINDING_RESOLVED`; null otherwise.
    async fn finding(&self) -> Option<Finding> {
        self.0.finding.clone().map(Finding)
    }
}

/// An inconsistency that was found between a record, its anchor and the chain.
#[derive(Debug)]
pub(crate) struct Finding(FeedFinding);

/// An inconsistency that was found between a record, its anchor and the chain.
#[Object]
impl Finding {
    /// The ID of the finding.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// What kind of inconsistency it is.
    async fn kind(&self) -> FindingKind {
        self.0.kind.into()
    }

    /// The time at which it was found.
    async fn opened_at(&self) -> Time {
        Time(self.0.opened_at)
    }

    /// The time at which it was found to be gone; null while it is open.
    async fn resolved_at(&self) -> Option<Time> {
        self.0.resolved_at.map(Time)
    }

    /// The evidence: hashes and states, never health data.
    async fn details(&self) -> Option<Document> {
        Some(self.0.details.clone().into())
    }
}

/// That an event of the contract that records are anchored in was found in a block, or that this block was undone. It
/// says nothing that the chain does not say: check it against a node of your own.
#[derive(Debug)]
pub(crate) struct PublicIntegrityEvent(Arc<RegistryFeedRow>);

/// That an event of the contract that records are anchored in was found in a block, or that this block was undone. It
/// says nothing that the chain does not say: check it against a node of your own.
#[Object]
impl PublicIntegrityEvent {
    /// The position of this entry: pass it as `after` when subscribing again, and none is missed. It is the same for
    /// everybody.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<Cursor> {
        Ok(public_events::cursors(&app(ctx)?.index_key).at(&(self.0.position, self.0.at)))
    }

    /// Whether the block of the event was undone by a reorganisation of the chain; false where it was found there. The
    /// events of one reorganisation come in no order.
    async fn is_undone(&self) -> bool {
        self.0.is_undone
    }

    /// What the contract says by the event.
    async fn kind(&self) -> RegistryEventKind {
        self.0.kind.into()
    }

    /// The hash of the record, as the contract has it, or the root that the event is about; null where it is about
    /// none.
    async fn subject_hash(&self) -> Option<Hash> {
        self.0.subject.map(|hash| Hash(hash.to_string()))
    }

    /// The account that caused the event.
    async fn actor(&self) -> Address {
        Address(self.0.actor.clone())
    }

    /// The number of the event in the contract's sequence, which begins with 1 and has no gaps.
    async fn sequence(&self) -> i64 {
        self.0.sequence
    }

    /// The rolling hash after the event, `0x` and 50 hexadecimal digits: it commits to every event so far.
    async fn head(&self) -> String {
        self.0.head.clone()
    }

    /// The hash of the transaction that the event is of.
    async fn tx_hash(&self) -> TxHash {
        TxHash(self.0.tx_hash.clone())
    }

    /// The number of the block that the event is in, or was.
    async fn block_number(&self) -> i64 {
        self.0.block_number
    }

    /// The hash of the block that the event is in, or was.
    async fn block_hash(&self) -> TxHash {
        TxHash(self.0.block_hash.clone())
    }

    /// The index of the event's log in its block, from 0.
    async fn log_index(&self) -> i64 {
        self.0.log_index
    }
}

/// Where the chain is, and how far the events of the contract that records are anchored in have been read.
#[derive(Debug)]
pub(crate) struct ChainHead {
    chain_id: u64,
    known: KnownHead,
}

/// Where the chain is, and how far the events of the contract that records are anchored in have been read.
#[Object]
impl ChainHead {
    /// The ID of the chain that the contract is on (EIP-155).
    async fn chain_id(&self) -> ChainId {
        ChainId(self.chain_id.to_string())
    }

    /// The number of the newest block of the chain, as it was last seen.
    async fn head_block(&self) -> i64 {
        self.known.indexed.head_block
    }

    /// The hash of the newest block; null where the chain does not answer.
    async fn head_block_hash(&self) -> Option<TxHash> {
        self.known.hash.clone().map(TxHash)
    }

    /// The time at which the newest block was made; null where the chain does not answer.
    async fn head_block_time(&self) -> Option<Time> {
        self.known.made_at.map(Time)
    }

    /// The number of the last block whose events were read.
    async fn indexed_block(&self) -> i64 {
        self.known.indexed.indexed_block
    }

    /// The number of the last block that cannot be undone.
    async fn finalized_block(&self) -> i64 {
        self.known.indexed.finalized_block
    }

    /// The number of events that the contract has emitted, as far as they were read.
    async fn head_sequence(&self) -> i64 {
        self.known.indexed.sequence
    }

    /// How many blocks of the chain were not read yet.
    async fn lag_blocks(&self) -> i64 {
        let IndexedHead {
            head_block,
            indexed_block,
            ..
        } = self.known.indexed;
        (head_block - indexed_block).max(0)
    }
}

#[derive(Default)]
pub(crate) struct IntegritySubscription;

#[Subscription]
impl IntegritySubscription {
    /// Events of anchors, reorganisations and findings: for administrators those of all records; for
    /// patients those of their own; for doctors those of patients who consented to SEARCH for TREAT.
    /// With `after`, every event after it; otherwise those from now on. Each event is delivered in
    /// order and at least once. `recordId`, `types` and `patientId` only leave out: an event is told that
    /// meets all of them and that would be told without them. A cursor of anything but an event of this log
    /// is refused with `BAD_USER_INPUT`, also one of a log that was restored to an earlier state, and so are
    /// `types` that name none. That a doctor is told of a patient's record is recorded in the audit trail first, once for all
    /// that the stream tells of the record within a minute.
    async fn integrity_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `cursor` of an earlier event: the stream begins with the event after it. `earliest` begins \
                    with the first event there is; `latest`, like null, with the next event that happens."
        )]
        after: Option<Cursor>,
        #[graphql(desc = "Only events of the record with this ID.")] record_id: Option<Uuid>,
        #[graphql(
            desc = "Only events of these kinds, at least one; those of every kind without it."
        )]
        types: Option<Vec<IntegrityEventKind>>,
        #[graphql(desc = "Only events of the records of the patient with this ID.")]
        patient_id: Option<Uuid>,
    ) -> Result<impl Stream<Item = Result<IntegrityEvent>>> {
        let (app, caller) = request(ctx)?;
        let cursors = subscription::cursors(&app.index_key);
        let (start, kinds) = both(stream_start(ctx, &cursors, after.as_ref()), kinds_of(types))?;
        let followed = FollowedEvents {
            subscription: "integrityEvents",
            record: record_id.map(RecordId),
            patient: patient_id.map(UserId),
            wanted: EventFilter {
                record: record_id.map(RecordId),
                patient: patient_id.map(UserId),
                kinds,
            },
            versions_of: None,
        };
        let (pool, feed) = (app.pool.clone(), app.feed.clone());
        // In a box: async-graphql keeps the room of this method for as long as the stream is open.
        let events = Box::pin(subscription::follow(pool, feed, caller, start, followed)).await?;
        let told = ctx.data::<EventCursor>()?.clone();
        Ok(events.map(move |event| {
            let row = event?;
            told.set(cursors.at(&(row.position, row.at)));
            Ok::<_, async_graphql::Error>(IntegrityEvent(row))
        }))
    }

    /// The newest block of the chain and how far its events were read, as in `indexStatus`: at once, and within a second of each
    /// change, such as a new block. A slow client receives only the latest state. Open to everybody, also without a log-in: over a
    /// WebSocket `connection_init` then says `{"anonymous": true}`. An address has 16 streams of this and of
    /// `publicIntegrityEvents` together; more are refused with `BUSY`.
    async fn chain_head(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<ChainHead>>> {
        let (app, asking) = (app(ctx)?, context(ctx)?);
        let chain_id = app.chain.deployment().chain_id;
        let network = Network::of(asking.origin.address);
        let places = (&app.sockets.public_streams, network);
        let heads = chain_head::follow(&app.chain_heads, places)?;
        Ok(heads.map(move |known| {
            Ok::<_, async_graphql::Error>(ChainHead {
                chain_id,
                known: known?,
            })
        }))
    }

    /// The events of the contract that records are anchored in, each when it was found in a block and when that block
    /// was undone, in order and at least once. Open to everybody, also without a log-in, over a WebSocket as `chainHead` is.
    /// With `after`, everything after it; otherwise what happens from now on. An address has 16 streams of this and of `chainHead`
    /// together; more are refused with `BUSY`. A cursor of anything but this log is refused with `BAD_USER_INPUT`, also one of a
    /// log that was restored to an earlier state.
    async fn public_integrity_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `cursor` of an earlier entry: the stream begins with the one after it. `earliest` begins with \
                    the first event of the contract; `latest`, like null, with the next one that is found."
        )]
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<PublicIntegrityEvent>>> {
        let (app, asking) = (app(ctx)?, context(ctx)?);
        let cursors = public_events::cursors(&app.index_key);
        let start = stream_start(ctx, &cursors, after.as_ref())?;
        let network = Network::of(asking.origin.address);
        let events = Box::pin(public_events::follow(
            app.pool.clone(),
            &app.feed,
            app.registry()?,
            (&app.sockets.public_streams, network),
            start,
        ))
        .await?;
        let told = ctx.data::<EventCursor>()?.clone();
        Ok(events.map(move |event| {
            let row = event?;
            told.set(cursors.at(&(row.position, row.at)));
            Ok::<_, async_graphql::Error>(PublicIntegrityEvent(row))
        }))
    }
}
