//! The resources that one resource contains, and which of them a reference points to.

use std::collections::HashMap;

use crate::json::{Json, member};

/// The resources that one resource contains: their ids and types.
#[derive(Debug, Default)]
pub(crate) struct Contained<'a> {
    types: HashMap<&'a str, &'a str>,
    is_ambiguous: bool,
}

impl<'a> Contained<'a> {
    /// What the resource with these members contains.
    pub(crate) fn of(resource: &'a [(String, Json)]) -> Self {
        let resources = member(resource, "contained")
            .and_then(Json::as_array)
            .unwrap_or_default();
        let text = |resource: &'a Json, key| resource.get(key).and_then(Json::as_str);
        let named = |resource| {
            Some((
                text(resource, "id")?,
                text(resource, "resourceType").unwrap_or_default(),
            ))
        };
        let types: HashMap<_, _> = resources.iter().filter_map(named).collect();
        Self {
            is_ambiguous: types.len() < resources.iter().filter_map(named).count(),
            types,
        }
    }

    /// Whether two of them have the same id, so that nobody knows which `#id` means.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// Whether a resource of this id is contained.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.types.contains_key(id)
    }

    /// The type of resource that a reference points to, if it says.
    pub(crate) fn target(&self, reference: &'a str) -> Option<&'a str> {
        if let Some(id) = reference.strip_prefix('#') {
            return self.types.get(id).copied();
        }
        let without_version = reference.split("/_history/").next()?;
        let mut segments = without_version.rsplit('/');
        segments.next()?; // the id
        segments.next()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;
    use crate::reader::read;

    #[test]
    fn the_target_is_told_by_the_reference_or_by_what_is_contained() {
        let list =
            read(br#"{"contained":[{"resourceType":"Device","id":"d"},{"id":"x"},1]}"#).unwrap();
        let contained = Contained::of(list.as_object().unwrap());

        assert_eq!(contained.target("#d"), Some("Device"));
        assert_eq!(contained.target("#e"), None);
        assert_eq!(
            contained.target("https://a/Patient/1/_history/2"),
            Some("Patient")
        );
        assert_eq!(contained.target("Patient/1"), Some("Patient"));
        assert_eq!(contained.target("urn:uuid:1"), None);
    }
}
