//! The documents that clients name by their hash instead of sending them: those of a frontend's build, which the operator
//! trusts, and those that were sent before (automatic persisted queries, as Apollo Client asks for them).
//!
//! A hash is compared with its document wherever both are known, so that nobody can put another document in the place of one.
//! Of what was sent, no text with a string or a comment in it is remembered: what somebody writes into a document instead of
//! sending it in variables may be a password, or about a patient, and whoever knows the hash would be told that it was sent.

use std::{
    cmp::Reverse,
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{Variables, parser::parse_query};
use vault::digest;

use crate::{
    codes::ErrorCode,
    literals,
    query_limits::{self, QueryLimits},
    rejected::Rejected,
};

/// How many documents that were sent are remembered in this process. Each has at most 16 KiB.
const REMEMBERED: usize = 1000;

/// The SHA-256 of a document, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DocumentHash(String);

impl DocumentHash {
    /// Reads what a client names; `None` where it is no hash.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hash.then(|| Self(text.to_ascii_lowercase()))
    }

    fn of(document: &str) -> Self {
        Self(digest::hex_of(document.as_bytes()))
    }
}

/// Why the trusted documents cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentsError {
    /// The file cannot be read.
    #[error("the trusted documents in {path} cannot be read")]
    NotRead {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no manifest.
    #[error("{0} is no JSON object that gives a document for each hash")]
    NoManifest(PathBuf),
    /// A document in it cannot be used.
    #[error("the trusted document {hash} {why}")]
    BadDocument {
        /// By which hash it stands there, cut to 64 characters.
        hash: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A document of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustedDocument {
    text: Arc<str>,
    /// The names of its operations, comma separated.
    pub(crate) operation: String,
    /// What it costs at the most: its lists are as long as they may be where a variable says how long.
    pub(crate) cost: u64,
}

/// What each trusted document is held against before it is trusted.
#[derive(Clone, Copy)]
pub(crate) struct DocumentChecks<'a> {
    /// The query limits.
    pub(crate) limits: &'a QueryLimits,
    /// Says what of a document does not fit the schema.
    pub(crate) fits: &'a dyn Fn(&str) -> Result<(), String>,
}

/// The documents that are known. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(Arc<DocumentStore>);

#[derive(Debug, Default)]
struct DocumentStore {
    trusted: HashMap<DocumentHash, TrustedDocument>,
    /// Whether nothing else is run.
    only_trusted: bool,
    sent: Mutex<SentDocuments>,
}

/// What was sent, and when it was asked for last.
#[derive(Debug, Default)]
struct SentDocuments {
    documents: HashMap<DocumentHash, (Arc<str>, u64)>,
    asked: u64,
}

impl SentDocuments {
    fn get(&mut self, hash: &DocumentHash) -> Option<Arc<str>> {
        self.asked += 1;
        let (document, last) = self.documents.get_mut(hash)?;
        *last = self.asked;
        Some(Arc::clone(document))
    }

    /// Remembers one more, in the place of the one that was not asked for the longest.
    fn insert(&mut self, hash: DocumentHash, document: &str) {
        self.asked += 1;
        if self.documents.len() >= REMEMBERED && !self.documents.contains_key(&hash) {
            let oldest = self.documents.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(oldest, _)| oldest.clone()) {
                self.documents.remove(&oldest);
            }
        }
        self.documents.insert(hash, (document.into(), self.asked));
    }
}

impl Documents {
    /// Reads the manifest of trusted documents, if there is one, and compares each with its hash, the query limits and the
    /// schema.
    ///
    /// # Errors
    /// [`DocumentsError`] for a document that could not be run.
    pub(crate) fn load(
        manifest: Option<&Path>,
        only_trusted: bool,
        checks: DocumentChecks<'_>,
    ) -> Result<Self, DocumentsError> {
        let trusted = match manifest {
            Some(path) => read(path, checks)?,
            None => HashMap::new(),
        };
        Ok(Self(Arc::new(DocumentStore {
            trusted,
            only_trusted,
            sent: Mutex::default(),
        })))
    }

    /// The document of the manifest with this hash.
    pub(crate) fn trusted(&self, hash: &DocumentHash) -> Option<&TrustedDocument> {
        self.0.trusted.get(hash)
    }

    /// Writes to the log what each trusted document is called and costs at the most, the dearest first.
    pub(crate) fn log_trusted(&self) {
        let mut trusted: Vec<_> = self.0.trusted.iter().collect();
        trusted.sort_unstable_by_key(|(_, document)| Reverse(document.cost));
        for (
            DocumentHash(hash),
            TrustedDocument {
                operation, cost, ..
            },
        ) in trusted
        {
            tracing::info!(%hash, %operation, cost, "Trusts the document {operation}");
        }
    }

