//! Holds a document against the rules of the profiles that it declares.

use std::collections::HashSet;

use super::canonical::split_canonical;
use super::codes::Membership;
use super::rules::{AllowedType, ElementRules, Profile};
use super::slicing::{SliceItem, Slicing, is_choice_of};
use super::{ProfileReport, Profiles};
use crate::contained::Contained;
use crate::issue::{Issue, IssueCode, Path};
use crate::json::{Json, member};
use crate::record_types::{patient_element, resource_type};
use crate::table::{self, Field, Kind, Node};
use crate::validate::MAX_ISSUES;

/// How many profiles one resource is held against.
const MAX_PROFILES: usize = 16;
/// How many profiles of data types may lead to each other. An element and its slices may each name one.
const MAX_NESTED: usize = 8;
/// How many elements and items of a document are looked at for its profiles, each once for each rule. Some 50,000 are of a
/// Bundle of 500 entries.
const MAX_STEPS: usize = 500_000;
/// The longest URL of a profile that a message repeats. Unit: characters.
const MAX_URL: usize = 200;

/// Where the profiles of R4 itself are.
const R4_STRUCTURE: &str = "http://hl7.org/fhir/StructureDefinition/";
/// The rule of what was not checked.
const NOT_CHECKED: &str = "profile-not-checked";
/// The rule of what a profile marks as what systems must support.
const MUST_SUPPORT: &str = "profile-must-support";

/// Holds a document against its profiles.
pub(super) fn check(profiles: &Profiles, document: &Json) -> ProfileReport {
    let mut walk = ProfileWalk {
        profiles,
        report: ProfileReport::default(),
        told: HashSet::new(),
        steps: 0,
    };
    if !profiles.is_empty()
        && let Some(node) = kind_of(document)
    {
        walk.resource(
            document,
            node,
            Path::root(node.name),
            Surroundings::Document,
        );
    }
    walk.report
}

/// Where a resource stands.
#[derive(Clone, Copy)]
enum Surroundings<'a> {
    /// It is the document.
    Document,
    /// It is in an entry of the document.
    Entry,
    /// It is in an entry of a Bundle that is not the document.
    Inner,
    /// Another one contains it, with these.
    Contained(&'a Contained<'a>),
}

/// What does not change while a resource is held against one profile.
#[derive(Clone, Copy)]
struct ProfileContext<'p, 'd> {
    profile: &'p Profile,
    /// What references of the form `#id` mean.
    contained: &'d Contained<'d>,
    /// The elements of the resource itself that the server sets.
    later: [Option<&'static str>; 2],
    /// How many profiles of data types have led here.
    nested: usize,
}

/// An object, and what R4 knows of its members.
#[derive(Clone, Copy)]
struct Object<'d> {
    members: &'d [(String, Json)],
    node: Option<&'static Node>,
}

/// One value of an element.
#[derive(Clone, Copy)]
struct Occurrence<'d> {
    key: &'d str,
    /// `None` where there is an extension alone.
    value: Option<&'d Json>,
    /// The id and the extensions of a primitive value.
    extra: Option<&'d Json>,
    field: Option<&'static Field>,
    index: Option<usize>,
}

impl Occurrence<'_> {
    fn path<'a>(&'a self, parent: &'a Path<'a>) -> Path<'a> {
        let path = parent.element(self.key);
        match self.index {
            Some(index) => path.at(index),
            None => path,
        }
    }
}

struct ProfileWalk<'p> {
    profiles: &'p Profiles,
    report: ProfileReport,
    /// What was said of which place: one complaint for one fault, and one note for one rule.
    told: HashSet<(String, String)>,
    /// How much was looked at.
    steps: usize,
}

