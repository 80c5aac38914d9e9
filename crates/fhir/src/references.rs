//! What a literal reference looks like.

use crate::primitives::is_id;
use crate::table;

/// Whether a literal reference has one of the forms of R4, section 2.3.0.1: an
/// absolute URL, a resource and its id with or without a version, or a fragment.
pub(crate) fn is_well_formed(reference: &str) -> bool {
    if reference.starts_with('#') || reference.contains(':') {
        return true;
    }
    let mut segments = reference.split('/');
    let kind = segments.next().unwrap_or_default();
    let rest = [
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    ];
    let id = |segment: Option<&str>| segment.is_some_and(is_id);
    table::r4().resource(kind).is_some()
        && match rest {
            [identity, None, ..] => id(identity),
            [identity, Some("_history"), version, None] => id(identity) && id(version),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_absolute_a_resource_with_an_id_or_a_fragment() {
        for good in [
            "Patient/1",
            "Patient/1/_history/2",
            "#p",
            "#",
            "urn:uuid:1",
            "https://a/b",
        ] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "/",
            "Patient/",
            "Nobody/1",
            "Patient/1/2",
            "Patient/1/_history",
            "Patient/1/_history/2/3",
            "Patient/a b",
            "a/Patient/1",
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
