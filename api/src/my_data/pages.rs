//! The sections that are rows of one table.

use domain::{
    access::Actor,
    deletion::DeletionRequest,
    ids::{ConsentId, DeletionRequestId, SessionId, UserId, WalletId},
};
use serde_json::{Value, json};
use store::{KeysetPage, Tx, consents, deletion, my_data, notifications, sessions, users, wallets};
use uuid::Uuid;

use super::{DataPage, DataPlace, Section, SectionKey, categories};
use crate::{
    break_glass::taken_out::ConcerningWindows,
    consents::evidence::evidence,
    deletion::reasons::{Explained, SealedReasons},
    error::Error,
    seals::Seals,
};

/// How many lines a page has.
const LINES: i64 = 200;

/// A page of these rows: each with its line and its key.
fn page(rows: Vec<(Value, SectionKey)>) -> DataPage {
    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= LINES);
    DataPage {
        next: rows.last().map(|(_, key)| *key).filter(|_| is_full),
        lines: rows.into_iter().map(|(line, _)| line).collect(),
    }
}

pub(super) async fn account(tx: &mut Tx<'_>, owner: UserId) -> Result<DataPage, Error> {
    let found = users::by_ids(tx, &[owner]).await?;
    let lines = found.iter().map(|user| {
        json!({
            "id": user.id, "email": user.email, "username": user.username, "role": user.role,
            "isActive": user.is_active, "blockchainAddress": user.blockchain_address,
            "organizationId": user.organization, "createdAt": user.created_at,
        })
    });
    Ok(DataPage {
        lines: lines.collect(),
        next: None,
    })
}

pub(super) async fn consents(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<DataPage, Error> {
    let after = after.map(|(at, id)| (at, ConsentId(id)));
    let found = consents::page(tx, owner, false, after, false, LINES).await?;
    let rows = found.into_iter().map(|sealed| {
        // As it stands: whoever it is about sees also what is not as it was sealed.
        let (consent, _) = sealed.into_parts();
        let mut line = evidence(&consent);
        line["id"] = json!(consent.id);
        (line, (consent.given_at, consent.id.0))
    });
    Ok(page(rows.collect()))
}

pub(super) async fn log_ins(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<DataPage, Error> {
    let after = after.map(|(at, id)| (at, SessionId(id)));
    let found = sessions::page(tx, owner, None, KeysetPage::after(after, LINES)).await?;
    let rows = found.into_iter().map(|it| {
        let line = json!({
            "id": it.id, "createdAt": it.created_at, "expiresAt": it.expires_at, "idleExpiresAt": it.idle_expires_at,
            "lastUsedAt": it.last_used_at, "ipAddress": it.address, "userAgent": it.user_agent,
        });
        (line, (it.created_at, it.id.0))
    });
    Ok(page(rows.collect()))
}

pub(super) async fn wallets(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<DataPage, Error> {
    let after = after.map(|(at, id)| (at, WalletId(id)));
    let found = wallets::page(tx, owner, KeysetPage::after(after, LINES)).await?;
    let rows = found.into_iter().map(|it| {
        let line = json!({
            "id": it.id, "address": it.address, "chainId": it.chain_id, "linkedAt": it.linked_at,
            "unlinkedAt": it.unlinked_at,
        });
        (line, (it.linked_at, it.id.0))
    });
    Ok(page(rows.collect()))
}

pub(super) async fn notifications(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<DataPage, Error> {
    let before = after.and_then(|(_, position)| i64::try_from(position.as_u128()).ok());
    let found = notifications::page(tx, owner, false, before, LINES).await?;
    let rows = found.into_iter().map(|it| {
        let line = json!({
            "id": it.id, "kind": it.kind, "actorId": it.actor, "resourceId": it.resource, "at": it.at,
            "readAt": it.read_at,
        });
        let position = u128::try_from(it.position).unwrap_or_default();
        (line, (it.at, Uuid::from_u128(position)))
    });
    Ok(page(rows.collect()))
}

/// A page of the requests to erase, with their reasons sealed.
pub(super) async fn requests(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<SealedReasons<DeletionRequest>, Error> {
    let after = after.map(|(at, id)| (at, DeletionRequestId(id)));
    let found = deletion::page(tx, Some(owner), KeysetPage::after(after, LINES)).await?;
    let found = found.into_iter().map(|sealed| sealed.into_parts().0);
    Ok(SealedReasons::of(tx, found.collect()).await?)
}

/// The same page, with their reasons opened.
pub(super) fn explained(found: Vec<Explained<DeletionRequest>>) -> DataPage {
    let rows = found.into_iter().map(|Explained { row: it, reason, .. }| {
        let line = json!({
            "id": it.id, "requestType": it.request_type, "status": it.status,
            "dataCategories": categories(&it.asked.categories), "recordIds": it.asked.records,
            "requestedAt": it.requested_at, "verifiedAt": it.verified_at, "scheduledFor": it.scheduled_for,
            "completedAt": it.completed_at, "reason": reason, "scope": it.scope,
        });
        (line, (it.requested_at, it.id.0))
    });
    page(rows.collect())
}

/// Windows of emergency access, whose words are opened when the transaction has ended.
pub(super) async fn windows(
    tx: &mut Tx<'_>,
    owner: UserId,
    after: Option<SectionKey>,
) -> Result<ConcerningWindows, Error> {
    Ok(ConcerningWindows::of(tx, owner, after, LINES).await?)
}

/// The same page, with their words opened.
pub(super) async fn with_words(
    windows: ConcerningWindows,
    seals: &Seals,
    reader: &Actor,
) -> Result<DataPage, Error> {
    Ok(page(windows.lines(seals, reader).await?))
}

/// A page of what is given as it stands in its table; of other sections nothing.
pub(super) async fn lines(
    tx: &mut Tx<'_>,
    owner: UserId,
    DataPlace { section, after }: DataPlace,
) -> Result<DataPage, Error> {
    let found = match section {
        Section::Representations => my_data::representations(tx, owner, after, LINES).await?,
        Section::RepresentativeProposals => {
            my_data::representative_proposals(tx, owner, after, LINES).await?
        }
        Section::ConsentReceipts => my_data::consent_receipts(tx, owner, after, LINES).await?,
        Section::Memberships => my_data::memberships(tx, owner, after, LINES).await?,
        Section::Account
        | Section::Consents
        | Section::LogIns
        | Section::Wallets
        | Section::Notifications
        | Section::DeletionRequests
        | Section::BreakGlassWindows
        | Section::Records
        | Section::AccessLog => Vec::new(),
    };
    let rows = found.into_iter().map(|it| (it.line, (it.at, it.id)));
    Ok(page(rows.collect()))
}
