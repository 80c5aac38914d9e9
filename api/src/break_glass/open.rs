//! Opening a window: a doctor reaches a patient's records without a consent, says why, and the patient is told.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry},
    break_glass::{
        BreakGlassWindow, LIMIT_PERIOD, MAX_WINDOWS, NotificationKind, WINDOW_LASTS, reason,
    },
    ids::{BreakGlassWindowId, UserId},
    purpose::Purpose,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx, audit, barrier, break_glass,
    notifications::{self, NewNotification},
    users,
};
use vault::{
    break_glass::{WordsBinding, WordsKind},
    keyring::Keyring,
};

use super::{entry, entry_of_unknown, evidence, words::ShownWindow};
use crate::{
    caller::{Caller, refuse_role},
    error::{Error, all},
    records::patient_keys::{self, SealingKey},
};

const ACTION: AuditAction = AuditAction::BreakGlassStart;

/// What a doctor asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    /// On whose records.
    pub(super) patient: UserId,
    /// For which purpose.
    pub(super) purpose: Purpose,
    /// Why.
    pub(super) reason: &'a str,
}

impl Opening<'_> {
    /// Whether it can be opened at all.
    ///
    /// # Errors
    /// [`Error::BadInput`].
    fn check(&self) -> Result<(), Error> {
        let purpose = if self.purpose.is_emergency() {
            Ok(())
        } else {
            Err(Error::bad("purpose", "an emergency is BTG or ETREAT"))
        };
        let said = reason(self.reason).map_err(|error| Error::bad("reason", error.to_string()));
        all([purpose, said.map(drop)])
    }
}

/// Opens a window, with its audit row, and tells the patient. One that is open answers a second request: for each
/// purpose there is one at a time.
///
/// # Errors
/// [`Error::Forbidden`] for all but doctors; [`Error::SecondFactorMissing`] where the operator wants one;
/// [`Error::BadInput`]; [`Error::NotFound`] for an unknown person and for one who is no active patient;
/// [`Error::LimitReached`].
pub(super) async fn open(
    pool: &Pool,
    keyring: &Keyring,
    caller: &Caller,
    asked: Opening<'_>,
) -> Result<ShownWindow, Error> {
    require_doctor(pool, caller).await?;
    asked.check()?;
    refuse_at_limit(pool, caller, asked).await?;
    let prepared = patient_keys::prepare(pool, keyring, vec![asked.patient]).await?;
    let mut tx = pool.begin().await?;
    // What is being disclosed by it comes after, and no other is opened beside it.
    barrier::lock_exclusive(&mut tx, [caller.user, asked.patient]).await?;
    check_doctor(&mut tx, caller).await?;
    let now = users::now(&mut tx).await?;
    let account = caller.seals.account(&mut tx, asked.patient).await?;
    let is_patient = account.is_some_and(|it| it.is_active && it.role == Role::Patient);
    if let Some(window) = open_already(&mut tx, caller, asked, now).await?
        && is_patient
    {
        return again(tx, keyring, caller, window).await;
    }
    if is_at_limit(&mut tx, caller, now).await? {
        return refuse_limit(tx, caller, asked).await;
    }
    if !is_patient {
        return refuse_unknown(tx, caller, asked).await;
    }
    let Some(key) = prepared.get(&asked.patient) else {
        return Err(Error::Unavailable);
    };
    if !patient_keys::establish(&mut tx, &prepared, &[asked.patient]).await? {
        // Somebody made a key, or destroyed one, a moment ago.
        return Err(Error::met_another());
    }
    let window = window_of(caller, asked, key, now);
    insert(&mut tx, caller, &window).await?;
    tx.commit().await?;
    Ok(ShownWindow {
        window: Arc::new(window),
        is_as_sealed: true,
        is_open: true,
        reason: Some(asked.reason.trim().to_owned()),
        escalated_at: None,
        review: None,
    })
}

/// The window of the caller's that is open for the same patient and purpose.
async fn open_already(
    tx: &mut Tx<'_>,
    caller: &Caller,
    asked: Opening<'_>,
    now: DateTime<Utc>,
) -> Result<Option<BreakGlassWindow>, Error> {
    let open = caller.seals.sealed_windows(tx, &[caller.user], now).await?;
    let same = |window: &BreakGlassWindow| {
        window.patient == asked.patient && window.purpose == asked.purpose
    };
    Ok(open.into_iter().find(same))
}

async fn is_at_limit(tx: &mut Tx<'_>, caller: &Caller, now: DateTime<Utc>) -> Result<bool, Error> {
    let opened = break_glass::opened_since(tx, caller.user, now - LIMIT_PERIOD).await?;
    Ok(opened >= MAX_WINDOWS)
}

