//! GraphQL over Server-Sent Events, read as it arrives.

use serde_json::{Value, json};

use crate::{PATIENCE, Person, Program, text};

/// One open event stream.
#[derive(Debug)]
pub struct EventStream {
    answer: reqwest::Response,
    text: String,
    /// The `id` of the last event that had one: what a browser sends as `Last-Event-ID`.
    pub last_id: Option<String>,
}

impl EventStream {
    /// Asks for an event stream.
    pub async fn open(person: &Person, api: &Program, query: &str) -> Self {
        Self::open_with(person, api, &[], json!({ "query": query })).await
    }

    /// The same with more headers and any request.
    pub async fn open_with(
        person: &Person,
        api: &Program,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Self {
        let mut request = dev::http::client()
            .post(format!("{}/graphql", api.url()))
            .header("accept", "text/event-stream")
            .header("content-type", "application/json")
            .body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = person.client.token() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers().get("content-type").expect("it has a type");
        assert_eq!(kind, "text/event-stream");
        let held_back = answer.headers().get("x-accel-buffering");
        assert_eq!(held_back.expect("proxies are told"), "no");
        Self {
            answer,
            text: String::new(),
            last_id: None,
        }
    }

    /// What arrives next, up to a blank line: an event or a comment; `None` once the stream has ended.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                return Some(self.text.drain(..end + 2).collect());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk
                .expect("something comes")
                .expect("the stream is whole")?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The next event; `None` once the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let lines = block.lines().filter_map(|line| line.split_once(':'));
                let mut values = lines.filter(|(key, _)| *key == name);
                values.next().map(|(_, value)| value.trim().to_owned())
            };
            self.last_id = field("id").or(self.last_id.take());
            if let Some(event) = field("event") {
                let data = field("data").unwrap_or_default();
                return Some((event, serde_json::from_str(&data).unwrap_or_default()));
            }
        }
    }

    /// The rest of it: the code of the last `next`, and that `complete` was the end.
    pub async fn ends_with(&mut self) -> String {
        let (event, data) = self.next().await.expect("it says why");
        assert_eq!(event, "next", "{data}");
        let (last, _) = self.next().await.expect("it says that it is complete");
        assert_eq!(last, "complete");
        assert_eq!(self.next().await, None);
        text(&data["errors"][0]["extensions"]["code"])
    }
}
