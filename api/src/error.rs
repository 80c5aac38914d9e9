//! Every way a request can fail, and the stable code each has at the edge (`docs/errors.md`).
//!
//! Internal text never leaves: what went wrong inside is logged once, here, with the request's id,
//! and the caller is told a code. What a caller may not see does not exist: same code, same words.

use async_graphql::{ErrorExtensionValues, Value};
use chrono::{DateTime, Datelike, Utc};
use domain::{
    clock::is_storable,
    consents::InvalidConsent,
    ids::RecordId,
    records::{InvalidMetadata, InvalidReason},
    users::InvalidAccount,
};
use store::StoreError;
use vault::keyring::KeysUnavailable;

use crate::codes::{ErrorCode, ServiceLimit};

/// Why a request was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody is logged in, or the session is over.
    #[error("log in first: send `Authorization: Bearer <access token>`")]
    Unauthenticated,
    /// The token was good until lately.
    #[error("the access token has expired; log in again")]
    TokenExpired,
    /// A refresh token is unknown, used up or too old, or its log-in was ended; which of it is not said.
    #[error("this log-in is over; log in again")]
    SessionEnded,
    /// E-mail, user name or password is wrong; which one is not said.
    #[error("the log-in or the password is wrong")]
    WrongCredentials,
    /// All was right, and a second factor is to be shown besides.
    #[error("send a code of your second factor, or a recovery code, as `code`")]
    SecondFactorRequired,
    /// The operator wants a second factor of this role, and this log-in showed none.
    #[error(
        "this needs a second factor: set one up (`startSecondFactor`), or log in with the one you have"
    )]
    SecondFactorMissing,
    /// This is open to another role. Never used for a record: a hidden one does not exist.
    #[error("this needs the role {0}")]
    Forbidden(domain::users::Role),
    /// What uses the refresh cookie may have been sent by a foreign page; see `crate::sessions::refresh_cookie`.
    #[error(
        "what uses the refresh cookie is sent with `X-Meditrustal-Csrf: 1` by a page of this origin or of one that the operator names"
    )]
    CsrfProofMissing,
    /// There is none, or this caller may not know that there is.
    #[error("there is no such {0}, or you may not see it")]
    NotFound(&'static str),
    /// A value cannot be used.
    #[error("{message}")]
    BadInput {
        /// The field of the input.
        field: &'static str,
        /// What it should be.
        message: String,
        /// Other fields of the same input that cannot be used either, and what they should be.
        others: Vec<(&'static str, String)>,
    },
    /// Somebody has it already, or it was changed meanwhile.
    #[error("{message}")]
    Conflict {
        /// The field of the input.
        field: &'static str,
        /// What is in the way.
        message: String,
    },
    /// There are as many already as there may be.
    #[error("{message}")]
    LimitReached {
        /// The field of the input.
        field: &'static str,
        /// How many there may be, and what to do.
        message: String,
    },
    /// The document is not FHIR R4, or not fit for its record type.
    #[error("the document has {} issue(s); see extensions.issues", .0.len())]
    Document(Vec<fhir::Issue>),
    /// A record is not what its hash, or the chain, says.
    #[error(
        "record {0} failed its integrity check and is not shown; the finding is being looked into"
    )]
    Integrity(RecordId),
    /// Too much at once; try again after a moment.
    #[error("too many requests at once; try again in {retry_after_seconds} s")]
    Busy {
        /// When to try again.
        retry_after_seconds: u32,
        /// Of what there is too much; `None` where the operation met another one that is not over.
        limit: Option<ServiceLimit>,
    },
    /// They have tried too often; see `crate::throttle`.
    #[error("too many attempts; try again in {retry_after_seconds} s")]
    Throttled {
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// This account, or this address, asks for more than its share; see `crate::cost_limit`.
    #[error(
        "this asks for more than one account, or one address, may have in a minute or at a time; try again in {retry_after_seconds} s"
    )]
    OverBudget {
        /// When to try again.
        retry_after_seconds: u32,
        /// Whether it is what they may have in a minute, or at a time.
        limit: ServiceLimit,
    },
    /// This account has sent as much as one may in a day; see `crate::upload_limit`.
    #[error(
        "this account has sent as many bytes of files as one may in a day; try again in {retry_after_seconds} s"
    )]
    OverUploads {
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// The answer would be longer than one may be; see `crate::answer_budget`.
    #[error(
        "the answer would have more than {most} bytes: ask for fewer records at a time (`first`), or for fewer of their fields; many documents are taken out by GET /export"
    )]
    AnswerTooLarge {
        /// How long it may be. Unit: bytes.
        most: usize,
    },
    /// The database, the node or the token of the master keys cannot be reached, or cannot do its work.
    #[error("the service cannot do this right now; try again in a moment")]
    Unavailable,
    /// Ours to mend.
    #[error("something went wrong on our side; quote the request id when you report it")]
    Internal,
}

