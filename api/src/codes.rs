//! Every code that a client branches on, over whatever way it is told (`docs/errors.md`): the codes of errors, the limits
//! that a document can exceed and those of the service, and what a WebSocket is closed with. A test holds them against the page.

use std::fmt;

/// Declares an enum together with what each variant is told as.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident $([$all:meta])? { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// All of them.
            $(#[$all])?
            pub(crate) const ALL: &[Self] = &[$( Self::$variant, )+];

            /// As it is told.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }
    };
}

codes! {
    /// The kind of an error, stable where its message is not: as in the `extensions.code` of an error.
    #[derive(async_graphql::Enum)]
    ErrorCode {
        /// The request has no valid access token, or its log-in has ended.
        Unauthenticated = "UNAUTHENTICATED",
        /// The access token has expired.
        TokenExpired = "TOKEN_EXPIRED",
        /// The log-in that the refresh token belongs to has ended.
        SessionEnded = "SESSION_ENDED",
        /// The log-in, the password, the wallet or the code is wrong.
        WrongCredentials = "WRONG_CREDENTIALS",
        /// A code of the second factor is required as well.
        SecondFactorRequired = "SECOND_FACTOR_REQUIRED",
        /// The operation requires another role, or another origin.
        Forbidden = "FORBIDDEN",
        /// The object does not exist, or the caller may not know that it exists.
        NotFound = "NOT_FOUND",
        /// A value of the input is invalid.
        BadUserInput = "BAD_USER_INPUT",
        /// The value is taken, or the object has changed meanwhile.
        Conflict = "CONFLICT",
        /// The maximum number of such objects exists already.
        LimitReached = "LIMIT_REACHED",
        /// The document is not valid FHIR R4, or does not fit its record type.
        InvalidDocument = "INVALID_DOCUMENT",
        /// The record does not match its hash or its anchor.
        IntegrityViolation = "INTEGRITY_VIOLATION",
        /// Too many requests are being served: try again after a moment.
        Busy = "BUSY",
        /// The caller tried too often, or asked for too much: try again later.
        Throttled = "THROTTLED",
        /// The answer would exceed the maximum length.
        TooLargeAnswer = "TOO_LARGE_ANSWER",
        /// The database, the node or the token of the master keys does not answer, or the service stops.
        Unavailable = "UNAVAILABLE",
        /// An error in the service itself.
        Internal = "INTERNAL",
        /// The body of the request is not JSON in UTF-8.
        UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
        /// The client accepts none of the media types that the service sends.
        NotAcceptable = "NOT_ACCEPTABLE",
        /// The body of the request exceeds the maximum length.
        TooLarge = "TOO_LARGE",
        /// The request is malformed and cannot be read.
        BadRequest = "BAD_REQUEST",
        /// No document with this hash is known: send the document itself.
        PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND",
        /// The service runs only trusted documents, and this is none of them.
        UntrustedDocument = "UNTRUSTED_DOCUMENT",
        /// The HTTP method or the protocol does not carry this kind of operation.
        WrongMethod = "WRONG_METHOD",
        /// The GraphQL document cannot be parsed.
        GraphqlParseFailed = "GRAPHQL_PARSE_FAILED",
        /// The GraphQL document does not fit the schema.
        GraphqlValidationFailed = "GRAPHQL_VALIDATION_FAILED",
        /// Introspection of the schema is switched off.
        IntrospectionDisabled = "INTROSPECTION_DISABLED",
        /// The document exceeds a limit of queries.
        TooComplex = "TOO_COMPLEX",
        /// The request took longer than allowed.
        Timeout = "TIMEOUT",
        /// The WebSocket carries the maximum number of streams.
        TooManyStreams = "TOO_MANY_STREAMS",
    }
}

