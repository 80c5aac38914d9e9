//! A node in between that answers as the real one, but for what a script changes in its answers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Changes the answer to one question: its method, its parameters, the answer.
type Script = Box<dyn FnMut(&str, &Value, &mut Value) + Send>;

/// Such a node.
pub(crate) struct LyingNode {
    url: String,
    script: Arc<Mutex<Script>>,
}

/// One that changes nothing.
fn honest() -> Script {
    Box::new(|_: &str, _: &Value, _: &mut Value| {})
}

/// Each question with its answer.
fn pairs<'a>(questions: &'a Value, answers: &'a mut Value) -> Vec<(&'a Value, &'a mut Value)> {
    match (questions, answers) {
        (Value::Array(questions), Value::Array(answers)) => {
            let answers = answers.iter_mut();
            let pairs = answers.filter_map(|answer| {
                let question = questions.iter().find(|it| it["id"] == answer["id"])?;
                Some((question, answer))
            });
            pairs.collect()
        }
        (question, answer) => vec![(question, answer)],
    }
}

impl LyingNode {
    /// Stands before a node, and changes nothing yet.
    pub(crate) async fn before(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let script = Arc::new(Mutex::new(honest()));
        let (node, http) = (node.to_owned(), dev::http::client());
        let changes = Arc::clone(&script);
        let answer = async move |asked: String| {
            let questions: Value = serde_json::from_str(&asked).expect("JSON");
            let sent = http.post(&node).header("content-type", "application/json");
            let Ok(sent) = sent.body(asked).send().await else {
                return String::new();
            };
            let mut answers: Value = sent.json().await.expect("JSON");
            let mut script = changes.lock().expect("no panic");
            for (question, answer) in pairs(&questions, &mut answers) {
                let method = question["method"].as_str().unwrap_or_default();
                (*script)(method, &question["params"], answer);
            }
            answers.to_string()
        };
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            script,
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes answers from now on.
    pub(crate) fn lies(&self, script: impl FnMut(&str, &Value, &mut Value) + Send + 'static) {
        *self.script.lock().expect("no panic") = Box::new(script);
    }

    /// Changes none any more.
    pub(crate) fn is_honest_again(&self) {
        *self.script.lock().expect("no panic") = honest();
    }
}

/// Changes each log of an answer.
pub(crate) fn each_log(method: &str, answer: &mut Value, change: impl Fn(&mut Value)) {
    if method == "eth_getLogs"
        && let Some(logs) = answer["result"].as_array_mut()
    {
        logs.iter_mut().for_each(change);
    }
}

/// Refuses a question.
pub(crate) fn refuse(answer: &mut Value) {
    let error = json!({ "code": -32000, "message": "missing trie node" });
    *answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
}
