//! What becomes of records: a view of the log of integrity events that follows a record through all of its versions.

pub(crate) mod graphql;

use std::{collections::HashSet, sync::Arc};

use async_graphql::Enum;
use domain::{
    ids::{RecordId, UserId},
    integrity::FeedKind,
};
use futures::{Stream, StreamExt as _, future::ready};
use store::{
    Pool, StoreError, Tx,
    feed::{FeedRow, FeedVersion},
    records, versions,
};

use super::subscription::{self, FollowedEvents, LogStart};
use crate::{
    caller::Caller,
    error::Error,
    feed::{EventFilter, Feed},
};

/// The name of the subscription.
const NAME: &str = "recordUpdated";

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum RecordChange {
    /// The record was stored: this is its first version.
    Created,
    /// A version was stored that supersedes the one before.
    Amended,
    /// The record was withdrawn: its last version says that it was entered in error.
    Withdrawn,
    /// The state of the version's anchor on the chain, or of its closing there, changed.
    Anchoring,
}

impl RecordChange {
    /// What an event says of a record; `None` where it says nothing of one.
    fn of(row: &FeedRow) -> Option<Self> {
        row.entry.record?;
        match row.entry.kind {
            FeedKind::FindingOpened | FeedKind::FindingResolved => None,
            FeedKind::AnchorPending
            | FeedKind::AnchorSubmitted
            | FeedKind::AnchorConfirmed
            | FeedKind::AnchorFinalized
            | FeedKind::AnchorReorged
            | FeedKind::AnchorReplaced
            | FeedKind::AnchorFailed
            | FeedKind::ClosingConfirmed
            | FeedKind::ClosingReorged => Some(match row.version {
                Some(FeedVersion { is_new: false, .. }) | None => Self::Anchoring,
                Some(FeedVersion {
                    is_withdrawal: true,
                    ..
                }) => Self::Withdrawn,
                Some(FeedVersion {
                    predecessor: None, ..
                }) => Self::Created,
                Some(_) => Self::Amended,
            }),
        }
    }
}

/// The versions that are followed.
#[derive(Debug)]
pub(super) enum FollowedVersions {
    /// All that the caller may be told of.
    All,
    /// Those of one record. A version that follows one of them is another.
    Of(HashSet<RecordId>),
}

impl FollowedVersions {
    /// All, or those of the record that this is a version of. Read after it is known where the log is followed from: a version that
    /// is stored later is there to be read of.
    pub(super) async fn of(tx: &mut Tx<'_>, record: Option<RecordId>) -> Result<Self, StoreError> {
        let Some(record) = record else {
            return Ok(Self::All);
        };
        let known = versions::all(tx, &[record]).await?.into_iter();
        Ok(Self::Of(known.map(|version| version.id).collect()))
    }

    /// Whether an entry is of one of them. Asked about each entry in the order of the log, also those of which the caller is not told:
    /// a version that they may not see is followed by others.
    pub(super) fn take(&mut self, row: &FeedRow) -> bool {
        let Self::Of(known) = self else {
            return true;
        };
        let Some(id) = row.entry.record else {
            return false;
        };
        let predecessor = row.version.and_then(|version| version.predecessor);
        if predecessor.is_some_and(|before| known.contains(&before)) {
            known.insert(id);
        }
        known.contains(&id)
    }
}

/// Of which records the caller wants to be told.
#[derive(Debug, Clone, Copy)]
struct RecordUpdateFilter {
    record: Option<RecordId>,
    patient: Option<UserId>,
}

