//! The languages in which people are told what concerns them, and what is said in each of them.

use crate::text::text_enum;

text_enum! {
    /// A language in which somebody is told something.
    Language {
        /// English.
        English = "ENGLISH",
        /// Indonesian.
        Indonesian = "INDONESIAN",
    }
}

/// What is said in each language: a text that one of them lacks does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phrase {
    english: &'static str,
    indonesian: &'static str,
}

impl Phrase {
    /// The same in each language.
    pub const fn new(english: &'static str, indonesian: &'static str) -> Self {
        Self {
            english,
            indonesian,
        }
    }

    /// What is said in this language.
    pub const fn said_in(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Indonesian => self.indonesian,
        }
    }
}
