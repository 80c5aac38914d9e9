//! Whether a row that the database calls due is due: by its columns as they were hashed, by its place under what the registry
//! holds, and by the registry's time.

use std::collections::{BTreeMap, BTreeSet};

use chain::PinnedCheckpoint;
use chrono::{DateTime, Months, TimeDelta, Utc};
use domain::audit::{AuditAction, NEVER_REMOVED};
use store::{
    findings::TrailTable,
    retention::DueAuditRow,
    trail::{HashedRow, Leaf},
};
use trail::{
    Hash,
    row::Row,
    tree::{self, Frontier, Place},
};

use crate::audit::check::{Fault, FaultKind};

/// How far the database's clock may be ahead of the registry's before what it calls due is told of.
pub(super) const AHEAD: TimeDelta = TimeDelta::days(1);

/// What a row that the database calls due is.
pub(super) enum DueVerdict {
    /// Due; its leaf.
    Due(Hash),
    /// Not what was hashed, or not what was pinned.
    Changed(Fault),
    /// Not due by far, or never: somebody told the database otherwise.
    Undue,
    /// Not due yet, or not under what the registry holds now.
    Waits,
}

/// The stored nodes by which the leaves of these places are under a checkpoint.
pub(super) fn nodes(pinned: &PinnedCheckpoint, places: &[i64]) -> Vec<Place> {
    let whole = 0..pinned.size;
    let mut spans = vec![whole];
    for place in places {
        let place = u64::try_from(*place).ok();
        spans.extend(
            place
                .and_then(|place| tree::inclusion(pinned.size, place))
                .unwrap_or_default(),
        );
    }
    let nodes: BTreeSet<Place> = tree::stored_under(&spans).into_iter().collect();
    nodes.into_iter().collect()
}

/// Whether the trail has, at the size of a checkpoint, the root that was pinned.
pub(super) fn is_this_trail(pinned: &PinnedCheckpoint, nodes: &BTreeMap<Place, Hash>) -> bool {
    // Nothing is pinned: nothing is under it.
    pinned.size == 0
        || Frontier::restore(pinned.size, nodes)
            .is_some_and(|frontier| frontier.root() == pinned.root)
}

/// Judges a row.
pub(super) fn judge(
    due: DueAuditRow,
    (row, leaf): (Option<&HashedRow>, Option<&Leaf>),
    (now, pinned): (DateTime<Utc>, &PinnedCheckpoint),
    nodes: &BTreeMap<Place, Hash>,
) -> DueVerdict {
    let changed = DueVerdict::Changed(Fault {
        table: TrailTable::Rows,
        number: due.id,
        kind: FaultKind::Changed,
        place: Some(due.position),
        before: None,
    });
    let (Some(row), Some(leaf)) = (row, leaf) else {
        return changed;
    };
    let hash = row.computed().filter(|hash| {
        leaf.audit_id == due.id && row.leaf_hash == *hash && leaf.leaf_hash == *hash
    });
    let (Some(hash), Ok(place)) = (hash, u64::try_from(due.position)) else {
        return changed;
    };
    let Some(way) = tree::inclusion(pinned.size, place) else {
        return DueVerdict::Waits;
    };
    let proof = tree::hashes_of(&way, nodes).unwrap_or_default();
    if !tree::is_included(&pinned.root, pinned.size, &hash, place, &proof) {
        return changed;
    }
    age(&row.row, now, hash)
}

/// Whether a row that is what was pinned has been kept long enough.
fn age(row: &Row, now: DateTime<Utc>, hash: Hash) -> DueVerdict {
    let Ok(action) = row.action_type.parse::<AuditAction>() else {
        return DueVerdict::Waits;
    };
    let Some(until) = kept_until(row) else {
        return DueVerdict::Waits;
    };
    if NEVER_REMOVED.contains(&action) || until > now + AHEAD {
        return DueVerdict::Undue;
    }
    // As long as it says, and as long as such rows are kept today.
    let least = row.event_time.checked_add_signed(action.retention());
    if until > now || least.is_none_or(|least| least > now) {
        return DueVerdict::Waits;
    }
    DueVerdict::Due(hash)
}

/// As long as a row says that it is kept; `None` where no calendar knows that.
fn kept_until(row: &Row) -> Option<DateTime<Utc>> {
    let period = row.retention_period;
    let months = Months::new(u32::try_from(period.months).ok()?);
    let days = TimeDelta::try_days(period.days.into())?;
    let rest = TimeDelta::microseconds(period.microseconds);
    let until = row.event_time.checked_add_months(months)?;
    until.checked_add_signed(days)?.checked_add_signed(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use trail::row::Interval;
    use uuid::Uuid;

    fn row(action: &str, days: i32) -> Row {
        Row {
            leaf_salt: Uuid::nil(),
            leaf_xid: 1,
            id: 1,
            event_time: DateTime::UNIX_EPOCH,
            user_id: Uuid::nil(),
            action_type: action.to_owned(),
            resource_type: "USER".to_owned(),
            resource_id: Uuid::nil(),
            old_value: None,
            new_value: None,
            ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip_bits: 32,
            user_agent: None,
            request_id: Uuid::nil(),
            purpose: "SYSADMIN".to_owned(),
            consent_reference: None,
            retention_period: Interval {
                microseconds: 0,
                days,
                months: 0,
            },
            data_classification: "INTERNAL".to_owned(),
            is_cross_border: false,
            destination_country: None,
            encryption_status: "NOT_APPLICABLE".to_owned(),
            created_at: DateTime::UNIX_EPOCH,
            patient_id: None,
            record_ids: None,
            on_behalf_of: None,
        }
    }

    #[test]
    fn a_row_goes_when_it_is_as_old_as_it_says_and_as_such_rows_are_kept() {
        let judged = |action, kept, age| {
            let now = DateTime::UNIX_EPOCH + TimeDelta::days(age);
            match super::age(&row(action, kept), now, [0; 32]) {
                DueVerdict::Due(_) => "due",
                DueVerdict::Changed(_) => "changed",
                DueVerdict::Undue => "undue",
                DueVerdict::Waits => "waits",
            }
        };
        for (action, kept, age, wanted) in [
            ("RECORD_READ", 1095, 1095, "due"),
            ("RECORD_READ", 1095, 1094, "waits"),
            ("RECORD_READ", 1095, 1093, "undue"),
            ("RECORD_READ", 1095, 1, "undue"),
            // It says less than such rows are kept for.
            ("RECORD_READ", 1, 1094, "waits"),
            ("RECORD_READ", 1, 1095, "due"),
            ("RECORD_READ", -1, 1095, "due"),
            ("HOLD_PLACE", 2556, 9999, "undue"),
            ("RETENTION_PURGE", 1, 9999, "undue"),
            ("RETENTION_RULE_SET", 1, 9999, "undue"),
            ("OF_ANOTHER_VERSION", 1, 9999, "waits"),
        ] {
            assert_eq!(judged(action, kept, age), wanted, "{action} {kept} {age}");
        }
    }
}
