//! Which codes a value set holds, as far as the packages and R4 list them.
//!
//! What they do not list (a filter, a system that is elsewhere) leaves a set open: a code that is not among those that are
//! known is then neither in it nor outside of it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::canonical::split_canonical;
use super::package::{Package, ValueSetSource, items, text};
use crate::json::Json;
use crate::table;

/// How many codes all value sets that bindings name have at most. Beyond, sets stay open.
const MAX_CODES: usize = 2_000_000;

/// How many codes are gone through at most while value sets are put together, those that others include once for each of
/// these. Beyond, sets stay open.
const MAX_WORK: usize = 20_000_000;
/// How many value sets may include each other, one within another.
const MAX_WITHIN: usize = 32;

/// The folder of R4's own value sets, and its code systems.
const R4_VALUE_SET: &str = "http://hl7.org/fhir/ValueSet/";
const R4: &str = "http://hl7.org/fhir/";

/// The codes of one system: `None` is any code of it, whichever those are.
type Listed = Option<BTreeSet<String>>;

/// Whether a code is in a value set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    Out,
    /// Nothing that is here says so.
    Unknown,
}

/// The codes of a value set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Codes {
    systems: BTreeMap<String, Listed>,
    /// Whether there are others that nothing here lists.
    is_open: bool,
}

impl Codes {
    /// One of which nothing is known.
    pub(super) fn open() -> Self {
        Self {
            systems: BTreeMap::new(),
            is_open: true,
        }
    }

    /// Whether of each code it is known whether it is in the set.
    pub(super) fn is_decidable(&self) -> bool {
        !self.is_open && self.systems.values().all(Option::is_some)
    }

    /// Whether a `code`, whose system is not written, is in the set.
    pub(super) fn code(&self, code: &str) -> Membership {
        let mut listed = self.systems.values().flatten();
        if listed.any(|codes| codes.contains(code)) {
            Membership::In
        } else if self.is_decidable() {
            Membership::Out
        } else {
            Membership::Unknown
        }
    }

    /// Whether a coding is in the set.
    pub(super) fn coding(&self, system: &str, code: &str) -> Membership {
        match self.systems.get(system) {
            Some(Some(codes)) if codes.contains(code) => Membership::In,
            // The system is right; nothing says that it has this code.
            Some(None) => Membership::Unknown,
            Some(Some(_)) | None if self.is_open => Membership::Unknown,
            Some(Some(_)) | None => Membership::Out,
        }
    }

    /// Whether a value is: a `code` or a text that is one, a `Coding`, a `Quantity` by its unit, or a `CodeableConcept`, of
    /// which one coding must be.
    pub(super) fn value(&self, value: &Json) -> Membership {
        if let Some(code) = value.as_str() {
            return self.code(code);
        }
        let of_coding = |coding: &Json| {
            let system = text(coding, "system").unwrap_or_default();
            let code = text(coding, "code")?;
            Some(self.coding(system, code))
        };
        let is_concept = value.get("coding").is_some() || value.get("text").is_some();
        if !is_concept {
            return of_coding(value).unwrap_or(Membership::Out);
        }
        let found: Vec<Membership> = items(value, "coding")
            .iter()
            .filter_map(of_coding)
            .collect();
        if found.contains(&Membership::In) {
            Membership::In
        } else if found.contains(&Membership::Unknown) {
            Membership::Unknown
        } else {
            Membership::Out
        }
    }

    fn len(&self) -> usize {
        let listed = self.systems.values().flatten();
        listed.map(BTreeSet::len).sum()
    }

    /// What is in either.
    fn join(&mut self, other: Self) {
        self.is_open |= other.is_open;
        for (system, more) in other.systems {
            let known = self.systems.entry(system);
            let known = known.or_insert_with(|| Some(BTreeSet::new()));
            *known = match (known.take(), more) {
                (Some(mut known), Some(more)) => {
                    known.extend(more);
                    Some(known)
                }
                (None, _) | (_, None) => None,
            };
        }
    }