impl<'p> ProfileWalk<'p> {
    fn resource(
        &mut self,
        json: &Json,
        node: &'static Node,
        path: Path<'_>,
        surroundings: Surroundings<'_>,
    ) {
        let members = json.as_object().unwrap_or_default();
        let own = Contained::of(members);
        let contained = match surroundings {
            Surroundings::Contained(outer) => outer,
            Surroundings::Document | Surroundings::Entry | Surroundings::Inner => &own,
        };
        let later = match surroundings {
            Surroundings::Document => [Some("id"), patient_element(node.name)],
            Surroundings::Entry => [None, patient_element(node.name)],
            Surroundings::Inner | Surroundings::Contained(_) => [None; 2],
        };
        self.declared(json, node, path, contained, later);
        let within = |name| json.get(name).and_then(Json::as_array).unwrap_or_default();
        if !matches!(surroundings, Surroundings::Contained(_)) {
            for (index, inner) in within("contained").iter().enumerate() {
                let at = path.element("contained").at(index);
                if let Some(node) = kind_of(inner) {
                    self.resource(inner, node, at, Surroundings::Contained(&own));
                }
            }
        }
        if node.name == "Bundle" {
            let surroundings = match surroundings {
                Surroundings::Document => Surroundings::Entry,
                Surroundings::Entry | Surroundings::Inner | Surroundings::Contained(_) => {
                    Surroundings::Inner
                }
            };
            for (index, entry) in within("entry").iter().enumerate() {
                let at = path.element("entry").at(index);
                let inner = entry.get("resource");
                if let Some((inner, node)) = inner.and_then(|it| Some((it, kind_of(it)?))) {
                    self.resource(inner, node, at.element("resource"), surroundings);
                }
            }
        }
    }

