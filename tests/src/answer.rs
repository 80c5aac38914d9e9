//! What the api answered, and what a test says about it.

use dev::client::{self, Problem};
use serde_json::Value;

use crate::manual;

/// One answer of the api, with the question for the message of a test that fails.
#[derive(Debug, Clone)]
pub struct Answer {
    question: String,
    answer: client::Answer,
}

impl Answer {
    /// What was answered to this.
    ///
    /// # Panics
    /// If a mutation failed with an error code that its description does not name.
    #[track_caller]
    pub(crate) fn new(question: &str, answer: client::Answer) -> Self {
        let question = question.split_whitespace().collect::<Vec<_>>().join(" ");
        for problem in &answer.errors {
            let [Value::String(field)] = problem.path.as_slice() else {
                continue;
            };
            assert!(
                !manual::leaves_out(field, problem.code()),
                "the description of `{field}` does not name {problem:?}"
            );
        }
        for (field, code) in user_errors(&answer.data) {
            assert!(
                !manual::leaves_out(field, code),
                "the description of `{field}` does not name {code}"
            );
        }
        Self { question, answer }
    }

    /// The data; the answer must hold no error.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(
            self.answer.errors.is_empty(),
            "{} was refused: {:#?}",
            self.question,
            self.answer.errors
        );
        &self.answer.data
    }

    /// The data, whether there are errors beside them or not.
    pub fn partial_data(&self) -> &Value {
        &self.answer.data
    }

    /// All errors.
    pub fn errors(&self) -> &[Problem] {
        &self.answer.errors
    }

    /// The code of the first error; `None` without errors.
    pub fn code(&self) -> Option<&str> {
        self.answer.code()
    }

    /// The status of the HTTP answer.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// The only error has this code; answers that error.
    #[track_caller]
    pub fn fails_with(&self, code: &str) -> &Problem {
        let codes: Vec<_> = self.errors().iter().map(Problem::code).collect();
        assert_eq!(
            codes,
            [code],
            "the codes of what {} was answered: {} {:#?}",
            self.question,
            self.answer.data,
            self.errors()
        );
        &self.answer.errors[0]
    }
}

/// The codes that the payloads of mutations tell as user errors, each with the name of the mutation.
fn user_errors(data: &Value) -> impl Iterator<Item = (&str, &str)> {
    let payloads = data.as_object().into_iter().flatten();
    payloads.flat_map(|(field, payload)| {
        let errors = payload["userErrors"].as_array().into_iter().flatten();
        errors.filter_map(move |error| Some((field.as_str(), error["code"].as_str()?)))
    })
}
