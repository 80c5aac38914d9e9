//! The definitions of one package (<https://hl7.org/fhir/packages.html>), of which what is checked is kept alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::Json;
use crate::primitives::is_uri;
use crate::reader::{Limits, MAX_DEPTH, ReadError, read_within};

/// The largest file of a package that is read. Unit: bytes. The snapshot of a large profile has some 2 MiB.
pub const MAX_DEFINITION: usize = 32 << 20;

/// How many elements a profile has at most; the largest of the IPS has 1,040.
const MAX_ELEMENTS: usize = 10_000;

/// How many profiles a package has at most; US Core has 70.
const MAX_STRUCTURES: usize = 10_000;

/// How deep elements lie in each other at most.
const MAX_ELEMENT_DEPTH: usize = 32;

/// The version of FHIR that packages must be for, whatever its last number is.
const VERSION: &str = "4.0";

/// Why a package cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackage {
    /// A file of it cannot be read as JSON.
    #[error("{file} in it is no JSON: {problem}")]
    NoJson {
        /// Its name in the package.
        file: String,
        /// What is wrong, and where.
        problem: ReadError,
    },
    /// A definition cannot be used.
    #[error("{file} in it cannot be used: {problem}")]
    Definition {
        /// Its name in the package.
        file: String,
        /// Why not.
        problem: &'static str,
    },
    /// Nothing says what it is.
    #[error("it has no package.json: it is no FHIR package")]
    NoManifest,
    /// It is for another version of FHIR.
    #[error("it is not for FHIR R4: its package.json does not name 4.0.1 in fhirVersions")]
    OtherVersion,
    /// There is nothing in it to check by.
    #[error("it has no StructureDefinition, ValueSet or CodeSystem")]
    Empty,
}

/// The definitions of one package, taken file by file.
#[derive(Debug, Default)]
pub struct Package {
    has_manifest: bool,
    pub(super) structures: Vec<Structure>,
    pub(super) value_sets: BTreeMap<String, ValueSetSource>,
    pub(super) code_systems: BTreeMap<String, CodeSystem>,
}

/// A profile as it is defined.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) url: String,
    pub(super) version: Option<String>,
    pub(super) kind: String,
    pub(super) base: String,
    /// Whether the elements are a snapshot, which has those of what it is based on, too.
    pub(super) is_snapshot: bool,
    pub(super) elements: Vec<Json>,
}

/// A value set as it is defined.
#[derive(Debug)]
pub(super) struct ValueSetSource {
    pub(super) version: Option<String>,
    pub(super) compose: Option<Json>,
    pub(super) expansion: Option<Json>,
}

/// A code system: its codes, where all of them are listed.
#[derive(Debug)]
pub(super) struct CodeSystem {
    pub(super) codes: Option<BTreeSet<String>>,
}

/// What is kept of the definition of an element: the rest are texts for people.
const KEPT: [&str; 12] = [
    "id",
    "path",
    "sliceName",
    "slicing",
    "min",
    "max",
    "type",
    "mustSupport",
    "constraint",
    "binding",
    "contentReference",
    "maxLength",
];

impl Package {
    /// Takes a file of the folder `package`, by its name there. What is no definition is passed over.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is a definition that cannot be used.
    pub fn add(&mut self, file: &str, bytes: &[u8]) -> Result<(), InvalidPackage> {
        let limits = Limits {
            max_bytes: MAX_DEFINITION,
            max_depth: 2 * MAX_DEPTH,
        };
        let json = read_within(bytes, limits).map_err(|problem| InvalidPackage::NoJson {
            file: file.to_owned(),
            problem,
        })?;
        if file == "package.json" {
            return self.manifest(&json);
        }
        let fault = |problem| InvalidPackage::Definition {
            file: file.to_owned(),
            problem,
        };
        match text(&json, "resourceType") {
            Some("StructureDefinition") => self.structure(&json).map_err(fault),
            Some("ValueSet") => self.value_set(&json).map_err(fault),
            Some("CodeSystem") => self.code_system(&json).map_err(fault),
            _ => Ok(()),
        }
    }

    /// The package, once all of its files were taken.
    ///
    /// # Errors
    ///
    /// It is no package for R4, or there is nothing in it.
    pub fn complete(self) -> Result<Self, InvalidPackage> {
        if !self.has_manifest {
            return Err(InvalidPackage::NoManifest);
        }
        let is_empty = self.structures.is_empty()
            && self.value_sets.is_empty()
            && self.code_systems.is_empty();
        if is_empty {
            return Err(InvalidPackage::Empty);
        }
        Ok(self)
    }

