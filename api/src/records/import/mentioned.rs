//! Entries of an import that no record is made of and that documents refer to: of which kind each is, what a person reads of it, and
//! where its `Medication` is, which those documents contain.

use std::{collections::HashMap, sync::Arc};

use fhir::{
    mentioned::{self, MentionedResource},
    origin::NameScope,
};

use super::{name_hashes::NameHashes, prepared::Prepared};

/// How many names of them are known. What has another one is referred to without its kind and its name.
const MAX_NAMES: usize = 100_000;
/// How many medications a document contains at most.
const MAX_CONTAINED: usize = 16;

/// What is known of such an entry. `M` is where its `Medication` is.
#[derive(Debug)]
pub(super) struct MentionedEntry<M> {
    /// What stands for the surest of its names.
    id: u128,
    /// Of which kind it is.
    pub(super) kind: &'static str,
    /// What a person reads of it.
    pub(super) display: Option<String>,
    medication: Option<M>,
}

/// The entries of one import that documents may refer to.
#[derive(Debug)]
pub(crate) struct MentionedEntries<M> {
    /// What is called so; `None` where two are.
    names: HashMap<u128, Option<Arc<MentionedEntry<M>>>>,
    hashes: NameHashes,
}

impl<M> Default for MentionedEntries<M> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            hashes: NameHashes::default(),
        }
    }
}

impl<M: Clone> MentionedEntries<M> {
    /// Learns of an entry, and where its `Medication` is, if it is one that documents may contain.
    pub(crate) fn learn(&mut self, resource: MentionedResource, medication: Option<M>) {
        let names = resource.names.iter().map(|name| self.hashes.of(name));
        let names: Vec<u128> = names.collect();
        let Some(id) = names.first().copied() else {
            return;
        };
        let entry = Arc::new(MentionedEntry {
            id,
            kind: resource.kind,
            display: resource.display,
            medication,
        });
        for name in names {
            if self.names.len() >= MAX_NAMES && !self.names.contains_key(&name) {
                continue;
            }
            let known = self.names.entry(name);
            let known = known.or_insert_with(|| Some(Arc::clone(&entry)));
            // A later version takes the name; what another entry is called, too, means neither.
            let is_same = known.as_ref().is_some_and(|it| it.id == id);
            *known = is_same.then(|| Arc::clone(&entry));
        }
    }

    /// The entry that a reference means.
    pub(super) fn meant(
        &self,
        reference: &str,
        scope: NameScope<'_>,
    ) -> Option<&MentionedEntry<M>> {
        let names = mentioned::names_meant(reference, scope);
        let mut known = names
            .iter()
            .filter_map(|name| self.names.get(&self.hashes.of(name)));
        known.next()?.as_deref()
    }

    /// Whether a document names a drug by a reference to what has not come.
    pub(crate) fn lacks_medication(&self, one: &Prepared, source: Option<&str>) -> bool {
        let scope = one.scope(source);
        let mut meant = mentioned::medications_meant(&one.document).into_iter();
        meant.any(|reference| self.meant(reference, scope).is_none())
    }

    /// Where each `Medication` is that a document refers to, by the reference.
    pub(crate) fn medications_of(&self, one: &Prepared, source: Option<&str>) -> Vec<(String, M)> {
        let scope = one.scope(source);
        let found = one.references().iter().filter_map(|reference| {
            let medication = self.meant(reference, scope)?.medication.clone()?;
            Some((reference.clone(), medication))
        });
        found.take(MAX_CONTAINED).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(names: &[&str], display: &str) -> MentionedResource {
        MentionedResource {
            kind: "Practitioner",
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            display: Some(display.to_owned()),
            medication: None,
        }
    }

    #[test]
    fn a_later_version_takes_a_name_and_what_two_are_called_means_neither() {
        let mut entries = MentionedEntries::<()>::default();
        let display = |entries: &MentionedEntries<()>, reference: &str| {
            let meant = entries.meant(reference, NameScope::default());
            meant.and_then(|it| it.display.clone())
        };
        entries.learn(
            entry(&["http://a/Practitioner/1", "Practitioner/1"], "Old"),
            None,
        );
        entries.learn(
            entry(&["http://a/Practitioner/1", "Practitioner/1"], "Rosa"),
            None,
        );
        let reference = "Practitioner/1/_history/2";
        assert_eq!(display(&entries, reference).as_deref(), Some("Rosa"));

        entries.learn(
            entry(&["http://b/Practitioner/1", "Practitioner/1"], "Ben"),
            None,
        );
        assert_eq!(display(&entries, reference), None);
        for (of, named) in [("a", "Rosa"), ("b", "Ben")] {
            let reference = format!("http://{of}/Practitioner/1");
            assert_eq!(display(&entries, &reference).as_deref(), Some(named));
        }
        assert_eq!(display(&entries, "Practitioner/2"), None);
    }
}
