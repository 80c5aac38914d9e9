//! Keeps what GraphQL documents were parsed and counted to, by their texts: a frontend sends the same few for ever, and parsing
//! one takes longer than everything else that is done with it before it runs.
//!
//! Only what passed the limits of documents is kept, and no text with a string or a comment in it: what somebody writes into a document instead
//! of sending it in variables may be a password, or about a patient.

use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use quick_cache::{Weighter, sync::Cache};

use crate::{literals, query_limits::FixedCount};

/// The longest text that is kept. Unit: bytes. GraphiQL's introspection query has 1.7 KiB.
const MAX_DOCUMENT: usize = 4 * 1024;
/// How much text is kept. Unit: bytes. A parsed document takes about thirty times as much memory as its text.
const CAPACITY: u64 = 128 * 1024;
/// How many documents are expected to be kept at a time: queries have some 500 bytes.
const EXPECTED: usize = 256;

/// What a text was parsed to.
pub(crate) struct ParsedDocument {
    /// The document.
    pub(crate) document: ExecutableDocument,
    /// What it was counted to, where that does not depend on its variables.
    pub(crate) count: Option<FixedCount>,
}

/// Parsed documents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ParsedDocuments(Arc<Cache<Box<str>, Arc<ParsedDocument>, ByLength>>);

/// A document weighs as much as its text is long.
#[derive(Clone)]
struct ByLength;

impl Weighter<Box<str>, Arc<ParsedDocument>> for ByLength {
    fn weight(&self, text: &Box<str>, _document: &Arc<ParsedDocument>) -> u64 {
        text.len() as u64
    }
}

impl ParsedDocuments {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Cache::with_weighter(EXPECTED, CAPACITY, ByLength)))
    }

    /// What this text was parsed to, if it is kept.
    pub(crate) fn get(&self, text: &str) -> Option<Arc<ParsedDocument>> {
        if text.len() > MAX_DOCUMENT {
            return None;
        }
        self.0.get(text)
    }

    /// Keeps what a text was parsed and counted to, if it is one to be kept.
    pub(crate) fn keep(
        &self,
        text: &str,
        document: &ExecutableDocument,
        count: Option<FixedCount>,
    ) {
        if text.len() <= MAX_DOCUMENT && !literals::holds_free_text(text) {
            let document = document.clone();
            let parsed = ParsedDocument { document, count };
            self.0.insert(text.into(), Arc::new(parsed));
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn kept(texts: &[&str]) -> ParsedDocuments {
        let documents = ParsedDocuments::new();
        for text in texts {
            documents.keep(text, &parse_query(text).expect("it parses"), None);
        }
        documents
    }

    #[test]
    fn a_document_is_found_by_its_text_alone() {
        let documents = kept(&["{ me { id } }"]);

        assert!(documents.get("{ me { id } }").is_some());
        assert!(documents.get("{ me { id }  }").is_none());
    }

    #[test]
    fn a_document_with_a_string_in_it_is_not_kept() {
        let texts = [
            r#"{ user(id: "1") { id } }"#,
            r#"{ user(id: """1""") { id } }"#,
        ];
        let documents = kept(&texts);

        assert!(texts.iter().all(|text| documents.get(text).is_none()));
    }

    #[test]
    fn long_documents_are_not_kept_and_short_ones_only_within_the_bound() {
        let long = format!("{{ me {{ id }} }}{}", " ".repeat(MAX_DOCUMENT));
        let many: Vec<String> = (0..2_000)
            .map(|nth| format!("query Q{nth} {{ me {{ id }} }}{}", " ".repeat(500)))
            .collect();
        let documents = kept(&[&long]);
        for text in &many {
            documents.keep(text, &parse_query(text).expect("it parses"), None);
        }

        assert!(documents.get(&long).is_none());
        let kept = many.iter().filter_map(|text| {
            let found = documents.get(text);
            found.map(|_| text.len() as u64)
        });
        let kept: u64 = kept.sum();
        assert!(kept > 0 && kept <= CAPACITY, "{kept} bytes are kept");
    }
}