/// Refuses whoever can open no more, before a key is made or the patient is locked for them.
async fn refuse_at_limit(pool: &Pool, caller: &Caller, asked: Opening<'_>) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let now = users::now(&mut tx).await?;
    if !is_at_limit(&mut tx, caller, now).await?
        || open_already(&mut tx, caller, asked, now).await?.is_some()
    {
        return Ok(());
    }
    refuse_limit(tx, caller, asked).await
}

async fn refuse_limit<T>(tx: Tx<'_>, caller: &Caller, asked: Opening<'_>) -> Result<T, Error> {
    refuse_asked(tx, caller, asked, "LIMIT_REACHED", too_many()).await
}

async fn refuse_unknown<T>(tx: Tx<'_>, caller: &Caller, asked: Opening<'_>) -> Result<T, Error> {
    refuse_asked(tx, caller, asked, "UNKNOWN", Error::NotFound("patient")).await
}

/// Writes down that nothing was opened on the records of whoever was asked about, who may be nobody: for a patient, in
/// their trail.
async fn refuse_asked<T>(
    mut tx: Tx<'_>,
    caller: &Caller,
    asked: Opening<'_>,
    reason: &str,
    error: Error,
) -> Result<T, Error> {
    let account = caller.seals.account(&mut tx, asked.patient).await?;
    let patient = account.filter(|it| it.is_active && it.role == Role::Patient);
    let id = BreakGlassWindowId(caller.origin.request.0);
    let denied = AuditEntry {
        new_value: Some(json!({ "reason": reason, "wanted": ACTION, "asked": asked.patient })),
        patient: patient.map(|it| it.user),
        ..entry_of_unknown(caller, id, asked.purpose)
    };
    audit::insert(&mut tx, &[denied]).await?;
    tx.commit().await?;
    Err(error)
}

/// Refuses whoever is no doctor, before anybody else is locked for them: who may open nothing must keep nobody
/// waiting.
async fn require_doctor(pool: &Pool, caller: &Caller) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Doctor {
        return Err(refuse_role(tx, caller, actor, Role::Doctor, ACTION).await?);
    }
    if caller.needs_second_factor_in_emergency() && !actor.second_factor {
        return Err(Error::SecondFactorMissing);
    }
    Ok(())
}

/// The same once more, under the locks.
async fn check_doctor(tx: &mut Tx<'_>, caller: &Caller) -> Result<(), Error> {
    let actor = caller.actor(tx).await?;
    if actor.role != Role::Doctor {
        return Err(Error::Forbidden(Role::Doctor));
    }
    if caller.needs_second_factor_in_emergency() && !actor.second_factor {
        return Err(Error::SecondFactorMissing);
    }
    Ok(())
}

/// Answers a window that is open, which is written down as read.
async fn again(
    mut tx: Tx<'_>,
    keyring: &Keyring,
    caller: &Caller,
    window: BreakGlassWindow,
) -> Result<ShownWindow, Error> {
    let read = AuditEntry {
        new_value: Some(json!({ "retry": true })),
        ..entry(caller, AuditAction::BreakGlassRead, window.purpose, &window)
    };
    let stored = break_glass::find(&mut tx, window.id).await?;
    let words = super::words::SealedWords::of(&mut tx, stored.into_iter().collect()).await?;
    audit::insert(&mut tx, &[read]).await?;
    tx.commit().await?;
    words.open_one(keyring, &caller.seals).await
}

fn window_of(
    caller: &Caller,
    asked: Opening<'_>,
    key: &SealingKey,
    now: DateTime<Utc>,
) -> BreakGlassWindow {
    let mut window = BreakGlassWindow {
        id: BreakGlassWindowId::fresh(),
        patient: asked.patient,
        doctor: caller.user,
        purpose: asked.purpose,
        opened_at: now,
        expires_at: now + WINDOW_LASTS,
        closed_at: None,
        patient_key: key.id(),
        sealed_reason: Vec::new(),
    };
    let binding = WordsBinding::of(&window, WordsKind::Reason);
    window.sealed_reason = key.key().seal_words(&binding, asked.reason.trim());
    window
}

/// Stores a window with its audit row and what the patient is told.
async fn insert(tx: &mut Tx<'_>, caller: &Caller, window: &BreakGlassWindow) -> Result<(), Error> {
    break_glass::insert(tx, window, &caller.seals.seal(window)?).await?;
    let started = AuditEntry {
        new_value: Some(evidence(window)),
        ..entry(caller, ACTION, window.purpose, window)
    };
    audit::insert(tx, &[started]).await?;
    let told = NewNotification {
        user: window.patient,
        kind: NotificationKind::BreakGlassOpened,
        actor: window.doctor,
        resource: window.id.0,
        at: window.opened_at,
    };
    Ok(notifications::append(tx, &[told]).await?)
}

fn too_many() -> Error {
    Error::LimitReached {
        field: "input",
        message: format!(
            "you have opened {MAX_WINDOWS} windows within {} hours, and no more can be: ask a colleague",
            LIMIT_PERIOD.num_hours()
        ),
    }
}