    fn manifest(&mut self, json: &Json) -> Result<(), InvalidPackage> {
        self.has_manifest = true;
        // Both names are in use; old packages have a list of another name.
        let mut versions = items(json, "fhirVersions")
            .iter()
            .chain(items(json, "fhir-version-list"));
        let is_ours = |version: &Json| version.as_str().is_some_and(|it| it.starts_with(VERSION));
        if versions.any(is_ours) {
            Ok(())
        } else {
            Err(InvalidPackage::OtherVersion)
        }
    }

    fn structure(&mut self, json: &Json) -> Result<(), &'static str> {
        let url = url_of(json)?;
        let is_profile = text(json, "derivation") == Some("constraint");
        let kind = text(json, "type").ok_or("it has no type")?.to_owned();
        // Logical models and data types of a guide's own are no profiles of R4's.
        if !is_profile || crate::table::r4().named(&kind).is_none() {
            return Ok(());
        }
        let version = text(json, "version").map(str::to_owned);
        let base = text(json, "baseDefinition").ok_or("it has no baseDefinition")?;
        let base = base.to_owned();
        if self.structures.len() >= MAX_STRUCTURES {
            return Err("the package has too many profiles");
        }
        if self.structures.iter().any(|known| known.url == url) {
            return Err("another file defines the same URL");
        }
        let is_snapshot = json.get("snapshot").is_some();
        let view = if is_snapshot {
            "snapshot"
        } else {
            "differential"
        };
        let view = json
            .get(view)
            .ok_or("it has neither snapshot nor differential")?;
        let elements = items(view, "element");
        if elements.len() > MAX_ELEMENTS {
            return Err("it has too many elements");
        }
        let has_slices = elements.iter().any(|it| it.get("sliceName").is_some());
        if has_slices && elements.iter().any(|it| text(it, "id").is_none()) {
            return Err("it has slices, and elements without id");
        }
        if elements.iter().any(|it| text(it, "path").is_none()) {
            return Err("it has an element without path");
        }
        let is_too_deep = |element: &Json| id_of(element).split('.').count() > MAX_ELEMENT_DEPTH;
        if elements.iter().any(is_too_deep) {
            return Err("it has an element that lies too deep");
        }
        let elements = elements.iter().map(kept).collect();
        self.structures.push(Structure {
            url,
            version,
            kind,
            base,
            is_snapshot,
            elements,
        });
        Ok(())
    }

    fn value_set(&mut self, json: &Json) -> Result<(), &'static str> {
        let url = url_of(json)?;
        let source = ValueSetSource {
            version: text(json, "version").map(str::to_owned),
            compose: json.get("compose").cloned(),
            expansion: json.get("expansion").cloned(),
        };
        match self.value_sets.insert(url, source) {
            None => Ok(()),
            Some(_) => Err("another file defines the same URL"),
        }
    }

    fn code_system(&mut self, json: &Json) -> Result<(), &'static str> {
        let url = url_of(json)?;
        let mut codes = BTreeSet::new();
        collect(json, &mut codes);
        let is_complete = text(json, "content") == Some("complete");
        let system = CodeSystem {
            codes: is_complete.then_some(codes),
        };
        // A supplement has a URL of its own, and adds no codes.
        match self.code_systems.insert(url, system) {
            None => Ok(()),
            Some(_) => Err("another file defines the same URL"),
        }
    }
}

fn url_of(json: &Json) -> Result<String, &'static str> {
    let url = text(json, "url").ok_or("it has no url")?;
    if is_uri(url) && !url.contains('|') {
        Ok(url.to_owned())
    } else {
        Err("its url is none")
    }
}

/// The members of an element's definition that rules are made of.
fn kept(element: &Json) -> Json {
    let is_kept = |name: &str| {
        let values = ["fixed", "pattern", "minValue", "maxValue"];
        KEPT.contains(&name) || values.iter().any(|stem| name.starts_with(stem))
    };
    let members = element.as_object().unwrap_or_default().iter();
    Json::Object(members.filter(|(name, _)| is_kept(name)).cloned().collect())
}

/// The codes of the concepts below `json`.
fn collect(json: &Json, codes: &mut BTreeSet<String>) {
    for concept in items(json, "concept") {
        codes.extend(text(concept, "code").map(str::to_owned));
        collect(concept, codes);
    }
}

/// The `id` of an element's definition, or what it would be.
pub(super) fn id_of(element: &Json) -> &str {
    let path = || text(element, "path").unwrap_or_default();
    text(element, "id").unwrap_or_else(path)
}

pub(super) fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Json::as_str)
}

pub(super) fn items<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key).and_then(Json::as_array).unwrap_or_default()
}
