//! A node in between that answers as the real one, but for what a script changes in its questions, in its answers, and in how
//! they are handed over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Changes a question before the real node is asked: its method, its parameters.
type Question = Box<dyn FnMut(&str, &mut Value) + Send>;
/// Changes the answer to one question: its method, its parameters, the answer.
type Script = Box<dyn FnMut(&str, &Value, &mut Value) + Send>;
/// Says how an answer is handed over, by all questions of a request and the text of the answer.
type Delivery = Box<dyn FnMut(&Value, String) -> Delivered + Send>;

/// How an answer is handed over.
#[derive(Debug, Clone)]
pub(crate) enum Delivered {
    /// Whole, and at once.
    Whole(String),
    /// With another status than 200.
    Status(u16, String),
    /// After this time.
    Late(Duration, String),
    /// As far as it goes; then the connection breaks off.
    Broken(String),
    /// Never: nobody hears anything until the node is honest again, and then the connection breaks off.
    Silent,
}

/// What is changed.
struct Lies {
    question: Question,
    answer: Script,
    delivery: Delivery,
}

impl Lies {
    /// Nothing.
    fn none() -> Self {
        Self {
            question: Box::new(|_: &str, _: &mut Value| {}),
            answer: Box::new(|_: &str, _: &Value, _: &mut Value| {}),
            delivery: Box::new(|_: &Value, answer: String| Delivered::Whole(answer)),
        }
    }
}

/// Such a node.
pub(crate) struct LyingNode {
    url: String,
    lies: Arc<Mutex<Lies>>,
    honest_again: Arc<watch::Sender<u64>>,
}

/// Each question of a request.
fn each(questions: &mut Value) -> Vec<&mut Value> {
    match questions {
        Value::Array(questions) => questions.iter_mut().collect(),
        question => vec![question],
    }
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

/// What is asked by a method, without what it is asked about.
fn method_of(question: &Value) -> String {
    let method = question["method"].as_str();
    method.unwrap_or_default().to_owned()
}

/// An answer that begins so and whose connection breaks off then.
fn broken(begins: String) -> Response {
    let ends = std::io::Error::other("the connection breaks off");
    let parts = futures::stream::iter([Ok(begins), Err(ends)]);
    Response::new(Body::from_stream(parts))
}

/// Hands an answer over; `honest_again` changes when nothing is held back any more.
async fn hand_over(delivered: Delivered, mut honest_again: watch::Receiver<u64>) -> Response {
    match delivered {
        Delivered::Whole(answer) => answer.into_response(),
        Delivered::Status(status, answer) => {
            let status = StatusCode::from_u16(status).expect("it is a status");
            (status, answer).into_response()
        }
        Delivered::Late(by, answer) => {
            tokio::time::sleep(by).await;
            answer.into_response()
        }
        Delivered::Broken(begins) => broken(begins),
        Delivered::Silent => {
            honest_again.changed().await.ok();
            broken(String::new())
        }
    }
}

impl LyingNode {
    /// Stands before a node, and changes nothing yet.
    pub(crate) async fn before(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let lies = Arc::new(Mutex::new(Lies::none()));
        let honest_again = Arc::new(watch::Sender::new(0));
        let (node, http) = (node.to_owned(), dev::http::client());
        let (changes, ends) = (Arc::clone(&lies), Arc::clone(&honest_again));
        let answer = async move |asked: String| {
            let ended = ends.subscribe();
            let mut questions: Value = serde_json::from_str(&asked).expect("JSON");
            {
                let mut lies = changes.lock().expect("no panic");
                for question in each(&mut questions) {
                    let method = method_of(question);
                    (lies.question)(&method, &mut question["params"]);
                }
            }
            let sent = http.post(&node).header("content-type", "application/json");
            let Ok(sent) = sent.body(questions.to_string()).send().await else {
                return String::new().into_response();
            };
            let mut answers: Value = sent.json().await.expect("JSON");
            let delivered = {
                let mut lies = changes.lock().expect("no panic");
                for (question, answer) in pairs(&questions, &mut answers) {
                    let method = method_of(question);
                    (lies.answer)(&method, &question["params"], answer);
                }
                (lies.delivery)(&questions, answers.to_string())
            };
            hand_over(delivered, ended).await
        };
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            lies,
            honest_again,
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks the real node for something else than it was asked for, from now on.
    pub(crate) fn asks_otherwise(&self, script: impl FnMut(&str, &mut Value) + Send + 'static) {
        self.lies.lock().expect("no panic").question = Box::new(script);
    }

    /// Changes answers from now on.
    pub(crate) fn lies(&self, script: impl FnMut(&str, &Value, &mut Value) + Send + 'static) {
        self.lies.lock().expect("no panic").answer = Box::new(script);
    }

    /// Hands answers over otherwise from now on.
    pub(crate) fn delivers(
        &self,
        script: impl FnMut(&Value, String) -> Delivered + Send + 'static,
    ) {
        self.lies.lock().expect("no panic").delivery = Box::new(script);
    }

    /// Changes nothing any more, and holds nothing back.
    pub(crate) fn is_honest_again(&self) {
        *self.lies.lock().expect("no panic") = Lies::none();
        self.honest_again.send_modify(|times| *times += 1);
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
