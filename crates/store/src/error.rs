//! What can go wrong with the database, by what it means to the caller.

use std::{error::Error, io};

/// Why the database gave no answer. Printing one never shows SQL, values or constraint names.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much was going on, or two were in each other's way: nothing happened, and the same again after
    /// a moment may succeed.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// No connection could be had, or it broke.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The database answers, and cannot do its work until an operator mends it.
    #[error("the database cannot do its work: {why}")]
    Unable {
        /// What is wrong with it, for an operator.
        why: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds what this version cannot read.
    #[error("the database holds a {what} that cannot be read")]
    Unreadable {
        /// Of what.
        what: &'static str,
    },
    /// The database refused: a bug, a missing grant or a missing migration.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

/// What a code of PostgreSQL comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Busy,
    Unreachable,
    Unable(&'static str),
    Refused,
}

/// Codes and whole classes of them (the first two characters) of the manual's appendix "PostgreSQL Error
/// Codes"; the longest that fits decides, and what is not here is refused.
const CLASSES: [(&str, Class); 25] = [
    // The connection: refused, broken, its protocol not spoken as it should be.
    ("08", Class::Unreachable),
    ("25006", Class::Unable("it is read-only")),
    // A transaction that ended before its work did: whatever ended it, nothing of it happened.
    ("25P02", Class::Busy),
    ("25P03", Class::Busy),
    ("25P04", Class::Busy),
    ("28", Class::Unable("it does not let this role log in")),
    ("3D000", Class::Unable("the database of this name is gone")),
    // Serialisation failures and deadlocks: another one was in the way.
    ("40001", Class::Busy),
    ("40003", Class::Unreachable),
    ("40P01", Class::Busy),
    ("53", Class::Unable("it is short of resources")),
    ("53100", Class::Unable("its disk is full")),
    ("53200", Class::Unable("it is out of memory")),
    ("53300", Class::Busy),
    ("55P03", Class::Busy),
    // Operator intervention: shut down, crashed, starting, dropped.
    ("57", Class::Unreachable),
    ("57014", Class::Busy),
    ("57P04", Class::Unable("the database was dropped")),
    // Outside PostgreSQL itself: its disk, its files.
    (
        "58",
        Class::Unable("its machine fails it: see PostgreSQL's log"),
    ),
    (
        "58030",
        Class::Unable("its disk fails: see PostgreSQL's log"),
    ),
    ("F0", Class::Unable("its configuration is broken")),
    ("XX001", Class::Unable("its data is damaged")),
    ("XX002", Class::Unable("an index of it is damaged")),
    // Only now and then: a standby that had to cancel, a snapshot that is gone.
    ("72000", Class::Busy),
    ("40", Class::Busy),
];

/// The other end speaks no TLS, or shows a certificate that is not believed.
const NO_TLS: &str = "no encrypted line to it could be had: see sslmode and sslrootcert in its address, and its certificate";

impl Class {
    fn of(code: &str) -> Self {
        CLASSES
            .iter()
            .filter(|(prefix, _)| code.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(Self::Refused, |(_, class)| *class)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let class = match &error {
            sqlx::Error::PoolTimedOut => Class::Busy,
            sqlx::Error::Tls(_) => Class::Unable(NO_TLS),
            // As which rustls hands on that a certificate is not believed.
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Class::Unable(NO_TLS)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::BeginFailed
            | sqlx::Error::WorkerCrashed => Class::Unreachable,
            sqlx::Error::Database(database) => {
                database.code().map_or(Class::Refused, |it| Class::of(&it))
            }
            _ => Class::Refused,
        };
        match class {
            Class::Busy => Self::Busy(error),
            Class::Unreachable => Self::Unreachable(error),
            Class::Unable(why) => Self::Unable { why, source: error },
            Class::Refused => Self::Refused(error),
        }
    }
}

/// What an operator can do about the cause of an error, where the database or the way to it is that cause.
pub fn advice(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    match cause.downcast_ref::<sqlx::Error>()? {
        // The pool tries again for as long as it may, and then does not say why it was in vain.
        sqlx::Error::PoolTimedOut => Some(
            "no connection could be had: see whether PostgreSQL runs at the host and port of its address (DATABASE_URL), \
             is still starting, or has no connection left",
        ),
        // Where a certificate is not believed, the error itself says what to look at.
        sqlx::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
            Some("see whether PostgreSQL runs at the host and port of its address (DATABASE_URL)")
        }
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some("28000" | "28P01") => {
                Some("look at the role and the password of its address (DATABASE_URL)")
            }
            Some("42501") => Some(
                "the role of its address (DATABASE_URL) may not do this: `--help` names the role that this command wants",
            ),
            _ => None,
        },
        _ => None,
    }
}

impl StoreError {
    /// The constraint that refused, so that the caller can give it a meaning.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Refused(sqlx::Error::Database(database)) => {
                database.constraint().map(without_shard)
            }
            _ => None,
        }
    }

    /// Whether two were in each other's way: a lock was waited for in vain, or taken in another order.
    pub fn is_of_a_lock(&self) -> bool {
        // PostgreSQL's `lock_not_available` and `deadlock_detected`.
        matches!(self.sql_state().as_deref(), Some("55P03" | "40P01"))
    }

    /// Whether it is the database alone that failed: that says nothing of what was asked, and what was sent may
    /// have happened.
    pub const fn is_of_the_database(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Unable { .. } | Self::Busy(sqlx::Error::PoolTimedOut)
        )
    }

    /// The PostgreSQL error code, for the log. Holds no data.
    pub fn sql_state(&self) -> Option<String> {
        match self {
            Self::Busy(error)
            | Self::Unreachable(error)
            | Self::Unable { source: error, .. }
            | Self::Refused(error) => error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .map(Into::into),
            Self::Unreadable { .. } => None,
        }
    }
}

