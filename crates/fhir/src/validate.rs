//! Walks a document along the table: is it R4?
//!
//! Finds unknown elements, wrong cardinalities, two types of one choice, values
//! outside of their format, codes outside of required value sets, references to
//! the wrong kind of thing, and empty objects; then asks each node's invariants.
//! Profiles, terminologies beyond the required value sets, and what a reference
//! points to outside of the document are not looked at.

use crate::contained::Contained;
use crate::invariants::Scope;
use crate::issue::{Issue, IssueCode, Path};
use crate::json::{Json, member};
use crate::markup;
use crate::narrative::{self, Fault};
use crate::primitives::{Primitive, is_code};
use crate::record_types::patient_element;
use crate::references;
use crate::table::{self, Field, Kind, Node, Table};

/// After this many issues the walk stops collecting.
pub const MAX_ISSUES: usize = 100;

/// The longest code or name that a message repeats.
const MAX_ECHO: usize = 20;

type Members = [(String, Json)];

/// Everything that keeps `document` from being a FHIR R4 resource.
///
/// At most [`MAX_ISSUES`] and one that says that there are more.
pub fn base(document: &Json) -> Vec<Issue> {
    walk(document, false)
}

/// Everything that keeps `document` from being stored.
///
/// As [`base`], but the patient may still be missing, as [`crate::stamp()`] sets it; and nothing in it
/// may run, or load something from elsewhere, where it is shown.
pub(crate) fn before_stamping(document: &Json) -> Vec<Issue> {
    walk(document, true)
}

fn walk(document: &Json, to_be_stored: bool) -> Vec<Issue> {
    let mut walk = Walk {
        table: table::r4(),
        issues: Vec::new(),
        to_be_stored,
    };
    let kind = document
        .get("resourceType")
        .and_then(Json::as_str)
        .and_then(|kind| {
            table::r4().resource(kind).map(|node| node.name) // known, hence not health data
        });
    walk.resource(document, Path::root(kind.unwrap_or("Resource")), None);
    walk.issues
}

struct Walk {
    table: &'static Table,
    issues: Vec<Issue>,
    /// Whether the rules for what is stored hold beside those of R4, and the patient may be missing.
    to_be_stored: bool,
}

/// What surrounds the object that the walk is at.
#[derive(Clone, Copy)]
struct ElementContext<'a> {
    /// The resources that `#` refers to.
    contained: &'a Contained<'a>,
    /// Whether the object is of one of them.
    is_contained: bool,
}

impl Walk {
    fn resource(&mut self, json: &Json, path: Path<'_>, container: Option<&Contained<'_>>) {
        let Some(members) = json.as_object() else {
            return self.fail(
                IssueCode::Structure,
                path,
                "type",
                "a resource is an object",
            );
        };
        let Some(name) = member(members, "resourceType").and_then(Json::as_str) else {
            let message = "a resource has a resourceType";
            return self.fail(IssueCode::Structure, path, "resource-type", message);
        };
        let Some(node) = self.table.resource(name) else {
            let message = "not a resource of FHIR R4";
            return self.fail(IssueCode::Structure, path, "resource-type", message);
        };
        let own = if container.is_none() {
            Contained::of(members)
        } else {
            Contained::default()
        };
        let context = ElementContext {
            contained: container.unwrap_or(&own),
            is_contained: container.is_some(),
        };
        if container.is_none() && own.is_ambiguous() {
            let message = "two contained resources have the same id";
            let at = path.element("contained");
            self.fail(IssueCode::Structure, at, "contained-id", message);
        }
        let later = if self.to_be_stored {
            patient_element(name)
        } else {
            None
        };
        self.node(node, members, path, context, later);
    }

    fn node(
        &mut self,
        node: &'static Node,
        members: &Members,
        path: Path<'_>,
        context: ElementContext<'_>,
        later: Option<&str>,
    ) {
        let mut missing = node.required & !self.members(node, members, path, context);
        while missing != 0 {
            let element = node.elements[missing.trailing_zeros() as usize];
            missing &= missing - 1;
            if later != Some(element) {
                let at = path.element(element.trim_end_matches("[x]"));
                self.fail(
                    IssueCode::Required,
                    at,
                    "required",
                    "this element is required",
                );
            }
        }
        let ElementContext {
            contained,
            is_contained,
        } = context;
        let scope = Scope {
            this: members,
            contained,
            is_contained,
        };
        for rule in &node.rules {
            if !(rule.holds)(scope) {
                self.fail(IssueCode::Invariant, path, rule.key, rule.human);
            }
        }
    }

