//! The erasure ledger: what was erased, written in the transaction that erases, and kept in a file beside the database, so that
//! after the restore of an older backup the same can be erased again.

pub(crate) mod file;
pub(crate) mod replay;

use chrono::{DateTime, Utc};
use domain::ids::{DeletionRequestId, PatientKeyId, RecordId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    Tx,
    erasure_ledger::{self, LedgerHead},
    users,
};
use uuid::Uuid;
use vault::{digest, keyring::Keyring};

use self::file::NOTHING;
use crate::error::Error;

/// Why something was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ErasureCause {
    /// It was asked for.
    Request,
    /// It had been kept long enough.
    Retention,
}

/// What was erased: ids, and nothing of what they named. The text of it is what is hashed, so no field moves. Its seal says that it
/// was written by whoever holds a master key: what is erased again goes by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LedgerEntry {
    /// Which entry.
    pub(crate) entry: Uuid,
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// Why.
    pub(crate) cause: ErasureCause,
    /// The request that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Uuid>,
    /// Whose data.
    pub(crate) subject: Uuid,
    /// The records, each version by its own id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) records: Vec<Uuid>,
    /// The keys that were destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<Uuid>,
    /// Whether the account says nothing of anybody any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) account: bool,
    /// The SHA-256 of the certificate, when all was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// The seal over the hash before and the text without it, in hexadecimal digits (`vault::seal`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<String>,
    /// The master key that its key is derived from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal_key: Option<String>,
}

impl LedgerEntry {
    /// An entry about a request; what was erased is set by field.
    pub(crate) fn of_request(request: DeletionRequestId, subject: UserId) -> Self {
        Self {
            request: Some(request.0),
            ..Self::new(ErasureCause::Request, subject)
        }
    }

    /// An entry about what had been kept long enough.
    pub(crate) fn of_retention(
        subject: UserId,
        records: impl IntoIterator<Item = RecordId>,
    ) -> Self {
        Self {
            records: ids(records),
            ..Self::new(ErasureCause::Retention, subject)
        }
    }

    fn new(cause: ErasureCause, subject: UserId) -> Self {
        Self {
            entry: domain::ids::RequestId::fresh().0,
            at: DateTime::UNIX_EPOCH,
            cause,
            request: None,
            subject: subject.0,
            records: Vec::new(),
            keys: Vec::new(),
            account: false,
            certificate: None,
            seal: None,
            seal_key: None,
        }
    }

    /// Appends it, in the transaction that erases.
    ///
    /// # Errors
    /// The database's; [`Error::Unavailable`] where no master key can be used.
    pub(crate) async fn append(
        mut self,
        keyring: &Keyring,
        tx: &mut Tx<'_>,
    ) -> Result<LedgerHead, Error> {
        self.at = users::now(tx).await?;
        self.append_again(keyring, tx).await
    }

    /// Appends one that was carried out before, as it was then, sealed in its place.
    ///
    /// # Errors
    /// As [`LedgerEntry::append`].
    pub(crate) async fn append_again(
        &self,
        keyring: &Keyring,
        tx: &mut Tx<'_>,
    ) -> Result<LedgerHead, Error> {
        erasure_ledger::lock(tx).await?;
        let last = erasure_ledger::head(tx).await?;
        let before = last.as_ref().map_or(NOTHING, |last| last.hash.as_str());
        let seal = keyring.seal_ledger_entry(before, &self.unsealed());
        let seal = seal.map_err(|error| {
            tracing::error!(%error, "No entry of the erasure ledger can be sealed");
            Error::Unavailable
        })?;
        let sealed = Self {
            seal: Some(digest::to_hex(&seal.mac)),
            seal_key: Some(seal.key_id),
            ..self.clone()
        };
        let text = json!(sealed).to_string();
        Ok(erasure_ledger::append(tx, self.entry, &text).await?)
    }

    /// Whether it was sealed as the entry after the one with this hash.
    pub(crate) fn is_ours(&self, keyring: &Keyring, before: &str) -> bool {
        let (Some(seal), Some(key)) = (&self.seal, &self.seal_key) else {
            return false;
        };
        keyring.is_ledger_entry(before, &self.unsealed(), seal, key)
    }

    /// The text that is sealed.
    fn unsealed(&self) -> String {
        let unsealed = Self {
            seal: None,
            seal_key: None,
            ..self.clone()
        };
        json!(unsealed).to_string()
    }
}

/// Ids as an entry has them.
pub(crate) fn ids(records: impl IntoIterator<Item = RecordId>) -> Vec<Uuid> {
    records.into_iter().map(|record| record.0).collect()
}

/// Ids of keys as an entry has them.
pub(crate) fn key_ids(keys: &[PatientKeyId]) -> Vec<Uuid> {
    keys.iter().map(|key| key.0).collect()
}

/// The last entry, as the audit trail and a certificate name it: whoever has one of them can see that a file was cut off.
pub(crate) fn named(head: &LedgerHead) -> Value {
    json!({ "position": head.position, "hash": head.hash })
}
