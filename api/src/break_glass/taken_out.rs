//! The windows that concern somebody, as they are taken out with everything else about that person: with the words that
//! `myBreakGlassWindows` shows them, too. Who is no doctor any more reads no words about others.

use domain::{access::Actor, ids::UserId, users::Role};
use serde_json::{Value, json};
use store::{
    PgConnection, StoreError,
    break_glass::{self, WindowCursor},
};
use vault::keyring::KeysUnavailable;

use super::words::{SealedWords, ShownWindow};
use crate::seals::Seals;

/// A page of windows on somebody's records, or that they opened, with the keys that open their words.
#[derive(Debug)]
pub(crate) struct ConcerningWindows(SealedWords);

impl ConcerningWindows {
    /// Fetches the page, newest first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(
        conn: &mut PgConnection,
        owner: UserId,
        after: Option<WindowCursor>,
        limit: i64,
    ) -> Result<Self, StoreError> {
        let found = break_glass::concerning(conn, owner, after, limit).await?;
        Ok(Self(SealedWords::of(conn, found).await?))
    }

    /// A line for each, with the key of its place. Nothing of the database is held while keys are unwrapped.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(crate) async fn lines(
        self,
        seals: &Seals,
        reader: &Actor,
    ) -> Result<Vec<(Value, WindowCursor)>, KeysUnavailable> {
        let shown = self.0.open(seals.keyring(), seals).await?;
        Ok(shown.iter().map(|shown| line(shown, reader)).collect())
    }
}

fn line(shown: &ShownWindow, reader: &Actor) -> (Value, WindowCursor) {
    let (window, review) = (&shown.window, shown.review.as_ref());
    let has_words = reader.role == Role::Doctor || window.patient == reader.id;
    let note = review.and_then(|review| review.note.as_deref());
    let line = json!({
        "id": window.id, "patientId": window.patient, "doctorId": window.doctor, "purpose": window.purpose,
        "reason": shown.reason.as_ref().filter(|_| has_words), "openedAt": window.opened_at, "expiresAt": window.expires_at,
        "closedAt": window.closed_at, "reviewedAt": review.map(|review| review.at),
        "reviewedBy": review.map(|review| review.by), "decision": review.map(|review| review.decision),
        "note": note.filter(|_| has_words),
    });
    (line, (window.opened_at, window.id.0))
}
