//! The refusal of a request before anything of it runs, with its stable code (`docs/errors.md`).

use async_graphql::{Response, ServerError};

use crate::codes::{ErrorCode, Excess, ServiceLimit};

/// The largest number that every parser of JSON reads as it is (RFC 8259, 6).
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// What is wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidField {
    /// Where it is: `input.grantees`, or the name of a header or a parameter.
    pub(crate) field: String,
    /// What it should be.
    pub(crate) message: String,
}

/// Why a request was not run, before anything of it ran.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// The stable code.
    pub(crate) code: ErrorCode,
    /// What to tell the caller.
    pub(crate) message: String,
    /// Whether the operation is of a kind that this way does not carry.
    pub(crate) is_wrong_method: bool,
    /// What is wrong with its fields, if that is why: each is an error of its own, in place of the message.
    pub(crate) fields: Vec<InvalidField>,
    /// Which limit of queries it exceeds, if that is why.
    pub(crate) excess: Option<Excess>,
    /// Which limit of the service was met, if that is why.
    pub(crate) limit: Option<ServiceLimit>,
}

impl Rejected {
    /// With this code and these words.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            is_wrong_method: false,
            fields: Vec::new(),
            excess: None,
            limit: None,
        }
    }

    /// The answer that says so.
    pub(crate) fn response(&self) -> Response {
        if self.fields.is_empty() {
            return Response::from_errors(vec![self.error(&self.message, None)]);
        }
        let errors = self
            .fields
            .iter()
            .map(|InvalidField { field, message }| self.error(message, Some(field)));
        Response::from_errors(errors.collect())
    }

    fn error(&self, message: &str, field: Option<&str>) -> ServerError {
        let mut error = ServerError::new(message, None);
        let mut extensions = async_graphql::ErrorExtensionValues::default();
        extensions.set("code", self.code.as_str());
        if let Some(field) = field {
            extensions.set("field", field);
        }
        if let Some(excess) = self.excess {
            extensions.set("limit", excess.limit.as_str());
            extensions.set("allowed", excess.allowed);
            extensions.set("counted", excess.counted.min(MAX_NUMBER));
        }
        if let Some(limit) = self.limit {
            extensions.set("limit", limit.as_str());
        }
        error.extensions = Some(extensions);
        error
    }
}
