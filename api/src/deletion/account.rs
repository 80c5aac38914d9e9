//! What erases an account, step by step: as a request is carried out, and again after a restore.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    break_glass::{BreakGlassWindow, NotificationKind},
    consents::Consent,
    ids::{ConsentId, UserId},
    organizations::Membership,
    representatives::Representation,
    seals::Authority,
};
use serde_json::{Value, json};
use store::{
    Tx, audit, break_glass, consents,
    deletion::{execution, ties},
    memberships,
    notifications::{self, NewNotification},
    representatives, second_factors,
    sessions::{self, Which},
    users,
};

use crate::{
    break_glass::evidence as evidence_of_window,
    consents::{evidence::evidence_with, receipts},
    error::Error,
    organizations::evidence_of_member,
    representatives::evidence as evidence_of_representation,
    seals::Seals,
};

/// How many consents are taken back in one transaction.
const CONSENTS_AT_ONCE: i64 = 200;

/// The account that is erased, locked.
///
/// # Errors
/// [`Error::Unavailable`] where it is not as it was sealed: what cannot be undone waits for an operator.
async fn locked(seals: &Seals, tx: &mut Tx<'_>, user: UserId) -> Result<Authority, Error> {
    let account = seals.lock(tx, user).await?;
    account.ok_or_else(|| {
        tracing::error!(user.id = %user, "What is to be erased is not carried out: the account is not as it was sealed");
        Error::Unavailable
    })
}

/// Nobody is logged in, or logs in, from here on. Gives how many log-ins ended.
///
/// # Errors
/// As of [`locked`].
pub(crate) async fn end_sessions(
    seals: &Seals,
    tx: &mut Tx<'_>,
    user: UserId,
) -> Result<usize, Error> {
    let ended = sessions::revoke(tx, user, Which::All).await?;
    let account = Authority {
        is_active: false,
        ..locked(seals, tx, user).await?
    };
    seals.write(tx, &account).await?;
    Ok(ended.len())
}

/// Takes some consents back, each with its audit row, which `entry` begins; with the last of them ends who acts for whom, to
/// what the account belongs, and emergency access on its records and of its own. One that is not as it was sealed decides nothing, is a finding, and is taken back as it is: what is
/// done about the rest must not wait for it. Gives whether these were the last, and how many.
///
/// # Errors
/// As of [`locked`].
pub(crate) async fn withdraw_consents(
    seals: &Seals,
    tx: &mut Tx<'_>,
    user: UserId,
    entry: &(dyn Fn(Value) -> AuditEntry + Sync),
) -> Result<(bool, usize), Error> {
    locked(seals, tx, user).await?;
    let open = execution::open_consents(tx, user, CONSENTS_AT_ONCE).await?;
    withdraw(seals, tx, user, &open, entry).await?;
    let is_last = i64::try_from(open.len()).is_ok_and(|open| open < CONSENTS_AT_ONCE);
    if is_last {
        // Last, so that what is refused stays known as long as there are consents.
        let account = Authority {
            refusals: Vec::new(),
            ..locked(seals, tx, user).await?
        };
        seals.write(tx, &account).await?;
        let now = users::now(tx).await?;
        end_representations(seals, tx, (user, now), entry).await?;
        end_memberships(seals, tx, (user, now), entry).await?;
        close_windows(seals, tx, (user, now), entry).await?;
    }
    Ok((is_last, open.len()))
}

/// Takes these consents back.
async fn withdraw(
    seals: &Seals,
    tx: &mut Tx<'_>,
    patient: UserId,
    open: &[ConsentId],
    entry: &(dyn Fn(Value) -> AuditEntry + Sync),
) -> Result<(), Error> {
    let now = users::now(tx).await?;
    let mut entries = Vec::new();
    for id in open.iter().copied() {
        let Some(found) = consents::lock(tx, id, patient).await? else {
            continue;
        };
        let (consent, is_as_sealed) = seals.look_at(found);
        let consent = Consent {
            withdrawn_at: Some(now),
            ..consent
        };
        if is_as_sealed {
            consents::withdraw(tx, &consent, &seals.seal(&consent)?).await?;
        } else {
            consents::withdraw_unsealed(tx, &consent).await?;
        }
        let receipt = receipts::of_withdrawal(seals, tx, &consent).await?;
        entries.push(AuditEntry {
            resource_type: ResourceType::Consent,
            resource_id: id.0,
            consent: Some(id),
            old_value: Some(json!({ "withdrawnAt": null })),
            encryption: EncryptionStatus::MetadataOnly,
            ..entry(evidence_with(&consent, receipt.as_deref()))
        });
    }
    Ok(audit::insert(tx, &entries).await?)
}