    /// What is in both.
    fn intersect(&self, other: &Self) -> Self {
        let shared = self.systems.iter().filter_map(|(system, ours)| {
            let both = match (ours, other.systems.get(system)?) {
                (Some(ours), Some(theirs)) => Some(ours & theirs),
                (Some(one), None) | (None, Some(one)) => Some(one.clone()),
                (None, None) => None,
            };
            Some((system.clone(), both))
        });
        Self {
            systems: shared.collect(),
            is_open: self.is_open || other.is_open,
        }
    }

    /// What is in this one and not in the other.
    fn without(mut self, other: &Self) -> Self {
        if other.is_open {
            // Any of them may be excluded.
            return Self::open();
        }
        for (system, excluded) in &other.systems {
            let rest = match (self.systems.remove(system), excluded) {
                (Some(Some(ours)), Some(excluded)) => &ours - excluded,
                (Some(None), Some(_)) => {
                    // All of a system that is not listed, but some.
                    self.is_open = true;
                    continue;
                }
                (Some(_), None) | (None, _) => continue,
            };
            self.systems.insert(system.clone(), Some(rest));
        }
        self
    }
}

/// Reads value sets of packages, each once.
pub(super) struct Terminology<'a> {
    packages: &'a [Package],
    known: HashMap<(usize, String), Arc<Codes>>,
    codes: usize,
    /// How much was gone through.
    work: Cell<usize>,
}

impl<'a> Terminology<'a> {
    pub(super) fn of(packages: &'a [Package]) -> Self {
        Self {
            packages,
            known: HashMap::new(),
            codes: 0,
            work: Cell::new(0),
        }
    }