    /// Walks the members of an object and says which elements of its node are there.
    fn members(
        &mut self,
        node: &'static Node,
        members: &Members,
        path: Path<'_>,
        context: ElementContext<'_>,
    ) -> u128 {
        let with_extras = members.iter().any(|(key, _)| key.starts_with('_'));
        let mut seen: u128 = 0;
        for (key, value) in members {
            if node.is_resource && key == "resourceType" {
                continue;
            }
            let name = key.strip_prefix('_').unwrap_or(key);
            let is_extra = name.len() < key.len();
            let known = node
                .field(name)
                .filter(|field| !is_extra || field.is_primitive());
            let Some(field) = known else {
                self.unknown(key, path, node);
                continue;
            };
            if is_extra && member(members, name).is_some() {
                continue; // looked at together with its value
            }
            if seen & (1 << field.element) != 0 {
                let message = "a choice has one type only";
                self.fail(IssueCode::Structure, path.element(name), "choice", message);
            }
            seen |= 1 << field.element;
            if is_extra {
                self.member(field, None, Some(value), path.element(name), context);
            } else {
                let extra = if with_extras {
                    extra(members, name)
                } else {
                    None
                };
                self.member(field, Some(value), extra, path.element(name), context);
            }
        }
        seen
    }

    /// An element's value, and for a primitive the object with its id and extensions.
    fn member(
        &mut self,
        field: &'static Field,
        value: Option<&Json>,
        extra: Option<&Json>,
        path: Path<'_>,
        context: ElementContext<'_>,
    ) {
        if !field.is_list {
            return self.value(field, value, extra, path, context);
        }
        let (Some(values), Some(extras)) = (list(value), list(extra)) else {
            return self.fail(IssueCode::Structure, path, "cardinality", "this is a list");
        };
        let length = values.len().max(extras.len());
        if length == 0 {
            self.fail(IssueCode::Structure, path, "empty", "a list is not empty");
        }
        for index in 0..length {
            let not_null = |item: &&Json| **item != Json::Null;
            let value = values.get(index).filter(not_null);
            let extra = extras.get(index).filter(not_null);
            self.value(field, value, extra, path.at(index), context);
        }
    }

    fn value(
        &mut self,
        field: &'static Field,
        value: Option<&Json>,
        extra: Option<&Json>,
        path: Path<'_>,
        context: ElementContext<'_>,
    ) {
        match (field.kind, value) {
            // In a list, null stands for a value that only has an extension.
            (_, None | Some(Json::Null)) if value.is_some() || extra.is_none() => {
                self.fail(IssueCode::Structure, path, "empty", "a value is not null");
            }
            (_, Some(Json::Array(_))) => {
                self.fail(
                    IssueCode::Structure,
                    path,
                    "cardinality",
                    "this is not a list",
                );
            }
            (Kind::Primitive(primitive), _) => {
                if let Some(value) = value {
                    self.primitive(primitive, value, field, path);
                }
                match extra {
                    Some(Json::Object(members)) => {
                        self.not_empty(members, value.is_some(), path);
                        self.node(self.table.element(), members, path, context, None);
                    }
                    Some(_) => {
                        let message = "ids and extensions are in an object";
                        self.fail(IssueCode::Structure, path, "type", message);
                    }
                    None => {}
                }
            }
            (Kind::Node(at), Some(Json::Object(members))) => {
                let node = self.table.node(at);
                self.not_empty(members, false, path);
                self.node(node, members, path, context, None);
                if node.name == "Reference" {
                    self.reference(members, field.targets, path, context);
                }
                if let Some(url) = field.binding {
                    self.bound_concept(members, url, path);
                }
            }
            (Kind::Node(_), _) => {
                self.fail(IssueCode::Structure, path, "type", "this is an object");
            }
            (Kind::Resource, Some(resource)) => {
                // What a Bundle or Parameters carries stands for itself.
                let contained = path.is("contained").then_some(context.contained);
                self.resource(resource, path, contained);
            }
            (Kind::Resource, None) => {}
        }
    }

    /// `ele-1`: an element has a value or children, and an id is no child.
    fn not_empty(&mut self, members: &Members, has_value: bool, path: Path<'_>) {
        let only_id = members.iter().all(|(key, _)| key == "id");
        if members.is_empty() || (only_id && !has_value) {
            let message = "an element has a value or children";
            self.fail(IssueCode::Invariant, path, "ele-1", message);
        }
    }

