//! What one request has opened: each record once, however many of its fields ask for content. One
//! decision, one audit row, one decryption.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::Context;
use domain::{ids::RecordId, purpose::Purpose};
use tokio::sync::OnceCell;

use super::{
    content,
    disclosure::{Inquiry, Wanted},
};
use crate::{
    error::Error,
    graphql::{loaders, request},
};

/// What opening a record came to, for every field that asks.
type Content = Result<Arc<[u8]>, Arc<Error>>;
/// Whoever comes first opens the record; the others wait for it.
type Slots = HashMap<(RecordId, Purpose), Arc<OnceCell<Content>>>;

/// The records that one request has opened. It must not outlive the request: the next one is decided
/// anew.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Slots>>);

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
/// [`Withheld`]: the caller may not read it (any more), or it is not what was hashed.
pub(crate) async fn bytes(
    ctx: &Context<'_>,
    record: RecordId,
    purpose: Purpose,
) -> Result<Arc<[u8]>, Withheld> {
    let cell = {
        let opened = &loaders(ctx)?.opened.0;
        // Nothing in here can panic half-way.
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(opened.entry((record, purpose)).or_default())
    };
    let content = cell.get_or_init(async || open(ctx, record, purpose).await.map_err(Arc::new));
    content.await.clone().map_err(Withheld)
}

async fn open(ctx: &Context<'_>, record: RecordId, purpose: Purpose) -> Result<Arc<[u8]>, Error> {
    let (app, caller) = request(ctx)?;
    let anchor = loaders(ctx)?.anchor(record).await?;
    let inquiry = Inquiry {
        caller,
        record,
        purpose: Some(purpose),
        wanted: Wanted::Content,
    };
    let disclosed = app.desk.ask(inquiry).await?;
    let sealed = disclosed.sealed.ok_or(Error::NotFound("record"))?;
    let opened = content::open(
        &app.keyring,
        &disclosed.record,
        &sealed,
        anchor.map(|a| a.record_hash),
    );
    let bytes = content::intact(app, &disclosed.record, opened).await?;
    Ok(bytes.into())
}