/// Refuses a time that the database cannot hold.
///
/// # Errors
/// [`Error::BadInput`].
pub(crate) fn check_time(field: &'static str, at: Option<DateTime<Utc>>) -> Result<(), Error> {
    if at.is_none_or(is_storable) {
        Ok(())
    } else {
        let told = "a time lies between the years 4713 before Christ and 294276";
        Err(Error::bad(field, told))
    }
}

/// Refuses a period that ends before it begins, and times that the database cannot hold.
///
/// # Errors
/// [`Error::BadInput`] of `from`, of `to`, or of both.
pub(crate) fn check_period(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    all([check_time("from", from), check_time("to", to)])?;
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        return Err(Error::bad("to", "`to` is before `from`"));
    }
    Ok(())
}

/// Refuses a time that is kept and that neither RFC 3339 nor FHIR can write: what tells it later would be no time.
///
/// # Errors
/// [`Error::BadInput`].
pub(crate) fn check_kept_time(field: &'static str, at: Option<DateTime<Utc>>) -> Result<(), Error> {
    if at.is_none_or(|at| (0..10_000).contains(&at.year())) {
        Ok(())
    } else {
        let told = "a time that is kept lies between the years 0000 and 9999";
        Err(Error::bad(field, told))
    }
}

impl Error {
    /// The stable code a client branches on.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthenticated => ErrorCode::Unauthenticated,
            Self::TokenExpired => ErrorCode::TokenExpired,
            Self::SessionEnded => ErrorCode::SessionEnded,
            Self::WrongCredentials => ErrorCode::WrongCredentials,
            Self::SecondFactorRequired | Self::SecondFactorMissing => {
                ErrorCode::SecondFactorRequired
            }
            Self::Forbidden(_) | Self::CsrfProofMissing => ErrorCode::Forbidden,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::BadInput { .. } => ErrorCode::BadUserInput,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::LimitReached { .. } => ErrorCode::LimitReached,
            Self::Document(_) => ErrorCode::InvalidDocument,
            Self::Integrity(_) => ErrorCode::IntegrityViolation,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::Throttled { .. } | Self::OverBudget { .. } | Self::OverUploads { .. } => {
                ErrorCode::Throttled
            }
            Self::AnswerTooLarge { .. } => ErrorCode::TooLargeAnswer,
            Self::Unavailable => ErrorCode::Unavailable,
            Self::Internal => ErrorCode::Internal,
        }
    }

    /// The code as it is told to somebody. `INTERNAL` is a bug of ours: that it was told stands in the log,
    /// whatever was said there before of why.
    pub(crate) fn public_code(&self) -> ErrorCode {
        if matches!(self, Self::Internal) {
            tracing::error!("Answered INTERNAL");
        }
        self.code()
    }

    /// When it makes sense to ask again, where that is known. Unit: seconds.
    pub(crate) const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Busy {
                retry_after_seconds,
                ..
            }
            | Self::Throttled {
                retry_after_seconds,
            }
            | Self::OverBudget {
                retry_after_seconds,
                ..
            }
            | Self::OverUploads {
                retry_after_seconds,
            } => Some(*retry_after_seconds),
            Self::Unauthenticated
            | Self::TokenExpired
            | Self::SessionEnded
            | Self::WrongCredentials
            | Self::SecondFactorRequired
            | Self::SecondFactorMissing
            | Self::Forbidden(_)
            | Self::CsrfProofMissing
            | Self::NotFound(_)
            | Self::BadInput { .. }
            | Self::Conflict { .. }
            | Self::LimitReached { .. }
            | Self::Document(_)
            | Self::Integrity(_)
            | Self::AnswerTooLarge { .. }
            | Self::Unavailable
            | Self::Internal => None,
        }
    }

    /// Another operation is under way, or was a moment ago, that this one must not meet: the same again finds what it left.
    pub(crate) const fn met_another() -> Self {
        Self::Busy {
            retry_after_seconds: 1,
            limit: None,
        }
    }

    /// Which limit of the service was met, if one was.
    pub(crate) const fn limit(&self) -> Option<ServiceLimit> {
        match self {
            Self::Busy { limit, .. } => *limit,
            // By the name, by the address or by both: that would tell of others' attempts.
            Self::Throttled { .. } => Some(ServiceLimit::Attempts),
            Self::OverBudget { limit, .. } => Some(*limit),
            Self::OverUploads { .. } => Some(ServiceLimit::UploadedBytes),
            _ => None,
        }
    }

    /// A value that cannot be used.
    pub(crate) fn bad(field: &'static str, message: impl Into<String>) -> Self {
        Self::BadInput {
            field,
            message: message.into(),
            others: Vec::new(),
        }
    }

    /// What cannot be used, field by field, and why; nothing of an error of another kind.
    pub(crate) fn bad_fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (first, others) = match self {
            Self::BadInput {
                field,
                message,
                others,
            } => (Some((*field, message.as_str())), others.as_slice()),
            _ => (None, [].as_slice()),
        };
        let others = others.iter().map(|(field, told)| (*field, told.as_str()));
        first.into_iter().chain(others)
    }

    /// This error, and that another field of the same input cannot be used either.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::BadInput {
                    field,
                    message,
                    mut others,
                },
                Self::BadInput {
                    field: second,
                    message: told,
                    others: more,
                },
            ) => {
                others.push((second, told));
                others.extend(more);
                Self::BadInput {
                    field,
                    message,
                    others,
                }
            }
            (Self::Document(mut issues), other @ Self::BadInput { .. })
            | (other @ Self::BadInput { .. }, Self::Document(mut issues)) => {
                issues.extend(other.bad_fields().map(|(field, message)| fhir::Issue {
                    severity: fhir::Severity::Error,
                    code: fhir::IssueCode::Value,
                    path: field.to_owned(),
                    rule: field.to_owned(),
                    message: message.to_owned(),
                }));
                Self::Document(issues)
            }
            (first, _) => first,
        }
    }

    /// Writes the code and what goes with it.
    pub(crate) fn extend(&self, extensions: &mut ErrorExtensionValues) {
        extensions.set("code", self.public_code().as_str());
        match self {
            Self::BadInput { field, others, .. } => {
                extensions.set("field", *field);
                if !others.is_empty() {
                    let all = self.bad_fields().map(bad_field);
                    extensions.set("fields", Value::List(all.collect()));
                }
            }
            Self::Conflict { field, .. } | Self::LimitReached { field, .. } => {
                extensions.set("field", *field);
            }
            Self::Document(issues) => {
                extensions.set("field", "document");
                extensions.set("issues", Value::List(issues.iter().map(issue).collect()));
            }
            Self::Unauthenticated
            | Self::TokenExpired
            | Self::SessionEnded
            | Self::WrongCredentials
            | Self::SecondFactorRequired
            | Self::SecondFactorMissing
            | Self::Forbidden(_)
            | Self::CsrfProofMissing
            | Self::NotFound(_)
            | Self::Integrity(_)
            | Self::Busy { .. }
            | Self::Throttled { .. }
            | Self::OverBudget { .. }
            | Self::OverUploads { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Unavailable
            | Self::Internal => {}
        }
        if let Some(seconds) = self.retry_after() {
            extensions.set("retryAfterSeconds", seconds);
        }
        if let Some(limit) = self.limit() {
            extensions.set("limit", limit.as_str());
        }
    }
}