    /// What a request that names a hash, sends a document, or both is to run; `None` where it is what was sent.
    ///
    /// # Errors
    /// [`Rejected`]: `PERSISTED_QUERY_NOT_FOUND` for a hash that is not known, `UNTRUSTED_DOCUMENT` where only trusted
    /// documents are run, `BAD_REQUEST` for a hash that is not the document's.
    pub(crate) fn find(
        &self,
        named: Option<&DocumentHash>,
        sent: &str,
    ) -> Result<Option<Arc<str>>, Rejected> {
        if let (Some(hash), true) = (named, sent.is_empty()) {
            return match self.known(hash) {
                Some(document) => Ok(Some(document)),
                None if self.0.only_trusted => Err(untrusted()),
                // Apollo's clients look for this message, too.
                None => Err(Rejected::new(
                    ErrorCode::PersistedQueryNotFound,
                    "PersistedQueryNotFound",
                )),
            };
        }
        if !self.are_compared(named) {
            return Ok(None);
        }
        let hash = DocumentHash::of(sent);
        if named.is_some_and(|named| *named != hash) {
            let refusal = "`sha256Hash` is not the SHA-256 of the document";
            return Err(Rejected::new(ErrorCode::BadRequest, refusal));
        }
        if self.0.only_trusted && !self.0.trusted.contains_key(&hash) {
            return Err(untrusted());
        }
        Ok(None)
    }

    /// Whether a document is compared with a hash: with the one that was named, or with those that are trusted.
    pub(crate) fn are_compared(&self, named: Option<&DocumentHash>) -> bool {
        named.is_some() || self.0.only_trusted
    }

    /// Remembers a document that was let through, by the hash that was compared with it, if it is one to be remembered.
    pub(crate) fn remember(&self, hash: DocumentHash, document: &str) {
        if !self.0.only_trusted
            && !self.0.trusted.contains_key(&hash)
            && !literals::holds_free_text(document)
        {
            self.sent().insert(hash, document);
        }
    }

    fn known(&self, hash: &DocumentHash) -> Option<Arc<str>> {
        let trusted = self.trusted(hash).map(|it| Arc::clone(&it.text));
        if trusted.is_some() || self.0.only_trusted {
            return trusted;
        }
        self.sent().get(hash)
    }

