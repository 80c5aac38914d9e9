//! Legal holds: placed by one administrator, released by two. What they cover is not erased meanwhile.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    consents::Category,
    deletion::{
        Approval, DeletionRequest, DeletionRequestType, DeletionStatus, DeletionStep, LegalHold,
        MAX_HOLDS,
    },
    ids::{LegalHoldId, RecordId, UserId},
    purpose::Purpose,
    records::Reason,
    users::Role,
};
use serde_json::json;
use store::{
    Pool, Tx, audit, barrier,
    deletion::{self, execution},
    legal_holds::{self, HoldCursor},
    users,
};

use super::{
    entries::{save, step},
    reasons::{Explained, ReasonKey, SealedReasons},
    requests::coverage,
};
use crate::{
    caller::{Caller, refuse, refuse_role, refuse_unknown, require_administrator},
    error::Error,
    page::PageRange,
    seals::Seals,
};

/// What a hold is placed on, and why.
#[derive(Debug)]
pub(super) struct NewHold {
    /// Whose data.
    pub(super) patient: UserId,
    /// Which types; all where neither these nor records are named.
    pub(super) categories: Vec<Category>,
    /// Which single records.
    pub(super) records: Vec<RecordId>,
    /// Why.
    pub(super) reason: Reason,
}

/// A hold, and whether it is over.
#[derive(Debug)]
pub(super) enum Release {
    /// Another administrator has to release it, too.
    Waits(Explained<LegalHold>),
    /// It is over.
    Done(Explained<LegalHold>),
}

/// The holds of a patient that are in force and as they were sealed. One that is not is reported, and holds nothing.
pub(super) async fn in_force(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
) -> Result<Vec<LegalHold>, Error> {
    let found = legal_holds::in_force(tx, patient).await?.into_iter();
    Ok(found.filter_map(|sealed| seals.open(sealed)).collect())
}

/// Whether every hold of a patient is as it was sealed, and none is gone that the trail knows. While that is not so, nothing of
/// theirs is erased.
///
/// # Errors
/// The database's.
pub(crate) async fn are_sound(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
) -> Result<bool, Error> {
    let all = legal_holds::in_force(tx, patient).await?.len();
    let sound = in_force(seals, tx, patient).await?.len();
    Ok(all == sound && !legal_holds::is_contradicted(tx, patient).await?)
}

/// Whether a hold in force covers some of what a request would erase. An account is held by any hold of its owner.
pub(super) async fn is_held(
    seals: &Seals,
    tx: &mut Tx<'_>,
    request: &DeletionRequest,
) -> Result<bool, Error> {
    for hold in in_force(seals, tx, request.user).await? {
        if covers(tx, &hold, request).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn covers(
    tx: &mut Tx<'_>,
    hold: &LegalHold,
    request: &DeletionRequest,
) -> Result<bool, Error> {
    if request.request_type == DeletionRequestType::AccountErasure {
        return Ok(true);
    }
    let erased = if request.approved.is_empty() {
        &request.asked
    } else {
        &request.approved
    };
    Ok(deletion::overlap(tx, request.user, &hold.covers, erased).await?)
}

/// Places a hold, with its audit row, and puts on hold what is asked for and covered by it.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`]; [`Error::BadInput`] for one's own data and for
/// records that are not the patient's; [`Error::Conflict`] where nothing is left to hold; [`Error::LimitReached`].
pub(super) async fn place(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    new: NewHold,
) -> Result<Explained<LegalHold>, Error> {
    const WANTED: AuditAction = AuditAction::HoldPlace;
    require_administrator(pool, caller, WANTED).await?;
    let key = ReasonKey::of(pool, seals.keyring(), new.patient).await?;
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, new.patient]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, WANTED).await?);
    }
    let id = LegalHoldId::fresh();
    let about = entry(caller, WANTED, id, Some(new.patient));
    if new.patient == actor.id {
        let error = Error::bad("patientId", "nobody holds data of their own");
        return refuse(tx, about, ("OWN_DATA", WANTED), error).await;
    }
    if users::by_ids(&mut tx, &[new.patient]).await?.is_empty() {
        let about = entry(caller, WANTED, id, None);
        return refuse(tx, about, ("NOT_FOUND", WANTED), Error::NotFound("user")).await;
    }
    if execution::is_gone(&mut tx, new.patient).await? {
        let error = Error::Conflict {
            field: "patientId",
            message: "the patient's data was erased: nothing is left to be held".to_owned(),
        };
        return refuse(tx, about, ("ERASED", WANTED), error).await;
    }
    if in_force(seals, &mut tx, new.patient).await?.len() >= MAX_HOLDS {
        return Err(Error::LimitReached {
            field: "patientId",
            message: format!("{MAX_HOLDS} holds of this patient are in force, and no more can be"),
        });
    }
    let categories = if new.categories.is_empty() && new.records.is_empty() {
        vec![Category::All]
    } else {
        new.categories
    };
    let covers = coverage(&mut tx, new.patient, categories, new.records).await?;
    let mut hold = LegalHold {
        id,
        patient: new.patient,
        covers,
        reason: None,
        placed: Approval {
            by: actor.id,
            at: users::now(&mut tx).await?,
        },
        release_proposed: None,
        released: None,
    };
    let words = new.reason.as_str();
    if let Some(key) = &key {
        hold.reason = Some(key.seal(&mut tx, &hold, words).await?);
    }
    legal_holds::insert(&mut tx, &hold, &seals.seal(&hold)?).await?;
    let waiting = put_on_hold(seals, &mut tx, caller, &hold).await?;
    let placed = AuditEntry {
        new_value: Some(json!({
            "dataCategories": hold.covers.categories, "records": hold.covers.records.len(),
            "requestsOnHold": waiting,
        })),
        ..about
    };
    audit::insert(&mut tx, &[placed]).await?;
    tx.commit().await?;
    Ok(Explained {
        reason: hold.reason.is_some().then(|| words.to_owned()),
        row: hold,
        is_forged: false,
    })
}