    /// Holds a resource against the profiles in its `meta`.
    fn declared(
        &mut self,
        json: &Json,
        node: &'static Node,
        path: Path<'_>,
        contained: &Contained<'_>,
        later: [Option<&'static str>; 2],
    ) {
        let declared = json.get("meta").and_then(|meta| meta.get("profile"));
        let declared = declared.and_then(Json::as_array).unwrap_or_default();
        let meta = path.element("meta");
        let mut seen = HashSet::new();
        for (index, canonical) in declared.iter().enumerate() {
            let at = meta.element("profile").at(index);
            let Some(canonical) = canonical.as_str().filter(|it| seen.insert(*it)) else {
                continue;
            };
            if index >= MAX_PROFILES {
                let message =
                    format!("not checked: more than {MAX_PROFILES} profiles are declared");
                return self.note(at, NOT_CHECKED, "", message);
            }
            if is_of_r4(canonical, node) {
                continue; // R4 itself
            }
            let Some(profile) = self.profiles.find(canonical) else {
                self.unknown(canonical, at);
                continue;
            };
            if !is_kind_of(&profile.kind, node.name) {
                let message = format!(
                    "the profile {} is of {}, and this is {}",
                    profile.url, profile.kind, node.name
                );
                self.fail(IssueCode::Structure, profile, at, message);
                continue;
            }
            self.unknown_base(profile, at);
            let context = ProfileContext {
                profile,
                contained,
                later,
                nested: 0,
            };
            self.value(&profile.rules, json, Some(node), path, context);
        }
    }

    fn unknown_base(&mut self, profile: &Profile, at: Path<'_>) {
        if let Some(base) = &profile.unknown_base {
            let message = format!("not checked: what {base} demands, which no package has");
            self.note(at, NOT_CHECKED, base, message);
        }
    }

    /// Names a profile that no package has. Its URL is the name of a definition, and said where it looks like one.
    fn unknown(&mut self, canonical: &str, at: Path<'_>) {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/|".contains(&b);
        let is_name = canonical.len() <= MAX_URL
            && canonical.contains(':')
            && canonical.bytes().all(is_plain);
        let name = if is_name { canonical } else { "the profile" };
        let why = if self.profiles.has_other_version(canonical) {
            "the packages have it in another version"
        } else {
            "no package has it"
        };
        self.note(at, NOT_CHECKED, "", format!("not checked: {name}: {why}"));
    }

    fn element(
        &mut self,
        rules: &'p ElementRules,
        object: Object<'_>,
        path: Path<'_>,
        context: ProfileContext<'p, '_>,
        later: [Option<&'static str>; 2],
    ) {
        let found = occurrences(&rules.name, object);
        if !self.may_look_at(1 + found.len()) {
            return;
        }
        let name = rules.name.trim_end_matches("[x]");
        let is_later = later.iter().flatten().any(|it| *it == name) || is_set_later(name, path);
        let is_missing = found.len() < rules.min;
        if !(found.is_empty() && is_later) {
            self.count(rules, None, found.len(), path.element(name), context);
        }
        for occurrence in &found {
            let at = occurrence.path(&path);
            self.allowed(rules, occurrence, at, context);
            self.occurrence(rules, occurrence, at, context);
        }
        if let Some(slicing) = &rules.slicing {
            self.slices(
                slicing,
                (rules.name.as_str(), is_missing),
                &found,
                path,
                context,
            );
        }
    }

    /// Whether there are as many as a profile demands of an element, or of a slice of it.
    fn count(
        &mut self,
        rules: &ElementRules,
        slice: Option<&str>,
        count: usize,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let ProfileContext { profile, .. } = context;
        let what = slice.map_or_else(
            || "this element".to_owned(),
            |slice| format!("the slice {slice} of this element"),
        );
        if count < rules.min {
            let message = match rules.min {
                1 => format!("{what} is required by the profile {}", profile.url),
                min => format!(
                    "{what} is required {min} times by the profile {}",
                    profile.url
                ),
            };
            return self.fail_of(IssueCode::Required, profile, at, slice, message);
        }
        if let Some(max) = rules.max.filter(|max| count > *max) {
            let message = match max {
                0 => format!("{what} is not allowed by the profile {}", profile.url),
                max => format!(
                    "{what} is there more than {max} times, against the profile {}",
                    profile.url
                ),
            };
            return self.fail_of(IssueCode::Structure, profile, at, slice, message);
        }
        if count == 0 && rules.is_must_support && rules.max != Some(0) {
            let message = format!(
                "{what} is not there, which the profile {} marks as must support",
                profile.url
            );
            self.note(at, MUST_SUPPORT, slice.unwrap_or_default(), message);
        }
    }

    /// Whether a choice is of a type that the profile allows.
    fn allowed(
        &mut self,
        rules: &ElementRules,
        occurrence: &Occurrence<'_>,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let mut types = rules.types.iter();
        let is_allowed =
            rules.types.is_empty() || types.any(|it| is_type_of(rules, occurrence, it));
        if !is_allowed {
            let message = format!(
                "a value of this type is not allowed by the profile {}",
                context.profile.url
            );
            self.fail(IssueCode::Structure, context.profile, at, message);
        }
    }

    fn occurrence(
        &mut self,
        rules: &'p ElementRules,
        occurrence: &Occurrence<'_>,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let Some(value) = occurrence.value else {
            if rules.wanted.is_some() {
                let message = format!(
                    "this has no value, which the profile {} prescribes",
                    context.profile.url
                );
                self.fail(IssueCode::Value, context.profile, at, message);
            }
            return self.beside(rules, occurrence, at, context);
        };
        // R4's own bindings are the base walk's.
        let is_r4 = |url: &str| {
            occurrence
                .field
                .is_some_and(|field| field.binding == Some(url))
        };
        if let Some(binding) = rules.binding.as_ref().filter(|it| !is_r4(&it.url)) {
            match binding.codes.value(value) {
                Membership::In => {}
                Membership::Out => {
                    let message = format!(
                        "no code is in the value set {}, from which the profile {} takes them",
                        binding.url, context.profile.url
                    );
                    self.fail(IssueCode::CodeInvalid, context.profile, at, message);
                }
                Membership::Unknown => {
                    let message = format!(
                        "not checked: whether it is in the value set {}, which the packages do not list",
                        binding.url
                    );
                    self.note(at, NOT_CHECKED, &binding.url, message);
                }
            }
        }
        if let Some(allowed) = allowed_type(rules, occurrence) {
            self.target(allowed, value, at, context);
            self.value_profile(allowed, occurrence, value, at, context);
        }
        let node = node_of(occurrence.field, value);
        self.value(rules, value, node, at, context);
        if value.as_object().is_none() {
            self.beside(rules, occurrence, at, context);
        }
    }

    /// What is demanded of the id and the extensions of a primitive value, which stand beside it.
    fn beside(
        &mut self,
        rules: &'p ElementRules,
        occurrence: &Occurrence<'_>,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let extra = occurrence.extra.and_then(Json::as_object);
        let object = Object {
            members: extra.unwrap_or_default(),
            node: Some(table::r4().element()),
        };
        for child in &rules.children {
            if matches!(child.name.as_str(), "id" | "extension") {
                self.element(child, object, at, context, [None; 2]);
            }
        }
    }

    /// What is demanded of a value itself, and of what is in it.
    fn value(
        &mut self,
        rules: &'p ElementRules,
        value: &Json,
        node: Option<&'static Node>,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        if let Some(wanted) = &rules.wanted
            && !wanted.is_met_by(value)
        {
            let message = format!(
                "this is not the value that the profile {} prescribes",
                context.profile.url
            );
            return self.fail(IssueCode::Value, context.profile, at, message);
        }
        for key in &rules.constraints {
            let message = format!(
                "not checked: the constraint {key} of the profile {}, which is FHIRPath",
                context.profile.url
            );
            self.note_once(at, key, message);
        }
        for name in &rules.unchecked {
            let message = format!(
                "not checked: the {name} of an element of the profile {}",
                context.profile.url
            );
            self.note_once(at, name, message);
        }
        let Some(members) = value.as_object() else {
            return;
        };
        // What the server sets is of the resource itself, and of nothing in it.
        let is_resource =
            std::ptr::eq(rules, &raw const context.profile.rules) && context.nested == 0;
        let later = if is_resource {
            context.later
        } else {
            [None; 2]
        };
        for child in self.within(rules, at, context) {
            self.element(child, Object { members, node }, at, context, later);
        }
    }

    /// The rules of what is in an element: its own, or those of the element that it is like.
    fn within(
        &mut self,
        rules: &'p ElementRules,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) -> &'p [ElementRules] {
        let Some(reference) = rules.content.as_ref().filter(|_| rules.children.is_empty()) else {
            return &rules.children;
        };
        if let Some(like) = context.profile.rules.of_id(reference) {
            return &like.children;
        }
        let message = format!(
            "not checked: what the profile {} demands of {reference}, which this is like",
            context.profile.url
        );
        self.note_once(at, reference, message);
        &[]
    }

    /// Counts what is looked at. When it becomes too much, that is said, and nothing more is looked at.
    fn may_look_at(&mut self, steps: usize) -> bool {
        let was_enough = self.steps <= MAX_STEPS;
        self.steps = self.steps.saturating_add(steps);
        let is_enough = self.steps <= MAX_STEPS;
        if was_enough && !is_enough {
            let message =
                "not checked: the rest of what the profiles demand, which would take too long";
            let path = String::new();
            let issue = Issue::information(IssueCode::TooCostly, path, NOT_CHECKED, message);
            self.report.notes.push(issue);
        }
        is_enough
    }

    /// Whether a reference points to a kind of resource that the profile allows.
    fn target(
        &mut self,
        allowed: &AllowedType,
        value: &Json,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let ProfileContext {
            profile, contained, ..
        } = context;
        let text = |name| value.get(name).and_then(Json::as_str);
        let pointed = text("reference").and_then(|it| contained.target(it));
        if let (Some(targets), Some(kind)) = (&allowed.targets, pointed)
            && table::r4().resource(kind).is_some()
            && !targets.iter().any(|target| target == kind)
        {
            let message = format!(
                "a reference to {kind} is not allowed here by the profile {}",
                profile.url
            );
            return self.fail(IssueCode::Value, profile, at, message);
        }
        if allowed.has_target_profile {
            let message = format!(
                "not checked: whether what references point to keeps the profiles that the profile {} names",
                profile.url
            );
            self.note_once(at, "targets", message);
        }
    }

    /// Holds a value of a data type against the profile that it must keep.
    fn value_profile(
        &mut self,
        allowed: &'p AllowedType,
        occurrence: &Occurrence<'_>,
        value: &Json,
        at: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let Some((only, others)) = allowed.profiles.split_first() else {
            return;
        };
        let node = node_of(occurrence.field, value);
        // R4's own profiles are the base walk's, where R4 names them.
        if others.is_empty() && node.is_some_and(|node| is_of_r4(only, node)) {
            return;
        }
        let profile = self.profiles.find(only);
        let profile = profile.filter(|_| others.is_empty() && context.nested < MAX_NESTED);
        let Some(profile) = profile else {
            let message = format!(
                "not checked: whether it keeps {}",
                allowed.profiles.join(" or ")
            );
            return self.note(at, NOT_CHECKED, only, message);
        };
        if let Some(kind) = resource_of(occurrence)
            && !is_kind_of(&profile.kind, kind)
        {
            let message = format!("this is not of the kind of the profile {}", profile.url);
            return self.fail(IssueCode::Structure, context.profile, at, message);
        }
        self.unknown_base(profile, at);
        let nested = ProfileContext {
            profile,
            nested: context.nested + 1,
            ..context
        };
        self.value(&profile.rules, value, node, at, nested);
        if value.as_object().is_none() {
            self.beside(&profile.rules, occurrence, at, nested);
        }
    }

    fn slices(
        &mut self,
        slicing: &'p Slicing,
        (element, is_missing): (&str, bool),
        found: &[Occurrence<'_>],
        path: Path<'_>,
        context: ProfileContext<'p, '_>,
    ) {
        let at = path.element(element.trim_end_matches("[x]"));
        if let Some(problem) = slicing.problem {
            let demands = slicing.slices.iter().any(|slice| !slice.rules.is_empty());
            let needs = slicing.slices.iter().any(|slice| slice.rules.min > 0);
            if needs || (demands || slicing.is_closed) && !found.is_empty() {
                let message = format!(
                    "not checked: the slices of this element in the profile {}: {problem}",
                    context.profile.url
                );
                self.note(at, NOT_CHECKED, "slices", message);
            }
            return;
        }
        if !self.may_look_at(found.len().saturating_mul(slicing.slices.len())) {
            return;
        }
        let mut counts = vec![0; slicing.slices.len()];
        for occurrence in found {
            let Some(value) = occurrence.value else {
                continue;
            };
            let item = SliceItem {
                element,
                key: occurrence.key,
                value,
            };
            let at = occurrence.path(&path);
            let place = slicing.place_of(item);
            let slice = place.and_then(|place| slicing.slices.get(place));
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
            match slice {
                Some(slice) => self.occurrence(&slice.rules, occurrence, at, context),
                None if slicing.is_closed && !slicing.slices.is_empty() => {
                    let message =
                        format!("this is in no slice of the profile {}", context.profile.url);
                    self.fail(IssueCode::Structure, context.profile, at, message);
                }
                None => {}
            }
        }
        for (slice, count) in slicing.slices.iter().zip(counts) {
            // What is missing altogether is told of the element.
            let is_told = is_missing || found.is_empty() && slice.rules.min == 0;
            if !is_told {
                self.count(&slice.rules, Some(slice.name.as_str()), count, at, context);
            }
        }
    }

    fn fail(&mut self, code: IssueCode, profile: &Profile, at: Path<'_>, message: String) {
        self.fail_of(code, profile, at, None, message);
    }

    /// One complaint for one fault: two profiles that demand the same, or an element and its slice, are told once.
    fn fail_of(
        &mut self,
        code: IssueCode,
        profile: &Profile,
        at: Path<'_>,
        slice: Option<&str>,
        message: String,
    ) {
        if self.report.errors.len() > MAX_ISSUES {
            return;
        }
        let path = at.render();
        let what = format!("{} {}", code.as_str(), slice.unwrap_or_default());
        if !self.told.insert((path.clone(), what)) {
            return;
        }
        let rule = format!("profile:{}", profile.name());
        let issue = Issue::error(code, path, rule, message);
        push(&mut self.report.errors, issue);
    }

    fn note(&mut self, at: Path<'_>, rule: &str, what: &str, message: String) {
        if self.report.notes.len() > MAX_ISSUES {
            return;
        }
        let path = at.render();
        if self.told.insert((path.clone(), format!("{rule} {what}"))) {
            let code = if rule == NOT_CHECKED {
                IssueCode::NotSupported
            } else {
                IssueCode::Informational
            };
            let issue = Issue::information(code, path, rule, message);
            push(&mut self.report.notes, issue);
        }
    }

    /// A note of which the first place is enough.
    fn note_once(&mut self, at: Path<'_>, what: &str, message: String) {
        if self
            .told
            .insert((String::new(), format!("{what} {message}")))
        {
            self.note(at, NOT_CHECKED, what, message);
        }
    }
}

/// Adds an issue, or says that there are more than are listed.
fn push(issues: &mut Vec<Issue>, issue: Issue) {
    if issues.len() < MAX_ISSUES {
        issues.push(issue);
    } else if issues.len() == MAX_ISSUES {
        issues.push(Issue {
            code: IssueCode::TooCostly,
            path: String::new(),
            rule: "max-issues".to_owned(),
            message: "there is more to say of profiles than is listed".to_owned(),
            ..issue
        });
    }
}

/// What R4 knows of a resource of the kind that this is.
fn kind_of(json: &Json) -> Option<&'static Node> {
    table::r4().resource(resource_type(json)?)
}

fn node_of(field: Option<&'static Field>, value: &Json) -> Option<&'static Node> {
    match field?.kind {
        Kind::Node(at) => Some(table::r4().node(at)),
        Kind::Resource => kind_of(value),
        Kind::Primitive(_) => None,
    }
}

/// The values of an element of an object.
fn occurrences<'d>(name: &str, object: Object<'d>) -> Vec<Occurrence<'d>> {
    let Object { members, node } = object;
    let is_choice = name.ends_with("[x]");
    let mut found = Vec::new();
    for (member_name, value) in members {
        let key = member_name.strip_prefix('_').unwrap_or(member_name);
        let field = node.and_then(|node| node.field(key));
        let is_it = if is_choice {
            let element = field.zip(node);
            element.is_some_and(|(field, node)| node.elements.get(field.element) == Some(&name))
        } else {
            key == name
        };
        let is_extra = key.len() < member_name.len();
        if !is_it || is_extra && member(members, key).is_some() {
            continue;
        }
        let extra = match field.filter(|field| field.is_primitive()) {
            Some(_) if is_extra => Some(value),
            Some(_) => member(members, &format!("_{key}")),
            None => None,
        };
        let occurrence = |item: &'d Json, extra, index| Occurrence {
            key,
            value: (!is_extra && *item != Json::Null).then_some(item),
            extra,
            field,
            index,
        };
        let Json::Array(items) = value else {
            found.push(occurrence(value, extra, None));
            continue;
        };
        let extras = extra.and_then(Json::as_array).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            found.push(occurrence(item, extras.get(index), Some(index)));
        }
    }
    found
}

