//! Lists of windows: one's own, and the queue of reviews. Written down before they are shown.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    break_glass::{BreakGlassWindow, ReviewStatus},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, audit,
    break_glass::{self, StoredWindow, WindowCursor, WindowDisclosures, WindowsOf},
    users,
};
use vault::keyring::Keyring;

use super::{
    entry,
    words::{SealedWords, ShownWindow},
};
use crate::{
    caller::{Caller, refuse_role},
    error::Error,
    page::PageRange,
};

/// A window in the queue, and what was disclosed by it.
#[derive(Debug, Clone)]
pub(super) struct JudgedWindow {
    /// The window.
    pub(super) window: ShownWindow,
    /// What was disclosed by it until now.
    pub(super) disclosed: WindowDisclosures,
    /// How many records it disclosed in each hour that it was open.
    pub(super) records_per_hour: f64,
}

impl JudgedWindow {
    /// Each window with what was counted of it.
    pub(super) fn each(
        windows: Vec<ShownWindow>,
        counted: &[WindowDisclosures],
        now: DateTime<Utc>,
    ) -> Vec<Self> {
        let windows = windows.into_iter().zip(counted);
        windows
            .map(|(window, disclosed)| Self {
                records_per_hour: per_hour(&window.window, disclosed.records, now),
                disclosed: *disclosed,
                window,
            })
            .collect()
    }
}

/// A window that was open for less than a minute counts as one minute.
fn per_hour(window: &BreakGlassWindow, records: i64, now: DateTime<Utc>) -> f64 {
    let open = window.ends_at().min(now) - window.opened_at;
    let minutes = u32::try_from(open.num_minutes()).unwrap_or_default().max(1);
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    f64::from(records) * 60.0 / f64::from(minutes)
}

/// The caller's own windows, newest first: those that a doctor opened, else those on their records. One more than asked
/// for where there are more.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(super) async fn own(
    pool: &Pool,
    keyring: &Keyring,
    caller: &Caller,
    range: PageRange<WindowCursor>,
) -> Result<Vec<ShownWindow>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let is_doctor = actor.role == Role::Doctor;
    let whose = if is_doctor {
        WindowsOf::Doctor(actor.id)
    } else {
        WindowsOf::Patient(actor.id)
    };
    let found = break_glass::own(&mut tx, whose, range.keyset()).await?;
    let words = SealedWords::of(&mut tx, found).await?;
    let row = AuditEntry {
        patient: (!is_doctor).then_some(actor.id),
        ..of_list(
            caller,
            "myBreakGlassWindows",
            Purpose::default_of(actor.role),
        )
    };
    audit::insert(&mut tx, &[row]).await?;
    tx.commit().await?;
    Ok(words.open(keyring, &caller.seals).await?)
}

/// The queue of reviews, oldest first, one more than asked for where there are more. Each window that is shown has a row
/// for its patient.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(super) async fn queue(
    pool: &Pool,
    keyring: &Keyring,
    caller: &Caller,
    status: Option<ReviewStatus>,
    range: PageRange<WindowCursor>,
) -> Result<Vec<JudgedWindow>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let wanted = AuditAction::BreakGlassRead;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?);
    }
    let now = users::now(&mut tx).await?;
    let found: Vec<StoredWindow> = break_glass::queue(&mut tx, status, range.keyset()).await?;
    let windows: Vec<BreakGlassWindow> = found
        .iter()
        .map(|stored| stored.window.clone().into_parts().0)
        .collect();
    let of_windows: Vec<&BreakGlassWindow> = windows.iter().collect();
    let counted = break_glass::disclosures(&mut tx, &of_windows).await?;
    let words = SealedWords::of(&mut tx, found).await?;
    let fit = usize::try_from(range.size).unwrap_or(usize::MAX);
    let list = "breakGlassReviews";
    let shown = windows.iter().take(fit).map(|window| AuditEntry {
        new_value: Some(json!({ "list": list })),
        ..entry(caller, wanted, Purpose::Compliance, window)
    });
    let mut rows: Vec<AuditEntry> = shown.collect();
    if rows.is_empty() {
        rows.push(of_list(caller, list, Purpose::Compliance));
    }
    audit::insert(&mut tx, &rows).await?;
    tx.commit().await?;
    let shown = words.open(keyring, &caller.seals).await?;
    Ok(JudgedWindow::each(shown, &counted, now))
}

fn of_list(caller: &Caller, list: &str, purpose: Purpose) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::BreakGlassWindow,
        new_value: Some(json!({ "list": list })),
        classification: Classification::SensitivePersonal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::BreakGlassRead, purpose)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::ids::{BreakGlassWindowId, PatientKeyId, UserId};

    use super::*;

    #[test]
    fn a_rate_is_by_the_time_that_the_window_was_open() {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let table = [
            // records, closed, now: rate
            (0, None, 30, 0.0),
            (30, None, 30, 60.0),
            (30, None, 240, 7.5),
            (30, None, 9000, 7.5),
            (30, Some(60), 9000, 30.0),
            (2, None, 0, 120.0),
        ];
        for (records, closed, now, wanted) in table {
            let window = BreakGlassWindow {
                id: BreakGlassWindowId::fresh(),
                patient: UserId::fresh(),
                doctor: UserId::fresh(),
                purpose: Purpose::BreakGlass,
                opened_at: at(0),
                expires_at: at(240),
                closed_at: closed.map(at),
                patient_key: PatientKeyId::fresh(),
                sealed_reason: Vec::new(),
            };
            let rate = per_hour(&window, records, at(now));
            assert!(
                (rate - wanted).abs() < 1e-9,
                "{records} {closed:?} {now}: {rate}"
            );
        }
    }
}
