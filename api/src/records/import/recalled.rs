//! Documents that an import goes on behind (`from`): which records they have become, for those that refer to them and cannot find
//! them by their source. Of one without a source that is known by the key of its retries, for as long as keys are kept.

use std::collections::HashMap;

use domain::{
    ids::{RecordId, UserId},
    records::Availability,
    sources::SourceToken,
};
use store::{idempotency, records};

use super::{
    prepared::Prepared,
    references::{ImportContext, Learned, References},
};
use crate::{
    error::Error,
    records::{
        draft::CREATE,
        sources::{KnownSources, SourceOfPatient},
    },
};

/// A document that was reported before.
#[derive(Debug)]
pub(crate) struct PassedDocument {
    patient: UserId,
    /// The key of its retries.
    key: String,
    token: Option<SourceToken>,
    names: Vec<String>,
    kind: &'static str,
}

impl PassedDocument {
    /// What there is to look up; `None` of a document that others find by its source, whatever they call it.
    pub(crate) fn of(prepared: &Prepared) -> Option<Self> {
        let is_found = prepared.source.is_some() && !prepared.is_called_beside_its_source();
        let kind = prepared.kind().filter(|_| !is_found)?;
        Some(Self {
            patient: prepared.patient,
            key: prepared.key.0.clone(),
            token: prepared.source.as_ref().map(|source| source.state.token),
            names: prepared.names.clone(),
            kind,
        })
    }

    fn called(&self) -> Option<SourceOfPatient> {
        Some((self.patient, self.token?))
    }
}

/// Learns which records these documents have become, as far as there is room for that beside what comes.
///
/// # Errors
/// The database's.
pub(crate) async fn recall(
    context: ImportContext<'_>,
    references: &mut References,
    passed: &[PassedDocument],
) -> Result<(), Error> {
    if passed.is_empty() || references.is_half_full() {
        return Ok(());
    }
    let user = context.caller.user;
    let unknown = passed.iter().filter(|one| one.token.is_none());
    let keys: Vec<(UserId, &str)> = unknown.map(|one| (user, one.key.as_str())).collect();
    let asked: Vec<SourceOfPatient> = passed.iter().filter_map(PassedDocument::called).collect();
    let mut conn = context.pool.acquire().await?;
    let known = KnownSources::read(&mut conn, context.drafting.index_key, &asked).await?;
    let remembered = idempotency::find(&mut conn, CREATE, &keys).await?;
    let ids: Vec<RecordId> = remembered.iter().map(|it| RecordId(it.resource)).collect();
    let there = records::by_ids(&mut conn, &ids).await?;
    drop(conn);
    let remembered: HashMap<String, RecordId> = remembered
        .into_iter()
        .map(|it| (it.key, RecordId(it.resource)))
        .collect();
    for one in passed {
        let record = match one.called() {
            Some(of) => {
                let versions = known.of(&of).unwrap_or_default();
                let newest = versions.iter().max_by_key(|it| it.number);
                newest.map(|newest| newest.record)
            }
            None => remembered.get(&one.key).copied().filter(|id| {
                there.iter().any(|record| {
                    record.id == *id
                        && record.patient == one.patient
                        && record.availability == Availability::Open
                })
            }),
        };
        if let Some(record) = record {
            references.learn(Learned {
                names: &one.names,
                patient: one.patient,
                token: one.token,
                record,
                kind: one.kind,
            });
        }
    }
    Ok(())
}