/// Both of them, or all that is wrong with either.
///
/// # Errors
/// The first one's, with the fields that the second one names besides.
pub(crate) fn both<A, B>(
    first: Result<A, impl Into<Error>>,
    second: Result<B, impl Into<Error>>,
) -> Result<(A, B), Error> {
    match (first.map_err(Into::into), second.map_err(Into::into)) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) => Err(first.and(second)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// Nothing, where all of these checks hold; else all that is wrong, told at once.
///
/// # Errors
/// The first one's, with the fields that the others name besides.
pub(crate) fn all<T>(checks: impl IntoIterator<Item = Result<T, Error>>) -> Result<(), Error> {
    let failed = checks.into_iter().filter_map(Result::err);
    failed.reduce(Error::and).map_or(Ok(()), Err)
}

fn bad_field((field, message): (&str, &str)) -> Value {
    texts([("field", field), ("message", message)])
}

fn issue(issue: &fhir::Issue) -> Value {
    texts([
        ("severity", issue.severity.as_str()),
        ("code", issue.code.as_str()),
        ("path", &issue.path),
        ("rule", &issue.rule),
        ("message", &issue.message),
    ])
}

fn texts<'a>(members: impl IntoIterator<Item = (&'static str, &'a str)>) -> Value {
    let members = members.into_iter();
    let member = |(key, text): (&str, &str)| {
        (
            async_graphql::Name::new(key),
            Value::String(text.to_owned()),
        )
    };
    Value::Object(members.map(member).collect())
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let sql_state = error.sql_state();
        match error {
            StoreError::Busy(_) => {
                tracing::warn!(sql_state, "The database is busy");
                Self::Busy {
                    retry_after_seconds: 2,
                    limit: Some(ServiceLimit::Database),
                }
            }
            StoreError::Unreachable(_) => {
                tracing::warn!(sql_state, "The database cannot be reached");
                Self::Unavailable
            }
            StoreError::Unable { why, .. } => {
                tracing::error!(sql_state, "The database cannot do its work: {why}");
                Self::Unavailable
            }
            StoreError::Unreadable { what } => {
                tracing::error!(what, "The database holds what cannot be read");
                Self::Internal
            }
            // Text with U+0000, which PostgreSQL takes nowhere: not in a column, not to compare.
            StoreError::Refused(_) if matches!(sql_state.as_deref(), Some("22021" | "22P05")) => {
                Self::bad("input", "text cannot hold the character U+0000")
            }
            StoreError::Refused(_) => {
                tracing::error!(
                    sql_state,
                    constraint = error.constraint(),
                    "The database refused a statement"
                );
                Self::Internal
            }
        }
    }
}

