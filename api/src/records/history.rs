//! The versions of a record, each disclosed as a record of its own: decided and written down, first.

use async_graphql::{Context, Result};
use domain::ids::RecordId;
use futures::future::join_all;
use serde_json::json;

use super::{
    disclosure::{DisclosedFor, DisclosureRequest, Wanted},
    graphql::MedicalRecord,
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{loaders, request},
    page::{self, Connection},
};

/// Another version of a record, for what the record was disclosed for; `None` where it may
/// not be seen.
pub(super) async fn version(
    ctx: &Context<'_>,
    id: RecordId,
    disclosed_for: DisclosedFor,
) -> Option<Result<MedicalRecord>> {
    let found = async {
        let (app, caller) = request(ctx)?;
        let caller = caller.acting_for(disclosed_for.on_behalf_of)?;
        let inquiry = DisclosureRequest {
            caller,
            record: id,
            purpose: Some(disclosed_for.purpose),
            wanted: Wanted::Metadata,
            budget: None,
        };
        match app.disclosure.ask(inquiry).await {
            Ok(seen) => Ok(Some(MedicalRecord::new(seen.record, disclosed_for))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    found.await.map_err(Into::into).transpose()
}

/// A page of the versions of a record, newest first. The record itself was disclosed already; the
/// others go through the record disclosure together.
///
/// # Errors
/// [`Error::BadInput`] for a page there is not.
pub(super) async fn page(
    ctx: &Context<'_>,
    record: &MedicalRecord,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Connection<MedicalRecord>> {
    let (app, caller) = request(ctx)?;
    let of_record = json!(record.record.id);
    let cursors = ListCursors::of(&app.index_key, "history", caller.user, &of_record);
    let (size, from) = page::place::<i64>(&cursors, first, after)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let versions = loaders(ctx)?.versions(record.record.id).await?;
    let left: Vec<RecordId> = versions
        .iter()
        .filter(|version| from.is_none_or(|from| i64::from(version.number) < from))
        .map(|version| version.id)
        .collect();
    let shown = left.iter().take(size).map(async |id| {
        if *id == record.record.id {
            Some(Ok(record.clone()))
        } else {
            version(ctx, *id, record.disclosed_for).await
        }
    });
    let seen: Result<Vec<MedicalRecord>> = join_all(shown).await.into_iter().flatten().collect();
    let has_more = left.len() > size;
    let key = |version: &MedicalRecord| cursors.at(&i64::from(version.record.version));
    Ok(Connection::whole(seen?, has_more, after.is_some(), key))
}
