//! Windows as they are shown: with their words opened, for those who may read them.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use domain::{
    break_glass::{BreakGlassWindow, ReviewDecision, ReviewStatus},
    ids::{PatientKeyId, UserId},
    stored::StoredKey,
};
use store::{
    PgConnection, StoreError,
    break_glass::{StoredWindow, WindowReview},
    keys, users,
};
use vault::{
    break_glass::{WordsBinding, WordsKind},
    envelope::PatientKey,
    keyring::{Keyring, KeysUnavailable},
};

use crate::{error::Error, facts::distinct, records::patient_keys, seals::Seals};

/// A window as it is shown.
#[derive(Debug, Clone)]
pub(super) struct ShownWindow {
    /// The window.
    pub(super) window: Arc<BreakGlassWindow>,
    /// Whether it is as it was sealed, and its review as the trail has it.
    pub(super) is_as_sealed: bool,
    /// Whether it is open, by the database's clock.
    pub(super) is_open: bool,
    /// Why it was opened; `None` where the patient's key is gone.
    pub(super) reason: Option<String>,
    /// When every administrator was told that nobody had reviewed it in time.
    pub(super) escalated_at: Option<DateTime<Utc>>,
    /// Its review.
    pub(super) review: Option<ShownReview>,
}

/// The review of a window as it is shown.
#[derive(Debug, Clone)]
pub(super) struct ShownReview {
    /// When.
    pub(super) at: DateTime<Utc>,
    /// By whom.
    pub(super) by: UserId,
    /// With which result.
    pub(super) decision: ReviewDecision,
    /// What was noted.
    pub(super) note: Option<String>,
}

impl ShownWindow {
    /// Where its review stands.
    pub(super) const fn status(&self) -> ReviewStatus {
        match (&self.review, self.escalated_at) {
            (Some(_), _) => ReviewStatus::Reviewed,
            (None, Some(_)) => ReviewStatus::Escalated,
            (None, None) => ReviewStatus::Pending,
        }
    }
}

/// Windows with the keys of their patients, wrapped: read in the transaction that writes down who reads them.
#[derive(Debug)]
pub(super) struct SealedWords {
    windows: Vec<StoredWindow>,
    keys: Vec<StoredKey>,
    /// When they were read.
    now: DateTime<Utc>,
}

impl SealedWords {
    /// Fetches the keys of these windows' patients, one statement, and the time.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn of(
        conn: &mut PgConnection,
        windows: Vec<StoredWindow>,
    ) -> Result<Self, StoreError> {
        let patients = windows.iter().map(|it| it.window.clone().into_parts().0);
        let patients = distinct(patients.map(|window| window.patient));
        let keys = keys::living(conn, &patients).await?;
        let now = users::now(conn).await?;
        Ok(Self { windows, keys, now })
    }

    /// Opens their words. Nothing of the database is held while keys are unwrapped.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(super) async fn open(
        self,
        keyring: &Keyring,
        seals: &Seals,
    ) -> Result<Vec<ShownWindow>, KeysUnavailable> {
        let keys = patient_keys::unwrapped(keyring, &self.keys).await?;
        Ok(self.shown(&keys, seals))
    }

    /// The same after something was done: that was done, also where no word of it can be opened now.
    pub(super) async fn open_where_possible(
        self,
        keyring: &Keyring,
        seals: &Seals,
    ) -> Vec<ShownWindow> {
        let keys = patient_keys::unwrapped_where_possible(keyring, &self.keys).await;
        self.shown(&keys, seals)
    }

    /// The same of the only window.
    ///
    /// # Errors
    /// [`Error::Internal`] where there is none.
    pub(super) async fn open_one(
        self,
        keyring: &Keyring,
        seals: &Seals,
    ) -> Result<ShownWindow, Error> {
        let mut shown = self.open_where_possible(keyring, seals).await;
        shown.pop().ok_or(Error::Internal)
    }

    fn shown(self, keys: &HashMap<PatientKeyId, PatientKey>, seals: &Seals) -> Vec<ShownWindow> {
        let windows = self.windows.into_iter();
        let shown = windows.map(|stored| shown(keys, seals, stored, self.now));
        shown.collect()
    }
}

fn shown(
    keys: &HashMap<PatientKeyId, PatientKey>,
    seals: &Seals,
    stored: StoredWindow,
    now: DateTime<Utc>,
) -> ShownWindow {
    let (window, is_right) = seals.look_at(stored.window);
    let is_as_sealed = is_right && stored.forged_review.is_none();
    let key = keys.get(&window.patient_key);
    let open = |kind, sealed: &[u8]| {
        let binding = WordsBinding::of(&window, kind);
        let words = key?.open_words(&binding, sealed);
        let words = words.inspect_err(|error| {
            tracing::error!(window.id = %window.id, %error, "Words of a window do not open");
        });
        Some(words.ok()?.as_str().to_owned())
    };
    let review = stored.review.map(
        |WindowReview {
             at,
             by,
             decision,
             sealed_note,
         }| ShownReview {
            at,
            by,
            decision,
            note: sealed_note.and_then(|note| open(WordsKind::Note, &note)),
        },
    );
    ShownWindow {
        reason: open(WordsKind::Reason, &window.sealed_reason),
        is_open: is_as_sealed && window.is_open(now),
        window: Arc::new(window),
        is_as_sealed,
        escalated_at: stored.escalated_at,
        review,
    }
}
