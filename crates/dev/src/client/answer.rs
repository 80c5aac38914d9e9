//! What a GraphQL server answers.

use serde::Deserialize;
use serde_json::Value;

use super::ClientError;

/// How much of an answer that is no GraphQL is shown.
const SHOWN: usize = 300;

/// One answer: data, errors, or both.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status of the HTTP answer; 200 for what came over a subscription.
    pub status: u16,
    /// `data`, or null.
    pub data: Value,
    /// `errors`, or none.
    pub errors: Vec<Problem>,
    /// `extensions`, or null.
    pub extensions: Value,
}

/// One of an answer's errors.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// Words for a person.
    pub message: String,
    /// Where in the data it happened.
    #[serde(default)]
    pub path: Vec<Value>,
    /// `code`, `requestId` and more.
    #[serde(default)]
    pub extensions: Value,
}

impl Problem {
    /// The stable code of `docs/errors.md`; empty when there is none.
    pub fn code(&self) -> &str {
        self.extensions["code"].as_str().unwrap_or_default()
    }
}

impl Answer {
    /// Reads an HTTP answer.
    pub(super) fn read(status: u16, body: &str) -> Result<Self, ClientError> {
        let not_graphql = || ClientError::NotGraphql {
            status,
            body: body.chars().take(SHOWN).collect(),
        };
        let value: Value = serde_json::from_str(body).map_err(|_| not_graphql())?;
        if value.get("data").is_none() && value.get("errors").is_none() {
            return Err(not_graphql());
        }
        Self::of(status, value).ok_or_else(not_graphql)
    }

    /// Reads `{"data": …, "errors": […]}`.
    pub(super) fn of(status: u16, mut value: Value) -> Option<Self> {
        let errors = match value.get_mut("errors").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(errors) => serde_json::from_value(errors).ok()?,
        };
        let mut part = |name: &str| value.get_mut(name).map(Value::take).unwrap_or_default();
        let (data, extensions) = (part("data"), part("extensions"));
        Some(Self {
            status,
            data,
            errors,
            extensions,
        })
    }

    /// The data of an answer without errors.
    ///
    /// # Errors
    ///
    /// When there is an error: with the code and the words of each.
    pub fn data(self) -> Result<Value, ClientError> {
        if self.errors.is_empty() {
            return Ok(self.data);
        }
        let all: Vec<_> = self
            .errors
            .iter()
            .map(|error| format!("{} {}", error.code(), error.message))
            .collect();
        Err(ClientError::Refused(all.join("; ")))
    }

    /// The code of the first error; `None` without errors.
    pub fn code(&self) -> Option<&str> {
        self.errors.first().map(Problem::code)
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn an_answer_has_data_or_codes() {
        let answer = Answer::read(200, r#"{"data":{"me":{"id":"1"}}}"#).expect("an answer");
        assert_eq!(answer.data().expect("data")["me"]["id"], "1");

        let text = r#"{"data":null,"errors":[{"message":"no","extensions":{"code":"NOT_FOUND"}}]}"#;
        let answer = Answer::read(200, text).expect("an answer");
        assert_eq!(answer.code(), Some("NOT_FOUND"));
        assert!(
            answer
                .data()
                .is_err_and(|error| error.to_string().contains("NOT_FOUND no"))
        );

        assert!(Answer::read(502, "<html>").is_err());
        assert!(Answer::read(200, "{}").is_err());
    }
}
