//! Points of the specification, and the resources that may state them.

use super::elements::items;
use crate::json::Json;
use crate::record_types::resource_type;

/// Whether something is stated, or where it could have been.
pub(super) type Stated = Result<(), String>;

/// A point of the specification and whether the document states it.
pub(super) struct Bullet {
    pub(super) name: &'static str,
    pub(super) bold: bool,
    pub(super) stated: Stated,
}

pub(super) fn bold(name: &'static str, stated: Stated) -> Bullet {
    Bullet {
        name,
        bold: true,
        stated,
    }
}

pub(super) fn plain(name: &'static str, stated: Stated) -> Bullet {
    Bullet {
        name,
        bold: false,
        stated,
    }
}

/// A resource of a document, and where it is.
pub(super) struct Resource<'a> {
    pub(super) json: &'a Json,
    /// What contains it, or itself.
    pub(super) root: &'a Json,
    /// The entry of the `Bundle`.
    entry: Option<usize>,
    /// Where its root contains it.
    pub(super) inner: Option<usize>,
}

impl Resource<'_> {
    pub(super) fn path(&self, element: &str) -> String {
        let root = match self.entry {
            Some(entry) => format!("Bundle.entry[{entry}].resource"),
            None => resource_type(self.root).unwrap_or_default().to_owned(),
        };
        let resource = match self.inner {
            Some(inner) => format!("{root}.contained[{inner}]"),
            None => root,
        };
        if element.is_empty() {
            resource
        } else {
            format!("{resource}.{element}")
        }
    }
}

/// The resources of a document: roots, and after each what it contains.
pub(super) struct RecordParts<'a>(Vec<Resource<'a>>);

impl<'a> RecordParts<'a> {
    pub(super) fn of(document: &Json, roots: &[&'a Json]) -> Self {
        let is_bundle = resource_type(document) == Some("Bundle");
        let family = |(at, root): (usize, &&'a Json)| {
            let root: &'a Json = root;
            let entry = is_bundle.then_some(at);
            let part = move |json, inner| Resource {
                json,
                root,
                entry,
                inner,
            };
            let contained = items(root, "contained").iter().enumerate();
            std::iter::once(part(root, None))
                .chain(contained.map(move |(at, json)| part(json, Some(at))))
        };
        Self(roots.iter().enumerate().flat_map(family).collect())
    }

    /// The resources of this kind.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Resource<'a>> {
        self.0
            .iter()
            .filter(move |it| resource_type(it.json) == Some(kind))
    }

    /// Whether there is a resource of this kind.
    pub(super) fn holds(&self, kind: &str) -> bool {
        self.all(kind).next().is_some()
    }

    /// Where something could be stated, if anywhere.
    pub(super) fn somewhere(&self, element: &str) -> String {
        self.0
            .first()
            .map_or_else(String::new, |it| it.path(element))
    }

    pub(super) fn every(&self, kind: &str, element: &str, holds: impl Fn(&Json) -> bool) -> Stated {
        self.every_within(kind, element, |json, _| holds(json))
    }

    /// As [`Self::every`], where what contains the resource matters, too.
    pub(super) fn every_within(
        &self,
        kind: &str,
        element: &str,
        holds: impl Fn(&Json, &Json) -> bool,
    ) -> Stated {
        let open = self.all(kind).find(|it| !holds(it.json, it.root));
        open.map_or(Ok(()), |it| Err(it.path(element)))
    }

    /// As [`Self::every`], where the resource says which element is open.
    pub(super) fn every_at(
        &self,
        kind: &str,
        element: impl Fn(&Json) -> &'static str,
        holds: impl Fn(&Json) -> bool,
    ) -> Stated {
        let open = self.all(kind).find(|it| !holds(it.json));
        open.map_or(Ok(()), |it| Err(it.path(element(it.json))))
    }

    /// Every root of this kind, and nothing that is contained.
    pub(super) fn every_root_of(
        &self,
        kind: &str,
        element: &str,
        holds: impl Fn(&Json) -> bool,
    ) -> Stated {
        let mut roots = self.all(kind).filter(|it| it.inner.is_none());
        let open = roots.find(|it| !holds(it.json));
        open.map_or(Ok(()), |it| Err(it.path(element)))
    }

    /// Every root, whatever kind it is of.
    pub(super) fn every_root(&self, element: &str, holds: impl Fn(&Json) -> bool) -> Stated {
        let mut roots = self.0.iter().filter(|it| it.inner.is_none());
        let open = roots.find(|it| !holds(it.json));
        open.map_or(Ok(()), |it| Err(it.path(element)))
    }

    pub(super) fn any(&self, kind: &str, element: &str, holds: impl Fn(&Json) -> bool) -> Stated {
        if self.all(kind).any(|it| holds(it.json)) {
            return Ok(());
        }
        let first = self.all(kind).next();
        Err(first.map_or_else(|| self.somewhere(""), |it| it.path(element)))
    }
}