    fn primitive(&mut self, primitive: Primitive, value: &Json, field: &Field, path: Path<'_>) {
        if !primitive.accepts(value) {
            let message = format!("not a {} of FHIR", primitive.name());
            return self.fail(
                IssueCode::Value,
                path,
                &format!("type:{}", primitive.name()),
                &message,
            );
        }
        let Some(text) = value.as_str() else { return };
        if primitive == Primitive::Xhtml
            && let Err(fault) = narrative::check(text)
            && (self.to_be_stored || fault != Fault::LoadsFromOutside)
        {
            self.fail(IssueCode::Invariant, path, fault.rule(), fault.message());
        }
        let runs =
            markup::runs(text) || primitive == Primitive::Markdown && markup::is_active(text);
        if self.to_be_stored && runs {
            let message = "a link or HTML that could run or load something is not stored";
            self.fail(IssueCode::Value, path, "active-content", message);
        }
        let Some(url) = field.binding else { return };
        if self
            .table
            .value_set(url)
            .is_some_and(|set| !set.has_code(text))
        {
            let name = last_segment(url);
            let message = format!("{} is not in the value set {name}", echo(text));
            self.fail(
                IssueCode::CodeInvalid,
                path,
                &format!("binding:{name}"),
                &message,
            );
        }
    }

    fn bound_concept(&mut self, concept: &Members, url: &str, path: Path<'_>) {
        let Some(set) = self.table.value_set(url) else {
            return;
        };
        let codings = member(concept, "coding")
            .and_then(Json::as_array)
            .unwrap_or_default();
        let text =
            |coding: &Json, key: &str| coding.get(key).and_then(Json::as_str).map(str::to_owned);
        let bound = codings.iter().any(|coding| {
            let system = text(coding, "system").unwrap_or_default();
            text(coding, "code").is_some_and(|code| set.has_coding(&system, &code))
        });
        if !bound {
            let name = last_segment(url);
            let message = format!("no coding is in the value set {name}");
            self.fail(
                IssueCode::CodeInvalid,
                path,
                &format!("binding:{name}"),
                &message,
            );
        }
    }

    /// Whether a reference points to a kind of resource that it may point to.
    fn reference(
        &mut self,
        members: &Members,
        targets: &str,
        path: Path<'_>,
        context: ElementContext<'_>,
    ) {
        let reference = member(members, "reference").and_then(Json::as_str);
        if reference.is_some_and(|text| !references::is_well_formed(text)) {
            let message = "neither an absolute URL, nor a resource of R4 and its id, nor #";
            self.fail(
                IssueCode::Value,
                path.element("reference"),
                "reference",
                message,
            );
        }
        if targets.is_empty() {
            return;
        }
        let stated = member(members, "type").and_then(Json::as_str);
        let pointed = reference.and_then(|reference| context.contained.target(reference));
        for kind in [pointed, stated].into_iter().flatten() {
            let known = self.table.resource(kind).is_some();
            if known && !targets.split(',').any(|target| target == kind) {
                let message = format!("a reference to {kind} is not allowed here");
                self.fail(IssueCode::Value, path, "target", &message);
            }
        }
    }

    fn unknown(&mut self, key: &str, path: Path<'_>, node: &Node) {
        let message = format!("{} has no element {}", node.name, echo(key));
        self.fail(IssueCode::Structure, path, "unknown-element", &message);
    }

    fn fail(&mut self, code: IssueCode, path: Path<'_>, rule: &str, message: &str) {
        if self.issues.len() < MAX_ISSUES {
            self.issues
                .push(Issue::error(code, path.render(), rule, message));
        } else if self.issues.len() == MAX_ISSUES {
            let message = "there are more issues than are listed";
            self.issues.push(Issue::error(
                IssueCode::TooCostly,
                "",
                "max-issues",
                message,
            ));
        }
    }
}

/// The member with the id and the extensions of a primitive.
fn extra<'a>(members: &'a Members, name: &str) -> Option<&'a Json> {
    members
        .iter()
        .find(|(key, _)| key.strip_prefix('_') == Some(name))
        .map(|(_, value)| value)
}

/// The items of a list; none if there is no value, `None` if it is no list.
fn list(value: Option<&Json>) -> Option<&[Json]> {
    value.map_or(Some(&[]), Json::as_array)
}

fn last_segment(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// A code or a name for a message; nothing that could be a sentence.
fn echo(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.+/:".contains(c);
    if text.len() <= MAX_ECHO && is_code(text) && text.chars().all(harmless) {
        format!("'{text}'")
    } else {
        "this one".to_owned()
    }
}