/// Where a table is spread over several servers by Citus, what refuses is the constraint of a shard, which has the shard's number
/// behind its name: six digits at least. No name of ours ends so.
fn without_shard(constraint: &str) -> &str {
    match constraint.rsplit_once('_') {
        Some((name, shard)) if shard.len() >= 6 && shard.bytes().all(|it| it.is_ascii_digit()) => {
            name
        }
        _ => constraint,
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, fmt};

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// What PostgreSQL says, with this code.
    #[derive(Debug)]
    struct Said(&'static str);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Anna has a cough")
        }
    }

    impl Error for Said {}

    impl DatabaseError for Said {
        fn message(&self) -> &'static str {
            "Anna has a cough"
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn name(error: &StoreError) -> &'static str {
        match error {
            StoreError::Busy(_) => "busy",
            StoreError::Unreachable(_) => "unreachable",
            StoreError::Unable { .. } => "unable",
            StoreError::Unreadable { .. } => "unreadable",
            StoreError::Refused(_) => "refused",
        }
    }

    fn said(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Said(code)))
    }

    #[test]
    fn every_code_means_what_it_means_to_the_caller() {
        let cases = [
            ("08000", "unreachable"),
            ("08003", "unreachable"),
            ("08006", "unreachable"),
            ("08P01", "unreachable"),
            ("22001", "refused"),
            ("22021", "refused"),
            ("23503", "refused"),
            ("23505", "refused"),
            ("25001", "refused"),
            ("25006", "unable"),
            ("25P02", "busy"),
            ("25P03", "busy"),
            ("25P04", "busy"),
            ("28000", "unable"),
            ("28P01", "unable"),
            ("3D000", "unable"),
            ("40000", "busy"),
            ("40001", "busy"),
            ("40003", "unreachable"),
            ("40P01", "busy"),
            ("42501", "refused"),
            ("42601", "refused"),
            ("42P01", "refused"),
            ("53000", "unable"),
            ("53100", "unable"),
            ("53200", "unable"),
            ("53300", "busy"),
            ("53400", "unable"),
            ("55000", "refused"),
            ("55P03", "busy"),
            ("57000", "unreachable"),
            ("57014", "busy"),
            ("57P01", "unreachable"),
            ("57P02", "unreachable"),
            ("57P03", "unreachable"),
            ("57P04", "unable"),
            ("57P05", "unreachable"),
            ("58000", "unable"),
            ("58030", "unable"),
            ("58P01", "unable"),
            ("72000", "busy"),
            ("F0000", "unable"),
            ("P0001", "refused"),
            ("XX000", "refused"),
            ("XX001", "unable"),
            ("XX002", "unable"),
        ];
        for (code, expected) in cases {
            let error = StoreError::from(said(code));
            assert_eq!(name(&error), expected, "{code}");
            assert_eq!(error.sql_state().as_deref(), Some(code));
            assert!(!error.to_string().contains("Anna"), "{error}");
        }
        for (error, expected) in [
            (sqlx::Error::PoolTimedOut, Some("whether PostgreSQL runs")),
            (said("28P01"), Some("the password of its address")),
            (said("42501"), Some("`--help` names the role")),
            (said("23505"), None),
            (sqlx::Error::Io(io::ErrorKind::InvalidData.into()), None),
            (
                sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()),
                Some("whether PostgreSQL runs"),
            ),
        ] {
            let error = StoreError::from(error);
            let advice = error.source().and_then(advice);
            assert_eq!(advice.is_some(), expected.is_some(), "{error}: {advice:?}");
            let is_right = expected.is_none_or(|it| advice.unwrap_or_default().contains(it));
            assert!(is_right, "{error}: {advice:?}");
        }
        for (prefix, _) in CLASSES {
            let is_tried = cases.iter().any(|(code, _)| code.starts_with(prefix));
            assert!(is_tried, "{prefix} has no case");
        }
    }

    #[test]
    fn a_constraint_has_its_name_on_a_shard_as_well() {
        for (said, name) in [
            ("users_email_folded_key", "users_email_folded_key"),
            ("users_email_folded_key_102008", "users_email_folded_key"),
            ("users_email_folded_key_1020081", "users_email_folded_key"),
            ("users_email_folded_key_2", "users_email_folded_key_2"),
            (
                "users_email_folded_key_10200x",
                "users_email_folded_key_10200x",
            ),
            ("102008", "102008"),
            ("", ""),
        ] {
            assert_eq!(without_shard(said), name, "{said}");
        }
    }

    #[test]
    fn a_full_disk_is_told_in_words() {
        let error = StoreError::from(sqlx::Error::Database(Box::new(Said("53100"))));
        assert_eq!(
            error.to_string(),
            "the database cannot do its work: its disk is full"
        );
    }

    #[test]
    fn what_is_no_word_of_the_database_has_its_meaning_too() {
        let broken = std::io::Error::other("reset");
        let cases = [
            (sqlx::Error::PoolTimedOut, "busy"),
            (sqlx::Error::PoolClosed, "unreachable"),
            (sqlx::Error::Io(broken), "unreachable"),
            (
                sqlx::Error::Protocol("unexpected".to_owned()),
                "unreachable",
            ),
            (sqlx::Error::BeginFailed, "unreachable"),
            (sqlx::Error::WorkerCrashed, "unreachable"),
            (sqlx::Error::RowNotFound, "refused"),
            (sqlx::Error::ColumnNotFound("id".to_owned()), "refused"),
        ];
        for (error, expected) in cases {
            let said = error.to_string();
            assert_eq!(name(&StoreError::from(error)), expected, "{said}");
        }
    }
}
