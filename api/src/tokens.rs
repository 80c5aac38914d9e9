//! The token keys of this process, read again when their file changes: a key is added, or one removed,
//! without a restart and without logging anybody out.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use domain::ids::{SessionId, UserId};
use tokio::task::JoinSet;
use vault::{
    refresh::RefreshToken,
    token::{Bearer, TokenError, TokenKeyError, TokenKeys},
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The token keys as the file has them now. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Arc<RwLock<Arc<TokenKeys>>>);

impl Tokens {
    /// Reads the file, and goes on looking at it.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub(crate) fn start(path: &Path, tasks: &mut JoinSet<()>) -> Result<Self, TokenKeyError> {
        // Looked at before it is read: a change in between is seen the next time.
        let seen = changed_at(path);
        let keys = TokenKeys::load(path)?;
        let tokens = Self(Arc::new(RwLock::new(Arc::new(keys))));
        tasks.spawn(watch(path.to_owned(), seen, tokens.clone()));
        Ok(tokens)
    }

    fn now(&self) -> Arc<TokenKeys> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// See [`TokenKeys::issue`].
    pub(crate) fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> (String, DateTime<Utc>) {
        self.now().issue(user, session, now)
    }

    /// See [`TokenKeys::check`].
    ///
    /// # Errors
    /// [`TokenError`].
    pub(crate) fn check(&self, token: &str, now: DateTime<Utc>) -> Result<Bearer, TokenError> {
        self.now().check(token, now)
    }

    /// See [`TokenKeys::successor`].
    pub(crate) fn successor(&self, parent: &RefreshToken, child: SessionId) -> RefreshToken {
        self.now().successor(parent, child)
    }

    /// See [`TokenKeys::known_successor`].
    pub(crate) fn known_successor(
        &self,
        parent: &RefreshToken,
        child: SessionId,
        hash: &str,
    ) -> Option<RefreshToken> {
        self.now().known_successor(parent, child, hash)
    }

    /// See [`TokenKeys::jwks`].
    pub(crate) fn jwks(&self) -> String {
        self.now().jwks()
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// Reads the file again whenever it has changed. One that cannot be used is told and left alone: the keys
/// that were read stay.
async fn watch(path: PathBuf, mut seen: Option<SystemTime>, tokens: Tokens) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let file = path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let changed = changed_at(&file);
            (changed != seen).then(|| (changed, TokenKeys::load(&file)))
        });
        let Ok(Some((changed, read))) = looked.await else {
            continue;
        };
        seen = changed;
        match read {
            Ok(keys) => {
                tracing::info!(?keys, "The token keys were read again");
                let mut now = tokens.0.write().unwrap_or_else(PoisonError::into_inner);
                *now = Arc::new(keys);
            }
            Err(error) => {
                tracing::error!(%error, "The token key file has changed and cannot be used: the keys stay as they were");
            }
        }
    }
}
