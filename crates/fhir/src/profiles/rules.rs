//! The rules of a profile as a tree along the elements of its kind, made of a snapshot, or of a differential over what the
//! profile is based on. R4's own rules are the base walk's.

use std::collections::HashMap;
use std::sync::Arc;

use super::canonical::split_canonical;
use super::codes::{Codes, Terminology};
use super::package::{Package, Structure, id_of, items, text};
use super::slicing::Slicing;
use super::values::Wanted;
use crate::json::Json;
use crate::table;

/// Where R4's own definitions are.
const R4_STRUCTURE: &str = "http://hl7.org/fhir/StructureDefinition/";
/// The extension of a binding that names a value set from which codes must come, however weak the binding is.
const MAX_VALUE_SET: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet";
/// How long a line of profiles that are based on each other may be.
const MAX_BASES: usize = 16;

/// One profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) url: String,
    pub(super) version: Option<String>,
    /// The resource or data type that it is of.
    pub(super) kind: String,
    pub(super) rules: ElementRules,
    /// What it is based on, where no package has that: nothing of it is checked.
    pub(super) unknown_base: Option<String>,
}

impl Profile {
    /// The last part of its URL, by which issues cite it.
    pub(super) fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}

/// What is demanded of one element.
#[derive(Debug, Default)]
pub(super) struct ElementRules {
    /// Its name, such as `code` or `value[x]`; of the root the kind of the profile.
    pub(super) name: String,
    pub(super) min: usize,
    /// `None` is any number.
    pub(super) max: Option<usize>,
    pub(super) is_must_support: bool,
    pub(super) wanted: Option<Wanted>,
    pub(super) binding: Option<Binding>,
    pub(super) types: Vec<AllowedType>,
    /// The keys of constraints in `FHIRPath` that are not R4's own.
    pub(super) constraints: Vec<String>,
    /// What else is demanded, and not checked here, such as `maxLength`.
    pub(super) unchecked: Vec<String>,
    /// The id of the element that has what is demanded within this one, too.
    pub(super) content: Option<String>,
    pub(super) children: Vec<ElementRules>,
    pub(super) slicing: Option<Slicing>,
}

/// The value set that codes must come from.
#[derive(Debug)]
pub(super) struct Binding {
    /// Without its version.
    pub(super) url: String,
    pub(super) codes: Arc<Codes>,
}

/// A type that a value may be of.
#[derive(Debug, Default)]
pub(super) struct AllowedType {
    pub(super) code: String,
    /// The profiles of which the value must keep one.
    pub(super) profiles: Vec<String>,
    /// The kinds of resources that a reference may point to; `None` is any, or not known.
    pub(super) targets: Option<Vec<String>>,
    /// Whether what it points to must keep a profile.
    pub(super) has_target_profile: bool,
}

/// The profiles of all packages.
pub(super) fn profiles_of(packages: &[Package]) -> Vec<Profile> {
    let mut compiler = Compiler {
        packages,
        terminology: Terminology::of(packages),
    };
    let mut profiles = Vec::new();
    for (at, package) in packages.iter().enumerate() {
        for structure in &package.structures {
            profiles.push(compiler.profile(at, structure));
        }
    }
    profiles
}

struct Compiler<'a> {
    packages: &'a [Package],
    terminology: Terminology<'a>,
}

impl<'a> Compiler<'a> {
    fn profile(&mut self, package: usize, structure: &'a Structure) -> Profile {
        let (elements, unknown_base) = self.elements(package, structure);
        let mut rules = ElementRules {
            name: structure.kind.clone(),
            ..ElementRules::default()
        };
        for element in &elements {
            self.add(package, &mut rules, element);
        }
        tell_slices_apart(&mut rules);
        Profile {
            url: structure.url.clone(),
            version: structure.version.clone(),
            kind: structure.kind.clone(),
            rules,
            unknown_base,
        }
    }