/// What the profile says of the type that a value has.
fn allowed_type<'p>(
    rules: &'p ElementRules,
    occurrence: &Occurrence<'_>,
) -> Option<&'p AllowedType> {
    let mut types = rules.types.iter();
    if rules.name.ends_with("[x]") || resource_of(occurrence).is_some() {
        types.find(|it| is_type_of(rules, occurrence, it))
    } else {
        types.next().filter(|_| rules.types.len() == 1)
    }
}

/// Whether a value is of a type, where it can be of several: a choice, or any resource.
fn is_type_of(rules: &ElementRules, occurrence: &Occurrence<'_>, allowed: &AllowedType) -> bool {
    if rules.name.ends_with("[x]") {
        return is_choice_of(&rules.name, occurrence.key, &allowed.code);
    }
    resource_of(occurrence).is_none_or(|kind| is_kind_of(&allowed.code, kind))
}

/// The kind of resource that stands in an element of any.
fn resource_of<'d>(occurrence: &Occurrence<'d>) -> Option<&'d str> {
    let is_any = occurrence.field?.kind == Kind::Resource;
    occurrence.value.filter(|_| is_any).and_then(resource_type)
}

/// Whether a resource of this kind is of a type, which may be abstract.
fn is_kind_of(code: &str, kind: &str) -> bool {
    match code {
        "Resource" => true,
        "DomainResource" => !matches!(kind, "Bundle" | "Binary" | "Parameters"),
        _ => code == kind,
    }
}

/// Whether a canonical URL is that of R4's own definition.
fn is_of_r4(canonical: &str, node: &Node) -> bool {
    split_canonical(canonical).0.strip_prefix(R4_STRUCTURE) == Some(node.name)
}

/// Whether the server sets an element of `meta`.
fn is_set_later(name: &str, path: Path<'_>) -> bool {
    path.is("meta") && matches!(name, "versionId" | "lastUpdated")
}
