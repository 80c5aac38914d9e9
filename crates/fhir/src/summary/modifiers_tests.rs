//! Every modifier that R4 defines, wherever a document can have it, against the summary and its title.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeSet;

use super::*;
use crate::reader::read;
use crate::summary::{Summary, summarise};

/// The elements that are not looked into, and why no modifier is missed by that.
const NOT_FOLLOWED: [(&str, &str); 2] = [
    ("extension", "no summary shows anything of an extension"),
    (
        "modifierExtension",
        "it is named itself, whatever stands in it",
    ),
];

/// The quantities of which no summary shows the number, so that nobody reads it without its bound
/// (`comparator`).
const NOT_SHOWN: [&str; 6] = [
    "FamilyMemberHistory.ageAge",
    "MedicationRequest.dispenseRequest.dispenseInterval",
    "MedicationRequest.dispenseRequest.initialFill.duration",
    "ServiceRequest.quantityQuantity",
    "ServiceRequest.quantityRatio.denominator",
    "ServiceRequest.quantityRatio.numerator",
];

/// Where in a document a value stands: the text before it and behind it, and its elements.
#[derive(Clone)]
struct ModifierPlace {
    before: String,
    after: String,
    path: String,
}

impl ModifierPlace {
    /// In an element of what is here.
    fn in_field(&self, field: &Field) -> Self {
        let (open, close) = if field.is_list { ("[", "]") } else { ("", "") };
        Self {
            before: format!("{}\"{}\":{open}", self.before, field.name()),
            after: format!("{close}{}", self.after),
            path: format!("{}.{}", self.path, field.name()),
        }
    }

    /// In an object that is here.
    fn in_object(&self) -> Self {
        Self {
            before: format!("{}{{", self.before),
            after: format!("}}{}", self.after),
            path: self.path.clone(),
        }
    }
}

/// A modifier, at a place.
struct Modifier {
    at: ModifierPlace,
    node: &'static Node,
    field: &'static Field,
}