    /// The elements of a profile with those of what it is based on; and the base that no package has.
    fn elements(&self, package: usize, structure: &'a Structure) -> (Vec<Json>, Option<String>) {
        let mut line = vec![structure];
        let mut unknown = None;
        while let Some(last) = line.last().copied().filter(|last| !last.is_snapshot) {
            if is_r4(&last.base) {
                break;
            }
            match self.structure(package, &last.base) {
                Some(base) if line.len() < MAX_BASES => line.push(base),
                Some(_) | None => {
                    unknown = Some(last.base.clone());
                    break;
                }
            }
        }
        let mut merged: Vec<Json> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for element in line.iter().rev().flat_map(|one| &one.elements) {
            let id = id_of(element).to_owned();
            if let Some(known) = places.get(&id).and_then(|&at| merged.get_mut(at)) {
                overlay(known, element);
            } else {
                places.insert(id, merged.len());
                merged.push(element.clone());
            }
        }
        (merged, unknown)
    }

    /// The profile that a canonical URL means to a package: its own, or else another's.
    fn structure(&self, package: usize, canonical: &str) -> Option<&'a Structure> {
        let (url, version) = split_canonical(canonical);
        let own = self.packages.get(package);
        let packages = own.into_iter().chain(self.packages.iter().rev());
        let mut all = packages.flat_map(|package| &package.structures);
        all.find(|it| it.url == url && (version.is_none() || it.version.as_deref() == version))
    }

    /// Puts the rules of an element where it belongs.
    fn add(&mut self, package: usize, root: &mut ElementRules, element: &Json) {
        let id = id_of(element);
        let mut at = root;
        for segment in id.split('.').skip(1) {
            let (name, slice) = match segment.split_once(':') {
                Some((name, slice)) => (name, Some(slice)),
                None => (segment, None),
            };
            at = at.child(name);
            if let Some(slice) = slice {
                let slicing = at.slicing.get_or_insert_default();
                at = slicing.slice(slice, name);
            }
        }
        self.fill(package, at, element);
    }

    fn fill(&mut self, package: usize, rules: &mut ElementRules, element: &Json) {
        if let Some(Json::Number(min)) = element.get("min") {
            rules.min = min.parse().unwrap_or_default();
        }
        if let Some(max) = text(element, "max") {
            rules.max = max.parse().ok();
        }
        rules.is_must_support = matches!(element.get("mustSupport"), Some(Json::Bool(true)));
        rules.wanted = Wanted::of(element);
        rules.binding = element.get("binding").and_then(|binding| {
            let canonical = required_set(binding)?;
            Some(Binding {
                url: split_canonical(canonical).0.to_owned(),
                codes: self.terminology.codes_of(package, canonical),
            })
        });
        let types = items(element, "type").iter();
        rules.types = types.map(|it| self.allowed_type(package, it)).collect();
        let constraints = items(element, "constraint").iter();
        let own = constraints.filter(|it| is_own_constraint(it));
        rules.constraints = own
            .filter_map(|it| text(it, "key").map(str::to_owned))
            .collect();
        rules.unchecked = unchecked_of(element);
        let content = text(element, "contentReference");
        rules.content = content.map(|it| it.rsplit('#').next().unwrap_or(it).to_owned());
        if let Some(slicing) = element.get("slicing") {
            rules.slicing.get_or_insert_default().define(slicing);
        }
    }

    fn allowed_type(&self, package: usize, json: &Json) -> AllowedType {
        let urls = |key| items(json, key).iter().filter_map(Json::as_str);
        let mut targets = Some(Vec::new());
        let mut has_target_profile = false;
        for url in urls("targetProfile") {
            let kind = if is_r4(url) {
                r4_name(url).filter(|name| *name != "Resource")
            } else {
                has_target_profile = true;
                let profile = self.structure(package, url);
                profile.map(|profile| profile.kind.as_str())
            };
            match (kind, &mut targets) {
                (Some(kind), Some(targets)) => targets.push(kind.to_owned()),
                (_, targets) => *targets = None,
            }
        }
        let code = text(json, "code").unwrap_or_default();
        AllowedType {
            code: code.to_owned(),
            // The type itself is no profile of it; R4's own profiles, such as `SimpleQuantity`, are.
            profiles: urls("profile")
                .filter(|url| r4_name(url) != Some(code))
                .map(str::to_owned)
                .collect(),
            targets: targets.filter(|targets| !targets.is_empty()),
            has_target_profile,
        }
    }
}

