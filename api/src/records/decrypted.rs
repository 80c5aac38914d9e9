//! What one request has opened: each record once, however many of its fields ask for content. One
//! decision, one audit row, one decryption.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::Context;
use domain::{ids::RecordId, stored::StoredRecord};
use tokio::sync::OnceCell;
use vault::row::{Content, Opened};

use super::{
    decrypt,
    disclosure::{DisclosedFor, DisclosureRequest, Wanted},
};
use crate::{
    error::Error,
    graphql::{app, budget, request},
};

/// What opening a record came to, for every field that asks.
type DecryptedContent = Result<Arc<Content>, Arc<Error>>;
/// Whoever comes first opens the record; the others wait for it.
type Slots = HashMap<(RecordId, DisclosedFor), Arc<DecryptedSlot>>;

/// A record that is opened, and whether a field has shown it: the first was paid for when the record was
/// disclosed.
#[derive(Debug, Default)]
struct DecryptedSlot {
    content: OnceCell<DecryptedContent>,
    is_shown: AtomicBool,
}

/// The records that one request has opened. It must not outlive the request: the next one is decided
/// anew.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecryptedRecords(Arc<Mutex<Slots>>);

impl DecryptedRecords {
    /// Forgets them: what comes next is decided anew.
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Why a record was not opened, told to each field that asked for its content.
#[derive(Debug)]
pub(crate) struct Withheld(Arc<Error>);

impl From<Error> for Withheld {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<Withheld> for async_graphql::Error {
    fn from(Withheld(error): Withheld) -> Self {
        Self {
            message: error.to_string(),
            source: Some(error),
            extensions: None,
        }
    }
}

/// The exact bytes that were hashed, audited as a disclosure before they are opened.
///
/// # Errors
/// [`Withheld`]: the caller may not read it (any more), it is not what was hashed, or the answer would
/// become too long.
pub(crate) async fn bytes(
    ctx: &Context<'_>,
    record: RecordId,
    disclosed_for: DisclosedFor,
) -> Result<Arc<Content>, Withheld> {
    let slot = slot(ctx, record, disclosed_for)?;
    let ask = async || ask(ctx, record, disclosed_for).await.map_err(Arc::new);
    let content = slot.content.get_or_init(ask).await;
    let content = content.clone().map_err(Withheld)?;
    if slot.is_shown.swap(true, Ordering::Relaxed) {
        budget(ctx)?.charge(content.len())?;
    }
    Ok(content)
}

/// Opens envelopes that were disclosed together with their records, for the fields that ask for them
/// later. What is wrong with one is told to those.
///
/// # Errors
/// [`Error::Internal`] where the transport gave the request no place for them; [`Error::Unavailable`] where no key can be
/// unwrapped now.
pub(crate) async fn keep(
    ctx: &Context<'_>,
    disclosed_for: DisclosedFor,
    mut sealed: Vec<StoredRecord>,
) -> Result<(), Error> {
    let app = app(ctx)?;
    let opened = decrypt::open_all_in_place(&app.keyring, &mut sealed).await?;
    for (sealed, opened) in sealed.iter().zip(opened) {
        let slot = slot(ctx, sealed.id, disclosed_for)?;
        let intact = decrypt::intact(&app.pool, sealed, opened).await;
        // Whoever was there before has opened the same.
        drop(slot.content.set(intact.map(Arc::new).map_err(Arc::new)));
    }
    Ok(())
}

fn slot(
    ctx: &Context<'_>,
    record: RecordId,
    disclosed_for: DisclosedFor,
) -> Result<Arc<DecryptedSlot>, Error> {
    let opened = ctx.data::<DecryptedRecords>();
    let opened = &opened.map_err(|_| Error::Internal)?.0;
    // Nothing in here can panic half-way.
    let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::clone(
        opened.entry((record, disclosed_for)).or_default(),
    ))
}

async fn ask(
    ctx: &Context<'_>,
    record: RecordId,
    disclosed_for: DisclosedFor,
) -> Result<Arc<Content>, Error> {
    let (app, caller) = request(ctx)?;
    let caller = caller.acting_for(disclosed_for.on_behalf_of)?;
    let inquiry = DisclosureRequest {
        caller,
        record,
        purpose: Some(disclosed_for.purpose),
        wanted: Wanted::Content,
        budget: Some(budget(ctx)?.clone()),
    };
    let disclosed = app.disclosure.ask(inquiry).await?;
    let mut sealed = disclosed.sealed.ok_or(Error::NotFound("record"))?;
    let rows = std::slice::from_mut(&mut sealed);
    let opened = decrypt::open_all_in_place(&app.keyring, rows).await?.pop();
    let opened = opened.unwrap_or(Opened::Undecryptable);
    let intact = decrypt::intact(&app.pool, &sealed, opened).await?;
    Ok(Arc::new(intact))
}