impl RecordUpdateFilter {
    /// What has to be read of the log for it, and the record of which the versions are meant. Nothing is told of who may see what: a
    /// record that is not there is followed as one that never changes.
    async fn look_up(self, pool: &Pool) -> Result<(EventFilter, Option<RecordId>), Error> {
        let kinds = FeedKind::ALL.iter().copied();
        let kinds = kinds
            .filter(|kind| !matches!(kind, FeedKind::FindingOpened | FeedKind::FindingResolved));
        let all = EventFilter {
            record: self.record,
            patient: self.patient,
            kinds: Some(kinds.collect()),
        };
        let Some(record) = self.record else {
            return Ok((all, None));
        };
        let mut conn = pool.acquire().await?;
        let found = records::by_ids(&mut conn, &[record]).await?.pop();
        let patient = found.map(|found| found.patient);
        let Some(patient) = patient.filter(|it| self.patient.is_none_or(|asked| asked == *it))
        else {
            return Ok((all, None));
        };
        // Versions to come have ids of their own, and are this patient's, too.
        let wanted = EventFilter {
            record: None,
            patient: Some(patient),
            ..all
        };
        Ok((wanted, Some(record)))
    }
}

/// Begins a stream, with its audit row.
///
/// # Errors
/// As of [`subscription::follow`].
async fn follow(
    pool: Pool,
    feed: Feed,
    caller: Caller,
    start: LogStart,
    asked: RecordUpdateFilter,
) -> Result<impl Stream<Item = Result<(Arc<FeedRow>, RecordChange), Error>>, Error> {
    let (wanted, versions_of) = asked.look_up(&pool).await?;
    let followed = FollowedEvents {
        subscription: NAME,
        record: asked.record,
        patient: asked.patient,
        wanted,
        versions_of,
    };
    let events = subscription::follow(pool, feed, caller, start, followed).await?;
    Ok(events.filter_map(|event| {
        let told = match event {
            Ok(row) => RecordChange::of(&row).map(|change| Ok((row, change))),
            Err(error) => Some(Err(error)),
        };
        ready(told)
    }))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use store::feed::FeedEntry;

    use super::*;

    fn event(kind: FeedKind, record: RecordId, version: Option<FeedVersion>) -> FeedRow {
        FeedRow {
            position: 1,
            at: DateTime::UNIX_EPOCH,
            entry: FeedEntry {
                record: Some(record),
                ..FeedEntry::new(kind)
            },
            finding: None,
            version,
        }
    }

    #[test]
    fn the_first_event_of_a_version_says_what_it_is_and_each_other_that_its_anchor_changed() {
        let (first, id) = (Some(RecordId::fresh()), RecordId::fresh());
        let version = |predecessor, is_withdrawal, is_new| {
            Some(FeedVersion {
                predecessor,
                is_withdrawal,
                is_new,
            })
        };
        let pending = FeedKind::AnchorPending;
        for (kind, version, change) in [
            (
                pending,
                version(None, false, true),
                Some(RecordChange::Created),
            ),
            (
                pending,
                version(first, false, true),
                Some(RecordChange::Amended),
            ),
            (
                pending,
                version(first, true, true),
                Some(RecordChange::Withdrawn),
            ),
            (
                pending,
                version(first, true, false),
                Some(RecordChange::Anchoring),
            ),
            (pending, None, Some(RecordChange::Anchoring)),
            (
                FeedKind::ClosingConfirmed,
                version(first, true, false),
                Some(RecordChange::Anchoring),
            ),
            (FeedKind::FindingOpened, version(None, false, false), None),
        ] {
            assert_eq!(
                RecordChange::of(&event(kind, id, version)),
                change,
                "{kind:?}"
            );
        }
        let of_nothing = FeedRow {
            entry: FeedEntry::new(pending),
            ..event(pending, id, None)
        };
        assert_eq!(RecordChange::of(&of_nothing), None);
    }

    #[test]
    fn a_record_is_followed_through_the_versions_that_supersede_it_and_no_other() {
        let [first, second, third, other] = [(); 4].map(|()| RecordId::fresh());
        let mut followed = FollowedVersions::Of(HashSet::from([first]));
        let mut take = |record, predecessor| {
            let version = FeedVersion {
                predecessor,
                is_withdrawal: false,
                is_new: true,
            };
            followed.take(&event(FeedKind::AnchorPending, record, Some(version)))
        };

        assert!(!take(third, Some(second)), "nothing is known of it yet");
        assert!(take(second, Some(first)));
        assert!(take(third, Some(second)));
        assert!(!take(other, None));
        assert!(take(first, None));
    }
}