impl ErrorCode {
    /// The code that is told so, if there is one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether whoever filled in a form can mend what is wrong. A mutation tells such an error among the `userErrors` of
    /// its payload, where these are selected; every other error, and all of them elsewhere, are errors of GraphQL.
    pub(crate) const fn is_mendable(self) -> bool {
        match self {
            Self::WrongCredentials
            | Self::BadUserInput
            | Self::Conflict
            | Self::LimitReached
            | Self::InvalidDocument => true,
            Self::Unauthenticated
            | Self::TokenExpired
            | Self::SessionEnded
            | Self::SecondFactorRequired
            | Self::Forbidden
            | Self::NotFound
            | Self::IntegrityViolation
            | Self::Busy
            | Self::Throttled
            | Self::TooLargeAnswer
            | Self::Unavailable
            | Self::Internal
            | Self::UnsupportedMediaType
            | Self::NotAcceptable
            | Self::TooLarge
            | Self::BadRequest
            | Self::PersistedQueryNotFound
            | Self::UntrustedDocument
            | Self::WrongMethod
            | Self::GraphqlParseFailed
            | Self::GraphqlValidationFailed
            | Self::IntrospectionDisabled
            | Self::TooComplex
            | Self::Timeout
            | Self::TooManyStreams => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

codes! {
    /// Which limit of queries a document exceeds: the `extensions.limit` of an error with the code `TOO_COMPLEX`.
    QueryLimit [cfg(test)] {
        /// The length of the document, in bytes.
        DocumentBytes = "DOCUMENT_BYTES",
        /// Brackets within brackets.
        Nesting = "NESTING",
        /// Named operations and fragments.
        Definitions = "DEFINITIONS",
        /// Fields, after fragments are spread.
        Fields = "FIELDS",
        /// Fields within fields.
        Levels = "LEVELS",
        /// Renamed fields.
        Aliases = "ALIASES",
        /// Directives, wherever they stand.
        Directives = "DIRECTIVES",
        /// Fields of the answer.
        Cost = "COST",
        /// Variables, as often as they are used, in bytes.
        VariableBytes = "VARIABLE_BYTES",
        /// Variables in one directive.
        DirectiveVariables = "DIRECTIVE_VARIABLES",
    }
}

impl QueryLimit {
    /// What it is that there is too much of, as the message says it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::DocumentBytes => "bytes",
            Self::Nesting => "nested brackets",
            Self::Definitions => "operations and fragments",
            Self::Fields => "fields",
            Self::Levels => "levels",
            Self::Aliases => "aliases",
            Self::Directives => "directives",
            Self::Cost => "fields in the answer",
            Self::VariableBytes => "bytes of variables where they are used",
            Self::DirectiveVariables => "variable in a directive",
        }
    }
}

codes! {
    /// Which limit of the service an operation met: the `extensions.limit` of an error with the code `BUSY` or `THROTTLED`.
    ///
    /// None of them says whose use it was, nor whether there is a name or an account: what is refused before anybody is known is
    /// refused alike for all.
    ServiceLimit [cfg(test)] {
        /// The memory of answers that are being made.
        AnswerMemory = "ANSWER_MEMORY",
        /// Attempts to get in, by name and address, and others that are counted.
        Attempts = "ATTEMPTS",
        /// Attempts that wait to be counted.
        WaitingAttempts = "WAITING_ATTEMPTS",
        /// Contracts that are asked about a signature.
        ContractCalls = "CONTRACT_CALLS",
        /// What an account, or an address, may ask for in a minute.
        CostAMinute = "COST_A_MINUTE",
        /// What an account, or an address, may ask for at a time.
        CostAtOnce = "COST_AT_ONCE",
        /// Connections to the database, and the time of its statements.
        Database = "DATABASE",
        /// Passwords that wait to be hashed.
        PasswordHashing = "PASSWORD_HASHING",
        /// Streams that are open without an account.
        PublicStreams = "PUBLIC_STREAMS",
        /// Records that wait to be written or disclosed.
        Queue = "QUEUE",
        /// Streams and sockets that are open of an account, or from an address.
        Streams = "STREAMS",
        /// Operations that go on though nobody waits for them any more.
        Tasks = "TASKS",
        /// Imports and exports at a time.
        Transfers = "TRANSFERS",
        /// Bytes of files that an account may send in a day.
        UploadedBytes = "UPLOADED_BYTES",
    }
}

/// What a document has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    /// Of what.
    pub(crate) limit: QueryLimit,
    /// How much is allowed.
    pub(crate) allowed: u64,
    /// How much was counted until the counting stopped: there may be more.
    pub(crate) counted: u64,
}

codes! {
    /// Why a WebSocket is closed, as the close frame says it.
    CloseReason [cfg(test)] {
        /// The api stops.
        GoingAway = "Going away",
        /// The message is none of the protocol.
        InvalidMessage = "Invalid message",
        /// Nobody has introduced themselves.
        Unauthorized = "Unauthorized",
        /// The token was good until now.
        TokenExpired = "The access token has expired: connect again with a new one",
        /// The log-in was ended.
        SessionEnded = "The session has ended: log in again",
        /// The token is none of ours.
        Forbidden = "Forbidden",
        /// Nobody has introduced themselves in time.
        InitTimeout = "Connection initialisation timeout",
        /// Somebody without an account follows nothing.
        Idle = "Nothing is followed",
        /// Two streams would have one name.
        DuplicateStream = "Subscriber already exists",
        /// Somebody introduced themselves twice.
        TooManyInits = "Too many initialisation requests",
        /// The account has as many sockets as it may.
        TooManySockets = "This account has too many sockets open",
        /// The client does not take what it is sent.
        TooSlow = "Messages were not taken in time",
    }
}

