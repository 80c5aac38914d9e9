//! Documents that are there, of which references led to nothing and lead somewhere now: each becomes the next version of its record.
//! An id is reserved for that once all of a window has arrived, so that others refer to the version that comes.

use std::collections::HashMap;

use domain::{
    ids::RecordId,
    sources::{RecordSource, SourceComparison, SourceState},
};
use fhir::{Json, replacement::with_references};
use store::records;

use super::{ImportContext, MAX_REMEMBERED, ReferenceTarget, References, called};
use crate::{
    error::Error,
    records::import::{mentioned::MentionedEntries, prepared::Prepared},
};

impl References {
    /// Whether a document may become such a version, as far as that is known before all of its window has arrived.
    pub(crate) fn may_mend(&self, one: &Prepared) -> bool {
        called(one).is_some_and(|of| self.mendable.contains(&of))
    }

    /// Reserves an id for the version that a document becomes, if it does; `medications` are those that it refers to.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn mend<M: Clone>(
        &mut self,
        context: ImportContext<'_>,
        one: &Prepared,
        mentioned: &MentionedEntries<M>,
        medications: HashMap<String, Json>,
    ) -> Result<Option<RecordId>, Error> {
        let of = called(one).filter(|_| self.planned_versions < MAX_REMEMBERED);
        let (Some(of), Some(source)) = (of, &one.source) else {
            return Ok(None);
        };
        let mut resolution = self.meant(context, one).await?;
        let named = context.import.source.as_deref();
        resolution.complete(one, named, mentioned, medications);
        let document = with_references(one.document.clone(), &resolution.to);
        let state = SourceState {
            open: resolution.open_in(&document),
            ..source.state.clone()
        };
        let versions = self.planned.get(&of).map(Vec::as_slice);
        let versions = versions.unwrap_or_default();
        let SourceComparison::Mended { record: old, .. } = state.compare(versions) else {
            return Ok(None);
        };
        let newest = versions.iter().map(|it| it.number).max();
        let number = newest.map_or(1, |newest| newest.saturating_add(1));
        let mut id = reserved_behind(context, one, &state, old);
        let mut conn = context.pool.acquire().await?;
        if !records::by_ids(&mut conn, &[id]).await?.is_empty() {
            id = RecordId::fresh();
        }
        drop(conn);
        self.planned_versions += 1;
        self.planned.entry(of).or_default().push(RecordSource {
            patient: one.patient,
            record: id,
            number,
            kind: one.kind.to_owned(),
            state: state.stored(),
        });
        let target = ReferenceTarget {
            record: id,
            kind: one.kind,
            patient: one.patient,
            token: Some(state.token),
        };
        self.call(&one.names, &target);
        Ok(Some(id))
    }
}

/// The id of the version that a document becomes behind this one: the same each time that it is sent, until that is stored.
fn reserved_behind(
    context: ImportContext<'_>,
    one: &Prepared,
    state: &SourceState,
    old: RecordId,
) -> RecordId {
    let key = context.drafting.index_key;
    let (digest, behind) = (state.content.0, old.0.as_bytes());
    key.reserved_record(one.patient, &[&state.token, &digest, behind])
}
