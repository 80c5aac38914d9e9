//! HTTP as it is, for what a well-behaved client never sends.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::Program;

/// What came back, whatever it is.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
    /// The body as it came: compressed, where it was.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// A header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a header is ASCII"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let read = serde_json::from_str(&self.body);
        read.unwrap_or_else(|error| panic!("no JSON: {error}: {}", self.body))
    }

    /// The code of the first error; empty when there is none.
    pub fn code(&self) -> String {
        let code = &self.json()["errors"][0]["extensions"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }

    /// The limit that its first error names; empty where it names none.
    pub fn limit(&self) -> String {
        let limit = &self.json()["errors"][0]["extensions"]["limit"];
        limit.as_str().unwrap_or_default().to_owned()
    }
}

impl Program {
    /// Sends a request without a body; answers as much of the body as comes, though it may break off.
    pub async fn begins(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = dev::http::client().request(method, format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await;
        let mut answer = answer.unwrap_or_else(|error| panic!("{path} got no answer: {error}"));
        let mut body = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            body.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Sends any request there is.
    pub async fn takes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = dev::http::client().request(method, format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{path} got no answer: {error}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("the body arrives").to_vec();
        Reply {
            status,
            headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        }
    }

    /// Posts JSON text to `/graphql`, with more headers.
    pub async fn posts(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        let json = [("content-type", "application/json")];
        let headers = [&json[..], headers].concat();
        self.takes("POST", "/graphql", &headers, body.to_owned())
            .await
    }
}