    /// The codes of a value set, as a package means it that names it.
    pub(super) fn codes_of(&mut self, package: usize, canonical: &str) -> Arc<Codes> {
        let key = (package, canonical.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let mut codes = self.expand(package, canonical, &mut Vec::new());
        self.codes += codes.len();
        if self.codes > MAX_CODES {
            codes = Codes::open();
        }
        let codes = Arc::new(codes);
        self.known.insert(key, Arc::clone(&codes));
        codes
    }

    /// `within` are the value sets that include this one: none includes itself.
    fn expand(&self, package: usize, canonical: &str, within: &mut Vec<String>) -> Codes {
        let (url, version) = split_canonical(canonical);
        let is_too_much = within.len() >= MAX_WITHIN || self.work.get() > MAX_WORK;
        if is_too_much || within.iter().any(|outer| outer == url) {
            return Codes::open();
        }
        let found = self.find(package, |it| it.value_sets.get(url));
        let is_meant =
            |set: &&ValueSetSource| version.is_none() || set.version.as_deref() == version;
        if let Some(set) = found.filter(is_meant) {
            within.push(url.to_owned());
            let codes = self.of_source(package, set, within);
            within.pop();
            self.count(&codes);
            return codes;
        }
        match version {
            None => of_r4(url),
            Some(version) if version.starts_with("4.0") => of_r4(url),
            Some(_) => Codes::open(),
        }
    }

    fn count(&self, codes: &Codes) {
        let work = self.work.get().saturating_add(codes.len());
        self.work.set(work.saturating_add(1));
    }

    /// What a package itself has, or else another one: the last first.
    fn find<T>(&self, package: usize, of: impl Fn(&'a Package) -> Option<T>) -> Option<T> {
        let own = self.packages.get(package).and_then(&of);
        own.or_else(|| self.packages.iter().rev().find_map(&of))
    }

    fn of_source(&self, package: usize, set: &ValueSetSource, within: &mut Vec<String>) -> Codes {
        let composed = set
            .compose
            .as_ref()
            .map(|compose| self.composed(package, compose, within));
        let is_whole = composed.as_ref().is_some_and(Codes::is_decidable);
        match set.expansion.as_ref().and_then(expanded) {
            Some(expanded) if !is_whole => expanded,
            Some(_) | None => composed.unwrap_or_else(Codes::open),
        }
    }

    fn composed(&self, package: usize, compose: &Json, within: &mut Vec<String>) -> Codes {
        let mut codes = Codes::default();
        for include in items(compose, "include") {
            codes.join(self.part(package, include, within));
        }
        for exclude in items(compose, "exclude") {
            codes = codes.without(&self.part(package, exclude, within));
        }
        codes
    }

    /// What is in the system of a part, as far as it is named, and in each of its value sets.
    fn part(&self, package: usize, part: &Json, within: &mut Vec<String>) -> Codes {
        let system = text(part, "system").map(|system| self.of_system(package, system, part));
        let sets = items(part, "valueSet").iter().filter_map(Json::as_str);
        let sets = sets.map(|url| self.expand(package, url, within));
        let parts = system.into_iter().chain(sets);
        let whole = parts.reduce(|one, other| one.intersect(&other));
        whole.unwrap_or_else(Codes::open)
    }

    fn of_system(&self, package: usize, system: &str, part: &Json) -> Codes {
        if !items(part, "filter").is_empty() || self.work.get() > MAX_WORK {
            return Codes::open();
        }
        let concepts = items(part, "concept");
        let listed = if concepts.is_empty() {
            let defined = self.find(package, |it| it.code_systems.get(system));
            match defined {
                Some(system) => system.codes.clone(),
                None => all_of_r4(system),
            }
        } else {
            let codes = concepts.iter().filter_map(|it| text(it, "code"));
            Some(codes.map(str::to_owned).collect())
        };
        let codes = Codes {
            systems: BTreeMap::from([(system.to_owned(), listed)]),
            is_open: false,
        };
        self.count(&codes);
        codes
    }
}

/// The codes of an expansion, where it is whole.
fn expanded(expansion: &Json) -> Option<Codes> {
    let is_limited = items(expansion, "parameter")
        .iter()
        .any(|it| text(it, "name") == Some("limitedExpansion"));
    // The only extension of an expansion says that it is not whole.
    if is_limited || expansion.get("extension").is_some() || expansion.get("offset").is_some() {
        return None;
    }
    let mut codes = Codes::default();
    let mut count = 0;
    contains(expansion, &mut codes, &mut count);
    let is_whole = match expansion.get("total") {
        Some(Json::Number(total)) => total.parse::<usize>() == Ok(count),
        Some(_) => false,
        None => count > 0,
    };
    is_whole.then_some(codes)
}

fn contains(json: &Json, codes: &mut Codes, count: &mut usize) {
    for one in items(json, "contains") {
        *count += 1;
        let is_abstract = matches!(one.get("abstract"), Some(Json::Bool(true)));
        if let (Some(system), Some(code), false) =
            (text(one, "system"), text(one, "code"), is_abstract)
        {
            let system = codes.systems.entry(system.to_owned());
            let listed = system.or_insert_with(|| Some(BTreeSet::new()));
            if let Some(listed) = listed {
                listed.insert(code.to_owned());
            }
        }
        contains(one, codes, count);
    }
}

/// A value set of R4 that a required binding of R4 names; open for any other.
fn of_r4(url: &str) -> Codes {
    let Some(set) = table::r4().value_set(url) else {
        return Codes::open();
    };
    let mut codes = Codes::default();
    for (system, listed) in set.systems() {
        if system == "*" {
            codes.is_open = true;
            continue;
        }
        let listed = listed.map(|codes| codes.iter().map(|code| (*code).to_owned()).collect());
        codes.systems.insert(system.to_owned(), listed);
    }
    codes
}

/// All codes of a system of R4. R4 has a value set for each of its code systems, of the same name and of all its codes; one
/// that has another system besides is of something else.
fn all_of_r4(system: &str) -> Listed {
    let name = system.strip_prefix(R4)?;
    let set = table::r4().value_set(&format!("{R4_VALUE_SET}{name}"))?;
    let mut systems = set.systems();
    let (only, codes) = systems.next()?;
    if only != system || systems.next().is_some() {
        return None;
    }
    Some(codes?.iter().map(|code| (*code).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    fn package(files: &[&str]) -> Package {
        let mut package = Package::default();
        let manifest = br#"{"name":"a","version":"1","fhirVersions":["4.0.1"]}"#;
        package.add("package.json", manifest).unwrap();
        for (at, file) in files.iter().enumerate() {
            package.add(&format!("{at}.json"), file.as_bytes()).unwrap();
        }
        package
    }

    fn set(compose: &str) -> String {
        format!(r#"{{"resourceType":"ValueSet","url":"urn:set","compose":{compose}}}"#)
    }

    #[test]
    fn a_code_is_in_a_set_outside_of_it_or_nobody_knows() {
        use Membership::{In, Out, Unknown};
        let system = r#"{"resourceType":"CodeSystem","url":"urn:s","content":"complete",
            "concept":[{"code":"a","concept":[{"code":"b"}]},{"code":"c"}]}"#;
        let cases: &[(&str, [Membership; 3])] = &[
            // Whether urn:s|a, urn:s|x and urn:t|a are in it.
            (r#"{"include":[{"system":"urn:s"}]}"#, [In, Out, Out]),
            (
                r#"{"include":[{"system":"urn:s","concept":[{"code":"x"}]}]}"#,
                [Out, In, Out],
            ),
            (
                r#"{"include":[{"system":"urn:s"},{"system":"urn:t"}]}"#,
                [In, Out, Unknown],
            ),
            (
                r#"{"include":[{"system":"urn:s","filter":[{"property":"p","op":"is-a","value":"a"}]}]}"#,
                [Unknown, Unknown, Unknown],
            ),
            (
                r#"{"include":[{"system":"urn:s"}],"exclude":[{"system":"urn:s","concept":[{"code":"a"}]}]}"#,
                [Out, Out, Out],
            ),
            (
                r#"{"include":[{"system":"urn:s"}],"exclude":[{"valueSet":["urn:nowhere"]}]}"#,
                [Unknown, Unknown, Unknown],
            ),
            (
                r#"{"include":[{"system":"urn:s","valueSet":["urn:nowhere"]}]}"#,
                [Unknown, Unknown, Unknown],
            ),
            (
                r#"{"include":[{"valueSet":["urn:set"]}]}"#,
                [Unknown, Unknown, Unknown],
            ),
        ];
        for (compose, expected) in cases {
            let packages = [package(&[system, &set(compose)])];
            let codes = Terminology::of(&packages).codes_of(0, "urn:set");

            let found = [("urn:s", "a"), ("urn:s", "x"), ("urn:t", "a")]
                .map(|(system, code)| codes.coding(system, code));
            assert_eq!(&found, expected, "{compose}");
        }
    }

    #[test]
    fn an_expansion_counts_where_it_is_whole() {
        let expanded = |expansion: &str| {
            let set = format!(
                r#"{{"resourceType":"ValueSet","url":"urn:set","compose":{{"include":[{{"system":"urn:far"}}]}},
                "expansion":{expansion}}}"#
            );
            let packages = [package(&[&set])];
            Terminology::of(&packages)
                .codes_of(0, "urn:set")
                .coding("urn:far", "x")
        };
        let contains =
            r#""contains":[{"system":"urn:far","code":"a"},{"system":"urn:far","code":"b"}]"#;

        assert_eq!(expanded(&format!("{{{contains}}}")), Membership::Out);
        assert_eq!(
            expanded(&format!(r#"{{"total":2,{contains}}}"#)),
            Membership::Out
        );
        assert_eq!(
            expanded(&format!(r#"{{"total":9,{contains}}}"#)),
            Membership::Unknown
        );
        assert_eq!(
            expanded(&format!(r#"{{"offset":0,{contains}}}"#)),
            Membership::Unknown
        );
    }

    #[test]
    fn sets_and_systems_of_r4_are_known_without_a_package() {
        let packages = [package(&[&set(
            r#"{"include":[{"system":"http://hl7.org/fhir/observation-status"}]}"#,
        )])];
        let mut terminology = Terminology::of(&packages);
        let r4 = "http://hl7.org/fhir/ValueSet/observation-status";

        assert_eq!(terminology.codes_of(0, r4).code("final"), Membership::In);
        let of_version = format!("{r4}|4.0.1");
        assert_eq!(
            terminology.codes_of(0, &of_version).code("done"),
            Membership::Out
        );
        let of_r5 = format!("{r4}|5.0.0");
        assert_eq!(
            terminology.codes_of(0, &of_r5).code("done"),
            Membership::Unknown
        );
        assert_eq!(
            terminology.codes_of(0, "urn:set").code("done"),
            Membership::Out
        );
    }
}
