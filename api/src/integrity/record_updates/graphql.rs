//! What becomes of records, in the schema.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, Subscription};
use domain::ids::{RecordId, UserId};
use futures::{Stream, StreamExt as _};
use store::feed::FeedRow;
use uuid::Uuid;

use super::{RecordChange, RecordUpdateFilter, follow};
use crate::{
    cursor::Cursor,
    error::Error,
    graphql::{
        app, charge_answer,
        enums::AnchorState,
        event::{EventCursor, stream_start},
        request,
        scalars::Time,
    },
    integrity::subscription::cursors,
    records::graphql::{self as records, MedicalRecord},
};

/// That a version of a record was stored, or that its state on the chain changed.
#[derive(Debug)]
pub(crate) struct RecordUpdate {
    row: Arc<FeedRow>,
    change: RecordChange,
    record: RecordId,
}

/// That a version of a record was stored, or that its state on the chain changed.
#[Object]
impl RecordUpdate {
    /// The position of the update: pass it as `after` when subscribing again, and none is missed. It is the cursor of the same event
    /// in `integrityEvents`, too.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<Cursor> {
        Ok(cursors(&app(ctx)?.index_key).at(&(self.row.position, self.row.at)))
    }

    /// What became of the record.
    async fn change(&self) -> RecordChange {
        self.change
    }

    /// The time at which the change was recorded.
    async fn at(&self) -> Time {
        Time(self.row.at)
    }

    /// The ID of the version that was stored, or whose state changed.
    async fn record_id(&self) -> Uuid {
        self.record.0
    }

    /// The version as it is now, as `medicalRecord` shows it: decided, and recorded in the audit trail, as there. Null where the
    /// caller may not read it. Each update for which it is asked for costs as much as the request; null, with `THROTTLED`, where the
    /// minute has no more of it. An administrator is shown their own alone, and nothing is recorded of the others.
    async fn record(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let found = async {
            charge_answer(ctx).await?;
            records::referred(ctx, self.record, None).await
        };
        let found = Box::pin(found).await;
        found.map_err(Into::into).transpose()
    }

    /// The state of the version's anchor after the change; null where the change is of no anchor.
    async fn state(&self) -> Option<AnchorState> {
        self.row.entry.state.map(Into::into)
    }
}

#[derive(Default)]
pub(crate) struct RecordUpdateSubscription;

#[Subscription]
impl RecordUpdateSubscription {
    /// What becomes of records: each version that is stored, with that by which a record is withdrawn, and each change of its state
    /// on the chain. Whoever would be told of it by `integrityEvents` is told, decided anew for each update, and beginning a stream
    /// is recorded in the audit trail; so is, as there, that a doctor is told of a patient's record. With `after`, everything after
    /// it; otherwise what happens from now on. Each update is
    /// delivered in order and at least once. Cursors are those of `integrityEvents`; any other is refused with `BAD_USER_INPUT`,
    /// also one of a log that was restored to an earlier state. Of a record that does not exist, or that the caller may not see,
    /// nothing is told.
    async fn record_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only updates of the record that this is the ID of a version of, with versions to come; those of every record without it."
        )]
        record_id: Option<Uuid>,
        #[graphql(desc = "Only updates of the records of the patient with this ID.")]
        patient_id: Option<Uuid>,
        #[graphql(
            desc = "The `cursor` of an earlier update or integrity event: the stream begins with what comes after it. `earliest` begins \
                    with the first update there is; `latest`, like null, with the next one."
        )]
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<RecordUpdate>>> {
        let (app, caller) = request(ctx)?;
        let cursors = cursors(&app.index_key);
        let start = stream_start(ctx, &cursors, after.as_ref())?;
        let asked = RecordUpdateFilter {
            record: record_id.map(RecordId),
            patient: patient_id.map(UserId),
        };
        let (pool, feed) = (app.pool.clone(), app.feed.clone());
        // In a box: async-graphql keeps the room of this method for as long as the stream is open.
        let updates = Box::pin(follow(pool, feed, caller, start, asked)).await?;
        let told = ctx.data::<EventCursor>()?.clone();
        Ok(updates.map(move |update| {
            let (row, change) = update?;
            let record = row.entry.record.ok_or(Error::Internal)?;
            told.set(cursors.at(&(row.position, row.at)));
            Ok::<_, async_graphql::Error>(RecordUpdate {
                row,
                change,
                record,
            })
        }))
    }
}