    fn sent(&self) -> MutexGuard<'_, SentDocuments> {
        self.0.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn untrusted() -> Rejected {
    let refusal = "this service runs the documents of its frontend alone";
    Rejected::new(ErrorCode::UntrustedDocument, refusal)
}

fn read(
    path: &Path,
    checks: DocumentChecks<'_>,
) -> Result<HashMap<DocumentHash, TrustedDocument>, DocumentsError> {
    let text = fs::read_to_string(path).map_err(|source| DocumentsError::NotRead {
        path: path.to_owned(),
        source,
    })?;
    let manifest: HashMap<String, String> =
        serde_json::from_str(&text).map_err(|_| DocumentsError::NoManifest(path.to_owned()))?;
    let mut trusted = HashMap::with_capacity(manifest.len());
    for (name, document) in manifest {
        let bad = |why: String| DocumentsError::BadDocument {
            hash: name.chars().take(64).collect(),
            why,
        };
        let hash = DocumentHash::parse(&name).filter(|hash| *hash == DocumentHash::of(&document));
        let hash = hash.ok_or_else(|| bad("does not stand by its SHA-256".to_owned()))?;
        trusted.insert(hash, check(&document, checks).map_err(bad)?);
    }
    Ok(trusted)
}

/// Whether each of its operations could be run, with some variables: how long lists are is known with them alone.
fn check(
    document: &str,
    DocumentChecks { limits, fits }: DocumentChecks<'_>,
) -> Result<TrustedDocument, String> {
    query_limits::check_text(document, limits).map_err(|error| error.to_string())?;
    let parsed = parse_query(document).map_err(|error| format!("cannot be parsed: {error}"))?;
    if literals::repeats_a_field(document) {
        return Err("has an input object with a field twice".to_owned());
    }
    let mut operations = parsed.operations.iter();
    let limits = &QueryLimits {
        cost: if operations.any(|(_, it)| !it.node.variable_definitions.is_empty()) {
            u64::MAX
        } else {
            limits.cost
        },
        ..*limits
    };
    let names = parsed.operations.iter().map(|(name, _)| name);
    let names: Vec<_> = names
        .map(|it| it.map(async_graphql::Name::as_str))
        .collect();
    let mut cost = 0;
    for name in &names {
        let counted = query_limits::check(&parsed, *name, &Variables::default(), limits)
            .map_err(|error| format!("is not run: {error}"))?;
        cost = counted.weight.max(cost);
    }
    let operation = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    fits(document).map_err(|why| format!("({operation}) does not fit the schema: {why}"))?;
    Ok(TrustedDocument {
        text: document.into(),
        operation,
        cost,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn code(found: Result<Option<Arc<str>>, Rejected>) -> Option<ErrorCode> {
        found.err().map(|refused| refused.code)
    }

    #[test]
    fn a_document_that_was_sent_is_known_by_its_hash_until_a_thousand_others_were() {
        let documents = Documents::default();
        let hash = DocumentHash::of("{ me { id } }");
        assert_eq!(
            code(documents.find(Some(&hash), "")),
            Some(ErrorCode::PersistedQueryNotFound)
        );
        assert_eq!(
            code(documents.find(Some(&hash), "{ other }")),
            Some(ErrorCode::BadRequest)
        );

        documents.remember(hash.clone(), "{ me { id } }");

        let found = documents.find(Some(&hash), "").unwrap();
        assert_eq!(found.as_deref(), Some("{ me { id } }"));
        for nth in 0..REMEMBERED {
            let other = format!("{{ a{nth} }}");
            documents.remember(DocumentHash::of(&other), &other);
        }
        assert_eq!(
            code(documents.find(Some(&hash), "")),
            Some(ErrorCode::PersistedQueryNotFound)
        );
        assert_eq!(documents.sent().documents.len(), REMEMBERED);
    }

    #[test]
    fn a_document_with_a_string_or_a_comment_in_it_is_not_remembered() {
        let documents = Documents::default();
        for text in [
            r#"{ user(id: "1") { id } }"#,
            r#"{ user(id: """1""") { id } }"#,
            "{ me { id } } # of Ana",
        ] {
            let hash = DocumentHash::of(text);
            documents.remember(hash.clone(), text);
            let refused = code(documents.find(Some(&hash), ""));
            assert_eq!(refused, Some(ErrorCode::PersistedQueryNotFound), "{text}");
        }
        assert!(documents.sent().documents.is_empty());
    }

    #[test]
    fn a_trusted_document_costs_what_its_variables_say_and_may_hold_strings() {
        let limits = &QueryLimits::new(false);
        let check = |document: &str| {
            let fits = &|_: &str| Ok::<(), String>(());
            check(document, DocumentChecks { limits, fits })
        };
        let lists =
            "{ users(first: 100) { nodes { a: id history(first: 100) { nodes { a b c } } } } }";
        let by_variable = lists.replacen("first: 100", "first: $n", 1).replacen(
            "{ users",
            "query($n: Int!) { users",
            1,
        );

        assert!(check(lists).is_err(), "it is never run");
        assert!(check(r#"{ user(id: "1") { id } }"#).is_ok());
        assert!(check("{ a(b: { c: 1, c: 2 }) { id } }").is_err());
        assert!(check("{ a").is_err());
        assert!(check("{ __schema { types { name } } }").is_err());
        // As long as it may be.
        let dear = check(&by_variable).unwrap();
        let cheap = check("query Two($n: Int!) { users(first: 2) { nodes { id } } }").unwrap();
        assert!(dear.cost > limits.cost, "{dear:?}");
        assert!(cheap.cost < 20, "{cheap:?}");
        assert_eq!(
            (dear.operation.as_str(), cheap.operation.as_str()),
            ("", "Two")
        );
    }

    #[test]
    fn a_document_that_does_not_fit_the_schema_is_not_trusted() {
        let limits = &QueryLimits::new(false);
        let fits = &|_: &str| Err::<(), String>("why".to_owned());

        let refused = check("query Ask { me { id } }", DocumentChecks { limits, fits });

        let told = "(Ask) does not fit the schema: why".to_owned();
        assert_eq!(refused, Err(told));
    }

    #[test]
    fn where_only_trusted_documents_are_run_nothing_else_is() {
        let trusted = "{ me { id } }";
        let hash = DocumentHash::of(trusted);
        let documents = Documents(Arc::new(DocumentStore {
            trusted: HashMap::from([(
                hash.clone(),
                TrustedDocument {
                    text: trusted.into(),
                    operation: String::new(),
                    cost: 1,
                },
            )]),
            only_trusted: true,
            sent: Mutex::default(),
        }));
        let other = DocumentHash::of("{ other }");
        documents.remember(other.clone(), "{ other }");

        let found = documents.find(Some(&hash), "").unwrap();
        assert_eq!(found.as_deref(), Some(trusted));
        assert!(documents.find(None, trusted).unwrap().is_none());
        for (named, sent) in [
            (None, "{ other }"),
            (Some(&other), ""),
            (Some(&other), "{ other }"),
            (None, "{ me { id }  }"),
            (None, ""),
        ] {
            let refused = code(documents.find(named, sent));
            assert_eq!(refused, Some(ErrorCode::UntrustedDocument), "{sent}");
        }
    }

    #[test]
    fn a_hash_has_64_hexadecimal_digits() {
        let hash = "AB".repeat(32);
        assert_eq!(
            DocumentHash::parse(&hash),
            Some(DocumentHash("ab".repeat(32)))
        );
        for wrong in ["", "ab", &"g".repeat(64), &"a".repeat(65)] {
            assert_eq!(DocumentHash::parse(wrong), None, "{wrong}");
        }
    }
}