impl Modifier {
    /// All of a resource of this kind that stands between these texts.
    fn all_of(kind: &str, before: &str, after: &str) -> Vec<Self> {
        let node = table::r4().resource(kind).unwrap();
        let resource = ModifierPlace {
            before: format!(r#"{before}{{"resourceType":"{kind}","#),
            after: format!("}}{after}"),
            path: kind.to_owned(),
        };
        let mut found = Vec::new();
        Self::add(node, &resource, &mut vec![node.name], &mut found);
        assert!(found.iter().any(|it| it.field.name() == "implicitRules"));
        found
    }

    /// Those below a node; `within` are the nodes around it, none of which is in itself.
    fn add(
        node: &'static Node,
        at: &ModifierPlace,
        within: &mut Vec<&'static str>,
        found: &mut Vec<Self>,
    ) {
        for field in node.fields() {
            let at = at.in_field(field);
            if field.is_modifier {
                let at = at.clone();
                found.push(Self { at, node, field });
            }
            let Kind::Node(inner) = field.kind else {
                continue;
            };
            let inner = table::r4().node(inner);
            let is_followed = NOT_FOLLOWED.iter().all(|(name, _)| *name != field.name());
            if is_followed && !within.contains(&inner.name) {
                within.push(inner.name);
                Self::add(inner, &at.in_object(), within, found);
                within.pop();
            }
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.node.name, self.field.name())
    }

    /// Whether it is the bound of a quantity.
    fn is_bound(&self) -> bool {
        self.field.name() == "comparator"
    }

    fn summary(&self, record_type: RecordType, value: &str) -> Summary {
        let text = format!("{}{value}{}", self.at.before, self.at.after);
        summarise(&read(text.as_bytes()).unwrap(), record_type)
    }

    /// Each of its codes, and how it is written; of what has none, some values.
    fn values(&self) -> Vec<(String, String)> {
        if self.field.name() == "modifierExtension" {
            let json = r#"{"url":"http://x.example/negated","valueBoolean":true}"#;
            return vec![("negated".to_owned(), json.to_owned())];
        }
        let codes: Vec<&str> = match (self.field.binding, self.field.kind) {
            (Some(url), _) => table::r4().value_set(url).unwrap().codes().collect(),
            (None, Kind::Node(at)) if table::r4().node(at).name == "CodeableConcept" => {
                vec!["due", "overdue"]
            }
            (None, Kind::Node(_)) => {
                return vec![("an object".to_owned(), r#"{"id":"a"}"#.to_owned())];
            }
            (None, Kind::Primitive(_) | Kind::Resource) => vec!["true", "false"],
        };
        assert!(!codes.is_empty(), "{}", self.name());
        let spell = |code: &str| match self.field.kind {
            Kind::Node(_) => format!(r#"{{"coding":[{{"code":"{code}"}}]}}"#),
            _ if matches!(code, "true" | "false") => code.to_owned(),
            _ => format!("\"{code}\""),
        };
        let codes = codes.iter();
        codes
            .map(|code| ((*code).to_owned(), spell(code)))
            .collect()
    }
}

/// What a resource stands in.
struct Holder {
    before: String,
    after: String,
    /// Whether the summary reads what stands in it.
    is_read: bool,
    /// Whether a list, which shows the title, is about it.
    is_titled: bool,
}

impl Holder {
    /// Nothing: the resource is the document.
    fn document() -> Self {
        Self {
            before: String::new(),
            after: String::new(),
            is_read: true,
            is_titled: true,
        }
    }

    /// All that a record of this type can have a resource in.
    fn all_of(record_type: RecordType) -> Vec<Self> {
        let root = record_type.roots()[0];
        let mut all = vec![Self::document()];
        if record_type.may_be_bundle() {
            all.push(Self::document().around_entry());
        }
        let contained: Vec<Self> = all.iter().map(|it| it.containing(root)).collect();
        // No summary reads a Bundle that is contained.
        let deeper = Self::document().containing(root);
        all.push(Self {
            is_read: false,
            ..deeper.around_entry()
        });
        all.extend(contained);
        all
    }

    /// An entry of a `Bundle` that stands here.
    fn around_entry(self) -> Self {
        let bundle = r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":"#;
        Self {
            before: self.before + bundle,
            after: format!("}}]}}{}", self.after),
            ..self
        }
    }

    /// What a resource of this kind contains that stands here.
    fn containing(&self, kind: &str) -> Self {
        Self {
            before: format!(r#"{}{{"resourceType":"{kind}","contained":["#, self.before),
            after: format!("]}}{}", self.after),
            is_read: self.is_read,
            is_titled: false,
        }
    }

    fn modifiers(&self, kind: &str) -> Vec<Modifier> {
        Modifier::all_of(kind, &self.before, &self.after)
    }

    /// Shows that a summary of this type tells each value of a modifier here; how many that were.
    fn tells(&self, modifier: &Modifier, record_type: RecordType) -> usize {
        let name = modifier.name();
        let (kind, element) = (modifier.node.name, modifier.field.name());
        let has_field = self.is_read && shown(record_type).contains(&name.as_str());
        let without = modifier.summary(record_type, "null");
        let mut told: Vec<Summary> = Vec::new();
        for (code, value) in modifier.values() {
            let is_usual = is_plain(kind, element, &code);
            if is_usual && (!has_field || code == "false") {
                continue;
            }
            let what = format!("{record_type:?}: {}={code}", modifier.at.path);
            let with = modifier.summary(record_type, &value);
            assert_ne!(with, without, "{what}");
            assert!(!told.contains(&with), "{what}");
            // What a list shows says it, too, but for the activities of a plan.
            if self.is_titled && !is_usual && !name.starts_with("CarePlan.activity") {
                assert_ne!(with.title(), without.title(), "{what}");
            }
            told.push(with);
        }
        told.len()
    }
}

/// Whether a summary that shows the number of a quantity shows its bound, too; `None` where it shows neither.
fn shows_bound(modifier: &Modifier, record_type: RecordType) -> Option<bool> {
    let summary = |bound: &str| modifier.summary(record_type, &format!(r#"{bound},"value":5"#));
    let number = summary("null");
    if number == modifier.summary(record_type, "null") {
        return None;
    }
    let mut known = vec![number];
    for (_, bound) in modifier.values() {
        let with = summary(&bound);
        if known.contains(&with) {
            return Some(false);
        }
        known.push(with);
    }
    Some(true)
}

#[test]
fn every_modifier_of_every_kind_of_record_changes_the_summary_or_is_named_in_it() {
    let mut told = 0;
    for record_type in RecordType::ALL {
        for holder in Holder::all_of(record_type) {
            for kind in record_type.roots() {
                let modifiers = holder.modifiers(kind).into_iter();
                for modifier in modifiers.filter(|it| !it.is_bound()) {
                    told += holder.tells(&modifier, record_type);
                }
            }
        }
    }
    assert!(told > 5_000, "{told}");
}

#[test]
fn every_modifier_of_a_bundle_and_of_any_kind_that_is_contained_is_named() {
    let mut told = 0;
    for record_type in RecordType::ALL.into_iter().filter(|it| it.may_be_bundle()) {
        let document = Holder::document();
        let modifiers = document.modifiers("Bundle").into_iter();
        for modifier in modifiers.filter(|it| !it.is_bound()) {
            told += document.tells(&modifier, record_type);
        }
    }
    // No summary reads other kinds than records are made of: one record type does for all.
    let contained = Holder::document().containing("Immunization");
    let kinds = table::r4().resources().map(|node| node.name);
    for kind in kinds.filter(|kind| !RecordType::Vaccination.roots().contains(kind)) {
        let modifiers = contained.modifiers(kind).into_iter();
        for modifier in modifiers.filter(|it| !it.is_bound()) {
            told += contained.tells(&modifier, RecordType::Vaccination);
        }
    }
    assert!(told > 5_000, "{told}");
}

#[test]
fn where_a_number_is_shown_its_bound_is_and_where_not_nobody_misreads_it() {
    let mut not_shown = BTreeSet::new();
    let mut count = 0;
    for record_type in RecordType::ALL {
        for holder in Holder::all_of(record_type) {
            for kind in record_type.roots() {
                let modifiers = holder.modifiers(kind).into_iter();
                for bound in modifiers.filter(Modifier::is_bound) {
                    let path = &bound.at.path;
                    let path = path.trim_end_matches(".comparator").to_owned();
                    match shows_bound(&bound, record_type) {
                        Some(is_shown) => assert!(is_shown, "{record_type:?}: {path}"),
                        None if holder.is_read => {
                            not_shown.insert(path);
                        }
                        None => {}
                    }
                    count += 1;
                }
            }
        }
    }
    assert_eq!(not_shown, BTreeSet::from(NOT_SHOWN.map(str::to_owned)));
    assert!(count > 250, "{count}");
}

#[test]
fn what_is_contained_and_what_a_bundle_holds_counts_and_what_goes_without_saying_does_not() {
    let document = br#"{"resourceType":"Bundle","type":"collection","implicitRules":"http://x.example/rules","entry":[
        {"resource":{"resourceType":"MedicationRequest","status":"active","contained":[
            {"resourceType":"Medication","id":"m","status":"entered-in-error"},
            {"resourceType":"Practitioner","id":"p","active":false,"name":[{"use":"old"},{"use":"usual"}],
             "identifier":[{"use":"temp"},{"use":"secondary"},{"use":"official"}],
             "address":[{"use":"temp"},{"use":"work"}],"telecom":[{"use":"old"},{"use":"mobile"}]},
            {"resourceType":"Organization","id":"o","active":true}],
         "dosageInstruction":[{"modifierExtension":[{"url":"http://x.example/not"}]}],
         "_doNotPerform":{"extension":[{"url":"http://x.example/why","valueCode":"unknown"}]}}}]}"#;

    let found = unsupported(&read(document).unwrap(), RecordType::Prescription);

    assert_eq!(
        found,
        [
            "Bundle.implicitRules=http://x.example/rules",
            "Medication.status=entered-in-error",
            "HumanName.use=old",
            "Identifier.use=temp",
            "Identifier.use=secondary",
            "Address.use=temp",
            "ContactPoint.use=old",
            "Dosage.modifierExtension(http://x.example/not)",
            "MedicationRequest.doNotPerform",
        ]
    );
}