async fn put_on_hold(
    seals: &Seals,
    tx: &mut Tx<'_>,
    caller: &Caller,
    hold: &LegalHold,
) -> Result<usize, Error> {
    let waiting = [
        DeletionStatus::UnderReview,
        DeletionStatus::Scheduled,
        DeletionStatus::Executing,
        DeletionStatus::Failed,
    ];
    let mut count = 0;
    for sealed in deletion::lock_in(tx, hold.patient, &waiting).await? {
        let Some(request) = seals.open(sealed) else {
            continue;
        };
        if !request.request_type.erases() || !covers(tx, hold, &request).await? {
            continue;
        }
        let on_hold = step(&request, DeletionStep::Hold)?;
        move_on(seals, tx, caller, &request, &on_hold).await?;
        count += 1;
    }
    Ok(count)
}

/// Writes that a hold moved a request, with its audit row.
async fn move_on(
    seals: &Seals,
    tx: &mut Tx<'_>,
    caller: &Caller,
    before: &DeletionRequest,
    after: &DeletionRequest,
) -> Result<(), Error> {
    save(seals, tx, after).await?;
    let moved = AuditEntry {
        old_value: Some(json!({ "status": before.status })),
        new_value: Some(json!({ "status": after.status })),
        ..super::entries::entry(caller, AuditAction::DeletionHold, after.id, after.user)
    };
    Ok(audit::insert(tx, &[moved]).await?)
}

/// Releases a hold, with its audit row: the first administrator proposes, another one confirms. Then what no other hold
/// covers goes on.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::NotFound`], with its audit row; [`Error::BadInput`] for one's own data;
/// [`Error::Conflict`] where it is over, or the same administrator proposed its release.
pub(super) async fn release(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    id: LegalHoldId,
) -> Result<Release, Error> {
    const WANTED: AuditAction = AuditAction::HoldRelease;
    require_administrator(pool, caller, WANTED).await?;
    let missing = || Error::NotFound("legal hold");
    let mut conn = pool.acquire().await?;
    let patient = legal_holds::patient(&mut conn, id).await?;
    drop(conn);
    let Some(patient) = patient else {
        let tx = pool.begin().await?;
        return refuse_unknown(tx, entry(caller, WANTED, id, None), "legal hold").await;
    };
    let mut tx = pool.begin().await?;
    barrier::lock_exclusive(&mut tx, [caller.user, patient]).await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, WANTED).await?);
    }
    let found = legal_holds::lock(&mut tx, id).await?;
    let about = entry(caller, WANTED, id, Some(patient));
    if patient == actor.id {
        let error = Error::bad("id", "nobody releases a hold of their own data");
        return refuse(tx, about, ("OWN_DATA", WANTED), error).await;
    }
    let (hold, _) = found.clone().ok_or_else(missing)?.into_parts();
    if hold.released.is_some() {
        let error = Error::Conflict {
            field: "id",
            message: "the hold was released before".to_owned(),
        };
        return refuse(tx, about, ("STATE", WANTED), error).await;
    }
    let Some(hold) = found.and_then(|sealed| seals.open(sealed)) else {
        return refuse(tx, about, ("TAMPERED", WANTED), missing()).await;
    };
    let now = Approval {
        by: actor.id,
        at: users::now(&mut tx).await?,
    };
    let first = match hold.release_proposed {
        Some(first) => {
            let account = seals.account(&mut tx, first.by).await?;
            account.is_some_and(|it| it.is_active && it.role == Role::Admin)
        }
        None => false,
    };
    if first && hold.release_proposed.is_some_and(|it| it.by == actor.id) {
        let error = Error::Conflict {
            field: "id",
            message: "you released this hold; another administrator has to release it, too"
                .to_owned(),
        };
        return refuse(tx, about, ("SAME_ADMINISTRATOR", WANTED), error).await;
    }
    conclude(seals, tx, caller, about, hold, (now, first)).await
}

