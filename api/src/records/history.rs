//! The versions of a record, each disclosed as a record of its own: decided and written down, first.

use std::{cmp::Reverse, sync::Arc};

use async_graphql::Context;
use domain::ids::RecordId;
use futures::future::join_all;
use serde_json::json;
use store::{records::Record, versions::Version};

use super::{disclosure::DisclosedFor, referred::ReferredRecords};
use crate::{
    cursor::ListCursors,
    error::Error,
    graphql::{loaders, request},
    page::{PageArguments, PageRange},
};

/// Another version of a record, for what the record was disclosed for; `None` where it may
/// not be seen.
///
/// # Errors
/// As of [`ReferredRecords::find`].
pub(super) async fn version(
    ctx: &Context<'_>,
    id: RecordId,
    disclosed_for: DisclosedFor,
) -> Result<Option<Arc<Record>>, Error> {
    let found = ctx.data::<ReferredRecords>();
    let found = found.map_err(|_| Error::Internal)?;
    let DisclosedFor {
        purpose,
        on_behalf_of,
    } = disclosed_for;
    let seen = found.find(id, Some(purpose), on_behalf_of).await?;
    Ok(seen.map(|seen| Arc::clone(&seen.record)))
}

/// A page of the versions of a record.
pub(super) struct VersionPage {
    /// Those that may be seen, newest first.
    pub(super) versions: Vec<Arc<Record>>,
    /// Whether there are more the way that it goes.
    pub(super) has_more: bool,
    /// The number of the version that was looked at last, shown or not.
    pub(super) last: Option<i64>,
    /// Which page it is.
    pub(super) range: PageRange<i64>,
    /// The cursors of the list, by the numbers of the versions.
    pub(super) cursors: ListCursors,
}

/// A page of the versions of a record, newest first. The record itself was disclosed already; the
/// others are decided on together, with those of all other records of the answer.
///
/// # Errors
/// [`Error::BadInput`] for a page there is not.
pub(super) async fn page(
    ctx: &Context<'_>,
    (record, disclosed_for): (&Arc<Record>, DisclosedFor),
    asked: &PageArguments,
) -> Result<VersionPage, Error> {
    let (app, caller) = request(ctx)?;
    let of_record = json!(record.id);
    let cursors = ListCursors::of(&app.index_key, "history", caller.user, &of_record);
    let range = asked.range::<i64>(&cursors)?;
    let versions = loaders(ctx)?.versions(record.id).await?;
    let number = |version: &Version| i64::from(version.number);
    let (left, has_more) = range
        .by(Reverse)
        .of_list(&versions, |it| Reverse(number(it)));
    let shown = left.iter().map(async |other| {
        if other.id == record.id {
            Ok(Some(Arc::clone(record)))
        } else {
            version(ctx, other.id, disclosed_for).await
        }
    });
    let seen: Result<Vec<Option<Arc<Record>>>, Error> = join_all(shown).await.into_iter().collect();
    Ok(VersionPage {
        versions: seen?.into_iter().flatten().collect(),
        has_more,
        last: range.farthest(left).map(number),
        range,
        cursors,
    })
}