impl CloseReason {
    /// The code of the close frame. 4401 is final for the client library `graphql-ws`; 4403 lets it come back with
    /// a new token.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::InvalidMessage => 4400,
            Self::Unauthorized | Self::SessionEnded => 4401,
            Self::TokenExpired | Self::Forbidden => 4403,
            Self::InitTimeout => 4408,
            Self::DuplicateStream => 4409,
            Self::TooManyInits => 4429,
            Self::TooManySockets => 4430,
            Self::Idle => 4431,
            Self::TooSlow => 4432,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeSet;

    use async_graphql::resolver_utils::EnumType as _;

    use super::*;

    const PAGE: &str = include_str!("../../docs/errors.md");

    /// The first two cells of each row of the tables whose first column has this heading.
    fn rows(heading: &str) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        let mut is_within = false;
        for line in PAGE.lines() {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (Some(first), Some(second)) = (cells.next(), cells.next()) else {
                is_within = false;
                continue;
            };
            if is_within && !first.starts_with("---") {
                found.push((first, second));
            }
            is_within |= first == heading;
        }
        assert!(found.len() > 2, "the tables of `{heading}` are not there");
        found
    }

    /// The codes that a cell names: `A`, `B`.
    fn named(cell: &'static str) -> impl Iterator<Item = &'static str> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .filter(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    }

    #[test]
    fn the_page_of_errors_names_every_code_and_no_other() {
        let ended = rows("`ended`")
            .into_iter()
            .flat_map(|(cell, _)| named(cell));
        let told = rows("code").into_iter().flat_map(|(cell, _)| named(cell));
        let page: BTreeSet<&str> = told
            .chain(ended.filter(|code| *code != "COMPLETE"))
            .collect();
        let ours: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();

        assert_eq!(page, ours, "docs/errors.md beside `ErrorCode`");
        assert_eq!(ours.len(), ErrorCode::ALL.len(), "a code stands twice");
    }

    #[test]
    fn the_page_of_errors_names_every_limit_of_queries_and_no_other() {
        let page = rows("`limit`")
            .into_iter()
            .flat_map(|(cell, _)| named(cell));
        let page: BTreeSet<&str> = page.collect();
        let ours = QueryLimit::ALL.iter().map(|limit| limit.as_str());

        assert_eq!(page, ours.collect(), "docs/errors.md beside `QueryLimit`");
    }

    #[test]
    fn the_page_of_errors_names_every_limit_of_the_service_and_no_other() {
        let page = rows("`limit` of the service")
            .into_iter()
            .flat_map(|(cell, _)| named(cell));
        let page: BTreeSet<&str> = page.collect();
        let ours = ServiceLimit::ALL.iter().map(|limit| limit.as_str());

        assert_eq!(page, ours.collect(), "docs/errors.md beside `ServiceLimit`");
    }

    /// The first table of the page, whose third column says of each code whether a form can mend it.
    #[test]
    fn the_page_of_errors_says_of_each_code_whether_a_form_can_mend_it() {
        let (_, table) = PAGE
            .split_once("| code | what it means | in a form |")
            .unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let mut found = BTreeSet::new();
        for row in table.lines().skip(2) {
            let cells: Vec<_> = row.split(" | ").collect();
            let code = ErrorCode::of(named(cells[0]).next().unwrap()).unwrap();
            let said = ["no", "yes"][usize::from(code.is_mendable())];
            assert_eq!(cells[2].trim(), said, "{code}");
            found.insert(code.as_str());
        }

        let mendable = ErrorCode::ALL.iter().filter(|code| code.is_mendable());
        for code in mendable {
            assert!(found.contains(code.as_str()), "{code} is not in the table");
        }
    }

    #[test]
    fn the_schema_names_the_codes_as_errors_do() {
        let items = ErrorCode::items();
        assert_eq!(items.len(), ErrorCode::ALL.len());
        for item in items {
            assert_eq!(item.name, item.value.as_str());
        }
    }

    #[test]
    fn the_page_of_errors_names_every_reason_to_close_a_socket() {
        let page: Vec<_> = rows("code")
            .into_iter()
            .filter_map(|(number, reason)| Some((number.parse::<u16>().ok()?, reason)))
            .filter(|(number, _)| *number >= 1000)
            .collect();
        let is_told = |reason: &CloseReason| {
            page.iter().any(|(number, text)| {
                *number == reason.number()
                    && text.replace(" for … ", " ").starts_with(reason.as_str())
            })
        };

        let missing: Vec<_> = CloseReason::ALL.iter().filter(|it| !is_told(it)).collect();
        assert!(missing.is_empty(), "not in docs/errors.md: {missing:?}");
        assert_eq!(page.len(), CloseReason::ALL.len(), "more than there are");
    }

    #[test]
    fn a_code_is_found_by_its_text() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::of(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::of("COMPLETE"), None);
    }
}
