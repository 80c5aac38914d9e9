//! What a literal reference looks like, and what it means in the words of its source.

use percent_encoding::percent_decode_str;

use crate::primitives::is_id;
use crate::table;

/// The longest name of a source, and the longest reference that is looked at. Unit: bytes.
pub const MAX_SOURCE: usize = 512;

/// What is known of an entry that says in whose words its document speaks.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameScope<'a> {
    /// The source that the import names.
    pub named: Option<&'a str>,
    /// What the entry is called in its `Bundle`.
    pub full_url: Option<&'a str>,
    /// The source that its document names ([`crate::origin::said_source`]). Where the import names one, or the entry has an address,
    /// that counts.
    pub said: Option<&'a str>,
}

impl<'a> NameScope<'a> {
    /// The address that the relative references of its document are below, if there is one.
    pub(crate) fn base(self) -> Option<&'a str> {
        let source = self.named.or(self.said);
        let source = source.filter(|source| source.contains("://"));
        Some(self.server().or(source)?.trim_end_matches('/'))
    }

    /// The address of the server that has it, by what the entry is called.
    pub(crate) fn server(self) -> Option<&'a str> {
        let called = self.full_url.and_then(Literal::of);
        called.as_ref().and_then(Literal::base)
    }
}

/// A literal reference, taken apart; its version is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal<'a> {
    /// A UUID, in small letters.
    Uuid(String),
    /// What is below an address.
    Absolute {
        base: &'a str,
        kind: &'a str,
        id: &'a str,
    },
    /// What is in the same place as the document.
    Relative { kind: &'a str, id: &'a str },
}

impl<'a> Literal<'a> {
    /// What a reference means; `None` where it means nothing that could be a document.
    pub(crate) fn of(reference: &'a str) -> Option<Self> {
        if reference.len() > MAX_SOURCE {
            return None;
        }
        let reference = reference.split("/_history/").next().unwrap_or_default();
        if reference
            .get(..9)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:uuid:"))
        {
            return Some(Self::Uuid(reference[9..].to_ascii_lowercase()));
        }
        let (rest, id) = reference.rsplit_once('/')?;
        let (base, kind) = match rest.rsplit_once('/') {
            Some((base, kind)) => (Some(base), kind),
            None => (None, rest),
        };
        if table::r4().resource(kind).is_none() || !is_id(id) {
            return None;
        }
        match base {
            None => Some(Self::Relative { kind, id }),
            Some(base) if base.contains("://") => Some(Self::Absolute { base, kind, id }),
            Some(_) => None,
        }
    }

    /// The base address, if it has one.
    pub(crate) fn base(&self) -> Option<&'a str> {
        match self {
            Self::Absolute { base, .. } => Some(base),
            Self::Uuid(_) | Self::Relative { .. } => None,
        }
    }

    /// The kind of resource that it names, if it names one.
    pub(crate) fn kind(&self) -> Option<&'a str> {
        match self {
            Self::Absolute { kind, .. } | Self::Relative { kind, .. } => Some(kind),
            Self::Uuid(_) => None,
        }
    }
}

/// The identifier that a conditional reference asks for, as `system|value`; `None` where it is no text.
pub(crate) fn identifier_asked(reference: &str) -> Option<String> {
    let (_, query) = reference.split_once("?identifier=")?;
    let identifier = query.split('&').next()?;
    let decoded = percent_decode_str(identifier).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

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