impl ElementRules {
    /// The rules of the element of this name in this one.
    fn child(&mut self, name: &str) -> &mut Self {
        let at = self.children.iter().position(|child| child.name == name);
        let at = at.unwrap_or_else(|| {
            self.children.push(Self {
                name: name.to_owned(),
                ..Self::default()
            });
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// The rules of the element of this id, where no slice is on the way.
    pub(super) fn of_id(&self, id: &str) -> Option<&Self> {
        let mut at = self;
        for name in id.split('.').skip(1) {
            at = at.children.iter().find(|child| child.name == name)?;
        }
        Some(at)
    }

    /// Whether nothing is demanded of the element, nor of what is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.min == 0
            && self.max.is_none()
            && !self.is_must_support
            && self.wanted.is_none()
            && self.binding.is_none()
            && self.types.iter().all(AllowedType::is_empty)
            && (self.types.is_empty() || !self.name.ends_with("[x]"))
            && self.constraints.is_empty()
            && self.unchecked.is_empty()
            && self.content.is_none()
            && self.slicing.is_none()
            && self.children.iter().all(Self::is_empty)
    }
}

impl AllowedType {
    /// Whether it says no more than which type it is.
    fn is_empty(&self) -> bool {
        self.profiles.is_empty() && self.targets.is_none() && !self.has_target_profile
    }
}

/// The value set that codes of a binding must come from.
fn required_set(binding: &Json) -> Option<&str> {
    let strictest = items(binding, "extension")
        .iter()
        .find(|it| text(it, "url") == Some(MAX_VALUE_SET))
        .and_then(|it| text(it, "valueCanonical").or_else(|| text(it, "valueUri")));
    if text(binding, "strength") == Some("required") {
        text(binding, "valueSet").or(strictest)
    } else {
        strictest
    }
}

/// The names of what an element's definition demands and nothing here checks.
fn unchecked_of(element: &Json) -> Vec<String> {
    let members = element.as_object().unwrap_or_default().iter();
    let names = members.map(|(name, _)| name.as_str()).filter(|name| {
        *name == "maxLength" || name.starts_with("minValue") || name.starts_with("maxValue")
    });
    let types = items(element, "type").iter();
    let of_references = types.flat_map(|it| {
        let names = ["aggregation", "versioning"].into_iter();
        names.filter(move |name| it.get(name).is_some())
    });
    names.chain(of_references).map(str::to_owned).collect()
}

/// Finds out, of each list that is sliced, how its slices are told apart.
fn tell_slices_apart(rules: &mut ElementRules) {
    for child in &mut rules.children {
        tell_slices_apart(child);
    }
    let name = rules.name.clone();
    if let Some(slicing) = &mut rules.slicing {
        for slice in &mut slicing.slices {
            tell_slices_apart(&mut slice.rules);
        }
        slicing.tell_apart(&name);
    }
}

/// Puts what a differential says of an element over what is known of it. Constraints are joined.
fn overlay(known: &mut Json, element: &Json) {
    let (Json::Object(known), Json::Object(more)) = (known, element) else {
        return;
    };
    for (name, value) in more {
        match known.iter_mut().find(|(own, _)| own == name) {
            Some((_, Json::Array(own))) if name == "constraint" => {
                own.extend(value.as_array().unwrap_or_default().iter().cloned());
            }
            Some((_, own)) => *own = value.clone(),
            None => known.push((name.clone(), value.clone())),
        }
    }
}

/// Whether a constraint is the profile's, and an error: R4's own are invariants of the base walk.
fn is_own_constraint(constraint: &Json) -> bool {
    let of_r4 = text(constraint, "source").is_some_and(|source| {
        let (url, _) = split_canonical(source);
        let name = url.strip_prefix(R4_STRUCTURE).unwrap_or(url);
        table::r4().named(name).is_some()
    });
    text(constraint, "severity") == Some("error") && !of_r4
}

/// The name of a resource or data type of R4, of its URL.
fn r4_name(canonical: &str) -> Option<&'static str> {
    let (url, _) = split_canonical(canonical);
    let name = url.strip_prefix(R4_STRUCTURE)?;
    // Abstract types are in the table, too; the one of all data types is not.
    table::r4().named(name).map(|node| node.name)
}

fn is_r4(canonical: &str) -> bool {
    r4_name(canonical).is_some()
}
