//! What the profiles that a document declares demand of it beyond R4.
//!
//! [`Package`] takes the definitions of an implementation guide, `rules` makes trees of rules of them, `walk` holds a
//! document against the rules of the profiles in its `meta.profile`. Reading files and archives is left to the caller. A
//! rule that cannot be evaluated here, such as a `FHIRPath` constraint, is never taken as kept: it is named as not checked.
//! A document that declares nothing is not looked at.

mod canonical;
mod codes;
mod package;
mod rules;
mod slicing;
#[cfg(test)]
mod tests;
mod values;
mod walk;

use std::collections::HashMap;

use self::canonical::split_canonical;
use self::rules::Profile;
use crate::issue::Issue;
use crate::json::Json;

pub use self::package::{InvalidPackage, MAX_DEFINITION, Package};

/// The profiles of some packages, ready to be held against documents.
#[derive(Debug, Default)]
pub struct Profiles {
    profiles: Vec<Profile>,
    /// The places of those of one URL, in the order of their packages.
    by_url: HashMap<String, Vec<usize>>,
}

/// What came of holding a document against its profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileReport {
    /// What a profile demands and the document does not do.
    pub errors: Vec<Issue>,
    /// What was not checked, and which elements that a profile marks *must support* are not there: information alone.
    pub notes: Vec<Issue>,
}

impl Profiles {
    /// The profiles of these packages. Of two that define the same, the one named last counts where no version is declared.
    pub fn new(packages: &[Package]) -> Self {
        let mut profiles = Self {
            profiles: rules::profiles_of(packages),
            by_url: HashMap::new(),
        };
        for (at, profile) in profiles.profiles.iter().enumerate() {
            let same = profiles.by_url.entry(profile.url.clone());
            same.or_default().push(at);
        }
        profiles
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether there is none, so that nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Holds a document that is R4 against the profiles that it and the resources in it declare.
    ///
    /// The patient and the identity may still be missing, as [`crate::stamp()`] sets them.
    pub fn check(&self, document: &Json) -> ProfileReport {
        walk::check(self, document)
    }

    /// The profile that a canonical URL means, with `|version` or without.
    fn find(&self, canonical: &str) -> Option<&Profile> {
        let (url, version) = split_canonical(canonical);
        let same = self.by_url.get(url)?.iter().rev();
        let mut same = same.filter_map(|&at| self.profiles.get(at));
        same.find(|profile| version.is_none() || profile.version.as_deref() == version)
    }

    /// Whether there is one of this URL, in whichever version.
    fn has_other_version(&self, canonical: &str) -> bool {
        self.by_url.contains_key(split_canonical(canonical).0)
    }
}
