//! Reviewing a window: an administrator decides, once, whether the emergency was one.

use domain::{
    audit::{AuditAction, AuditEntry, Classification},
    break_glass::{
        BreakGlassWindow, NotificationKind, ReviewDecision, ReviewRefusal, check_review, note,
    },
    ids::BreakGlassWindowId,
    purpose::Purpose,
    stored::StoredKey,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, audit,
    break_glass::{self, StoredWindow, WindowReview},
    keys,
    notifications::{self, NewNotification},
    users,
};
use vault::{
    break_glass::{WordsBinding, WordsKind},
    keyring::Keyring,
};

use super::{entry, entry_of_unknown, forged, list::JudgedWindow, words::SealedWords};
use crate::{
    caller::{Caller, refuse, refuse_role, require_administrator},
    error::Error,
};

const ACTION: AuditAction = AuditAction::BreakGlassReview;

/// Reviews a window that is over, with its audit row, and tells the doctor and the patient.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`]; [`Error::BadInput`] for a note that is too
/// long, and for the doctor and the patient concerned; [`Error::Conflict`] where it is open or was reviewed, or its
/// patient's key is gone, so that no note can be kept, or it is not as it was sealed.
pub(super) async fn review(
    pool: &Pool,
    keyring: &Keyring,
    caller: &Caller,
    id: BreakGlassWindowId,
    (decision, words): (ReviewDecision, Option<&str>),
) -> Result<JudgedWindow, Error> {
    require_administrator(pool, caller, ACTION).await?;
    let words = note(words.unwrap_or_default());
    let words = words.map_err(|error| Error::bad("note", error.to_string()))?;
    let sealed_note = seal_note(pool, keyring, id, words).await?;
    forged::put_right(pool, id, &caller.origin).await?;
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, ACTION).await?);
    }
    let unknown = entry_of_unknown(caller, id, Purpose::Compliance);
    let Some(stored) = break_glass::lock(&mut tx, id).await? else {
        let error = Error::NotFound("window");
        return refuse(tx, unknown, ("UNKNOWN", ACTION), error).await;
    };
    let (window, is_as_sealed) = caller.seals.look_at(stored.window);
    if !is_as_sealed || stored.forged_review.is_some() {
        let denied = entry(caller, ACTION, Purpose::Compliance, &window);
        return refuse(tx, denied, ("TAMPERED", ACTION), tampered()).await;
    }
    let now = users::now(&mut tx).await?;
    let is_reviewed = stored.review.is_some();
    if let Err(refusal) = check_review(caller.user, &window, is_reviewed, now) {
        let denied = entry(caller, ACTION, Purpose::Compliance, &window);
        let (reason, error) = in_words(refusal);
        return refuse(tx, denied, (reason, ACTION), error).await;
    }
    let review = WindowReview {
        at: now,
        by: caller.user,
        decision,
        sealed_note,
    };
    break_glass::review(&mut tx, id, &review).await?;
    let row = AuditEntry {
        new_value: Some(json!({ "decision": decision, "note": !words.is_empty() })),
        classification: Classification::Security,
        ..entry(caller, ACTION, Purpose::Compliance, &window)
    };
    audit::insert(&mut tx, &[row]).await?;
    let counted = break_glass::disclosures(&mut tx, &[&window]).await?;
    let stored = break_glass::find(&mut tx, id).await?;
    let shown = SealedWords::of(&mut tx, stored.into_iter().collect()).await?;
    notifications::append(&mut tx, &told(&window, &review)).await?;
    tx.commit().await?;
    let shown = shown.open_where_possible(keyring, &caller.seals).await;
    let mut judged = JudgedWindow::each(shown, &counted, now);
    judged.pop().ok_or(Error::Internal)
}

/// The note as it is kept; none for an empty one, and for a window that is not there.
async fn seal_note(
    pool: &Pool,
    keyring: &Keyring,
    id: BreakGlassWindowId,
    words: &str,
) -> Result<Option<Vec<u8>>, Error> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut conn = pool.acquire().await?;
    let Some(StoredWindow { window, .. }) = break_glass::find(&mut conn, id).await? else {
        return Ok(None);
    };
    let (window, _) = window.into_parts();
    let living = keys::living(&mut conn, &[window.patient]).await?;
    drop(conn);
    let of_window: Vec<&StoredKey> = living
        .iter()
        .filter(|key| key.id == window.patient_key)
        .collect();
    let unwrapped = keyring.unwrap(&of_window).await?.pop();
    let Some(Ok(key)) = unwrapped else {
        return Err(Error::Conflict {
            field: "note",
            message: "the patient's data was erased, so no note can be kept: review without one"
                .to_owned(),
        });
    };
    let binding = WordsBinding::of(&window, WordsKind::Note);
    Ok(Some(key.seal_words(&binding, words)))
}

fn tampered() -> Error {
    Error::Conflict {
        field: "id",
        message: "the window was changed outside the service: an operator has to look at it first"
            .to_owned(),
    }
}

fn in_words(refusal: ReviewRefusal) -> (&'static str, Error) {
    let conflict = |message: &str| Error::Conflict {
        field: "id",
        message: message.to_owned(),
    };
    match refusal {
        ReviewRefusal::Concerned => (
            "CONCERNED",
            Error::bad(
                "id",
                "nobody reviews a window that they opened or that is on their records",
            ),
        ),
        ReviewRefusal::Open => (
            "OPEN",
            conflict("the window is open still: review it when it has ended"),
        ),
        ReviewRefusal::Reviewed => (
            "REVIEWED",
            conflict("the window was reviewed before, and a review is final"),
        ),
    }
}

fn told(window: &BreakGlassWindow, review: &WindowReview) -> [NewNotification; 2] {
    let kind = match review.decision {
        ReviewDecision::Justified => NotificationKind::BreakGlassJustified,
        ReviewDecision::Unjustified => NotificationKind::BreakGlassUnjustified,
    };
    [window.patient, window.doctor].map(|user| NewNotification {
        user,
        kind,
        actor: review.by,
        resource: window.id.0,
        at: review.at,
    })
}
