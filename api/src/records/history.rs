//! The versions of a record, each disclosed as a record of its own: decided and written down, first.

use std::sync::Arc;

use async_graphql::Context;
use domain::ids::RecordId;
use futures::future::join_all;
use serde_json::json;
use store::records::Record;

use super::{disclosure::DisclosedFor, referred::ReferredRecords};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{loaders, request},
    page,
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
    /// Whether there are more after it.
    pub(super) has_more: bool,
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
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<VersionPage, Error> {
    let (app, caller) = request(ctx)?;
    let of_record = json!(record.id);
    let cursors = ListCursors::of(&app.index_key, "history", caller.user, &of_record);
    let (size, from) = page::place::<i64>(&cursors, first, after)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let versions = loaders(ctx)?.versions(record.id).await?;
    let left: Vec<RecordId> = versions
        .iter()
        .filter(|version| from.is_none_or(|from| i64::from(version.number) < from))
        .map(|version| version.id)
        .collect();
    let shown = left.iter().take(size).map(async |id| {
        if *id == record.id {
            Ok(Some(Arc::clone(record)))
        } else {
            version(ctx, *id, disclosed_for).await
        }
    });
    let seen: Result<Vec<Option<Arc<Record>>>, Error> = join_all(shown).await.into_iter().collect();
    Ok(VersionPage {
        versions: seen?.into_iter().flatten().collect(),
        has_more: left.len() > size,
        cursors,
    })
}
