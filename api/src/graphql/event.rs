//! Where a subscription stands, handed between its resolver and the transport that carries it.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, Response, Value};

use crate::{
    cursor::{Cursor, CursorKey, ListCursors, StreamStart},
    error::Error,
};

/// The name under which an answer's `extensions` hold the cursor of its event.
const CURSOR: &str = "cursor";

/// The cursor of the event that a subscription answers with next. A subscription has one root field and
/// resolves one event after the other, so the one that was set last is the answer's.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventCursor(Arc<Mutex<Option<Cursor>>>);

impl EventCursor {
    /// Says which event is about to be answered with.
    pub(crate) fn set(&self, cursor: Cursor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    /// Writes it into the answer, whatever fields of the event were selected.
    pub(crate) fn write(&self, response: &mut Response) {
        let cursor = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cursor) = cursor {
            let cursor = Value::String(cursor.as_str().to_owned());
            response.extensions.insert(CURSOR.to_owned(), cursor);
        }
    }

    /// The cursor that was written into an answer.
    pub(crate) fn read(response: &Response) -> Option<&str> {
        match response.extensions.get(CURSOR)? {
            Value::String(cursor) => Some(cursor),
            _ => None,
        }
    }
}

/// What the client's `Last-Event-ID` says: the stream goes on after it, whatever `after` says.
#[derive(Debug, Clone)]
pub(crate) struct LastEventId(pub(crate) Cursor);

/// Where a client's stream begins.
///
/// # Errors
/// [`Error::BadInput`] for what is no cursor of this log.
pub(crate) fn stream_start<K: CursorKey>(
    ctx: &Context<'_>,
    cursors: &ListCursors,
    after: Option<&Cursor>,
) -> Result<StreamStart<K>, Error> {
    let resumed = ctx.data_opt::<LastEventId>().map(|LastEventId(id)| id);
    StreamStart::read(cursors, resumed.or(after))
}
