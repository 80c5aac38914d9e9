//! A person at the public interface: GraphQL over HTTP, and its subscriptions over a WebSocket.

mod answer;
mod subscription;

use std::time::Duration;

use serde_json::Value;

pub use answer::{Answer, Problem};
pub use subscription::Subscription;

/// How long an answer may take; a hashed password on a busy machine is part of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered.
    #[error("the api cannot be reached: {0}")]
    Unreachable(String),
    /// Something answered that is not GraphQL.
    #[error("the api answered {status} and no GraphQL: {body}")]
    NotGraphql {
        /// The status of the HTTP answer.
        status: u16,
        /// The start of what it said.
        body: String,
    },
    /// The answer holds errors where none were expected.
    #[error("the api refused: {0}")]
    Refused(String),
    /// The subscription is over.
    #[error("the subscription was closed: {0}")]
    Closed(String),
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Silent(Duration),
}

/// Speaks to one api, as one person or as nobody.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    token: Option<String>,
    purpose: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client for the api at `url`, as in `http://127.0.0.1:8000/graphql`, logged in as nobody.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: None,
            purpose: None,
            http: crate::http::client(),
        }
    }

    /// The same, with an access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same, with a purpose of use for whatever names none itself.
    #[must_use]
    pub fn with_purpose(&self, purpose: &str) -> Self {
        Self {
            purpose: Some(purpose.to_owned()),
            ..self.clone()
        }
    }

    /// The access token it sends.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Runs a query or a mutation.
    ///
    /// # Errors
    ///
    /// When there is no answer, or none in GraphQL; errors in the answer are part of it.
    pub async fn query(&self, document: &str, variables: &Value) -> Result<Answer, ClientError> {
        self.query_text(document, &variables.to_string()).await
    }

    /// The same with variables as JSON text, sent byte for byte: a FHIR decimal keeps the digits
    /// it was written with, which a JSON value here would not.
    ///
    /// # Errors
    ///
    /// As [`Client::query`].
    pub async fn query_text(&self, document: &str, variables: &str) -> Result<Answer, ClientError> {
        let body = format!(
            r#"{{"query":{},"variables":{variables}}}"#,
            Value::from(document)
        );
        let mut request = self
            .http
            .post(&self.url)
            .timeout(ANSWER_WITHIN)
            .header("content-type", "application/json")
            .header(
                "accept",
                "application/graphql-response+json, application/json;q=0.9",
            )
            .header("user-agent", "meditrustal-dev")
            .body(body);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(purpose) = &self.purpose {
            request = request.header("x-purpose-of-use", purpose);
        }
        let unreachable = |error: reqwest::Error| ClientError::Unreachable(error.to_string());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(unreachable)?;
        Answer::read(status, &body)
    }

    /// Runs a query or a mutation that has to succeed; answers its data.
    ///
    /// # Errors
    ///
    /// As [`Client::query`], and when the answer holds an error.
    pub async fn ask(&self, document: &str, variables: &Value) -> Result<Value, ClientError> {
        self.query(document, variables).await?.data()
    }

    /// Starts a subscription over a connection of its own.
    ///
    /// # Errors
    ///
    /// When the connection is refused, or closed before it is acknowledged.
    pub async fn subscribe(
        &self,
        document: &str,
        variables: &Value,
    ) -> Result<Subscription, ClientError> {
        Subscription::start(&self.url, self.token.as_deref(), document, variables).await
    }
}