impl From<KeysUnavailable> for Error {
    fn from(error: KeysUnavailable) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(cause, "Master keys cannot be used: {error}");
        Self::Unavailable
    }
}

impl From<InvalidAccount> for Error {
    fn from(error: InvalidAccount) -> Self {
        let field = match error {
            InvalidAccount::Email => "email",
            InvalidAccount::Username | InvalidAccount::MixedScripts => "username",
            InvalidAccount::PasswordTooShort
            | InvalidAccount::PasswordTooLong
            | InvalidAccount::PasswordGuessable => "password",
        };
        Self::bad(field, error.to_string())
    }
}

impl From<InvalidConsent> for Error {
    fn from(error: InvalidConsent) -> Self {
        let field = match error {
            InvalidConsent::NoCategory | InvalidConsent::TooManyCategories => "dataCategories",
            InvalidConsent::NoActivity
            | InvalidConsent::TooManyActivities
            | InvalidConsent::MixedDenial
            | InvalidConsent::DenialByCode => "processingActivities",
            InvalidConsent::NoGrantee
            | InvalidConsent::TooManyGrantees
            | InvalidConsent::Country => "grantees",
            InvalidConsent::AlreadyExpired | InvalidConsent::EndsBeforeCode => "expiresAt",
            InvalidConsent::OwnPurpose => "purpose",
        };
        Self::bad(field, error.to_string())
    }
}

impl From<InvalidMetadata> for Error {
    fn from(error: InvalidMetadata) -> Self {
        Self::bad("metadata", error.to_string())
    }
}

impl From<InvalidReason> for Error {
    fn from(error: InvalidReason) -> Self {
        Self::bad("reason", error.to_string())
    }
}
