//! What can go wrong with the database, by what it means to the caller.

/// Why the database gave no answer. Printing one never shows SQL, values or constraint names.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Every connection was taken for as long as we were willing to wait.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// No connection could be had, or it broke.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy(error),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error),
            sqlx::Error::Database(ref database) => match database.code().as_deref() {
                // Shutting down, starting up, crashed, or too many connections.
                Some("57P01" | "57P02" | "57P03" | "53300" | "25006") => Self::Unreachable(error),
                // Cancelled by statement_timeout, lock_timeout, or chosen to end a deadlock.
                Some("57014" | "55P03" | "40P01" | "40001") => Self::Busy(error),
                _ => Self::Refused(error),
            },
            other => Self::Refused(other),
        }
    }
}

impl StoreError {
    /// The constraint that refused, so that the caller can give it a meaning.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Refused(sqlx::Error::Database(database)) => database.constraint(),
            _ => None,
        }
    }

    /// The PostgreSQL error code, for the log. Holds no data.
    pub fn sql_state(&self) -> Option<String> {
        match self {
            Self::Busy(error) | Self::Unreachable(error) | Self::Refused(error) => error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .map(Into::into),
            Self::Unreadable { .. } => None,
        }
    }
}
