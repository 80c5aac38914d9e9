//! Canonical URLs, by which definitions name each other.

/// The URL and the version of a canonical URL.
pub(super) fn split_canonical(canonical: &str) -> (&str, Option<&str>) {
    match canonical.split_once('|') {
        Some((url, version)) => (url, Some(version)),
        None => (canonical, None),
    }
}
