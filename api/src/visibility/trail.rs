//! The rows that say of whose records a stream tells somebody else than their patient, and which of them it need not write again.

use std::{collections::HashMap, time::Duration};

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    countries::Country,
    ids::{ConsentId, RecordId, UserId},
};
use serde_json::json;
use store::feed::FeedRow;
use tokio::time::Instant;

use super::{PURPOSE, VisibilityRequest, VisibleEvent};

/// For how long a row stands for what its stream tells of the records that it names: a record whose state changes several times
/// at once is named once.
const NAMED_FOR: Duration = Duration::from_secs(60);

/// By what somebody is told of a patient's record, and where that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DisclosureGround {
    /// The consent that lets them be told.
    pub(super) consent: Option<ConsentId>,
    /// The country, where they are let in as a member of an organisation abroad.
    pub(super) destination: Option<Country>,
}

/// The records that rows of a stream have named lately, each with the ground and since when.
#[derive(Debug, Default)]
pub(crate) struct ToldRecords(HashMap<(UserId, RecordId), (DisclosureGround, Instant)>);

impl ToldRecords {
    /// On what ground a row says that the stream tells of the record of this event; `None` where none does.
    pub(crate) fn ground_of(&self, row: &FeedRow, now: Instant) -> Option<DisclosureGround> {
        let (ground, since) = self.0.get(&named(row)?)?;
        (now.duration_since(*since) < NAMED_FOR).then_some(*ground)
    }

    /// Keeps what rows were written of, and forgets what they do not stand for any more.
    pub(crate) fn keep(&mut self, told: &[VisibleEvent], now: Instant) {
        let mut written = Vec::new();
        for event in told {
            if let (Some(named), Some(ground)) = (named(&event.row), event.written) {
                written.push((named, (ground, now)));
            }
        }
        if written.is_empty() {
            return;
        }
        let Self(kept) = self;
        kept.retain(|_, (_, since)| now.duration_since(*since) < NAMED_FOR);
        kept.extend(written);
    }
}

/// Whose record an event is of, and which.
fn named(row: &FeedRow) -> Option<(UserId, RecordId)> {
    Some((row.entry.patient?, row.entry.record?))
}

/// The rows of what a stream is told by this decision: one for each patient and ground, which names the records. None of what
/// earlier rows stand for.
pub(super) fn of_events(asked: &VisibilityRequest, told: &[VisibleEvent]) -> Vec<AuditEntry> {
    let mut found: Vec<(UserId, DisclosureGround, Vec<RecordId>)> = Vec::new();
    for VisibleEvent { row, written } in told {
        let (Some(patient), Some(ground)) = (row.entry.patient, *written) else {
            continue;
        };
        let record = row.entry.record;
        match found
            .iter_mut()
            .find(|it| (it.0, it.1) == (patient, ground))
        {
            Some((.., records)) => {
                let other = record.filter(|record| !records.contains(record));
                records.extend(other);
            }
            None => found.push((patient, ground, record.into_iter().collect())),
        }
    }
    let entries = found.into_iter();
    let entries = entries.map(|(patient, ground, records)| AuditEntry {
        resource_type: ResourceType::MedicalRecord,
        new_value: Some(json!({ "stream": asked.subscription })),
        consent: ground.consent,
        classification: Classification::Medical,
        destination: ground.destination.map(|country| country.to_string()),
        encryption: EncryptionStatus::MetadataOnly,
        patient: Some(patient),
        records,
        ..asked.caller.entry(AuditAction::RecordSearch, PURPOSE)
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use domain::integrity::FeedKind;
    use store::feed::FeedEntry;

    use super::*;

    fn by(consent: ConsentId) -> DisclosureGround {
        DisclosureGround {
            consent: Some(consent),
            destination: None,
        }
    }

    fn event(patient: UserId, record: RecordId, written: Option<DisclosureGround>) -> VisibleEvent {
        let entry = FeedEntry {
            patient: Some(patient),
            record: Some(record),
            ..FeedEntry::new(FeedKind::AnchorPending)
        };
        let row = FeedRow {
            position: 1,
            at: DateTime::UNIX_EPOCH,
            entry,
            finding: None,
            version: None,
        };
        VisibleEvent {
            row: Arc::new(row),
            written,
        }
    }

    #[test]
    fn a_row_stands_for_its_records_for_a_minute_from_when_it_was_written() {
        let ground = by(ConsentId::fresh());
        let (ana, one, other) = (UserId::fresh(), RecordId::fresh(), RecordId::fresh());
        let written = event(ana, one, Some(ground));
        let (begun, mut told) = (Instant::now(), ToldRecords::default());
        assert_eq!(told.ground_of(&written.row, begun), None);

        told.keep(std::slice::from_ref(&written), begun);
        assert_eq!(told.ground_of(&written.row, begun), Some(ground));
        for unnamed in [event(ana, other, None), event(UserId::fresh(), one, None)] {
            assert_eq!(told.ground_of(&unnamed.row, begun), None);
        }

        // What is told without a row of its own makes it stand no longer.
        let (later, over) = (begun + NAMED_FOR / 2, begun + NAMED_FOR);
        told.keep(&[event(ana, one, None)], later);
        assert_eq!(told.ground_of(&written.row, later), Some(ground));
        assert_eq!(told.ground_of(&written.row, over), None);

        // Nor is it kept for ever.
        told.keep(&[event(ana, other, Some(ground))], over);
        assert_eq!(told.0.len(), 1);
    }
}