/// Ends by what others act for this account, and by what it acts for others; whoever of both stays is told. One that is not as it
/// was sealed is ended as it is.
async fn end_representations(
    seals: &Seals,
    tx: &mut Tx<'_>,
    (user, now): (UserId, DateTime<Utc>),
    entry: &(dyn Fn(Value) -> AuditEntry + Sync),
) -> Result<(), Error> {
    let (mut entries, mut told) = (Vec::new(), Vec::new());
    for id in ties::open_representations(tx, user).await? {
        let Some(found) = representatives::lock(tx, id).await? else {
            continue;
        };
        let (made, is_as_sealed) = seals.look_at(found.representation);
        let ended = Representation {
            ended_at: Some(now),
            ..made
        };
        if is_as_sealed {
            representatives::end(tx, &ended, &seals.seal(&ended)?).await?;
        } else {
            ties::end_unsealed_representation(tx, &ended).await?;
        }
        entries.push(AuditEntry {
            action: AuditAction::RepresentativeEnd,
            resource_type: ResourceType::Representative,
            resource_id: id.0,
            patient: Some(ended.patient),
            old_value: Some(json!({ "endedAt": null })),
            encryption: EncryptionStatus::MetadataOnly,
            ..entry(evidence_of_representation(&ended))
        });
        let both = [ended.patient, ended.representative].into_iter();
        told.extend(both.filter(|it| *it != user).map(|other| NewNotification {
            user: other,
            kind: NotificationKind::RepresentationEnded,
            actor: user,
            resource: id.0,
            at: now,
        }));
    }
    notifications::append(tx, &told).await?;
    Ok(audit::insert(tx, &entries).await?)
}

/// Ends to what this account belongs. One that is not as it was sealed is ended as it is.
async fn end_memberships(
    seals: &Seals,
    tx: &mut Tx<'_>,
    (user, now): (UserId, DateTime<Utc>),
    entry: &(dyn Fn(Value) -> AuditEntry + Sync),
) -> Result<(), Error> {
    let mut entries = Vec::new();
    for id in ties::open_memberships(tx, user).await? {
        let Some(found) = memberships::lock(tx, id).await? else {
            continue;
        };
        let (known, is_as_sealed) = seals.look_at(found);
        let ended = Membership {
            ended_at: Some(now),
            ..known
        };
        if is_as_sealed {
            memberships::end(tx, &ended, &seals.seal(&ended)?).await?;
        } else {
            ties::end_unsealed_membership(tx, &ended).await?;
        }
        entries.push(AuditEntry {
            action: AuditAction::MembershipEnd,
            resource_type: ResourceType::Membership,
            resource_id: id.0,
            patient: Some(user),
            old_value: Some(json!({ "endedAt": null })),
            classification: Classification::Security,
            ..entry(evidence_of_member(&ended))
        });
    }
    Ok(audit::insert(tx, &entries).await?)
}

/// Closes the windows of emergency access on this account's records, and those that it opened. One that is not as it was sealed
/// opens nothing.
async fn close_windows(
    seals: &Seals,
    tx: &mut Tx<'_>,
    (user, now): (UserId, DateTime<Utc>),
    entry: &(dyn Fn(Value) -> AuditEntry + Sync),
) -> Result<(), Error> {
    let on_records = break_glass::open_of_patient(tx, user, now).await?;
    let of_doctor = break_glass::open_of_doctors(tx, &[user], now).await?;
    let mut entries = Vec::new();
    for found in on_records.into_iter().chain(of_doctor) {
        let Some(found) = seals.open(found) else {
            continue;
        };
        // Its doctor may have closed it meanwhile.
        let stored = break_glass::lock(tx, found.id).await?;
        let window = stored.and_then(|stored| seals.open(stored.window));
        let Some(window) = window.filter(|window| window.is_open(now)) else {
            continue;
        };
        let closed = BreakGlassWindow {
            closed_at: Some(now),
            ..window
        };
        break_glass::close(tx, &closed, &seals.seal(&closed)?).await?;
        entries.push(AuditEntry {
            action: AuditAction::BreakGlassEnd,
            resource_type: ResourceType::BreakGlassWindow,
            resource_id: closed.id.0,
            patient: Some(closed.patient),
            classification: Classification::SensitivePersonal,
            encryption: EncryptionStatus::MetadataOnly,
            ..entry(evidence_of_window(&closed))
        });
    }
    Ok(audit::insert(tx, &entries).await?)
}

/// Seals the receipts that were emptied: each says what it is, of nobody.
async fn seal_receipts(seals: &Seals, tx: &mut Tx<'_>, user: UserId) -> Result<(), Error> {
    let mut sealed = Vec::new();
    for receipt in ties::emptied_receipts(tx, user).await? {
        sealed.push((receipt.id, seals.seal(&receipt)?));
    }
    Ok(ties::seal_receipts(tx, sealed).await?)
}

/// The account stays, and says nothing of anybody. Wallets, and what receipts and representations say, are the caller's to remove.
///
/// # Errors
/// As of [`locked`].
pub(crate) async fn pseudonymise(
    seals: &Seals,
    tx: &mut Tx<'_>,
    user: UserId,
) -> Result<(), Error> {
    let account = locked(seals, tx, user).await?;
    second_factors::remove(tx, user).await?;
    execution::remove_traces(tx, user).await?;
    seal_receipts(seals, tx, user).await?;
    let nobody = user.0.simple();
    let account = Authority {
        // Nobody can register either of them, and stand in the way.
        email: format!("{nobody}@erased"),
        username: format!("erased:{nobody}"),
        is_active: false,
        organization: None,
        // No password has this hash.
        hashed_password: "!".to_owned(),
        blockchain_address: None,
        has_second_factor: false,
        refusals: Vec::new(),
        ..account
    };
    seals.write(tx, &account).await?;
    users::rename(tx, &account, &seals.seal(&account)?).await?;
    Ok(())
}
