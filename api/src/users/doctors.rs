//! Looking for a doctor, to name in a consent.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    purpose::Purpose,
    users::{User, words},
};
use serde_json::json;
use store::{
    Pool, audit,
    users::{UserCursor, doctors},
};

use crate::{caller::Caller, error::Error, page::PageRange};

/// How long what is looked for is at least, and at most. Unit: letters and digits; characters.
const LENGTHS: (usize, usize) = (2, 50);

/// Active doctors of whose names words begin so, newest account first, one more than asked for where there are more.
///
/// # Errors
/// [`Error::BadInput`] for too little or too much to look for; [`Error::Unauthenticated`].
pub(crate) async fn search(
    pool: &Pool,
    caller: &Caller,
    text: &str,
    range: PageRange<UserCursor>,
) -> Result<Vec<User>, Error> {
    let (least, most) = LENGTHS;
    let is_too_long = text.chars().count() > most;
    let words = if is_too_long { Vec::new() } else { words(text) };
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    if length < least {
        let message = format!("search for {least} letters or digits at least, and {most} at most");
        return Err(Error::bad("search", message));
    }
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let found = doctors(&mut tx, &words, range.keyset()).await?;
    let shown = found.len().min(usize::try_from(range.size).unwrap_or(0));
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        new_value: Some(json!({ "list": "doctors", "count": shown })),
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserSearch, Purpose::default_of(actor.role))
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(found)
}