/// Writes the first or the second release, and lets go on what nothing holds any more.
async fn conclude(
    seals: &Seals,
    mut tx: Tx<'_>,
    caller: &Caller,
    about: AuditEntry,
    hold: LegalHold,
    (now, is_second): (Approval, bool),
) -> Result<Release, Error> {
    let (hold, seal) = if is_second {
        let released = Some(now);
        (LegalHold { released, ..hold }, None)
    } else {
        let release_proposed = Some(now);
        let hold = LegalHold {
            release_proposed,
            ..hold
        };
        let seal = seals.seal(&hold)?;
        (hold, Some(seal))
    };
    legal_holds::save(&mut tx, &hold, seal.as_ref()).await?;
    let mut gone_on = 0;
    if is_second {
        let waiting = deletion::lock_in(&mut tx, hold.patient, &[DeletionStatus::OnHold]).await?;
        for sealed in waiting {
            let Some(request) = seals.open(sealed) else {
                continue;
            };
            if is_held(seals, &mut tx, &request).await? {
                continue;
            }
            let Some(released) = request.released() else {
                continue;
            };
            move_on(seals, &mut tx, caller, &request, &released).await?;
            gone_on += 1;
        }
    }
    let entry = AuditEntry {
        new_value: Some(json!({
            "released": is_second,
            "firstBy": hold.release_proposed.map(|it| it.by),
            "requestsGoOn": gone_on,
        })),
        ..about
    };
    audit::insert(&mut tx, &[entry]).await?;
    let sealed = SealedReasons::of(&mut tx, vec![hold]).await?;
    tx.commit().await?;
    let hold = sealed.open_one(seals.keyring()).await?;
    Ok(if is_second {
        Release::Done(hold)
    } else {
        Release::Waits(hold)
    })
}

/// Every hold, newest first, one more than asked for where there are more. Written down before they are shown.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators.
pub(super) async fn list(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    range: PageRange<HoldCursor>,
) -> Result<Vec<Explained<LegalHold>>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        return Err(refuse_role(tx, caller, actor, Role::Admin, AuditAction::DeletionRead).await?);
    }
    let found = legal_holds::page(&mut tx, range.keyset()).await?;
    let entry = AuditEntry {
        resource_type: ResourceType::LegalHold,
        new_value: Some(json!({ "list": "legalHolds" })),
        classification: Classification::Personal,
        ..caller.entry(AuditAction::DeletionRead, Purpose::Compliance)
    };
    audit::insert(&mut tx, &[entry]).await?;
    let found = found.into_iter();
    let shown = found.map(|sealed| {
        let (hold, _) = sealed.clone().into_parts();
        if hold.released.is_none() {
            seals.look_at(sealed);
        }
        hold
    });
    let sealed = SealedReasons::of(&mut tx, shown.collect()).await?;
    tx.commit().await?;
    Ok(sealed.open(seals.keyring()).await?)
}

fn entry(
    caller: &Caller,
    action: AuditAction,
    id: LegalHoldId,
    patient: Option<UserId>,
) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::LegalHold,
        resource_id: id.0,
        classification: Classification::SensitivePersonal,
        patient,
        ..caller.entry(action, Purpose::Compliance)
    }
}
