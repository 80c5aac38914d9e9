//! The refusal of a request before anything of it runs, with its stable code (`docs/errors.md`).

use async_graphql::{Response, ServerError};

use crate::{codes::ErrorCode, variables::InvalidValue};

/// Why a request was not run, before anything of it ran.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// The stable code.
    pub(crate) code: ErrorCode,
    /// What to tell the caller.
    pub(crate) message: String,
    /// The field of the input that is to blame, if one is.
    pub(crate) field: Option<String>,
    /// Whether the operation is of a kind that this way does not carry.
    pub(crate) is_wrong_method: bool,
    /// What is wrong with its variables, if that is why: told in place of the message.
    pub(crate) problems: Vec<InvalidValue>,
}

impl Rejected {
    /// With this code and these words.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            is_wrong_method: false,
            problems: Vec::new(),
        }
    }

    /// The answer that says so.
    pub(crate) fn response(&self) -> Response {
        if self.problems.is_empty() {
            return Response::from_errors(vec![self.error(self.message.clone())]);
        }
        let errors = self
            .problems
            .iter()
            .map(|InvalidValue { place, wanted, .. }| {
                let mut error = self.error(format!("`{place}` has to be {wanted}"));
                if let Some(extensions) = &mut error.extensions {
                    extensions.set("field", place.as_str());
                }
                error
            });
        Response::from_errors(errors.collect())
    }

    fn error(&self, message: String) -> ServerError {
        let mut error = ServerError::new(message, None);
        let mut extensions = async_graphql::ErrorExtensionValues::default();
        extensions.set("code", self.code.as_str());
        if let Some(field) = &self.field {
            extensions.set("field", field.as_str());
        }
        error.extensions = Some(extensions);
        error
    }
}
